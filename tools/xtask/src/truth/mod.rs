//! `cargo xtask truth`: what refloat says of mutants, beside how far they boot.
//!
//! Most [`mutants`] are made of a guest that was migrated and boots, so that their one fault is the only one;
//! some are made of a guest as it came, which is what a user has. refloat says whether a mutant is ready; a
//! machine shows whether it is. Where refloat says that it can mend it, that is booted, too. Everything is kept
//! as soon as it is known, so a run that was stopped goes on where it was: boots by the digest of the image and
//! the recipe of the fault, verdicts also by the digest of the program.

mod report;
mod run;
mod table;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use testimages::mutants::{self, Mutant};

use run::{Bench, Boots};
use table::Table;

use crate::boot_matrix;

/// As many mutants are judged with every submission: others each day.
const TODAY: usize = 10;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const USAGE: &str = "\
cargo xtask truth [--boots none|ready|spread|all] [--minutes N] [--jobs N] [--program REFLOAT]
                  [--scratch DIR, where the disks are made: a tmpfs is quickest] [PART OF A NAME...]";

/// Judges mutants, all or those whose name has one of the words in it, and writes the table and README's
/// matrix.
pub(crate) fn verb(options: &[&str]) -> Result<()> {
    let mut options = options.iter();
    let (mut boots, mut minutes, mut jobs, mut program, mut scratch) = (Boots::All, None, 2, None, None);
    let mut words = Vec::new();
    while let Some(option) = options.next() {
        let mut value =
            || options.next().copied().with_context(|| format!("{option} needs a value\n{USAGE}"));
        match *option {
            "--boots" => boots = Boots::named(value()?)?,
            "--minutes" => minutes = Some(value()?.parse::<u64>()?),
            "--jobs" => jobs = value()?.parse()?,
            "--program" => program = Some(Path::new(value()?).canonicalize()?),
            "--scratch" => scratch = Some(Path::new(value()?).canonicalize()?),
            word if word.starts_with('-') => bail!("there is no option {word}\n{USAGE}"),
            word => words.push(word),
        }
    }
    let mut chosen = mutants::all();
    chosen.retain(|mutant| words.is_empty() || words.iter().any(|word| mutant.id().contains(word)));
    ensure!(!chosen.is_empty(), "no mutant has {words:?} in its name");
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));

    let mut table = Table::read()?;
    let program = program.map_or_else(boot_matrix::build, Ok)?;
    judge(Bench::new(program, scratch)?, &chosen, boots, jobs, until, &mut table)?;
    table.write()?;
    report::write(&table)
}

/// Judges [`TODAY`] mutants, which are others tomorrow, by the program that the tests have just run, and insists
/// that none is called ready that does not come to its login.
pub(crate) fn today() -> Result<()> {
    let mut chosen = mutants::all();
    let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() / DAY.as_secs();
    // A step that has no divisor with their number leads over all of them, and from guest to guest.
    let step = 89;
    let count = chosen.len();
    let first = usize::try_from(day)? * TODAY;
    let mut of_today: Vec<_> = (first..first + TODAY).map(|number| number * step % count).collect();
    of_today.sort_unstable();
    of_today.dedup();
    let mut number = 0..;
    chosen.retain(|_| number.next().is_some_and(|number| of_today.binary_search(&number).is_ok()));
    let mut table = Table::default();
    judge(Bench::new(boot_matrix::program("debug")?, None)?, &chosen, Boots::All, 2, None, &mut table)?;
    let misses = report::misses(&table);
    ensure!(misses.is_empty(), "called ready, and does not boot:\n{}", misses.join("\n"));
    Ok(())
}

/// Judges them, `jobs` at a time, those first the boot of which matters most.
fn judge(
    bench: Option<Bench>,
    chosen: &[Mutant],
    boots: Boots,
    jobs: usize,
    until: Option<Instant>,
    table: &mut Table,
) -> Result<()> {
    let Some(bench) = bench else {
        println!("no mutant is judged: the laboratory or a guest is not here");
        return Ok(());
    };
    let shared = Mutex::new(table);
    // Each fault in all guests before the next one: a run that is stopped has something of every guest.
    let (mut chosen, mut sample) = (chosen.to_vec(), Vec::new());
    chosen.sort_by_cached_key(Mutant::recipe);
    for boots in boots.passes() {
        let next = AtomicUsize::new(0);
        if *boots == Boots::Spread {
            let table = shared.lock().expect("no thread panics");
            sample = run::spread(&chosen, |mutant| table.ready(&mutant.id()));
        }
        let chosen = if *boots == Boots::Spread { &sample } else { &chosen };
        let work = || -> Result<()> {
            while let Some(mutant) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                if until.is_some_and(|until| Instant::now() > until) {
                    break;
                }
                let Some(row) = bench.judge(mutant, *boots)? else { continue };
                println!("{}", row.shown());
                let mut table = shared.lock().expect("no thread panics");
                table.put(row);
                table.write_kept()?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a job panicked"))
        })?;
    }
    Ok(())
}

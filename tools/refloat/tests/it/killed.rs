//! The program killed by `strace` on the way into each of its system calls that changes a file: every state
//! that a kill can leave between two of them. (What a loss of power leaves of single sectors is tested where
//! the undo file is written.)
//!
//! A few seeded moments by default; all of them with `REFLOAT_LONG=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use testimages::{judge, synthetic};

use crate::program::{command, failure, refloat};

/// The system calls that change files or folders. (With `?`, one that a processor does not have is no error.)
const CHANGES: &str = "?write,?writev,?pwrite64,?pwritev,?pwritev2,?copy_file_range,?sendfile,?ftruncate,?fallocate,\
                       ?fsync,?fdatasync,?rename,?renameat,?renameat2,?link,?linkat,?unlink,?unlinkat";

/// Moments tried by default, in each test.
const SAMPLE: usize = 8;

/// The way into the `number`th `call` of a thread, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    call: String,
    number: usize,
}

/// `refloat LINE` below strace, with these options of it.
fn traced(folder: &Path, line: &str, options: &[&str]) -> Output {
    let mut strace = judge::tool("strace");
    strace.args(["-f", "-qq", "-e", &format!("trace={CHANGES}")]).args(options);
    let program = command(folder, line);
    strace
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .arg("--")
        .arg(program.get_program())
        .args(program.get_args());
    strace.output().unwrap()
}

/// Every moment of a run, which is carried out once for that.
pub(crate) fn moments(folder: &Path, line: &str) -> Vec<Moment> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = traced(folder, line, &["-o", log.path().to_str().unwrap()]);
    assert!(output.status.success(), "refloat {line}: {}", String::from_utf8_lossy(&output.stderr));
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for entry in fs::read_to_string(log.path()).unwrap().lines() {
        let (thread, rest) = entry.split_once(' ').unwrap();
        // The end of a call that was told in two lines begins with "<...".
        if let Some((call, _)) = rest.trim_start().split_once('(').filter(|(call, _)| !call.starts_with('<'))
        {
            *counts.entry((thread.into(), call.into())).or_default() += 1;
        }
    }
    let found: BTreeSet<Moment> = counts
        .into_iter()
        .flat_map(|((_, call), count)| (1..=count).map(move |number| Moment { call: call.clone(), number }))
        .collect();
    found.into_iter().collect()
}

/// All moments, or a sample: the calls that are rare, among which are the commit points, and of the others
/// some.
pub(crate) fn chosen(moments: Vec<Moment>, seed: u64) -> Vec<Moment> {
    if testimages::length::long() {
        eprintln!("{} moments", moments.len());
        return moments;
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sample = moments.clone();
    random.shuffle(&mut sample);
    let times = |moment: &Moment| moments.iter().filter(|other| other.call == moment.call).count();
    sample.sort_by_key(|moment| times(moment) > 4);
    let rare = sample.iter().filter(|moment| times(moment) <= 4).count();
    // Half of the sample from each kind.
    let half = SAMPLE / 2;
    let (rare, common) = sample.split_at(rare);
    rare.iter().take(SAMPLE - half.min(common.len())).chain(common.iter().take(half)).cloned().collect()
}

/// Runs it, and kills it then.
pub(crate) fn killed_at(folder: &Path, line: &str, moment: &Moment) {
    let Moment { call, number } = moment;
    let output = traced(folder, line, &["-e", &format!("inject={call}:signal=KILL:when={number}")]);
    assert_eq!(output.status.signal(), Some(9), "refloat {line} was not killed at {moment:?}: {output:?}");
}

/// What a command says of the image after a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Old,
    New,
    /// Neither, perhaps: every command refuses it.
    Refused,
}

/// A guest that is changed in place, with its plan.
struct InPlace {
    folder: tempfile::TempDir,
    image: PathBuf,
    name: String,
    old: Vec<u8>,
    new: Vec<u8>,
}

const APPLY: &str = "apply plan.json --in-place --quiet";

impl InPlace {
    /// The smallest guest, unchanged; `None` where it cannot be built or traced.
    fn new() -> Option<Self> {
        judge::need("strace")?;
        let folder = tempfile::tempdir().unwrap();
        let image = synthetic::demo().copy_into(folder.path())?;
        let name = image.file_name().unwrap().to_str().unwrap().to_owned();
        let old = fs::read(&image).unwrap();
        refloat(folder.path(), &format!("plan {name} --for azure-gen1 -o plan.json"), 0);
        refloat(folder.path(), APPLY, 0);
        let new = fs::read(&image).unwrap();
        assert!(new != old);
        let bench = Self { folder, image, name, old, new };
        bench.undo();
        Some(bench)
    }

    fn undo_line(&self) -> String {
        format!("undo {} --quiet", self.name)
    }

    fn undo(&self) {
        refloat(self.folder.path(), &self.undo_line(), 0);
        assert!(fs::read(&self.image).unwrap() == self.old, "undone to the bit");
    }

    fn apply(&self) {
        refloat(self.folder.path(), APPLY, 0);
        assert!(fs::read(&self.image).unwrap() == self.new, "applied to the bit");
    }

    fn has_undo_file(&self) -> bool {
        self.folder.path().join(format!("{}.undo", self.name)).exists()
    }

    /// The image is the old one, the new one, or refused.
    fn found(&self) -> Found {
        let output = command(self.folder.path(), &format!("inspect {}", self.name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {
                let now = fs::read(&self.image).unwrap();
                if now == self.old {
                    return Found::Old;
                }
                assert!(now == self.new, "half changed, and not refused");
                assert!(self.has_undo_file(), "changed, and no way back");
                Found::New
            }
            Some(2) if said.contains("half changed") && said.contains("help: refloat undo") => {
                self.every_command_refuses();
                Found::Refused
            }
            _ => panic!("{output:?}"),
        }
    }

    fn every_command_refuses(&self) {
        let Self { name, .. } = self;
        let before = fs::read(&self.image).unwrap();
        for line in [
            format!("check {name} --for azure-gen1"),
            format!("plan {name} --for azure-gen1 -o other.json"),
            "apply plan.json -o fixed.qcow2".to_owned(),
            format!("convert {name} out.vhd"),
            format!("verify {name}"),
            format!("boot {name} --for azure-gen1"),
            format!("migrate {name} out.vhd --for azure-gen1"),
            format!("fs ls {name}#/etc"),
        ] {
            let said = failure(self.folder.path(), &line);
            assert!(said.contains("half changed"), "refloat {line}: {said}");
        }
        let left: BTreeSet<_> = names(self.folder.path());
        let known = [name.clone(), format!("{name}.undo"), "plan.json".into()];
        assert!(left.iter().all(|name| known.contains(name)), "{left:?}");
        assert!(fs::read(&self.image).unwrap() == before);
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn apply_in_place_killed_at_any_write_is_finished_or_undone() {
    let Some(bench) = InPlace::new() else { return };
    let moments = moments(bench.folder.path(), APPLY);
    bench.undo();
    let mut all = BTreeSet::new();
    for (turn, moment) in chosen(moments, 1).into_iter().enumerate() {
        killed_at(bench.folder.path(), APPLY, &moment);
        let found = bench.found();
        eprintln!("{moment:?}: {found:?}");
        all.insert(found);
        if turn % 2 == 0 {
            bench.apply();
        }
        if bench.has_undo_file() {
            bench.undo();
        }
        assert_eq!(bench.found(), Found::Old, "{moment:?}");
    }
    assert!(all.contains(&Found::Old) && all.contains(&Found::Refused), "{all:?}");
}

#[test]
fn undo_killed_at_any_write_is_finished_by_another() {
    let Some(bench) = InPlace::new() else { return };
    bench.apply();
    let moments = moments(bench.folder.path(), &bench.undo_line());
    let mut all = BTreeSet::new();
    for (turn, moment) in chosen(moments, 2).into_iter().enumerate() {
        bench.apply();
        killed_at(bench.folder.path(), &bench.undo_line(), &moment);
        let found = bench.found();
        eprintln!("{moment:?}: {found:?}");
        all.insert(found);
        if turn % 2 == 0 {
            bench.apply();
        }
        if bench.has_undo_file() {
            bench.undo();
        }
        assert_eq!(bench.found(), Found::Old, "{moment:?}");
    }
    assert!(all.contains(&Found::Refused), "{all:?}");
}

#[test]
fn convert_killed_at_any_write_leaves_nothing_that_looks_finished() {
    if judge::need("strace").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(_) = synthetic::demo().copy_into(folder) else { return };
    let source = format!("{}.raw", synthetic::demo().name);
    for (seed, target) in [(3, "out.vhd"), (4, "out.raw"), (5, "out.qcow2")] {
        let path = folder.join(target);
        let line = format!("convert {source} {target} --force --quiet --threads 1");
        let moments = moments(folder, &line);
        let whole = fs::read(&path).unwrap();
        let mut killed_before = 0;
        for (turn, moment) in chosen(moments, seed).into_iter().enumerate() {
            // What is there already stays until the new one is whole.
            let older = (turn % 2 == 0).then(|| b"an older file".to_vec());
            match &older {
                Some(older) => fs::write(&path, older).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            killed_at(folder, &line, &moment);
            let found = fs::read(&path).ok();
            assert!(found == older || found.as_ref() == Some(&whole), "{target} after {moment:?}");
            killed_before += usize::from(found == older);
            let partial = format!("{target}.partial");
            if target == "out.vhd" && fs::read(folder.join(&partial)).is_ok_and(|bytes| bytes != whole) {
                failure(folder, &format!("inspect vhd:{partial}"));
            }
            refloat(folder, &line, 0);
            assert!(fs::read(&path).unwrap() == whole, "{target} finished after {moment:?}");
            assert!(!folder.join(&partial).exists(), "{moment:?}");
        }
        assert!(killed_before > 2, "{target}");
        fs::remove_file(&path).unwrap();
    }
}

/// Neither the virtual machine nor its folder is left behind by a boot that is told to stop.
#[test]
fn a_boot_told_to_stop_ends_its_machine() {
    let Some(qemu) = judge::need("qemu-system-x86_64") else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let line = format!("boot {} --for azure-gen1 --quiet --qemu {}", image.display(), qemu.display());
    let mut boot = command(folder.path(), &line).env("TMPDIR", folder.path()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", boot.id());
    let machine = loop {
        assert!(boot.try_wait().unwrap().is_none(), "it ended by itself");
        let all = fs::read_to_string(&children).unwrap_or_default();
        // The machine, and not a probe of what QEMU can do.
        let is_machine = |id: &&str| {
            let arguments = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            arguments.contains("snapshot=on")
        };
        if let Some(id) = all.split_whitespace().find(is_machine) {
            break PathBuf::from(format!("/proc/{id}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let state = || names(folder.path()).into_iter().find(|name| name.starts_with("refloat-boot-"));
    assert!(state().is_some());
    judge::run(judge::tool("kill").args(["-TERM", &boot.id().to_string()]));
    assert_eq!(boot.wait().unwrap().code(), Some(2), "the same command starts over");
    let until = Instant::now() + Duration::from_secs(10);
    while machine.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!machine.exists(), "the machine runs on");
    assert_eq!(state(), None);
}

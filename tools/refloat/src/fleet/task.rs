//! One machine: this very program with `migrate`, under a lease, and what comes of it on record.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use guestfix::edit::hex;
use guestfix::report::counted;
use libdisk::cloud::ebs;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::answered::{ended, id, since, snapshots};
use super::frozen::{Fleet, Machine, managed_disk};
use super::lease::{Asked, Held};
use super::newest::newest;
use super::program::program;
use super::state::{Known, Receipt, Stage, State, TEST, because, key, now, time_of};
use super::store::Store;
use crate::answer::Help;
use crate::context::Context;
use crate::{help, present, snapshot};

/// Tells the program of a task who runs it.
const RUN_BY: &str = "REFLOAT_RUN_BY";

/// What is said of a machine that is what its newest snapshots are.
const NOTHING_NEWER: &str = "there is no newer snapshot of it";

/// How often is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(100);

/// How a task ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) stage: Stage,
    /// Why, and what to do next.
    pub(crate) why: Option<String>,
    pub(crate) help: Option<String>,
}

impl Ended {
    fn new(stage: Stage, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { stage, why: Some(why.into()), help: Some(help.into()) }
    }

    fn done() -> Self {
        Self { stage: Stage::Done, why: None, help: None }
    }
}

/// What is done with machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// They are moved.
    Move,
    /// Those that were moved are brought up to what changed since.
    Delta,
    /// Their move is tested.
    Test,
    /// What tests left is deleted.
    CleanUp,
}

impl Work {
    /// What the names of its files begin with.
    fn part(self) -> &'static str {
        match self {
            Self::Move | Self::Delta => "",
            Self::Test | Self::CleanUp => TEST,
        }
    }
}

/// How tasks are run.
pub(crate) struct Tasks<'a> {
    pub(crate) context: &'a Context,
    pub(crate) store: &'a dyn Store,
    pub(crate) fleet: &'a Fleet,
    pub(crate) work: Work,
    /// What is typed behind the words of each row.
    pub(crate) more: Vec<String>,
    /// Whether what was tested is tested again, and what was moved is moved in full again.
    pub(crate) again: bool,
    /// How long a machine stays ours if nothing is heard of us.
    pub(crate) lease: Duration,
    /// Whether other tasks run elsewhere: each has its share of the quota then. Here all share it anyhow.
    pub(crate) is_share: bool,
    /// Rows that were seen to be done, which they stay.
    pub(crate) done: Mutex<HashSet<usize>>,
}

/// What the program said so far.
#[derive(Debug, Default)]
struct Heard {
    bytes: u64,
    of: Option<u64>,
}

impl Tasks<'_> {
    /// Does the work on the machine of this row, unless that was done.
    pub(crate) fn run(&self, index: usize) -> Result<Ended> {
        let machine = self.machine(index)?;
        if let Some(ended) = self.is_over(machine, &self.known(index, machine)?) {
            return Ok(ended);
        }
        if self.work == Work::Move
            && let Some(ended) = self.is_too_early(machine)?
        {
            return Ok(ended);
        }
        let owner = owner();
        let mut held = match Held::take(self.store, self.key(index, "lease"), &owner, self.lease)? {
            Asked::Held(held) => held,
            Asked::By(other) => {
                let why = format!("{} is at it", other.owner);
                return Ok(Ended::new(
                    Stage::Running,
                    why,
                    "run the same command later: it goes on if that one ends",
                ));
            }
        };
        // It may have been done between the look and the lease.
        let known = self.known(index, machine)?;
        let ended = match self.is_over(machine, &known) {
            Some(ended) => Ok(ended),
            None if self.work == Work::CleanUp => self.clean_up(index, machine),
            None if self.work == Work::Delta && self.is_newest(machine, &known) => {
                Ok(Ended { why: Some(NOTHING_NEWER.to_owned()), ..Ended::done() })
            }
            None => self.held(index, machine, &owner, &known, &mut held),
        };
        held.release(self.store)?;
        ended
    }

    /// The name of a file of this work.
    fn key(&self, index: usize, file: &str) -> String {
        key(index, &format!("{}{file}", self.work.part()))
    }

    fn known(&self, index: usize, machine: &Machine) -> Result<Known> {
        Known::of(self.store, index, self.work.part(), &self.digest(machine))
    }

    fn digest(&self, machine: &Machine) -> String {
        match self.work {
            Work::Move | Work::Delta => machine.digest(),
            Work::Test | Work::CleanUp => machine.test_digest(),
        }
    }

    /// How it ended, if there is nothing to do.
    fn is_over(&self, machine: &Machine, known: &Known) -> Option<Ended> {
        if let Some(why) = &known.damaged {
            return Some(Ended::new(Stage::Failed, why, Known::MENDS));
        }
        match self.work {
            Work::Test | Work::CleanUp if machine.test.is_none() => Some(Ended::new(
                Stage::Failed,
                "it does not go to a managed disk, so there is nothing to start in Azure",
                "give it a target azure:SUBSCRIPTION/GROUP/DISK, or test it here: refloat boot",
            )),
            Work::Move | Work::Test if self.again => None,
            // One that came to its login once, and not when it was tested again, is tested.
            Work::Test => (known.stage() == Stage::Done).then(Ended::done),
            Work::Move => known.receipt.as_ref().filter(|_| !known.is_moved_again()).map(|_| Ended::done()),
            Work::Delta if known.receipt.is_none() => Some(Ended::new(
                Stage::Failed,
                "it was not moved yet, so nothing is known to have changed since",
                "move it first: the same command without --delta",
            )),
            Work::Delta if known.is_moved_again() => Some(Ended::new(
                Stage::Failed,
                "it is being moved in full again, and that has not ended",
                "finish that first: the same command without --delta",
            )),
            Work::Delta | Work::CleanUp => None,
        }
    }

    /// Whether the machine is what its newest snapshots are, by its receipt. What keeps AWS from telling, `migrate` says.
    fn is_newest(&self, machine: &Machine, known: &Known) -> bool {
        let is_whole = known.newer().is_none_or(|state| state.stage == Stage::Done);
        let Some(receipt) = known.receipt.as_ref().filter(|_| is_whole) else { return false };
        let there = snapshots(&receipt.migrate).into_iter().map(id);
        newest(self.context, &machine.migrate).is_ok_and(|newest| there.eq(newest.iter().map(String::as_str)))
    }

    pub(crate) fn machine(&self, index: usize) -> Result<&Machine> {
        let machines = &self.fleet.machines;
        let none = || {
            let rows = match machines.len() {
                0 | 1 => "its one row is 0".to_owned(),
                several => format!("its rows are 0 to {}", several - 1),
            };
            anyhow!(
                "there is no row {index}: the list has {}, and {rows}",
                counted(machines.len(), "machine")
            )
        };
        machines
            .get(index)
            .ok_or_else(none)
            .help("give the number of a row; refloat fleet status --json tells them")
    }

    fn done(&self) -> MutexGuard<'_, HashSet<usize>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has to be done before, if it is not.
    fn is_too_early(&self, machine: &Machine) -> Result<Option<Ended>> {
        let mut waits = None;
        for (index, before) in self.fleet.before(machine) {
            if self.done().contains(&index) {
                continue;
            }
            let known = Known::read(self.store, index, before)?;
            match known.stage() {
                Stage::Done => {
                    self.done().insert(index);
                }
                stage @ (Stage::Failed | Stage::Refused) => {
                    let why = format!("{} comes first, and is {}", before.id, stage.word());
                    let help = format!("mend {}, run it again, then this one", before.id);
                    return Ok(Some(Ended::new(Stage::Failed, why, help)));
                }
                _ => waits = waits.or(Some(before)),
            }
        }
        Ok(waits.map(|before| {
            let why = format!("it waits for {}", before.id);
            Ended::new(Stage::Waiting, why, "run the same command later")
        }))
    }

    fn held(
        &self,
        index: usize,
        machine: &Machine,
        owner: &str,
        known: &Known,
        held: &mut Held,
    ) -> Result<Ended> {
        // What was done stays on record where it is done once more.
        let before = known.receipt.as_ref();
        let round = before.map_or(0, |receipt| receipt.round.saturating_add(1));
        let attempts =
            known.state.as_ref().filter(|state| state.round == round).map_or(0, |state| state.attempts);
        let mut state = State {
            stage: Stage::Running,
            digest: self.digest(machine),
            owner: owner.to_owned(),
            attempts: attempts.saturating_add(1),
            round,
            again: self.work == Work::Move && before.is_some(),
            began: now(),
            changed: now(),
            bytes: 0,
            of: None,
            why: None,
            help: None,
        };
        self.tell(index, &state)?;
        let run = self
            .words(index, machine, before)
            .and_then(|words| Ok((self.program(index, &words, Some((held, &mut state)))?, words)));
        let ((ended, answer), words) = match run {
            Ok(ran) => ran,
            // Where the state is out of reach nothing can be told there; the same command goes on.
            Err(error) if snapshot::failure(&error).is_some() => return Err(error),
            Err(error) => {
                let ended = Ended::new(Stage::Failed, format!("{error:#}"), "run the same command again");
                ((ended, Value::Null), Vec::new())
            }
        };
        let is_same = |before: &Receipt| snapshots(&before.migrate) == snapshots(&answer);
        let is_newer = self.work != Work::Delta || !before.is_some_and(is_same);
        let emit = machine.emit_in(round).filter(|_| self.work.part().is_empty() && is_newer);
        let ended = match (ended.stage, emit) {
            (Stage::Done, Some(emit)) => self.hand_over(index, &emit)?,
            _ => ended,
        };
        if ended.stage == Stage::Done && is_newer {
            self.receipt(index, machine, &state, (&words, answer), before)?;
        }
        let ended = self.way_out(index, ended);
        // What is on record is that of whoever has the machine now.
        if held.is_lost() {
            return Ok(ended);
        }
        let ended = match ended.stage {
            Stage::Done if !is_newer => Ended { why: Some(NOTHING_NEWER.to_owned()), ..ended },
            _ => ended,
        };
        let why = because(ended.why.as_ref());
        let mut log = self.store.append(&self.key(index, "log"))?;
        writeln!(log, "{} {}{why}", time_of(now()), ended.stage.word())
            .context("the log cannot be written")?;
        state.stage = ended.stage;
        (state.changed, state.why, state.help) = (now(), ended.why.clone(), ended.help.clone());
        self.tell(index, &state)?;
        Ok(ended)
    }

    /// What cannot be brought up is moved in full: what to type for that is not what `migrate` says.
    fn way_out(&self, index: usize, ended: Ended) -> Ended {
        const ELSE: [&str; 4] = [help::IN_FULL, help::FORCE, help::FINISH_FIRST, help::WITHOUT_SINCE];
        let is_stuck = ended.help.as_deref().is_some_and(|help| ELSE.contains(&help));
        if self.work != Work::Delta || !is_stuck {
            return ended;
        }
        let (folder, index) = (self.store.typed(), index.to_string());
        let command = present::command(["fleet", "run", &folder, "--index", &index, "--again"]);
        Ended { help: Some(format!("move all of it again: {command}")), ..ended }
    }

    /// What is typed for a machine; `before` is the receipt of what it is to be brought up from.
    fn words(&self, index: usize, machine: &Machine, before: Option<&Receipt>) -> Result<Vec<String>> {
        let round = before.map_or(0, |before| before.round.saturating_add(1));
        let mut words = match self.work {
            Work::Move => {
                let mut words = machine.migrate_in(round);
                words.extend(before.map(|_| "--force".to_owned()));
                words
            }
            Work::Delta => {
                let older = before.and_then(|before| since(&before.migrate)).ok_or_else(|| {
                    anyhow!("its receipt names no snapshots of AWS, so what changed since cannot be told")
                })?;
                let mut words = machine.migrate_in(round);
                words.extend(["--since".to_owned(), older]);
                words
            }
            Work::Test => {
                let log = self.store.folder(&key(index, "test"))?.join("serial.log");
                let words = machine.test.iter().flatten().cloned();
                words.chain(["--log".to_owned(), crate::name::text(log)]).collect()
            }
            Work::CleanUp => self.clean_up_words(machine)?,
        };
        words.extend(self.more.iter().cloned());
        Ok(words)
    }

    /// Deletes what the test of a machine left.
    fn clean_up(&self, index: usize, machine: &Machine) -> Result<Ended> {
        let (ended, _) = self.program(index, &self.clean_up_words(machine)?, None)?;
        Ok(ended)
    }

    fn clean_up_words(&self, machine: &Machine) -> Result<Vec<String>> {
        let target = machine.migrate.get(2).map(String::as_str).unwrap_or_default();
        let disk = managed_disk(target)?.ok_or_else(|| anyhow!("{target} is no managed disk"))?;
        let words = [
            "azure",
            "cleanup",
            &disk.group.to_string(),
            "--test",
            &format!("{}-test", disk.name()),
            "--yes",
        ];
        Ok(words.map(str::to_owned).into())
    }

    fn tell(&self, index: usize, state: &State) -> Result<()> {
        self.store.write(&self.key(index, "state.json"), &serde_json::to_vec_pretty(state)?)
    }

    /// Writes down what was done. The receipt of the round before stays, and is named by its digest.
    fn receipt(
        &self,
        index: usize,
        machine: &Machine,
        state: &State,
        (words, answer): (&[String], Value),
        before: Option<&Receipt>,
    ) -> Result<()> {
        let there = self.store.read(&self.key(index, "receipt.json"))?.map(|entry| entry.bytes);
        let before = before.zip(there).map(|(before, bytes)| {
            let place = self.key(index, &format!("receipts/{:04}.json", before.round));
            self.store.write(&place, &bytes).map(|()| hex(&Sha256::digest(&bytes)))
        });
        let has_hand_over = self.work.part().is_empty() && machine.emit.is_some();
        let receipt = Receipt {
            schema: Receipt::SCHEMA.to_owned(),
            id: machine.id.clone(),
            row: index,
            digest: self.digest(machine),
            list: self.fleet.list.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            owner: state.owner.clone(),
            by: user(),
            attempts: state.attempts,
            round: state.round,
            before: before.transpose()?,
            began: state.began,
            ended: now(),
            command: present::command(words.iter().map(String::as_str)),
            migrate: answer,
            hand_over: has_hand_over.then(|| self.key(index, "hand-over")),
        };
        self.store.write(&self.key(index, "receipt.json"), &serde_json::to_vec_pretty(&receipt)?)
    }

    /// Writes the virtual machine around the disks.
    fn hand_over(&self, index: usize, emit: &[String]) -> Result<Ended> {
        let (ended, answer) = self.program(index, emit, None)?;
        if let (Stage::Done, Some(text)) = (ended.stage, answer.get("text").and_then(Value::as_str)) {
            self.store.write(&self.key(index, "hand-over"), text.as_bytes())?;
        }
        Ok(ended)
    }

    /// Runs this program with these words and the options of all. While it runs the lease is renewed and the
    /// state told.
    fn program(
        &self,
        index: usize,
        words: &[String],
        mut under: Option<(&mut Held, &mut State)>,
    ) -> Result<(Ended, Value)> {
        let mut log = self.store.append(&self.key(index, "log"))?;
        let command = present::command(words.iter().map(String::as_str));
        writeln!(log, "{} {command}", time_of(now())).context("the log cannot be written")?;
        let mut sent = self.store.kept(&self.key(index, "sent"))?;
        let mut child = self
            .command(index, words, sent.path())?
            .spawn()
            .context("this program cannot be started again")?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let said = child.stderr.take().map(|said| {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || listen(said, &heard, log))
        });
        let answer = child.stdout.take().map(|mut answer| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                answer.read_to_end(&mut bytes).map(|_| bytes)
            })
        });
        let (mut lost, mut told) = (false, false);
        let status = loop {
            if let Some(status) = child.try_wait().context("the program cannot be waited for")? {
                break status;
            }
            if let Some((held, state)) = &mut under
                && !lost
                && (held.is_due() || held.is_lost())
            {
                self.keep(index, held, state, &heard);
                lost = held.is_lost();
            }
            if let Some((held, _)) = &mut under
                && !lost
                && sent.is_due()
            {
                let mut goes_on = || !self.context.observer.cancelled() && self.holds(held);
                if let Err(error) = sent.keep(&mut goes_on) {
                    tracing::warn!(%error, "what was sent so far cannot be told");
                }
                lost = held.is_lost();
            }
            if !told && (lost || self.context.observer.cancelled()) {
                told = true;
                stop(&child);
            }
            std::thread::sleep(LOOK);
        };
        drop(said.map(std::thread::JoinHandle::join));
        if let Some((held, _)) = &mut under
            && !lost
        {
            sent.keep(&mut || self.holds(held))?;
            lost = held.is_lost();
        }
        let bytes = answer.and_then(|answer| answer.join().ok()).transpose()?.unwrap_or_default();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if lost {
            return Ok((
                Ended::new(Stage::Interrupted, "another task took it over", "look at its status"),
                answer,
            ));
        }
        Ok((ended(status, &answer), answer))
    }

    /// Whether the machine is still ours; the lease is renewed where that is due.
    fn holds(&self, held: &mut Held) -> bool {
        if held.is_due()
            && let Err(error) = held.renew(self.store)
        {
            tracing::warn!(%error, "a lease cannot be renewed");
        }
        !held.is_lost()
    }

    /// Keeps the lease, and tells how far the program is. What cannot be written now may be at the next look: the lease
    /// lasts longer than that.
    fn keep(&self, index: usize, held: &mut Held, state: &mut State, heard: &Mutex<Heard>) {
        match held.renew(self.store) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "a lease cannot be renewed");
                return;
            }
        }
        {
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            (state.bytes, state.of, state.changed) = (heard.bytes, heard.of, now());
        }
        if let Err(error) = self.tell(index, state) {
            tracing::warn!(%error, "the state of a machine cannot be told");
        }
    }

    fn command(&self, index: usize, words: &[String], sent: &Path) -> Result<Command> {
        let global = &self.context.global;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let share = if self.is_share { self.fleet.share() } else { global.ebs_requests_per_second };
        let mut command = program(global, &words, share)?;
        command.args(["--progress", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.is_share {
            // Where they meet, tasks of one machine would share a share again.
            command.env("REFLOAT_CACHE", self.store.folder(&self.key(index, "cache"))?);
        }
        if !self.is_share && ebs::default_folder().is_none() {
            // Somewhere they have to meet, to take turns.
            command.env("REFLOAT_CACHE", self.store.folder("cache")?);
        }
        command.env(RUN_BY, std::process::id().to_string());
        // What was sent so far is known to whoever goes on, on any machine.
        command.env("REFLOAT_STATE", sent);
        Ok(command)
    }
}

/// Where a task runs this program, it stops as soon as the task is gone: the lease is not renewed any more.
///
/// # Errors
/// The task is gone already.
pub(crate) fn end_with_task() -> Result<()> {
    let Ok(task) = std::env::var(RUN_BY) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::TERM)).context("no word comes when the task ends")?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if parent.as_ref() == Some(&task) { Ok(()) } else { Err(anyhow!("the task that ran this is gone")) }
}

/// The name of the user, as an engine or a shell has it.
fn user() -> Option<String> {
    ["SLURM_JOB_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok())
}

/// Who works here: no two processes are the same.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let engine = super::engine::task().map(|task| format!(", {task}")).unwrap_or_default();
    format!("process {} on {}{engine}", std::process::id(), host.trim())
}

fn stop(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by now.
        kill_process(pid, Signal::TERM).ok();
    }
}

/// Keeps what is said; of progress only how far it is.
fn listen(said: impl Read, heard: &Mutex<Heard>, mut log: Box<dyn Write + Send>) {
    for line in BufReader::new(said).split(b'\n').map_while(std::io::Result::ok) {
        let event: Option<Value> = serde_json::from_slice(&line).ok();
        let event = event.as_ref().and_then(|event| Some((event.get("event")?.as_str()?, event)));
        let lock = || heard.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Some(("started", event)) => {
                let mut heard = lock();
                (heard.bytes, heard.of) = (0, event.get("total").and_then(Value::as_u64));
            }
            Some(("advanced", event)) => {
                let more = event.get("bytes").and_then(Value::as_u64).unwrap_or(0);
                let mut heard = lock();
                heard.bytes = heard.bytes.saturating_add(more);
            }
            Some(("finished", _)) => {}
            // A log that cannot be written is no reason to leave a machine half moved.
            _ => drop(log.write_all(&line).and_then(|()| log.write_all(b"\n"))),
        }
    }
}

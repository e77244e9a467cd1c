//! One machine: this very program with `migrate`, under a lease, and what comes of it on record.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use guestfix::edit::hex;
use libdisk::cloud::ebs;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::answered::{ended, since, snapshots};
use super::due::{NO_SNAPSHOTS, WHOLE};
use super::frozen::{Fleet, Machine, managed_disk};
use super::lease::{Asked, Held};
use super::program::program;
use super::state::{Known, Receipt, Stage, State, TEST, because, key, now, time_of};
use super::store::Store;
use super::who::{owner, user};
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
    pub(super) fn new(stage: Stage, why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { stage, why: Some(why.into()), help: Some(help.into()) }
    }

    pub(super) fn done() -> Self {
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
        let machine = self.fleet.machine(index)?;
        if let Some(ended) = self.is_over(index, machine, &self.known(index)?) {
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
        let known = self.known(index)?;
        let ended = match self.is_over(index, machine, &known) {
            Some(ended) => Ok(ended),
            None if self.work == Work::CleanUp => self.clean_up(index, machine),
            None if self.work == Work::Delta && self.is_newest(machine, &known) => {
                Ok(Ended { why: Some(NOTHING_NEWER.to_owned()), ..Ended::done() })
            }
            None if self.work == Work::Delta && !machine.follows() => Ok(self.no_delta(index, WHOLE)),
            None => self.held(index, machine, &owner, &known, &mut held),
        };
        held.release(self.store)?;
        ended
    }

    /// The name of a file of this work.
    fn key(&self, index: usize, file: &str) -> String {
        key(index, &format!("{}{file}", self.work.part()))
    }

    fn known(&self, index: usize) -> Result<Known> {
        Known::of(self.store, self.fleet, index, self.work.part())
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
        let (round, again) = (known.next_round(), self.work == Work::Move && known.was_moved());
        // Before anything is on record: what cannot even be typed was not begun.
        let words = self.words(index, machine, before, (round, again))?;
        let attempts =
            known.state.as_ref().filter(|state| state.round == round).map_or(0, |state| state.attempts);
        let mut state = State {
            stage: Stage::Running,
            digest: machine.digest_of(self.work.part()),
            owner: owner.to_owned(),
            attempts: attempts.saturating_add(1),
            round,
            again,
            began: now(),
            changed: now(),
            bytes: 0,
            of: None,
            why: None,
            help: None,
        };
        self.tell(index, &state)?;
        let (ended, answer) = match self.program(index, &words, Some((held, &mut state))) {
            Ok(ran) => ran,
            // Where the state is out of reach nothing can be told there; the same command goes on.
            Err(error) if snapshot::failure(&error).is_some() => return Err(error),
            Err(error) => {
                let ended = Ended::new(Stage::Failed, format!("{error:#}"), "run the same command again");
                (ended, Value::Null)
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
            Stage::Done if !is_newer => {
                // It is as the move before left it, whose receipt is there.
                state.round = before.map_or(round, |before| before.round);
                Ended { why: Some(NOTHING_NEWER.to_owned()), ..ended }
            }
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

    /// What to type is not what `migrate` says: a fleet has no `--force`, and no `--since` of its own. What cannot be brought
    /// up is moved in full.
    fn way_out(&self, index: usize, ended: Ended) -> Ended {
        const ELSE: [&str; 5] =
            [help::IN_FULL, help::FORCE, help::FINISH_FIRST, help::WITHOUT_SINCE, help::FOLLOWS];
        let says = |others: &[&str]| ended.help.as_deref().is_some_and(|help| others.contains(&help));
        let help = match self.work {
            Work::Delta if says(&ELSE) => format!("move all of it again: {}", self.in_full(index)),
            Work::Delta => return ended,
            _ if says(&[help::FORCE]) => {
                "this fleet has no receipt for what is there: move it away, or give the row another target and plan the list again with \
                 --force"
                    .to_owned()
            }
            _ if says(&[help::IN_FULL]) => {
                "leave since out of its row and plan the list again with --force, and move its target away".to_owned()
            }
            _ => return ended,
        };
        Ended { help: Some(help), ..ended }
    }

    /// What is typed for a machine, in this round and, or not, over what is there; `before` is the receipt of what it is to
    /// be brought up from.
    fn words(
        &self,
        index: usize,
        machine: &Machine,
        before: Option<&Receipt>,
        (round, again): (u32, bool),
    ) -> Result<Vec<String>> {
        let mut words = match self.work {
            Work::Move => {
                let mut words = machine.migrate_in(round);
                words.extend(again.then(|| "--force".to_owned()));
                words
            }
            Work::Delta => {
                let older =
                    before.and_then(|before| since(&before.migrate)).ok_or_else(|| anyhow!(NO_SNAPSHOTS))?;
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
            digest: machine.digest_of(self.work.part()),
            list: self.fleet.list.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            owner: state.owner.clone(),
            by: Some(user()),
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

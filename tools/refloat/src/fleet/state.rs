//! What a task leaves: `vm/0007/state.json` while it is under way and where it did not end well, and
//! `receipt.json` once the machine is moved.

use std::io::ErrorKind;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::frozen::{Fleet, Machine};
use super::lease::Lease;
use super::store::{Entry, Store};
use crate::present;

/// Machines whose files are read at the same time: they may be far away.
const READERS: usize = 16;

/// Seconds since 1970, by the clock of this machine: for people.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A moment, as 2026-11-30T05:00:00Z.
pub(crate) fn time_of(seconds: u64) -> String {
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(moment) = moment else { return seconds.to_string() };
    let (hour, minute, second) = moment.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", moment.date())
}

/// Why something is as it is, to stand behind it; nothing if that is not known.
pub(super) fn because(why: Option<&String>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

/// The name of a file of a machine.
pub(crate) fn key(index: usize, file: &str) -> String {
    format!("vm/{index:04}/{file}")
}

/// Where a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// Nothing was done yet.
    Waiting,
    /// A task is at it.
    Running,
    /// It was stopped; the same command goes on.
    Interrupted,
    /// It will not boot there as it is; nothing was written.
    Refused,
    /// It could not be done.
    Failed,
    /// It is moved.
    Done,
}

impl Stage {
    pub(crate) const ALL: [Self; 6] =
        [Self::Done, Self::Running, Self::Interrupted, Self::Waiting, Self::Refused, Self::Failed];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }

    /// By the exit code of a task.
    pub(crate) fn of_exit(code: u8) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::Refused,
            3 => Self::Interrupted,
            _ => Self::Failed,
        }
    }
}

/// The files of its test, beside those of its move.
pub(crate) const TEST: &str = "test/";

/// `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) stage: Stage,
    /// Of the row that it was, see [`Machine::digest_of`].
    pub(crate) digest: String,
    pub(crate) owner: String,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// Which move of the machine it is of: 0 is the first, and each later one brings what changed since.
    #[serde(default)]
    pub(crate) round: u32,
    /// Whether all of it is moved again, over what the move before left.
    #[serde(default)]
    pub(crate) again: bool,
    /// Seconds since 1970.
    pub(crate) began: u64,
    pub(crate) changed: u64,
    /// Bytes of the present step, and of how many.
    pub(crate) bytes: u64,
    pub(crate) of: Option<u64>,
    /// Why it ended as it did.
    pub(crate) why: Option<String>,
    /// What to do next.
    pub(crate) help: Option<String>,
}

/// `receipt.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) schema: String,
    pub(crate) id: String,
    pub(crate) row: usize,
    /// Of the row, see [`Machine::digest_of`], and of the whole list.
    pub(crate) digest: String,
    pub(crate) list: String,
    pub(crate) version: String,
    pub(crate) owner: String,
    /// Who ran it, by the name of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    pub(crate) attempts: u32,
    /// As of [`State::round`].
    #[serde(default)]
    pub(crate) round: u32,
    /// SHA-256 of the receipt of the round before, which is `receipts/ROUND.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<String>,
    /// Seconds since 1970.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) command: String,
    /// What `migrate --json` answered.
    pub(crate) migrate: Value,
    /// The file with the virtual machine around the disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hand_over: Option<String>,
}

impl Receipt {
    pub(crate) const SCHEMA: &'static str = "refloat.fleet-receipt/1";

    /// Whose it is, if it is not that of this row.
    fn other(&self, fleet: &Fleet, row: usize, id: &str, digest: &str) -> Option<String> {
        if self.id != id {
            return Some(format!("is that of {}", self.id));
        }
        if self.row != row {
            return Some(format!("is that of row {}", self.row));
        }
        if self.digest != digest {
            return Some("is of other words than the row has".to_owned());
        }
        (!fleet.knows(&self.list)).then(|| "is of another list".to_owned())
    }
}

/// Something is wrong with the files of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    pub(crate) why: String,
    pub(crate) help: String,
}

/// What is known of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) state: Option<State>,
    pub(crate) receipt: Option<Receipt>,
    /// Whose it is now.
    pub(crate) lease: Option<Lease>,
    /// Which of its files is no such file any more, so that nobody can tell how far it is.
    pub(crate) damaged: Option<Wrong>,
    /// What is with the receipt that its state speaks of, and that is not there.
    pub(crate) lost: Option<Wrong>,
}

impl Known {
    /// Of the move of a row.
    pub(crate) fn read(store: &dyn Store, fleet: &Fleet, index: usize) -> Result<Self> {
        Self::of(store, fleet, index, "")
    }

    /// Of the files of a row that begin so. What is about other words than the row has is not about it.
    pub(crate) fn of(store: &dyn Store, fleet: &Fleet, index: usize, part: &str) -> Result<Self> {
        let machine = fleet.machine(index)?;
        let digest = machine.digest_of(part);
        let key = |file: &str| key(index, &format!("{part}{file}"));
        let mut damaged = None;
        let mut judge = |wrong: Wrong| damaged = Some(wrong);
        // A receipt is written before the state that says so: it is there for whoever reads it after that.
        let state: Option<State> = read(store, &key("state.json"), &mut judge)?;
        let receipt: Option<Receipt> = read(store, &key("receipt.json"), &mut judge)?;
        let lease = entry(store, &key("lease"), &mut judge)?;
        let lease = lease.map(|entry| Lease::in_force(store, &entry)).transpose()?.flatten();
        let state = state.filter(|state| state.digest == digest);
        let other = receipt.as_ref().and_then(|receipt| receipt.other(fleet, index, &machine.id, &digest));
        let receipt = receipt.filter(|_| other.is_none());
        let lost = state.as_ref().and_then(|state| state.misses(receipt.as_ref())).map(|what| {
            let (folder, row) = (store.typed(), index.to_string());
            let (verb, again) = if part == TEST { ("test", "test it") } else { ("run", "move all of it") };
            let command = present::command(["fleet", verb, &folder, "--index", &row, "--again"]);
            Wrong {
                why: format!("its receipt {}", other.as_deref().unwrap_or(what)),
                help: format!("put it back, or {again} again: {command}"),
            }
        });
        Ok(Self { state, receipt, lease, damaged, lost })
    }

    /// Which move of it the next one is, or the one that goes on: as [`State::round`].
    pub(crate) fn next_round(&self) -> u32 {
        match (&self.receipt, &self.state) {
            (Some(receipt), _) => receipt.round.saturating_add(1),
            (None, Some(state)) if state.stage == Stage::Done => state.round.saturating_add(1),
            (None, state) => state.as_ref().map_or(0, |state| state.round),
        }
    }

    /// Whether it was moved, so that another move in full is over what that left.
    pub(crate) fn was_moved(&self) -> bool {
        self.receipt.is_some() || self.lost.is_some() || self.is_moved_again()
    }

    /// The state of what was begun since the last receipt, if something was.
    pub(crate) fn newer(&self) -> Option<&State> {
        let done = self.receipt.as_ref().map(|receipt| receipt.round);
        self.state.as_ref().filter(|state| done.is_none_or(|done| state.round > done))
    }

    /// Whether it is being moved in full once more, and that has not ended.
    pub(crate) fn is_moved_again(&self) -> bool {
        self.newer().is_some_and(|state| state.again && state.stage != Stage::Done)
    }

    /// Why it is not done, and what to do next, as far as that is known.
    pub(crate) fn why(&self) -> (Option<String>, Option<String>) {
        if let Some(Wrong { why, help }) = self.damaged.as_ref().or(self.lost.as_ref()) {
            return (Some(why.clone()), Some(help.clone()));
        }
        let stage = self.stage();
        match self.newer() {
            Some(state) if stage == Stage::Interrupted && state.stage == Stage::Running => {
                (Some("whoever was at it is heard of no more".to_owned()), state.help.clone())
            }
            Some(state) if stage != Stage::Done => (state.why.clone(), state.help.clone()),
            _ => (None, None),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.newer() {
            _ if self.damaged.is_some() || self.lost.is_some() => Stage::Failed,
            // Who was at it is heard of no more.
            Some(state) if state.stage == Stage::Running && self.lease.is_none() => Stage::Interrupted,
            Some(state) => state.stage,
            None if self.receipt.is_some() => Stage::Done,
            None => Stage::Waiting,
        }
    }
}

impl State {
    /// What is wrong if this receipt is all there is: what was done has one.
    fn misses(&self, receipt: Option<&Receipt>) -> Option<&'static str> {
        let round = match self.stage {
            Stage::Done => self.round,
            // What only brings up has something to go on from.
            _ if !self.again => self.round.checked_sub(1)?,
            _ => return None,
        };
        match receipt {
            None => Some("is gone"),
            Some(receipt) => (receipt.round < round).then_some("is that of an earlier move"),
        }
    }
}

/// The file of this name, if it is there and what it should be; `judge` hears of one that is not.
fn read<T: for<'a> Deserialize<'a>>(
    store: &dyn Store,
    key: &str,
    judge: &mut dyn FnMut(Wrong),
) -> Result<Option<T>> {
    let Some(entry) = entry(store, key, judge)? else { return Ok(None) };
    match serde_json::from_slice(&entry.bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            judge(Wrong { why: format!("{key} in {store} cannot be read: {error}"), help: MENDS.to_owned() });
            Ok(None)
        }
    }
}

/// What to do about a file that is damaged.
const MENDS: &str =
    "delete what lies there, and run the same command: what the target holds already is not sent again";

/// The bytes of this file. Where they are out of reach as something else lies there, or nobody may read them, that is a
/// matter of this machine alone, which `judge` hears of.
pub(super) fn entry(store: &dyn Store, key: &str, judge: &mut dyn FnMut(Wrong)) -> Result<Option<Entry>> {
    let error = match store.read(key) {
        Ok(entry) => return Ok(entry),
        Err(error) => error,
    };
    let kind = error.chain().find_map(|cause| Some(cause.downcast_ref::<std::io::Error>()?.kind()));
    let (what, help) = match kind {
        Some(ErrorKind::IsADirectory) => ("is a folder", MENDS),
        Some(ErrorKind::NotADirectory) => ("lies in what is no folder", MENDS),
        Some(ErrorKind::PermissionDenied) => {
            ("may not be read by this user", "check with ls -l who may read it, and run refloat as that user")
        }
        _ => return Err(error),
    };
    judge(Wrong { why: format!("{key} in {store} {what}"), help: help.to_owned() });
    Ok(None)
}

/// What is read of each machine, in their order.
pub(crate) fn all<T: Send>(
    fleet: &Fleet,
    one: impl Fn(usize, &Machine) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let rows: Vec<_> = fleet.machines.iter().enumerate().collect();
    let read = |rows: &[(usize, &Machine)]| -> Result<Vec<T>> {
        rows.iter().map(|(index, machine)| one(*index, machine)).collect()
    };
    let read = &read;
    std::thread::scope(|scope| {
        let parts = rows.chunks(rows.len().div_ceil(READERS).max(1));
        let readers: Vec<_> = parts.map(|rows| scope.spawn(move || read(rows))).collect();
        let read = readers
            .into_iter()
            .map(|reader| reader.join().map_err(|_| anyhow!("a reader ended in a panic"))?);
        read.collect::<Result<Vec<_>>>().map(|read| read.into_iter().flatten().collect())
    })
}

//! Whether there is something to do with a machine, and what it waits for.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use anyhow::Result;

use super::answered::{id, since, snapshots};
use super::frozen::Machine;
use super::newest::newest;
use super::state::{Known, Stage, State, because};
use super::task::{Ended, Tasks, Work};
use crate::present;

/// What is said of a machine that no delta is for.
pub(super) const NO_SNAPSHOTS: &str =
    "it was not moved from snapshots of AWS alone, so what changed since cannot be told";
pub(super) const WHOLE: &str = "its target is written whole: only a .vhd, a .raw, a page blob, and a managed disk by a blob that is kept (via and \
     keep-via) take what changed";

impl Tasks<'_> {
    /// How it ended, if there is nothing to do.
    pub(super) fn is_over(&self, index: usize, machine: &Machine, known: &Known) -> Option<Ended> {
        if let Some(wrong) = &known.damaged {
            return Some(Ended::new(Stage::Failed, &wrong.why, &wrong.help));
        }
        // What is done again, and what is cleaned up, needs no record of what was done.
        if let Some(wrong) = known.lost.as_ref().filter(|_| !self.again && self.work != Work::CleanUp) {
            return Some(Ended::new(Stage::Failed, &wrong.why, &wrong.help));
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
            Work::Move if known.receipt.is_none() || known.is_moved_again() => None,
            Work::Move => match known.newer() {
                Some(state) if state.stage != Stage::Done => Some(self.open_delta(index, known, state)),
                _ => Some(Ended::done()),
            },
            Work::Delta => match &known.receipt {
                None => Some(Ended::new(
                    Stage::Failed,
                    "it was not moved yet, so nothing is known to have changed since",
                    "move it first: the same command without --delta",
                )),
                Some(_) if known.is_moved_again() => Some(Ended::new(
                    Stage::Failed,
                    "it is being moved in full again, and that has not ended",
                    "finish that first: the same command without --delta",
                )),
                Some(receipt) => {
                    since(&receipt.migrate).is_none().then(|| self.no_delta(index, NO_SNAPSHOTS))
                }
            },
            Work::CleanUp => None,
        }
    }

    /// A machine whose delta has not ended well: it is not what its receipt says, and no move of it goes on.
    fn open_delta(&self, index: usize, known: &Known, state: &State) -> Ended {
        let stage = match known.stage() {
            Stage::Running => {
                return Ended::new(Stage::Running, "its delta is under way", "run the same command later");
            }
            // The same command does not go on.
            Stage::Interrupted => Stage::Failed,
            stage => stage,
        };
        let why = because(state.why.as_ref());
        let delta = self.typed(index, "--delta");
        let help = format!("end that: {delta}; or move all of it again: {}", self.in_full(index));
        Ended::new(stage, format!("its delta has not ended well ({}{why})", known.stage().word()), help)
    }

    /// A machine that no delta is for.
    pub(super) fn no_delta(&self, index: usize, why: &str) -> Ended {
        let help = format!("where it has changed, move all of it again: {}", self.in_full(index));
        Ended::new(Stage::Failed, why, help)
    }

    /// What moves a machine in full, over what is there.
    pub(super) fn in_full(&self, index: usize) -> String {
        self.typed(index, "--again")
    }

    fn typed(&self, index: usize, option: &str) -> String {
        present::command(["fleet", "run", &self.store.typed(), "--index", &index.to_string(), option])
    }

    /// Whether the machine is what its newest snapshots are, by its receipt. What keeps AWS from telling, `migrate` says.
    pub(super) fn is_newest(&self, machine: &Machine, known: &Known) -> bool {
        let is_whole = known.newer().is_none_or(|state| state.stage == Stage::Done);
        let Some(receipt) = known.receipt.as_ref().filter(|_| is_whole) else { return false };
        let there = snapshots(&receipt.migrate).into_iter().map(id);
        newest(self.context, &machine.migrate).is_ok_and(|newest| there.eq(newest.iter().map(String::as_str)))
    }

    fn done(&self) -> MutexGuard<'_, HashSet<usize>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has to be done before, if it is not.
    pub(super) fn is_too_early(&self, machine: &Machine) -> Result<Option<Ended>> {
        let mut waits = None;
        for (index, before) in self.fleet.before(machine) {
            if self.done().contains(&index) {
                continue;
            }
            let known = Known::read(self.store, self.fleet, index)?;
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
}

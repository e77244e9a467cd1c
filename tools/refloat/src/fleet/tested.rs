//! What is known of the test of a move: the files of `vm/0007/test/`.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::frozen::Fleet;
use super::state::{Known, Stage, TEST};
use super::store::Store;

/// A test of a move in Azure.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Tested {
    /// Done once the machine came to its login, refused where it stopped before that.
    pub(super) stage: Stage,
    /// Whether it came to its login; absent while nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) login: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) help: Option<String>,
    /// Seconds since 1970.
    pub(super) at: u64,
}

impl Tested {
    /// Of the machine in this row; nothing where it cannot be tested, or was not yet.
    pub(super) fn read(store: &dyn Store, fleet: &Fleet, row: usize) -> Result<Option<Self>> {
        if fleet.machine(row)?.test.is_none() {
            return Ok(None);
        }
        Ok(Self::of(&Known::of(store, fleet, row, TEST)?))
    }

    fn of(known: &Known) -> Option<Self> {
        let stage = known.stage();
        let login = match stage {
            Stage::Waiting => return None,
            Stage::Done => Some(true),
            Stage::Refused => Some(false),
            Stage::Running | Stage::Interrupted | Stage::Failed => None,
        };
        let state = known.state.as_ref().map(|state| state.changed);
        let at = state.max(known.receipt.as_ref().map(|receipt| receipt.ended)).unwrap_or(0);
        let (why, help) = known.why();
        Some(Self { stage, login, why, help, at })
    }

    /// Whether it came to an end.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Done | Stage::Refused | Stage::Failed)
    }

    /// What it came to, in words.
    pub(super) fn word(stage: Stage) -> &'static str {
        match stage {
            Stage::Done => "came to the login",
            Stage::Refused => "did not boot",
            Stage::Failed => "without a verdict",
            Stage::Running | Stage::Interrupted | Stage::Waiting => stage.word(),
        }
    }
}

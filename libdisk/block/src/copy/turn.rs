//! Threads that work side by side and put in order.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Error, ErrorKind, Result};

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The number of the first step that is not at its end; `None` once one of them failed.
    now: Mutex<Option<u64>>,
    changed: Condvar,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { now: Mutex::new(Some(0)), changed: Condvar::new() }
    }

    /// The turn of the step with this number. Each is taken once, by a thread that has ended all it took before.
    pub(super) fn of(&self, number: u64) -> Turn<'_> {
        Turn { turns: Some(self), number }
    }

    fn now(&self) -> MutexGuard<'_, Option<u64>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of one step of a copy, in a sink that takes its chunks [in order](crate::SinkCaps::ordered). Dropped before
/// its end, by an error or a panic, it is the end of all that wait.
#[derive(Debug)]
pub struct Turn<'a> {
    /// `None` where nobody waits.
    turns: Option<&'a Turns>,
    number: u64,
}

impl Turn<'_> {
    /// A turn of a sink that takes its chunks in any order.
    pub(super) const ANY: Turn<'static> = Turn { turns: None, number: 0 };

    /// Waits until all that lies before this step has been put.
    ///
    /// # Errors
    /// `Cancelled` if that will not happen, as another thread failed.
    pub fn wait(&self) -> Result<()> {
        let Some(turns) = self.turns else { return Ok(()) };
        let waits = |now: &mut Option<u64>| now.is_some_and(|now| now < self.number);
        let now = turns.changed.wait_while(turns.now(), waits).unwrap_or_else(PoisonError::into_inner);
        now.map(drop).ok_or_else(|| Error::new(ErrorKind::Cancelled, "copy", "another thread failed"))
    }

    /// Ends it, when it has come.
    pub(super) fn end(mut self) -> Result<()> {
        self.wait()?;
        if let Some(turns) = self.turns.take() {
            *turns.now() = self.number.checked_add(1);
            turns.changed.notify_all();
        }
        Ok(())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(turns) = self.turns {
            *turns.now() = None;
            turns.changed.notify_all();
        }
    }
}

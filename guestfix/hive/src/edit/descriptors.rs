//! Users of security descriptors: a new key has its parent's, and one without users goes out of the ring.

use super::Edit;
use crate::error::{Error, Result};
use crate::security::Security;

impl Edit {
    /// One key more has the descriptor.
    pub(super) fn share_descriptor(&mut self, at: u32) -> Result<()> {
        let mut found = Security::read(&self.hive.cells, at)?;
        let users = found.users.get().checked_add(1);
        let full = || Error::corrupt("security descriptor", at, "it has more users than can be counted");
        found.users = users.ok_or_else(full)?.into();
        found.write(&mut self.hive.cells, at)
    }

    /// One key less has it.
    pub(super) fn drop_descriptor(&mut self, at: u32) -> Result<()> {
        let mut found = Security::read(&self.hive.cells, at)?;
        let users = found.users.get().saturating_sub(1);
        found.users = users.into();
        found.write(&mut self.hive.cells, at)?;
        let (previous, next) = (found.previous.get(), found.next.get());
        if users > 0 || next == at {
            return Ok(());
        }
        let mut front = Security::read(&self.hive.cells, previous)?;
        front.next = next.into();
        front.write(&mut self.hive.cells, previous)?;
        let mut behind = Security::read(&self.hive.cells, next)?;
        behind.previous = previous.into();
        behind.write(&mut self.hive.cells, next)?;
        self.release(at)
    }
}

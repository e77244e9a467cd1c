//! Things that are costly to set up and serve one thread at a time: decompressors.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use block::Result;

/// Those that are free: each thread borrows one, or a new one.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Pool<T> {
    /// Lends one to `work`; `make` makes it if none is free.
    pub(crate) fn lend(
        &self,
        make: impl FnOnce() -> Result<T>,
        work: impl FnOnce(&mut T) -> Result<()>,
    ) -> Result<()> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut lent = match free {
            Some(lent) => lent,
            None => make()?,
        };
        let done = work(&mut lent);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(lent);
        done
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

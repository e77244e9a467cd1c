//! The boot configuration's elements, as registry values (Microsoft Learn, "Boot configuration data
//! reference").

use super::super::values::{Change, To};
use crate::registry::{self, BCD_STORES, Opened};
use crate::{Guest, Result};

/// A store that was opened, and the name of the object that starts by itself, where there is one.
pub(super) struct Store {
    pub(super) hive: Opened,
    pub(super) default: Option<String>,
}

/// Every store of the guest.
pub(super) fn all(guest: &Guest<'_>) -> Result<Vec<Store>> {
    let mut stores = Vec::new();
    for file in BCD_STORES {
        let Some(hive) = registry::open(guest.view, file)? else { continue };
        let found = hive.hive().bcd().and_then(|bcd| bcd.default_object());
        let default = hive.at("Objects", None, found)?.map(|(name, _)| name);
        stores.push(Store { hive, default });
    }
    Ok(stores)
}

impl Store {
    /// The bytes of an object's element; `None` where it has none.
    pub(super) fn element(&self, object: &str, number: u32) -> Result<Option<Vec<u8>>> {
        self.hive.data(&key(object, number), "Element")
    }

    /// An element that is to have these bytes, where it has not.
    pub(super) fn set(&self, object: &str, number: u32, to: &[u8], what: &str) -> Result<Option<Change>> {
        let found = self.element(object, number)?;
        // Some tools write numbers of 32 bits.
        let same = |found: &[u8]| {
            let zeros = |rest: &[u8]| rest.iter().all(|byte| *byte == 0);
            found == to
                || (found.len() < to.len()
                    && to.starts_with(found)
                    && !found.is_empty()
                    && zeros(&to[found.len()..]))
        };
        let right = found.as_deref().is_some_and(same);
        let to = To::Binary(to.to_vec());
        Ok((!right).then(|| Change::new(self.hive.file(), key(object, number), "Element", to, what)))
    }

    /// An element that is to go, where it is there.
    pub(super) fn take(&self, object: &str, number: u32, what: &str) -> Result<Option<Change>> {
        let found = self.element(object, number)?;
        Ok(found.map(|_| Change::new(self.hive.file(), key(object, number), "Element", To::KeyGone, what)))
    }
}

fn key(object: &str, number: u32) -> String {
    format!(r"Objects\{object}\Elements\{number:08x}")
}

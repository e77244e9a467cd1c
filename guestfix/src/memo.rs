//! What was worked out of a guest's files, and holds until they change.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hive::Hive;

use crate::bootwalk::grub::{Embedded, of_core};
use crate::programs::Judged;

/// What is in a `core.img`, or why that cannot be told.
type InCore = Result<Embedded, &'static str>;

/// A hive of the registry, or why it cannot be read.
type Read = Result<Arc<Hive>, String>;

/// What is known of a view; one is kept by each view below which nothing changes unseen.
#[derive(Debug, Clone, Default)]
pub struct Memo {
    /// Programs that have all that they need to start.
    sound: RefCell<BTreeSet<Judged>>,
    /// The `core.img` that was unpacked last, and what is in it.
    core: RefCell<Option<(Vec<u8>, InCore)>>,
    /// The hives of the registry that were read, by the paths of their files.
    hives: RefCell<BTreeMap<&'static str, Read>>,
}

impl Memo {
    /// Whether the program was judged, and can start.
    pub(crate) fn is_sound(&self, program: &Judged) -> bool {
        self.sound.borrow().contains(program)
    }

    /// The program can start.
    pub(crate) fn sound(&self, program: Judged) {
        self.sound.borrow_mut().insert(program);
    }

    /// How many programs are known to be sound.
    #[cfg(test)]
    pub(crate) fn programs(&self) -> usize {
        self.sound.borrow().len()
    }

    /// What is in a `core.img`, unpacked if it is not the one of the last time.
    pub(crate) fn core(&self, core: &[u8]) -> InCore {
        if let Some((known, embedded)) = &*self.core.borrow()
            && known == core
        {
            return embedded.clone();
        }
        let embedded = of_core(core);
        *self.core.borrow_mut() = Some((core.to_vec(), embedded.clone()));
        embedded
    }

    /// The hive in this file, if it was read.
    pub(crate) fn hive(&self, path: &str) -> Option<Read> {
        self.hives.borrow().get(path).cloned()
    }

    /// This is the hive in this file.
    pub(crate) fn keep_hive(&self, path: &'static str, hive: Read) {
        self.hives.borrow_mut().insert(path, hive);
    }

    /// What is at this path is another now: hives are read anew if it is one, or a log of one, and programs are looked at anew if it may
    /// be a part of one.
    pub(crate) fn changed(&self, path: &str) {
        self.hives.borrow_mut().retain(|hive, _| !path.starts_with(hive));
        let is_of_a_program = match path.strip_prefix("/etc/") {
            Some(name) => name.starts_with("ld") || name.starts_with("alternatives"),
            None => !path.starts_with("/boot/"),
        };
        if is_of_a_program {
            self.sound.take();
        }
    }
}

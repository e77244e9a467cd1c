//! What was worked out of a guest's files, and holds until they change.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::bootwalk::grub::{Embedded, of_core};
use crate::programs::Judged;

/// What is in a `core.img`, or why that cannot be told.
type InCore = Result<Embedded, &'static str>;

/// What is known of a view; one is kept by each view below which nothing changes unseen.
#[derive(Debug, Clone, Default)]
pub struct Memo {
    /// Programs that have all that they need to start.
    sound: RefCell<BTreeSet<Judged>>,
    /// The `core.img` that was unpacked last, and what is in it.
    core: RefCell<Option<(Vec<u8>, InCore)>>,
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

    /// What is at this path is another now: programs are looked at anew if it may be a part of one.
    pub(crate) fn changed(&self, path: &str) {
        let is_of_a_program = match path.strip_prefix("/etc/") {
            Some(name) => name.starts_with("ld") || name.starts_with("alternatives"),
            None => !path.starts_with("/boot/"),
        };
        if is_of_a_program {
            self.sound.take();
        }
    }
}

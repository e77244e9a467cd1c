//! What long work tells its caller, and how the caller stops it. Libraries never print.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, ErrorKind, Result};

/// Something that happened during long work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which of several pieces of work it belongs to, say the number of the disk; 0 if there is one only.
    /// See [`ForItem`].
    pub item: u32,
    /// What happened.
    pub kind: EventKind,
}

/// What happened during long work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A step began; `total` is its size in bytes where it is known.
    Started {
        /// What is being done: "copy", "read initramfs".
        step: &'static str,
        /// Bytes to go, where known.
        total: Option<u64>,
    },
    /// So many more bytes of the running step are done.
    Advanced {
        /// Bytes since the last event.
        bytes: u64,
    },
    /// Something the user should read.
    Note(String),
    /// The running step ended.
    Finished,
}

impl Event {
    /// A step of `total` bytes began.
    pub fn started(step: &'static str, total: Option<u64>) -> Self {
        EventKind::Started { step, total }.into()
    }

    /// So many more bytes of the running step are done.
    pub fn advanced(bytes: u64) -> Self {
        EventKind::Advanced { bytes }.into()
    }

    /// Something the user should read.
    pub fn note(text: impl Into<String>) -> Self {
        EventKind::Note(text.into()).into()
    }

    /// The running step ended.
    pub fn finished() -> Self {
        EventKind::Finished.into()
    }
}

impl From<EventKind> for Event {
    fn from(kind: EventKind) -> Self {
        Self { item: 0, kind }
    }
}

/// Receives events, and is asked now and then whether to go on; called from several threads.
pub trait Observer: Send + Sync {
    /// Takes one event; must not block for long.
    fn on(&self, event: Event);

    /// Whether the work is to stop: it then ends soon, with [`ErrorKind::Cancelled`].
    fn cancelled(&self) -> bool {
        false
    }
}

impl dyn Observer + '_ {
    /// For long work to ask between two pieces.
    ///
    /// # Errors
    /// `Cancelled` if it is to stop.
    pub fn go_on(&self) -> Result<()> {
        match self.cancelled() {
            true => Err(Error::new(ErrorKind::Cancelled, "work", "stopped before it was done")),
            false => Ok(()),
        }
    }
}

/// An observer that hears nothing and never stops the work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&self, _event: Event) {}
}

/// The observer of one of several pieces of work: every event gets its number.
#[derive(Clone, Copy)]
pub struct ForItem<'a> {
    observer: &'a dyn Observer,
    item: u32,
}

impl<'a> ForItem<'a> {
    /// Hands on to `observer` what happens during the work `item`.
    pub fn new(observer: &'a dyn Observer, item: u32) -> Self {
        Self { observer, item }
    }
}

impl Observer for ForItem<'_> {
    fn on(&self, event: Event) {
        self.observer.on(Event { item: self.item, ..event });
    }

    fn cancelled(&self) -> bool {
        self.observer.cancelled()
    }
}

/// A request to stop, set by one and seen by all who hold a clone.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks all work that sees this to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The flag that says so, for who takes one.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Heard(Mutex<Vec<Event>>, Cancel);

    impl Observer for Heard {
        fn on(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }

        fn cancelled(&self) -> bool {
            self.1.is_cancelled()
        }
    }

    #[test]
    fn an_item_keeps_its_number_and_hears_the_request_to_stop() {
        let heard = Heard(Mutex::default(), Cancel::default());
        let (first, second) = (ForItem::new(&heard, 1), ForItem::new(&heard, 2));
        first.on(Event::started("copy", None));
        second.on(Event::advanced(7));
        let asked: &dyn Observer = &second;
        assert!(asked.go_on().is_ok());
        heard.1.clone().cancel();
        assert!(first.cancelled());
        assert_eq!(asked.go_on().unwrap_err().kind(), ErrorKind::Cancelled);
        let items: Vec<u32> = heard.0.lock().unwrap().iter().map(|event| event.item).collect();
        assert_eq!(items, [1, 2]);
    }
}

//! What long work tells its caller. Libraries never print.

/// Something that happened during long work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
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

/// Receives events; called from several threads.
pub trait Observer: Send + Sync {
    /// Takes one event; must not block for long.
    fn on(&self, event: Event);
}

/// An observer that hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&self, _event: Event) {}
}

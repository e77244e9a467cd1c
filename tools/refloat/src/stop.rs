//! Ctrl-C and SIGTERM: stop with exit code 3.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::answer;

/// Whether what is at work leaves nothing to go on from.
static STARTS_AGAIN: AtomicBool = AtomicBool::new(false);

/// Whether a request to stop has come.
static STOP: AtomicBool = AtomicBool::new(false);

/// Whether what is at work looks at [`STOP`] and ends by itself.
static HEEDED: AtomicBool = AtomicBool::new(false);

/// Says whether the same command, after a stop from here on, has to start again.
pub(crate) fn starts_again(again: bool) {
    STARTS_AGAIN.store(again, Ordering::Relaxed);
}

/// The flag that a request to stop sets. From here on it does no more than that: the caller must look at the flag, and end.
pub(crate) fn heeded() -> &'static AtomicBool {
    HEEDED.store(true, Ordering::Relaxed);
    &STOP
}

/// From here on a request to stop ends the program with code 3: the same command resumes, or starts again. Nothing else needs
/// to be put in order first, as every output is killed-at-any-moment safe: it is a `.partial` until it is whole, and a change
/// in place has its undo file. What runs another program, a test boot, ends by itself instead; a second request does not wait.
pub(crate) fn set_up() {
    let stop = || {
        let again = STOP.swap(true, Ordering::Relaxed);
        let what = if STARTS_AGAIN.load(Ordering::Relaxed) { "starts again" } else { "goes on" };
        if !again {
            answer::aside(&format!("stopped; the same command {what}"));
        }
        if again || !HEEDED.load(Ordering::Relaxed) {
            std::process::exit(3);
        }
    };
    if let Err(error) = ctrlc::set_handler(stop) {
        tracing::warn!(%error, "Ctrl-C will not be told");
    }
    // Where a file may grow no further (`ulimit -f`), the write shall fail and the program live to say so. The flag is of no
    // use: that there is a handler is enough.
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()) {
        tracing::warn!(%error, "a limit of file sizes will end the program");
    }
}

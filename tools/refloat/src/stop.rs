//! Ctrl-C and SIGTERM: stop with exit code 3.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use crate::answer;

/// The program that runs for us, and its folder: neither must be left behind. There is never more than one.
static RUNNING: Mutex<Option<(Pid, PathBuf)>> = Mutex::new(None);

/// Whether what is at work leaves nothing to go on from.
static STARTS_AGAIN: AtomicBool = AtomicBool::new(false);

/// Says whether the same command, after a stop from here on, has to start again.
pub(crate) fn starts_again(again: bool) {
    STARTS_AGAIN.store(again, Ordering::Relaxed);
}

/// From here on a request to stop ends the program with code 3: the same command resumes, or starts again. Nothing else needs
/// to be put in order first, as every output is killed-at-any-moment safe: it is a `.partial` until it is whole, and a change
/// in place has its undo file.
pub(crate) fn set_up() {
    let stop = || {
        let what = if STARTS_AGAIN.load(Ordering::Relaxed) { "starts again" } else { "goes on" };
        answer::aside(&format!("stopped; the same command {what}"));
        if let Some((process, folder)) = running().take() {
            let _ = kill_process(process, Signal::KILL);
            drop(std::fs::remove_dir_all(folder));
        }
        std::process::exit(3);
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

fn running() -> MutexGuard<'static, Option<(Pid, PathBuf)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While this is there, a request to stop ends the process first. It must go before the process is waited for, whose number
/// may be another's then.
pub(crate) struct Along(());

impl Along {
    pub(crate) fn new(process: &Child, folder: &Path) -> Self {
        *running() = Some((Pid::from_child(process), folder.to_owned()));
        Self(())
    }
}

impl Drop for Along {
    fn drop(&mut self) {
        *running() = None;
    }
}

//! Ctrl-C and SIGTERM: stop, with exit code 3 if the same command resumes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use guestfix::report::Line;

use crate::context::Context;
use crate::document::Failed;
use crate::help;
use crate::snapshot::Opened;

/// How long work may take to see that it is to stop. What does not see it, an answer from AWS for one, is cut
/// off.
const GRACE: Duration = Duration::from_secs(2);

/// How long disks in Azure that are open are tried to be closed. What is not is on record.
const CLOSING: Duration = Duration::from_secs(10);

/// Closes what was opened in Azure, if that can be done soon.
fn close(opened: &Opened) {
    let (opened, (done, is_done)) = (opened.clone(), mpsc::channel());
    std::thread::spawn(move || {
        opened.close();
        // Nobody listens any more if it took too long.
        let _ = done.send(());
    });
    let _ = is_done.recv_timeout(CLOSING);
}

/// From here on a request to stop ends the program. Work that looks at [`Context::cancel`] ends by itself and
/// says how to go on. What does not can be cut off at any moment: every output is a `.partial` until it is
/// whole, and a change in place has its undo file.
pub(crate) fn set_up(context: &Context) {
    let (cancel, resumes, out) = (context.cancel.clone(), Arc::clone(&context.resumes), context.out);
    let (json, answered) = (context.global.json, Arc::clone(&context.answered));
    let (opened, ended) = (context.opened.clone(), Arc::clone(&context.ended));
    let stop = move || {
        cancel.cancel();
        std::thread::sleep(GRACE);
        close(&opened);
        if ended.load(Ordering::Relaxed) {
            // It is being said already how it ended.
            std::thread::sleep(GRACE);
        }
        let (help, code) =
            if resumes.load(Ordering::Relaxed) { (help::RESUME, 3) } else { (help::START_OVER, 2) };
        if json && !answered.load(Ordering::Relaxed) {
            // The exit code says it as well.
            drop(out.json(&Failed::new("stopped", &[], help, code)));
        }
        out.tell(Line::new(format!("stopped; {help}")));
        std::process::exit(code.into());
    };
    if let Err(error) = ctrlc::set_handler(stop) {
        tracing::warn!(%error, "a request to stop ends this at once, without a word");
    }
    // Where a file may grow no further (`ulimit -f`), the write shall fail and the program live to say so.
    // The flag is of no use: that there is a handler is enough.
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()) {
        tracing::warn!(%error, "a limit of file sizes will end the program");
    }
}

//! Ctrl-C and SIGTERM: stop with exit code 3.

/// From here on a request to stop ends the program with code 3: the same command resumes, or starts again. Nothing needs
/// to be put in order first, as every output is killed-at-any-moment safe: it is a `.partial` until it is whole, and a change
/// in place has its undo file.
pub(crate) fn set_up() {
    let stop = || {
        eprintln!("stopped; the same command goes on");
        std::process::exit(3);
    };
    if let Err(error) = ctrlc::set_handler(stop) {
        tracing::warn!(%error, "Ctrl-C will not be told");
    }
}

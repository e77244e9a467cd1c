//! Another kernel than this machine's: user-mode Linux, which is a process, on the files of this machine.
//!
//! It mounts what kernels of today leave out (version 4 of XFS, quotas). Tests have it run their own program:
//! the tests that are to run inside are ignored otherwise.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::judge::{need_all, run, tool};

/// The image, as a device inside.
pub const DISK: &str = "/mnt/disk";
/// A directory inside to mount it on.
pub const MOUNT: &str = "/mnt/fs";
/// The folder that both sides see, inside.
pub const SHARE: &str = "/mnt/share";

/// What a test inside is to do.
const TASK: &str = "REFLOAT_TASK";
/// Seconds until it is stopped.
const PATIENCE: &str = "180";

/// Whether it can run here; a visible skip if not.
pub fn need() -> bool {
    need_all(&["linux.uml", "busybox", "timeout"])
}

/// Boots it with `image` as [`DISK`] and runs `script`, a shell's, until a command fails. `script` leaves
/// `done` in [`SHARE`], or has a test do so. The folder that it shared.
///
/// # Panics
/// When nothing says that it was done; with what was printed inside.
#[track_caller]
pub fn boot(image: &Path, script: &str) -> TempDir {
    let share = tempfile::tempdir().expect("a temporary directory");
    let init = share.path().join("init");
    let text = format!(
        "#!/bin/sh\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin\ntrap 'busybox halt -f' EXIT\nset -e\n\
         mount -t proc proc /proc\nmount -t tmpfs none /mnt\nmkdir {MOUNT} {SHARE}\nmknod {DISK} b 98 0\n\
         mount -t hostfs none {SHARE} -o {}\n{script}\n",
        share.path().display()
    );
    std::fs::write(&init, text).expect("the script is written");
    run(tool("chmod").arg("+x").arg(&init));
    let mut kernel = tool("timeout");
    kernel.args([
        PATIENCE,
        "linux.uml",
        "mem=384M",
        "rootfstype=hostfs",
        "rootflags=/",
        "root=/dev/root",
        "ro",
    ]);
    kernel.args(["con=null", "con0=null,fd:1"]).arg(format!("init={}", init.display()));
    kernel.arg(format!("ubd0={}", image.display())).stdin(Stdio::null());
    let output = kernel.output().expect("timeout runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(share.path().join("done").exists(), "{script}\n{said}");
    share
}

/// The command that has a test of this very program do `task`; for scripts.
///
/// # Panics
/// When the program does not know where it is.
pub fn have(test: &str, task: &str) -> String {
    let program = std::env::current_exe().expect("the path of this program");
    format!("{TASK}='{task}' {} --ignored --exact --nocapture {test}", program.display())
}

/// The task of a test that runs inside; `None` outside.
pub fn task() -> Option<String> {
    std::env::var(TASK).ok()
}

/// Says that all was done; for a test that runs inside.
///
/// # Panics
/// When nothing can be written outside.
pub fn done() {
    std::fs::write(Path::new(SHARE).join("done"), "").expect("the folder outside can be written");
}

/// Stops the machine as if its power had failed; for a test that runs inside.
///
/// # Panics
/// When it goes on.
pub fn halt() -> ! {
    let status = tool("busybox").args(["halt", "-f"]).status();
    panic!("it did not halt: {status:?}");
}

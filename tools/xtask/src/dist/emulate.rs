//! Programs for another machine, run by qemu. The kernel is told of it in a user namespace of this task's own, so that
//! the machine stays as it is.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::glibc;
use super::target::Target;

/// Where qemu looks for the loader and the libraries of a program.
const PREFIX: &str = "QEMU_LD_PREFIX";

/// Where the kernel is told what runs programs for other machines (Documentation/admin-guide/binfmt-misc.rst).
const FORMATS: &str = "/proc/sys/fs/binfmt_misc";

/// Whether programs of the target start in this process.
pub(super) fn is_there(target: &Target) -> bool {
    target.is_here() || std::env::var_os(PREFIX).is_some()
}

/// Does this very task again, where they start.
pub(super) fn again(target: &Target) -> Result<()> {
    let format = PathBuf::from(format!("/usr/lib/binfmt.d/qemu-{}.conf", target.arch));
    let missing = [("qemu-user-static", &*format), ("apt", Path::new(glibc::APT))];
    let missing: Vec<&str> =
        missing.iter().filter(|(_, file)| !file.exists()).map(|(name, _)| *name).collect();
    ensure!(
        missing.is_empty(),
        "no program is handed out that was not started, and those for {} start by qemu, with Debian's glibc: this machine \
         lacks {}",
        target.arch,
        missing.join(" and ")
    );
    const IN: &str =
        r#"mount -t binfmt_misc binfmt_misc "$0" && cat "$1" >"$0/register" && shift && exec "$@""#;
    let mut namespace = Namespace::new()?;
    let mut task = Command::new("nsenter");
    task.args([
        "--user",
        "--target",
        &namespace.0.id().to_string(),
        "unshare",
        "--mount",
        "sh",
        "-c",
        IN,
        FORMATS,
    ]);
    task.arg(format).arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    let status = task.env(PREFIX, glibc::tree(target)).status().context("nsenter cannot be started")?;
    namespace.end()?;
    ensure!(
        status.success(),
        "in a namespace where qemu runs programs for {} (Linux 6.7): {status}",
        target.arch
    );
    Ok(())
}

/// A user namespace in which users have the numbers that they have here, kept by a process that waits.
struct Namespace(Child);

impl Namespace {
    fn new() -> Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = unshare.spawn().context("unshare cannot be started")?;
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/user"));
        while of(&child.id().to_string())? == of("self")? {
            ensure!(child.try_wait()?.is_none(), "this kernel gives no user namespace");
            thread::sleep(Duration::from_millis(10));
        }
        for map in ["uid_map", "gid_map"] {
            let file = format!("/proc/{}/{map}", child.id());
            fs::File::options()
                .write(true)
                .open(&file)?
                .write_all(b"0 0 65536\n")
                .with_context(|| format!("{file}: only root may name all users in a namespace"))?;
        }
        Ok(Self(child))
    }

    /// cat ends where its input does.
    fn end(&mut self) -> Result<()> {
        drop(self.0.stdin.take());
        self.0.wait().map(drop).context("unshare")
    }
}

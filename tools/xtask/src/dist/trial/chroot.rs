//! A Debian 11 in a folder: the oldest glibc (2.31) that Debian's mirrors still serve.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::dist::{said, tools};
use crate::top;

/// A system in a folder.
pub(super) struct Chroot(PathBuf);

impl Chroot {
    /// As debootstrap makes it. It is kept, for that takes a minute.
    pub(super) fn bullseye() -> Result<Self> {
        let root = top().join("target/trial/bullseye");
        let done = root.join("var/debootstrapped");
        if !done.exists() {
            drop(fs::remove_dir_all(&root));
            fs::create_dir_all(&root)?;
            let mut debootstrap = Command::new("debootstrap");
            debootstrap
                .args(["--variant=minbase", "bullseye"])
                .arg(&root)
                .arg("http://deb.debian.org/debian");
            tools::run(&mut debootstrap)?;
            fs::write(done, "")?;
        }
        Ok(Self(root.canonicalize()?))
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    /// Where a path of it lies.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Copies a file into it; its name there.
    pub(super) fn take(&self, file: &Path) -> Result<String> {
        let name = file.file_name().context("a file's name")?;
        fs::copy(file, self.0.join("tmp").join(name))?;
        Ok(format!("/tmp/{}", name.to_string_lossy()))
    }

    /// Runs a program in it, as root.
    pub(super) fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        tools::run(&mut self.command("0:0", program, args))
    }

    /// Runs a program in it, as nobody; what it prints.
    pub(super) fn said_as_nobody(&self, program: &str, args: &[&str]) -> Result<String> {
        said(&mut self.command("65534:65534", program, args))
    }

    /// With a /proc of its own, which is gone with it, and nothing of this process's environment.
    fn command(&self, user: &str, program: &str, args: &[&str]) -> Command {
        const IN: &str = r#"mount -t proc proc "$0/proc" && root=$0 user=$1 && shift && \
                            exec chroot --userspec="$user" "$root" "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "sh", "-c", IN]).arg(&self.0).arg(user);
        command.arg(program).args(args).env_clear().env("HOME", "/tmp");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command
    }

    /// "glibc 2.31", as its C library says.
    pub(super) fn glibc(&self) -> Result<String> {
        self.said_as_nobody("getconf", &["GNU_LIBC_VERSION"])
    }
}

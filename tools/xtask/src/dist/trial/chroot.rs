//! A Debian 11 in a folder: the oldest glibc (2.31) that Debian's mirrors still serve.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::dist::target::Target;
use crate::dist::{said, tools};
use crate::top;

/// A system in a folder.
pub(super) struct Chroot {
    root: PathBuf,
    /// Its packages are unpacked and not configured, which would take qemu many minutes.
    unpacked: bool,
}

impl Chroot {
    /// As debootstrap makes it. It is kept, for that takes a minute.
    pub(super) fn bullseye(target: &Target) -> Result<Self> {
        let root = top().join(format!("target/trial/bullseye-{}", target.deb));
        let done = root.join("var/debootstrapped");
        let unpacked = !target.is_here();
        if !done.exists() {
            drop(fs::remove_dir_all(&root));
            fs::create_dir_all(&root)?;
            let mut debootstrap = Command::new("debootstrap");
            debootstrap.args(["--variant=minbase", "--arch", target.deb]);
            if unpacked {
                // In a namespace of users nobody makes devices, nor in a container: it binds those that are there.
                debootstrap.arg("--foreign").env("container", "lxc");
            }
            tools::run(debootstrap.arg("bullseye").arg(&root).arg("http://deb.debian.org/debian"))?;
            fs::write(done, "")?;
        }
        Ok(Self { root: root.canonicalize()?, unpacked })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a path of it lies.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Installs a Debian package that was taken into it.
    pub(super) fn install(&self, file: &str) -> Result<()> {
        // dpkg does not know of what is only unpacked.
        let force = self.unpacked.then_some("--force-depends");
        let words: Vec<&str> = ["--install"].into_iter().chain(force).chain([file]).collect();
        self.run("dpkg", &words)
    }

    /// Copies a file into it; its name there.
    pub(super) fn take(&self, file: &Path) -> Result<String> {
        let name = file.file_name().context("a file's name")?;
        fs::copy(file, self.root.join("tmp").join(name))?;
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

    /// With a /proc of its own and the devices of this machine, which is gone with it, and nothing of this process's environment.
    fn command(&self, user: &str, program: &str, args: &[&str]) -> Command {
        const IN: &str = r#"mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && root=$0 user=$1 && shift && \
                            exec chroot --userspec="$user" "$root" "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "sh", "-c", IN]).arg(&self.root).arg(user);
        command.arg(program).args(args).env_clear().env("HOME", "/tmp");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command
    }

    /// "glibc 2.31", as its C library says.
    pub(super) fn glibc(&self) -> Result<String> {
        self.said_as_nobody("getconf", &["GNU_LIBC_VERSION"])
    }
}

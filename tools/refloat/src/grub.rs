//! GRUB for BIOS, which is no part of refloat: from this machine's packages, or from where the user says.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use libdisk::volume::grub::Grub;

use crate::answer::Help;
use crate::help;
use crate::name;

/// Where the Debian package grub-pc-bin puts it.
const FOLDER: &str = "/usr/lib/grub/i386-pc";
/// On the disk that it is put on the root file system is partition 1.
const PREFIX: &str = "(,msdos1)/boot/grub";
/// What it takes to read the file systems that guests have, show a menu on a screen or serial port, and start
/// Linux.
const MODULES: &[&str] = &[
    "biosdisk",
    "part_msdos",
    "ext2",
    "xfs",
    "btrfs",
    "gzio",
    "normal",
    "configfile",
    "linux",
    "linux16",
    "search",
    "search_fs_uuid",
    "search_label",
    "search_fs_file",
    "serial",
    "terminal",
    "echo",
    "test",
    "regexp",
    "loadenv",
    "sleep",
    "reboot",
    "halt",
    "cat",
    "ls",
];

/// GRUB from the folder that the user gives, else from this machine's packages; `None` if there is none.
///
/// A `core.img` in a folder of the user's is taken as it is; else one is made of the modules there, by
/// `grub-mkimage`.
///
/// # Errors
/// If there is none where the user says, or it is no GRUB for BIOS.
pub(crate) fn find(given: Option<&Path>) -> Result<Option<Grub>> {
    let folder = given.unwrap_or(Path::new(FOLDER));
    match (read(folder).help(help::GRUB), given) {
        (Ok(None), Some(_)) => Err(anyhow!("{}: there is no boot.img", name::shown(folder))).help(help::GRUB),
        (found, _) => found,
    }
}

fn read(folder: &Path) -> Result<Option<Grub>> {
    let (boot, core) = (folder.join("boot.img"), folder.join("core.img"));
    if !boot.exists() {
        return Ok(None);
    }
    let core = if core.exists() {
        std::fs::read(&core).with_context(|| name::shown(core))?
    } else {
        match make_core(folder)? {
            Some(core) => core,
            None => return Ok(None),
        }
    };
    let boot = std::fs::read(&boot).with_context(|| name::shown(boot))?;
    Ok(Some(Grub::new(&boot, &core).with_context(|| name::shown(folder))?))
}

/// A `core.img` of the modules in `folder`; `None` where there is no `grub-mkimage`.
fn make_core(folder: &Path) -> Result<Option<Vec<u8>>> {
    let core = tempfile::NamedTempFile::new().context("no temporary file")?;
    let mut mkimage = Command::new("grub-mkimage");
    mkimage.args(["--format=i386-pc", "--prefix", PREFIX, "--directory"]).arg(folder);
    let output = match mkimage.arg("--output").arg(core.path()).args(MODULES).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("grub-mkimage cannot be run"),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("grub-mkimage makes no core.img of {}: {}", name::shown(folder), said.trim());
    }
    Ok(Some(std::fs::read(core.path())?))
}

//! Debian's glibc of a target: it is in the image for containers, and programs for another machine run with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::target::Target;
use super::tools;
use crate::top;

/// What fetches it.
pub(super) const APT: &str = "/usr/bin/apt-get";

/// The folder that the package is unpacked in.
pub(super) fn tree(target: &Target) -> PathBuf {
    folder(target).join("tree")
}

fn folder(target: &Target) -> PathBuf {
    top().join("target/glibc").join(target.deb)
}

/// Fetches that of the Debian that this is, anew; `None` where this is none. What the machine's own apt knows is not
/// asked and not changed: it may know no packages for the target, or none at all.
pub(super) fn fetch(target: &Target) -> Result<Option<PathBuf>> {
    if !Path::new(APT).exists() {
        return Ok(None);
    }
    let folder = folder(target);
    drop(fs::remove_dir_all(&folder));
    for below in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(folder.join(below)).context("target/glibc")?;
    }
    let folder = folder.canonicalize()?;
    // No package is installed there.
    fs::write(folder.join("status"), "")?;
    let options = [
        format!("APT::Architecture={}", target.deb),
        format!("APT::Architectures={}", target.deb),
        format!("Dir::State={}", folder.join("state").display()),
        format!("Dir::State::status={}", folder.join("status").display()),
        format!("Dir::Cache={}", folder.join("cache").display()),
        // apt's own user of downloads may not write here.
        "APT::Sandbox::User=root".to_owned(),
    ];
    for words in [&["update"][..], &["download", "libc6"]] {
        let mut apt = Command::new(APT);
        apt.arg("-qq").args(words).current_dir(&folder);
        tools::run(apt.args(options.iter().flat_map(|option| ["-o", option])))?;
    }
    let entries: Result<Vec<_>, _> =
        fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let package = entries?.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "deb"));
    let package = package.context("apt-get downloaded nothing")?;
    tools::run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(folder.join("tree")))?;
    Ok(Some(folder.join("tree")))
}

/// The folder of the libraries in it: Debian 13 moved it below `usr`.
pub(super) fn libraries(tree: &Path, target: &Target) -> Result<PathBuf> {
    let folders =
        ["lib", "usr/lib"].map(|folder| tree.join(folder).join(format!("{}-linux-gnu", target.arch)));
    folders.into_iter().find(|folder| folder.is_dir()).context("libc6 has no libraries")
}

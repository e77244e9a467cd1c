//! Azure's agent for Windows, which is no part of refloat: from a folder that the user has.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use guestfix::WindowsAgent;

use crate::answer::Help;
use crate::{help, name};

/// How its folders are called, with the version behind it.
const VERSIONED: &str = "GuestAgent_";
/// The most of it: releases have some tens of MiB, in some tens of files.
const BYTES: u64 = 96 << 20;
const FILES: usize = 2000;
const DEPTH: usize = 8;

/// The agent in a folder: as `C:\WindowsAzure` has it, or that with the newest one in it.
///
/// # Errors
/// If it is none, or cannot be read.
pub(crate) fn read(given: &Path) -> Result<WindowsAgent> {
    let read = || {
        if !given.is_dir() {
            return Err(anyhow!("{}: there is no such folder", name::shown(given)));
        }
        let folder = newest(given)?;
        let (mut files, mut left) = (Vec::new(), BYTES);
        collect(&folder, "", 0, &mut files, &mut left)?;
        // What it is called, also where "." was typed.
        let path = fs::canonicalize(&folder).with_context(|| name::shown(&folder))?;
        let called = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        WindowsAgent::new(called, files).with_context(|| name::shown(&folder))
    };
    read().help(help::WINDOWS_AGENT)
}

/// The folder itself, or of those in it for one version each that of the highest.
fn newest(given: &Path) -> Result<PathBuf> {
    let mut versions = Vec::new();
    for entry in fs::read_dir(given).with_context(|| name::shown(given))? {
        let entry = entry.with_context(|| name::shown(given))?;
        let called = entry.file_name().to_string_lossy().into_owned();
        if let (Some(version), true) = (called.strip_prefix(VERSIONED), entry.path().is_dir()) {
            let numbers: Vec<u64> =
                version.split(['.', '_', '-']).map_while(|part| part.parse().ok()).collect();
            versions.push((numbers, entry.path()));
        }
    }
    versions.sort();
    Ok(versions.pop().map_or(given.to_owned(), |(_, path)| path))
}

/// All files below a folder, by their paths with `/` between names.
fn collect(
    folder: &Path,
    below: &str,
    depth: usize,
    files: &mut Vec<(String, Arc<[u8]>)>,
    left: &mut u64,
) -> Result<()> {
    if depth > DEPTH {
        bail!("{}: folders lie too deep in one another", name::shown(folder));
    }
    for entry in fs::read_dir(folder).with_context(|| name::shown(folder))? {
        let path = entry.with_context(|| name::shown(folder))?.path();
        let shown = || name::shown(&path);
        let Some(called) = path.file_name().and_then(|name| name.to_str()) else {
            bail!("{}: the name is not UTF-8", shown());
        };
        let to = if below.is_empty() { called.to_owned() } else { format!("{below}/{called}") };
        let metadata = fs::symlink_metadata(&path).with_context(shown)?;
        if metadata.is_dir() {
            collect(&path, &to, depth + 1, files, left)?;
        } else if metadata.is_file() {
            *left = left
                .checked_sub(metadata.len())
                .with_context(|| format!("{}: it has more than {BYTES} bytes", shown()))?;
            if files.len() >= FILES {
                bail!("{}: there are more than {FILES} files", shown());
            }
            files.push((to, fs::read(&path).with_context(shown)?.into()));
        } else {
            bail!("{}: it is neither a file nor a folder", shown());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest(folder.path()).unwrap(), folder.path());
        for version in ["2.7.41491.1083_2023-05-17_110503", "2.7.41491.901", "2.7.9"] {
            fs::create_dir(folder.path().join(format!("{VERSIONED}{version}"))).unwrap();
        }
        fs::write(folder.path().join("GuestAgent_9.9"), "a file").unwrap();
        assert!(newest(folder.path()).unwrap().ends_with("GuestAgent_2.7.41491.1083_2023-05-17_110503"));
    }
}

//! dissect.hypervisor of PyPI: a second reader of disk images, which forensic analysts use.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::{judge, python};

const REQUIREMENTS: &str = include_str!("requirements.txt");

fn python() -> Option<PathBuf> {
    static ENVIRONMENT: OnceLock<Result<PathBuf>> = OnceLock::new();
    python::of(&ENVIRONMENT, REQUIREMENTS, "dissect.hypervisor")
}

/// dissect reads `content`, and no more, in an image of the format `kind` (`vdi`, `vhd`, `vhdx`, `vmdk`,
/// `qcow2`); of a VDI that stands on another one, `parent` is that one. It is skipped, to be seen, where
/// dissect cannot be had.
///
/// # Panics
/// When it reads something else, or nothing; when it cannot be had and `CI=true`.
#[track_caller]
pub fn reads(kind: &str, image: &Path, parent: Option<&Path>, content: &[u8]) {
    let Some(python) = python() else { return };
    let mut command = Command::new(python);
    command.args(["-c", include_str!("read.py"), kind]).arg(image).args(parent);
    let said = String::from_utf8(judge::run(&mut command).stdout).expect("a number and a digest");
    let mut expected = format!("{} ", content.len());
    for byte in Sha256::digest(content) {
        write!(expected, "{byte:02x}").expect("a String takes all");
    }
    assert_eq!(said.trim(), expected, "dissect reads {} otherwise", image.display());
}

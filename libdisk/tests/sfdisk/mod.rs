//! Partition tables, made by sfdisk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use testimages::judge;

/// Makes the empty disk `path` of `size` bytes, partitioned by the sfdisk script `script`.
pub(crate) fn partitioned(path: &Path, size: u64, script: &str) {
    File::create(path).unwrap().set_len(size).unwrap();
    let mut sfdisk = Command::new(judge::need("sfdisk").unwrap())
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    sfdisk.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(sfdisk.wait().unwrap().success(), "sfdisk refused {script}");
}

//! A stand-in for AWS, and the program in front of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use standin::{Config, Instance, Server, Snapshot};

use crate::program::{self, Refloat};

pub(crate) const ID: &str = "snap-0123456789abcdef0";
pub(crate) const NEWER: &str = "snap-0fedcba9876543210";
pub(crate) const BLOCK: u64 = 512 << 10;

/// A stand-in, and the folder that `refloat` runs in.
pub(crate) struct Cloud {
    pub(crate) server: Server,
    pub(crate) folder: tempfile::TempDir,
}

impl Cloud {
    pub(crate) fn new(snapshots: Vec<Snapshot>, instances: Vec<Instance>) -> Self {
        let server = Server::start(Config { snapshots, instances, ..Config::default() }).unwrap();
        Self { server, folder: tempfile::tempdir_in(testimages::cache::directory()).unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `refloat LINE`, where `S` stands for the snapshot's address.
    pub(crate) fn command(&self, line: &str) -> Refloat {
        let line = line.replace("ebs:S", &format!("ebs:{ID}@eu-west-1"));
        let mut command = program::command(self.path(), &line);
        command
            .env("AWS_ENDPOINT_URL", self.server.endpoint())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("REFLOAT_CACHE", self.path().join("cache"));
        command
    }

    #[track_caller]
    pub(crate) fn refloat(&self, line: &str, exit: i32) -> Output {
        let output = self.command(line).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "refloat {line}\n{said}");
        output
    }

    #[track_caller]
    pub(crate) fn json(&self, line: &str, exit: i32) -> serde_json::Value {
        serde_json::from_slice(&self.refloat(&format!("{line} --json"), exit).stdout).unwrap()
    }

    pub(crate) fn said(&self, line: &str, exit: i32) -> String {
        String::from_utf8(self.refloat(line, exit).stderr).unwrap()
    }

    /// Another machine, which has no cache yet.
    pub(crate) fn forget(&self) {
        drop(fs::remove_dir_all(self.path().join("cache")));
        self.server.reset_counts();
    }
}

/// Whether two files have the same bytes.
pub(crate) fn same(a: &Path, b: &Path) -> bool {
    Command::new("cmp").arg(a).arg(b).stdout(Stdio::null()).status().unwrap().success()
}

/// Volumes of random bytes, most blocks of which are written.
pub(crate) fn noise(seed: u64, blocks: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; (blocks * BLOCK) as usize];
    for block in bytes.chunks_mut(BLOCK as usize) {
        if random.u8(0..8) > 0 {
            random.fill(&mut block[4096..]);
        }
    }
    bytes
}

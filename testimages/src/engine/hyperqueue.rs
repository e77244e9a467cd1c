//! HyperQueue of PyPI: its server and worker without its command line, which is not on PyPI.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Result;

use crate::{judge, python};

const REQUIREMENTS: &str = "hyperqueue==0.27.0\n";

/// What stands for `hq`: it reads `submit` as its manual has it, has a cluster of this machine run the tasks, and
/// waits for them.
const HQ: &str = "
import argparse, os, sys
from hyperqueue import Job
from hyperqueue.cluster import LocalCluster, WorkerConfig
hq = argparse.ArgumentParser()
submit = hq.add_subparsers(required=True).add_parser('submit')
submit.add_argument('--name', required=True)
submit.add_argument('--array', required=True)
submit.add_argument('--crash-limit', type=int)
submit.add_argument('command', nargs='+')
args = hq.parse_args()
first, last = map(int, args.array.split('-'))
assert first == 0
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=2))
    client = cluster.client()
    job = Job(name=args.name)
    for task in range(last + 1):
        job.program(args.command, cwd=os.getcwd(), env={'PATH': os.environ['PATH']})
    client.wait_for_jobs([client.submit(job)])
";

/// Runs a script that submits tasks by `hq`, and waits for them; `false`, after a visible skip, where HyperQueue
/// cannot be had.
///
/// # Panics
/// When a task fails.
#[track_caller]
pub fn hyperqueue(script: &Path, folder: &Path) -> bool {
    static ENVIRONMENT: OnceLock<Result<PathBuf>> = OnceLock::new();
    let Some(python) = python::of(&ENVIRONMENT, REQUIREMENTS, "hyperqueue") else { return false };
    let tools = tempfile::tempdir().unwrap();
    let (code, hq) = (tools.path().join("hq.py"), tools.path().join("hq"));
    fs::write(&code, HQ).unwrap();
    fs::write(&hq, format!("#!/bin/sh\nexec {} {} \"$@\"\n", python.display(), code.display())).unwrap();
    fs::set_permissions(&hq, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut sh = judge::tool("sh");
    sh.arg(script).current_dir(folder).env("PATH", format!("{}:{path}", tools.path().display()));
    judge::run(&mut sh);
    true
}

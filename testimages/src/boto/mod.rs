//! boto3, Amazon's own client for Python: a judge of what answers as AWS does.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use anyhow::Result;
use serde_json::{Value, json};

use crate::python;

/// The region that every client is in.
pub const REGION: &str = "us-east-1";

/// boto3, and moto, with all that they need.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The Python of a virtual environment with boto3 and moto, made in the cache by the first who asks; `None`,
/// after a visible skip, without Python, its venv module or a network.
///
/// # Panics
/// When there is none and `CI=true`.
pub fn python() -> Option<PathBuf> {
    // Once for all tests of a program: to find out that there is no network takes a while.
    static ENVIRONMENT: OnceLock<Result<PathBuf>> = OnceLock::new();
    python::of(&ENVIRONMENT, REQUIREMENTS, "boto3 and moto")
}

/// A boto3 session in a process of its own, which makes one call at a time and retries none.
#[derive(Debug)]
pub struct Boto {
    child: Child,
    calls: ChildStdin,
    results: BufReader<ChildStdout>,
}

impl Boto {
    /// A session for `endpoint` with a key pair; `None`, after a visible skip, when boto3 cannot be had.
    ///
    /// # Panics
    /// When Python does not start.
    #[track_caller]
    pub fn start(endpoint: &str, access_key: &str, secret_key: &str) -> Option<Self> {
        let mut child = Command::new(python()?)
            .args(["-c", include_str!("drive.py"), endpoint, REGION, access_key, secret_key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let calls = child.stdin.take().expect("a piped stdin");
        let results = BufReader::new(child.stdout.take().expect("a piped stdout"));
        Some(Self { child, calls, results })
    }

    /// The reply of `operation` of `service` (`ebs` or `ec2`), such as `list_snapshot_blocks`, as boto3
    /// understood it; a block's data is its `length` and `sha256`.
    ///
    /// # Errors
    /// The exception as `type` (its class), `message`, and, when it is the service's, `code`, `reason` and
    /// `status`.
    ///
    /// # Panics
    /// When Python dies.
    #[track_caller]
    pub fn call(&mut self, service: &str, operation: &str, arguments: Value) -> Result<Value, Value> {
        let call = json!({ "service": service, "operation": operation, "arguments": arguments });
        writeln!(self.calls, "{call}").expect("boto3 takes a call");
        let mut line = String::new();
        self.results.read_line(&mut line).expect("boto3 answers");
        let mut result: Value = serde_json::from_str(&line).expect("boto3 answers in JSON");
        match result["error"].take() {
            Value::Null => Ok(result["ok"].take()),
            error => Err(error),
        }
    }
}

impl Drop for Boto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Running the program. Whatever it answers as JSON has to satisfy its schema, in every test.

use std::ffi::OsStr;
use std::io;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use crate::schema;

/// The program, not started yet.
pub(crate) struct Refloat(Command);

/// To look at what will be run.
impl Deref for Refloat {
    type Target = Command;

    fn deref(&self) -> &Command {
        &self.0
    }
}

impl Refloat {
    pub(crate) fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.0.envs(variables);
        self
    }

    pub(crate) fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.0.env_remove(name);
        self
    }

    pub(crate) fn stdout(&mut self, to: impl Into<Stdio>) -> &mut Self {
        self.0.stdout(to);
        self
    }

    pub(crate) fn stderr(&mut self, to: impl Into<Stdio>) -> &mut Self {
        self.0.stderr(to);
        self
    }

    /// As another user.
    pub(crate) fn user(&mut self, id: u32) -> &mut Self {
        self.0.uid(id).gid(id);
        self
    }

    pub(crate) fn status(&mut self) -> io::Result<ExitStatus> {
        self.0.status()
    }

    pub(crate) fn spawn(&mut self) -> io::Result<Child> {
        self.0.spawn()
    }

    /// Runs it; what it answers and writes as JSON satisfies its schema.
    #[track_caller]
    pub(crate) fn output(&mut self) -> io::Result<Output> {
        let output = self.0.output()?;
        if let Err(wrong) = schema::judge(&self.0, &output) {
            panic!("{:?}: {wrong}\n{}", self.0, told(&output));
        }
        Ok(output)
    }
}

/// The program, in `folder`, not started yet. `line` is what is typed after `refloat`, split at spaces. It
/// finds no credentials of the machine that the tests run on.
pub(crate) fn command(folder: &Path, line: &str) -> Refloat {
    // `cargo xtask dist --test` tries the one that it made.
    let made = std::env::var_os("REFLOAT_PROGRAM");
    let mut command = Command::new(made.as_deref().unwrap_or(env!("CARGO_BIN_EXE_refloat").as_ref()));
    command.current_dir(folder).args(line.split_whitespace()).env("NO_COLOR", "1").env_remove("COLUMNS");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    Refloat(command)
}

/// Runs it and insists on this exit code; its standard output.
#[track_caller]
pub(crate) fn refloat(folder: &Path, line: &str, exit: i32) -> String {
    let output = command(folder, line).output().unwrap();
    assert_eq!(output.status.code(), Some(exit), "refloat {line}\n{}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it with `--json` and insists on this exit code; the document.
#[track_caller]
pub(crate) fn json(folder: &Path, line: &str, exit: i32) -> serde_json::Value {
    let text = refloat(folder, &format!("{line} --json"), exit);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("refloat {line}: {error}\n{text}"))
}

/// Runs it and insists that it could not do it; what it says of that.
#[track_caller]
pub(crate) fn failure(folder: &Path, line: &str) -> String {
    let output = command(folder, line).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "refloat {line}\n{}", told(&output));
    String::from_utf8(output.stderr).unwrap()
}

fn told(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("--- stdout\n{out}\n--- stderr\n{err}")
}

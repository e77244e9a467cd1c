//! Running the program.

use std::path::Path;
use std::process::{Command, Output};

/// The program, in `folder`, not started yet. `line` is what is typed after `refloat`, split at spaces. It
/// finds no credentials of the machine that the tests run on.
pub(crate) fn command(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refloat"));
    command.current_dir(folder).args(line.split_whitespace()).env("NO_COLOR", "1").env_remove("COLUMNS");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
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

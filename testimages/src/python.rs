//! Python with packages of PyPI, in an environment of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use crate::{cache, judge};

/// The Python of an environment with these requirements, made in the cache by the first who asks, and kept in
/// `known`; `None`, after a visible skip that says `what`, without Python, its venv module or a network.
///
/// # Panics
/// When there is none and `CI=true`.
pub(crate) fn of(
    known: &'static OnceLock<Result<PathBuf>>,
    requirements: &'static str,
    what: &str,
) -> Option<PathBuf> {
    judge::need("python3")?;
    let install = |out: &Path| install(out, requirements);
    match known.get_or_init(|| cache::cached("python", &[requirements.as_bytes()], install)) {
        Ok(environment) => Some(environment.join("bin/python")),
        Err(error) => {
            judge::missing(&format!("{what} from PyPI ({error:#})"));
            None
        }
    }
}

fn install(out: &Path, requirements: &str) -> Result<()> {
    let environment = out.join("python");
    succeed(judge::tool("python3").args(["-m", "venv"]).arg(&environment))
        .context("cannot make a virtual environment (Debian package python3-venv)")?;
    let file = out.join("requirements.txt");
    std::fs::write(&file, requirements)?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    succeed(pip.arg(&file)).context("pip cannot install them")
}

/// Runs `command`; the error ends with the last line that it said.
fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success(), "{}: {}", output.status, said.lines().next_back().unwrap_or_default());
    Ok(())
}

//! The programs that build and pack: pinned, in `target/tools`, and no dependencies of the workspace.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::top;

/// From PyPI, which has them built: zig is the C compiler and the linker, with the symbols of every glibc.
const PYTHON: &str = "cargo-zigbuild==0.24.1\nziglang==0.17.1\n";

/// From crates.io. They pack for seconds: to optimise them would take longer than that ever gives back.
const CARGO: &[(&str, &str)] =
    &[("cargo-deb", "3.8.0"), ("cargo-generate-rpm", "0.21.1"), ("cargo-cyclonedx", "0.5.9")];

/// Where they are.
pub(super) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Cargo, with a subcommand that is one of them; it is installed if it is missing, or of another version.
    pub(super) fn cargo(&self, program: &str) -> Result<Command> {
        // As cargo keeps it: "cargo-deb 3.8.0 (registry+...)" = ["cargo-deb"]
        let installed = fs::read_to_string(self.folder.join(".crates.toml")).unwrap_or_default();
        let wanted = CARGO.iter().find(|(name, _)| *name == program);
        if let Some((name, version)) = wanted
            && !installed.contains(&format!("\"{name} {version} "))
        {
            let (root, wanted) = (self.folder.to_string_lossy(), format!("{name}@{version}"));
            let install = ["install", "--quiet", "--locked", "--root", &root, &wanted];
            let quick = [("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"), ("CARGO_PROFILE_RELEASE_LTO", "false")];
            crate::run_with("cargo", &install, &quick)?;
        }
        let ours = [self.folder.join("python/bin"), self.folder.join("bin")];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(ours.into_iter().chain(std::env::split_paths(&path)))?;
        let mut cargo = Command::new("cargo");
        cargo.env("PATH", path).current_dir(top());
        Ok(cargo)
    }
}

/// Installs those of PyPI, if they are missing, or of another version.
pub(super) fn install() -> Result<Tools> {
    let folder = top().join("target/tools");
    let (python, list) = (folder.join("python"), folder.join("python/requirements.txt"));
    if fs::read_to_string(&list).ok().as_deref() != Some(PYTHON) {
        fs::create_dir_all(&folder).context("target/tools")?;
        drop(fs::remove_dir_all(&python));
        crate::run("python3", &["-m", "venv", &python.to_string_lossy()])?;
        let pip = python.join("bin/pip");
        let wanted: Vec<&str> = PYTHON.lines().collect();
        crate::run(&pip.to_string_lossy(), &[&["install", "--quiet"], &wanted[..]].concat())?;
        fs::write(&list, PYTHON).context("target/tools/python")?;
    }
    Ok(Tools { folder })
}

/// Runs a command and insists on success.
pub(super) fn run(command: &mut Command) -> Result<()> {
    eprintln!("+ {command:?}");
    let status = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

//! `cargo xtask dist`: what users are given, in `dist/`.
//!
//! One binary that starts on any Linux with glibc 2.17 or newer, as an archive, a Debian package, an RPM and an
//! image for containers; the list of what is in it, and the sums of it all. The same commit gives the same
//! bytes.

mod emulate;
mod glibc;
mod image;
mod needs;
mod notices;
mod packages;
mod payload;
mod program;
mod sbom;
mod target;
mod tools;
mod trial;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::top;
use target::Target;
use tools::Tools;

/// The version of every package.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What was typed: `[--target TRIPLE] [--test]`.
pub(crate) fn verb(words: &[&str]) -> Result<()> {
    let (target, test) = match *words {
        [] => (target::here()?, false),
        ["--test"] => (target::here()?, true),
        ["--target", triple] => (target::of(triple)?, false),
        ["--target", triple, "--test"] => (target::of(triple)?, true),
        _ => bail!("cargo xtask dist [--target TRIPLE] [--test]"),
    };
    program::refuse_without_std(target)?;
    if !emulate::is_there(target) {
        return emulate::again(target);
    }
    let dist = Dist { target, epoch: epoch()?, glibc: glibc::fetch(target)?, tools: tools::install()? };
    let program = program::build(&dist)?;
    let made = dist.pack(program)?;
    match test {
        true => trial::run(&dist, &made),
        false => Ok(()),
    }
}

/// What is made, and of when it says it is.
struct Dist {
    target: &'static Target,
    /// The commit's time in seconds since 1970.
    epoch: String,
    /// Debian's glibc of the target, unpacked, where this machine has apt.
    glibc: Option<PathBuf>,
    tools: Tools,
}

/// What was made.
struct Made {
    program: PathBuf,
    archive: PathBuf,
    deb: PathBuf,
    rpm: PathBuf,
    /// Without one where this machine has no libraries of the target's.
    image: Option<PathBuf>,
    sbom: PathBuf,
    /// What is in SHA256SUMS.
    sums: String,
}

impl Dist {
    fn pack(&self, program: PathBuf) -> Result<Made> {
        fs::create_dir_all(top().join("dist")).context("dist")?;
        payload::lay(self, &program)?;
        Ok(Made {
            program,
            archive: packages::archive(self)?,
            deb: packages::deb(self)?,
            rpm: packages::rpm(self)?,
            image: image::make(self)?,
            sbom: sbom::make(self)?,
            sums: sums()?,
        })
    }

    /// `dist/refloat-VERSION-ARCH.ENDING`.
    fn named(&self, ending: &str) -> PathBuf {
        top().join(format!("dist/refloat-{VERSION}-{}.{ending}", self.target.arch))
    }
}

/// When the commit was made: whatever is dated is of then.
fn epoch() -> Result<String> {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(top());
    said(&mut git)
}

/// What a command prints, without the end of its line.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// The sums of all files in `dist/`, as `sha256sum --check` reads them.
fn sums() -> Result<String> {
    let folder = top().join("dist");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().into_string().map_err(|name| anyhow::anyhow!("{name:?} is no text"))?;
        names.push(name);
    }
    names.retain(|name| name != "SHA256SUMS");
    names.sort();
    for name in &names {
        println!("{:>10}  dist/{name}", fs::metadata(folder.join(name))?.len());
    }
    let sums = said(Command::new("sha256sum").arg("--").args(names).current_dir(&folder))? + "\n";
    fs::write(folder.join("SHA256SUMS"), &sums).context("dist/SHA256SUMS")?;
    Ok(sums)
}

//! The binary itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::needs::Needs;
use super::target::Target;
use super::{Dist, said, tools};
use crate::top;

/// The glibc that the binary must start with: that of RHEL 7.
const GLIBC: [u32; 2] = [2, 17];

/// The most that the binary takes, in bytes: it is told when it grows. A tenth of it are the tables by which a panic
/// unwinds; `panic = "abort"` would save them, and with them lose what is done on the way: disks in Azure are closed,
/// unfinished files removed.
const LIMIT: u64 = 19_000_000;

/// Refuses a target for which this compiler has no standard library.
pub(super) fn refuse_without_std(target: &Target) -> Result<()> {
    let Target { triple, deb, .. } = *target;
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", triple]);
    let folder = said(&mut rustc)?;
    ensure!(
        Path::new(&folder).is_dir(),
        "nothing can be built for {triple}: this compiler has no standard library for it ({folder}). `rustup target add \
         {triple}` installs it; so does libstd-rust-dev:{deb} of Debian for Debian's own compiler"
    );
    Ok(())
}

/// Builds it, and looks at what it needs. It is in `target/dist/TRIPLE/release`.
pub(super) fn build(dist: &Dist) -> Result<PathBuf> {
    let Target { triple, .. } = *dist.target;
    let folder = top().join("target/dist");
    let glibc = GLIBC.map(|part| part.to_string()).join(".");
    let mut cargo = dist.tools.cargo("cargo-zigbuild")?;
    cargo.args(["zigbuild", "--release", "--locked", "--package", "refloat"]);
    cargo.args(["--target", &format!("{triple}.{glibc}")]);
    // Whatever is dated is of 1970, for a date of the commit would have all C be compiled anew for each.
    cargo.env("CARGO_TARGET_DIR", &folder).env("SOURCE_DATE_EPOCH", "0");
    // No folder of this machine's is in what is made.
    let (registry, workspace) = (registry()?, top().canonicalize()?.display().to_string());
    let rust = [(&registry, "registry"), (&workspace, "refloat")];
    let rust = rust.map(|(path, name)| format!("--remap-path-prefix={path}={name}"));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\x1f"));
    cargo.env("CFLAGS", format!("-ffile-prefix-map={registry}=registry"));
    tools::run(&mut cargo)?;
    let program = folder.join(triple).join("release/refloat");
    let bytes = fs::read(&program).with_context(|| program.display().to_string())?;
    let needs = Needs::of(&bytes)?;
    needs.check(GLIBC)?;
    ensure!(bytes.len() as u64 <= LIMIT, "the binary takes {} bytes, more than {LIMIT}", bytes.len());
    println!("refloat for {triple}: {} bytes, needs {needs}", bytes.len());
    Ok(program)
}

/// Where the sources of others' crates are.
fn registry() -> Result<String> {
    let home = match std::env::var("CARGO_HOME") {
        Ok(home) => home,
        Err(_) => std::env::var("HOME").context("HOME is not set")? + "/.cargo",
    };
    Ok(home + "/registry/src")
}

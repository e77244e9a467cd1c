//! The archive, the Debian package and the RPM. What is in the packages says tools/refloat/Cargo.toml.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Dist, VERSION, payload, tools};
use crate::top;

/// gzip, as an old system's tar unpacks it. The folder in it bears the archive's name.
pub(super) fn archive(dist: &Dist) -> Result<PathBuf> {
    let file = dist.named("tar.gz");
    let rename = format!("--transform=s,^\\.,refloat-{VERSION}-{},", dist.target.arch);
    let mut tar = tar(dist, &payload::folder(), &file);
    tools::run(tar.args(["--use-compress-program=gzip -n -9", &rename, "."]))?;
    Ok(file)
}

/// A tar of what is in a folder that is the same whoever packs it, and when; what to pack follows.
pub(super) fn tar(dist: &Dist, folder: &Path, file: &Path) -> Command {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--mtime=@{}", dist.epoch)).arg("--mode=u=rwX,go=rX");
    tar.arg("--file").arg(file).arg("--directory").arg(folder);
    tar
}

/// By cargo-deb.
pub(super) fn deb(dist: &Dist) -> Result<PathBuf> {
    let file = top().join(format!("dist/refloat_{VERSION}-1_{}.deb", dist.target.deb));
    let mut cargo = dist.tools.cargo("cargo-deb")?;
    cargo.args(["deb", "--quiet", "--no-build", "--no-strip", "--locked", "--package", "refloat"]);
    cargo.args(["--target", dist.target.triple, "--output"]).arg(&file);
    cargo.env("CARGO_TARGET_DIR", top().join("target/dist")).env("SOURCE_DATE_EPOCH", &dist.epoch);
    tools::run(&mut cargo)?;
    Ok(file)
}

/// By cargo-generate-rpm; gzip, as rpm 4.11 of RHEL 7 unpacks it.
pub(super) fn rpm(dist: &Dist) -> Result<PathBuf> {
    let file = top().join(format!("dist/refloat-{VERSION}-1.{}.rpm", dist.target.arch));
    let mut cargo = dist.tools.cargo("cargo-generate-rpm")?;
    cargo.args(["generate-rpm", "--package", "tools/refloat", "--target", dist.target.triple]);
    cargo.args(["--payload-compress", "gzip", "--source-date", &dist.epoch, "--output"]).arg(&file);
    tools::run(&mut cargo)?;
    Ok(file)
}

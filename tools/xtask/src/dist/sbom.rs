//! What the binary is made of, as CycloneDX. cargo-cyclonedx, for its list names hashes and licences and can be
//! read beside any kind of package, where that of cargo-auditable lies in the binary and names neither.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Dist, tools};
use crate::top;

/// By cargo-cyclonedx, which writes one beside the manifest of every crate of ours: only that of the program is
/// of use.
pub(super) fn make(dist: &Dist) -> Result<PathBuf> {
    const NAME: &str = "refloat-of-xtask.cdx";
    let mut cargo = dist.tools.cargo("cargo-cyclonedx")?;
    cargo.args(["cyclonedx", "--quiet", "--manifest-path", "tools/refloat/Cargo.toml", "--format", "json"]);
    cargo.args(["--spec-version", "1.5", "--no-build-deps", "--target", dist.target.triple]);
    cargo.args(["--override-filename", NAME]).env("SOURCE_DATE_EPOCH", &dist.epoch);
    tools::run(&mut cargo)?;
    let file = dist.named("cdx.json");
    let made = top().join(format!("tools/refloat/{NAME}.json"));
    let list = fs::read_to_string(made).context("what cargo-cyclonedx writes")?;
    // Our own crates are called by their folders: by those in the workspace, wherever that is.
    let here = format!("file://{}/", top().canonicalize()?.display());
    fs::write(&file, list.replace(&here, "file:///refloat/"))?;
    remove(top(), &format!("{NAME}.json"))?;
    Ok(file)
}

/// Removes the files of this name, but for what was built.
fn remove(folder: PathBuf, name: &str) -> Result<()> {
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let (kind, found) = (entry.file_type()?, entry.file_name());
        if kind.is_dir() && found != "target" && !found.to_string_lossy().starts_with('.') {
            remove(entry.path(), name)?;
        } else if found == name {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

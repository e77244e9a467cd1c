//! The licences of all the code that is linked into the binary, with the texts that they ask to be passed on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{VERSION, said};
use crate::dist::target::Target;
use crate::top;

/// How the files are called that have such texts.
const NAMES: &[&str] = &["license", "licence", "copying", "copyright", "notice", "unlicense"];

/// How deep below a crate's folder they are looked for: its C sources have their own.
const DEPTH: u32 = 3;

/// Name and version of a crate.
type Crate = (String, String);

/// All of them, each text once, with the crates that it is of.
pub(super) fn of(target: &Target) -> Result<String> {
    let (linked, known) = (linked(target)?, known(target)?);
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut list = String::new();
    for (name, version) in linked {
        let crate_ = known.get(&(name.clone(), version.clone()));
        let Found { licence, folder } = crate_.with_context(|| format!("cargo knows no {name} {version}"))?;
        let mut files = Vec::new();
        collect(folder, DEPTH, &mut files)?;
        list += &format!("{name} {version}: {licence}\n");
        for file in files {
            let text = String::from_utf8_lossy(&fs::read(&file)?).replace("\r\n", "\n");
            let below = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
            texts.entry(text.trim_end().to_owned()).or_default().push(format!("{name} {version}, {below}"));
        }
    }
    let mut whole = format!(
        "The binary of refloat {VERSION} for {} holds code of the crates below, of Rust's standard library (MIT or \
         Apache-2.0)\nand of LLVM's compiler-rt and libunwind (Apache-2.0 with the LLVM exception). Where a licence \
         gives a choice, so do\nwe. A crate that brings no text is under that of its name, as other crates bring it.\n\n{list}",
        target.triple
    );
    for (text, crates) in &texts {
        whole += &format!("\n{}\n{}\n\n{text}\n", "=".repeat(80), crates.join("\n"));
    }
    Ok(whole)
}

/// The crates of others that are linked into the program.
fn linked(target: &Target) -> Result<Vec<Crate>> {
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--locked", "--package", "refloat", "--edges", "normal", "--target", target.triple]);
    tree.args(["--prefix", "none", "--no-dedupe", "--format", "{p}"]).current_dir(top());
    let tree = said(&mut tree)?;
    let mut crates: Vec<Crate> = Vec::new();
    // "zstd v0.13.3", "ours v0.1.0 (/path)", "derive v1.0.0 (proc-macro)"
    for line in tree.lines().filter(|line| !line.contains('(')) {
        let (name, version) = line.split_once(" v").with_context(|| format!("cargo tree says {line}"))?;
        crates.push((name.to_owned(), version.trim().to_owned()));
    }
    crates.sort();
    crates.dedup();
    ensure!(crates.len() > 100, "cargo tree names {} crates only", crates.len());
    Ok(crates)
}

/// What a crate says of itself, and where it is.
struct Found {
    licence: String,
    folder: PathBuf,
}

fn known(target: &Target) -> Result<BTreeMap<Crate, Found>> {
    let mut metadata = Command::new("cargo");
    metadata.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target.triple]);
    let metadata: Value = serde_json::from_str(&said(metadata.current_dir(top()))?)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let found = packages.iter().map(|package| {
        let text = |field: &str| package[field].as_str().map(str::to_owned);
        let name = (text("name").context("a name")?, text("version").context("a version")?);
        let manifest = PathBuf::from(text("manifest_path").context("a manifest")?);
        let folder = manifest.parent().context("a folder")?.to_owned();
        Ok((name, Found { licence: text("license").unwrap_or_default(), folder }))
    });
    found.collect()
}

/// Adds the files with texts of licences, in the order of their names.
fn collect(folder: &Path, depth: u32, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries: Result<Vec<_>, _> =
        fs::read_dir(folder).with_context(|| folder.display().to_string())?.collect();
    let mut entries = entries?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (kind, path) = (entry.file_type()?, entry.path());
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if kind.is_dir() && depth > 1 && !["tests", "examples", "benches", "src"].contains(&&*name) {
            collect(&path, depth - 1, files)?;
        } else if kind.is_file()
            && NAMES.iter().any(|start| name.starts_with(start))
            && !name.ends_with(".rs")
        {
            files.push(path);
        }
    }
    Ok(())
}

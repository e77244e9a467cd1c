//! What goes with the binary into every package, laid out in `target/package`, from where they take it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Dist, notices, said};
use crate::top;

/// Where packages take their files from. tools/refloat/Cargo.toml names it, too.
pub(super) fn folder() -> PathBuf {
    top().join("target/package")
}

/// The shells, and the file that each looks for.
const SHELLS: &[(&str, &str)] = &[("bash", "refloat"), ("zsh", "_refloat"), ("fish", "refloat.fish")];

/// Lays it out anew.
pub(super) fn lay(dist: &Dist, program: &Path) -> Result<()> {
    let folder = folder();
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).context("target/package")?;
    fs::copy(program, folder.join("refloat")).context("target/package/refloat")?;
    texts(&folder, program)?;
    fs::write(folder.join("THIRD-PARTY.txt"), notices::of(dist.target)?).context("THIRD-PARTY.txt")
}

/// The pages for `man`, the scripts that complete commands, the licences, README.
fn texts(folder: &Path, program: &Path) -> Result<()> {
    fs::copy(top().join("README.md"), folder.join("README.md")).context("README.md")?;
    for name in ["MIT", "Apache-2.0"] {
        let text = top().join(format!(".licenses/{name}.txt"));
        fs::copy(text, folder.join(format!("LICENSE-{name}.txt"))).context(name)?;
    }
    for (shell, file) in SHELLS {
        let folder = folder.join("completions").join(shell);
        fs::create_dir_all(&folder)?;
        let script = said(Command::new(program).args(["completions", shell]))?;
        ensure!(script.contains("refloat"), "the completions for {shell} do not speak of refloat");
        fs::write(folder.join(file), script + "\n")?;
    }
    said(Command::new(program).args(["man", "--dir"]).arg(folder.join("man")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use serde_json::Value;

    use super::texts;
    use crate::dist::said;
    use crate::top;

    /// What tools/refloat/Cargo.toml says of packages.
    fn metadata() -> Value {
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(top());
        let whole: Value = serde_json::from_str(&said(&mut cargo).unwrap()).unwrap();
        let packages = whole["packages"].as_array().unwrap();
        packages.iter().find(|package| package["name"] == "refloat").unwrap()["metadata"].clone()
    }

    /// All files below a folder, by their paths in it.
    fn files(folder: &Path, below: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files(&path, below, found),
                false => drop(found.insert(path.strip_prefix(below).unwrap().display().to_string())),
            }
        }
    }

    /// Whether a source of a package, with at most one star, names a file.
    fn names(source: &str, file: &str) -> bool {
        match source.split_once('*') {
            None => source == file,
            Some((start, end)) => {
                let middle = file.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
                middle.is_some_and(|middle| !middle.contains('/'))
            }
        }
    }

    #[test]
    fn packages_hold_all_that_is_laid_out_and_nothing_else() {
        // target/debug/deps/xtask-... -> target/debug/refloat
        let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("refloat");
        assert!(program.exists(), "{} is not built: cargo build --workspace", program.display());
        let folder = tempfile::tempdir().unwrap();
        texts(folder.path(), &program).unwrap();
        // These two are made elsewhere.
        let mut laid = BTreeSet::from(["refloat".to_owned(), "THIRD-PARTY.txt".to_owned()]);
        files(folder.path(), folder.path(), &mut laid);
        for page in ["refloat.1", "refloat-check.1", "refloat-fs-ls.1", "refloat-fleet-plan.1"] {
            let page = fs::read_to_string(folder.path().join("man").join(page)).unwrap();
            assert!(page.contains(".TH") && page.contains(env!("CARGO_PKG_VERSION")), "{page}");
        }
        let metadata = metadata();
        let deb =
            metadata["deb"]["assets"].as_array().unwrap().iter().map(|asset| asset[0].as_str().unwrap());
        let rpm = metadata["generate-rpm"]["assets"].as_array().unwrap();
        let rpm = rpm.iter().map(|asset| asset["source"].as_str().unwrap());
        let of = |sources: Vec<&str>, start: &str| -> Vec<String> {
            let cut = sources
                .into_iter()
                .map(|source| source.strip_prefix(start).unwrap_or_else(|| panic!("{source}")));
            cut.map(str::to_owned).collect()
        };
        let packages = [of(deb.collect(), "../../target/package/"), of(rpm.collect(), "target/package/")];
        for sources in packages {
            for file in &laid {
                let count = sources.iter().filter(|source| names(source, file)).count();
                assert_eq!(count, 1, "{file} in {sources:?}");
            }
            for source in &sources {
                assert!(laid.iter().any(|file| names(source, file)), "there is no {source}");
            }
        }
        assert_eq!(metadata["deb"]["depends"], "libc6 (>= 2.17)");
        assert_eq!(metadata["generate-rpm"]["requires"]["glibc"], ">= 2.17");
    }
}

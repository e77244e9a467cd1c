//! `refloat emit`: the hand-over of a machine, from its disks to the files.

use std::fs;

use serde_json::Value;
use testimages::synthetic;

use crate::program::json;

const WHERE: &str =
    "--for azure-gen1 --resource-group rg1 --location westeurope --size Standard_D2s_v5 --name web01";
const TEST: &str = "--test --expires 2026-12-24";

fn text(answer: &Value) -> &str {
    answer["text"].as_str().unwrap()
}

#[test]
fn every_format_attaches_every_disk_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    fs::File::create(folder.path().join("more.raw")).unwrap().set_len(8 << 20).unwrap();
    for format in ["bicep", "terraform", "arm", "az", "runbook"] {
        let line = format!("emit {format} {} --disk more.raw {WHERE}", image.display());
        let answer = json(folder.path(), &line, 0);
        let whole = text(&answer);
        assert!(whole.contains("web01-os") && whole.contains("web01-data1"), "{whole}");
        assert!(!whole.contains("web01-data2") && !whole.contains("web01-test"), "{whole}");
        let test = json(folder.path(), &format!("{line} {TEST}"), 0);
        assert!(text(&test).contains("web01-test-os"), "{}", text(&test));
    }
}

#[test]
fn a_runbook_says_what_is_changed_and_what_names_aws() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let line = format!("emit runbook {} {WHERE}", image.display());
    let answer = json(folder.path(), &line, 0);
    assert!(!answer["references"]["found"].as_array().unwrap().is_empty(), "{answer:#}");
    for part in
        ["## What refloat changes", "## Licence and activation", "## How to go back", "refloat migrate"]
    {
        assert!(text(&answer).contains(part), "{part}: {}", text(&answer));
    }
    // As a page it goes to a file.
    let written = json(folder.path(), &format!("{line} -o book.html"), 0);
    let html = fs::read_to_string(folder.path().join("book.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"), "{html}");
    assert_eq!(text(&written), html);
}

//! Every JSON document of the program satisfies the schema that `refloat schema` prints for it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use testimages::synthetic;

use crate::program::{json, refloat};

/// The verbs that answer with a document.
const VERBS: &[&str] = &[
    "apply",
    "azure",
    "boot",
    "check",
    "convert",
    "demo",
    "emit",
    "fleet",
    "forecast",
    "fs",
    "inspect",
    "migrate",
    "plan",
    "rules",
    "test-migrate",
    "undo",
    "verify",
];

/// What `refloat schema NAME` prints.
fn schema(name: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refloat"));
    let output = command.args(["schema", name]).output().unwrap();
    assert!(output.status.success(), "refloat schema {name}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The judge of a schema, made once.
fn validator(name: &str) -> Arc<Validator> {
    static KNOWN: Mutex<Option<HashMap<String, Arc<Validator>>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap();
    let known = known.get_or_insert_default();
    let make = || Arc::new(jsonschema::validator_for(&schema(name)).unwrap());
    Arc::clone(known.entry(name.to_owned()).or_insert_with(make))
}

fn satisfies(name: &str, document: &Value) -> Result<(), String> {
    let wrong: Vec<String> = validator(name).iter_errors(document).map(|error| error.to_string()).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("not as refloat schema {name} says: {}", wrong.join("; "))),
    }
}

fn parse(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("not one JSON document: {error}"))
}

/// Looks at all JSON that a run has made: its answer, its progress, the plan that it wrote.
pub(crate) fn judge(command: &Command, output: &Output) -> Result<(), String> {
    let args: Vec<&OsStr> = command.get_args().collect();
    let mut verbs = args.iter().filter_map(|arg| arg.to_str());
    let verb = verbs.find(|arg| VERBS.contains(arg)).unwrap_or("error");
    if args.iter().any(|arg| *arg == "--json") {
        satisfies(verb, &parse(&output.stdout)?)?;
    }
    if args.windows(2).any(|pair| pair == [OsStr::new("--progress"), OsStr::new("json")]) {
        for line in output.stderr.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{")) {
            satisfies("progress", &parse(line)?)?;
        }
    }
    let written = args.windows(2).find(|pair| match verb {
        "plan" => pair[0] == "-o" || pair[0] == "--output",
        "migrate" => pair[0] == "--plan",
        _ => false,
    });
    if let (Some([_, file]), Some(folder), Some(0 | 1)) =
        (written, command.get_current_dir(), output.status.code())
    {
        satisfies("plan", &parse(&fs::read(folder.join(file)).map_err(|error| error.to_string())?)?)?;
    }
    Ok(())
}

#[test]
fn every_schema_is_one_and_closed() {
    for name in VERBS.iter().chain(&["error", "progress"]) {
        let schema = schema(name);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        for wrong in
            [json!({}), json!(null), json!({ "schema": "refloat.error/1" }), json!({ "schema": name })]
        {
            assert!(satisfies(name, &wrong).is_err(), "{name}: {wrong}");
        }
    }
}

/// Whichever verb is added: its answer has a schema, or it has no answer.
#[test]
fn every_verb_has_a_schema_or_refuses_json() {
    let folder = tempfile::tempdir().unwrap();
    let help = refloat(folder.path(), "--help", 0);
    let verbs = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs: Vec<&str> =
        verbs.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert!(verbs.len() > 12, "{verbs:?}");
    for verb in verbs.into_iter().filter(|verb| !verb.is_empty()) {
        let answers = !["man", "completions", "schema", "help"].contains(&verb);
        assert_eq!(VERBS.contains(&verb), answers, "{verb}");
    }
}

/// Every object and every field of an answer is judged: whatever is wrong in one is noticed.
#[test]
fn a_wrong_answer_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let image = image.file_name().unwrap().to_str().unwrap();
    let mut planted = 0;
    for (line, exit) in [
        ("inspect IMAGE", 0),
        ("check IMAGE --for azure-gen1", 1),
        ("check IMAGE --for azure-gen2", 1),
        ("plan IMAGE --for azure-gen1", 0),
        ("plan IMAGE --for azure-gen1 -o plan.json", 0),
        ("apply plan.json -o fixed.qcow2", 0),
        ("convert IMAGE whole.vhd", 0),
        ("verify whole.vhd IMAGE", 0),
        ("verify whole.vhd", 0),
        ("migrate IMAGE moved.vhd --for azure-gen1", 0),
        ("fs ls IMAGE#/etc", 0),
        ("fs stat IMAGE#/etc/fstab", 0),
        ("fs cat IMAGE#/etc/fstab", 0),
        ("fs diff IMAGE moved.vhd", 1),
        ("fs diff IMAGE moved.vhd --for azure-gen1", 1),
        ("apply plan.json --in-place", 0),
        ("undo IMAGE", 0),
        ("rules", 0),
        ("rules --symptom passphrase", 0),
        ("inspect none.img", 2),
    ] {
        let line = line.replace("IMAGE", image);
        let verb = line.split(' ').next().unwrap();
        let answer = json(folder.path(), &line, exit);
        let mut all = Vec::new();
        plant(&answer, &mut |wrong| wrong, &mut all);
        assert!(!all.is_empty());
        planted += all.len();
        for (what, wrong) in all {
            assert!(satisfies(verb, &wrong).is_err(), "refloat {line}: {what} is not noticed");
        }
    }
    assert!(planted > 500, "{planted} wrong answers");
}

/// Wrong forms of a value, each put back where it was by `whole`: one more property, and each field of another
/// type.
fn plant(value: &Value, whole: &mut dyn FnMut(Value) -> Value, all: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            let more = |name: &str, value: Value| {
                let mut fields: Map<String, Value> = fields.clone();
                fields.insert(name.to_owned(), value);
                Value::Object(fields)
            };
            all.push((format!("planted in {:?}", fields.keys()), whole(more("planted", json!({ "a": [] })))));
            for (name, value) in fields {
                all.push((format!("the type of {name}"), whole(more(name, json!([[[1.5]]])))));
                if ["schema", "severity", "phase", "verdict", "kind", "op", "target"].contains(&name.as_str())
                    && (name != "kind" || fields.contains_key("path"))
                    && (name != "target" || fields.contains_key("cloud_init"))
                {
                    all.push((format!("the value of {name}"), whole(more(name, "planted".into()))));
                }
                plant(value, &mut |wrong| whole(more(name, wrong)), all);
            }
        }
        // One of many tells.
        Value::Array(values) => {
            if let Some((first, rest)) = values.split_first() {
                let rest = rest.to_vec();
                plant(first, &mut |wrong| whole([vec![wrong], rest.clone()].concat().into()), all);
            }
        }
        _ => {}
    }
}

/// The hook of [`program`](crate::program) sees what is wrong in an answer, a line of progress, a plan file.
#[test]
fn the_judge_of_every_run_notices() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str, stdout: &str, stderr: &str| {
        let mut command = Command::new("refloat");
        command.args(line.split(' ')).current_dir(folder.path());
        let status = std::process::ExitStatus::from_raw(0);
        judge(&command, &Output { status, stdout: stdout.into(), stderr: stderr.into() })
    };
    let good = r#"{"schema":"refloat.undo/1","image":"a"}"#;
    assert_eq!(run("undo a --json", good, ""), Ok(()));
    assert_eq!(run("undo a", "not JSON", ""), Ok(()));
    for bad in ["", "not JSON", "{}", &good.replace("undo/1", "undo/2"), &good.replace("image", "images")] {
        assert!(run("undo a --json", bad, "").is_err(), "{bad}");
    }
    assert!(run("check a --json", good, "").is_err(), "the answer of another verb");
    let line = r#"{"event":"note","item":0,"text":"a"}"#;
    assert_eq!(run("undo a --progress json", "", line), Ok(()));
    assert!(run("undo a --progress json", "", &line.replace("note", "notice")).is_err());
    fs::write(folder.path().join("plan.json"), good).unwrap();
    assert!(run("plan a --for azure-gen1 -o plan.json", "", "").is_err());
    assert!(run("migrate a b.vhd --plan plan.json", "", "").is_err());
}

/// Guests of every kind, each with facts that others do not have.
#[test]
fn every_synthetic_guest_is_answered_by_its_schema() {
    for guest in synthetic::all() {
        let folder = tempfile::tempdir().unwrap();
        let Some(image) = guest.copy_into(folder.path()) else { continue };
        let image = image.file_name().unwrap().to_str().unwrap();
        for line in ["inspect IMAGE", "check IMAGE --for azure-gen1", "check IMAGE --for hyperv-gen2"] {
            let line = line.replace("IMAGE", image) + " --json";
            crate::program::command(folder.path(), &line).output().unwrap();
        }
    }
}

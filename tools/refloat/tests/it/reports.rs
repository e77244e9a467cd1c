//! Reports of a check as files, packs, waivers and an earlier report; and the page of all rules.

use std::fs;
use std::path::Path;

use serde_json::Value;
use testimages::synthetic;

use crate::program::{failure, json, refloat};

const KINDS: [&str; 8] = ["text", "json", "jsonl", "junit", "sarif", "markdown", "html", "azure-migrate-csv"];

#[test]
fn a_check_writes_its_reports_and_compares_them() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let image = image.file_name().unwrap().to_str().unwrap();
    let check = format!("check {image} --for azure-gen1");
    let reports: String = KINDS.iter().map(|kind| format!(" --report {kind}={kind}.out")).collect();
    let said = refloat(folder.path(), &format!("{check}{reports} --instance-type t3.small"), 1);
    assert!(
        said.contains("azure-vm of ") && said.contains("licence: ") && said.contains("size: Standard_"),
        "{said}"
    );
    for kind in KINDS {
        assert!(folder.path().join(format!("{kind}.out")).metadata().unwrap().len() > 100, "{kind}");
    }
    let csv = fs::read_to_string(folder.path().join("azure-migrate-csv.out")).unwrap();
    assert!(csv.lines().nth(1).unwrap().contains(",2,2048,"), "{csv}");
    // What is there stays, and what is read is not written over.
    let again = failure(folder.path(), &format!("{check} --report html=html.out"));
    assert!(again.contains("html.out already exists") && again.contains("--force"), "{again}");
    refloat(folder.path(), &format!("{check} --report html=html.out --force"), 1);
    let twice = failure(folder.path(), &format!("{check} --report html=a --report json=a"));
    assert!(twice.contains("named twice"), "{twice}");
    failure(folder.path(), &format!("{check} --report json={image} --force"));
    failure(folder.path(), &format!("{check} --report pdf=a"));

    // Against itself nothing changed, so nothing new fails; the verdict is the same.
    let drift = json(folder.path(), &format!("{check} --baseline json.out"), 0);
    assert_eq!((&drift["ready"], &drift["gate"]["passes"]), (&false.into(), &true.into()));
    refloat(folder.path(), &format!("plan {image} --for azure-gen1 -o plan.json"), 0);
    refloat(folder.path(), "apply plan.json -o fixed.qcow2", 0);
    let fixed = "check fixed.qcow2 --allow-backing . --for azure-gen1";
    let said = refloat(folder.path(), &format!("{fixed} --baseline json.out"), 0);
    assert!(said.contains("since the report on ") && said.contains("\n  - linux.initramfs"), "{said}");
    let wrong = failure(folder.path(), &format!("{check} --baseline plan.json"));
    assert!(wrong.contains("no report of a check"), "{wrong}");
    // Of another target, of another version: nothing is compared. Of another machine: it says so.
    let other = failure(folder.path(), &format!("check {image} --for azure-gen2 --baseline json.out"));
    assert!(other.contains("azure-gen1") && other.contains("same machine and target"), "{other}");
    let report = fs::read_to_string(folder.path().join("json.out")).unwrap();
    let altered = |name: &str, from: &str, to: &str| {
        assert!(report.contains(from), "{from}");
        fs::write(folder.path().join(name), report.replace(from, to)).unwrap();
    };
    altered("version.json", "refloat.check/4", "refloat.check/99");
    let other = failure(folder.path(), &format!("{check} --baseline version.json"));
    assert!(other.contains("another version"), "{other}");
    // A report that lacks a part that the comparison stands on is refused: nothing is "not changed" by it.
    let whole: Value = serde_json::from_str(&report).unwrap();
    for (at, value) in [
        ("/items", serde_json::json!([])),
        ("/items", serde_json::json!("none")),
        ("/items", Value::Null),
        ("/items/0", serde_json::json!({})),
        ("/items/0", serde_json::json!({"rule": "linux.initramfs.hyperv", "verdict": "wrong"})),
        ("/walk", serde_json::json!({})),
        ("/walk/loader", serde_json::json!([])),
        ("/walk/system", serde_json::json!("all well")),
        ("/packs", serde_json::json!([{"pack": "azure-vm"}])),
        ("/guest", Value::Null),
    ] {
        let mut torn = whole.clone();
        *torn.pointer_mut(at).unwrap() = value;
        fs::write(folder.path().join("torn.json"), torn.to_string()).unwrap();
        let told = failure(folder.path(), &format!("{check} --baseline torn.json"));
        assert!(
            told.contains("no whole report") && told.contains("check --report json=FILE"),
            "{at}: {told}"
        );
    }
    for part in ["items", "walk", "goal", "ready"] {
        let mut torn = whole.clone();
        torn.as_object_mut().unwrap().remove(part).unwrap();
        fs::write(folder.path().join("torn.json"), torn.to_string()).unwrap();
        let told = failure(folder.path(), &format!("{check} --baseline torn.json"));
        assert!(told.contains("no whole report") && told.contains(part), "{part}: {told}");
    }
    // An older program had not this rule: what it finds is new, as far as anybody knows.
    let mut older = whole;
    older["items"].as_array_mut().unwrap().retain(|item| item["rule"] != "linux.initramfs.hyperv");
    fs::write(folder.path().join("older.json"), older.to_string()).unwrap();
    let said = refloat(folder.path(), &format!("{check} --baseline older.json"), 1);
    assert!(said.contains("+ linux.initramfs.hyperv (new rule, not in the baseline)"), "{said}");
    assert!(said.contains("fails: linux.initramfs.hyperv\n"), "{said}");
    altered("host.json", "ip-192-168-1-10", "db-1");
    let said = refloat(folder.path(), &format!("{check} --baseline host.json"), 0);
    assert!(said.contains("of the machine db-1"), "{said}");
}

#[test]
fn packs_and_waivers_say_what_fails() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let image = image.file_name().unwrap().to_str().unwrap();
    let check = format!("check {image} --for azure-gen1");
    refloat(folder.path(), &format!("{check} --fail-on never"), 0);
    let both = json(folder.path(), &format!("{check} --pack boot --pack azure-migrate-agent"), 1);
    assert_eq!(both["packs"][0]["pack"], "azure-migrate-agent");
    assert_eq!(both["packs"][0]["verdict"], "not-ready");
    let said = refloat(folder.path(), &format!("{check} --pack azure-migrate-agent"), 1);
    assert!(said.contains("azure-migrate-agent.disk-least"), "{said}");
    let unknown = failure(folder.path(), &format!("{check} --skip no.such-rule"));
    assert!(unknown.contains("there is no rule no.such-rule"), "{unknown}");
    let one = format!("{check} --fail-on blocker --only azure-vm.disk-least");
    refloat(folder.path(), &one, 0);
    fs::write(folder.path().join("waivers.json"), "[{}]").unwrap();
    let none = failure(folder.path(), &format!("{check} --waivers waivers.json"));
    assert!(none.contains("no list of waivers"), "{none}");
    failure(folder.path(), &format!("{check} --instance-type m5.enormous"));
    let arm = failure(folder.path(), &format!("{check} --instance-type m6g.large"));
    assert!(arm.contains("arm64") && arm.contains("x86_64"), "{arm}");

    // All blockers are waived, and the boot stops all the same: that is said.
    let found = json(folder.path(), &check, 1);
    let blockers = found["items"].as_array().unwrap().iter().filter(|item| item["severity"] == "blocker");
    let waived: Vec<_> = blockers
        .map(|item| serde_json::json!({"rule": item["rule"], "owner": "me", "expires": "2099-01-01", "reason": "a test"}))
        .collect();
    fs::write(folder.path().join("waivers.json"), serde_json::to_string(&waived).unwrap()).unwrap();
    let stopped = json(folder.path(), &format!("{check} --waivers waivers.json"), 1);
    assert_eq!(stopped["gate"]["failing"], serde_json::json!([]));
    assert!(stopped["gate"]["stops"].as_str().unwrap().contains("initrd"), "{}", stopped["gate"]);
    let said = refloat(folder.path(), &format!("{check} --waivers waivers.json"), 1);
    assert!(said.contains("fails: the boot stops at "), "{said}");
}

#[test]
fn sizes_have_prices_where_a_list_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
    let image = image.file_name().unwrap().to_str().unwrap();
    let check = format!("check {image} --for azure-gen1 --instance-type m5.large");
    let table = "region,size,usd_hour\nwesteurope,Standard_D2s_v5,0.115\neastus,Standard_D2s_v5,0.096\n";
    fs::write(folder.path().join("prices.csv"), table).unwrap();
    let several = failure(folder.path(), &format!("{check} --prices prices.csv"));
    assert!(
        several.contains("several regions: eastus, westeurope") && several.contains("--location"),
        "{several}"
    );
    let priced = format!("{check} --prices prices.csv --location westeurope");
    let said = refloat(folder.path(), &format!("{priced} --report html=page.html"), 1);
    // The file's name, its day, the currency, and what is not in it.
    let today = time::OffsetDateTime::now_utc().date().to_string();
    let source = format!("prices.csv, a file of {today}, westeurope");
    for told in ["Standard_D2s_v5 (83.95 USD a month)", "(not in prices.csv)", &source, "730 hours a month"] {
        assert!(
            said.split_whitespace().collect::<Vec<_>>().join(" ").contains(told),
            "{told} is not in {said}"
        );
    }
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("83.95 USD a month") && page.contains(&source));
    let answer = json(folder.path(), &priced, 1);
    let prices = &answer["sizing"]["prices"];
    assert_eq!((&prices["currency"], &prices["sizes"][0]["hour"]), (&"USD".into(), &0.115.into()));
    fs::write(folder.path().join("other.json"), "{}").unwrap();
    let none = failure(folder.path(), &format!("{check} --prices other.json --location westeurope"));
    assert!(none.contains("prices.azure.com"), "{none}");
    let alone = failure(folder.path(), &format!("{check} --location westeurope"));
    assert!(alone.contains("help: give them by --prices FILE"), "{alone}");
    // What has no size says why.
    let mac =
        refloat(folder.path(), &format!("check {image} --for azure-gen1 --instance-type mac1.metal"), 1);
    assert!(mac.contains("size: none: mac1.metal is a Mac"), "{mac}");
    assert!(!mac.contains("$0.00 of"), "{mac}");
}

#[test]
fn the_page_of_all_rules_is_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let page = refloat(folder.path(), "rules --markdown", 0);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../RULES.md");
    let kept = fs::read_to_string(kept).unwrap_or_default();
    assert!(page == kept, "RULES.md is not of today: cargo xtask rules-page writes it");
    let one = refloat(folder.path(), "rules linux.initramfs.hyperv", 0);
    assert!(one.contains("\nsymptom  "), "{one}");
    assert!(refloat(folder.path(), "rules azure-vm.disk-count", 0).contains("by hand"));
}

//! The reports of a check: SARIF and JUnit judged by their published schemas, the page of HTML looked at in
//! Chromium, on synthetic guests of every kind.
//!
//! `REFLOAT_BLESS=1 cargo nextest run -p guestfix --test reports` writes the golden pictures anew: look at them.

use std::fs;
use std::path::{Path, PathBuf};

use guestfix::instance::Hardware;
use guestfix::plan::assess;
use guestfix::report::{Drift, FailOn, Gate, Kind, Report, Waiver};
use guestfix::rules::packs::PACKS;
use guestfix::sizing::{self, Sizing, Wishes};
use guestfix::tree::Tree;
use guestfix::{Goal, Severity};
use jsonschema::Validator;
use libdisk::block::{Disk, FileDisk};
use serde_json::{Value, json};
use testimages::synthetic::{self, SyntheticGuest};
use testimages::{length, reports};

mod support;

use support::{fixed, goal};

/// Guests that differ in their loaders, their volumes and what is wrong with them.
const FEW: [&str; 5] = ["debian-mbr-ext4", "debian-gpt-efi", "rhel-9-lvm", "bare-no-os", "ubuntu-gpt-hybrid"];

/// The guests that are reported on: a few, or all where there is time.
fn guests() -> Vec<&'static SyntheticGuest> {
    match length::long() {
        true => synthetic::all().iter().chain(synthetic::windows()).collect(),
        false => FEW.map(synthetic::named).into_iter().chain(synthetic::windows().last()).collect(),
    }
}

/// The report on a guest, with its changes; `None` if it cannot be made here.
fn report(guest: &SyntheticGuest) -> Option<Report> {
    Some(report_on(guest.name, FileDisk::open(&guest.path()?).unwrap().disk(), &goal(guest)))
}

fn report_on(name: &str, disk: Disk, goal: &Goal) -> Report {
    let tree = Tree::open(disk).unwrap();
    let instance = sizing::instance("m5.large");
    let hardware = Hardware { instance: instance.as_ref(), ..Hardware::default() };
    let check = assess(&tree, goal, &PACKS, hardware).unwrap();
    let mut report = Report::new(&format!("{name}.img"), &tree, goal, check);
    let disks: Vec<u64> = report.machine.sizes().map(|(_, size)| size).collect();
    report.sizing = Some(Sizing::new(hardware, &disks, Wishes::default()));
    report.changes = report.check.changes(&tree).unwrap();
    report.next = vec![format!("next: refloat plan {name}.img --for {} -o plan.json", goal.target.id)];
    report
}

/// A waiver of a rule's findings.
fn waiver(rule: &str, expires: &str) -> Waiver {
    let text = json!([{ "rule": rule, "owner": "ops", "expires": expires, "reason": "known" }]);
    Waiver::read(&text.to_string()).unwrap().remove(0)
}

/// What was mended is gone, what was not is told no more, and the boot comes by other files.
#[test]
fn what_changed_since_an_earlier_report_is_told() {
    let guest = synthetic::named("debian-gpt-efi");
    let Some(before) = report(guest) else { return };
    let earlier = before.render(Kind::Json).unwrap();
    assert!(Drift::of(&earlier, &before).unwrap().is_empty());
    let few = Report::new(
        "x",
        &Tree::open(FileDisk::open(&guest.path().unwrap()).unwrap().disk()).unwrap(),
        &goal(guest),
        {
            let mut check = before.check.clone();
            check.packs.clear();
            check
        },
    );
    assert!(Drift::of(&earlier, &few).unwrap().is_empty(), "packs that were not asked found nothing");
    let Some(disk) = fixed(&guest.path().unwrap(), &goal(guest)) else { panic!("the plan mends it") };
    let after = report_on(guest.name, disk, &goal(guest));
    let drift = Drift::of(&earlier, &after).unwrap();
    assert!(after.ready && !drift.was_ready && !drift.stops_anew);
    // How much is free is told in other words, and is nothing new.
    assert!(drift.appeared.iter().all(|it| !drift.is_new(&it.rule)), "{:?}", drift.appeared);
    assert!(drift.gone.iter().any(|it| it.rule == "linux.initramfs.hyperv"), "{:?}", drift.gone);
    assert!(drift.boot.iter().any(|hop| hop.kind == "firmware"), "{:?}", drift.boot);
    let back = Drift::of(&after.render(Kind::Json).unwrap(), &before).unwrap();
    assert!(back.stops_anew && back.is_new("linux.initramfs.hyperv"));
    let gate = Gate { today: "2026-11-30".into(), ..Gate::default() };
    assert!(gate.judge(&after, Some(&drift)).passes && !gate.judge(&before, Some(&back)).passes);
    for (text, why) in
        [("{}", "no report"), ("x", "in JSON"), (r#"{"schema":"refloat.plan/3"}"#, "no report")]
    {
        assert!(Drift::of(text, &before).unwrap_err().contains(why), "{text}");
    }
}

/// A waiver changes what fails and never the verdict, and one that has expired changes nothing.
#[test]
fn what_somebody_answers_for_does_not_fail_until_the_day() {
    let guest = synthetic::named("debian-gpt-efi");
    let disk = guest.path().and_then(|path| fixed(&path, &goal(guest)));
    let Some(disk) = disk else { return };
    let report = report_on(guest.name, disk, &goal(guest));
    let on_notes = FailOn::Severity(Severity::Note);
    let rules = Gate { fail_on: Some(on_notes), ..Gate::default() }.judge(&report, None).failing;
    assert!(rules.contains(&"azure-migrate-agent.disk-least"), "{rules:?}");
    let gate = |expires: &str, fail_on: FailOn| Gate {
        fail_on: Some(fail_on),
        waivers: rules.iter().map(|rule| waiver(rule, expires)).collect(),
        today: "2026-11-30".into(),
        ..Gate::default()
    };
    let waived = gate("2026-11-30", on_notes).judge(&report, None);
    assert!(waived.passes && waived.waived.len() == rules.len() && waived.expired.is_empty());
    let expired = gate("2026-11-29", on_notes).judge(&report, None);
    assert!(!expired.passes && expired.expired.len() == rules.len() && expired.failing == rules);
    assert!(gate("2026-11-29", FailOn::Never).judge(&report, None).passes);
    let skip: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    assert!(Gate { fail_on: Some(on_notes), skip, ..Gate::default() }.judge(&report, None).passes);
    let only =
        Gate { fail_on: Some(on_notes), only: vec!["linux.fstab.device-names".into()], ..Gate::default() };
    assert!(only.judge(&report, None).passes);
    for (text, why) in [
        (r#"[{"rule":"none","owner":"a","expires":"2026-12-31","reason":"b"}]"#, "no rule none"),
        (r#"[{"rule":"linux.sshd","owner":"a","expires":"2026-13-31","reason":"b"}]"#, "no day"),
        (r#"[{"rule":"linux.sshd","owner":" ","expires":"2026-12-31","reason":"b"}]"#, "an owner"),
        (r#"[{"rule":"linux.sshd"}]"#, "no list"),
    ] {
        assert!(Waiver::read(text).unwrap_err().contains(why), "{text}");
    }
}

#[test]
fn what_every_reader_of_reports_wants_is_there() {
    let validator = reports::sarif_schema().map(|schema| jsonschema::validator_for(&schema).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut junit = Vec::new();
    for guest in guests() {
        let Some(report) = report(guest) else { continue };
        let file = folder.path().join(format!("{}.xml", guest.name));
        fs::write(&file, report.render(Kind::Junit).unwrap()).unwrap();
        junit.push(file);
        let sarif: Value = serde_json::from_str(&report.render(Kind::Sarif).unwrap()).unwrap();
        if let Some(validator) = &validator {
            let wrong: Vec<String> = validator
                .iter_errors(&sarif)
                .map(|error| format!("{} {error}", error.instance_path()))
                .collect();
            assert_eq!(wrong, [""; 0], "{}", guest.name);
            planted(validator, &sarif);
        }
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        let failed = results.iter().filter(|result| result["kind"] == "fail").count();
        let found =
            report.items().filter(|item| matches!(item.verdict, guestfix::plan::Verdict::Wrong { .. }));
        assert!(failed >= found.count(), "{}", guest.name);
        let html = report.render(Kind::Html).unwrap();
        assert!(html.len() < 300 << 10, "{}: {} bytes of HTML", guest.name, html.len());
        for kind in Kind::ALL {
            let text = report.render(kind).unwrap();
            assert!(text.ends_with('\n') && !text.contains('\u{1b}'), "{}: {}", guest.name, kind.name());
        }
        let lines = report.render(Kind::Jsonl).unwrap();
        assert_eq!(lines.lines().count(), report.items().count() + 1);
        lines.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).unwrap()));
    }
    if !junit.is_empty() {
        reports::junit(&junit);
    }
}

/// The judge sees a result without its message, and a level that there is none of.
fn planted(validator: &Validator, sarif: &Value) {
    for (pointer, wrong) in
        [("/runs/0/results/0/message", json!(null)), ("/runs/0/results/0/level", json!("grave"))]
    {
        let mut planted = sarif.clone();
        *planted.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&planted), "{pointer}");
    }
}

/// The page as it is looked at: how wide, in which colours, and the golden picture, where there is one.
const LOOKS: [(&str, u32, &str, Option<&str>); 3] = [
    ("debian-gpt-efi", 1100, "light", Some("page-light.png")),
    ("debian-gpt-efi", 1100, "dark", Some("page-dark.png")),
    ("rhel-9-lvm", 390, "light", None),
];
/// By how much in percent a picture may differ from its golden one: other fonts, not other pages.
const TOLERANCE: f64 = 3.0;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn the_page_is_one_that_everybody_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = Vec::new();
    for (name, width, scheme, picture) in LOOKS {
        let Some(report) = report(synthetic::named(name)) else { return };
        let html = folder.path().join(format!("{name}.html"));
        fs::write(&html, report.render(Kind::Html).unwrap()).unwrap();
        let png = folder.path().join(format!("{name}-{width}-{scheme}.png"));
        let golden = picture.map(golden);
        jobs.push(json!({
            "html": html, "width": width, "height": 1650, "scheme": scheme, "png": png, "golden": golden,
        }));
    }
    let Some(seen) = reports::look(&Value::from(jobs.clone())) else { return };
    let bless = std::env::var_os("REFLOAT_BLESS").is_some();
    for ((job, seen), (name, width, scheme, picture)) in jobs.iter().zip(&seen).zip(LOOKS) {
        let it = format!("{name}, {width}, {scheme}");
        for fault in ["errors", "violations", "wide"] {
            assert_eq!(seen[fault], json!([]), "{it}: {fault}");
        }
        let requests = seen["requests"].as_array().unwrap();
        assert_eq!(requests.len(), 1, "{it}: {requests:?}");
        assert_eq!(seen["scripts"], 0, "{it}");
        assert_eq!((&seen["reached"], &seen["unseen"]), (&seen["usable"], &json!(0)), "{it}: by keyboard");
        assert!(seen["usable"].as_u64() > Some(8), "{it}");
        let Some(picture) = picture.map(golden) else { continue };
        if bless {
            fs::copy(job["png"].as_str().unwrap(), &picture).unwrap();
            continue;
        }
        let difference = seen["difference"].as_f64().unwrap_or(100.0);
        assert!(
            difference < TOLERANCE,
            "{it}: {difference:.1} % off {}: look at it, and bless it with REFLOAT_BLESS=1",
            picture.display()
        );
    }
}

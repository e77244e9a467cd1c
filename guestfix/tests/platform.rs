//! A platform is data: its names and numbers are in one folder, and another platform is one file more.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use guestfix::plan::{Check, Remedy, Verdict, check};
use guestfix::platform::{Target, azure, hyperv};
use guestfix::rule::Place;
use guestfix::tree::Tree;
use guestfix::{Goal, rules};
use libdisk::block::FileDisk;
use testimages::synthetic::{self, Generation, SyntheticGuest};

/// What only `guestfix/src/platform` may say: names of drivers, addresses and numbers of a platform.
const ITS_OWN: [&str; 8] =
    ["hv_", "pci_hyperv", "pci-hyperv", "4095 <<", "4095 GiB", "9001", "169.254.", "168.63.129"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files below a folder, those of tests aside.
fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_test = ["tests", "testing", "testing.rs", "tests.rs", "azmigrate.rs", "target", "platform"];
        if is_test.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            sources(&path, out);
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
}

#[test]
fn no_name_and_no_number_of_a_platform_is_anywhere_else() {
    let mut files = Vec::new();
    for folder in ["guestfix/src", "guestfix/initramfs/src", "tools/refloat/src", "libdisk"] {
        sources(&root().join(folder), &mut files);
    }
    // What speaks to Azure knows where its services are; what a guest is like there is not its matter. And what
    // a serial console shows is told in its own words, whatever the platform.
    let has_own_words = |part: &OsStr| part == "azure" || part == "symptoms";
    files.retain(|file| !file.components().any(|part| has_own_words(part.as_os_str())));
    assert!(files.len() > 200, "only {} files were looked at", files.len());
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            // a comment may name what it likes
            let code = line.trim_start();
            let is_id = code.starts_with("id: \"");
            if !code.starts_with("//") && !is_id && ITS_OWN.iter().any(|own| code.contains(own)) {
                found.push(format!("{}:{}: {code}", file.display(), number + 1));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

fn checked(guest: &SyntheticGuest, target: &'static Target) -> Option<Check> {
    let tree = Tree::open(FileDisk::open(&guest.path()?).unwrap().disk()).unwrap();
    Some(check(&tree, &Goal::new(target)).unwrap())
}

fn verdict<'a>(check: &'a Check, rule: &str) -> &'a Verdict {
    &check.items.iter().find(|item| item.rule == rule).unwrap_or_else(|| panic!("no {rule}")).verdict
}

/// Where the faults are, and what can be done; the words name the platform.
fn places(verdict: &Verdict) -> (Vec<&Place>, Option<bool>) {
    match verdict {
        Verdict::Wrong { evidence, remedy } => {
            (evidence.iter().map(|evidence| &evidence.place).collect(), Some(*remedy == Remedy::Fix))
        }
        _ => (Vec::new(), None),
    }
}

/// The same devices, so the same faults of drivers, boot and mounts; nothing of what the cloud alone wants.
#[test]
fn a_host_of_ones_own_wants_the_drivers_of_azure_and_nothing_else_of_it() {
    let cloud_only: Vec<&str> = rules::ALL
        .iter()
        .filter(|rule| rule.meta.applies.platform.is_some())
        .map(|rule| rule.meta.id)
        .collect();
    assert!(cloud_only.contains(&"linux.agent.installed") && cloud_only.contains(&"disk.size-mib"));
    let (mut looked_at, mut faults) = (0, 0);
    for guest in synthetic::all() {
        let (cloud, own) = match guest.generation {
            Generation::Gen1 => (&azure::GEN1, &hyperv::GEN1),
            Generation::Gen2 => (&azure::GEN2, &hyperv::GEN2),
        };
        let (Some(cloud), Some(own)) = (checked(guest, cloud), checked(guest, own)) else { return };
        for rule in rules::ALL {
            let id = rule.meta.id;
            if cloud_only.contains(&id) {
                let is_not = matches!(verdict(&own, id), Verdict::NotApplicable { .. });
                assert!(is_not, "{}: {id}: {:?}", guest.name, verdict(&own, id));
            } else {
                assert_eq!(places(verdict(&own, id)), places(verdict(&cloud, id)), "{}: {id}", guest.name);
                faults += usize::from(matches!(verdict(&own, id), Verdict::Wrong { .. }));
            }
        }
        looked_at += 1;
    }
    assert!(looked_at > 5 && faults > 20, "{looked_at} guests, {faults} faults");
}

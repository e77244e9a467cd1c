//! What every rule finds on every synthetic guest, against golden files: one line for each piece of evidence.
//!
//! `REFLOAT_BLESS=1 cargo test -p guestfix --test rules` writes the golden files.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use guestfix::facts::SignatureKind;
use guestfix::plan::{Check, Identity, Remedy, Verdict, check, plan};
use guestfix::platform::azure;
use guestfix::rule::CloudInit;
use guestfix::tree::Tree;
use guestfix::{Error, Goal, Severity, View, apply};
use libdisk::block::{Disk, FileDisk, Silent};
use testimages::judge;
use testimages::synthetic::{self, Generation, SyntheticGuest};

mod expected;

use expected::EXPECTED;

fn goal(guest: &SyntheticGuest, cloud_init: CloudInit) -> Goal {
    let target = match guest.generation {
        Generation::Gen1 => &azure::GEN1,
        Generation::Gen2 => &azure::GEN2,
    };
    Goal { cloud_init, ..Goal::new(target) }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"))
}

/// "rule-id  fix|hand  place  what", one line for each piece of evidence.
fn lines(check: &Check) -> String {
    let mut out = String::new();
    for item in &check.items {
        for unread in &item.unread {
            writeln!(out, "{}  unknown  {}  {}", item.rule, unread.place, unread.what).unwrap();
        }
        let Verdict::Wrong { evidence, remedy } = &item.verdict else { continue };
        let remedy = if *remedy == Remedy::Fix { "fix" } else { "by hand" };
        for evidence in evidence {
            writeln!(out, "{}  {remedy}  {}  {}", item.rule, evidence.place, evidence.what).unwrap();
        }
    }
    out
}

#[test]
fn every_synthetic_guest_has_the_findings_it_was_made_for() {
    let bless = std::env::var_os("REFLOAT_BLESS").is_some();
    for guest in synthetic::all() {
        let Some(path) = guest.path() else { return };
        let tree = Tree::open(FileDisk::open(&path).unwrap().disk()).unwrap();
        let found = lines(&check(&tree, &goal(guest, CloudInit::Disable)).unwrap());
        let golden = golden(guest.name);
        if bless {
            fs::write(&golden, &found).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(found, expected, "{}: REFLOAT_BLESS=1 accepts what is new", guest.name);
    }
}

/// The verdict and the blockers of every guest are those that a person wrote down.
#[test]
fn every_synthetic_guest_is_what_was_written_down_by_hand() {
    for guest in synthetic::all() {
        let Some(path) = guest.path() else { return };
        let tree = Tree::open(FileDisk::open(&path).unwrap().disk()).unwrap();
        let check = check(&tree, &goal(guest, CloudInit::Disable)).unwrap();
        let row = EXPECTED.iter().find(|(name, ..)| *name == guest.name);
        let (name, verdict, blockers) = row.unwrap_or_else(|| panic!("nobody expects {}", guest.name));
        let found: Vec<(&str, &str, String)> = check
            .faults(Severity::Blocker)
            .map(|(item, evidence, remedy)| {
                let place = &evidence[0].place;
                let place = place.path().map_or_else(|| place.to_string(), str::to_owned);
                (item.rule, if *remedy == Remedy::Fix { "fix" } else { "by hand" }, place)
            })
            .collect();
        let wanted: Vec<(&str, &str, String)> =
            blockers.iter().map(|(rule, remedy, place)| (*rule, *remedy, (*place).to_owned())).collect();
        assert_eq!(found, wanted, "{name}");
        let unknown: Vec<&str> = check.unknown().map(|item| item.rule).collect();
        assert_eq!(unknown, [""; 0], "{name}");
        let is = match (check.ready(), check.fixable()) {
            (true, _) => expected::Verdict::Ready,
            (false, true) => expected::Verdict::Fixable,
            (false, false) => expected::Verdict::ByHand,
        };
        assert_eq!(is, *verdict, "{name}");
    }
}

/// The path through the fixes that is not the default: cloud-init is kept. A second plan is empty here too.
#[test]
fn a_guest_that_keeps_cloud_init_is_mended_once() {
    let mut mended = 0;
    for guest in synthetic::all() {
        let Some(path) = guest.path() else { return };
        let disk: Disk = FileDisk::open(&path).unwrap().disk();
        let goal = goal(guest, CloudInit::Azure);
        let identity = [Identity::of("disk.img", &disk).unwrap()];
        let tree = Tree::open(disk.clone()).unwrap();
        let first = match plan(&tree, &identity, &goal) {
            Ok(plan) => plan,
            Err(Error::Refused(_)) => continue,
            Err(error) => panic!("{}: {error:?}", guest.name),
        };
        let sealed = apply::apply(disk, &identity, &first, &Silent).unwrap().remove(0);
        let identity = [Identity::of("disk.img", &sealed.disk()).unwrap()];
        let second = plan(&Tree::open(sealed.disk()).unwrap(), &identity, &goal).unwrap();
        assert_eq!(second.steps, [], "{}", guest.name);
        mended += usize::from(!first.steps.is_empty());
    }
    assert!(mended > 0, "no guest was mended");
}

/// The guest after its plan; `None` if it cannot be made here.
fn mended(guest: &SyntheticGuest, cloud_init: CloudInit) -> Option<Tree> {
    let disk = FileDisk::open(&guest.path()?).unwrap().disk();
    let identity = [Identity::of("disk.img", &disk).unwrap()];
    let plan = plan(&Tree::open(disk.clone()).unwrap(), &identity, &goal(guest, cloud_init)).unwrap();
    let sealed = apply::apply(disk, &identity, &plan, &Silent).unwrap().remove(0);
    Some(Tree::open(sealed.disk()).unwrap())
}

/// What we leave of a grub.cfg is a script that GRUB's own parser takes.
#[test]
fn the_boot_menu_that_is_written_is_a_script_of_grub() {
    if judge::need("grub-script-check").is_none() {
        return;
    }
    for name in ["debian-mbr-ext4", "ubuntu-gpt-hybrid"] {
        let Some(tree) = mended(synthetic::named(name), CloudInit::Disable) else { return };
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), tree.read("/boot/grub/grub.cfg").unwrap().unwrap()).unwrap();
        judge::run(judge::tool("grub-script-check").arg(file.path()));
    }
}

/// A root of XFS that was edited is whole for XFS's own judge, and the kernel reads what was written.
#[test]
fn a_root_of_xfs_is_mended() {
    if judge::need("xfs_repair").is_none() {
        return;
    }
    let guest = synthetic::named("amzn-2023");
    let dir = tempfile::tempdir().unwrap();
    let Some(copy) = guest.copy_into(dir.path()) else { return };
    let disk = FileDisk::open(&guest.path().unwrap()).unwrap().disk();
    let identity = [Identity::of("disk.img", &disk).unwrap()];
    let tree = Tree::open(disk.clone()).unwrap();
    let plan = plan(&tree, &identity, &goal(guest, CloudInit::Disable)).unwrap();
    let target = FileDisk::open_mut(&copy).unwrap().disk_mut();
    apply::apply(disk, &identity, &plan, &Silent).unwrap().remove(0).merge_into(&target).unwrap();
    target.flush().unwrap();
    let root =
        tree.machine().volumes.iter().find(|volume| volume.mounted_at.as_deref() == Some("/")).unwrap();
    assert_eq!(root.kind, Some(SignatureKind::Xfs));
    let range = root.device.range().unwrap();
    let volume = judge::cut(&copy, range.clone());
    judge::run(judge::tool("xfs_repair").args(["-n", "-f"]).arg(volume.path()));
    if judge::need_kernel_mounts() {
        let mount = judge::KernelMount::with_options(&copy, range, "ro,nouuid");
        let network = fs::read_to_string(mount.path().join("etc/systemd/network/10-azure.network")).unwrap();
        assert!(network.contains("Driver=hv_netvsc"), "{network}");
    }
}

/// Our YAML is what its readers' own parser, PyYAML, makes of it.
#[test]
fn the_yaml_that_is_written_says_what_was_meant() {
    if judge::need("python3").is_none() {
        return;
    }
    if !judge::tool("python3").args(["-c", "import yaml"]).status().unwrap().success() {
        return judge::skip("PyYAML (Debian package python3-yaml)");
    }
    let guest = synthetic::named("ubuntu-gpt-hybrid");
    let Some(tree) = mended(guest, CloudInit::Azure) else { return };
    let yaml = |path: &str| -> serde_json::Value {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), tree.read(path).unwrap().unwrap()).unwrap();
        let program = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
        let output = judge::run(judge::tool("python3").args(["-c", program]).arg(file.path()));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let network = yaml("/etc/netplan/90-azure.yaml");
    let eth0 = &network["network"]["ethernets"]["eth0"];
    assert_eq!(eth0["dhcp4"], true);
    assert_eq!(eth0["match"], serde_json::json!({ "driver": "hv_netvsc", "name": "eth0" }));
    assert_eq!(
        yaml("/etc/cloud/cloud.cfg.d/91-azure_datasource.cfg")["datasource_list"],
        serde_json::json!(["Azure"])
    );
    let specialized = yaml("/etc/cloud/cloud.cfg.d/95-azure-specialized.cfg");
    assert_eq!(specialized["ssh_deletekeys"], false);
    assert_eq!(specialized["network"]["config"], "disabled");
}

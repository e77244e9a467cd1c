//! The main job on a real guest: a Debian out of EC2, checked, fixed, converted, and booted on Hyper-V's devices.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use testimages::judge::{self, KernelMount};
use testimages::{lab, real};

use crate::program::{json, refloat};

/// Every fault that was built into it.
const FAULTS: &[&str] = &[
    "linux.initramfs.hyperv",
    "linux.initramfs.drop-in",
    "linux.fstab.device-names",
    "linux.fstab.instance-store",
    "linux.fstab.network-filesystems",
    "linux.grub.root-device",
    "linux.cloud-init",
    "linux.network.mac-pinned",
    "linux.aws.time",
];

#[test]
fn a_debian_from_ec2_is_checked_fixed_converted_and_booted() {
    let Some(image) = real::debian() else { return };
    let Some(busy) = real::debian_busy() else { return };
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    std::os::unix::fs::symlink(&image, folder.path().join("aws.raw")).unwrap();
    let before = judge::sha256(&image);
    faults_are_named_in_time(folder.path());
    plan_and_apply_in_time(folder.path());
    migrated_as_planned(folder.path(), &image);
    recovered_as_the_kernel_does(folder.path(), &busy);
    assert_eq!(judge::sha256(&image), before, "the source never changes");
    let Some(qemu) = lab::qemu() else { return };
    let broken = boot(folder.path(), "aws.raw", &qemu, 1);
    assert_eq!(broken["verdict"], "stopped", "{broken}");
    assert_eq!(broken["step"], "root", "{broken}");
    assert!(broken["evidence"].as_str().unwrap().contains("/dev/xvda1"), "{broken}");
    // The harder case of the two: the same guest, copied while it ran.
    let fixed = boot(folder.path(), "busy.vhd", &qemu, 0);
    assert_eq!(
        (&fixed["verdict"], &fixed["waited_for"]),
        (&"login".into(), &serde_json::json!([])),
        "{fixed}"
    );
}

fn boot(folder: &Path, image: &str, qemu: &Path, exit: i32) -> serde_json::Value {
    json(
        folder,
        &format!("boot {image} --for azure-gen1 --quiet --timeout 900 --qemu {}", qemu.display()),
        exit,
    )
}

/// The best of three, as the machine has other things to do, too.
fn best_of_three(mut job: impl FnMut()) -> Duration {
    let time = || {
        let start = Instant::now();
        job();
        start.elapsed()
    };
    std::iter::repeat_with(time).take(3).min().unwrap()
}

fn faults_are_named_in_time(folder: &Path) {
    let mut check = serde_json::Value::Null;
    let took = best_of_three(|| check = json(folder, "check aws.raw --for azure-gen1", 1));
    let wrong: Vec<&str> = check["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["verdict"] == "wrong")
        .map(|item| item["rule"].as_str().unwrap())
        .collect();
    for fault in FAULTS {
        assert!(wrong.contains(fault), "{fault} is not among {wrong:?}");
    }
    eprintln!("check took {took:?}");
    assert!(took < Duration::from_secs(2), "check took {took:?}");
}

fn plan_and_apply_in_time(folder: &Path) {
    let took = best_of_three(|| {
        refloat(folder, "plan aws.raw --for azure-gen1 -o plan.json", 0);
        refloat(folder, "apply plan.json -o fixed.qcow2 --force", 0);
    });
    eprintln!("plan and apply took {took:?}");
    assert!(took < Duration::from_secs(10), "plan and apply took {took:?}");
    judge::qemu_img_check(&folder.join("fixed.qcow2"), "qcow2");
}

/// The VHD is what qemu-img says the overlay is, and differs from the source, as files, only where the plan says.
fn migrated_as_planned(folder: &Path, source: &Path) {
    refloat(folder, "migrate aws.raw azure.vhd --for azure-gen1", 0);
    let vhd = folder.join("azure.vhd");
    let info = judge::qemu_img_info(&vhd, "vpc");
    assert_eq!(info["virtual-size"], 2_u64 << 30);
    judge::qemu_img_compare((&folder.join("fixed.qcow2"), "qcow2"), (&vhd, "vpc"));
    judge::e2fsck_clean(&vhd, real::DEBIAN_ROOT.start);
    only_planned_changes(folder, &manifest(source), &manifest(&vhd));
}

/// A snapshot of the running guest: its journal is replayed, visibly and first, into what the kernel makes of it.
fn recovered_as_the_kernel_does(folder: &Path, snapshot: &Path) {
    let dirty = judge::run(judge::tool("dumpe2fs").arg("-h").arg(format!(
        "{}?offset={}",
        snapshot.display(),
        real::DEBIAN_ROOT.start
    )));
    let dirty = String::from_utf8_lossy(&dirty.stdout).into_owned();
    let log_start = dirty.lines().find_map(|line| line.strip_prefix("Journal start:"));
    assert!(
        dirty.contains("needs_recovery") && log_start.is_some_and(|start| start.trim() != "0"),
        "{dirty}"
    );

    std::os::unix::fs::symlink(snapshot, folder.join("busy.raw")).unwrap();
    let start = Instant::now();
    refloat(folder, "migrate busy.raw busy.vhd --for azure-gen1 --plan plan.json", 0);
    eprintln!("the busy guest was migrated in {:?}", start.elapsed());
    assert_eq!(plan(folder)["steps"][0]["op"], "replay-journal");
    let vhd = folder.join("busy.vhd");
    judge::e2fsck_clean(&vhd, real::DEBIAN_ROOT.start);

    let recovered = folder.join("recovered.raw");
    judge::run(judge::tool("cp").arg("--sparse=always").args([snapshot, &recovered]));
    judge::run(judge::tool("chmod").arg("u+w").arg(&recovered));
    let mount = KernelMount::read_write(&recovered, real::DEBIAN_ROOT);
    only_planned_changes(folder, &judge::manifest(mount.path()), &manifest(&vhd));
    drop(mount);
    std::fs::remove_file(recovered).unwrap();
}

fn plan(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap()
}

/// Two trees of files differ only where the plan says.
fn only_planned_changes(folder: &Path, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    let plan = plan(folder);
    let named: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().filter_map(|step| step["path"].as_str()).collect();
    let changed = |path: &&String| before.get(*path) != after.get(*path);
    for path in before.keys().chain(after.keys()).filter(changed) {
        let planned = named.iter().any(|name| name == path || name.starts_with(&format!("{path}/")));
        assert!(planned, "{path} is not in the plan: {:?}, {:?}", before.get(path), after.get(path));
    }
}

fn manifest(image: &Path) -> BTreeMap<String, String> {
    judge::manifest(KernelMount::read_only(image, real::DEBIAN_ROOT).path())
}

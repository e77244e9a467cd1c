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
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    std::os::unix::fs::symlink(&image, folder.path().join("aws.raw")).unwrap();
    let before = judge::sha256(&image);
    faults_are_named_in_time(folder.path());
    plan_and_apply_in_time(folder.path());
    migrated_as_planned(folder.path(), &image);
    assert_eq!(judge::sha256(&image), before, "the source never changes");
    let Some(qemu) = lab::qemu() else { return };
    let broken = boot(folder.path(), "aws.raw", &qemu, 1);
    assert_eq!(broken["verdict"], "stopped", "{broken}");
    assert_eq!(broken["step"], "root", "{broken}");
    assert!(broken["evidence"].as_str().unwrap().contains("/dev/xvda1"), "{broken}");
    let fixed = boot(folder.path(), "azure.vhd", &qemu, 0);
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
    let plan: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap();
    let named: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().filter_map(|step| step["path"].as_str()).collect();
    let (before, after) = (manifest(source), manifest(&vhd));
    let changed = |path: &&String| before.get(*path) != after.get(*path);
    for path in before.keys().chain(after.keys()).filter(changed) {
        let planned = named.iter().any(|name| name == path || name.starts_with(&format!("{path}/")));
        assert!(planned, "{path} is not in the plan");
    }
}

fn manifest(image: &Path) -> BTreeMap<String, String> {
    judge::manifest(KernelMount::read_only(image, real::DEBIAN_ROOT).path())
}

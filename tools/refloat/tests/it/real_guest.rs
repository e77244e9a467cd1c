//! The main job on a real guest: a Debian out of EC2, checked, fixed, converted, and booted on Hyper-V's
//! devices.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testimages::judge::{self, KernelMount};
use testimages::{lab, lvm, real};

use crate::migration::{boot, came_to_login, only_planned_changes, plan, wrong};
use crate::program::{json, refloat};

/// Every fault that was built into it.
const FAULTS: &[&str] = &[
    "linux.initramfs.hyperv",
    "linux.initramfs.drop-in",
    "linux.fstab.device-names",
    "linux.fstab.optional",
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
    let broken = boot(folder.path(), "aws.raw", "azure-gen1", Some(&qemu), 1);
    assert_eq!(broken["verdict"], "stopped", "{broken}");
    assert_eq!(broken["hop"], "root", "{broken}");
    assert!(broken["evidence"].as_str().unwrap().contains("/dev/xvda1"), "{broken}");
    // The harder case of the two: the same guest, copied while it ran.
    came_to_login(&boot(folder.path(), "busy.vhd", "azure-gen1", Some(&qemu), 0));
}

/// The card is not Azure's, but it is named as there, and what the guest does with it is its own.
#[test]
fn a_migrated_debian_takes_an_address_and_answers_on_port_22() {
    if !testimages::length::long() {
        return judge::skip("REFLOAT_LONG=1, as each of its two boots takes some minutes");
    }
    let (Some(image), Some(qemu)) = (real::debian(), lab::qemu()) else { return };
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    std::os::unix::fs::symlink(&image, folder.join("aws.raw")).unwrap();
    refloat(folder, "migrate aws.raw azure.raw --for azure-gen1", 0);
    let answers = boot(folder, "azure.raw --network", "azure-gen1", Some(&qemu), 0);
    came_to_login(&answers);
    let network = &answers["network"];
    eprintln!("{network}");
    assert_eq!((&answers["started"], &network["answered"]), (&"qemu".into(), &true.into()), "{answers}");
    assert!(network["banner"].as_str().unwrap().starts_with("SSH-2.0-OpenSSH"), "{network}");
    assert!(network["mac"].as_str().unwrap().starts_with("00:0d:3a:"), "{network}");

    let mount = KernelMount::read_write(&folder.join("azure.raw"), real::DEBIAN_ROOT);
    std::fs::write(mount.path().join("etc/network/interfaces"), "auto lo\niface lo inet loopback\n").unwrap();
    drop(mount);
    let silent = boot(folder, "azure.raw --network", "azure-gen1", Some(&qemu), 1);
    came_to_login(&silent);
    let network = &silent["network"];
    assert_eq!((&network["address"], &network["answered"]), (&false.into(), &false.into()), "{silent}");
}

/// What is wrong with the one on two disks; nothing is with its volume group.
const FAULTS_OF_TWO: &[&str] =
    &["linux.initramfs.hyperv", "linux.initramfs.drop-in", "linux.fstab.device-names", "linux.cloud-init"];

/// Where the guest on two disks is, as it is typed, and what becomes of it.
const TWO: &str = "aws.raw --disk data.raw";
const TWO_VHDS: &str = "azure.vhd --disk azure-data1.vhd";

#[test]
fn a_root_on_lvm_over_two_disks_is_migrated_and_boots() {
    let Some(images) = real::two_disks() else { return };
    let folder = tempfile::tempdir_in(testimages::cache::directory()).unwrap();
    let folder = folder.path();
    for (image, name) in images.iter().zip(["aws.raw", "data.raw"]) {
        std::os::unix::fs::symlink(image, folder.join(name)).unwrap();
    }
    let before = images.each_ref().map(|image| judge::sha256(image));
    let found = wrong(folder, TWO, "azure-gen1");
    for fault in FAULTS_OF_TWO {
        assert!(found.iter().any(|rule| rule == fault), "{fault} is not among {found:?}");
    }
    assert!(
        !found.iter().any(|rule| rule == "disk.whole" || rule == "linux.fstab.absent-disks"),
        "{found:?}"
    );

    let moved = json(folder, &format!("migrate {TWO} azure.vhd --for azure-gen1 --plan plan.json"), 0);
    assert_eq!(moved["data"].as_array().unwrap().len(), 1);
    assert_eq!(images.each_ref().map(|image| judge::sha256(image)), before, "the source never changes");
    refloat(folder, &format!("verify {TWO_VHDS}"), 0);
    let vhds = ["azure.vhd", "azure-data1.vhd"].map(|name| folder.join(name));
    judge::e2fsck_clean(&vhds[0], real::TWO_DISKS_BOOT.start);
    only_planned_changes(folder, &manifest_of_two(&images), &manifest_of_two(&vhds));

    let Some(qemu) = lab::qemu() else { return };
    // The root is whole only with both.
    came_to_login(&boot(folder, TWO_VHDS, "azure-gen1", Some(&qemu), 0));
}

/// The files of both file systems, the root's from where lvm2 has it; judged clean on the way.
fn manifest_of_two(disks: &[PathBuf; 2]) -> BTreeMap<String, String> {
    let [first, second] = real::TWO_DISKS_PHYSICAL;
    let places = [(disks[0].as_path(), first), (disks[1].as_path(), second)];
    let root = lvm::cut_from(&places, real::TWO_DISKS_ROOT);
    judge::e2fsck_clean(root.path(), 0);
    let size = root.as_file().metadata().unwrap().len();
    let mut all = judge::manifest(KernelMount::read_only(root.path(), 0..size).path());
    let boot = judge::manifest(KernelMount::with_options(&disks[0], real::TWO_DISKS_BOOT, "ro").path());
    all.extend(boot.into_iter().map(|(path, what)| (format!("/boot{path}"), what)));
    all
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
    let mut found = Vec::new();
    let took = best_of_three(|| found = wrong(folder, "aws.raw", "azure-gen1"));
    for fault in FAULTS {
        assert!(found.iter().any(|rule| rule == fault), "{fault} is not among {found:?}");
    }
    eprintln!("check took {took:?}");
    assert!(took < Duration::from_secs(2), "check took {took:?}");
}

fn plan_and_apply_in_time(folder: &Path) {
    let took = best_of_three(|| {
        refloat(folder, "plan aws.raw --for azure-gen1 -o plan.json --force", 0);
        refloat(folder, "apply plan.json -o fixed.qcow2 --force", 0);
    });
    eprintln!("plan and apply took {took:?}");
    assert!(took < Duration::from_secs(10), "plan and apply took {took:?}");
    judge::qemu_img_check(&folder.join("fixed.qcow2"), "qcow2");
}

/// The VHD is what qemu-img says the overlay is, and differs from the source, as files, only where the plan
/// says.
fn migrated_as_planned(folder: &Path, source: &Path) {
    refloat(folder, "migrate aws.raw azure.vhd --for azure-gen1", 0);
    let vhd = folder.join("azure.vhd");
    let info = judge::qemu_img_info(&vhd, "vpc");
    assert_eq!(info["virtual-size"], 2_u64 << 30);
    judge::qemu_img_compare((&folder.join("fixed.qcow2"), "qcow2"), (&vhd, "vpc"));
    judge::e2fsck_clean(&vhd, real::DEBIAN_ROOT.start);
    only_planned_changes(folder, &manifest(source), &manifest(&vhd));
}

/// A snapshot of the running guest: its journal is replayed, visibly and first, into what the kernel makes of
/// it.
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
    std::fs::remove_file(folder.join("plan.json")).unwrap();
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

fn manifest(image: &Path) -> BTreeMap<String, String> {
    judge::manifest(KernelMount::read_only(image, real::DEBIAN_ROOT).path())
}

//! A guest on logical volumes.

use guestfix::device::Logical;
use guestfix::plan::{Identity, plan};
use guestfix::platform::azure;
use guestfix::tree::Tree;
use guestfix::{Device, Goal, View, apply, inspect};
use libdisk::block::{FileDisk, Overlay, Silent};
use testimages::lvm;
use testimages::synthetic;

mod support;

use support::Place;

#[test]
fn volumes_are_found_named_and_mounted() {
    if !lvm::need() {
        return;
    }
    let Some(path) = synthetic::named("debian-lvm").path() else { return };
    let tree = Tree::open(FileDisk::open(&path).unwrap().disk()).unwrap();
    let machine = tree.machine();
    let line = |volume: &guestfix::facts::Volume| {
        let kind = volume.kind_name().unwrap_or("-");
        let point = volume.mounted_at.as_deref().unwrap_or("-");
        format!("{} {kind} {point} {}", volume.name, volume.device.size() >> 20)
    };
    let volumes: Vec<_> = machine.volumes.iter().map(line).collect();
    assert_eq!(
        volumes,
        [
            "p1 ext2 /boot 16",
            "p2 LVM2_member - 64",
            "p3 LVM2_member - 15",
            "debian-vg/root ext4 / 48",
            "debian-vg/swap_1 swap - 4",
            "debian-vg/srv ext4 /srv 8"
        ]
    );
    assert_eq!(machine.lvm.groups[0].on, ["p2", "p3"]);
    assert_eq!(machine.lvm.problems, [] as [String; 0]);
    assert_eq!(tree.read("/srv/orders.csv").unwrap().unwrap().split(|byte| *byte == b'\n').count(), 200_001);
    let facts = inspect::gather(&tree).unwrap();
    let named: Vec<_> = facts.fstab.iter().map(|mount| mount.volume.as_deref().unwrap_or("-")).collect();
    assert_eq!(named, ["debian-vg/root", "p1", "debian-vg/srv", "debian-vg/swap_1"]);
    let json = serde_json::to_value(machine).unwrap();
    assert_eq!(json["volumes"][1]["range"]["start"], 17 << 20);
    assert_eq!(json["volumes"][3]["logical"]["size"], 48 << 20);
}

#[test]
fn edits_go_through_and_nothing_is_written_beside_the_volumes() {
    if !lvm::need() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(copy) = synthetic::named("debian-lvm").copy_into(dir.path()) else { return };
    let disk = FileDisk::open(&copy).unwrap().disk();
    let tree = Tree::open(disk.clone()).unwrap();
    let goal = Goal::new(&azure::GEN1);
    let identity = [Identity::of("disk.img", &disk).unwrap()];
    let plan = plan(&tree, &identity, &goal).unwrap();
    assert!(plan.ready() && !plan.is_empty(), "{:?}", plan.by_hand);
    let sealed = apply::apply(disk.clone(), &identity, &plan, &Silent).unwrap().remove(0);

    // Nothing but volumes that are mounted has changed: their bytes set back, the disk is what it was.
    let overlay = Overlay::new(sealed.disk()).unwrap();
    for volume in tree.machine().volumes.iter().filter(|volume| volume.mounted_at.is_some()) {
        let original = volume.device.open(std::slice::from_ref(&disk)).unwrap();
        let writer = volume.device.open_mut(&[overlay.writer()]).unwrap();
        writer.write_at(&original.read_vec(0, original.size() as usize).unwrap(), 0).unwrap();
    }
    for at in (0..disk.size()).step_by(1 << 20) {
        assert!(
            overlay.disk().read_vec(at, 1 << 20).unwrap() == disk.read_vec(at, 1 << 20).unwrap(),
            "{at:#x}"
        );
    }

    let target = FileDisk::open_mut(&copy).unwrap().disk_mut();
    sealed.merge_into(&target).unwrap();
    target.flush().unwrap();
    for volume in tree.machine().volumes.iter().filter(|volume| volume.mounted_at.is_some()) {
        let place = Place::of(&copy, tree.machine(), volume);
        place.judge(volume);
        let mount = place.mount(volume);
        assert!(volume.name != "debian-vg/root" || mount.path().join("etc/fstab").exists());
    }
}

#[test]
fn a_volume_without_its_disk_is_listed_with_the_reason() {
    if !lvm::need() {
        return;
    }
    let Some(path) = synthetic::named("debian-lvm").path() else { return };
    let disk = FileDisk::open(&path).unwrap().disk();
    // The second physical volume is gone: its label, that is.
    let overlay = Overlay::new(disk).unwrap();
    overlay.writer().zero_range(81 << 20..(81 << 20) + 4096).unwrap();
    let tree = Tree::open(overlay.disk()).unwrap();
    assert!(tree.exists("/etc/fstab").unwrap());
    let srv = tree.machine().volumes.iter().find(|volume| volume.name == "debian-vg/srv").unwrap();
    let Device::Logical(Logical { refused: Some(why), .. }) = &srv.device else { panic!("{srv:?}") };
    assert!(why.contains("is missing"), "{why}");
    assert_eq!(srv.mounted_at, None);
    assert!(tree.machine().lvm.problems[0].contains(why.as_str()), "{:?}", tree.machine().lvm);
}

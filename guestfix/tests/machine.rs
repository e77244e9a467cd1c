//! A guest of several disks: a volume group on two of them, and a third that fstab mounts.

use std::path::PathBuf;

use guestfix::edit::{Before, Content, Ownership, Step};
use guestfix::plan::{Identity, Plan, Verdict, check, plan};
use guestfix::platform::azure;
use guestfix::tree::Tree;
use guestfix::{Disks, Edit, Error, Goal, View, apply};
use libdisk::block::{Disk, FileDisk, Memory, Overlay, Silent};
use testimages::{judge, lvm, synthetic};

const GOAL: Goal = Goal::new(&azure::GEN1);

fn paths() -> Option<Vec<PathBuf>> {
    if !lvm::need() {
        return None;
    }
    synthetic::machines().iter().find(|machine| machine.name == "debian-three-disks")?.paths()
}

fn disks(paths: &[PathBuf]) -> Vec<Disk> {
    paths.iter().map(|path| FileDisk::open(path).unwrap().disk()).collect()
}

fn identities(disks: &[Disk]) -> Vec<Identity> {
    disks.iter().map(|disk| Identity::of("a disk", disk).unwrap()).collect()
}

fn plan_of(disks: &[Disk]) -> Plan {
    let tree = Tree::open(disks.to_vec()).unwrap();
    plan(&tree, &identities(disks), &GOAL).unwrap()
}

#[test]
fn volumes_are_found_named_and_mounted_over_all_disks() {
    let Some(paths) = paths() else { return };
    let tree = Tree::open(disks(&paths)).unwrap();
    let machine = tree.machine();
    let line = |volume: &guestfix::facts::Volume| {
        let kind = volume.kind_name().unwrap_or("-");
        let point = volume.mounted_at.as_deref().unwrap_or("-");
        format!("{} {kind} {point} {:?}", volume.name, volume.device.disks())
    };
    assert_eq!(
        machine.volumes.iter().map(line).collect::<Vec<_>>(),
        [
            "p1 ext2 /boot [0]",
            "p2 LVM2_member - [0]",
            "disk2 LVM2_member - [1]",
            "disk3 ext4 /data [2]",
            "debian-vg/root ext4 / [0, 1]",
            "debian-vg/swap_1 swap - [0]",
            "debian-vg/srv ext4 /srv [0, 1]"
        ]
    );
    assert_eq!(machine.lvm.groups[0].on, ["p2", "disk2"]);
    assert_eq!(machine.lvm.problems, [] as [String; 0]);
    assert_eq!(machine.data_disks.iter().map(|disk| disk.size >> 20).collect::<Vec<_>>(), [32, 24]);
    assert_eq!(tree.read("/srv/orders.csv").unwrap().unwrap().split(|byte| *byte == b'\n').count(), 200_001);
    assert!(tree.text("/data/customers.csv").unwrap().unwrap().starts_with("customer,city\n"));
    let json = serde_json::to_value(machine).unwrap();
    assert_eq!(
        (&json["volumes"][3]["range"]["disk"], &json["volumes"][3]["range"]["start"]),
        (&2.into(), &0.into())
    );
}

#[test]
fn a_check_names_no_disk_that_is_here() {
    let Some(paths) = paths() else { return };
    let all = disks(&paths);
    let wrong = |disks: &[Disk]| -> Vec<String> {
        let check = check(&Tree::open(disks.to_vec()).unwrap(), &GOAL).unwrap();
        let items = check.items.iter().filter(|item| matches!(item.verdict, Verdict::Wrong { .. }));
        items.map(|item| item.rule.to_owned()).collect()
    };
    let found = wrong(&all);
    assert!(
        !found.iter().any(|rule| rule == "linux.fstab.absent-disks" || rule == "disk.whole"),
        "{found:?}"
    );
    // Without the third disk fstab waits for it.
    let found = wrong(&all[..2]);
    assert!(found.iter().any(|rule| rule == "linux.fstab.absent-disks"), "{found:?}");
}

#[test]
fn a_plan_is_applied_over_all_disks_and_a_second_one_is_empty() {
    let Some(paths) = paths() else { return };
    let all = disks(&paths);
    let mut plan = plan_of(&all);
    assert!(plan.ready() && !plan.is_empty(), "{:?}", plan.by_hand);
    assert_eq!(Plan::from_json(&plan.to_json().unwrap()).unwrap(), plan);
    // Something for each of the disks: one that is a file system of its own is written as well.
    // Something for each of the disks: /srv is in stripes on two of them.
    let paths = ["/data/new.csv", "/srv/new.csv"];
    for path in paths {
        let edit = Edit::PutFile {
            path: path.to_owned(),
            before: Before::Absent,
            content: Content::Text("new\n".repeat(100_000)),
            ownership: Ownership { mode: 0o644, ..Ownership::default() },
            rendering: vec![],
        };
        plan.steps.push(Step { rules: vec!["a test".into()], edit });
    }

    let sealed = apply::apply(all.clone(), &identities(&all), &plan, &Silent).unwrap();
    assert_eq!(sealed.len(), 3);
    assert!(sealed.iter().all(|sealed| !sealed.dirty().is_empty()), "each disk has changes");
    let fixed: Vec<_> = sealed.iter().map(|sealed| sealed.disk()).collect();
    let tree = Tree::open(fixed.clone()).unwrap();
    assert!(paths.iter().all(|path| tree.exists(path).unwrap()));
    assert_eq!(plan_of(&fixed).steps, []);

    // For the file systems' own judges, where lvm2 has them.
    let folder = tempfile::tempdir().unwrap();
    let machine = synthetic::machines()[0];
    let copies = machine.copy_into(folder.path()).unwrap();
    for (copy, sealed) in copies.iter().zip(&sealed) {
        let target = FileDisk::open_mut(copy).unwrap().disk_mut();
        sealed.merge_into(&target).unwrap();
        target.flush().unwrap();
    }
    let physical = [(copies[0].as_path(), 17 << 20..64 << 20), (copies[1].as_path(), 0..32 << 20)];
    for name in ["debian-vg/root", "debian-vg/srv"] {
        judge::e2fsck_clean(lvm::cut_from(&physical, name).path(), 0);
    }
    judge::e2fsck_clean(&copies[0], 1 << 20);
    judge::e2fsck_clean(&copies[2], 0);
}

#[test]
fn a_plan_refuses_other_disks_in_number_order_and_content() {
    let Some(paths) = paths() else { return };
    let all = disks(&paths);
    let plan = plan_of(&all);
    let refused = |disks: &[Disk]| {
        let refused = apply::apply(disks.to_vec(), &identities(disks), &plan, &Silent).unwrap_err();
        assert!(matches!(refused, Error::OtherImage { .. }), "{refused:?}");
        refused.to_string()
    };
    assert!(refused(&all[..2]).contains("it has 2 disks, and the plan's had 3"));
    refused(&[all[1].clone(), all[0].clone(), all[2].clone()]);
    assert!(refused(&[all[0].clone(), all[2].clone(), all[1].clone()]).contains("disk 2: "));
    let other = Overlay::new(all[2].clone()).unwrap();
    other.writer().write_at(b"label", 1024 + 120).unwrap();
    assert!(refused(&[all[0].clone(), all[1].clone(), other.disk()]).contains("disk 3: "));
}

#[test]
fn a_data_disk_that_cannot_be_told_costs_only_what_is_on_it() {
    let Some(path) = synthetic::demo().path() else { return };
    let os = FileDisk::open(&path).unwrap().disk();
    // An MBR whose partition reaches past the end of the disk.
    let mut damaged = vec![0; 1 << 20];
    damaged[446 + 4] = 0x83;
    damaged[446 + 8..446 + 16].copy_from_slice(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]);
    damaged[510..512].copy_from_slice(&[0x55, 0xaa]);
    let damaged = Disk::new(Memory::new(damaged));
    let tree = Tree::open(Disks::from(vec![os, damaged.clone()])).unwrap();
    assert!(tree.exists("/etc/fstab").unwrap());
    let disk = &tree.machine().data_disks[0];
    assert!(disk.name == "disk2" && disk.unreadable.is_some(), "{disk:?}");
    assert!(Tree::open(damaged).is_err(), "as the first disk it is an error");
}

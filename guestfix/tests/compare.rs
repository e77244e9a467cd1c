//! What changed in what boots, between two states of synthetic guests.

mod support;

use guestfix::bootwalk::{Change, Compared, compare, walk};
use guestfix::device::Device;
use guestfix::facts::Machine;
use guestfix::tree::Tree;
use guestfix::unread::Noting;
use guestfix::{Stage, View};
use libdisk::block::FileDisk;
use libdisk::vfs::FileType;
use support::{Changed, goal};
use testimages::synthetic::{self, SyntheticGuest};

fn tree(guest: &SyntheticGuest) -> Option<Tree> {
    Some(Tree::open(FileDisk::open(&guest.path()?).unwrap().disk()).unwrap())
}

fn changed(guest: &SyntheticGuest, files: &[(&str, Option<&str>)]) -> Option<Compared> {
    let (tree, goal) = (tree(guest)?, goal(guest));
    let files = files.iter().map(|(path, text)| {
        let path = tree.resolve(path).unwrap().unwrap_or_else(|| panic!("there is no {path}"));
        (path, text.map(|text| text.as_bytes().to_vec()))
    });
    let new = Changed::new(&tree, files.collect::<Vec<_>>());
    Some(compare(&tree, &new, &goal).unwrap())
}

fn told(found: &Compared) -> Vec<String> {
    found.differences.iter().map(|it| format!("{} {}", it.change.name(), it.place)).collect()
}

#[test]
fn a_guest_boots_by_what_it_booted_by() {
    for guest in synthetic::all() {
        let Some(found) = changed(guest, &[]) else { return };
        assert_eq!(told(&found), [""; 0], "{}", guest.name);
        assert!(found.compared > 5, "{}: {}", guest.name, found.compared);
    }
}

#[test]
fn a_file_that_a_boot_reads_is_shown_as_a_diff() {
    let guest = synthetic::demo();
    let fstab = "/dev/sda1 / ext4 defaults 0 1\n";
    let Some(found) = changed(
        guest,
        &[
            ("/etc/fstab", Some(fstab)),
            ("/usr/share/ec2-instance-connect/eic_run_authorized_keys", Some("exit 1")),
        ],
    ) else {
        return;
    };
    assert_eq!(told(&found), ["changed /etc/fstab"]);
    let diff = found.differences[0].diff.as_ref().expect("a text").to_string();
    assert!(diff.contains("+/dev/sda1 / ext4 defaults 0 1") && diff.contains("--- a/etc/fstab"), "{diff}");
}

/// The demo's initramfs has no driver for Azure: unmended, its boot ends there.
#[test]
fn what_lies_behind_a_fault_that_can_be_mended_is_compared() {
    let guest = synthetic::demo();
    for path in ["/etc/ssh/sshd_config", "/home/admin/.ssh/authorized_keys"] {
        let Some(found) = changed(guest, &[(path, Some("AllowUsers nobody\n"))]) else { return };
        assert!(told(&found).contains(&format!("changed {path}")), "{:?}", told(&found));
    }
}

#[test]
fn what_names_a_volume_and_where_it_is_are_compared() {
    let guest = synthetic::demo();
    let (Some(tree), goal) = (tree(guest), goal(guest)) else { return };
    type Edit = fn(&mut Machine);
    let kinds: [(&str, Edit); 5] = [
        ("UUID", |machine| machine.volumes[0].uuid = Some("0-0".to_owned())),
        ("label", |machine| machine.volumes[0].label = Some("other".to_owned())),
        ("PARTUUID", |machine| machine.volumes[0].partuuid = Some("0-1".to_owned())),
        ("where", |machine| {
            let Device::Range(part) = &mut machine.volumes[0].device else { unreachable!("a partition") };
            part.range.end += 1 << 20;
        }),
        ("what is on it", |machine| machine.volumes[0].kind = None),
    ];
    for (what, change) in kinds {
        let mut new = Changed::new(&tree, []);
        change(&mut new.machine);
        let name = format!("changed {}", new.machine.volumes[0].name);
        let found = compare(&tree, &new, &goal).unwrap();
        assert!(told(&found).contains(&name), "{what}: {:?}", told(&found));
        let diff = found.differences.iter().find_map(|it| it.diff.as_ref()).expect("a text").to_string();
        assert!(diff.contains(&format!("-{what}: ")) || diff.contains(&format!("+{what}: ")), "{diff}");
    }
    // Free space decides nothing.
    let mut new = Changed::new(&tree, []);
    new.machine.volumes[0].free = Some(1);
    new.machine.size += 1 << 30;
    assert_eq!(told(&compare(&tree, &new, &goal).unwrap()), [""; 0]);
}

#[test]
fn a_secret_that_changed_is_told_and_not_shown() {
    let guest = synthetic::demo();
    let shadow = "root:$6$salt$aVeryPrivateHash:19000:0:99999:7:::\n";
    let Some(found) = changed(guest, &[("/etc/shadow", Some(shadow))]) else { return };
    assert_eq!(told(&found), ["changed /etc/shadow"]);
    assert!(found.differences[0].diff.is_none());
}

/// Whatever makes the walk end otherwise is a difference: each file of a guest is taken away in turn.
#[test]
fn no_file_that_changes_the_walk_is_missed() {
    let guest = synthetic::demo();
    let (Some(tree), goal) = (tree(guest), goal(guest)) else { return };
    let walked = |view: &dyn View| {
        let noting = Noting::new(view);
        walk(&Stage::new(&noting, &goal).guest().unwrap()).unwrap()
    };
    let whole = walked(&tree);
    let mut files = Vec::new();
    tree.walk(&mut |path, metadata| {
        if metadata.file_type == FileType::Regular {
            files.push(String::from_utf8(path.to_vec()).unwrap());
        }
        Ok(())
    })
    .unwrap();
    let mut decisive = 0;
    for path in files {
        let without = Changed::new(&tree, [(path.clone(), None)]);
        if walked(&without) == whole {
            continue;
        }
        decisive += 1;
        let found = compare(&tree, &without, &goal).unwrap();
        let is_told = found.differences.iter().any(|it| it.change == Change::Removed);
        assert!(is_told, "{path} is gone, and what is told is {:?}", told(&found));
    }
    assert!(decisive > 20, "{decisive} files decide the walk");
}

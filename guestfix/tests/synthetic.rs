//! The laws, over every synthetic guest, with all rules and the real drivers, judged by programs that are not
//! ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use guestfix::edit::Edit;
use guestfix::facts::{Machine, SignatureKind, Volume};
use guestfix::plan::{Identity, Plan, plan};
use guestfix::platform::azure;
use guestfix::tree::Tree;
use guestfix::undo::{self, Prepared};
use guestfix::{Error, Goal, View, apply};
use libdisk::block::{Disk, FileDisk, Sealed, Silent, digest};
use libdisk::image::in_use::Exclusive;
use libdisk::image::{raw, vhd};
use testimages::judge;
use testimages::synthetic::{self, Generation, SyntheticGuest};

mod support;

use support::Place;

fn goal(guest: &SyntheticGuest) -> Goal {
    let target = match guest.generation {
        Generation::Gen1 => &azure::GEN1,
        Generation::Gen2 => &azure::GEN2,
    };
    Goal::new(target)
}

fn disk(path: &Path) -> Disk {
    FileDisk::open(path).unwrap().disk()
}

fn plan_of(disk: &Disk, goal: &Goal) -> guestfix::Result<Plan> {
    let tree = Tree::open(disk.clone())?;
    plan(&tree, &[Identity::of("disk.img", disk)?], goal)
}

fn apply_to(disk: &Disk, plan: &Plan) -> guestfix::Result<Sealed> {
    let identity = Identity::of("elsewhere.img", disk)?;
    Ok(apply::apply(disk.clone(), &[identity], plan, &Silent)?.remove(0))
}

/// The plan of a guest that can be fixed. One that cannot be must say so: with a blocker that is left to the
/// user.
fn planned(guest: &SyntheticGuest, disk: &Disk) -> Option<Plan> {
    match plan_of(disk, &goal(guest)) {
        Ok(plan) => Some(plan),
        Err(Error::Refused(_)) => None,
        Err(error) => panic!("{}: {error:?}", guest.name),
    }
}

/// The paths that a plan may change, and the directories above them, which it may make.
fn allowed(plan: &Plan) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for step in &plan.steps {
        if let Edit::PutFile { path, .. } | Edit::PutLink { path, .. } | Edit::Remove { path, .. } =
            &step.edit
        {
            paths.insert(path.clone());
        }
    }
    paths
}

/// What the kernel sees on a volume, by path in the guest's tree.
fn kernel_view(image: &Path, machine: &Machine, volume: &Volume) -> BTreeMap<String, String> {
    let mount = Place::of(image, machine, volume).mount(volume);
    let point = volume.mounted_at.as_deref().unwrap_or("/").trim_end_matches('/').to_owned();
    let full = |path: String| if path == "/" { format!("{point}/") } else { format!("{point}{path}") };
    judge::manifest(mount.path()).into_iter().map(|(path, line)| (full(path), line)).collect()
}

#[test]
fn what_is_written_is_clean_and_nothing_else_changes_and_a_second_plan_is_empty() {
    if !judge::need_all(&["e2fsck", "fsck.vfat", "xfs_repair", "qemu-img"]) {
        return;
    }
    let kernel = judge::need_kernel_mounts();
    let (mut fixed, mut judged) = (0, BTreeSet::new());
    for guest in synthetic::all() {
        let dir = tempfile::tempdir().unwrap();
        let Some(copy) = guest.copy_into(dir.path()) else { return };
        let source = disk(&guest.path().unwrap());
        let Some(plan) = planned(guest, &source) else { continue };
        let sealed = apply_to(&source, &plan).unwrap_or_else(|error| panic!("{}: {error:?}", guest.name));

        // Law 4: the same again makes the same bytes.
        let again = apply_to(&source, &plan).unwrap();
        assert_eq!(
            digest(&sealed.disk(), &Silent).unwrap(),
            digest(&again.disk(), &Silent).unwrap(),
            "{}",
            guest.name
        );

        // Law 1.
        let second = plan_of(&sealed.disk(), &goal(guest)).unwrap();
        assert_eq!(second.steps, [], "{}", guest.name);

        // Laws 6 and 5.
        let target = FileDisk::open_mut(&copy).unwrap().disk_mut();
        sealed.merge_into(&target).unwrap();
        target.flush().unwrap();
        let tree = Tree::open(source.clone()).unwrap();
        let changed = allowed(&plan);
        for volume in tree.machine().volumes.iter().filter(|volume| volume.mounted_at.is_some()) {
            Place::of(&copy, tree.machine(), volume).judge(volume);
            judged.extend(volume.kind_name());
            // The kernel here may have no FAT.
            if !kernel || volume.kind == Some(SignatureKind::Vfat) {
                continue;
            }
            let before = kernel_view(&guest.path().unwrap(), tree.machine(), volume);
            let after = kernel_view(&copy, tree.machine(), volume);
            for path in before.keys().chain(after.keys()) {
                let made_for = || changed.iter().any(|changed| changed.starts_with(&format!("{path}/")));
                if before.get(path) != after.get(path) && !changed.contains(path) {
                    let new_dir = !before.contains_key(path) && made_for();
                    assert!(
                        new_dir,
                        "{}: {path} changed: {:?} {:?}",
                        guest.name,
                        before.get(path),
                        after.get(path)
                    );
                }
            }
        }
        fixed += 1;
    }
    assert!(fixed > 5, "only {fixed} guests could be fixed");
    assert!(["ext4", "vfat", "xfs"].iter().all(|kind| judged.contains(*kind)), "only {judged:?} were judged");
}

#[test]
fn a_change_in_place_is_undone_to_the_bit() {
    if !judge::need_all(&["qemu-img"]) {
        return;
    }
    for guest in synthetic::all() {
        let dir = tempfile::tempdir().unwrap();
        let Some(copy) = guest.copy_into(dir.path()) else { return };
        let original = judge::sha256(&copy);
        let Some(plan) = planned(guest, &disk(&copy)) else { continue };
        let digest = plan.digest().unwrap();
        let image = Exclusive::take(&copy).unwrap();
        assert_eq!(undo::prepare(std::slice::from_ref(&image), &digest).unwrap(), Prepared::Ready);
        let sealed = apply_to(&disk(&copy), &plan).unwrap();
        let identity = &plan.source[0].sha256;
        let change = undo::Change { image: &image, format: &raw::FORMAT, sealed: &sealed, identity };
        undo::apply_in_place(&[change], &digest).unwrap();
        drop(sealed);
        assert!(plan.is_empty() || judge::sha256(&copy) != original, "{}", guest.name);
        assert_eq!(plan_of(&disk(&copy), &goal(guest)).unwrap().steps, []);
        undo::undo(std::slice::from_ref(&image)).unwrap();
        assert_eq!(judge::sha256(&copy), original, "{}", guest.name);
        assert!(!undo::undo_path(&copy).exists());
    }
}

#[test]
fn a_plan_is_refused_by_every_other_image() {
    let mut plans = Vec::new();
    for guest in synthetic::all() {
        let Some(path) = guest.path() else { return };
        plans.extend(planned(guest, &disk(&path)).map(|plan| (guest, plan)));
    }
    for (guest, plan) in plans.iter().filter(|(_, plan)| !plan.is_empty()) {
        for other in synthetic::all().iter().filter(|other| other.name != guest.name) {
            let disk = disk(&other.path().unwrap());
            let refused = apply_to(&disk, plan).unwrap_err();
            assert!(
                matches!(refused, Error::OtherImage { .. }),
                "{} on {}: {refused:?}",
                guest.name,
                other.name
            );
        }
    }
    // An image that only looks like the plan's is refused by the first file that is not as it was.
    let (guest, plan) = plans.iter().find(|(_, plan)| !plan.is_empty()).expect("one guest needs fixes");
    let other = plans.iter().map(|(other, _)| other).find(|other| other.name != guest.name).unwrap();
    let refused = apply::apply(disk(&other.path().unwrap()), &plan.source, plan, &Silent).unwrap_err();
    assert!(matches!(refused, Error::OtherImage { .. }), "{refused:?}");
}

#[test]
fn a_fixed_vhd_is_changed_in_place_and_stays_one() {
    let Some(path) =
        synthetic::demo().wrapped(synthetic::WRAPPINGS.iter().find(|w| w.name == "fixed.vhd").unwrap())
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("disk.vhd");
    fs::copy(path, &copy).unwrap();
    let original = judge::sha256(&copy);
    let open = || libdisk::open(&libdisk::Address::file(&copy), &libdisk::OpenOptions::default()).unwrap();
    let opened = open();
    assert_eq!(opened.origin.format(), &vhd::FORMAT);
    let plan = plan_of(&opened.disk, &goal(synthetic::demo())).unwrap();
    let sealed = apply_to(&opened.disk, &plan).unwrap();
    let image = Exclusive::take(&copy).unwrap();
    let (format, identity) = (opened.origin.format(), &plan.source[0].sha256);
    let change = undo::Change { image: &image, format, sealed: &sealed, identity };
    undo::apply_in_place(&[change], &plan.digest().unwrap()).unwrap();
    drop(image); // or QEMU is refused
    let info = judge::qemu_img_info(&copy, "vpc");
    assert_eq!(info["virtual-size"], opened.disk.size());
    assert_eq!(plan_of(&open().disk, &goal(synthetic::demo())).unwrap().steps, []);
    undo::undo(&[Exclusive::take(&copy).unwrap()]).unwrap();
    assert_eq!(judge::sha256(&copy), original);
}

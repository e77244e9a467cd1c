//! The hops behind the menu on whole guests: what is fixed must be reached, and what cannot be must not.
use libdisk::block::{Disk, FileDisk, Silent};
use testimages::synthetic::{self, Generation, SyntheticGuest};

use super::testing::stops;
use super::{Hop, MenuEntry, route, system};
use crate::facts::BootEntry;
use crate::plan::{Identity, check, plan};
use crate::platform::azure;
use crate::tree::Tree;
use crate::{Goal, Guest, Stage, apply};

/// Guests that start by no menu: what starts there is not in their facts.
const WITHOUT_MENU: &[&str] = &["bare-no-os", "fedora-43-uki"];

/// Guests that the rules refuse for another reason than that they would not come to a login.
const REFUSED: &[&str] = &["fedora-coreos"];

fn goal(guest: &SyntheticGuest) -> Goal {
    let target = match guest.generation {
        Generation::Gen1 => &azure::GEN1,
        Generation::Gen2 => &azure::GEN2,
    };
    Goal::new(target)
}

fn entry(entry: &BootEntry) -> MenuEntry {
    MenuEntry {
        title: entry.title.clone(),
        place: entry.place.clone(),
        default: entry.default,
        kernel: entry.kernel.clone(),
        initrds: entry.initrds.clone(),
        cmdline: entry.cmdline.clone(),
    }
}

/// The hops of the entry that starts by itself, and of the system behind it.
fn hops(guest: &Guest<'_>) -> Vec<Hop> {
    let default = guest.facts.boot.entries.iter().find(|entry| entry.default).map(entry);
    let mut hops = default.as_ref().map_or(Vec::new(), |entry| route::route(guest, entry).unwrap());
    hops.extend(system::system(guest, default.as_ref()).unwrap());
    hops
}

fn hops_on(disk: Disk, goal: &Goal) -> Vec<Hop> {
    let tree = Tree::open(disk).unwrap();
    hops(&Stage::new(&tree, goal).guest().unwrap())
}

/// Rules and walk are two opinions of one thing.
#[test]
fn a_synthetic_guest_comes_to_its_login_exactly_if_the_rules_say_so() {
    let mut differ = Vec::new();
    let mut judge = |name: &str, when: &str, disk: Disk, goal: &Goal| {
        let stops = stops(hops_on(disk.clone(), goal));
        let check = check(&Tree::open(disk).unwrap(), goal).unwrap();
        let content = check.rules_are_content();
        let refused = REFUSED.contains(&name) && stops.is_empty();
        if content != stops.is_empty() && !refused {
            differ.push((format!("{name} {when}: the rules say {content}"), stops));
        }
        check.rules_are_fixable()
    };
    for guest in synthetic::all().iter().filter(|guest| !WITHOUT_MENU.contains(&guest.name)) {
        let Some(path) = guest.path() else { return };
        let (disk, goal) = (FileDisk::open(&path).unwrap().disk(), goal(guest));
        if !judge(guest.name, "as it is", disk.clone(), &goal) {
            continue;
        }
        let identity = [Identity::of("disk.img", &disk).unwrap()];
        let plan = plan(&Tree::open(disk.clone()).unwrap(), &identity, &goal).unwrap();
        let sealed = apply::apply(disk, &identity, &plan, &Silent).unwrap().remove(0);
        judge(guest.name, "fixed", sealed.disk(), &goal);
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

/// Those which boot, as they are after a plan; each takes minutes to build where there is none yet.
#[test]
fn a_real_guest_comes_to_its_login_once_it_is_fixed() {
    if !testimages::length::long() {
        testimages::judge::skip("REFLOAT_LONG=1, as the real guests take minutes to build");
        return;
    }
    use testimages::real::{debian, debian_busy, debian_uefi, dracut_lvm, dracut_lvm_uefi, dracut_xfs};
    let guests = [
        (debian(), &azure::GEN1),
        (debian_uefi(), &azure::GEN2),
        (debian_busy(), &azure::GEN1),
        (dracut_xfs().map(|guest| guest.image), &azure::GEN1),
        (dracut_lvm().map(|guest| guest.image), &azure::GEN1),
        (dracut_lvm_uefi().map(|guest| guest.image), &azure::GEN2),
    ];
    for (path, target) in guests {
        let Some(path) = path else { return };
        let goal = Goal::new(target);
        let disk = FileDisk::open(&path).unwrap().disk();
        assert_ne!(stops(hops_on(disk.clone(), &goal)), [""; 0], "{}", path.display());
        let identity = [Identity::of("disk.img", &disk).unwrap()];
        let plan = plan(&Tree::open(disk.clone()).unwrap(), &identity, &goal).unwrap();
        let sealed = apply::apply(disk, &identity, &plan, &Silent).unwrap().remove(0);
        let after = hops_on(sealed.disk(), &goal);
        assert_eq!(stops(after), [""; 0], "{}", path.display());
    }
}

//! A Windows whose power was cut: its files are in the log of NTFS alone, and what is said of it and done to it is
//! the same, behind a replay.

use guestfix::edit::Edit;
use guestfix::plan::{Identity, Plan, plan};
use guestfix::platform::azure;
use guestfix::tree::Tree;
use guestfix::{Goal, apply, inspect};
use libdisk::block::{Disk, FileDisk, Overlay, Silent};
use libdisk::ntfs;
use libdisk::vfs::State;
use testimages::ntfs::interrupt;
use testimages::synthetic;

const GOAL: Goal = Goal::new(&azure::GEN1);

fn plan_of(disk: &Disk) -> Plan {
    plan(&Tree::open(disk.clone()).unwrap(), &[Identity::of("disk.img", disk).unwrap()], &GOAL).unwrap()
}

#[test]
fn an_interrupted_windows_is_seen_and_mended_as_after_its_recovery() {
    let Some(path) = synthetic::named("windows-2019").path() else { return };
    let clean = FileDisk::open(&path).unwrap().disk();
    let overlay = Overlay::new(clean.clone()).unwrap();
    // The first partition of its table.
    let entry = clean.read_vec(446 + 8, 8).unwrap();
    let number = |at: usize| u64::from(u32::from_le_bytes(entry[at..at + 4].try_into().unwrap())) * 512;
    let part = number(0)..number(0) + number(4);
    interrupt(&overlay.writer().slice(part.clone()).unwrap());
    let dirty = overlay.disk();
    let volume = ntfs::open(dirty.slice(part.clone()).unwrap()).unwrap();
    assert_eq!(volume.info().unwrap().state, State::NeedsRecovery);
    assert!(volume.lookup(volume.root(), b"Windows").is_err());

    let facts = |disk: &Disk| inspect::gather(&Tree::open(disk.clone()).unwrap()).unwrap();
    let (before, after) = (facts(&clean), facts(&dirty));
    assert_eq!(after.unread, []);
    assert_eq!(after.os.as_ref().unwrap().pretty_name, before.os.as_ref().unwrap().pretty_name);
    assert_eq!(after.windows.as_ref().unwrap().services, before.windows.as_ref().unwrap().services);

    let (wanted, found) = (plan_of(&clean), plan_of(&dirty));
    let (first, rest) = found.steps.split_first().unwrap();
    assert!(matches!(&first.edit, Edit::ReplayJournal { .. }), "{first:?}");
    let told = |steps: &[_]| format!("{steps:#?}");
    assert_eq!(told(rest), told(&wanted.steps));
    let identity = Identity::of("elsewhere.img", &dirty).unwrap();
    let done = apply::apply(dirty.clone(), &[identity], &found, &Silent).unwrap().remove(0);
    assert_eq!(plan_of(&done.disk()).steps.len(), 0);
    let volume = ntfs::open(done.disk().slice(part).unwrap()).unwrap();
    assert_eq!(volume.info().unwrap().state, State::Clean);
    assert!(volume.lookup(volume.root(), b"Windows").is_ok());
}

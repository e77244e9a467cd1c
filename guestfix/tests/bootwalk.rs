//! The boot walk over every synthetic guest.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use guestfix::bootwalk::{Hop, HopKind, Outcome, Walk, walk};
use guestfix::facts::Machine;
use guestfix::plan::{Identity, plan};
use guestfix::platform::azure;
use guestfix::rule::CloudInit;
use guestfix::tree::Tree;
use guestfix::unread::Noting;
use guestfix::{Goal, Result, Stage, View, apply};
use libdisk::block::{FileDisk, Silent};
use libdisk::vfs::{FileType, Metadata};
use testimages::synthetic::{self, Generation, SyntheticGuest};

fn goal(guest: &SyntheticGuest) -> Goal {
    let target = match guest.generation {
        Generation::Gen1 => &azure::GEN1,
        Generation::Gen2 => &azure::GEN2,
    };
    Goal { target, cloud_init: CloudInit::Disable }
}

fn shown(hop: &Hop) -> String {
    let Hop { kind, place, what, outcome } = hop;
    let outcome = match outcome {
        Outcome::Reached => String::new(),
        Outcome::Blocked { why } => format!("  BLOCKED {why}"),
        Outcome::Unknown { why } => format!("  UNKNOWN {why}"),
    };
    format!("{kind:?}  {place}  {what}{outcome}")
}

fn lines(walk: &Walk) -> String {
    let mut out = String::new();
    for hop in &walk.loader {
        writeln!(out, "{}", shown(hop)).unwrap();
    }
    for route in &walk.routes {
        let mark = if route.entry.default { "*" } else { " " };
        writeln!(out, "{mark} {:?}", route.entry).unwrap();
        for hop in &route.hops {
            writeln!(out, "    {}", shown(hop)).unwrap();
        }
    }
    for hop in &walk.system {
        writeln!(out, "{}", shown(hop)).unwrap();
    }
    out
}

/// How far the loader of each guest comes as it is: the hops that do not let it go on.
#[test]
fn every_synthetic_guest_is_walked_from_the_firmware_to_its_menu() {
    for guest in synthetic::all().iter().chain([synthetic::demo()]) {
        let Some(path) = guest.path() else { return };
        let tree = Tree::open(FileDisk::open(&path).unwrap().disk()).unwrap();
        let goal = goal(guest);
        let walk = walk(&Stage::new(&tree, &goal).guest().unwrap()).unwrap();
        let stops: Vec<String> = walk.loader.iter().filter(|hop| !hop.is_reached()).map(shown).collect();
        let expected = match guest.name {
            "debian-gpt-efi" | "debian-systemd-boot" => "BOOTX64.EFI  BLOCKED there is no such file",
            "bare-ext4-pv" => "BLOCKED the first sector is no boot record",
            "bare-no-os" | "debian-pv-partitioned" => "BLOCKED there is no code in it",
            _ => {
                assert_eq!(stops, [""; 0], "{}\n{}", guest.name, lines(&walk));
                assert!(walk.default_route().is_some(), "{}\n{}", guest.name, lines(&walk));
                continue;
            }
        };
        assert!(stops.len() == 1 && stops[0].contains(expected), "{}: {stops:?}", guest.name);
    }
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Removed,
    Emptied,
    CutShort,
}

const DAMAGES: [Damage; 3] = [Damage::Removed, Damage::Emptied, Damage::CutShort];

/// A guest with one file damaged, by its resolved path.
struct Damaged<'a> {
    tree: &'a Tree,
    path: &'a str,
    damage: Damage,
}

impl Damaged<'_> {
    fn is_it(&self, path: &str) -> Result<bool> {
        Ok(self.tree.resolve(path)?.as_deref() == Some(self.path))
    }

    fn shortened(&self, size: u64) -> u64 {
        if self.damage == Damage::CutShort { size / 2 } else { 0 }
    }

    fn metadata(&self, is_it: bool, found: Option<Metadata>) -> Option<Metadata> {
        match found {
            Some(_) if is_it && self.damage == Damage::Removed => None,
            Some(found) if is_it => Some(Metadata { size: self.shortened(found.size), ..found }),
            found => found,
        }
    }
}

impl View for Damaged<'_> {
    fn machine(&self) -> &Machine {
        self.tree.machine()
    }

    fn lstat(&self, path: &str) -> Result<Option<Metadata>> {
        Ok(self.metadata(path == self.path, self.tree.lstat(path)?))
    }

    fn stat(&self, path: &str) -> Result<Option<Metadata>> {
        Ok(self.metadata(self.is_it(path)?, self.tree.stat(path)?))
    }

    fn resolve(&self, path: &str) -> Result<Option<String>> {
        let removed = self.damage == Damage::Removed;
        Ok(self.tree.resolve(path)?.filter(|found| found != self.path || !removed))
    }

    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>> {
        let found = self.tree.read(path)?;
        if !self.is_it(path)? {
            return Ok(found);
        }
        let whole = found.filter(|_| self.damage != Damage::Removed);
        Ok(whole.map(|whole| whole[..self.shortened(whole.len() as u64) as usize].into()))
    }

    fn read_link(&self, path: &str) -> Result<Option<String>> {
        self.tree.read_link(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        let mut names = self.tree.list(path)?;
        if self.damage == Damage::Removed {
            let dir = path.trim_end_matches('/');
            let resolved = self.tree.resolve(path)?.unwrap_or_default();
            names.retain(|name| {
                let same = |dir: &str| format!("{}/{name}", dir.trim_end_matches('/')) == self.path;
                !same(dir) && !same(&resolved)
            });
        }
        Ok(names)
    }

    fn xattrs(&self, path: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.tree.xattrs(path)
    }

    fn disk_bytes(&self, disk: usize, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.tree.disk_bytes(disk, offset, len)
    }
}

/// The files that a walk names on its way, modules of GRUB among them.
fn named(tree: &Tree, walk: &Walk) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut add = |path: &str| {
        let is_file = |metadata: Metadata| metadata.file_type == FileType::Regular;
        if let Some(path) = tree.resolve(path).unwrap()
            && tree.stat(&path).unwrap().is_some_and(is_file)
        {
            files.insert(path);
        }
    };
    // a login has a second way: what the first one needs is not needed
    for hop in walk.hops().filter(|hop| hop.kind != HopKind::Login) {
        let Some(path) = hop.place.path() else { continue };
        add(path);
        if let Some((_, modules)) = hop.what.split_once("which loads ") {
            modules.split(", ").for_each(|name| add(&format!("{path}/{name}.mod")));
        }
    }
    files
}

/// Files that say what is to be done beside what is done by itself: a start does without.
fn is_optional(path: &str, damage: Damage) -> bool {
    match path {
        // without it the root stays as the command line mounts it, and nothing is waited for
        "/etc/fstab" => true,
        // without it Upstart has a run level of its own; half of it has the lines that start all else
        "/etc/inittab" => true,
        // without it the first entry starts
        _ if path.ends_with("/loader/loader.conf") => true,
        // the next entry starts, where there is one
        _ if path.contains("/loader/entries/") => damage == Damage::Removed,
        // half of the line names the program, half of a unit is a unit
        _ if path.ends_with("/BOOTX64.CSV") || path.ends_with(".target") => damage == Damage::CutShort,
        // without these GRUB goes on with the volume and the variables that it has
        _ if path.ends_with(".mod") => {
            let name = path.rsplit('/').next().unwrap_or_default();
            name.starts_with("search") || matches!(name, "loadenv.mod" | "disk.mod")
        }
        _ => false,
    }
}

/// Law 7: what the walk has named is needed.
#[test]
fn a_guest_that_lacks_one_file_of_its_boot_is_never_ready() {
    let mut passed = Vec::new();
    for guest in synthetic::all() {
        let Some(path) = guest.path() else { return };
        let (disk, goal) = (FileDisk::open(&path).unwrap().disk(), goal(guest));
        let identity = [Identity::of("disk.img", &disk).unwrap()];
        let plan = plan(&Tree::open(disk.clone()).unwrap(), &identity, &goal).unwrap();
        if !plan.ready() {
            continue;
        }
        let sealed = apply::apply(disk, &identity, &plan, &Silent).unwrap().remove(0);
        let tree = Tree::open(sealed.disk()).unwrap();
        let whole = walk(&Stage::new(&tree, &goal).guest().unwrap()).unwrap();
        assert!(whole.arrives(), "{}\n{}", guest.name, lines(&whole));
        for path in &named(&tree, &whole) {
            for damage in DAMAGES {
                let damaged = Damaged { tree: &tree, path, damage };
                let noting = Noting::new(&damaged);
                let walk = walk(&Stage::new(&noting, &goal).guest().unwrap()).unwrap();
                if walk.arrives() && !is_optional(path, damage) {
                    passed.push(format!("{}: {path} {damage:?}", guest.name));
                }
            }
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
}

//! The boot walk over every synthetic guest.

use std::fmt::Write;

use guestfix::bootwalk::{Hop, Outcome, Walk, walk};
use guestfix::platform::azure;
use guestfix::rule::CloudInit;
use guestfix::tree::Tree;
use guestfix::{Goal, Stage};
use libdisk::block::FileDisk;
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
    for guest in synthetic::all() {
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

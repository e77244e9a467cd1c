//! The boot walk over every synthetic guest.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write;

use guestfix::bootwalk::{Hop, HopKind, Outcome, Walk, walk};
use guestfix::tree::Tree;
use guestfix::unread::Noting;
use guestfix::{Goal, Stage, View};
use libdisk::block::FileDisk;
use libdisk::vfs::{FileType, Metadata};
use support::{Changed, fixed, goal};
use testimages::synthetic;

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

/// A loader that waits for somebody, or longer than anybody does, starts nothing: whichever of its files says so,
/// the stub on the ESP or the menu behind it.
#[test]
fn a_loader_that_waits_for_somebody_starts_nothing() {
    const FINE: &[&str] = &["sleep --interruptible 5", "fwsetup --is-supported"];
    const WAITS: &[&str] = &[
        "sleep 100000",
        "sleep --verbose 99999999999999999999",
        "sleep 200\nsleep 200s",
        "read answer",
        "for second in 1 2; do sleep 301; done",
    ];
    let mut judged = BTreeSet::new();
    for guest in synthetic::all() {
        let Some(path) = guest.path() else { return };
        let (tree, goal) = (Tree::open(FileDisk::open(&path).unwrap().disk()).unwrap(), goal(guest));
        let starts = |view: &dyn View| {
            let walk = walk(&Stage::new(view, &goal).guest().unwrap()).unwrap();
            walk.loader.iter().all(Hop::is_reached) && walk.default_route().is_some()
        };
        if !starts(&tree) {
            continue;
        }
        let walk = walk(&Stage::new(&tree, &goal).guest().unwrap()).unwrap();
        let menus = walk.loader.iter().filter(|hop| hop.kind == HopKind::Menu);
        for file in menus.filter_map(|hop| hop.place.path()) {
            let Some(text) = tree.text(file).unwrap() else { continue };
            let name = file.rsplit('/').next().unwrap();
            let before = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n{text}")).collect();
            let (fine, mut waits): (Vec<String>, Vec<String>) = match name {
                "grub.cfg" => (before(FINE), before(WAITS)),
                "loader.conf" => (before(&["timeout 5"]), before(&["timeout 100000"])),
                "extlinux.conf" | "syslinux.cfg" => (Vec::new(), vec![format!("{text}\nTIMEOUT 100000\n")]),
                "menu.lst" | "grub.conf" => {
                    let without = text.replace("timeout", "#timeout");
                    (vec![format!("timeout 5\n{without}")], vec![format!("timeout 1000\n{without}"), without])
                }
                _ => continue,
            };
            if text.contains("menuentry") {
                waits.extend([format!("{text}\nset timeout=100000\n"), format!("{text}\nset timeout=-1\n")]);
            }
            for (texts, expected) in [(fine, true), (waits, false)] {
                for text in texts {
                    let changed = Changed::new(&tree, [(file.to_owned(), Some(text.clone().into_bytes()))]);
                    assert_eq!(starts(&changed), expected, "{}: {file}:\n{text}", guest.name);
                }
            }
            judged.insert(name.to_owned());
        }
    }
    for name in ["grub.cfg", "loader.conf", "extlinux.conf"] {
        assert!(judged.contains(name), "{judged:?}");
    }
}

/// What GRUB makes of its script is what rules go by, however the default is chosen there.
#[test]
fn the_facts_have_the_entry_that_the_loader_starts() {
    let default = |view: &dyn View, goal: &Goal| {
        let mut stage = Stage::new(view, goal);
        let guest = stage.guest().unwrap();
        let walk = walk(&guest).unwrap();
        let index = walk.routes.iter().position(|route| route.entry.default).unwrap();
        let place = &walk.routes[index].entry.place;
        let marked: Vec<_> = guest.facts.boot.entries.iter().filter(|entry| entry.default).collect();
        assert!(marked.iter().any(|entry| entry.place == *place), "{place}: {marked:?}");
        (index, marked.len())
    };
    let mut judged = 0;
    for guest in synthetic::all() {
        let Some(path) = guest.path() else { return };
        let goal = goal(guest);
        let tree = Tree::open(FileDisk::open(&path).unwrap().disk()).unwrap();
        let (config, entries) = {
            let mut stage = Stage::new(&tree, &goal);
            let facts = stage.guest().unwrap().facts.clone();
            let walk = walk(&stage.guest().unwrap()).unwrap();
            let entries = facts.boot.entries.len();
            let is_followed = walk.default_route().is_some() && walk.routes.len() == entries;
            match facts.boot.configs.as_slice() {
                [config] if is_followed && entries > 1 => (config.clone(), entries),
                _ => continue,
            }
        };
        let text = tree.text(&config).unwrap().unwrap();
        for script in [
            "if false; then\nset default=0\nelse\nset default=1\nfi\n",
            "set default=1\nif [ \"$nothing\" = yes ]; then\nset default=0\nfi\n",
            "chosen_by=0\nset default=0\nif [ -z \"$nothing\" ]; then\nset default=\"1\"\nfi\n",
            "set own=1\nset default=\"${own}\"\n",
        ] {
            let text = format!("{text}\n{script}");
            let changed = Changed::new(&tree, [(config.clone(), Some(text.into_bytes()))]);
            let (index, marked) = default(&changed, &goal);
            assert_eq!((index, marked), (1, 1), "{}, {entries} entries: {script}", guest.name);
            judged += 1;
        }
    }
    assert!(judged >= 8, "{judged}");
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Removed,
    Emptied,
    CutShort,
}

const DAMAGES: [Damage; 3] = [Damage::Removed, Damage::Emptied, Damage::CutShort];

impl Damage {
    /// The content afterwards; `None` if the file is gone.
    fn of(self, whole: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Removed => None,
            Self::Emptied => Some(Vec::new()),
            Self::CutShort => Some(whole[..whole.len() / 2].to_vec()),
        }
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
    for hop in walk.hops() {
        let Some(path) = hop.place.path() else { continue };
        add(path);
        if let Some((_, modules)) = hop.what.split_once("which loads ") {
            modules.split(", ").for_each(|name| add(&format!("{path}/{name}.mod")));
        }
    }
    files
}

/// Whether the card has another configuration, or people another way in: then the walk goes by that, and names
/// it.
fn goes_another_way(tree: &Tree, whole: &Walk, walk: &Walk, path: &str) -> bool {
    let names = |hop: &&Hop| {
        hop.place.path().is_some_and(|place| tree.resolve(place).unwrap().as_deref() == Some(path))
    };
    let is_choice = |hop: &Hop| matches!(hop.kind, HopKind::Network | HopKind::Login);
    whole.hops().filter(names).all(is_choice) && !walk.hops().filter(names).any(is_choice)
}

/// Files that say what is to be done beside what is done by itself: a start does without.
fn is_optional(tree: &Tree, path: &str, damage: Damage) -> bool {
    match path {
        // without it the root stays as the command line mounts it, and nothing is waited for
        "/etc/fstab" => true,
        // without a run level in it Upstart has one of its own; half of Alpine's has all but the consoles
        "/etc/inittab" => damage == Damage::CutShort || tree.exists("/etc/init/rcS.conf").unwrap(),
        // sshd has a value of its own for all that is not there, and beside it there is the console
        "/etc/ssh/sshd_config" => damage != Damage::Removed,
        // without it the first entry starts
        _ if path.ends_with("/loader/loader.conf") => true,
        // the next entry starts, where there is one
        _ if path.contains("/loader/entries/") => damage == Damage::Removed,
        // half of the line names the program, half of a unit is a unit
        _ if path.ends_with("/BOOTX64.CSV") || path.ends_with(".target") => damage == Damage::CutShort,
        // half of it asks for DHCP as the whole does: what a line of a fix has made a comment is behind that
        _ if path.contains("/ifcfg-") || path.ends_with(".nmconnection") => damage == Damage::CutShort,
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
        let goal = goal(guest);
        let Some(disk) = fixed(&path, &goal) else { continue };
        let tree = Tree::open(disk).unwrap();
        let whole = walk(&Stage::new(&tree, &goal).guest().unwrap()).unwrap();
        assert!(whole.arrives(), "{}\n{}", guest.name, lines(&whole));
        for path in &named(&tree, &whole) {
            for damage in DAMAGES {
                let content = damage.of(&tree.read(path).unwrap().unwrap());
                let damaged = Changed::new(&tree, [(path.clone(), content)]);
                let noting = Noting::new(&damaged);
                let walk = walk(&Stage::new(&noting, &goal).guest().unwrap()).unwrap();
                let is_needed =
                    !is_optional(&tree, path, damage) && !goes_another_way(&tree, &whole, &walk, path);
                if walk.arrives() && is_needed {
                    passed.push(format!("{}: {path} {damage:?}", guest.name));
                }
            }
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
}

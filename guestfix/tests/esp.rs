//! What is on the EFI system partition: each program that is damaged, missing or for another machine, and each
//! file that leads nowhere, is told. Findings T3, T6 and T7.

mod support;

use guestfix::bootwalk::{HopKind, Walk, walk};
use guestfix::tree::Tree;
use guestfix::unread::Noting;
use guestfix::{Goal, Stage, View};
use support::{Changed, fixed, goal};
use testimages::synthetic::{Generation, SyntheticGuest, all};

/// A guest that is ready, as a tree; its files are on the EFI partition at this path.
struct Ready {
    name: &'static str,
    tree: Tree,
    goal: Goal,
    esp: String,
}

/// Every synthetic guest that starts by UEFI and is ready after a plan.
fn guests() -> Vec<Ready> {
    let of_uefi = |guest: &&SyntheticGuest| guest.generation == Generation::Gen2;
    let ready = |guest: &SyntheticGuest| {
        let goal = goal(guest);
        let tree = Tree::open(fixed(&guest.path()?, &goal)?).unwrap();
        let first = walked(&tree, &goal, []).loader[0].place.path().unwrap().to_owned();
        let at = first.to_ascii_uppercase().find("/EFI/BOOT/").unwrap();
        Some(Ready { name: guest.name, tree, goal, esp: first[..at].to_owned() })
    };
    all().iter().filter(of_uefi).filter_map(ready).collect()
}

fn walked(tree: &Tree, goal: &Goal, files: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) -> Walk {
    let changed = Changed::new(tree, files);
    let noting = Noting::new(&changed);
    walk(&Stage::new(&noting, goal).guest().unwrap()).unwrap()
}

impl Ready {
    /// The resolved paths of all files on the EFI partition.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.esp.clone()];
        while let Some(folder) = folders.pop() {
            for name in self.tree.list(&folder).unwrap() {
                let path = format!("{folder}/{name}");
                match self.tree.read(&path) {
                    Ok(Some(_)) => found.push(path),
                    _ => folders.push(path),
                }
            }
        }
        found
    }

    fn named(&self, name: &str) -> Vec<String> {
        let is_it = |path: &String| path.rsplit('/').next().unwrap().eq_ignore_ascii_case(name);
        self.files().into_iter().filter(is_it).collect()
    }

    /// Where the boot stops with these files.
    fn stop(&self, files: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) -> Option<HopKind> {
        let walk = walked(&self.tree, &self.goal, files);
        assert_eq!(walk.arrives(), walk.stop().is_none(), "{}", self.name);
        walk.stop().map(|hop| hop.kind)
    }
}

/// Bytes of a program for UEFI of which the firmware starts nothing.
fn no_programs(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let header = u32::from_le_bytes(whole[0x3c..0x40].try_into().unwrap()) as usize;
    let with = |at: usize, bytes: &[u8]| {
        let mut file = whole.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    vec![
        ("nothing", Vec::new()),
        ("two bytes", whole[..2].to_vec()),
        ("the old header", whole[..header].to_vec()),
        ("no sections", whole[..header + 24].to_vec()),
        ("half", whole[..whole.len() / 2].to_vec()),
        ("all but a byte", whole[..whole.len() - 1].to_vec()),
        ("a text", b"#!/bin/sh\nexec true\n".repeat(100)),
        ("zeros", vec![0; whole.len()]),
        ("no signature", with(header, b"XX\0\0")),
        ("a program for ARM", with(header + 4, &0xaa64_u16.to_le_bytes())),
        ("a program for i386", with(header + 4, &0x014c_u16.to_le_bytes())),
        ("a program for 32 bits", with(header + 24, &0x010b_u16.to_le_bytes())),
    ]
}

#[test]
fn a_loader_that_is_no_program_for_the_machine_is_never_started() {
    for guest in guests() {
        assert_eq!(guest.stop([]), None, "{}", guest.name);
        for path in guest.named("BOOTX64.EFI") {
            for (what, bytes) in no_programs(&guest.tree.read(&path).unwrap().unwrap()) {
                let stop = guest.stop([(path.clone(), Some(bytes))]);
                assert_eq!(stop, Some(HopKind::Firmware), "{}: {path} is {what}", guest.name);
            }
        }
        // What the first one starts is what is needed of the others.
        let loaders = walked(&guest.tree, &guest.goal, []).loader;
        let programs = loaders.iter().skip(1).filter_map(|hop| hop.place.path());
        for path in programs.filter(|path| path.to_ascii_lowercase().ends_with(".efi")) {
            for (what, bytes) in no_programs(&guest.tree.read(path).unwrap().unwrap()) {
                let stop = guest.stop([(path.to_owned(), Some(bytes))]);
                assert!(stop.is_some(), "{}: {path} is {what}", guest.name);
            }
        }
    }
}

#[test]
fn a_shim_that_has_nothing_to_start_is_told() {
    for guest in guests() {
        let loader = walked(&guest.tree, &guest.goal, []).loader;
        if loader[0].what != "shim" {
            continue;
        }
        let gone = |names: &[&str]| -> Vec<(String, Option<Vec<u8>>)> {
            names.iter().flat_map(|name| guest.named(name)).map(|path| (path, None)).collect()
        };
        let lists = || guest.named("BOOTX64.CSV");
        let list = |text: &str| -> Vec<_> {
            lists().into_iter().map(|path| (path, Some(text.as_bytes().to_vec()))).collect()
        };
        let mut cases = vec![("neither", gone(&["grubx64.efi", "fbx64.efi"]))];
        if guest.named("fbx64.efi").is_empty() {
            cases.push(("no second stage", gone(&["grubx64.efi"])));
        } else {
            cases.extend([
                ("no maker of entries, and nothing beside shim", gone(&["fbx64.efi"])),
                ("no GRUB for what the list names", gone(&["grubx64.efi"])),
                ("no list", gone(&["BOOTX64.CSV"])),
                ("a list without a program", list("\n")),
                ("a list of another program", list("shimia32.efi,x,,This is the boot entry\n")),
            ]);
        }
        for (what, files) in cases {
            assert!(!files.is_empty(), "{}: {what}", guest.name);
            assert_eq!(guest.stop(files), Some(HopKind::Loader), "{}: {what}", guest.name);
        }
    }
}

/// The script beside GRUB, which finds the real one.
#[test]
fn a_stub_that_finds_no_menu_is_told() {
    let mut hybrid = false;
    for guest in guests() {
        for path in guest.named("grub.cfg") {
            let text = String::from_utf8(guest.tree.read(&path).unwrap().unwrap().to_vec()).unwrap();
            let Some(at) = text.find("5f1c1e0a-") else { continue };
            hybrid |= guest.name == "ubuntu-gpt-hybrid";
            let uuid = &text[at..at + 36];
            let first = text.lines().next().unwrap();
            for (what, stub) in [
                ("of another disk", text.replace(uuid, "0b0b0b0b-0b0b-0b0b-0b0b-0b0b0b0b0b0b")),
                ("by a label that no volume has", text.replace(first, "search --label nowhere --set=root")),
                ("by a file that is nowhere", text.replace(first, "search --file /nowhere --set=root")),
                ("with another folder", text.replace("/boot/grub", "/boot/burg")),
                ("that reads nothing", text.replace("configfile", "# configfile")),
                ("that is empty", String::new()),
            ] {
                let what = format!("{}: {path} {what}", guest.name);
                let stop = guest.stop([(path.clone(), Some(stub.into_bytes()))]);
                assert_eq!(stop, Some(HopKind::Menu), "{what}");
            }
            assert_eq!(guest.stop([(path.clone(), None)]), Some(HopKind::Menu), "{}: no stub", guest.name);
        }
    }
    assert!(hybrid, "a hybrid disk started by BIOS on EC2");
}

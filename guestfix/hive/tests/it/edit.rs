//! Changes, each judged by hivex, which shares no code with us.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use hive::{Change, Hive, Key, Kind, diff, render, text_data};
use testimages::hostile::Rng;
use testimages::{judge, length};

use crate::recorded;

/// Values by name, of keys by path: what is in a hive.
type Tree = BTreeMap<String, BTreeMap<String, (u32, Vec<u8>)>>;

/// The time of changes: 2026-11-29.
const NOW: u64 = 134_083_296_000_000_000;

pub(crate) fn hivex(file: &[u8]) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hive");
    std::fs::write(&path, file).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hive.py");
    // Debian's own, for which hivex is.
    let output = judge::run(Command::new("/usr/bin/python3").arg(script).arg(&path));
    let text = |hex: &str| String::from_utf8(bytes(hex)).unwrap();
    let mut tree = Tree::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        match *line.split(' ').collect::<Vec<_>>() {
            ["K", path] => drop(tree.entry(text(path)).or_default()),
            ["V", path, name, kind, data] => {
                let values = tree.entry(text(path)).or_default();
                values.insert(text(name), (kind.parse().unwrap(), bytes(data)));
            }
            _ => panic!("{line}"),
        }
    }
    tree
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn ours(key: Key<'_>, path: &str, tree: &mut Tree) {
    let values = key.values().unwrap();
    let values = values
        .iter()
        .map(|value| (value.name().unwrap(), (value.kind().0, value.data().unwrap().into_owned())));
    tree.insert(path.to_owned(), values.collect());
    for subkey in key.subkeys().unwrap() {
        ours(subkey, &format!(r"{path}\{}", subkey.name().unwrap()), tree);
    }
}

pub(crate) fn tree_of(hive: &Hive) -> Tree {
    let mut tree = Tree::new();
    ours(hive.root().unwrap(), "", &mut tree);
    tree
}

/// What is done to a hive is done to its tree.
fn random_edit(edit: &mut hive::Edit, tree: &mut Tree, keys: &mut Vec<String>, random: &mut Rng) {
    let at = random.usize(..keys.len());
    let path = keys[at].clone();
    match random.u8(..10) {
        0..=2 => {
            let name = ["Größe", "Имя", "start", "a", "z", "Middle"][random.usize(..6)];
            let name = format!("{name}{}", random.u8(..200));
            let full = format!(r"{path}\{name}");
            // Names that differ by capitals alone are one.
            let there = tree.keys().any(|known| known.to_uppercase() == full.to_uppercase());
            edit.create_key(&full).unwrap();
            if !there {
                tree.insert(full.clone(), BTreeMap::new());
                keys.push(full);
            }
        }
        3 if at > 0 && path.contains("Refloat") => {
            edit.delete_key(&path).unwrap();
            tree.retain(|known, _| *known != path && !known.starts_with(&format!(r"{path}\")));
            keys.retain(|known| tree.contains_key(known));
        }
        4 => {
            let values = tree.get_mut(&path).unwrap();
            if let Some(name) = values.keys().nth(random.usize(..values.len().max(1))).cloned() {
                edit.delete_value(&path, &name).unwrap();
                values.remove(&name);
            }
        }
        _ => {
            let values = tree.get_mut(&path).unwrap();
            let known = values.keys().nth(random.usize(..values.len() + 1)).cloned();
            let name = known.unwrap_or_else(|| ["", "Start", "Pfad ü", "Ъ"][random.usize(..4)].to_owned());
            let same = values.keys().find(|known| known.to_uppercase() == name.to_uppercase()).cloned();
            let name = same.unwrap_or(name);
            let len = [0, 1, 4, 5, 8, 100, random.usize(..3000), 16344][random.usize(..8)];
            let data: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
            let kind = [Kind::BINARY, Kind(0x1000_0001)][random.usize(..2)];
            edit.set(&path, &name, kind, &data).unwrap();
            values.insert(name, (kind.0, data));
        }
    }
}

#[test]
fn random_edits_leave_what_hivex_finds() {
    if !judge::need_all(&["python3", "hivexml"]) {
        return;
    }
    for (name, rounds) in
        [("regipy-BCD", length::times(4000, 40_000)), ("regipy-SYSTEM", length::times(1000, 10_000))]
    {
        let Some(file) = recorded(name) else { return };
        let mut hive = Hive::open(file.clone()).unwrap();
        let mut tree = hivex(&file);
        assert!(tree == tree_of(&hive), "{name}");
        let mut keys = vec![r"\RefloatTest".to_owned()];
        tree.insert(keys[0].clone(), BTreeMap::new());
        keys.extend(tree.keys().filter(|path| path.ends_with("Parameters")).cloned());
        let mut random = Rng::with_seed(rounds);
        for _ in 0..4 {
            let mut edit = hive.edit(NOW).unwrap();
            edit.create_key(&keys[0]).unwrap();
            for _ in 0..rounds / 4 {
                random_edit(&mut edit, &mut tree, &mut keys, &mut random);
            }
            hive = edit.finish().unwrap();
            assert!(hive.check().is_empty(), "{name}: {:?}", hive.check());
        }
        let bytes = hive.into_bytes();
        assert!(hivex(&bytes) == tree, "{name}");
        assert!(tree_of(&Hive::open(bytes).unwrap()) == tree, "{name}");
    }
}

#[test]
fn many_keys_split_their_lists() {
    let Some(file) = recorded("regipy-BCD") else { return };
    let before = Hive::open(file).unwrap();
    let mut edit = before.clone().edit(NOW).unwrap();
    let mut numbers: Vec<u32> = (0..3000).collect();
    Rng::with_seed(1).shuffle(&mut numbers);
    for number in &numbers {
        edit.create_key(&format!(r"Many\Key {number:04}")).unwrap();
    }
    let hive = edit.finish().unwrap();
    let names: Vec<String> =
        hive.key("Many").unwrap().unwrap().subkeys().unwrap().iter().map(|key| key.name().unwrap()).collect();
    assert!(names.len() == 3000 && names.is_sorted());
    if judge::need_all(&["python3", "hivexml"]) {
        assert_eq!(
            hivex(&hive.clone().into_bytes()).keys().filter(|path| path.contains("Key ")).count(),
            3000
        );
    }
    // Gone again, it is as it was, but for its size.
    let mut edit = hive.edit(NOW).unwrap();
    numbers.iter().for_each(|number| edit.delete_key(&format!(r"many\key {number:04}")).unwrap());
    edit.delete_key("Many").unwrap();
    let after = edit.finish().unwrap();
    assert_eq!((diff(&before, &after).unwrap(), after.check()), (vec![], vec![]));
}

#[test]
fn a_number_changes_its_cell_its_keys_time_and_the_base_block() {
    let Some(file) = recorded("regipy-SYSTEM") else { return };
    let before = Hive::open(file.clone()).unwrap();
    let mut edit = before.clone().edit(NOW).unwrap();
    let key = r"ControlSet001\services\storvsc";
    edit.set(key, "start", Kind::DWORD, &[0; 4]).unwrap();
    let after = edit.finish().unwrap();
    let changes = diff(&before, &after).unwrap();
    let said = render(&changes, r"HKEY_LOCAL_MACHINE\SYSTEM");
    assert_eq!(
        said,
        " [HKEY_LOCAL_MACHINE\\SYSTEM\\ControlSet001\\services\\storvsc]\n\
         -\"Start\"=dword:00000003\n+\"Start\"=dword:00000000\n"
    );
    let bytes = after.clone().into_bytes();
    let differ = bytes.iter().zip(&file).enumerate().filter(|(at, (a, b))| *at >= 4096 && a != b).count();
    assert!(bytes.len() == file.len() && (2..=9).contains(&differ), "{differ}");
    // Again it changes nothing at all.
    let mut again = after.edit(NOW + 1).unwrap();
    again.set(key, "Start", Kind::DWORD, &[0; 4]).unwrap();
    assert!(again.finish().unwrap().into_bytes() == bytes);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let Some(file) = recorded("regipy-BCD") else { return };
    let mut edit = Hive::open(file.clone()).unwrap().edit(NOW).unwrap();
    let said = |result: hive::Result<()>| result.unwrap_err().to_string();
    assert!(said(edit.set("Objects", "a", Kind::BINARY, &[0; 16345])).contains("16344"));
    assert!(said(edit.set("Nothing", "a", Kind::SZ, &text_data("a"))).contains("there is no key Nothing"));
    assert!(said(edit.delete_value("Objects", "a")).contains("there is no value a"));
    assert!(said(edit.delete_key("")).contains("may not be deleted"));
    assert!(said(edit.create_key(&"x".repeat(256))).contains("255"));
    assert!(edit.finish().unwrap().into_bytes() == file);

    let before = Hive::open(recorded("yarp-WrongOrderHive").unwrap()).unwrap();
    assert!(before.edit(NOW).unwrap_err().to_string().contains("is not in its place"));
    let mut edit = Hive::open(file).unwrap().edit(NOW).unwrap();
    edit.create_key(r"A\B").unwrap();
    edit.set(r"A\B", "", Kind::SZ, &text_data("x")).unwrap();
    let before = edit.hive().clone();
    edit.delete_key("A").unwrap();
    let changes = diff(&before, edit.hive()).unwrap();
    assert_eq!(changes, [Change::KeyGone { path: "A".to_owned() }]);
}

//! Synthetic Windows guests with the SYSTEM of a real machine inside, which ran Windows 7, 8.1 or 10 and no EC2: as
//! it was read, and with the logs that complete it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use guestfix::apply;
use guestfix::edit::Edit;
use guestfix::plan::{Identity, Plan, check, plan};
use guestfix::platform::azure;
use guestfix::registry::{self, ControlSets, SOFTWARE, SYSTEM, Services};
use guestfix::tree::Tree;
use guestfix::undo::{self, Prepared};
use guestfix::{Goal, View};
use hive::{Hive, Kind};
use libdisk::block::{Disk, FileDisk, Silent};
use libdisk::image::in_use::Exclusive;
use libdisk::image::raw;
use testimages::{judge, length, synthetic};

const GOAL: Goal = Goal::new(&azure::GEN1);

/// A recorded file, which is beside the checkout; `None`, after a visible skip, where it is not.
fn recorded(name: &str) -> Option<Vec<u8>> {
    let path = judge::shared()?.join(format!("testdata/hives/{name}.xz"));
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(&*packed, true).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// One that was copied while it was written to, without its logs: taken as it is.
fn as_it_is(mut hive: Vec<u8>) -> Vec<u8> {
    hive.copy_within(4..8, 8);
    let words = hive[..508].chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
    let sum = words.fold(0, |sum, word| sum ^ word);
    hive[508..512].copy_from_slice(&sum.to_le_bytes());
    hive
}

fn disk(path: &Path) -> Disk {
    FileDisk::open(path).unwrap().disk()
}

/// With its folder as the synthetic guests write it: ntfs-3g tells cases apart.
fn written(path: &str) -> String {
    for folder in ["/Windows/System32/drivers/", "/Windows/System32/", "/Windows/"] {
        if path.get(..folder.len()).is_some_and(|head| head.eq_ignore_ascii_case(folder)) {
            return format!("{folder}{}", &path[folder.len()..]);
        }
    }
    path.to_owned()
}

/// What goes beside a hive: a file for each driver and library that it names, and SOFTWARE with the groups of its
/// services.
fn beside(guest: &Tree, hive: &Hive) -> Vec<(String, Vec<u8>)> {
    let set = "ControlSet001";
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in hive.key(&format!(r"{set}\Services")).unwrap().unwrap().subkeys().unwrap() {
        let text =
            |key: &hive::Key<'_>, name: &str| key.value(name).unwrap().and_then(|value| value.text().ok());
        let (name, image) = (key.name().unwrap(), text(&key, "ImagePath"));
        let Some(kind) = key.value("Type").unwrap().and_then(|value| value.dword().ok()) else { continue };
        let library = key.subkey("Parameters").unwrap().and_then(|key| text(&key, "ServiceDll"));
        if let Some((_, group)) = image.as_deref().unwrap_or_default().split_once(" -k ") {
            groups.entry(group.split(' ').next().unwrap().to_lowercase()).or_default().push(name.clone());
        }
        let usual = format!(r"System32\drivers\{name}.sys");
        let named = if kind & 0xb == 0 { None } else { Some(image.clone().unwrap_or(usual)) };
        for path in named.iter().chain(&library).filter_map(|path| registry::path_of(path).ok()) {
            let path = written(&path);
            if !guest.exists(&path).unwrap() && seen.insert(path.to_lowercase()) {
                files.push((path, synthetic::windows_driver(&name)));
            }
        }
    }
    // What its subsystems name.
    for name in ["sxssrv.dll", "win32k.sys"] {
        files.push((format!("/Windows/System32/{name}"), synthetic::windows_driver(name)));
    }
    let mut software =
        Hive::open(guest.read(SOFTWARE.path).unwrap().unwrap().to_vec()).unwrap().edit(1).unwrap();
    for (group, names) in groups {
        let names = hive::texts_data(names.iter().map(String::as_str));
        let key = r"Microsoft\Windows NT\CurrentVersion\Svchost";
        software.set(key, &group, Kind::MULTI_SZ, &names).unwrap();
    }
    files.push((SOFTWARE.path.to_owned(), software.finish().unwrap().into_bytes()));
    files
}

fn plan_of(disk: &Disk) -> Plan {
    plan(&Tree::open(disk.clone()).unwrap(), &[Identity::of("disk.img", disk).unwrap()], &GOAL).unwrap()
}

#[test]
fn a_guest_with_the_hive_of_a_real_machine_is_mended_and_put_back() {
    for (name, logs, guest, sets, is_ready) in [
        // Of a machine with 32 bits, which Azure does not take.
        ("regipy-SYSTEM", &[][..], "windows-2008r2", 2, false),
        ("regipy-SYSTEM_B", &["LOG1", "LOG2"], "windows-2019", 1, true),
        ("regipy-SYSTEM_WIN_10_1709", &[], "windows-2016", 1, true),
    ] {
        // It takes seconds to read one in a build for tests.
        if name.ends_with("1709") && !length::long() {
            continue;
        }
        let Some(hive) = recorded(name) else { return };
        let logs: Vec<Vec<u8>> = logs.iter().map(|log| recorded(&format!("{name}.{log}")).unwrap()).collect();
        let guest = synthetic::named(guest);
        let Some(path) = guest.path() else { return };
        let hive = if logs.is_empty() { as_it_is(hive) } else { hive };
        let read: Vec<&[u8]> = logs.iter().map(Vec::as_slice).collect();
        let mut files =
            beside(&Tree::open(disk(&path)).unwrap(), &Hive::recover(hive.clone(), &read).unwrap().hive);
        files.push((SYSTEM.path.to_owned(), hive));
        for (number, log) in logs.into_iter().enumerate() {
            files.push((format!("{}.LOG{}", SYSTEM.path, number + 1), log));
        }
        let folder = tempfile::tempdir().unwrap();
        let image = guest.copy_with(folder.path(), &files).unwrap();
        let original = judge::sha256(&image);

        let tree = Tree::open(disk(&image)).unwrap();
        let system = registry::open(&tree, SYSTEM).unwrap().unwrap();
        let known = ControlSets::of(&system).unwrap();
        assert_eq!(known.all.len(), sets, "{name}");
        assert_eq!(Services::of(&system, known.default.as_deref().unwrap()).unwrap().unread, [], "{name}");
        let found = check(&tree, &GOAL).unwrap();
        let stops: Vec<_> = found.after_fix().hops().filter(|hop| !hop.is_reached()).collect();
        assert_eq!(found.fixable(), is_ready, "{name}: {stops:#?}");

        let plan = plan_of(&disk(&image));
        assert!(plan.ready() == is_ready && !plan.is_empty(), "{name}");
        let digest = plan.digest().unwrap();
        let taken = Exclusive::take(&image).unwrap();
        assert_eq!(undo::prepare(std::slice::from_ref(&taken), &digest).unwrap(), Prepared::Ready);
        let sealed = apply::apply(disk(&image), &plan.source, &plan, &Silent).unwrap().remove(0);
        let identity = &plan.source[0].sha256;
        let change = undo::Change { image: &taken, format: &raw::FORMAT, sealed: &sealed, identity };
        undo::apply_in_place(&[change], &digest).unwrap();
        drop(sealed);
        assert_eq!(plan_of(&disk(&image)).steps, [], "{name}");
        told_is_done(name, &image, &system, &plan);
        undo::undo(std::slice::from_ref(&taken)).unwrap();
        assert_eq!(judge::sha256(&image), original, "{name}");
    }
}

/// What hivex finds in the hive before and after differs by the lines of the plan, and by nothing else.
fn told_is_done(name: &str, image: &Path, before: &registry::Opened, plan: &Plan) {
    let after = Tree::open(disk(image)).unwrap().read(SYSTEM.path).unwrap().unwrap();
    let told: BTreeSet<&str> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.edit {
            Edit::PutFile { path, rendering, .. } if path.eq_ignore_ascii_case(SYSTEM.path) => {
                Some(rendering)
            }
            _ => None,
        })
        .flatten()
        .filter_map(|line| line.get(1..)?.strip_prefix(r"[HKEY_LOCAL_MACHINE\SYSTEM\")?.strip_suffix(']'))
        .collect();
    assert!(!told.is_empty(), "{name}");
    if judge::need("hivexml").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lines = |hive: &[u8]| {
        let path = folder.path().join("hive");
        std::fs::write(&path, hive).unwrap();
        let xml = String::from_utf8(judge::run(judge::tool("hivexml").arg(&path)).stdout).unwrap();
        keys(&xml)
    };
    let (before, after) = (lines(&before.hive().clone().into_bytes()), lines(&after));
    let differ = |key: &&String| before.get(*key) != after.get(*key);
    let changed: BTreeSet<&str> =
        before.keys().chain(after.keys()).filter(differ).map(String::as_str).collect();
    assert_eq!(changed, told, "{name}");
}

/// The values of each key, by its path, as hivexml writes them.
fn keys(xml: &str) -> BTreeMap<String, String> {
    let (mut path, mut found) = (Vec::new(), BTreeMap::new());
    for tag in xml.split('<') {
        let named = || {
            let name = tag.split_once("name=\"")?.1.split_once('"')?.0;
            Some(name.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\""))
        };
        if tag.starts_with("node ") {
            path.push(named().unwrap_or_default());
            // The first is the root.
            found.insert(path[1..].join("\\"), String::new());
            if tag.trim_end().ends_with("/>") {
                path.pop();
            }
        } else if tag.starts_with("/node>") {
            path.pop();
        } else if !path.is_empty() && !tag.starts_with("mtime") && !tag.starts_with("/mtime") {
            found.entry(path[1..].join("\\")).or_default().push_str(tag);
        }
    }
    found
}

//! The same changes made by rust-fs-ntfs, whose results chkdsk of Windows was shown: the trees are the
//! same, and what the files say of themselves.

use std::collections::BTreeMap;

use block::{Disk, Memory, Overlay};
use fs_ntfs::write;
use vfs::{Attributes, FileSystem, NodeId, Timestamp, Transaction};

use crate::recorded::{files, recorded};
use crate::support::oracle::Oracle;

/// A change, by paths.
enum Step {
    Mkdir(String, String),
    Create(String, String, Vec<u8>),
    Replace(String, Vec<u8>),
    Rename(String, String),
    Unlink(String),
    Rmdir(String),
}

/// Changes of each kind: names that DOS can have and such as it cannot, small files and large ones.
fn steps() -> Vec<Step> {
    let content =
        |len: usize, seed: usize| (0..len).map(|n| ((n * 7 + seed) >> 2) as u8).collect::<Vec<u8>>();
    let top = "WindowsAzure".to_owned();
    let dir = format!("/{top}");
    let mut steps = vec![Step::Mkdir("/".into(), top), Step::Mkdir(dir.clone(), "Logs and more".into())];
    let name = |n: usize| match n % 4 {
        0 => format!("DRV{n}.SYS"),
        1 => format!("lower{n}.dll"),
        2 => format!("A name of some length, {n}.config.xml"),
        _ => format!("größer {n}"),
    };
    // In an order that is not that of the names.
    for n in (0..331).map(|n| n * 89 % 331) {
        steps.push(Step::Create(dir.clone(), name(n), content([0, 10, 500, 3000, 9000, 70_000][n % 6], n)));
    }
    for n in (0..331).step_by(3) {
        steps.push(Step::Unlink(format!("{dir}/{}", name(n))));
    }
    for n in (1..331).step_by(6) {
        steps.push(Step::Replace(format!("{dir}/{}", name(n)), content([40_000, 0, 100, 900][n % 4], n + 1)));
    }
    for n in (2..331).step_by(6) {
        steps.push(Step::Rename(format!("{dir}/{}", name(n)), format!("renamed {n} to something longer")));
    }
    steps.push(Step::Rmdir(format!("{dir}/Logs and more")));
    steps
}

fn find(fs: &dyn FileSystem, path: &str) -> NodeId {
    let mut names = path.split('/').filter(|name| !name.is_empty());
    names.try_fold(fs.root(), |dir, name| fs.lookup(dir, name.as_bytes())).unwrap()
}

fn ours(change: &mut dyn Transaction, step: &Step) {
    let time = Timestamp { seconds: 1_700_000_000, nanos: 0 };
    let attributes = Attributes { time, ..Attributes::default() };
    let split = |path: &str| {
        let (dir, name) = path.rsplit_once('/').unwrap();
        (dir.to_owned(), name.to_owned())
    };
    match step {
        Step::Mkdir(dir, name) => {
            let dir = find(change.fs(), dir);
            change.mkdir(dir, name.as_bytes(), &attributes).unwrap();
        }
        Step::Create(dir, name, content) => {
            let dir = find(change.fs(), dir);
            change.create(dir, name.as_bytes(), &attributes, content).unwrap();
        }
        Step::Replace(path, content) => {
            let file = find(change.fs(), path);
            change.replace(file, content, time).unwrap();
        }
        Step::Rename(path, to) => {
            let (dir, name) = split(path);
            let dir = find(change.fs(), &dir);
            change.rename(dir, name.as_bytes(), dir, to.as_bytes()).unwrap();
        }
        Step::Unlink(path) | Step::Rmdir(path) => {
            let (dir, name) = split(path);
            let dir = find(change.fs(), &dir);
            change.unlink(dir, name.as_bytes()).unwrap();
        }
    }
}

fn theirs(io: &mut Oracle, step: &Step) {
    match step {
        Step::Mkdir(dir, name) => drop(write::mkdir_io(io, dir, name).unwrap()),
        Step::Create(dir, name, content) => {
            write::create_file_io(io, dir, name).unwrap();
            let path = format!("{}/{name}", dir.trim_end_matches('/'));
            write::write_file_contents_io(io, &path, content).unwrap();
        }
        Step::Replace(path, content) => drop(write::replace_file_contents_io(io, path, content).unwrap()),
        Step::Rename(path, to) => write::rename_io(io, path, to).unwrap(),
        Step::Unlink(path) => write::unlink_io(io, path).unwrap(),
        Step::Rmdir(path) => write::rmdir_io(io, path).unwrap(),
    }
}

/// A file's names, each with what it is for.
fn names(io: &mut Oracle, path: &str) -> Vec<(String, u8)> {
    let names = write::read_file_names_io(io, path).unwrap();
    names.into_iter().map(|name| (name.name, name.namespace)).collect()
}

/// What a file says of itself: its attributes, also in its names, and the number of who may use it.
fn facts(io: &mut Oracle, path: &str) -> (u32, Vec<u32>, Option<u32>) {
    let standard = write::read_si_full_io(io, path).unwrap();
    let names = write::read_file_names_io(io, path).unwrap();
    let flags = names.iter().map(|name| name.file_attributes).collect();
    (standard.file_attributes, flags, standard.v3.map(|v3| v3.security_id))
}

#[test]
fn another_writer_makes_the_same_tree() {
    let Some(bytes) = recorded("windows-interrupted-1.recovered.img") else { return };
    let base = Disk::new(Memory::new(bytes));
    let (one, other) = (Overlay::new(base.clone()).unwrap(), Overlay::new(base).unwrap());
    let mut fs = ntfs::open_mut(one.writer()).unwrap();
    for transaction in steps().chunks(100) {
        let mut change = fs.begin().unwrap();
        transaction.iter().for_each(|step| ours(&mut *change, step));
        change.commit().unwrap();
    }
    let mut io = Oracle(other.writer());
    steps().iter().for_each(|step| theirs(&mut io, step));
    let tree = |overlay: &Overlay| {
        let fs = ntfs::open(overlay.disk()).unwrap();
        let mut found = BTreeMap::new();
        files(&*fs, fs.root(), "", &mut found);
        found
    };
    let found = tree(&one);
    assert_eq!(found, tree(&other));
    let made: Vec<String> = found.into_keys().filter(|path| path.starts_with("WindowsAzure/")).collect();
    assert!(made.len() > 200);
    let (mut ours, mut theirs) = (Oracle(one.writer()), Oracle(other.writer()));
    let windows = facts(&mut ours, "/d000/f0000064.bin");
    for path in made.iter().map(|path| format!("/{path}")) {
        assert_eq!(names(&mut ours, &path), names(&mut theirs, &path));
        // As a file that Windows made in a directory of the same kind.
        assert_eq!(facts(&mut ours, &path), windows, "{path}");
    }
    assert_eq!(facts(&mut ours, "/WindowsAzure"), facts(&mut ours, "/d000"));
}

#[test]
fn who_may_use_a_new_directory_is_as_for_most_beside_it() {
    let Some(bytes) = recorded("windows-interrupted-1.recovered.img") else { return };
    let volume = Overlay::new(Disk::new(Memory::new(bytes))).unwrap();
    let mut io = Oracle(volume.writer());
    write::mkdir_io(&mut io, "/", "drive").unwrap();
    // As the root of a drive of Windows: some are for themselves, and two are for the same.
    for (name, security, flags) in [
        ("$Recycle.Bin", 261, 6),
        ("$WinREAgent", 261, 2),
        ("Alone", 262, 0),
        ("Program Files (x86)", 264, 0),
        ("Program Files", 264, 0),
        ("System Volume", 261, 6),
        ("System Volume 2", 261, 6),
        ("Users", 262, 2),
    ] {
        write::mkdir_io(&mut io, "/drive", name).unwrap();
        let path = format!("/drive/{name}");
        write::set_security_id_io(&mut io, &path, security).unwrap();
        let change = write::FileAttributesChange { add: flags, remove: 0 };
        write::set_file_attributes_io(&mut io, &path, change).unwrap();
    }
    let mut fs = ntfs::open_mut(volume.writer()).unwrap();
    let mut change = fs.begin().unwrap();
    ours(&mut *change, &Step::Mkdir("/drive".into(), "WindowsAzure".into()));
    change.commit().unwrap();
    assert_eq!(facts(&mut io, "/drive/WindowsAzure").2, Some(264));
}

//! What we write is read by an implementation that nobody here wrote: the crate ext4-view.

#![allow(clippy::print_stderr, reason = "a failed test says which variant it was")]

mod support;

use std::collections::BTreeMap;

use ext4_view::Ext4;
use support::{Image, find};
use testimages::population::{attributes, pattern};
use vfs::FileSystemMut;

/// Every file below `path`, and every link with its target, as the second reader has them.
fn read(fs: &Ext4, path: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs.read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().as_str().unwrap().to_owned();
        let place = format!("{}/{name}", path.trim_end_matches('/'));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            let target = fs.read_link(place.as_str()).unwrap();
            found.insert(place, target.to_str().unwrap().as_bytes().to_vec());
        } else if !kind.is_dir() {
            let bytes = fs.read(place.as_str()).unwrap();
            found.insert(place, bytes);
        } else if name != "." && name != ".." {
            read(fs, &place, found);
        }
    }
}

#[test]
fn another_driver_reads_what_we_wrote() {
    // Every layout that it knows: extents and block maps, with and without checksums, hashed and linear
    // directories.
    for name in
        ["default", "1k_blocks", "no_journal", "no_checksums", "512_byte_inodes", "ext3", "ext2", "2k_blocks"]
    {
        eprintln!("{name}");
        let Some(image) = Image::new(&find(name), 64 << 20) else { return };
        let mut expected = BTreeMap::new();
        let mut fs = image.open_mut();
        let mut change = fs.begin().unwrap();
        let root = change.fs().root();
        let boot = change.mkdir(root, b"boot", &attributes(0o755)).unwrap();
        let many = change.mkdir(boot, b"many", &attributes(0o755)).unwrap();
        for (number, size) in [0, 1, 59, 61, 1024, 4096, 70_000, 3 << 20].into_iter().enumerate() {
            let name = format!("file-{number}");
            let bytes = pattern(size, number as u64);
            change.create(boot, name.as_bytes(), &attributes(0o640), &bytes).unwrap();
            expected.insert(format!("/boot/{name}"), bytes);
        }
        for number in 0..700 {
            let name = format!("{number}-{}", "\u{e9}".repeat(number % 30));
            change.create(many, name.as_bytes(), &attributes(0o644), name.as_bytes()).unwrap();
            expected.insert(format!("/boot/many/{name}"), name.into_bytes());
        }
        // A name in it may have 255 bytes at most.
        let long = [b"directory/".repeat(90), b"file".to_vec()].concat();
        for (name, target) in [("fast", b"file-3".to_vec()), ("slow", long)] {
            change.symlink(boot, name.as_bytes(), &attributes(0o777), &target).unwrap();
            expected.insert(format!("/boot/{name}"), target);
        }
        change.commit().unwrap();
        let mut change = fs.begin().unwrap();
        let node = change.fs().lookup(boot, b"file-6").unwrap();
        change.replace(node, b"short now", Default::default()).unwrap();
        expected.insert("/boot/file-6".into(), b"short now".to_vec());
        change.rename(boot, b"file-7", root, b"moved").unwrap();
        let moved = expected.remove("/boot/file-7").unwrap();
        expected.insert("/moved".into(), moved);
        change.unlink(boot, b"file-5").unwrap();
        expected.remove("/boot/file-5");
        change.commit().unwrap();
        drop(fs);
        image.judge();

        let theirs = Ext4::load_from_path(image.path()).unwrap();
        let mut found = BTreeMap::new();
        read(&theirs, "/", &mut found);
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected), "{name}");
        let wrong = expected.iter().find(|(path, bytes)| found[*path] != **bytes);
        assert!(wrong.is_none(), "{name}: {}", wrong.unwrap().0);
        let mode = theirs.metadata("/boot/file-1").unwrap().mode();
        assert_eq!(mode & 0o7777, 0o640, "{name}");
    }
}

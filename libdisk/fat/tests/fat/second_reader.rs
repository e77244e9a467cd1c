//! What we write is read by an implementation that nobody here wrote: the crate fatfs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use fatfs::{Dir, FatType, FileSystem as Theirs, FsOptions};
use testimages::judge;
use testimages::population::{attributes, pattern};
use vfs::FileSystemMut;

use crate::mtools::{KINDS, PROGRAMS, Volume};

/// Every file below `dir` by its path, as the second reader has them.
fn read(dir: &Dir<'_, File>, path: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in dir.iter() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let place = format!("{path}/{name}");
        if entry.is_file() {
            let mut bytes = Vec::new();
            entry.to_file().read_to_end(&mut bytes).unwrap();
            found.insert(place, bytes);
        } else if name != "." && name != ".." {
            read(&entry.to_dir(), &place, found);
        }
    }
}

#[test]
fn another_driver_reads_what_we_wrote() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    for ((name, options, size), kind) in
        KINDS.into_iter().zip([FatType::Fat12, FatType::Fat16, FatType::Fat32])
    {
        let volume = Volume::new(options, size);
        let mut expected = BTreeMap::new();
        let mut fs = fat::open_mut(volume.disk_mut()).unwrap();
        let mut change = fs.begin().unwrap();
        let root = change.fs().root();
        let efi = change.mkdir(root, b"EFI", &attributes(0o755)).unwrap();
        let boot = change.mkdir(efi, b"Boot with a long name", &attributes(0o755)).unwrap();
        for (number, size) in [0, 1, 512, 70_000, 1 << 20].into_iter().enumerate() {
            let name = format!("loader {number} of {size} bytes \u{e9}\u{4e2d}.efi");
            let bytes = pattern(size, number as u64);
            change.create(boot, name.as_bytes(), &attributes(0o755), &bytes).unwrap();
            expected.insert(format!("/EFI/Boot with a long name/{name}"), bytes);
        }
        for number in 0..200 {
            let name = format!("FILE{number}.TXT");
            change.create(efi, name.as_bytes(), &attributes(0o755), name.as_bytes()).unwrap();
            expected.insert(format!("/EFI/{name}"), name.into_bytes());
        }
        change.commit().unwrap();
        let mut change = fs.begin().unwrap();
        let node = change.fs().lookup(efi, b"FILE7.TXT").unwrap();
        change.replace(node, &pattern(100_000, 9), Default::default()).unwrap();
        expected.insert("/EFI/FILE7.TXT".into(), pattern(100_000, 9));
        change.unlink(efi, b"FILE8.TXT").unwrap();
        expected.remove("/EFI/FILE8.TXT");
        change.rename(efi, b"FILE9.TXT", root, b"moved to the root.txt").unwrap();
        let moved = expected.remove("/EFI/FILE9.TXT").unwrap();
        expected.insert("/moved to the root.txt".into(), moved);
        change.commit().unwrap();
        drop(fs);
        volume.fsck();

        let file = File::options().read(true).write(true).open(volume.path()).unwrap();
        let theirs = Theirs::new(file, FsOptions::new()).unwrap();
        assert!(theirs.fat_type() == kind, "{name}");
        assert_eq!((theirs.volume_id(), theirs.volume_label().as_str()), (0x1234_ABCD, "REFLOAT"), "{name}");
        let mut found = BTreeMap::new();
        read(&theirs.root_dir(), "", &mut found);
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected), "{name}");
        assert!(found == expected, "{name}: a file has other bytes");
    }
}

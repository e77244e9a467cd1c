//! What mtools writes is read right, and what is written here is what mtools reads.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use testimages::judge;
use vfs::conformance::{Rng, compare_as_far_as};
use vfs::{Attributes, FileSystem, FileSystemMut, FileType, FsError, MemoryFs, NodeId, State, Timestamp};

use crate::mtools::{KINDS, PROGRAMS, Volume};

/// A time with an even number of seconds.
fn time(second: u64) -> Timestamp {
    Timestamp { seconds: 1_600_000_000 + 2 * second as i64, nanos: 0 }
}

/// A tree as on an EFI system partition, with long names and a deep directory, on the host.
fn host_tree(folder: &Path) {
    let mut files = vec![
        ("EFI/BOOT/BOOTX64.EFI".to_owned(), 150_000),
        ("EFI/ubuntu/grubx64.efi".to_owned(), 70_001),
        ("EFI/ubuntu/grub.cfg".to_owned(), 117),
        ("EFI/Größe und Übermaß/日本語のファイル名.txt".to_owned(), 3000),
        ("loader/entries/6.8.0-1018-aws.conf".to_owned(), 300),
        ("empty".to_owned(), 0),
        ("a name with spaces and.many.dots.and a boat ⛵.tar.gz".to_owned(), 5),
        (format!("{}.x", "n".repeat(250)), 10),
        (format!("{}deepest file", "a/deep directory/".repeat(12)), 40_000),
    ];
    files.extend((0..300).map(|index| (format!("many/a file of many, number {index}"), index % 7)));
    for (number, (path, len)) in files.into_iter().enumerate() {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(&path, Rng::new(number as u64).bytes(len)).expect("a file");
        let modified = UNIX_EPOCH + Duration::from_secs(time(number as u64).seconds as u64);
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(modified))
            .expect("a time");
    }
}

/// A tree of the host in memory.
fn model_of(folder: &Path) -> MemoryFs {
    fn add(fs: MemoryFs, folder: &Path, inside: &str) -> MemoryFs {
        let entries = folder.read_dir().expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).fold(fs, |fs, path| {
            let inside =
                format!("{inside}/{}", path.file_name().and_then(|name| name.to_str()).expect("UTF-8"));
            if path.is_dir() {
                return add(fs.dir(&inside), &path, &inside);
            }
            let modified = path.metadata().and_then(|metadata| metadata.modified()).expect("a time");
            let seconds = modified.duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
            fs.file(&inside, fs::read(&path).expect("a file")).mtime(&inside, Timestamp { seconds, nanos: 0 })
        })
    }
    add(MemoryFs::new(), folder, "")
}

#[track_caller]
fn same(a: &dyn FileSystem, b: &dyn FileSystem) {
    if let Err(difference) = compare_as_far_as(&vfs::conformance::Capabilities::FAT, a, b) {
        panic!("{difference}");
    }
}

fn resolve(fs: &dyn FileSystem, path: &str) -> NodeId {
    let mut names = path.split('/').filter(|name| !name.is_empty());
    names.try_fold(fs.root(), |dir, name| fs.lookup(dir, name.as_bytes())).expect("it is there")
}

/// The free bytes that mdir ends with ("1 234 567 bytes free"); on FAT32 it goes by the FSInfo sector.
fn mdir_free(volume: &Volume) -> u64 {
    let listing = String::from_utf8_lossy(&volume.mtool("mdir", &["::/"])).into_owned();
    let free = listing.lines().find_map(|line| line.trim().strip_suffix("bytes free")).expect("mdir counts");
    free.replace(' ', "").parse().expect("a number")
}

#[test]
fn what_mtools_writes_is_read() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let tree = tempfile::tempdir().expect("a folder");
    host_tree(tree.path());
    let model = model_of(tree.path());
    for (kind, options, size) in KINDS {
        let volume = Volume::new(options, size);
        assert!(fat::probe(&volume.disk()).expect("the volume can be read"));
        volume.copy_in(tree.path());
        let fs = fat::open(volume.disk()).expect("the volume can be opened");
        same(&fs, &model);

        let info = fs.info().expect("the volume can be described");
        assert_eq!((info.kind, info.label.as_deref()), ("vfat", Some("REFLOAT")));
        assert_eq!(info.uuid.as_deref(), Some("1234-ABCD"));
        assert_eq!((info.state, info.features.as_slice()), (State::Clean, &[kind.to_owned()][..]));
        let free = fs.free(u64::MAX).expect("the free space can be counted");
        let ranges = fs.free_ranges().expect("the free ranges can be read");
        assert_eq!(ranges.iter().map(|range| range.end - range.start).sum::<u64>(), free);
        assert_eq!(mdir_free(&volume), free, "{kind}");
    }
}

#[test]
fn blkid_agrees_on_label_and_serial() {
    if !judge::need_all(&["mkfs.vfat", "blkid"]) {
        return;
    }
    for (_, options, size) in KINDS {
        let volume = Volume::new(options, size);
        let told = judge::run(judge::tool("blkid").args(["-p", "-o", "export"]).arg(volume.path())).stdout;
        let told = String::from_utf8_lossy(&told).into_owned();
        let value = |key: &str| told.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        let info = fat::open(volume.disk()).and_then(|fs| fs.info()).expect("the volume can be described");
        assert_eq!(value("TYPE=").as_deref(), Some(info.kind));
        assert_eq!(value("LABEL="), info.label);
        assert_eq!(value("UUID="), info.uuid);
    }
}

#[test]
fn mtools_reads_what_is_written_into_its_own_tree() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let tree = tempfile::tempdir().expect("a folder");
    host_tree(tree.path());
    for (_, options, size) in KINDS {
        let volume = Volume::new(options, size);
        volume.copy_in(tree.path());
        let mut fs = fat::open_mut(volume.disk_mut()).expect("the volume can be opened");
        let mut change = fs.begin().expect("a transaction begins");
        let attributes = |second| Attributes { time: time(second), ..Attributes::default() };
        let root = change.fs().root();
        let (efi, ubuntu) = (resolve(change.fs(), "/EFI"), resolve(change.fs(), "/EFI/ubuntu"));
        let vendor =
            change.mkdir(efi, "Ein langer Name für ein Verzeichnis".as_bytes(), &attributes(5000)).unwrap();
        change.create(vendor, b"shimx64.efi", &attributes(5001), &Rng::new(1).bytes(200_000)).unwrap();
        change.create(root, b"UPPER.TXT", &attributes(5002), b"short name only").unwrap();
        change
            .replace(resolve(change.fs(), "/EFI/ubuntu/grub.cfg"), &Rng::new(2).bytes(9000), time(5003))
            .unwrap();
        change.rename(ubuntu, b"grubx64.efi", vendor, b"moved to here.efi").unwrap();
        let deep = resolve(change.fs(), "/a/deep directory");
        change.rename(deep, b"a", root, b"no longer that deep").unwrap();
        change.unlink(root, b"empty").unwrap();
        for index in 0..150 {
            change
                .unlink(resolve(change.fs(), "/many"), format!("a file of many, number {index}").as_bytes())
                .unwrap();
        }
        change.commit().expect("the change can be committed");
        drop(fs);

        volume.fsck();
        let model = model_of(&volume.copy_out("out"));
        let fs = fat::open(volume.disk()).expect("the volume can be opened");
        same(&fs, &model);
        assert_eq!(mdir_free(&volume), fs.free(u64::MAX).expect("the free space can be counted"));
        assert_eq!(
            model.content("/EFI/Ein langer Name für ein Verzeichnis/shimx64.efi").map(<[u8]>::len),
            Some(200_000)
        );
        assert_eq!(model.content("/UPPER.TXT"), Some(&b"short name only"[..]));
        assert!(model.resolve("/empty").is_none());
        // "UPPER.TXT" needs no long name, and a name in lower case keeps its alias without a number.
        let listing = String::from_utf8_lossy(&volume.mtool("mdir", &["::/"])).into_owned();
        let line = listing.lines().find(|line| line.starts_with("UPPER    TXT")).expect("mdir lists it");
        assert!(!line.contains("UPPER.TXT"), "{line}");
        let inside = "::/EFI/Ein langer Name für ein Verzeichnis";
        let listing = String::from_utf8_lossy(&volume.mtool("mdir", &[inside])).into_owned();
        assert!(listing.contains("SHIMX64  EFI"), "{listing}");
        assert!(listing.contains("MOVEDT~1 EFI"), "{listing}");
    }
}

#[test]
fn a_node_keeps_its_number_through_a_rename() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let (_, options, size) = KINDS[1];
    let volume = Volume::new(options, size);
    let mut fs = fat::open_mut(volume.disk_mut()).expect("the volume can be opened");
    let root = fs.root();
    let mut change = fs.begin().unwrap();
    let attributes = Attributes { time: time(1), ..Attributes::default() };
    let file = change.create(root, b"file", &attributes, b"content").unwrap();
    let dir = change.mkdir(root, b"dir", &attributes).unwrap();
    change.commit().unwrap();
    let mut change = fs.begin().unwrap();
    change.rename(root, b"file", dir, b"a much longer name").unwrap();
    let other = change.create(root, b"file", &attributes, b"other").unwrap();
    assert_ne!(file, other);
    change.commit().unwrap();
    let mut content = [0; 16];
    assert_eq!(fs.read_at(file, &mut content, 0).unwrap(), 7);
    assert_eq!(fs.lookup(dir, b"a much longer name").unwrap(), file);
    assert_eq!(fs.lookup(root, b"file").unwrap(), other);
}

#[test]
fn the_mark_of_a_volume_in_use_goes_with_the_first_commit() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    for (kind, options, size) in KINDS {
        let volume = Volume::new(options, size);
        let mut image = fs::read(volume.path()).expect("the volume");
        // The mark is in the boot sector, and upside down in the entry of cluster 1, which FAT12 has no room
        // for.
        let table = usize::from(u16::from_le_bytes([image[14], image[15]])) * 512;
        let (state, (entry, clean)) = match kind {
            "FAT32" => (0x41, (table + 7, 0x08)),
            "FAT16" => (0x25, (table + 3, 0x80)),
            _ => (0x25, (0, 0)),
        };
        image[state] |= 1;
        image[entry] &= !clean;
        fs::write(volume.path(), &image).expect("a write");
        let mut fs = fat::open_mut(volume.disk_mut()).expect("the volume can be opened");
        assert_eq!(fs.info().unwrap().features, [kind, "dirty"]);
        let mut change = fs.begin().unwrap();
        let root = change.fs().root();
        change.mkdir(root, b"dir", &Attributes::default()).unwrap();
        change.commit().unwrap();
        assert_eq!(fs.info().unwrap().features, [kind]);
        let image = fs::read(volume.path()).expect("the volume");
        assert_eq!((image[state] & 1, image[entry] & clean), (0, clean));
        volume.fsck();
    }
}

#[test]
fn volumes_with_larger_sectors_and_clusters() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    for options in
        [&["-F", "16", "-S", "4096", "-s", "1"][..], &["-F", "12", "-s", "128"], &["-F", "32", "-f", "1"]]
    {
        let volume = Volume::new(options, 48 << 20);
        let mut fs = fat::open_mut(volume.disk_mut()).expect("the volume can be opened");
        let mut change = fs.begin().unwrap();
        let root = change.fs().root();
        let dir = change.mkdir(root, b"a directory", &Attributes::default()).unwrap();
        let content = Rng::new(3).bytes(1_000_000);
        change
            .create(dir, b"a file", &Attributes { time: time(1), ..Attributes::default() }, &content)
            .unwrap();
        change.commit().unwrap();
        volume.fsck();
        assert!(volume.mtool("mtype", &["::/a directory/a file"]) == content, "{options:?}");
    }
}

#[test]
fn what_is_no_fat_is_not_taken_for_one() {
    if !judge::need_all(&["mke2fs", "mkfs.vfat"]) {
        return;
    }
    let zeros = block::Disk::new(block::Zeros::new(1 << 20));
    assert!(!fat::probe(&zeros).unwrap());
    assert!(matches!(fat::open(zeros), Err(FsError::Corrupt { .. })));
    assert!(!fat::probe(&block::Disk::new(block::Zeros::new(100))).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ext4");
    fs::File::create(&path).and_then(|file| file.set_len(8 << 20)).unwrap();
    judge::run(judge::tool("mke2fs").args(["-q", "-t", "ext4"]).arg(&path));
    assert!(!fat::probe(&block::FileDisk::open(&path).unwrap().disk()).unwrap());
}

#[test]
fn shared_clusters_are_refused_before_the_first_write() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let (_, options, size) = KINDS[1];
    let volume = Volume::new(options, size);
    let mut fs = fat::open_mut(volume.disk_mut()).unwrap();
    let mut change = fs.begin().unwrap();
    let root = change.fs().root();
    for name in [b"FIRST.BIN", b"OTHER.BIN"] {
        change.create(root, name, &Attributes::default(), &[7; 50_000]).unwrap();
    }
    change.commit().unwrap();
    drop(fs);
    // The entry of the second file gets the first cluster of the first.
    let image = fs::read(volume.path()).unwrap();
    let find = |name: &[u8]| image.windows(11).position(|bytes| bytes == name).expect("the entry is there");
    let (first, other) = (find(b"FIRST   BIN"), find(b"OTHER   BIN"));
    let mut file = fs::File::options().write(true).open(volume.path()).unwrap();
    file.seek(SeekFrom::Start(other as u64 + 26)).unwrap();
    file.write_all(&image[first + 26..first + 28]).unwrap();
    let before = fs::read(volume.path()).unwrap();
    let refused = fat::open_mut(volume.disk_mut()).map(drop).unwrap_err();
    assert!(matches!(refused, FsError::Corrupt { .. }), "{refused}");
    assert!(refused.to_string().contains("OTHER.BIN"), "{refused}");
    assert!(before == fs::read(volume.path()).unwrap());
    // Reading is still possible.
    let fs = fat::open(volume.disk()).unwrap();
    assert_eq!(fs.metadata(resolve(&fs, "/OTHER.BIN")).unwrap().file_type, FileType::Regular);
}

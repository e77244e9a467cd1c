//! Changes of files that Windows and ntfs-3g made: what they touch, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

use block::{Disk, Memory, Overlay};
use testimages::judge::{self, Depth};
use testimages::length::long;
use vfs::{Attributes, FileSystem, FsError, NodeId, Timestamp, Transaction};

use crate::mounted::{in_pieces, made};
use crate::recorded::{files, recorded};
use crate::replayed::ours;
use crate::support::oracle::Oracle;
use crate::writing::Volume;

const TIME: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 123_456_700 };

fn find(fs: &dyn FileSystem, path: &str) -> NodeId {
    let mut names = path.split('/').filter(|name| !name.is_empty());
    names.try_fold(fs.root(), |dir, name| fs.lookup(dir, name.as_bytes())).unwrap()
}

fn content(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|n| ((n * 31) >> 3) as u8 ^ seed).collect()
}

fn read(fs: &dyn FileSystem, path: &str) -> Vec<u8> {
    let node = find(fs, path);
    let mut bytes = vec![0; usize::try_from(fs.metadata(node).unwrap().size).unwrap()];
    assert_eq!(fs.read_at(node, &mut bytes, 0).unwrap(), bytes.len());
    bytes
}

/// What a change is refused with.
fn refusal(
    volume: &Volume,
    what: &str,
    make: impl FnOnce(&mut dyn Transaction) -> vfs::Result<()>,
) -> FsError {
    let before = fs::read(volume.path()).unwrap();
    let error = {
        let mut fs = ntfs::open_mut(volume.disk_mut()).unwrap();
        let made = fs.begin().and_then(|mut change| {
            make(&mut *change)?;
            change.commit()
        });
        made.err()
    };
    let error = error.unwrap_or_else(|| panic!("{what} is not refused"));
    assert!(fs::read(volume.path()).unwrap() == before, "{what}");
    error
}

#[test]
fn a_file_of_the_same_size_is_replaced_in_place() {
    let Some(bytes) = recorded("windows-interrupted-1.recovered.img") else { return };
    let volume = Volume::new(&bytes);
    let before = ntfs::open(volume.disk()).unwrap();
    // A hive has bins of 4 KiB; this file is as such a one.
    let mut all = BTreeMap::new();
    files(&*before, before.root(), "", &mut all);
    let own = all.iter().filter(|(path, _)| !path.starts_with("System Volume"));
    let path = own.max_by_key(|(_, (size, _))| *size).unwrap().0.clone();
    let path = &path;
    let old = read(&*before, path);
    let new = content(old.len(), 1);
    volume.change(|change| {
        let node = find(change.fs(), path);
        change.replace(node, &new, TIME)
    });
    let after = ntfs::open(volume.disk()).unwrap();
    assert!(read(&*after, path) == new);
    assert_eq!(after.metadata(find(&*after, path)).unwrap().mtime, TIME);
    // Bytes that are other ones now: content, and no more than the record and the entry of its directory.
    let now = fs::read(volume.path()).unwrap();
    let places: Vec<usize> =
        (0..bytes.len()).step_by(512).filter(|at| bytes[*at..at + 512] != now[*at..at + 512]).collect();
    let is_content =
        |at: &&usize| old.windows(512).step_by(512).any(|piece| bytes[**at..**at + 512] == *piece);
    let rest: Vec<&usize> = places.iter().filter(|at| !is_content(at)).collect();
    // A record of two sectors, a node of eight, and the tail of the content.
    assert!(rest.len() <= 2 + 8 + 1, "{rest:?}");
    // All else is as Windows says.
    let mut found = BTreeMap::new();
    files(&*after, after.root(), "", &mut found);
    all.insert(path.clone(), (new.len() as u64, judge::digest(&new)));
    assert_eq!(found, all);
}

#[test]
fn a_volume_that_was_replayed_is_changed() {
    let Some(bytes) = recorded("windows-interrupted-1.img") else { return };
    let volume = Volume::new(&bytes);
    assert!(refusal(&volume, "it", |_| Ok(())).to_string().contains("log has work pending"));
    let replayed: Overlay = ours(&volume.disk()).unwrap();
    replayed.merge_into(&volume.disk_mut()).unwrap();
    volume.change(|change| {
        let root = change.fs().root();
        let attributes = Attributes { time: TIME, ..Attributes::default() };
        let dir = change.mkdir(root, b"WindowsAzure", &attributes)?;
        (0..300).try_for_each(|n| {
            let name = format!("GuestAgent {n}.exe");
            change.create(dir, name.as_bytes(), &attributes, &content(n * 100, 2)).map(drop)
        })
    });
    let fs = ntfs::open(volume.disk()).unwrap();
    assert!(read(&*fs, "WindowsAzure/guestagent 299.EXE") == content(29900, 2));
}

/// Whether a file has a list of its attributes, as rust-fs-ntfs reads it.
fn has_list(volume: &Volume, path: &str) -> bool {
    let attributes = fs_ntfs::write::read_attributes_io(&mut Oracle(volume.disk_mut()), path).unwrap();
    attributes.iter().any(|attribute| attribute.type_code == 0x20)
}

#[test]
fn a_file_in_many_pieces_is_replaced() {
    let made = made(&["-c", "4096"], 10 << 20, |top| fs::write(top.join("first"), b"x").unwrap());
    let Some(bytes) = made else { return };
    let volume = Volume::new(&in_pieces(bytes, "pieces", 400));
    assert!(has_list(&volume, "/pieces"));
    let replaced = |path: &str, size: usize, seed: u8| {
        let wanted = content(size, seed);
        volume.make(|change| {
            let node = find(change.fs(), path);
            change.replace(node, &wanted, TIME)
        });
        volume.judge(Depth::Structures);
        assert!(read(&*ntfs::open(volume.disk()).unwrap(), path) == wanted, "{path} of {size}");
    };
    // In place, and so that the free clusters are single ones still.
    for (seed, clusters) in [400, 399, 410, 300, 430, 350].into_iter().enumerate() {
        replaced("pieces", clusters * 4096 - 5, seed as u8);
        assert!(has_list(&volume, "/pieces"));
    }
    // One that had no list gets it.
    replaced("pieces", 1000, 7);
    assert!(!has_list(&volume, "/small 1"));
    replaced("small 1", 300 * 4096, 8);
    assert!(has_list(&volume, "/small 1"));
    volume.judge(Depth::Everything);
    volume.change(|change| {
        let root = change.fs().root();
        change.unlink(root, b"small 1")?;
        change.unlink(root, b"pieces")
    });
}

#[test]
fn files_with_several_names() {
    let volume = made(&["-c", "4096"], 64 << 20, |top| {
        fs::write(top.join("a"), vec![1; 1500 * 4096]).unwrap();
        fs::write(top.join("b"), vec![1; 5000]).unwrap();
        fs::write(top.join("A long name.txt"), b"content").unwrap();
        let mut setfattr = Command::new("setfattr");
        setfattr
            .args(["-h", "-n", "system.ntfs_dos_name", "-v", "ALONGN~1.TXT"])
            .arg(top.join("A long name.txt"));
        judge::run(&mut setfattr);
        fs::create_dir(top.join("dir")).unwrap();
        fs::hard_link(top.join("a"), top.join("dir/other name of a")).unwrap();
    });
    let Some(bytes) = volume else { return };
    let volume = Volume::new(&bytes);
    let fs = ntfs::open(volume.disk()).unwrap();
    // A second name for DOS is no link.
    let links = |path: &str| fs.metadata(find(&*fs, path)).unwrap().links;
    assert_eq!((links("a"), links("A long name.txt"), links("b")), (2, 1, 1));
    drop(fs);
    let sizes = [1500 * 4096, 1500 * 4096 + 1, 9_000_000, 3_000_000, 700, 0, 12_345_678];
    for (number, size) in sizes.into_iter().enumerate() {
        let wanted = content(size, number as u8);
        volume.change(|change| {
            let node = find(change.fs(), "a");
            change.replace(node, &wanted, TIME)
        });
        let fs = ntfs::open(volume.disk()).unwrap();
        assert!(read(&*fs, "dir/other name of a") == wanted, "{size}");
        assert!(read(&*fs, "b") == [1; 5000]);
    }
    volume.change(|change| {
        let node = find(change.fs(), "alongn~1.txt");
        change.replace(node, &[9; 5000], TIME)
    });
    // The name for DOS goes with its other one, and one of two names leaves the other.
    volume.change(|change| {
        let root = change.fs().root();
        change.rename(root, b"A long name.txt", root, b"Another long name.txt")?;
        change.unlink(root, b"a")
    });
    let fs = ntfs::open(volume.disk()).unwrap();
    assert!(matches!(fs.lookup(fs.root(), b"ALONGN~1.TXT"), Err(FsError::NotFound)));
    assert!(read(&*fs, "another long name.txt") == [9; 5000]);
    assert!(read(&*fs, "dir/other name of a") == content(12_345_678, 6));
    drop(fs);
    volume.change(|change| {
        let (root, dir) = (change.fs().root(), find(change.fs(), "dir"));
        change.unlink(dir, b"other name of a")?;
        change.unlink(root, b"b")?;
        change.unlink(root, b"Another long name.txt")?;
        change.unlink(root, b"dir")
    });
    assert!(ntfs::open(volume.disk()).unwrap().read_dir(NodeId(5)).unwrap().is_empty());
}

#[test]
fn what_is_not_simply_stored_is_refused_by_name() {
    let volume = made(&["-c", "4096"], 32 << 20, |top| {
        let attributes = |name: &str, value: &str| {
            let mut setfattr = Command::new("setfattr");
            setfattr.args(["-h", "-n", "system.ntfs_attrib_be", "-v", value]).arg(top.join(name));
            judge::run(&mut setfattr);
        };
        fs::create_dir(top.join("packed")).unwrap();
        attributes("packed", "0x00000800");
        fs::write(top.join("packed/file"), vec![1; 200_000]).unwrap();
        let sparse = fs::File::create(top.join("sparse")).unwrap();
        sparse.write_all_at(&[1; 4096], 1 << 20).unwrap();
        fs::write(top.join("wof"), b"x").unwrap();
        let mut setfattr = Command::new("setfattr");
        // IO_REPARSE_TAG_WOF with its data.
        let wof = format!("0x17000080 1000 0000 {}", "01000000 02000000 01000000 00000000").replace(' ', "");
        judge::run(setfattr.args(["-h", "-n", "system.ntfs_reparse_data", "-v", &wof]).arg(top.join("wof")));
        fs::write(top.join("file"), b"x").unwrap();
    });
    let Some(bytes) = volume else { return };
    let volume = Volume::new(&bytes);
    let replaced = |path: &str| {
        refusal(&volume, path, |change| {
            let node = find(change.fs(), path);
            change.replace(node, b"new", TIME)
        })
    };
    for (path, why) in [("packed/file", "compressed"), ("sparse", "sparse"), ("wof", "WOF")] {
        let error = replaced(path);
        assert!(matches!(&error, FsError::Unsupported(what) if what.contains(why)), "{path}: {error}");
    }
    for path in ["$MFT", "$Boot", "$Extend", "$Extend/$Quota"] {
        assert!(matches!(replaced(path), FsError::Invalid(_)), "{path}");
    }
    let extend = refusal(&volume, "it", |change| {
        let extend = find(change.fs(), "$Extend");
        change.create(extend, b"new", &Attributes::default(), b"").map(drop)
    });
    assert!(matches!(extend, FsError::Invalid(_)), "{extend}");
    let error = refusal(&volume, "wof", |change| change.unlink(change.fs().root(), b"wof"));
    assert!(error.to_string().contains("reparse point"), "{error}");
    let file = |change: &mut dyn Transaction| find(change.fs(), "file");
    let owner = refusal(&volume, "it", |change| {
        let file = file(change);
        change.set_owner(file, 0o755, 0, 0)?;
        change.set_owner(file, 0o600, 0, 0)
    });
    assert!(matches!(owner, FsError::Unsupported(_)), "{owner}");
}

#[test]
fn a_volume_in_another_state_is_refused_by_name() {
    let clean =
        made(&["-c", "4096"], 16 << 20, |top| fs::write(top.join("hiberfil.sys"), b"\0\0\0\0").unwrap());
    let Some(clean) = clean else { return };
    let volume = Volume::new(&clean);
    volume.change(|change| {
        let file = find(change.fs(), "hiberfil.sys");
        change.replace(file, b"hibr", TIME)
    });
    let error = refusal(&volume, "it", |_| Ok(()));
    assert!(error.to_string().contains("hibernated"), "{error}");

    // $VOLUME_INFORMATION: eight bytes, the version, the flags.
    let at = clean.windows(12).position(|bytes| bytes == b"\0\0\0\0\0\0\0\0\x03\x01\0\0").unwrap();
    for (place, byte, why) in
        [(at + 10, 1, "marked as dirty"), (at + 9, 2, "NTFS 3.2"), (at + 11, 0x80, "flags 0x8000")]
    {
        let mut bytes = clean.clone();
        bytes[place] = byte;
        let error = refusal(&Volume::new(&bytes), why, |_| Ok(()));
        assert!(error.to_string().contains(why), "{error}");
    }
    let mut healthy = clean;
    healthy[at + 10] = 0x80;
    let volume = Volume::new(&healthy);
    let mut fs = ntfs::open_mut(volume.disk_mut()).unwrap();
    fs.begin().unwrap().commit().unwrap();
}

/// Linux' own driver finds the same as ours, on volumes that were changed much.
#[test]
fn ntfs3_finds_what_was_written() {
    if !long() {
        return judge::skip("a long run, to ask Linux' ntfs3");
    }
    let kinds = [("512", 64 << 20), ("4096", 64 << 20), ("65536", 256 << 20)];
    let kinds = kinds.map(|(cluster, size)| made(&["-c", cluster], size, |_| {}));
    let windows = recorded("windows-interrupted-1.recovered.img");
    let volumes: Vec<Volume> =
        kinds.into_iter().chain([windows]).flatten().map(|bytes| Volume::new(&bytes)).collect();
    for volume in &volumes {
        volume.change(|change| {
            let root = change.fs().root();
            let attributes = Attributes { time: TIME, ..Attributes::default() };
            let dir = change.mkdir(root, b"many", &attributes)?;
            for n in 0..800 {
                let name = format!("a name of some length, number {n}");
                change.create(dir, name.as_bytes(), &attributes, &content(n * 37 % 5000, n as u8))?;
            }
            let large = change.create(root, b"large", &attributes, &content(3_000_000, 3))?;
            (0..800).step_by(3).try_for_each(|n| {
                let name = format!("a name of some length, number {n}");
                change.unlink(dir, name.as_bytes())
            })?;
            change.replace(large, &content(5_000_001, 4), TIME)
        });
    }
    let paths: Vec<&std::path::Path> = volumes.iter().map(Volume::path).collect();
    let Some(found) = judge::ntfs3(&paths) else { return };
    for (volume, mut found) in volumes.iter().zip(found) {
        let fs = ntfs::open(volume.disk()).unwrap();
        let mut wanted = BTreeMap::new();
        files(&*fs, fs.root(), "", &mut wanted);
        let wanted: BTreeMap<String, String> =
            wanted.into_iter().map(|(path, (_, digest))| (path, digest)).collect();
        found.retain(|_, what| what != "dir");
        let other = |path: &&String| wanted.get(*path) != found.get(*path);
        let others: Vec<_> = wanted.keys().chain(found.keys()).filter(other).take(9).collect();
        assert!(wanted.len() > 500 && others.is_empty(), "{others:?}");
    }
}

#[test]
fn what_the_bitmap_gives_to_nobody_is_not_written_over() {
    let content = content(20_000, 5);
    let made = made(&["-c", "4096"], 16 << 20, |top| fs::write(top.join("file"), &content).unwrap());
    let Some(mut bytes) = made else { return };
    let cluster = bytes.chunks(4096).position(|cluster| cluster.starts_with(&content[..4096])).unwrap();
    let fs = ntfs::open(Disk::new(Memory::new(bytes.clone()))).unwrap();
    let bits = read(&*fs, "$Bitmap");
    let bitmap = bytes.windows(bits.len()).step_by(4096).position(|piece| piece == bits).unwrap() * 4096;
    bytes[bitmap + cluster / 8] &= !(1 << (cluster % 8));
    let error = refusal(&Volume::new(&bytes), "it", |change| {
        let file = find(change.fs(), "file");
        change.replace(file, &[1; 20_000], TIME)
    });
    assert!(matches!(&error, FsError::Corrupt { structure, .. } if structure == "$Bitmap"), "{error}");
}

#[test]
fn what_is_below_extend_is_the_volumes_own() {
    let Some(bytes) = recorded("windows-interrupted-1.recovered.img") else { return };
    let volume = Volume::new(&bytes);
    for path in ["$Extend/$RmMetadata/$Repair", "$Extend/$RmMetadata/$TxfLog/$Tops"] {
        let error = refusal(&volume, path, |change| {
            let file = find(change.fs(), path);
            change.replace(file, b"new", TIME)
        });
        assert!(matches!(error, FsError::Invalid(_)), "{path}: {error}");
    }
    let error = refusal(&volume, "a new file", |change| {
        let dir = find(change.fs(), "$Extend/$RmMetadata/$TxfLog");
        change.create(dir, b"new", &Attributes::default(), b"").map(drop)
    });
    assert!(matches!(error, FsError::Invalid(_)), "{error}");
}

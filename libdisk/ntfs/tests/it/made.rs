//! Volumes that mkntfs and ntfs-3g made: what they hold is read as they say.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use block::{Disk, Memory};
use testimages::judge;
use vfs::{FileType, FsError};

use crate::mounted::made;
use crate::recorded::files;

/// Free clusters and all clusters of a volume, as ntfsinfo says them.
fn ntfsinfo(volume: &[u8]) -> (u64, u64) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(volume).unwrap();
    let said = judge::run(Command::new("ntfsinfo").arg("-m").arg(file.path()));
    let said = String::from_utf8(said.stdout).unwrap();
    let number = |name: &str| -> u64 {
        let line =
            said.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{said}"));
        line.split(':').nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    };
    (number("Free Clusters"), number("Volume Size in Clusters"))
}

#[test]
fn all_names_and_contents_are_found() {
    let kinds = [("4096", 64 << 20, 1500), ("512", 32 << 20, 1500), ("65536", 128 << 20, 200)];
    for (cluster, size, rounds) in kinds {
        let options = ["-c", cluster];
        let mut wanted = BTreeMap::new();
        let volume = made(&options, size, |top| {
            let mut put = |name: String, content: &[u8]| {
                fs::write(top.join(&name), content).unwrap();
                wanted.insert(name, (content.len() as u64, judge::digest(content)));
            };
            put("empty".to_owned(), b"");
            put("small ü".to_owned(), b"in the record");
            put("large".to_owned(), &(0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
            // More names than one node of an index holds.
            fs::create_dir(top.join("many")).unwrap();
            (0..700).for_each(|n| put(format!("many/Name {n} with some length"), format!("{n}").as_bytes()));
            // A file in many pieces has a list of attributes.
            let pieces: Vec<File> =
                ["a", "b"].iter().map(|name| File::create(top.join(name)).unwrap()).collect();
            for round in 0..rounds {
                pieces.iter().for_each(|file| {
                    std::os::unix::fs::FileExt::write_all_at(file, &[1; 4096], round * 2 * 65536).unwrap();
                });
            }
            drop(pieces);
            for name in ["a", "b"] {
                let content = fs::read(top.join(name)).unwrap();
                wanted.insert(name.to_owned(), (content.len() as u64, judge::digest(&content)));
            }
            std::os::unix::fs::symlink("many/Name 1", top.join("link")).unwrap();
        });
        let Some(volume) = volume else { return };
        let fs = ntfs::open(Disk::new(Memory::new(volume.clone()))).unwrap();
        let mut found = BTreeMap::new();
        files(&*fs, fs.root(), "", &mut found);
        found.remove("link");
        assert!(found == wanted, "{options:?}");
        let info = fs.info().unwrap();
        assert_eq!((info.label.as_deref(), info.kind), (Some("Données"), "ntfs"));
        let free: u64 = fs.free_ranges().unwrap().iter().map(|range| range.end - range.start).sum();
        assert_eq!(free, fs.free(u64::MAX).unwrap());
        // What is more than enough is not counted.
        assert!((1 << 20..free).contains(&fs.free(1 << 20).unwrap()));
        let told = ntfsinfo(&volume);
        assert_eq!(
            (free / u64::from(info.block_size), info.size / u64::from(info.block_size)),
            told,
            "{options:?}"
        );
    }
}

#[test]
fn compressed_files_are_unpacked() {
    let text = "the same words again and again, with a number: ".repeat(5);
    let content: Vec<u8> = (0..3000).flat_map(|n| format!("{text}{n}\n").into_bytes()).collect();
    let mut mixed = content[..200_000].to_vec();
    mixed.extend((0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8));
    mixed.extend(vec![0; 300_000]);
    mixed.extend(&content[..1000]);
    let volume = made(&["-c", "4096"], 64 << 20, |top| {
        let dir = top.join("packed");
        fs::create_dir(&dir).unwrap();
        // FILE_ATTRIBUTE_COMPRESSED; files in it are compressed.
        judge::run(
            Command::new("setfattr")
                .args(["-h", "-v", "0x00000800", "-n", "system.ntfs_attrib_be"])
                .arg(&dir),
        );
        fs::write(dir.join("text"), &content).unwrap();
        fs::write(dir.join("mixed"), &mixed).unwrap();
    });
    let Some(volume) = volume else { return };
    let fs = ntfs::open(Disk::new(Memory::new(volume))).unwrap();
    let dir = fs.lookup(fs.root(), b"packed").unwrap();
    for (name, wanted) in [(&b"text"[..], &content), (b"mixed", &mixed)] {
        let file = fs.lookup(dir, name).unwrap();
        let mut found = vec![0; wanted.len()];
        assert_eq!(fs.read_at(file, &mut found, 0).unwrap(), wanted.len());
        assert!(found == *wanted);
        let mut part = vec![0; 70_000];
        fs.read_at(file, &mut part, 65_000).unwrap();
        assert!(part == wanted[65_000..135_000]);
    }
}

#[test]
fn what_is_not_there_is_told() {
    let Some(volume) = made(&["-c", "4096"], 16 << 20, |top| fs::write(top.join("file"), b"x").unwrap())
    else {
        return;
    };
    let disk = Disk::new(Memory::new(volume.clone()));
    assert!(ntfs::probe(&disk).unwrap());
    let fs = ntfs::open(disk).unwrap();
    let file = fs.lookup(fs.root(), b"FILE").unwrap();
    assert!(matches!(fs.lookup(fs.root(), b"other"), Err(FsError::NotFound)));
    assert!(matches!(fs.lookup(file, b"x"), Err(FsError::NotADirectory)));
    assert!(matches!(fs.read_at(fs.root(), &mut [0], 0), Err(FsError::IsADirectory)));
    assert!(matches!(fs.read_link(file), Err(FsError::Invalid(_))));
    assert_eq!(fs.metadata(fs.root()).unwrap().file_type, FileType::Directory);
    let mut locked = volume;
    locked[3..11].copy_from_slice(b"-FVE-FS-");
    let error = ntfs::open(Disk::new(Memory::new(locked))).err().unwrap().to_string();
    assert!(error.contains("BitLocker"), "{error}");
}

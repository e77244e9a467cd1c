//! Damaged volumes: anything may be refused, but nothing may panic, hang or eat memory.

use std::collections::BTreeSet;
use std::fs;

use block::{Disk, DiskMut, Memory, Overlay};
use testimages::judge;
use vfs::conformance::Rng;
use vfs::{Attributes, FileSystem, FileSystemMut, FileType, Result, Timestamp};

use crate::mtools::{KINDS, PROGRAMS, Volume};

/// A volume with all kinds of entries.
fn sample(options: &[&str], size: u64) -> Vec<u8> {
    let volume = Volume::new(options, size);
    let mut fs = fat::open_mut(volume.disk_mut()).unwrap();
    let mut change = fs.begin().unwrap();
    let mut dir = change.fs().root();
    let attributes =
        Attributes { time: Timestamp { seconds: 1_600_000_000, nanos: 0 }, ..Attributes::default() };
    for depth in 0..6 {
        for file in 0..6 {
            let name = format!("{} {file}", "a longer name than eight ".repeat(depth));
            change.create(dir, name.trim().as_bytes(), &attributes, &vec![1; 3000 * file]).unwrap();
        }
        dir = change.mkdir(dir, format!("directory {depth}").as_bytes(), &attributes).unwrap();
    }
    change.commit().unwrap();
    fs::read(volume.path()).unwrap()
}

/// Reads all that can be read, within bounds that a careful walker keeps.
fn walk(fs: &dyn FileSystem) -> Result<()> {
    let _ = (fs.info(), fs.free_ranges());
    let mut seen = BTreeSet::from([fs.root()]);
    let mut to_do = vec![fs.root()];
    let mut buf = vec![0; 100_000];
    while let Some(dir) = to_do.pop() {
        let Ok(entries) = fs.read_dir(dir) else { continue };
        for entry in entries {
            assert!(!entry.name.contains(&b'/') && !entry.name.contains(&0) && !entry.name.is_empty());
            assert!(entry.name != b"." && entry.name != b"..");
            let _ = (fs.lookup(dir, &entry.name), fs.metadata(entry.node), fs.read_link(entry.node));
            let _ = (fs.read_at(entry.node, &mut buf, 0), fs.read_at(entry.node, &mut buf, 1 << 31));
            if entry.file_type == FileType::Directory && seen.len() < 2000 && seen.insert(entry.node) {
                to_do.push(entry.node);
            }
        }
    }
    Ok(())
}

/// Changes all over the tree, as far as they are let.
fn change(device: DiskMut) -> Result<()> {
    let mut fs = fat::open_mut(device)?;
    let attributes = Attributes::default();
    let mut dirs = vec![fs.root()];
    for entry in fs.read_dir(fs.root())? {
        if entry.file_type == FileType::Directory {
            dirs.push(entry.node);
        }
    }
    for dir in dirs {
        let entries = fs.read_dir(dir)?;
        let root = fs.root();
        let edit =
            |fs: &mut fat::FatMut, edit: &dyn Fn(&mut dyn vfs::Transaction) -> Result<()>| -> Result<()> {
                let mut change = fs.begin()?;
                edit(&mut *change)?;
                change.commit()
            };
        let _ =
            edit(&mut fs, &|change| change.create(dir, b"a new file", &attributes, &[7; 70_000]).map(drop));
        let _ = edit(&mut fs, &|change| change.mkdir(dir, b"a new directory", &attributes).map(drop));
        for (number, entry) in entries.iter().enumerate() {
            let _ = edit(&mut fs, &|change| match number % 4 {
                0 => change.unlink(dir, &entry.name),
                1 => change.replace(entry.node, &[9; 5000], Timestamp::default()),
                2 => change.rename(dir, &entry.name, root, b"moved"),
                _ => change.rename(dir, &entry.name, dir, b"renamed"),
            });
        }
    }
    Ok(())
}

fn survives(image: &[u8]) {
    let disk = Disk::new(Memory::new(image.to_vec()));
    if let Ok(fs) = fat::open(disk.clone()) {
        let _ = walk(&fs);
    }
    let overlay = Overlay::new(disk).unwrap();
    let _ = change(overlay.writer());
    if let Ok(fs) = fat::open(overlay.disk()) {
        let _ = walk(&fs);
    }
}

#[test]
fn mutated_volumes() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let runs = if std::env::var_os("REFLOAT_LONG").is_some() { 3000 } else { 60 };
    // Small volumes, so that most of their bytes matter; FAT32 can be made small, against the specification.
    let kinds = [(KINDS[0].1, 2 << 20), (&["-F", "16", "-s", "1"][..], 4 << 20), (KINDS[2].1, 1 << 20)];
    for (options, size) in kinds {
        let clean = sample(options, size);
        // Where anything is: boot sector, tables, directories, some content.
        let used: Vec<usize> = (0..clean.len()).filter(|at| clean[*at] != 0 && clean[*at] != 1).collect();
        for seed in 0..runs {
            let mut rng = Rng::new(seed);
            let mut image = clean.clone();
            for _ in 0..1 + rng.below(12) {
                let at = match rng.below(3) {
                    0 => rng.below(90),
                    1 => rng.below(20_000),
                    _ => used[rng.below(used.len())],
                };
                let width = [1, 2, 4][rng.below(3)];
                let value = match rng.below(4) {
                    0 => vec![0; width],
                    1 => vec![0xFF; width],
                    // A small number, which may well be a cluster or a size.
                    2 => (rng.below(200) as u32).to_le_bytes()[..width].to_vec(),
                    _ => rng.bytes(width),
                };
                image[at..at + width].copy_from_slice(&value);
            }
            survives(&image);
        }
    }
}

#[test]
fn chains_in_a_circle() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let clean = sample(&["-F", "16", "-s", "1"], 4 << 20);
    let reserved = usize::from(u16::from_le_bytes([clean[14], clean[15]])) * 512;
    // Every cluster in turn leads to itself, to the first, or nowhere.
    for cluster in 2..60_usize {
        for target in [cluster as u16, 2, 0, 1, 0xFFF7, 0xFFF0] {
            let mut image = clean.clone();
            image[reserved + 2 * cluster..reserved + 2 * cluster + 2].copy_from_slice(&target.to_le_bytes());
            survives(&image);
        }
    }
}

#[test]
fn a_volume_that_claims_to_be_huge() {
    if !judge::need_all(PROGRAMS) {
        return;
    }
    let mut image = sample(KINDS[2].1, 1 << 20);
    // Sectors in 32 bits, which count when there are none in 16; and sectors of a table.
    image[19..21].fill(0);
    image[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(fat::open(Disk::new(Memory::new(image.clone()))).is_err());
    image[36..40].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(fat::open(Disk::new(Memory::new(image))).is_err());
}

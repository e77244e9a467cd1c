//! What we do not handle is refused by name, before anything is written.

mod support;

use support::{Image, find};
use vfs::{Attributes, FileSystem, FileSystemMut, FsError};

/// A default volume with these options, after these commands of debugfs.
fn image(options: &[&str], commands: &[&str]) -> Option<Image> {
    let image = Image::with_options(&find("default"), 16 << 20, options)?;
    for command in commands {
        image.debugfs(command);
    }
    Some(image)
}

/// Reading works; writing is refused with these words, and changes no byte.
#[track_caller]
fn only_reading(image: Option<Image>, words: &str) {
    let Some(image) = image else { return };
    let before = image.bytes();
    let mut fs = image.open_mut();
    assert!(!fs.read_dir(fs.root()).unwrap().is_empty());
    fs.free_ranges().unwrap();
    match fs.begin().err() {
        Some(FsError::Unsupported(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{words}: {other:?}"),
    }
    assert!(image.bytes() == before);
}

/// Not even reading works.
#[track_caller]
fn nothing(image: Option<Image>, words: &str) {
    let Some(image) = image else { return };
    match ext4::open(image.disk()) {
        Err(FsError::Unsupported(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{words}: {other:?}"),
    }
    assert!(ext4::probe(&image.disk()).unwrap());
}

#[test]
fn features_that_prevent_writing() {
    only_reading(image(&["-O", "bigalloc"], &[]), "bigalloc");
    only_reading(image(&["-O", "quota"], &[]), "quota");
    only_reading(image(&["-O", "mmp"], &[]), "mmp");
    only_reading(image(&[], &["feature read-only"]), "read-only");
    only_reading(image(&[], &["feature shared_blocks"]), "shared_blocks");
    only_reading(image(&[], &["feature FEATURE_R28"]), "unknown read-only features: 0x10000000");
}

#[test]
fn states_that_prevent_writing() {
    only_reading(image(&[], &["feature needs_recovery"]), "the journal must be replayed");
    only_reading(image(&["-O", "orphan_file"], &["feature orphan_present"]), "orphan_present");
    only_reading(image(&[], &["set_super_value last_orphan 12"]), "orphan list");
    only_reading(image(&[], &["set_super_value state 2"]), "EXT4_ERROR_FS");
    only_reading(image(&[], &["set_super_value state 0"]), "EXT4_VALID_FS");
    only_reading(image(&[], &["set_super_value journal_inum 0"]), "external journal");
}

#[test]
fn features_that_prevent_reading() {
    nothing(image(&[], &["feature compression"]), "compression");
    nothing(image(&[], &["feature FEATURE_I30"]), "unknown ext4 features, incompatible: 0x40000000");
    nothing(image(&["-O", "journal_dev"], &[]), "journal_dev");
}

#[test]
fn inodes_that_are_refused_alone() {
    let flags = |flag: u32| format!("set_inode_field /lost+found flags {:#x}", 0x80000 | flag);
    let attributes = Attributes { mode: 0o644, ..Attributes::default() };
    for (options, flag, words) in [
        (["-O", "encrypt"], 0x800, "encrypted"),
        (["-O", "casefold"], 0x4000_0000, "case-folding"),
        (["-O", "verity"], 0x10_0000, "verity"),
    ] {
        let Some(image) = image(&options, &[&flags(flag)]) else { return };
        let mut fs = image.open_mut();
        let root = fs.root();
        let lost = fs.lookup(root, b"lost+found").unwrap();
        let mut change = fs.begin().unwrap();
        match change.create(lost, b"file", &attributes, b"") {
            Err(FsError::Unsupported(text)) => assert!(text.contains(words), "{text}"),
            other => panic!("{words}: {other:?}"),
        }
        drop(change);
        // The rest of the volume is not concerned.
        let mut change = fs.begin().unwrap();
        change.create(root, b"file", &attributes, b"content").unwrap();
        change.commit().unwrap();
    }
}

#[test]
fn what_is_not_ext4() {
    for size in [0, 512, 2047, 4096] {
        let disk = block::Disk::new(block::Memory::new(vec![0; size]));
        assert!(!ext4::probe(&disk).unwrap());
        assert!(matches!(ext4::open(disk), Err(FsError::Corrupt { .. })));
    }
    // A volume that is cut off.
    let Some(image) = image(&[], &[]) else { return };
    let mut bytes = image.bytes();
    bytes.truncate(8 << 20);
    let error = ext4::open(block::Disk::new(block::Memory::new(bytes))).unwrap_err().to_string();
    assert!(error.contains("do not fit the device"), "{error}");
}

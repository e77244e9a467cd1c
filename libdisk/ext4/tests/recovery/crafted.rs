//! States that no load makes at will: logs written by debugfs, half-done truncates, and what must be refused.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use testimages::judge;
use testimages::population::pattern;
use vfs::{FileSystem, FsError};

use crate::support::{Image, Variant};
use crate::{able, judge_recovery};

const SIZE: u64 = 48 << 20;

fn image(options: &'static [&'static str]) -> Image {
    Image::new(&Variant { name: "crafted", options, mounts: true }, SIZE).unwrap()
}

/// Runs a script of debugfs.
fn script(image: &Image, commands: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), commands).unwrap();
    judge::run(judge::tool("debugfs").arg("-w").arg("-f").arg(file.path()).arg(image.path()));
}

/// What debugfs answers.
fn asked(image: &Image, command: &str) -> String {
    let output = judge::run(judge::tool("debugfs").args(["-R", command]).arg(image.path()));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Writes a log over an empty file: a block like one of the journal's own, one that is revoked, one that is
/// revoked and written again, and more than one descriptor block holds.
fn log(image: &Image, checksums: &str) {
    let size = 512 << 10;
    image.populate(|root| fs::write(root.join("file"), vec![b'-'; size]).unwrap());
    let block_size = image.open().info().unwrap().block_size as usize;
    let block = |at: usize| asked(image, &format!("bmap file {at}"));
    let content = |name: &str, bytes: &[u8]| {
        let file = tempfile::Builder::new().prefix(name).tempfile().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    };
    let mut magic = pattern(block_size, 1);
    magic[..4].copy_from_slice(&[0xc0, 0x3b, 0x39, 0x98]);
    let (magic, plain) = (content("magic", &magic), content("plain", &pattern(block_size, 2)));
    let three = content("three", &pattern(block_size * 3, 4));
    let many = content("many", &pattern(block_size * 100, 3));
    let (magic, plain, many) = (magic.path().display(), plain.path().display(), many.path().display());
    let blocks: Vec<String> = (10..110).map(block).collect();
    let commands = [
        format!("jo {checksums}"),
        format!("jw -b {} {magic}", block(0)),
        format!("jw -b {},{},{} {}", block(1), block(2), block(3), three.path().display()),
        format!("jw -r {},{}", block(1), block(2)),
        format!("jw -b {} {plain}", block(2)),
        format!("jw -b {} {many}", blocks.join(",")),
        // Without a commit block.
        format!("jw -b {} -c {plain}", block(4)),
        "jc\n".to_owned(),
    ];
    script(image, &commands.join("\n"));
}

#[test]
fn logs_of_every_format() {
    if !able() {
        return;
    }
    for (options, checksums) in [
        (&["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit"], "-c -v 3"),
        (&["-t", "ext4", "-b", "1024", "-O", "metadata_csum,64bit"], "-c -v 2"),
        (&["-t", "ext4", "-b", "1024", "-O", "metadata_csum,^64bit"], "-c -v 2"),
        (&["-t", "ext4", "-b", "4096", "-O", "metadata_csum,^64bit"], "-c -v 3"),
        (&["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,64bit"], ""),
        (&["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^64bit"], ""),
    ] {
        eprintln!("{options:?} {checksums}");
        let image = image(options);
        log(&image, checksums);
        let replayed = judge_recovery(&image);
        eprintln!("{replayed:?}");
        // debugfs mistakes the size of tags of version 2, and so the last transaction of that log is none.
        assert!(replayed.transactions >= 4 && replayed.revoked == 2, "{replayed:?}");
    }
}

/// Files that were being cut off: the new size is written, their blocks are still there.
#[test]
fn truncates_are_finished() {
    if !able() {
        return;
    }
    for options in [
        &["-t", "ext4", "-b", "1024", "-O", "metadata_csum"],
        &["-t", "ext4", "-b", "4096", "-O", "^metadata_csum"],
        &["-t", "ext3", "-b", "1024", "-O", "large_file"],
        &["-t", "ext4", "-b", "1024", "-O", "^extent,^64bit"],
    ] {
        let image = image(options);
        // Blocks that are not neighbours make deep trees; indirect blocks start at the 13th, double ones at
        // the 269th.
        let sizes = [0, 1, 1024, 5000, 12 << 10, 13_000, 200_000, 268 << 10, 300_001, 1_000_000, 5 << 20];
        let mut inodes = Vec::new();
        image.populate(|root| {
            for (number, size) in sizes.iter().enumerate() {
                let file = File::create(root.join(format!("file-{number}"))).unwrap();
                for piece in 0..150_u64 {
                    file.write_all_at(&pattern(3000, piece), piece * 9000 * (1 + number as u64 % 2)).unwrap();
                }
                rustix::fs::lsetxattr(
                    root.join(format!("file-{number}")),
                    "user.large",
                    &pattern(600, 1),
                    rustix::fs::XattrFlags::empty(),
                )
                .unwrap();
                inodes.push((file.metadata().unwrap().ino(), *size));
            }
        });
        let mut commands = String::new();
        for (at, (inode, size)) in inodes.iter().enumerate() {
            let next = inodes.get(at + 1).map_or(0, |(next, _)| *next);
            commands += &format!("sif <{inode}> size {size}\nsif <{inode}> dtime @{next}\n");
        }
        script(&image, &format!("{commands}set_super_value last_orphan {}\n", inodes[0].0));
        assert_eq!(judge_recovery(&image).truncated, sizes.len() as u64);
    }
}

/// Recovery is refused with these words, and changes no byte.
#[track_caller]
fn refused(image: &Image, words: &str) {
    let before = image.bytes();
    match ext4::replay(&image.device()) {
        Err(FsError::Unsupported(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{words}: {other:?}"),
    }
    assert!(image.bytes() == before, "{words}");
}

/// An image with a log, after these commands.
fn with_log(options: &'static [&'static str], checksums: &str, commands: &str) -> Image {
    let image = image(options);
    log(&image, checksums);
    script(&image, commands);
    image
}

/// Changes the superblock of the journal.
fn in_journal(image: &Image, at: u64, bytes: &[u8]) {
    let block: u64 = asked(image, "bmap <8> 0").parse().unwrap();
    let block_size = u64::from(image.open().info().unwrap().block_size);
    let file = File::options().write(true).open(image.path()).unwrap();
    file.write_all_at(bytes, block * block_size + at).unwrap();
}

#[test]
fn what_cannot_be_recovered_is_refused_by_name() {
    if !able() {
        return;
    }
    const PLAIN: &[&str] = &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit"];
    let plain = |commands: &str| with_log(PLAIN, "", commands);
    refused(
        &plain("set_super_value journal_inum 0\nset_super_value journal_dev 0x801\n"),
        "external journal",
    );
    refused(&plain("set_super_value state 2\n"), "EXT4_ERROR_FS");
    refused(&plain("feature read-only\n"), "read-only");
    for (at, bytes, words) in [
        (0x28, 0x40_u32, "unknown journal features: incompatible 0x40"),
        (0x2c, 1, "read-only 0x1"),
        (0x20, 5, "error 5"),
    ] {
        let image = plain("");
        in_journal(&image, at, &bytes.to_be_bytes());
        refused(&image, words);
    }
}

#[test]
fn fast_commits_are_refused_and_their_empty_area_is_not() {
    if !able() {
        return;
    }
    for with_one in [false, true] {
        let image = image(&["-t", "ext4", "-b", "1024", "-O", "fast_commit"]);
        let mount = judge::KernelMount::read_write(image.path(), 0..SIZE);
        fs::write(mount.path().join("before"), "text").unwrap();
        rustix::fs::syncfs(File::open(mount.path()).unwrap()).unwrap();
        if with_one {
            let file = File::create(mount.path().join("file")).unwrap();
            file.write_all_at(b"text", 0).unwrap();
            file.sync_all().unwrap();
        }
        judge::run(judge::tool("xfs_io").args(["-x", "-c", "shutdown"]).arg(mount.path()));
        drop(mount);
        if with_one {
            refused(&image, "fast commits");
        } else {
            judge_recovery(&image);
        }
    }
}

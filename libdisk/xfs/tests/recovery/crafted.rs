//! States that no load makes at will.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use testimages::judge;
use testimages::population::at;
use vfs::{FileSystem, FileSystemMut, NodeId};
use xfs::Replayed;

use crate::support::{Image, Variant, shut_down, variant};
use crate::{able, complaints, is_empty_leaf, judge_recovery, listing, recover, same, tree};

/// An image of which the log was written, and little else, after this work; what that answers is held open
/// until then.
fn stopped<T>(variant: &Variant, size: u64, work: impl FnOnce(&Path) -> T) -> Image {
    let image = Image::new(variant, size).unwrap();
    let mounted = judge::KernelMount::with_options(image.path(), 0..image.size, "rw");
    let held = work(mounted.path());
    shut_down(mounted.path(), "shutdown -f");
    drop(held);
    drop(mounted);
    image
}

#[track_caller]
fn recovered(image: &Image) -> Replayed {
    let replayed = judge_recovery(image, "rw").expect("something to recover");
    eprintln!("{replayed:?}");
    replayed
}

/// A file of so many extents: every other block is there.
fn comb(path: &Path, teeth: u64, content: u8) -> File {
    let file = File::create(path).unwrap();
    for tooth in 0..teeth {
        file.write_all_at(&[content; 4096], tooth * 8192).unwrap();
    }
    file.sync_all().unwrap();
    file
}

/// Two files exchange their trees of extents, and their blocks learn whose they are.
#[test]
fn trees_that_change_their_owner() {
    if !able() {
        return;
    }
    let plain = variant("plain_v5", 7, &["-m", "finobt=0,reflink=0,bigtime=0,inobtcount=0"]);
    let image = stopped(&plain, 96 << 20, |root| {
        let (file, donor) = (root.join("file"), root.join("donor"));
        comb(&file, 700, b'f');
        comb(&donor, 900, b'd').set_len(699 * 8192 + 4096).unwrap();
        judge::run(judge::tool("xfs_io").arg("-c").arg(format!("swapext {}", donor.display())).arg(&file));
        assert_eq!(fs::read(&file).unwrap()[0], b'd');
    });
    // Linux 6.18 does not recover this, so the files themselves are the judge.
    recover(image.path()).unwrap().expect("something to recover");
    assert_eq!(complaints(image.path()), [""; 0]);
    let mounted = judge::KernelMount::with_options(image.path(), 0..image.size, "ro,norecovery");
    for (name, content) in [("file", b'd'), ("donor", b'f')] {
        let bytes = fs::read(mounted.path().join(name)).unwrap();
        assert!(
            bytes.len() == 699 * 8192 + 4096
                && bytes.chunks(8192).all(|chunk| chunk[..4096] == [content; 4096])
        );
    }
}

/// Directory blocks of several blocks of the volume that are not neighbours: each part is in the log for
/// itself.
#[test]
fn directory_blocks_in_pieces() {
    if !able() {
        return;
    }
    let large = variant("large_directories", 12, &["-n", "size=16384"]);
    let mut before = Default::default();
    let image = stopped(&large, 48 << 20, |root| {
        // All free space in pieces of one block.
        for number in 0.. {
            if fs::write(root.join(format!("file-{number}")), vec![1; 4096]).is_err() {
                break;
            }
        }
        rustix::fs::syncfs(File::open(root).unwrap()).unwrap();
        for number in (0..9000).step_by(2) {
            fs::remove_file(root.join(format!("file-{number}"))).ok();
        }
        rustix::fs::syncfs(File::open(root).unwrap()).unwrap();
        for dir in 0..80 {
            let dir = root.join(format!("dir-{dir}"));
            fs::create_dir(&dir).unwrap();
            for number in 0..300 {
                fs::hard_link(root.join("file-1"), dir.join(format!("{number}-{}", "x".repeat(200))))
                    .unwrap();
            }
        }
        before = listing(root);
    });
    // Linux 6.18 does not recover this, so what was there is the judge.
    recover(image.path()).unwrap().expect("something to recover");
    assert_eq!(complaints(image.path()), [""; 0]);
    same(&tree(image.path(), image.size, "ro,norecovery"), &before);
    let mounted = judge::KernelMount::with_options(image.path(), 0..image.size, "ro");
    let map = judge::run(judge::tool("xfs_io").args(["-r", "-c", "bmap"]).arg(mounted.path().join("dir-79")))
        .stdout;
    let map = String::from_utf8_lossy(&map).into_owned();
    // Lines are `0: [0..7]: 96..103`, in units of 512 bytes.
    let mut starts =
        map.lines().filter_map(|line| line.split_once('[')?.1.split_once("..")?.0.parse::<u64>().ok());
    assert!(starts.any(|start| start % 32 != 0), "{map}");
}

/// A file that is open and has no name, of more extents than one block of its tree holds.
#[test]
fn large_files_without_a_name() {
    if !able() {
        return;
    }
    for options in [&["-b", "size=1024"][..], &["-b", "size=1024", "-m", "rmapbt=1"]] {
        let image = stopped(&variant("1k_blocks", 12, options), 160 << 20, |root| {
            let nameless = |number| {
                let path = root.join(format!("file-{number}"));
                let file = comb(&path, 4000, 7);
                fs::remove_file(path).unwrap();
                file
            };
            (0..3).map(nameless).collect::<Vec<_>>()
        });
        assert_eq!(recovered(&image).deleted, 3);
    }
}

/// A value that was being written: its name is in the log already, marked as incomplete. Nobody sees it, and
/// neither Linux nor we take it away when we recover; xfs_repair mentions it in both. It goes when we change
/// the attributes.
#[test]
fn an_attribute_that_was_half_set() {
    if !able() {
        return;
    }
    let none = rustix::fs::XattrFlags::empty();
    for attempt in 0..40_u64 {
        let image = Image::new(&variant("1k_blocks", 10, &["-b", "size=1024"]), 64 << 20).unwrap();
        let mounted = judge::KernelMount::with_options(image.path(), 0..image.size, "rw");
        let file = mounted.path().join("file");
        fs::write(&file, "content").unwrap();
        std::thread::scope(|scope| {
            // Until nothing can be written any more.
            let set = |number| rustix::fs::lsetxattr(&file, format!("user.{number}"), &[7; 60_000], none);
            scope.spawn(move || (0..8).cycle().all(|number| set(number).is_ok()));
            std::thread::sleep(Duration::from_millis(50 + 7 * attempt));
            shut_down(mounted.path(), "shutdown -f");
        });
        drop(mounted);
        recovered(&image);
        if complaints(image.path()).is_empty() {
            continue;
        }
        let mut fs = image.open_mut();
        let mut change = fs.begin().unwrap();
        let node = at(change.fs(), "file");
        change.set_xattr(node, b"user.new", Some(b"value")).unwrap();
        change.commit().unwrap();
        image.judge();
        assert!(fs.xattrs(node).unwrap().iter().any(|(name, _)| name == b"user.new"));
        return;
    }
    panic!("no attribute was half set");
}

/// A first value, too long for the inode, that was being written: its block is in the log already, still
/// empty. Neither Linux nor we take it away when we recover; xfs_repair mentions it in both. It is filled
/// when we change the attributes.
#[test]
fn an_attribute_block_that_is_still_empty() {
    if !able() {
        return;
    }
    let none = rustix::fs::XattrFlags::empty();
    for attempt in 0..200_u64 {
        let image = Image::new(&variant("1k_blocks", 10, &["-b", "size=1024"]), 64 << 20).unwrap();
        let mounted =
            judge::KernelMount::with_options(image.path(), 0..image.size, "rw,logbsize=256k,logbufs=8");
        let file = |number| mounted.path().join(format!("{number}"));
        let files = 4000;
        for number in 0..files {
            fs::write(file(number), "").unwrap();
        }
        let set = |number| rustix::fs::lsetxattr(file(number), "user.first", &[7; 600], none);
        std::thread::scope(|scope| {
            // Until nothing can be written any more.
            scope.spawn(|| (0..files).all(|number| set(number).is_ok()));
            std::thread::sleep(Duration::from_millis(20 + attempt % 20 * 3));
            shut_down(mounted.path(), "shutdown -f");
        });
        drop(mounted);
        recovered(&image);
        let left = complaints(image.path());
        let Some(line) = left.iter().find(|line| is_empty_leaf(line)) else { continue };
        let node = NodeId(line.rsplit(' ').next().unwrap().parse().unwrap());
        let mut fs = image.open_mut();
        assert_eq!(fs.xattrs(node).unwrap(), []);
        let mut change = fs.begin().unwrap();
        change.set_xattr(node, b"user.new", Some(b"value")).unwrap();
        change.commit().unwrap();
        image.judge();
        assert!(complaints(image.path()).is_empty());
        assert_eq!(fs.xattrs(node).unwrap(), [(b"user.new".to_vec(), b"value".to_vec())]);
        return;
    }
    panic!("no block was empty");
}

//! States that no load makes at will.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use testimages::judge;
use xfs::Replayed;

use crate::support::{Image, Variant, variant};
use crate::{complaints, judge_recovery, listing, recover, same, tree, turn};

/// An image of which the log was written, and little else, after this work; what that answers is held open until then.
fn stopped<T>(variant: &Variant, size: u64, work: impl FnOnce(&Path) -> T) -> Image {
    let image = Image::new(variant, size).unwrap();
    let mounted = judge::KernelMount::with_options(image.path(), 0..image.size, "rw");
    let held = work(mounted.path());
    judge::run(judge::tool("xfs_io").args(["-x", "-c", "shutdown -f"]).arg(mounted.path()));
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
    let Some(_turn) = turn() else { return };
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

/// Directory blocks of several blocks of the volume that are not neighbours: each part is in the log for itself.
#[test]
fn directory_blocks_in_pieces() {
    let Some(_turn) = turn() else { return };
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
    let Some(_turn) = turn() else { return };
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

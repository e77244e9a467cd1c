//! Small volumes with a little of everything, and where their structures are, by what e2fsprogs say.

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use block::{DiskMut, Memory};
use testimages::judge;
use vfs::conformance::{Structure, Target};

use crate::support::{Image, find};

/// All volumes have blocks of this size, and one group.
const BLOCK: usize = 1024;

/// The only byte of all content.
const CONTENT: u8 = 0xdd;

/// A volume of a variant of 1 KiB blocks, cleanly unmounted; `None` after saying that the test is skipped.
pub(crate) fn clean(name: &str) -> Option<Target> {
    let image =
        Image::with_options(&find(name), 2 << 20, &["-N", "192", "-O", "^has_journal,^resize_inode"])?;
    if !judge::need_kernel_mounts() {
        return None;
    }
    image.populate(fill);
    image.judge();
    Some(target(&image))
}

/// A volume in use: deleted files that are open, a log that is not replayed; `None` after saying that the
/// test is skipped.
pub(crate) fn busy(name: &str, features: &str) -> Option<Target> {
    let features = format!("^resize_inode,{features}");
    let options = ["-N", "192", "-J", "size=1", "-O", &features];
    let image = Image::with_options(&find(name), 3 << 20, &options)?;
    if !judge::need_kernel_mounts() || judge::need("fsfreeze").is_none() {
        return None;
    }
    let bytes = image.bytes_in_use("rw,noinit_itable", |root| {
        fill(root);
        let mut open = orphans(root, "early");
        // What was done so far is in its place and no longer in the log.
        for option in ["-f", "-u"] {
            judge::run(judge::tool("fsfreeze").arg(option).arg(root));
        }
        open.extend(orphans(root, "late"));
        fs::write(root.join("dir/below/late"), "").unwrap();
        sync(root);
        // A directory's block that is in the log already is revoked.
        fs::remove_dir_all(root.join("dir/below")).unwrap();
        fs::rename(root.join("large"), root.join("dir/renamed")).unwrap();
        sync(root);
        open
    });
    let replayed = ext4::replay(&DiskMut::new(Memory::new(bytes.clone()))).unwrap().unwrap();
    assert!(replayed.transactions > 1 && replayed.revoked > 0 && replayed.deleted > 9, "{replayed:?}");
    fs::write(image.path(), bytes).unwrap();
    Some(target(&image))
}

fn sync(root: &Path) {
    rustix::fs::syncfs(File::open(root).unwrap()).unwrap();
}

/// Files that are deleted and open, and one that was cut.
fn orphans(root: &Path, name: &str) -> Vec<File> {
    let open = |number: usize| {
        let path = root.join(format!("{name}-{number}"));
        fs::write(&path, vec![CONTENT; number * 5000]).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        file
    };
    let files: Vec<File> = (0..6).map(open).collect();
    files[5].set_len(1000).unwrap();
    files
}

fn fill(root: &Path) {
    let write = |path: &str, len: usize| fs::write(root.join(path), vec![CONTENT; len]).unwrap();
    fs::create_dir_all(root.join("dir/below")).unwrap();
    write("small", 50);
    write("dir/below/file", 150);
    write("large", 400_000);
    for number in 0..100 {
        fs::hard_link(root.join("small"), root.join(format!("dir/{number:080}"))).unwrap();
    }
    symlink("short", root.join("fast")).unwrap();
    symlink("long".repeat(100), root.join("slow")).unwrap();
    let xattr = |path: &str, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(path), name, value, rustix::fs::XattrFlags::empty())
    };
    xattr("small", "user.inside", b"value").unwrap();
    xattr("large", "user.outside", &[7; 500]).unwrap();
    // Only with the feature ea_inode there is room for it.
    xattr("dir", "user.own inode", &[CONTENT; 3000]).ok();
    // One block of content, one hole, and so on: an extent tree with a level.
    let pieces = File::create(root.join("pieces")).unwrap();
    for piece in 0..60 {
        pieces.write_all_at(&[CONTENT; 1024], piece * 3072).unwrap();
    }
}

fn target(image: &Image) -> Target {
    let bytes = image.bytes();
    let layout = judge::run(judge::tool("dumpe2fs").arg(image.path())).stdout;
    let layout = String::from_utf8_lossy(&layout).into_owned();
    let block = |at: usize| bytes.chunks(BLOCK).nth(at).unwrap_or_default();
    let structure =
        |name, blocks: &[usize]| Structure::of_blocks(name, &bytes, BLOCK, blocks.iter().copied());
    let area = |name| ranges(&layout, name).collect::<Vec<usize>>();

    let tables = area("Inode table at");
    // s_inode_size
    let size = usize::from(u16::from_le_bytes([bytes[BLOCK + 0x58], bytes[BLOCK + 0x59]]));
    let inodes = tables.iter().flat_map(|table| (table * BLOCK..(table + 1) * BLOCK).step_by(size));
    let inodes: Vec<usize> =
        inodes.filter(|at| bytes[*at..at + size].iter().any(|&byte| byte != 0)).collect();
    // i_block of the inodes with a flag: the root of an extent tree, or content
    let roots = |name, flag: u32| {
        let has = |at: &&usize| bytes[*at + 0x20..*at + 0x24] == flag.to_le_bytes();
        let places = inodes.iter().filter(has).flat_map(|at| at + 0x28..at + 0x64).collect();
        Structure { name, places }
    };

    let orphans = layout.lines().find_map(|line| line.strip_prefix("Orphan file inode:"));
    let orphans = orphans.map_or(Vec::new(), |inode| blocks_of(image, &format!("<{}>", inode.trim())));
    let journal = if layout.contains("has_journal") { blocks_of(image, "<8>") } else { Vec::new() };
    let (own, logged): (Vec<usize>, Vec<usize>) =
        journal.iter().skip(1).partition(|at| block(**at).starts_with(&[0xc0, 0x3b, 0x39, 0x98]));
    let directories: Vec<usize> =
        ["/", "/dir", "/dir/below", "/lost+found"].iter().flat_map(|dir| blocks_of(image, dir)).collect();
    let index = blocks_of(image, "/dir").first().copied().filter(|_| layout.contains("dir_index"));
    let elsewhere = |magic: &[u8]| -> Vec<usize> {
        let blocks = (0..bytes.len() / BLOCK).filter(|at| !journal.contains(at));
        blocks.filter(|at| block(*at).starts_with(magic)).collect()
    };

    let structures = vec![
        Structure::of_blocks("superblock", &bytes, BLOCK, [1]),
        structure("group descriptors", &area("Group descriptors at")),
        structure("block bitmap", &area("Block bitmap at")),
        structure("inode bitmap", &area("Inode bitmap at")),
        Structure { name: "inodes", places: inodes.iter().flat_map(|at| *at..at + size).collect() },
        roots("extent tree roots", 0x8_0000),
        roots("inline data", 0x1000_0000),
        structure("extent tree blocks", &elsewhere(&[0x0a, 0xf3])),
        structure("block maps", &indirect_blocks(image)),
        structure("directories", &directories),
        structure("htree", index.as_slice()),
        structure("extended attributes", &elsewhere(&[0, 0, 2, 0xea])),
        structure("journal superblock", &journal[..journal.len().min(1)]),
        structure("journal blocks", &own),
        structure("logged blocks", &logged),
        structure("orphan file", &orphans),
    ];
    Target { structures: structures.into_iter().filter(|found| !found.places.is_empty()).collect(), bytes }
}

/// The blocks after a word of dumpe2fs: "Inode table at 35-66 (+34)".
fn ranges<'a>(layout: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let after = layout.lines().filter_map(move |line| line.split(word).nth(1));
    after.flat_map(|rest| -> Range<usize> {
        let told = rest.trim().split([' ', ',']).next().unwrap_or_default();
        let mut numbers = told.split('-').map(|number| number.parse::<usize>().unwrap());
        let first = numbers.next().unwrap();
        first..numbers.next().unwrap_or(first) + 1
    })
}

fn debugfs(image: &Image, command: &str) -> String {
    let output = judge::run(judge::tool("debugfs").args(["-R", command]).arg(image.path()));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The blocks of a file; none if it is not there.
fn blocks_of(image: &Image, file: &str) -> Vec<usize> {
    let blocks = debugfs(image, &format!("blocks {file}"));
    blocks.split_whitespace().filter_map(|block| block.parse().ok()).filter(|block| *block != 0).collect()
}

/// The blocks of block numbers of the large files: "(IND):83", "(DIND):340".
fn indirect_blocks(image: &Image) -> Vec<usize> {
    let told = ["stat /large", "stat /pieces", "stat /dir"].map(|command| debugfs(image, command)).concat();
    let items = told.split([',', '\n']).filter(|item| item.contains("IND)"));
    items.filter_map(|item| item.rsplit(':').next()?.trim().parse().ok()).collect()
}

//! Volumes that were busy when the machine stopped.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use block::{DiskMut, Memory};
use ext4::Replayed;
use testimages::judge;
use testimages::population::pattern;
use vfs::conformance::{ModelRun, Tally, model};
use vfs::{FileSystem, FileSystemMut, State};

use crate::support::{Image, VARIANTS, Variant, long};
use crate::{able, judge_recovery};

const SIZE: u64 = 24 << 20;

/// Feature sets whose logs differ, beside those of all tests.
const LOGS: &[Variant] = &[
    Variant::new("linked_orphans", &["-t", "ext4", "-b", "4096", "-O", "^orphan_file"]),
    Variant::new("no_64bit", &["-t", "ext4", "-b", "1024", "-O", "^64bit"]),
    Variant::new(
        "no_64bit_no_checksums",
        &["-t", "ext4", "-b", "2048", "-O", "^64bit,^metadata_csum,uninit_bg"],
    ),
];

/// All feature sets with or without a journal that the kernel mounts: its pages are smaller than blocks of 64
/// KiB.
fn variants(journal: bool) -> impl Iterator<Item = &'static Variant> {
    VARIANTS.iter().chain(LOGS).filter(move |variant| variant.mounts && variant.has_journal() == journal)
}

const MOUNTS: &[&str] = &[
    "rw",
    "rw,data=journal",
    "rw,commit=1",
    "rw,journal_checksum",
    "rw,data=writeback,journal_async_commit",
    "rw,data=journal,journal_checksum",
];

/// How the machine stops.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// A snapshot while it runs.
    Snapshot,
    /// A snapshot right after a sync.
    Synced,
    /// A snapshot of a frozen file system.
    Frozen,
    /// No write after this instant.
    Crash,
    /// The journal is written, and nothing else.
    LoggedCrash,
}

const STOPS: &[Stop] =
    &[Stop::Crash, Stop::Snapshot, Stop::LoggedCrash, Stop::Synced, Stop::Crash, Stop::Frozen];

/// A xorshift generator: the same seed is the same load.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// Works on a mounted file system; what it answers is held open until the machine stops.
fn work(root: &Path, random: &mut Random) -> Vec<File> {
    let mut held = Vec::new();
    let mut files: Vec<PathBuf> = Vec::new();
    let mut dirs = vec![root.to_owned()];
    let large = root.join("large");
    fs::create_dir(&large).unwrap();
    for step in 0..400_usize {
        let name = format!("{step}-{}", "n".repeat(random.below(60)));
        let dir = if random.below(3) == 0 { large.clone() } else { dirs[random.below(dirs.len())].clone() };
        let size = [0, 10, 100, 1000, 5000, 20_000, 100_000][random.below(7)];
        // What the volume has no room for is no matter.
        match random.below(16) {
            0..=3 => {
                let path = dir.join(&name);
                fs::write(&path, pattern(size, step as u64)).ok();
                files.push(path);
            }
            4 => {
                let path = dirs[random.below(dirs.len())].join(format!("d{name}"));
                if fs::create_dir(&path).is_ok() && dirs.len() < 12 {
                    dirs.push(path);
                }
            }
            5 => {
                for number in 0..random.below(60) {
                    let path = large.join(format!("{step}-{number}-{}", "x".repeat(random.below(90))));
                    File::create(&path).ok();
                    files.push(path);
                }
            }
            6 => {
                std::os::unix::fs::symlink("t".repeat(1 + random.below(200)), dir.join(&name)).ok();
            }
            7 => {
                let nameless = rustix::fs::OFlags::TMPFILE.bits() as i32;
                held.extend(OpenOptions::new().write(true).custom_flags(nameless).open(&dir));
                if let Some(file) = held.last() {
                    file.write_all_at(&pattern(size, 7), 0).ok();
                }
            }
            _ if files.is_empty() => {}
            other => {
                let path = files[random.below(files.len())].clone();
                match other {
                    8 => drop(fs::rename(&path, dir.join(&name)).map(|()| files.push(dir.join(&name)))),
                    9 => drop(fs::hard_link(&path, dir.join(&name)).map(|()| files.push(dir.join(&name)))),
                    10 => {
                        let file = OpenOptions::new().write(true).open(&path);
                        file.and_then(|file| file.set_len((size / 3) as u64)).ok();
                    }
                    11 | 12 => {
                        held.extend(File::open(&path));
                        fs::remove_file(&path).ok();
                    }
                    13 => {
                        let at = random.below(300_000) as u64;
                        let file = OpenOptions::new().write(true).open(&path);
                        file.and_then(|file| file.write_all_at(&pattern(size, 3), at)).ok();
                    }
                    14 => {
                        let flags = rustix::fs::XattrFlags::empty();
                        let value = pattern(random.below(900), 9);
                        rustix::fs::lsetxattr(&path, format!("user.{}", step % 5), &value, flags).ok();
                    }
                    _ => {
                        // A directory that is removed while it is open; its blocks are revoked.
                        let gone = dir.join(format!("gone-{step}"));
                        if fs::create_dir(&gone).is_ok() {
                            held.extend(File::open(&gone));
                            rustix::fs::syncfs(File::open(root).unwrap()).ok();
                            fs::remove_dir(&gone).ok();
                        }
                    }
                }
            }
        }
        if random.below(40) == 0 {
            rustix::fs::syncfs(File::open(root).unwrap()).ok();
        }
        if random.below(30) == 0 {
            held.truncate(held.len() / 2);
        }
    }
    held
}

/// A frozen file system.
struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        judge::run(judge::tool("fsfreeze").arg("-u").arg(&self.0));
    }
}

impl Stop {
    fn happens(self, root: &Path) -> Option<Frozen> {
        // The call is the same for ext4.
        let shut_down = |how: &str| {
            judge::run(judge::tool("xfs_io").args(["-x", "-c", how]).arg(root));
        };
        match self {
            Self::Snapshot => {}
            Self::Synced => rustix::fs::syncfs(File::open(root).unwrap()).unwrap(),
            Self::Frozen => {
                judge::run(judge::tool("fsfreeze").arg("-f").arg(root));
                return Some(Frozen(root.to_owned()));
            }
            Self::Crash => shut_down("shutdown"),
            Self::LoggedCrash => shut_down("shutdown -f"),
        }
        None
    }
}

/// An image of a volume that was in use when the machine stopped.
pub(crate) fn busy(variant: &Variant, mount: &str, stop: Stop, seed: u64) -> Option<Image> {
    // The smallest journal, of 1,024 blocks, so that it wraps around.
    let journal = format!("size={}", variant.block_size() >> 10);
    let image = Image::with_options(variant, SIZE, &["-J", &journal])?;
    let mut random = Random::new(seed);
    let bytes = image.bytes_in_use(&format!("{mount},noinit_itable"), |root| {
        let held = work(root, &mut random);
        // It is thawed before the files are closed, which writes.
        (stop.happens(root), held)
    });
    fs::write(image.path(), bytes).unwrap();
    Some(image)
}

/// Edits on top of what there is; e2fsck finds nothing, and the kernel reads what a model of it says.
fn edit(image: &mut Image, seed: u64) -> Tally {
    let tally = model(image, &ModelRun { seed, operations: 100, batch: 100, largest_file: 200_000 });
    assert!(tally.made > 25, "{tally:?}");
    tally
}

#[test]
fn busy_volumes_are_recovered_as_the_kernel_recovers_them_and_then_edited() {
    if !able() {
        return;
    }
    let seeds = if long() { 50 } else { 5 };
    let (mut total, mut images) = (Replayed::default(), 0);
    for (number, variant) in variants(true).enumerate() {
        for round in 1..=seeds {
            let seed = round * 1000 + number as u64;
            // Every option and every end is met with few seeds already.
            let turn = number + round as usize;
            // The ext3 driver does not know the options after the first three.
            let mounts = if variant.name == "ext3" { &MOUNTS[..3] } else { MOUNTS };
            let mount = mounts[turn % mounts.len()];
            let stop = STOPS[(turn + turn / MOUNTS.len()) % STOPS.len()];
            eprint!("{} {mount} {stop:?} seed {seed}: ", variant.name);
            let mut image = busy(variant, mount, stop, seed).unwrap();
            images += 1;
            if image.open().info().unwrap().state == State::Clean {
                eprintln!("clean; {:?}", edit(&mut image, seed));
                continue;
            }
            let replayed = judge_recovery(&image);
            eprintln!("{replayed:?}; {:?}", edit(&mut image, seed));
            total.transactions += replayed.transactions;
            total.blocks += replayed.blocks;
            total.revoked += replayed.revoked;
            total.deleted += replayed.deleted;
        }
    }
    eprintln!("{images} images: {total:?}");
    assert!(images >= 100, "{images}");
    assert!(
        total.transactions > 10 && total.blocks > 100 && total.revoked > 0 && total.deleted > 10,
        "{total:?}"
    );
}

/// Without a journal nothing says what was half done: only e2fsck may touch it. After an unmount all is well.
#[test]
fn volumes_without_a_journal_are_refused_while_in_use() {
    if !able() {
        return;
    }
    for variant in variants(false) {
        for seed in 1..=if long() { 8 } else { 1 } {
            let mut image = Image::new(variant, SIZE).unwrap();
            let in_use = image.bytes_in_use("rw", |root| work(root, &mut Random::new(seed)));
            let device = DiskMut::new(Memory::new(in_use));
            assert_eq!(ext4::replay(&device).unwrap(), None);
            let mut fs = ext4::open_mut(device).unwrap();
            let refused = fs.begin().map(drop).unwrap_err();
            assert!(refused.to_string().contains("EXT4_VALID_FS"), "{}: {refused}", variant.name);
            eprintln!("{} seed {seed}: {:?}", variant.name, edit(&mut image, seed));
        }
    }
}

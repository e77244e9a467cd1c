//! Volumes that were busy when the machine stopped.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ext4::Replayed;
use testimages::judge;
use vfs::{FileSystem, State};

use crate::support::{Image, Variant, pattern};
use crate::{judge_recovery, long, turn};

const SIZE: u64 = 24 << 20;

const fn kind(name: &'static str, options: &'static [&'static str]) -> Variant {
    Variant { name, options, mounts: true }
}

/// The feature sets; journals are small, so that logs wrap around.
pub(crate) const KINDS: &[Variant] = &[
    kind("default", &["-t", "ext4", "-b", "4096", "-O", "^orphan_file", "-J", "size=4"]),
    kind(
        "orphan_file",
        &["-t", "ext4", "-b", "4096", "-O", "orphan_file,metadata_csum_seed", "-J", "size=4"],
    ),
    kind("1k_blocks", &["-t", "ext4", "-b", "1024", "-J", "size=1"]),
    kind("no_checksums", &["-t", "ext4", "-b", "4096", "-O", "^metadata_csum", "-J", "size=4"]),
    kind("no_64bit", &["-t", "ext4", "-b", "1024", "-O", "^64bit", "-J", "size=2"]),
    kind("neither", &["-t", "ext4", "-b", "2048", "-O", "^64bit,^metadata_csum,uninit_bg", "-J", "size=2"]),
    kind("ext3", &["-t", "ext3", "-b", "1024", "-J", "size=1"]),
    kind("inline_data", &["-t", "ext4", "-b", "4096", "-O", "inline_data", "-J", "size=4"]),
];

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
pub(crate) struct Random(pub(crate) u64);

impl Random {
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

/// A file that does not change while it is read.
fn snapshot(path: &Path) -> Vec<u8> {
    let mut before = fs::read(path).unwrap();
    loop {
        let after = fs::read(path).unwrap();
        if before == after {
            return after;
        }
        before = after;
    }
}

/// An image of a volume that was in use when the machine stopped.
pub(crate) fn busy(variant: &Variant, mount: &str, stop: Stop, seed: u64) -> Option<Image> {
    let image = Image::new(variant, SIZE)?;
    let mount = judge::KernelMount::with_options(image.path(), 0..SIZE, &format!("{mount},noinit_itable"));
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let held = work(mount.path(), &mut random);
    // The call is the same for ext4.
    let shut_down = |how: &str| {
        judge::run(judge::tool("xfs_io").args(["-x", "-c", how]).arg(mount.path()));
    };
    match stop {
        Stop::Snapshot => {}
        Stop::Synced => rustix::fs::syncfs(File::open(mount.path()).unwrap()).unwrap(),
        Stop::Frozen => {
            judge::run(judge::tool("fsfreeze").arg("-f").arg(mount.path()));
        }
        Stop::Crash => shut_down("shutdown"),
        Stop::LoggedCrash => shut_down("shutdown -f"),
    }
    let bytes = snapshot(image.path());
    if let Stop::Frozen = stop {
        judge::run(judge::tool("fsfreeze").arg("-u").arg(mount.path()));
    }
    drop(held);
    drop(mount);
    fs::write(image.path(), bytes).unwrap();
    Some(image)
}

#[test]
fn busy_volumes_are_recovered_as_the_kernel_recovers_them() {
    let Some(_turn) = turn() else { return };
    let seeds = if long() { 32 } else { 2 };
    let mut total = Replayed::default();
    for (number, variant) in KINDS.iter().enumerate() {
        for seed in 1..=seeds {
            // Every option and every end is met with few seeds already.
            let turn = number + seed as usize;
            // The ext3 driver does not know the options after the first three.
            let mounts = if variant.name == "ext3" { &MOUNTS[..3] } else { MOUNTS };
            let mount = mounts[turn % mounts.len()];
            let stop = STOPS[(turn + turn / MOUNTS.len()) % STOPS.len()];
            eprint!("{} {mount} {stop:?} seed {seed}: ", variant.name);
            let image = busy(variant, mount, stop, seed).unwrap();
            if image.open().info().unwrap().state == State::Clean {
                eprintln!("clean");
                continue;
            }
            let replayed = judge_recovery(&image);
            eprintln!("{replayed:?}");
            total.transactions += replayed.transactions;
            total.blocks += replayed.blocks;
            total.revoked += replayed.revoked;
            total.deleted += replayed.deleted;
        }
    }
    eprintln!("{total:?}");
    assert!(
        total.transactions > 10 && total.blocks > 100 && total.revoked > 0 && total.deleted > 10,
        "{total:?}"
    );
}

//! Volumes that were busy when the machine stopped.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use testimages::judge;
use xfs::Replayed;

use crate::load::{Random, Writer};
use crate::support::{Image, Variant, shut_down, variant};
use crate::{able, judge_recovery, long};

const SIZE: u64 = 96 << 20;
const WRITERS: usize = 3;

/// Feature sets whose logs differ. The logs are about the smallest, so that they wrap around.
pub(crate) const VARIANTS: &[Variant] = &[
    variant("default", 7, &[]),
    variant("everything", 14, &["-m", "rmapbt=1,reflink=1,bigtime=1,inobtcount=1", "-i", "nrext64=1"]),
    variant("1k_blocks", 6, &["-b", "size=1024"]),
    variant("rmapbt", 14, &["-m", "rmapbt=1,reflink=0"]),
    variant("plain_v5", 7, &["-m", "finobt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0"]),
    variant("1k_everything", 10, &["-b", "size=1024", "-m", "rmapbt=1", "-i", "nrext64=1"]),
    variant("striped_log", 20, &["-l", "su=32k", "-i", "nrext64=1"]),
    variant("wide_striped_log", 24, &["-l", "su=256k", "-m", "rmapbt=1"]),
    variant("4k_sectors", 14, &["-s", "size=4096", "-m", "rmapbt=1"]),
    variant("large_directories", 12, &["-n", "size=16384", "-i", "size=1024"]),
    variant("many_groups", 14, &["-d", "agcount=5", "-m", "rmapbt=1"]),
];

const MOUNTS: &[&str] = &["rw", "rw,logbsize=256k", "rw,logbufs=2,logbsize=32k", "rw,logbsize=128k,ikeep"];

/// A log stripe must fit into a record.
fn mounts(variant: &Variant) -> &'static [&'static str] {
    if variant.name.contains("wide") { &MOUNTS[..2] } else { MOUNTS }
}

/// How the machine stops.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// No write after this instant; the writers are still at work.
    Crash,
    /// The log is written, and nothing else; the writers are still at work.
    LoggedCrash,
    /// The same, when they have come to rest.
    LateCrash,
    /// The same.
    LateLoggedCrash,
    /// A snapshot while it is mounted, and nobody writes.
    Snapshot,
    /// A snapshot right after a sync.
    Synced,
    /// A snapshot of a frozen file system.
    Frozen,
}

pub(crate) const STOPS: &[Stop] = &[
    Stop::LoggedCrash,
    Stop::Crash,
    Stop::Snapshot,
    Stop::LateLoggedCrash,
    Stop::LoggedCrash,
    Stop::Synced,
    Stop::LateCrash,
    Stop::Frozen,
];

impl Stop {
    /// Whether it is mounted on.
    fn is_snapshot(self) -> bool {
        matches!(self, Self::Snapshot | Self::Synced | Self::Frozen)
    }

    /// Stops a file system on which everybody has come to rest.
    fn at_rest(self, root: &Path) {
        match self {
            Self::Crash | Self::LoggedCrash | Self::Snapshot => {}
            Self::LateCrash => shut_down(root, "shutdown"),
            Self::LateLoggedCrash => shut_down(root, "shutdown -f"),
            Self::Synced => rustix::fs::syncfs(File::open(root).unwrap()).unwrap(),
            Self::Frozen => drop(judge::run(judge::tool("fsfreeze").arg("-f").arg(root))),
        }
    }
}

/// Its bytes, when nothing changes any more between two reads: the kernel writes when it likes.
fn at_rest(image: &Image) -> Vec<u8> {
    let mut before = image.bytes();
    loop {
        let after = image.bytes();
        if before == after {
            return after;
        }
        before = after;
    }
}

/// An image of a volume that was in use when the machine stopped.
pub(crate) fn busy(variant: &Variant, mount: &str, stop: Stop, seed: u64) -> Option<Image> {
    let image = Image::new(variant, SIZE)?;
    let mounted = judge::KernelMount::with_options(image.path(), 0..image.size, mount);
    let root = mounted.path();
    let mut random = Random::new(seed);
    let held: Vec<File> = std::thread::scope(|scope| {
        let steps = (150 + random.below(250)) * (1 + random.below(5) / 3);
        let writer = |name| scope.spawn(move || Writer::new(root, seed, name).work(steps));
        let mut writers: Vec<_> = (0..WRITERS).map(writer).collect();
        writers.push(scope.spawn(move || Writer::new(root, seed, WRITERS).chains(steps / 10)));
        if let Stop::Crash | Stop::LoggedCrash = stop {
            std::thread::sleep(Duration::from_millis(300 + random.below(1500) as u64));
            shut_down(root, if matches!(stop, Stop::Crash) { "shutdown" } else { "shutdown -f" });
        }
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    stop.at_rest(root);
    let snapshot = stop.is_snapshot().then(|| at_rest(&image));
    if let Stop::Frozen = stop {
        // It is thawed before the files are closed, which writes.
        judge::run(judge::tool("fsfreeze").arg("-u").arg(root));
    }
    drop(held);
    drop(mounted);
    if let Some(bytes) = snapshot {
        fs::write(image.path(), bytes).unwrap();
    }
    Some(image)
}

/// 110 volumes, or 1100 if `REFLOAT_LONG` is set: these tests have half of them each, and run at the same
/// time.
#[test]
fn busy_volumes_are_recovered_as_the_kernel_recovers_them() {
    recovered(0);
}

/// See [`busy_volumes_are_recovered_as_the_kernel_recovers_them`].
#[test]
fn more_busy_volumes_are_recovered_as_the_kernel_recovers_them() {
    recovered(1);
}

fn recovered(share: usize) {
    if !able() {
        return;
    }
    let rounds = if long() { 100 } else { 10 };
    let only: Option<u64> = std::env::var("REFLOAT_SEED").ok().and_then(|seed| seed.parse().ok());
    let (mut total, mut images) = (Replayed::default(), 0);
    for round in 0..rounds {
        for (number, variant) in VARIANTS.iter().enumerate() {
            let seed = 1000 * (round + 1) + number as u64;
            // Every option and every end is met with few seeds already.
            let turn = number + round as usize;
            if only.is_some_and(|only| only != seed) || turn % 2 != share {
                continue;
            }
            let mounts = mounts(variant);
            let mount = mounts[turn % mounts.len()];
            let stop = STOPS[(turn + round as usize / STOPS.len()) % STOPS.len()];
            eprint!("{} {mount} {stop:?} seed {seed}: ", variant.name);
            let image = busy(variant, mount, stop, seed).unwrap();
            if let Some(keep) = std::env::var_os("REFLOAT_KEEP") {
                fs::copy(image.path(), keep).unwrap();
            }
            images += 1;
            let Some(replayed) = judge_recovery(&image, mount) else {
                eprintln!("clean");
                continue;
            };
            eprintln!("{replayed:?}");
            total.transactions += replayed.transactions;
            total.buffers += replayed.buffers;
            total.inodes += replayed.inodes;
            total.cancelled += replayed.cancelled;
            total.newer += replayed.newer;
            total.intents += replayed.intents;
            total.deleted += replayed.deleted;
            total.staged += replayed.staged;
        }
    }
    eprintln!("{images} volumes: {total:?}");
    let seen = total.transactions > 10 && total.buffers > 100 && total.cancelled > 0 && total.deleted > 10;
    assert!(seen || only.is_some(), "{total:?}");
}

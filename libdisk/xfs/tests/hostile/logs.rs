//! Logs: records, operations, and the items that they carry.

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use block::testing::count::Count;
use block::{Disk, Overlay};
use rustix::fs::{FallocateFlags, XattrFlags};
use testimages::hostile::cases;
use testimages::judge;
use vfs::conformance::{Damage, Rng, Structure, Target, walk};

use crate::support::log::{BLOCK, be32, records, seal, unpacked};
use crate::support::{Image, find, shut_down};
use crate::{CEILING, MEMORY, READS};

/// The header of an operation.
const OPERATION: usize = 12;
/// The header of a transaction, as it is in the log of a little-endian machine.
const TRANSACTION: &[u8] = b"NART";
/// Items by their type.
const ITEMS: &[(u16, &str)] = &[
    (0x1236, "extents to be freed"),
    (0x1237, "extents freed"),
    (0x123b, "inodes"),
    (0x123c, "buffers"),
    (0x123f, "new inodes"),
    (0x1240, "owners to be changed"),
    (0x1241, "owners changed"),
    (0x1242, "counts to be changed"),
    (0x1243, "counts changed"),
    (0x1244, "mappings to be changed"),
    (0x1245, "mappings changed"),
];

/// Extents of a file.
const TEETH: u64 = 80;

/// A volume in use, and a target of the records in its log alone, one after another.
struct Volume {
    image: Image,
    target: Target,
    records: Vec<Range<usize>>,
}

impl Volume {
    /// With every kind of item, in several transactions: what a log has depends on the moments at which it is
    /// written.
    fn new() -> Option<Self> {
        let mut lacks = String::new();
        for _ in 0..50 {
            let volume = Self::attempt()?;
            match volume.lack() {
                None => return Some(volume),
                Some(lack) => lacks = lack,
            }
        }
        panic!("{lacks}");
    }

    /// Why this one will not do.
    fn lack(&self) -> Option<String> {
        let others = ["record headers", "operation headers", "transactions", "content"];
        let mut names = ITEMS.iter().map(|(_, name)| name).chain(&others);
        if let Some(name) = names.find(|name| !self.has(name)) {
            return Some(format!("there are no {name} in the log"));
        }
        let whole = Overlay::new(self.image.disk()).unwrap();
        let replayed = xfs::replay(&whole.writer()).unwrap().unwrap_or_default();
        let rich = replayed.transactions > 1 && replayed.cancelled > 0 && replayed.deleted > 1;
        (!rich).then(|| format!("{replayed:?}"))
    }

    fn has(&self, name: &str) -> bool {
        self.target.structures.iter().any(|structure| structure.name == name)
    }

    fn attempt() -> Option<Self> {
        let image = Image::new(&find("everything"), 24 << 20)?;
        if !judge::need_kernel_mounts() || judge::need("xfs_io").is_none() {
            return None;
        }
        let mounted = judge::KernelMount::with_options(image.path(), 0..image.size, "rw,logbsize=32k");
        let held = work(mounted.path());
        shut_down(mounted.path(), "shutdown -f");
        drop((held, mounted));
        let disk = image.disk();
        let records = live(&disk);
        let mut structures: Vec<Structure> = Vec::new();
        let mut compact = Vec::new();
        for record in &records {
            let from = compact.len();
            let bytes = disk.read_vec(record.start as u64, record.len()).unwrap();
            compact.extend_from_slice(&bytes);
            for (name, part) in parts(&bytes) {
                let part = from + part.start..from + part.end;
                let places = part.filter(|at| compact[*at] != 0 || at.is_multiple_of(16));
                match structures.iter_mut().find(|structure| structure.name == name) {
                    Some(structure) => structure.places.extend(places),
                    None => structures.push(Structure { name, places: places.collect() }),
                }
            }
        }
        Some(Self { image, target: Target { bytes: compact, structures }, records })
    }

    /// A damaged copy. Most records that were hit get a checksum that fits.
    fn damaged(&self, rng: &mut Rng) -> (Overlay, Damage) {
        let (bytes, damage) = self.target.damaged(rng);
        let overlay = Overlay::new(self.image.disk()).unwrap();
        let mut at = 0;
        for record in &self.records {
            let part = at..at + record.len();
            at = part.end;
            let mut piece = bytes[part.clone()].to_vec();
            if piece == self.target.bytes[part] {
                continue;
            }
            if !rng.one_in(8) {
                seal(&mut piece);
            }
            overlay.writer().write_at(&piece, record.start as u64).unwrap();
        }
        (overlay, damage)
    }
}

/// The records that are still to be carried out.
fn live(disk: &Disk) -> Vec<Range<usize>> {
    let lsn = |record: &Range<usize>, at| disk.read_vec(record.start as u64 + at, 8).unwrap();
    let mut records = records(disk);
    // h_tail_lsn of the last one, h_lsn of each
    let tail = records.last().map(|last| lsn(last, 24)).unwrap_or_default();
    records.retain(|record| lsn(record, 16) >= tail);
    records
}

/// What a record with one block of header consists of.
fn parts(record: &[u8]) -> Vec<(&'static str, Range<usize>)> {
    let plain = unpacked(record);
    let end = BLOCK + be32(record, 12);
    let mut parts = vec![("record headers", 0..BLOCK)];
    let mut at = BLOCK;
    // Regions that are left of the item.
    let mut regions = 0;
    while at + OPERATION <= end {
        parts.push(("operation headers", at..at + OPERATION));
        let region = at + OPERATION..(at + OPERATION + be32(&plain, at + 4)).min(end);
        at = region.end;
        let bytes = &plain[region.clone()];
        let item = bytes.first_chunk().and_then(|kind| {
            let kind = u16::from_le_bytes(*kind);
            ITEMS.iter().find(|(known, _)| *known == kind)
        });
        let name = match item {
            _ if bytes.starts_with(TRANSACTION) => "transactions",
            _ if regions > 0 => {
                regions -= 1;
                "content"
            }
            Some((_, name)) => {
                regions = u16::from_le_bytes([bytes[2], bytes[3]]).saturating_sub(1);
                name
            }
            // The rest of a region that began in the record before.
            None => "content",
        };
        parts.push((name, region));
    }
    parts
}

/// A little of everything that is logged; what is open and has no name.
fn work(root: &Path) -> Vec<File> {
    let write = |path: &str, len: usize| fs::write(root.join(path), vec![0xdd; len]).unwrap();
    let sync = || rustix::fs::syncfs(File::open(root).unwrap()).unwrap();
    fs::create_dir_all(root.join("dir/below")).unwrap();
    write("small", 50);
    // Whole chunks of inodes come and go: what was logged of them is cancelled.
    for number in 0..100 {
        write(&format!("dir/{number:060}"), 10);
    }
    let comb = |name: &str| {
        let comb = OpenOptions::new().read(true).write(true).create_new(true).open(root.join(name)).unwrap();
        for tooth in 0..TEETH {
            comb.write_all_at(&[0xdd; 4096], tooth * 8192).unwrap();
        }
        comb
    };
    let (first, second) = (comb("first"), comb("second"));
    sync();
    for number in 0..100 {
        fs::remove_file(root.join(format!("dir/{number:060}"))).unwrap();
    }
    symlink("short", root.join("fast")).unwrap();
    symlink("long".repeat(200), root.join("slow")).unwrap();
    for len in [20, 900, 5000] {
        let name = format!("user.{len}");
        rustix::fs::lsetxattr(root.join("small"), name, &vec![7; len], XattrFlags::empty()).unwrap();
    }
    fs::rename(root.join("dir/below"), root.join("moved")).unwrap();

    // What is done in one go leaves no intent in the log: meanwhile it is written again and again.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                sync();
            }
        });
        let clone = File::create(root.join("clone")).unwrap();
        rustix::fs::ioctl_ficlone(&clone, &first).unwrap();
        for tooth in (0..TEETH).step_by(3) {
            clone.write_all_at(&[0xdd; 4096], tooth * 8192).unwrap();
        }
        second.set_len(50_000).unwrap();
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&clone, hole, 8192, TEETH * 4096).unwrap();
        done.store(true, Ordering::Relaxed);
    });
    let open = |name: &str| {
        write(name, 20_000);
        let file = File::open(root.join(name)).unwrap();
        fs::remove_file(root.join(name)).unwrap();
        file
    };
    vec![open("gone"), open("gone too"), second]
}

#[test]
fn damaged_logs() {
    let Some(volume) = Volume::new() else { return };
    let (mut tried, mut recovered, mut nodes, mut most) = (0, 0, 0, 0);
    cases("xfs logs", 10_000, CEILING, |random| {
        let mut rng = Rng::new(random.u64(..));
        let (overlay, damage) = volume.damaged(&mut rng);
        let reads = Count::default();
        let device = reads.disk_mut(&overlay.writer());
        tried += 1;
        if xfs::replay(&device).is_ok() {
            recovered += 1;
            nodes += xfs::open(device.disk()).map_or(0, |fs| walk(&fs).len());
        }
        let requests = reads.reads().requests;
        most = most.max(requests);
        assert!(requests < READS, "{requests} reads");
        drop(damage);
    });
    let held = MEMORY.peak_usage() >> 20;
    eprintln!("of {tried} logs, {recovered} recovered, {nodes} nodes, {most} reads and {held} MiB at most");
    assert!(recovered > tried / 10 && nodes > recovered * 5, "of {tried}, {recovered} recovered");
}

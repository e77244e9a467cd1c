//! Damaged partition tables: refused, or inside the disk; never a panic, a hang, or memory without bounds.

use std::io::Write;
use std::ops::Range;
use std::process::{Command, Stdio};

use block::{BlockRead, Disk, FileDisk, Memory as Bytes, Overlay};
use testimages::hostile::{Memory, Rng, cases, damage, mangle};
use testimages::{judge, loader};
use volume::gpt::move_backup_to_end;
use volume::grub::Grub;
use volume::wrap::{self, wrap_bare};

#[global_allocator]
static MEMORY: Memory = Memory;

/// For each kind of table.
const CASES: u64 = 10_000;
/// What the tests of this file may hold together: the largest table of entries is 1 MiB, and there are two
/// copies.
const CEILING: usize = 32 << 20;
const SIZE: u64 = 300 << 20;
/// What is kept of each end of the disk: a GPT of the usual size, all tables of an MBR.
const END: usize = 128 * 512;

const GPT: &str = "label: gpt\nstart=2048, size=8192, type=U\nstart=10240, size=20480, name=\"root\"\nstart=30720, size=2048\n";
/// Close together, so that all tables lie in a few KiB.
const MBR: &str = "label: dos\nfirst-lba: 16\ngrain: 512\nstart=16, size=16\nstart=32, size=128, type=5\n\
    start=40, size=16\nstart=64, size=16\nstart=96, size=16\n";

/// A table made by sfdisk: the start and the end of the disk; `None` without it.
fn table(script: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let sfdisk = judge::need("sfdisk")?;
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(SIZE).unwrap();
    let mut child = Command::new(sfdisk)
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(file.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "sfdisk refused {script}");
    let disk = FileDisk::open(file.path()).unwrap().disk();
    Some((disk.read_vec(0, END).unwrap(), disk.read_vec(SIZE - END as u64, END).unwrap()))
}

/// A disk of `size` whose start and end are in memory.
#[derive(Debug)]
struct Ends(Bytes, Bytes, u64);

impl BlockRead for Ends {
    fn layer(&self) -> &'static str {
        "ends"
    }

    fn size(&self) -> u64 {
        self.2
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        buf.fill(0);
        for (part, start) in [(&self.0, 0), (&self.1, self.2 - self.1.size())] {
            let from = offset.max(start);
            let to = (offset + buf.len() as u64).min(start + part.size());
            if from < to {
                part.read_at(&mut buf[(from - offset) as usize..(to - offset) as usize], from - start)?;
            }
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> block::Result<block::Extent> {
        Ok(block::Extent::data(range.end - range.start))
    }
}

/// Reads all there is to read, and repairs what there is to repair.
fn read(start: &[u8], end: &[u8]) -> bool {
    let ends = Ends(Bytes::new(start.to_vec()), Bytes::new(end.to_vec()), SIZE);
    let disk = Disk::new(ends);
    let _ = volume::signature(&disk).unwrap();
    let table = volume::read(&disk);
    if let Ok(table) = &table {
        assert!(table.partitions.iter().all(|p| p.range.start < p.range.end && p.range.end <= SIZE));
        let _ = volume::boot::firmware(&disk, table);
        for partition in &table.partitions {
            let _ = volume::signature(&partition.open(&disk).unwrap());
        }
    }
    let overlay = Overlay::new(disk).unwrap();
    if move_backup_to_end(&overlay.writer()).is_ok() {
        volume::read(&overlay.disk()).expect("a repaired table can be read");
    }
    table.is_ok()
}

/// The checksum of a header of 92 bytes and that of its entries, so that the damage gets past them.
fn fix_checksums(header: &mut [u8], entries: &[u8]) {
    header[88..92].copy_from_slice(&crc32fast::hash(entries).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32fast::hash(&header[..92]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn damaged_gpts() {
    let Some((start, end)) = table(GPT) else { return };
    let mut whole = 0;
    cases("gpt", CASES, CEILING, |random| {
        let (mut start, mut end) = (start.clone(), end.clone());
        // The protective MBR, the header, the first entries; and the last entries, the header.
        damage(random, &mut start[440..34 * 512], 0..1000);
        if random.bool() {
            damage(random, &mut end, END - 33 * 512..END);
        }
        if random.u8(..4) > 0 {
            let (head, entries) = start.split_at_mut(1024);
            fix_checksums(&mut head[512..], &entries[..32 * 512]);
        }
        if random.bool() {
            let (entries, header) = end[END - 33 * 512..].split_at_mut(32 * 512);
            fix_checksums(header, entries);
        }
        whole += u32::from(read(&start, &end));
    });
    assert!(whole > 100, "no damage left anything to read");
}

/// A header is only valid if its usable sectors are in order, and a repair changes the last one.
#[test]
fn a_first_usable_sector_behind_the_disk_is_not_repaired_into_no_table() {
    let Some((mut start, mut end)) = table(GPT) else { return };
    for field in [40, 48] {
        start[512 + field..][..8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    }
    let (head, entries) = start.split_at_mut(1024);
    fix_checksums(&mut head[512..], &entries[..32 * 512]);
    end[END - 512..].fill(0);
    assert!(read(&start, &end));
}

#[test]
fn damaged_mbrs() {
    let Some((start, end)) = table(MBR) else { return };
    // The sectors of all four tables: the disk's and those of the logical partitions, in the order of the
    // chain.
    let tables: Vec<usize> = (0..start.len() / 512)
        .filter(|sector| start[sector * 512 + 510..][..2] == [0x55, 0xaa])
        .map(|sector| sector * 512)
        .collect();
    assert_eq!(tables.len(), 4, "{tables:?}");
    let mut whole = 0;
    cases("mbr", CASES, CEILING, |random| {
        let mut start = start.clone();
        for table in &tables {
            if random.bool() {
                // The entries, and now and then the signature behind them.
                damage(random, &mut start[table + 440..table + 512], 6..70);
            }
        }
        whole += u32::from(read(&start, &end));
    });
    assert!(whole > 100, "no damage left anything to read");
}

/// Random bytes of any size: magic numbers at their places, and nothing else right.
#[test]
fn random_volumes() {
    const MAGIC: [(usize, &[u8]); 8] = [
        (0, b"XFSB"),
        (0, b"LUKS\xba\xbe"),
        (3, b"NTFS    "),
        (512, b"LABELONE"),
        (1080, b"\x53\xef"),
        (4086, b"SWAPSPACE2"),
        (4096, b"\xfc\x4e\x2b\xa9"),
        (65600, b"_BHRfS_M"),
    ];
    cases("signatures", CASES, CEILING, |random: &mut Rng| {
        let len = [512, 4096, 8192, 66_000][random.usize(..4)] + random.usize(..2) * 512;
        let mut bytes = vec![0; len];
        if random.bool() {
            let noise = len.min(8192);
            random.fill(&mut bytes[..noise]);
        }
        for _ in 0..random.usize(..3) {
            let (at, magic) = MAGIC[random.usize(..MAGIC.len())];
            if let Some(place) = bytes.get_mut(at..at + magic.len()) {
                place.copy_from_slice(magic);
            }
        }
        let disk = Disk::new(Bytes::new(bytes));
        let _ = volume::signature(&disk);
        let _ = volume::read(&disk);
    });
}

/// A head comes out of a plan, which is a file of the user's; the disk and GRUB out of anywhere.
#[test]
fn damaged_heads_before_damaged_disks() {
    let Some((boot, core)) = loader::grub() else { return };
    let size: u64 = 64 << 10;
    let good = wrap::head(size, 1, &Grub::new(&boot, &core).unwrap()).unwrap();
    let mut whole = 0;
    cases("wrap", CASES / 5, CEILING, |random| {
        let (mut boot, mut core) = (boot.clone(), core.clone());
        mangle(random, &mut boot, 0x5C..440);
        mangle(random, &mut core, 500..512);
        if let Ok(grub) = Grub::new(&boot, &core)
            && let Ok(head) = wrap::head(random.u64(..), random.u32(..), &grub)
        {
            assert!(head.len() as u64 <= wrap::HEAD);
        }
        let (mut head, mut disk) = (good.clone(), vec![0; size as usize]);
        match random.u8(..3) {
            0 => mangle(random, &mut head, 440..512),
            1 => damage(random, &mut head[440..512], 6..72),
            _ => damage(random, &mut disk[440..512], 6..72),
        }
        let Ok(wrapped) = wrap_bare(Disk::new(Bytes::new(disk)), &head) else { return };
        let table = volume::read(&wrapped).unwrap();
        assert_eq!(table.partitions.len(), 1);
        assert_eq!(table.partitions[0].range, wrap::HEAD..wrap::HEAD + size);
        whole += 1;
    });
    assert!(whole > 0, "some damage does not matter");
}

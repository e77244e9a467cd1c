//! Volumes of rust-fs-ntfs with a log of our own making: each operation that is replayed, done and taken back, in
//! logs that wrap, that have their newest pages only in copies, and that begin with their first checkpoint.

use std::collections::BTreeMap;

use block::{Disk, Memory, Overlay};
use testimages::hostile::Rng;

use super::oracle::Oracle;
use testimages::ntfs::log_writer::{Change, LogWriter};
use testimages::ntfs::structures::{Reader, attribute, log, long, number, runs, short, whole};

/// The open attributes: each has 40 bytes in their table.
const MFT: u16 = 0x18;
const NODES: u16 = 0x40;
const BITMAP: u16 = 0x68;
const CONTENT: u16 = 0x90;

/// A volume, and changes that may be made in it, each in a place of its own.
pub(crate) struct Script {
    pub(crate) volume: Disk,
    open: Vec<(u16, u64, u64)>,
    pub(crate) changes: Vec<Change>,
}

pub(crate) fn le(number: u64, len: usize) -> Vec<u8> {
    number.to_le_bytes()[..len].to_vec()
}

/// A volume with files, and what may be changed in it.
pub(crate) fn script(cluster: u32) -> Script {
    let overlay = Overlay::new(Disk::new(Memory::new(vec![0; 48 << 20]))).unwrap();
    let mut io = Oracle(overlay.writer());
    fs_ntfs::mkfs::format_filesystem(&mut io, 48 << 20, cluster, 1024, Some("Scripted"), Some(7)).unwrap();
    let mut make = |path: String, content: &[u8]| {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent = if parent.is_empty() { "/" } else { parent };
        let record = fs_ntfs::write::create_file_io(&mut io, parent, name).unwrap();
        if content.len() > 600 {
            fs_ntfs::write::write_file_contents_io(&mut io, &path, content).unwrap();
        } else {
            fs_ntfs::write::write_resident_contents_io(&mut io, &path, content).unwrap();
        }
        record
    };
    let small: Vec<u64> = (0..8).map(|n| make(format!("/small {n}"), b"what is in the record")).collect();
    let large: Vec<u64> = (0..3).map(|n| make(format!("/large {n}"), &vec![n; 90_000])).collect();
    let (mut few, many) = (Vec::new(), fs_ntfs::write::mkdir_io(&mut io, "/", "many").unwrap());
    for n in 0..5 {
        few.push(fs_ntfs::write::mkdir_io(&mut io, "/", &format!("few {n}")).unwrap());
        fs_ntfs::write::create_file_io(&mut io, &format!("/few {n}"), "one").unwrap();
        fs_ntfs::write::create_file_io(&mut io, &format!("/few {n}"), "two").unwrap();
    }
    for n in 0..260 {
        fs_ntfs::write::create_file_io(&mut io, "/many", &format!("a name of a file {n}")).unwrap();
    }
    let volume = overlay.disk();
    let reader = Reader::new(&volume);
    let mut changes = values(&reader, &small);
    changes.extend(clusters(&reader, &large));
    changes.extend(roots(&reader, &few));
    changes.extend(nodes(&reader, many));
    let free = reader.record(reader.runs(0).0 / 1024 - 1);
    assert!(changes.iter().all(|change| !change.lcns.is_empty()) && free.is_none_or(|free| free[22] == 0));
    let bitmap = reader.runs(6).1;
    for (n, (redo, undo)) in [(0x15, 0x16), (0x16, 0x15), (0x15, 0x16)].into_iter().enumerate() {
        let bits = [le(3001 + 50 * n as u64, 4), le(17, 4)].concat();
        let on = reader.change((BITMAP, &bitmap), 0, 4096.min(cluster as usize), (0, 0));
        changes.push(Change { redo: (redo, bits.clone()), undo: (undo, bits), ..on });
    }
    let content = reader.runs(large[0]).1;
    let on = reader.change((CONTENT, &content), 4096, 4096, (0x100, 0x20));
    changes.push(Change { redo: (8, vec![0xaa; 700]), undo: (8, vec![0; 700]), ..on });
    let reference = 1 << 48;
    let open = [(MFT, 0x80, reference), (NODES, 0xa0, reference | many), (BITMAP, 0x80, 6 << 48 | 6)];
    let open = open.into_iter().chain([(CONTENT, 0x80, reference | large[0])]).collect();
    Script { open, changes, volume: volume.clone() }
}

/// Changes of records and of values in them, one in each file.
fn values(reader: &Reader<'_>, files: &[u64]) -> Vec<Change> {
    let change = |(n, file): (usize, &u64)| {
        let record = reader.record(*file).unwrap();
        let at = attribute(&record, 0x80).unwrap();
        let bytes = record[at..at + long(&record, at + 4)].to_vec();
        let start = short(&bytes, 0x14);
        let old = bytes[start..start + long(&bytes, 0x10)].to_vec();
        let used = long(&record, 24);
        let (place, redo, undo) = match n {
            0 => ((at, start), (7, [&old[..], b", and more of it"].concat()), (7, old)),
            1 => ((at, start), (7, old[..5].to_vec()), (7, old)),
            2 => ((at, start + 5), (7, b"changed".to_vec()), (7, old[5..12].to_vec())),
            3 => {
                let mut other = bytes.clone();
                other[0] = 0x00;
                other[1] = 0x01;
                other[14] = 77;
                ((at + bytes.len(), 0), (5, other), (6, Vec::new()))
            }
            4 => ((at, 0), (6, Vec::new()), (5, bytes)),
            5 => ((used, 0), (0x25, vec![0; 40]), (0, Vec::new())),
            6 => ((0, 0), (3, Vec::new()), (2, record[..24].to_vec())),
            _ => ((0, 0), (2, record), (3, Vec::new())),
        };
        // The last one begins a record that was free.
        let free = reader.runs(0).0 / reader.record as u64 - 1;
        reader.on_record((MFT, if n == 7 { free } else { *file }), place, redo, undo)
    };
    files.iter().enumerate().map(change).collect()
}

/// Changes of sizes and of runs.
fn clusters(reader: &Reader<'_>, files: &[u64]) -> Vec<Change> {
    let mut changes = Vec::new();
    for (n, file) in files.iter().enumerate().skip(1) {
        let record = reader.record(*file).unwrap();
        let at = attribute(&record, 0x80).unwrap();
        let bytes = &record[at..at + long(&record, at + 4)];
        if n == 1 {
            let sizes = [&bytes[0x28..0x30], &bytes[0x38..0x40], &bytes[0x30..0x38]].concat();
            let redo = [le(0x2_0000, 8), le(70_000, 8), le(80_000, 8)].concat();
            changes.push(reader.on_record((MFT, *file), (at, 0), (0x0b, redo), (0x0b, sizes)));
        } else {
            let start = short(bytes, 0x20);
            let old = bytes[start..].to_vec();
            // A run less at the front, of the same clusters in two.
            let (len, lcn) = runs(&old)[0];
            let pieces = [(1, lcn.unwrap()), (len - 1, 1)];
            let mut new: Vec<u8> = pieces
                .iter()
                .flat_map(|(len, lcn)| [vec![0x44], le(*len, 4), le(*lcn, 4)].concat())
                .collect();
            new.resize(new.len() + 7, 0);
            changes.push(reader.on_record((MFT, *file), (at, start), (9, new), (9, old)));
        }
    }
    changes
}

/// Changes of indexes in records, one in each folder, and of the data of an entry of `$Secure`.
fn roots(reader: &Reader<'_>, folders: &[u64]) -> Vec<Change> {
    let mut changes = Vec::new();
    for (n, folder) in folders.iter().chain([&9]).enumerate() {
        let record = reader.record(*folder).unwrap();
        let at = attribute(&record, 0x90).unwrap();
        let inside = short(&record, at + 0x14) + 0x10 + 0x10;
        let entry = &record[at + inside..][..short(&record, at + inside + 8)];
        let place = (at, inside);
        let (redo, undo) = match n {
            0 => ((0x0c, entry.to_vec()), (0x0d, Vec::new())),
            1 => ((0x0d, Vec::new()), (0x0c, entry.to_vec())),
            2 => ((0x13, vec![0x11; 0x38]), (0x13, entry[0x18..0x50].to_vec())),
            3 => ((0x11, le(77, 8)), (0x11, entry[entry.len() - 8..].to_vec())),
            4 => continue,
            _ => ((0x21, le(5, 4)), (0x21, entry[short(entry, 0)..][..4].to_vec())),
        };
        changes.push(reader.on_record((MFT, *folder), place, redo, undo));
    }
    changes
}

/// Changes of nodes, one in each.
fn nodes(reader: &Reader<'_>, folder: u64) -> Vec<Change> {
    let record = reader.record(folder).unwrap();
    let at = attribute(&record, 0xa0).unwrap();
    let places = runs(&record[at + short(&record, at + 32)..]);
    let size = number(&record, at + 48, 8);
    let mut changes = Vec::new();
    for (n, start) in (0..size).step_by(4096).enumerate() {
        let node = whole(&reader.at(&places, start, 4096), b"INDX").unwrap();
        let first = 24 + long(&node, 24);
        let used = 24 + long(&node, 28);
        let entry = &node[first..first + short(&node, first + 8)];
        let second = first + entry.len();
        let (inside, redo, undo) = match n % 6 {
            0 => (first, (0x0f, Vec::new()), (0x0e, entry.to_vec())),
            1 if used + entry.len() <= 4096 => (first, (0x0e, entry.to_vec()), (0x0f, Vec::new())),
            2 => (second, (0x10, node[used - 16..used].to_vec()), (0x10, node[second..used].to_vec())),
            3 => (first, (0x12, le(77, 8)), (0x12, entry[entry.len() - 8..].to_vec())),
            4 => (first, (0x14, vec![0x22; 0x38]), (0x14, entry[0x18..0x50].to_vec())),
            _ => (0, (8, node.clone()), (0, Vec::new())),
        };
        let on = reader.change((NODES, &places), start, 4096, (0, inside));
        changes.push(Change { redo, undo, ..on });
    }
    assert!(changes.len() > 5);
    changes
}

/// A log with one change, in a transaction that is over, from its first page on.
pub(crate) fn single(script: &Script, change: &Change) -> Vec<u8> {
    let mut log = LogWriter::new(log(&script.volume).1 as usize, 34);
    let checkpoint = tables(&mut log, script, &BTreeMap::new(), &BTreeMap::new());
    let last = log.change(0x40, 0, change);
    log.change(0x40, last, &Change::control(0x1b, 0, Vec::new()));
    log.finish(checkpoint, 2)
}

/// Writes the changes into the volume's log, in transactions of which some are open at the checkpoint, and some
/// at the end. Gives the volume with all pages in their places and with the newest in copies, and how many
/// changes are to be taken back.
pub(crate) fn write(script: &Script, random: &mut Rng) -> ([Disk; 2], usize) {
    let (start, size) = log(&script.volume);
    let last = size as usize / 4096;
    let page = *random.choice(&[34, 40, last - 1, last - 2, last - 3]).unwrap();
    let mut log = LogWriter::new(size as usize, page);
    let mut changes = script.changes.clone();
    random.shuffle(&mut changes);
    let fresh = random.u8(..4) == 0;
    let first = if fresh { 0 } else { random.usize(..changes.len()) };
    let mut checkpoint = 0;
    let mut running: BTreeMap<u32, (u64, usize)> = BTreeMap::new();
    let mut dirty: BTreeMap<(u16, u64), (u64, Vec<u64>)> = BTreeMap::new();
    for (n, change) in changes.iter().enumerate() {
        if n == first {
            checkpoint =
                if fresh { log.checkpoint(0, [0; 3]) } else { tables(&mut log, script, &running, &dirty) };
            for (slot, kind, file) in script.open.iter().filter(|_| fresh) {
                log.change(0x18, 0, &Change::control(0x1c, *slot, open(*kind, *file)));
            }
        }
        let transaction = 0x40 + 0x28 * random.u32(..5);
        let last = running.entry(transaction).or_default();
        let lsn = log.change(transaction, last.0, change);
        *last = (lsn, last.1 + usize::from(change.undo.0 != 0));
        dirty.entry((change.attribute, change.vcn)).or_insert_with(|| (lsn, change.lcns.clone()));
        if random.u8(..4) == 0 {
            let (last, _) = running.remove(&transaction).unwrap();
            log.change(transaction, last, &Change::control(0x1b, 0, Vec::new()));
        }
    }
    let undone = running.values().map(|(_, changes)| changes).sum();
    let volume = |copies| {
        let volume = Overlay::new(script.volume.clone()).unwrap();
        volume.writer().write_at(&log.clone().finish(checkpoint, copies), start).unwrap();
        volume.disk()
    };
    ([volume(0), volume(random.usize(1..30))], undone)
}

/// An entry of the table of open attributes.
fn open(kind: u64, file: u64) -> Vec<u8> {
    [le(0xffff_ffff, 4), le(0, 4), le(kind, 8), le(file, 8), vec![0; 16]].concat()
}

/// A checkpoint with its tables.
fn tables(
    log: &mut LogWriter,
    script: &Script,
    running: &BTreeMap<u32, (u64, usize)>,
    dirty: &BTreeMap<(u16, u64), (u64, Vec<u64>)>,
) -> u64 {
    let entries: Vec<_> =
        script.open.iter().map(|(slot, kind, file)| (usize::from(*slot), open(*kind, *file))).collect();
    let attributes = log.table(0x1d, 0x28, &entries);
    let page = |((attribute, vcn), (oldest, lcns)): (&(u16, u64), &(u64, Vec<u64>))| {
        let head = [le(0, 4), le((*attribute).into(), 4), le(4096, 4), le(lcns.len() as u64, 4)].concat();
        let lcns = lcns.iter().flat_map(|lcn| le(*lcn, 8)).collect();
        [head, le(*vcn, 8), le(*oldest, 8), lcns].concat()
    };
    let pages: Vec<Vec<u8>> = dirty.iter().map(page).collect();
    let size = pages.iter().map(Vec::len).max().unwrap_or(0x28);
    let pages: Vec<_> = pages.into_iter().enumerate().map(|(n, page)| (0x18 + n * size, page)).collect();
    let pages = if pages.is_empty() { 0 } else { log.table(0x1f, size, &pages) };
    let transaction = |(number, (last, changes)): (&u32, &(u64, usize))| {
        let undo = if *changes > 0 { *last } else { 0 };
        (*number as usize, [le(0, 4), le(1, 4), le(*last, 8), le(*last, 8), le(undo, 8)].concat())
    };
    let open: Vec<_> = running.iter().map(transaction).collect();
    let transactions = if open.is_empty() { 0 } else { log.table(0x20, 0x28, &open) };
    log.checkpoint(attributes, [attributes, pages, transactions])
}

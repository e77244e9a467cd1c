//! What a volume is made of, with the number of the last change in the log of each structure, and without what
//! differs between two writers of the same: update sequences, what lies behind the end of a structure, and the log
//! itself. Read by a reader of the test's own.

use std::collections::BTreeMap;

use block::Disk;

use super::log_writer::Change;

/// The structures of a volume.
#[derive(Debug, PartialEq, Eq)]
pub struct Structures {
    /// Records of the master file table that are in use, by their numbers, but for the log's own.
    pub records: BTreeMap<u64, Vec<u8>>,
    /// Nodes of indexes that are in use, by the record, the index and their numbers.
    pub nodes: BTreeMap<(u64, String, usize), Vec<u8>>,
    /// Clusters in use.
    pub clusters: Vec<u8>,
    /// Records in use.
    pub in_use: Vec<u8>,
}

/// A volume.
#[derive(Debug)]
pub struct Reader<'d> {
    disk: &'d Disk,
    /// Bytes of a cluster.
    pub cluster: u64,
    /// Bytes of a record.
    pub record: usize,
    /// The runs of the master file table.
    pub mft: Runs,
}

/// Lengths and first clusters of runs.
pub type Runs = Vec<(u64, Option<u64>)>;

/// The little-endian number of some bytes at a place.
pub fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// One of two bytes.
pub fn short(bytes: &[u8], at: usize) -> usize {
    number(bytes, at, 2) as usize
}

/// One of four bytes.
pub fn long(bytes: &[u8], at: usize) -> usize {
    number(bytes, at, 4) as usize
}

/// Lengths and first clusters of the runs of an attribute.
pub fn runs(mut coded: &[u8]) -> Runs {
    let (mut found, mut last) = (Vec::new(), 0_i64);
    while coded[0] != 0 {
        let (lengths, offsets) = (usize::from(coded[0] & 15), usize::from(coded[0] >> 4));
        let len = number(coded, 1, lengths);
        let place = (offsets > 0).then(|| {
            let unused = 64 - 8 * offsets as u32;
            last += (number(coded, 1 + lengths, offsets) << unused) as i64 >> unused;
            last as u64
        });
        found.push((len, place));
        coded = &coded[1 + lengths + offsets..];
    }
    found
}

/// Where in a record its first attribute of a kind is.
pub fn attribute(record: &[u8], kind: u64) -> Option<usize> {
    let mut at = short(record, 20);
    while number(record, at, 4) != kind {
        if number(record, at, 4) == 0xffff_ffff {
            return None;
        }
        at += long(record, at + 4);
    }
    Some(at)
}

/// A structure without its update sequence; `None` if it was not written whole.
pub fn whole(bytes: &[u8], magic: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let (at, count) = (short(&bytes, 4), short(&bytes, 6));
    if !bytes.starts_with(magic) || count != bytes.len() / 512 + 1 {
        return None;
    }
    for sector in 1..count {
        if bytes[sector * 512 - 2..sector * 512] != bytes[at..at + 2] {
            return None;
        }
        bytes.copy_within(at + 2 * sector..at + 2 * sector + 2, sector * 512 - 2);
    }
    Some(bytes)
}

impl Reader<'_> {
    /// Bytes of a stream with some runs; zeros behind their end.
    pub fn at(&self, runs: &[(u64, Option<u64>)], offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let Some(((run, place), rest)) = runs.split_first() else { return bytes };
        let size = run * self.cluster;
        if offset >= size {
            return self.at(rest, offset - size, len);
        }
        let (front, behind) = bytes.split_at_mut(len.min((size - offset) as usize));
        if let Some(place) = place {
            self.disk.read_at(front, place * self.cluster + offset).unwrap();
        }
        behind.copy_from_slice(&self.at(rest, 0, behind.len()));
        bytes
    }

    /// A record, without its update sequence.
    pub fn record(&self, number: u64) -> Option<Vec<u8>> {
        whole(&self.at(&self.mft, number * self.record as u64, self.record), b"FILE")
    }

    /// The content of an attribute that no list is needed for.
    fn content(&self, record: &[u8], kind: u64, name: &str) -> Option<Vec<u8>> {
        let mut at = short(record, 20);
        while number(record, at, 4) != 0xffff_ffff {
            let attribute = &record[at..at + long(record, at + 4)];
            let text = &attribute[short(attribute, 10)..][..2 * usize::from(attribute[9])];
            if number(attribute, 0, 4) == kind && text.iter().step_by(2).eq(name.as_bytes()) {
                if attribute[8] == 0 {
                    return Some(attribute[short(attribute, 20)..][..long(attribute, 16)].to_vec());
                }
                let size = number(attribute, 48, 8) as usize;
                return Some(self.at(&runs(&attribute[short(attribute, 32)..]), 0, size));
            }
            at += attribute.len();
        }
        None
    }
}

impl<'d> Reader<'d> {
    /// The volume on a device.
    pub fn new(disk: &'d Disk) -> Self {
        let boot = disk.read_vec(0, 512).unwrap();
        let cluster = number(&boot, 11, 2) * u64::from(boot[13]);
        let record = match boot[64] as i8 {
            n @ 1.. => n as usize * cluster as usize,
            n => 1 << -n,
        };
        let first = vec![(1 << 40, Some(number(&boot, 48, 8)))];
        let mut reader = Self { disk, cluster, record, mft: first };
        reader.mft = reader.runs(0).1;
        reader
    }

    /// The size and the runs of a record's content.
    pub fn runs(&self, file: u64) -> (u64, Runs) {
        let record = self.record(file).unwrap();
        let at = attribute(&record, 0x80).unwrap();
        (number(&record, at + 48, 8), runs(&record[at + short(&record, at + 32)..]))
    }
}

impl Reader<'_> {
    /// A change of a block of a stream, which is open by a number, that begins at a byte of it.
    pub fn change(&self, stream: (u16, &Runs), at: u64, size: usize, place: (usize, usize)) -> Change {
        let end = (at + size as u64).div_ceil(self.cluster);
        let clusters = stream.1.iter().flat_map(|(len, lcn)| (0..*len).map(move |vcn| lcn.unwrap() + vcn));
        let vcn = at / self.cluster;
        Change {
            redo: (0, Vec::new()),
            undo: (0, Vec::new()),
            attribute: stream.0,
            vcn,
            lcns: clusters.skip(vcn as usize).take((end - vcn) as usize).collect(),
            block: ((at % self.cluster / 512) as u16, (size / 512) as u16),
            place: (place.0 as u16, place.1 as u16),
        }
    }

    /// A change of a record of the table, which is open by a number.
    pub fn on_record(
        &self,
        (open, record): (u16, u64),
        place: (usize, usize),
        redo: (u16, Vec<u8>),
        undo: (u16, Vec<u8>),
    ) -> Change {
        let size = self.record;
        Change { redo, undo, ..self.change((open, &self.mft), record * size as u64, size, place) }
    }
}

/// Where the log of a volume begins, if it is in one piece, and how long it is.
pub fn log(disk: &Disk) -> (u64, u64) {
    let reader = Reader::new(disk);
    let (size, runs) = reader.runs(2);
    assert_eq!(runs.len(), 1);
    (runs[0].1.unwrap() * reader.cluster, size)
}

impl Structures {
    /// Those of a volume.
    pub fn of(disk: &Disk) -> Self {
        let reader = Reader::new(disk);
        let table = reader.record(0).unwrap();
        let count = reader.runs(0).0 / reader.record as u64;
        let clusters = reader.content(&reader.record(6).unwrap(), 0x80, "").unwrap();
        let in_use = reader.content(&table, 0xb0, "").unwrap();
        let mut found = Self { records: BTreeMap::new(), nodes: BTreeMap::new(), clusters, in_use };
        for number in (0..count).filter(|number| *number != 2) {
            let Some(record) = reader.record(number).filter(|record| record[22] & 1 == 1) else { continue };
            for index in ["$I30", "$SDH", "$SII", "$O", "$Q", "$R"] {
                let Some(nodes) = reader.content(&record, 0xa0, index) else { continue };
                let used = reader.content(&record, 0xb0, index).unwrap();
                for (place, node) in nodes.chunks_exact(4096).enumerate() {
                    if used[place / 8] >> (place % 8) & 1 == 1 {
                        let node = whole(node, b"INDX").map_or_else(Vec::new, |node| {
                            [&node[8..16], &node[24 + long(&node, 24)..24 + long(&node, 28)]].concat()
                        });
                        found.nodes.insert((number, index.to_owned(), place), node);
                    }
                }
            }
            let used = long(&record, 24).saturating_sub(4).max(56);
            let parts = [&record[8..48], &record[56..used]].concat();
            found.records.insert(number, parts);
        }
        found
    }

    /// Records that differ, and indexes, by their records; bits that differ of the records and of the clusters.
    pub fn compared(&self, other: &Self) -> (Vec<u64>, Vec<u64>, u32, u32) {
        let differ = |number: &u64| self.records.get(number) != other.records.get(number);
        let mut records: Vec<u64> = self.records.keys().chain(other.records.keys()).copied().collect();
        records.sort_unstable();
        records.dedup();
        records.retain(differ);
        let keys = self.nodes.keys().chain(other.nodes.keys());
        let mut nodes: Vec<u64> =
            keys.filter(|key| self.nodes.get(*key) != other.nodes.get(*key)).map(|key| key.0).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let bits = |one: &[u8], other: &[u8]| {
            assert_eq!(one.len(), other.len());
            one.iter().zip(other).map(|(one, other)| (one ^ other).count_ones()).sum()
        };
        (records, nodes, bits(&self.in_use, &other.in_use), bits(&self.clusters, &other.clusters))
    }
}

//! What Hyper-V writes into a VHDX and qemu-img does not: larger sectors, parents, logs.
//!
//! Reference: \[MS-VHDX\], "Virtual Hard Disk v2 (VHDX) File Format".

use std::fs;
use std::path::{Path, PathBuf};

const MIB: usize = 1 << 20;
/// Where the copies of the header are, and of the table of regions.
const HEADERS: [usize; 2] = [64 << 10, 128 << 10];
const REGIONS: usize = 192 << 10;
/// The first four bytes of the identifiers of regions and items.
const BAT: u32 = 0x2dc2_7766;
const METADATA: u32 = 0x8b7c_a206;
const FILE_PARAMETERS: u32 = 0xcaa1_6737;
const LOGICAL_SECTOR_SIZE: u32 = 0x8141_bf1d;
const PARENT_LOCATOR: [u8; 16] =
    [0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c];
const VHDX_PARENT: [u8; 16] =
    [0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13];

/// An image that qemu-img made, to be changed.
pub struct Patch {
    path: PathBuf,
    /// All of the file.
    pub bytes: Vec<u8>,
    /// Where the table of blocks is.
    pub bat: usize,
    metadata: usize,
}

/// What one log entry does.
#[derive(Debug, Clone)]
pub enum Change {
    /// Writes 4 KiB at this offset of the file.
    Data(u64, Vec<u8>),
    /// Zeros so many bytes at this offset.
    Zero(u64, u64),
}

impl Patch {
    /// The image at `path`.
    ///
    /// # Panics
    /// If it is none.
    pub fn of(path: &Path) -> Self {
        let bytes = fs::read(path).expect("a VHDX");
        let region = |guid| {
            let entries = (REGIONS + 16..REGIONS + (64 << 10)).step_by(32);
            let entry = entries.into_iter().find(|at| le32(&bytes, *at) == guid).expect("a region");
            le64(&bytes, entry + 16) as usize
        };
        let (bat, metadata) = (region(BAT), region(METADATA));
        Self { path: path.to_owned(), bytes, bat, metadata }
    }

    /// Where the metadata are.
    pub fn metadata(&self) -> usize {
        self.metadata
    }

    /// The entry of the table of the metadata for an item, by the first bytes of its identifier.
    fn item(&self, guid: u32) -> usize {
        let mut entries = (self.metadata + 32..self.metadata + (64 << 10)).step_by(32);
        entries.find(|at| le32(&self.bytes, *at) == guid).expect("an item")
    }

    /// Where the bytes of that item are.
    fn value(&self, guid: u32) -> usize {
        self.metadata + le32(&self.bytes, self.item(guid) + 16) as usize
    }

    /// Sets the logical sector size.
    #[must_use]
    pub fn sector_size(mut self, size: u32) -> Self {
        let at = self.value(LOGICAL_SECTOR_SIZE);
        self.put(at, &size.to_le_bytes());
        self
    }

    /// Overwrites bytes.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// An entry of the table of blocks.
    pub fn entry(&self, number: usize) -> u64 {
        le64(&self.bytes, self.bat + number * 8)
    }

    /// An entry of a copy of the table.
    pub fn entry_of(&self, table: &[u8], number: usize) -> u64 {
        le64(table, number * 8)
    }

    /// Sets an entry of the table of blocks.
    pub fn set_entry(&mut self, number: usize, entry: u64) {
        self.put(self.bat + number * 8, &entry.to_le_bytes());
    }

    /// Appends a block that starts with `bytes`; gives where it is.
    pub fn append(&mut self, bytes: &[u8], len: usize) -> u64 {
        let at = self.bytes.len().next_multiple_of(MIB);
        self.bytes.resize(at + len, 0);
        self.put(at, bytes);
        at as u64
    }

    /// What changes with the content.
    pub fn data_write_guid(&self) -> [u8; 16] {
        let current = if self.sequence(HEADERS[0]) > self.sequence(HEADERS[1]) { 0 } else { 1 };
        let at = HEADERS[current] + 32;
        self.bytes[at..at + 16].try_into().expect("16 bytes")
    }

    fn sequence(&self, header: usize) -> u64 {
        le64(&self.bytes, header + 8)
    }

    /// Makes it a differencing disk, whose parent is at `relative` and has the content `linkage`.
    #[must_use]
    pub fn parent(mut self, linkage: [u8; 16], relative: &str) -> Self {
        let flags = self.value(FILE_PARAMETERS) + 4;
        self.put(flags, &2_u32.to_le_bytes());
        let keys = [
            ("parent_linkage", format!("{{{}}}", guid(&linkage))),
            ("relative_path", relative.to_owned()),
            ("absolute_win32_path", r"C:\nowhere\absent.vhdx".to_owned()),
        ];
        let mut locator = VHDX_PARENT.to_vec();
        locator.extend(0_u16.to_le_bytes());
        locator.extend((keys.len() as u16).to_le_bytes());
        let mut texts = Vec::new();
        let start = locator.len() + keys.len() * 12;
        for (key, value) in &keys {
            let mut add = |text: &str| {
                let at = start + texts.len();
                texts.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
                (at as u32, (text.encode_utf16().count() * 2) as u16)
            };
            let ((key, key_len), (value, value_len)) = (add(key), add(value));
            for field in [key, value] {
                locator.extend(field.to_le_bytes());
            }
            for field in [key_len, value_len] {
                locator.extend(field.to_le_bytes());
            }
        }
        locator.extend(texts);
        let count = u16::from_le_bytes([self.bytes[self.metadata + 10], self.bytes[self.metadata + 11]]);
        let entry = self.metadata + 32 + usize::from(count) * 32;
        let offset = 512 << 10;
        self.put(self.metadata + 10, &(count + 1).to_le_bytes());
        self.put(entry, &PARENT_LOCATOR);
        for (at, field) in [(16, offset as u32), (20, locator.len() as u32), (24, 4)] {
            self.put(entry + at, &field.to_le_bytes());
        }
        self.put(self.metadata + offset, &locator);
        self
    }

    /// Marks the log as one with entries of `guid`.
    pub fn set_log_guid(&mut self, guid: [u8; 16]) {
        for header in HEADERS {
            self.put(header + 48, &guid);
            self.seal(header, 4096);
        }
    }

    /// Where the log is, and its length.
    pub fn log(&self) -> (usize, usize) {
        (le64(&self.bytes, HEADERS[0] + 72) as usize, le32(&self.bytes, HEADERS[0] + 68) as usize)
    }

    /// Puts a log entry at `offset` of the log, which may go on at its start; gives its length.
    pub fn put_log(
        &mut self,
        offset: usize,
        guid: [u8; 16],
        number: u64,
        tail: usize,
        changes: &[Change],
    ) -> usize {
        let described = (64 + changes.len() * 32).next_multiple_of(4096);
        let mut entry = vec![0; described];
        let put = |entry: &mut Vec<u8>, at: usize, bytes: &[u8]| {
            entry[at..at + bytes.len()].copy_from_slice(bytes);
        };
        for (index, change) in changes.iter().enumerate() {
            let at = 64 + index * 32;
            let (signature, place) = match change {
                Change::Data(place, bytes) => {
                    put(&mut entry, at + 4, &bytes[4092..]);
                    put(&mut entry, at + 8, &bytes[..8]);
                    let (high, low) = ((number >> 32) as u32, number as u32);
                    entry.extend(
                        [&b"data"[..], &high.to_le_bytes(), &bytes[8..4092], &low.to_le_bytes()].concat(),
                    );
                    (b"desc", place)
                }
                Change::Zero(place, len) => {
                    put(&mut entry, at + 8, &len.to_le_bytes());
                    (b"zero", place)
                }
            };
            put(&mut entry, at, signature);
            put(&mut entry, at + 16, &place.to_le_bytes());
            put(&mut entry, at + 24, &number.to_le_bytes());
        }
        let (len, file) = (entry.len(), self.bytes.len() as u64);
        put(&mut entry, 0, b"loge");
        put(&mut entry, 8, &(len as u32).to_le_bytes());
        put(&mut entry, 12, &(tail as u32).to_le_bytes());
        put(&mut entry, 16, &number.to_le_bytes());
        put(&mut entry, 24, &(changes.len() as u32).to_le_bytes());
        put(&mut entry, 32, &guid);
        put(&mut entry, 48, &file.to_le_bytes());
        put(&mut entry, 56, &file.to_le_bytes());
        let sum = crc32c::crc32c(&entry);
        put(&mut entry, 4, &sum.to_le_bytes());
        let (log, ring) = self.log();
        for (index, sector) in entry.chunks(4096).enumerate() {
            self.put(log + (offset + index * 4096) % ring, sector);
        }
        len
    }

    /// Computes the checksum of a structure anew.
    pub fn seal(&mut self, at: usize, len: usize) {
        self.put(at + 4, &[0; 4]);
        let sum = crc32c::crc32c(&self.bytes[at..at + len]);
        self.put(at + 4, &sum.to_le_bytes());
    }

    /// Writes the image.
    ///
    /// # Panics
    /// If that fails.
    pub fn write(&self) {
        fs::write(&self.path, &self.bytes).expect("written");
    }
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// As Windows writes it: the first three groups are little-endian.
fn guid(bytes: &[u8; 16]) -> String {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let digits: String = order.iter().map(|at| format!("{:02x}", bytes[*at])).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

//! A writer of logs of version 2.0, for changes that no recorded volume has.

/// Bytes of a page.
const PAGE: usize = 4096;
/// Bytes of the head of a page, and of a record.
const HEAD: usize = 0x40;
const RECORD: usize = 0x30;
/// Pages in front of the ring: two for restarts, and copies.
const FRONT: usize = 34;

/// A change, as a record tells it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The operation that does it, and its data.
    pub redo: (u16, Vec<u8>),
    /// The operation that takes it back, and its data.
    pub undo: (u16, Vec<u8>),
    /// The number of the open attribute.
    pub attribute: u16,
    /// The first cluster in the attribute.
    pub vcn: u64,
    /// The clusters on the volume.
    pub lcns: Vec<u64>,
    /// Sectors from the first cluster to the block, and of the block.
    pub block: (u16, u16),
    /// Bytes to the attribute, and in it.
    pub place: (u16, u16),
}

/// A page of the ring that is being filled.
#[derive(Debug, Clone)]
struct Page {
    home: usize,
    bytes: Vec<u8>,
}

/// A log that is being written.
#[derive(Debug, Clone)]
pub struct LogWriter {
    size: usize,
    offset_bits: u32,
    lap: u64,
    /// Where in its page the next record is.
    within: usize,
    pages: Vec<Page>,
}

/// Puts the low bytes of a number at a place.
pub fn put(bytes: &mut [u8], at: usize, number: u64, len: usize) {
    bytes[at..at + len].copy_from_slice(&number.to_le_bytes()[..len]);
}

/// Protects a structure by an update sequence at a place in it.
pub fn protect(bytes: &mut [u8], at: usize) {
    let count = bytes.len() / 512 + 1;
    put(bytes, 4, at as u64, 2);
    put(bytes, 6, count as u64, 2);
    put(bytes, at, 0x1234, 2);
    for sector in 1..count {
        bytes.copy_within(sector * 512 - 2..sector * 512, at + 2 * sector);
        put(bytes, sector * 512 - 2, 0x1234, 2);
    }
}

impl Change {
    /// Its data in a record.
    fn data(&self) -> Vec<u8> {
        let mut data = vec![0; 0x20];
        let lcns = self.lcns.len().max(1) * 8;
        let redo = 0x20 + lcns;
        let undo = (redo + self.redo.1.len()).next_multiple_of(8);
        let numbers = [self.redo.0, self.undo.0, redo as u16, self.redo.1.len() as u16];
        let more = [undo as u16, self.undo.1.len() as u16, self.attribute, self.lcns.len() as u16];
        let places = [self.place.0, self.place.1, self.block.0, self.block.1];
        for (at, number) in numbers.into_iter().chain(more).chain(places).enumerate() {
            put(&mut data, 2 * at, number.into(), 2);
        }
        put(&mut data, 0x18, self.vcn, 8);
        data.resize(redo, 0);
        for (at, lcn) in self.lcns.iter().enumerate() {
            put(&mut data, 0x20 + 8 * at, *lcn, 8);
        }
        data.extend(&self.redo.1);
        data.resize(undo, 0);
        data.extend(&self.undo.1);
        data
    }

    /// An operation without a page.
    pub fn control(redo: u16, attribute: u16, data: Vec<u8>) -> Self {
        let (undo, lcns) = ((0, Vec::new()), Vec::new());
        Self { redo: (redo, data), undo, attribute, vcn: 0, lcns, block: (0, 0), place: (0, 0) }
    }
}

impl LogWriter {
    /// A log of so many bytes, of which the first record is in a page of the ring.
    pub fn new(size: usize, page: usize) -> Self {
        let offset_bits = (size / 8).next_power_of_two().ilog2();
        let mut log = Self { size, offset_bits, lap: 7, within: HEAD, pages: Vec::new() };
        log.begin(page * PAGE);
        log
    }

    fn begin(&mut self, mut home: usize) {
        if home >= self.size {
            home = FRONT * PAGE;
            self.lap += 1;
        }
        let mut bytes = vec![0; PAGE];
        bytes[..4].copy_from_slice(b"RCRD");
        put(&mut bytes, 0x14, 1, 2);
        put(&mut bytes, 0x16, 1, 2);
        self.pages.push(Page { home, bytes });
        self.within = HEAD;
    }

    fn next_page(&mut self) {
        let home = self.pages.last().unwrap().home;
        self.begin(home + PAGE);
    }

    /// Writes a record.
    fn record(&mut self, kind: u32, transaction: u32, last: u64, flags: u16, data: &[u8]) -> u64 {
        let home = self.pages.last().unwrap().home;
        let lsn = (self.lap << self.offset_bits) | ((home + self.within) as u64 / 8);
        let mut head = vec![0; RECORD];
        put(&mut head, 0, lsn, 8);
        put(&mut head, 8, last, 8);
        put(&mut head, 16, last, 8);
        put(&mut head, 24, data.len() as u64, 4);
        put(&mut head, 32, kind.into(), 4);
        put(&mut head, 36, transaction.into(), 4);
        put(&mut head, 40, flags.into(), 2);
        let mut rest = &*[&head, data].concat();
        loop {
            let len = rest.len().min(PAGE - self.within);
            let page = &mut self.pages.last_mut().unwrap().bytes;
            page[self.within..self.within + len].copy_from_slice(&rest[..len]);
            put(page, 8, lsn, 8);
            self.within += len;
            rest = &rest[len..];
            if rest.is_empty() {
                break;
            }
            self.next_page();
        }
        self.within = self.within.next_multiple_of(8);
        let within = self.within as u64;
        let page = &mut self.pages.last_mut().unwrap().bytes;
        put(page, 0x10, 1, 4);
        put(page, 0x18, within, 2);
        put(page, 0x20, lsn, 8);
        if PAGE - self.within < RECORD {
            self.next_page();
        }
        lsn
    }

    /// Writes a change of a transaction, of which the last record is given.
    pub fn change(&mut self, transaction: u32, last: u64, change: &Change) -> u64 {
        self.record(1, transaction, last, 0, &change.data())
    }

    /// Writes a table, of entries at multiples of their size.
    pub fn table(&mut self, dump: u16, size: usize, entries: &[(usize, Vec<u8>)]) -> u64 {
        let count = entries.iter().map(|(at, _)| (at - 0x18) / size + 1).max().unwrap_or(0);
        let mut table = vec![0; 0x18 + count * size];
        put(&mut table, 0, size as u64, 2);
        put(&mut table, 2, count as u64, 2);
        put(&mut table, 4, entries.len() as u64, 2);
        for (at, entry) in entries {
            table[*at..at + entry.len()].copy_from_slice(entry);
            put(&mut table, *at, 0xffff_ffff, 4);
        }
        self.change(0x18, 0, &Change::control(dump, 0, table))
    }

    /// Writes a checkpoint, with where analysis begins, and the tables of open attributes, dirty pages and
    /// transactions.
    pub fn checkpoint(&mut self, start: u64, tables: [u64; 3]) -> u64 {
        let mut data = vec![0; 0x68];
        put(&mut data, 0, 1, 4);
        for (at, lsn) in [(8, start), (0x10, tables[0]), (0x20, tables[1]), (0x28, tables[2])] {
            put(&mut data, at, lsn, 8);
        }
        self.record(2, 0, 0, 0, &data)
    }

    /// The log, of which the last pages are only in copies.
    pub fn finish(mut self, checkpoint: u64, copies: usize) -> Vec<u8> {
        if self.within == HEAD {
            self.pages.pop();
        }
        let mut log = vec![0xff; self.size];
        let restart = self.restart(checkpoint);
        for at in [0, PAGE] {
            log[at..at + PAGE].copy_from_slice(&restart);
        }
        // The lap before left its pages in the ring.
        for home in (FRONT * PAGE..self.size).step_by(PAGE) {
            let lsn = (6 << self.offset_bits) | ((home + HEAD) as u64 / 8);
            let mut page = vec![0; PAGE];
            page[..4].copy_from_slice(b"RCRD");
            for (at, number, len) in [(8, lsn, 8), (0x10, 1, 4), (0x18, 0x400, 2), (0x20, lsn, 8)] {
                put(&mut page, at, number, len);
            }
            protect(&mut page, 0x28);
            log[home..home + PAGE].copy_from_slice(&page);
        }
        let in_place = self.pages.len() - copies.min(self.pages.len());
        for (number, mut page) in self.pages.into_iter().enumerate() {
            let copy = number.checked_sub(in_place);
            let at = copy.map_or(page.home, |copy| (2 + copy) * PAGE);
            if copy.is_some() {
                put(&mut page.bytes, 0x3c, page.home as u64, 4);
            }
            protect(&mut page.bytes, 0x28);
            log[at..at + PAGE].copy_from_slice(&page.bytes);
        }
        log
    }

    fn restart(&self, checkpoint: u64) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        page[..4].copy_from_slice(b"RSTR");
        let numbers =
            [(0x10, 4096, 4), (0x14, 4096, 4), (0x18, 0x30, 2), (0x1c, 2, 2), (0x30, checkpoint, 8)];
        let area = [(0x38, 1, 2), (0x3a, 0xffff, 2), (0x40, u64::from(64 - self.offset_bits), 4)];
        let sizes =
            [(0x44, 0xe0, 2), (0x46, 0x40, 2), (0x48, self.size as u64, 8), (0x54, 0x30, 2), (0x56, 0x40, 2)];
        let client =
            [(0x78, checkpoint, 8), (0x80, 0xffff_ffff, 4), (0x8c, 8, 4), (0x90, 0x0053_0046_0054_004e, 8)];
        for (at, number, len) in numbers.into_iter().chain(area).chain(sizes).chain(client) {
            put(&mut page, at, number, len);
        }
        protect(&mut page, 0x1e);
        page
    }
}

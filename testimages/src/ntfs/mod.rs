//! Volumes of NTFS: a reader of their structures, a writer of logs, and volumes with work pending in theirs.

pub mod log_writer;
pub mod structures;

use block::DiskMut;

use self::log_writer::{Change, LogWriter, protect, put};
use self::structures::{Reader, log, short};

/// The attributes that are open in the log: that of the records, and the bitmap of clusters.
const MFT: u16 = 0x18;
const BITMAP: u16 = 0x40;

/// Numbers of the operations.
mod operation {
    pub(super) const INITIALIZE: u16 = 0x02;
    pub(super) const SET_BITS: u16 = 0x15;
    pub(super) const CLEAR_BITS: u16 = 0x16;
    pub(super) const FORGET: u16 = 0x1b;
    pub(super) const OPEN: u16 = 0x1c;
}

/// Makes a volume what one is like whose power was cut: the records of all of its files are in the log alone, and
/// there is a transaction that was not over. Its log must be in one piece.
///
/// # Panics
/// If the volume cannot be read, or its log is too short.
pub fn interrupt(volume: &DiskMut) {
    let disk = volume.disk();
    let (start, size) = log(&disk);
    let reader = Reader::new(&disk);
    let mut log = LogWriter::new(usize::try_from(size).expect("a size of a log"), 34);
    let checkpoint = log.checkpoint(0, [0; 3]);
    for (slot, file) in [(MFT, 0), (BITMAP, 6)] {
        let mut entry = vec![0; 40];
        put(&mut entry, 0, 0xffff_ffff, 4);
        put(&mut entry, 8, 0x80, 4);
        put(&mut entry, 16, file, 6);
        log.change(MFT.into(), 0, &Change::control(operation::OPEN, slot, entry));
    }
    let records = reader.runs(0).0 / reader.record as u64;
    for number in 24..records {
        let Some(record) = reader.record(number).filter(|record| record[22] & 1 == 1) else { continue };
        let redo = (operation::INITIALIZE, record.clone());
        let place = reader.on_record((MFT, number), (0, 0), redo, (0, Vec::new()));
        let transaction = 0x40 + 40 * (number as u32 % 5);
        let last = log.change(transaction, 0, &place);
        log.change(transaction, last, &Change::control(operation::FORGET, 0, Vec::new()));
        let mut free = record;
        free[22] &= !1;
        put(&mut free, 8, 0, 8);
        let at = short(&free, 4);
        protect(&mut free, at);
        let place = place.lcns[0] * reader.cluster + u64::from(place.block.0) * 512;
        volume.write_at(&free, place).expect("a write");
    }
    // The first clusters are those of the boot sector, and in use.
    let bits = [0, 0, 0, 0, 2, 0, 0, 0].to_vec();
    let (redo, undo) = ((operation::CLEAR_BITS, bits.clone()), (operation::SET_BITS, bits));
    let bitmap = reader.runs(6).1;
    let change = reader.change((BITMAP, &bitmap), 0, 512, (0, 0));
    log.change(0x200, 0, &Change { redo, undo, ..change });
    volume.write_at(&log.finish(checkpoint, 2), start).expect("a write");
}

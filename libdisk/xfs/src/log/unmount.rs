//! Leaving the log clean: a last record that says so ("Log Operations", unmount record).

use block::DiskMut;
use vfs::Result;
use zerocopy::FromZeros;
use zerocopy::big_endian::{U32, U64};

use super::head::UNMOUNT;
use super::record::{LITTLE_ENDIAN, RawHeader, Record, VERSION_2};
use super::{BLOCK, Ends, Log, MAGIC, RECORD_MAX, WINDOW, next_cycle};
use crate::bytes::{index, put, put32};

/// `oh_clientid` of the log itself.
const LOG: u8 = 0xaa;
/// `magic` of the content, little-endian.
const CONTENT: u16 = 0x556e;
/// The least that `h_size` is.
const SIZE: u32 = 32 << 10;

impl Log {
    /// Writes an unmount record at the head of the log.
    pub(crate) fn write_unmount(&self, ends: &Ends, device: &DiskMut) -> Result<()> {
        // Records fill whole stripes, or sectors.
        let unit = self.sb.log_stripe_unit.max(self.sb.log_sector_size).max(BLOCK);
        if unit > RECORD_MAX || unit & BLOCK.saturating_sub(1) != 0 {
            return Err(self.corrupt(ends.head, format!("records fill stripes of {unit} bytes")));
        }
        let size = unit.max(SIZE);
        let headers = size.div_ceil(SIZE);
        let least = headers.saturating_add(1).saturating_mul(BLOCK);
        let len = least.next_multiple_of(unit).saturating_sub(headers.saturating_mul(BLOCK));

        let mut operation = vec![0; index(len)];
        put32(&mut operation, 0, 1)?;
        put32(&mut operation, 4, 8)?;
        put(&mut operation, 8, &[LOG, UNMOUNT])?;
        put(&mut operation, 12, &CONTENT.to_le_bytes())?;

        let mut header = self.header(ends.head, ends.cycle);
        header.prev_block = U32::new(ends.last.unwrap_or(u32::MAX));
        header.num_logops = U32::new(1);
        header.size = U32::new(size);
        let left = self.blocks.saturating_sub(ends.head);
        let record = Record::new(header, &operation, left)?.into_bytes();
        let mut at = ends.head;
        for block in record.chunks_exact(index(BLOCK)) {
            device.write_at(block, self.place(at))?;
            at = self.after(at, 1);
        }
        let cycle = if at <= ends.head { next_cycle(ends.cycle) } else { ends.cycle };
        self.forget_torn(at, cycle, device)
    }

    /// The header of an empty record.
    fn header(&self, block: u32, cycle: u32) -> RawHeader {
        let mut header = RawHeader::new_zeroed();
        let lsn = u64::from(cycle) << 32 | u64::from(block);
        header.magicno = U32::new(MAGIC);
        header.cycle = U32::new(cycle);
        header.version = U32::new(if self.version_2() { VERSION_2 } else { 1 });
        (header.lsn, header.tail_lsn) = (U64::new(lsn), U64::new(lsn));
        header.fmt = U32::new(LITTLE_ENDIAN);
        header.fs_uuid = self.sb.uuid();
        header
    }

    /// Records after the head may be there that were never finished: they must not look as if they were of
    /// this round.
    fn forget_torn(&self, head: u32, cycle: u32, device: &DiskMut) -> Result<()> {
        let span = WINDOW.min(self.blocks >> 1);
        let mut at = head;
        for found in self.cycles(head, span)? {
            let round = if at < head { cycle } else { cycle.wrapping_sub(1) };
            // In the first round nothing follows.
            if found != round {
                let block = if round == 0 { vec![0; index(BLOCK)] } else { self.stale(at, round) };
                device.write_at(&block, self.place(at))?;
            }
            at = self.after(at, 1);
        }
        Ok(())
    }

    fn stale(&self, block: u32, cycle: u32) -> Vec<u8> {
        zerocopy::IntoBytes::as_bytes(&self.header(block, cycle)).to_vec()
    }
}

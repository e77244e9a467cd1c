//! Logs of Windows 8.1 and later: entries, each with the pages of one write (regf specification, "New
//! format").

use std::cmp::Ordering;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{SECTOR, Writes, marvin};
use crate::base_block::BaseBlock;
use crate::cells::{index, narrow};
use crate::error::{Error, Result};

/// The head of an entry, up to the places of its pages.
#[derive(Debug, Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    magic: [u8; 4],
    size: U32,
    flags: U32,
    sequence: U32,
    bins_size: U32,
    pages: U32,
    /// Of what is behind the head.
    body_sum: U64,
    /// Of what is in front of it.
    head_sum: U64,
}

/// Bytes of it, and of what `head_sum` is of.
const HEAD: usize = 40;
const SUMMED: usize = 32;

/// One write.
#[derive(Debug)]
struct Entry<'l> {
    sequence: u32,
    bins_size: u32,
    flags: u32,
    pages: Vec<(u32, &'l [u8])>,
}

/// The writes of both logs that are newer than the hive, in their order.
pub(super) fn read<'l>(hive: &BaseBlock, logs: &[&'l [u8]]) -> Result<Option<Writes<'l>>> {
    let oldest = if hive.is_whole() { hive.secondary.get() } else { 0 };
    let mut both = Vec::new();
    let (mut left, mut torn) = (None, None);
    for log in logs {
        // A log that was never used holds nothing.
        let Ok(base) = BaseBlock::read(log) else { continue };
        if !base.is_whole() {
            return Err(Error::Log { offset: 0, why: "its base block is damaged".to_owned() });
        }
        let (entries, end) = entries(log, oldest);
        if let Some(first) = entries.first() {
            both.push((first.sequence, base, entries));
        } else if end.is_some() {
            // Its base block has the number of its first write.
            torn = Some(base.primary.get());
        }
        left = left.or(end);
    }
    both.sort_by(|(a, ..), (b, ..)| newer(*a, *b));
    let Some((_, newest, _)) = both.last() else {
        return match left {
            Some(why) => Err(Error::Log { offset: narrow64(SECTOR), why }),
            None => Ok(None),
        };
    };
    if let Some(lost) =
        torn.filter(|lost| both.first().is_some_and(|(first, ..)| newer(*lost, *first).is_lt()))
    {
        let why = format!("write {lost} was torn, and later ones need it");
        return Err(Error::Log { offset: narrow64(SECTOR), why });
    }
    // A base block that was torn is taken from the log.
    let mut base = if hive.is_whole() { *hive } else { *newest };
    let mut writes = Writes { base, pages: Vec::new(), count: 0, left };
    let mut last: Option<u32> = None;
    for entry in both.into_iter().flat_map(|(_, _, entries)| entries) {
        if last.is_some_and(|last| last.wrapping_add(1) != entry.sequence) {
            let why = format!("write {} follows on write {}", entry.sequence, last.unwrap_or_default());
            return Err(Error::Log { offset: narrow64(SECTOR), why });
        }
        last = Some(entry.sequence);
        writes.count = writes.count.saturating_add(1);
        base.bins_size = entry.bins_size.into();
        base.set_log_flags(entry.flags);
        writes.pages.extend(entry.pages);
    }
    let next = last.unwrap_or_default().wrapping_add(1);
    (base.primary, base.secondary) = (next.into(), next.into());
    writes.base = base;
    Ok(Some(writes))
}

fn narrow64(n: usize) -> u64 {
    u64::from(narrow(n))
}

/// The order of sequence numbers, which may run over.
fn newer(a: u32, b: u32) -> Ordering {
    if a == b {
        Ordering::Equal
    } else if a.wrapping_sub(b) < u32::MAX / 2 {
        Ordering::Greater
    } else {
        Ordering::Less
    }
}

/// The whole entries of a log from a number on, up to the first that does not follow; and why that was not
/// taken, if it looks like one.
fn entries(log: &[u8], oldest: u32) -> (Vec<Entry<'_>>, Option<String>) {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut at = SECTOR;
    let mut expected = None;
    while let Some(rest) = log.get(at..).filter(|rest| rest.starts_with(b"HvLE")) {
        let Some((entry, size)) = entry(rest) else {
            return (entries, Some(format!("the write at offset {at:#x} of a log was torn")));
        };
        // Behind the newest entry lie those of an older round.
        if expected.is_some_and(|expected| expected != entry.sequence) {
            break;
        }
        expected = Some(entry.sequence.wrapping_add(1));
        if newer(entry.sequence, oldest).is_ge() {
            entries.push(entry);
        }
        at = at.saturating_add(size);
    }
    (entries, None)
}

/// The entry at the start of some bytes, and its size, if it is whole.
fn entry(bytes: &[u8]) -> Option<(Entry<'_>, usize)> {
    let (head, _) = Head::read_from_prefix(bytes).ok()?;
    let size = index(head.size.get());
    let whole = bytes.get(..size).filter(|_| size >= SECTOR && size.is_multiple_of(SECTOR))?;
    let (summed, body) = (whole.get(..SUMMED)?, whole.get(HEAD..)?);
    if marvin::sum(summed) != head.head_sum.get() || marvin::sum(body) != head.body_sum.get() {
        return None;
    }
    let count = index(head.pages.get());
    let places = body.as_chunks::<8>().0.get(..count)?;
    let mut data = body.get(count.checked_mul(8)?..)?;
    let mut pages = Vec::new();
    for [a, b, c, d, e, f, g, h] in places {
        let (at, len) = (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]));
        let page;
        (page, data) = data.split_at_checked(index(len))?;
        pages.push((at, page));
    }
    let (sequence, bins_size, flags) = (head.sequence.get(), head.bins_size.get(), head.flags.get());
    Some((Entry { sequence, bins_size, flags, pages }, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_run_over() {
        assert_eq!(newer(1, u32::MAX), Ordering::Greater);
        assert_eq!((newer(3, 4), newer(4, 4)), (Ordering::Less, Ordering::Equal));
    }
}

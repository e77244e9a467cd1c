//! Items of what is to be done in transactions to come, and of what was done of it ("Extent Freeing Intent"
//! and the like).

use vfs::{FsError, Result};

use super::transaction::{Item, corrupt};
use crate::bytes::{index, le32, le64};

/// A run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PhysicalRun {
    /// A file-system block.
    pub(crate) start: u64,
    pub(crate) len: u32,
    /// `pe_flags`, of changes of the number of owners.
    pub(crate) flags: u32,
}

/// A run of blocks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MappedRun {
    /// An inode, or a number of those that are none.
    pub(crate) owner: u64,
    /// A file-system block.
    pub(crate) start: u64,
    /// The block of the file.
    pub(crate) offset: u64,
    pub(crate) len: u32,
    /// `me_flags`.
    pub(crate) flags: u32,
}

/// What is still to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Blocks become free space (EFI).
    Free(Vec<PhysicalRun>),
    /// The tree of owners is changed (RUI).
    Owners(Vec<MappedRun>),
    /// The tree of shared blocks is changed (CUI).
    Sharing(Vec<PhysicalRun>),
    /// The mapping of a file is changed (BUI).
    Mapping(Vec<MappedRun>),
    /// What we cannot finish, by name.
    Other(&'static str),
}

/// Which of the pairs of items, and the number that is in both.
pub(super) type Name = (u16, u64);

/// An item of one of the pairs.
#[derive(Debug)]
pub(super) enum Step {
    Begin(Name, Intent),
    Done(Name),
}

const FREE: u16 = 0x1236;
const OWNERS: u16 = 0x1240;
const SHARING: u16 = 0x1242;
const MAPPING: u16 = 0x1244;
const ATTRIBUTES: u16 = 0x1246;
const EXCHANGE: u16 = 0x1248;
/// The same three for the realtime section, which we refuse anyway.
const REALTIME: [u16; 3] = [0x124a, 0x124c, 0x124e];

// Places of the fields of all formats.
const COUNT_AT: usize = 4;
const ID_AT: usize = 8;
const RUNS_AT: usize = 16;

/// The step that an item is; `None` if it is none.
pub(super) fn step(item: &Item) -> Result<Option<Step>> {
    let bytes = item.format();
    let kind = item.kind()?;
    // Intents have even numbers, and what was done of them the next.
    let pair = kind & !1;
    let known = [FREE, OWNERS, SHARING, MAPPING, ATTRIBUTES, EXCHANGE];
    if REALTIME.contains(&pair) {
        return Err(FsError::unsupported("XFS with changes of its realtime section in the log"));
    }
    if !known.contains(&pair) {
        return Ok(None);
    }
    let name = (pair, le64(bytes, ID_AT)?);
    if kind != pair {
        return Ok(Some(Step::Done(name)));
    }
    let intent = match pair {
        FREE => Intent::Free(physical(bytes, false)?),
        OWNERS => Intent::Owners(mapped(bytes)?),
        SHARING => Intent::Sharing(physical(bytes, true)?),
        MAPPING => Intent::Mapping(mapped(bytes)?),
        ATTRIBUTES => Intent::Other("a change of extended attributes (ATTRI)"),
        _ => Intent::Other("an exchange of the contents of two files (XMI)"),
    };
    Ok(Some(Step::Begin(name, intent)))
}

/// The runs of a format, and the bytes that each takes.
fn runs(bytes: &[u8], least: usize) -> Result<(std::slice::ChunksExact<'_, u8>, usize)> {
    let count = index(le32(bytes, COUNT_AT)?);
    let runs = bytes.get(RUNS_AT..).unwrap_or_default();
    // 32-bit kernels leave the padding out.
    let len = runs.len().checked_div(count).unwrap_or_default();
    if len < least || len > 32 {
        return Err(corrupt("intent item", format!("{count} runs in {} bytes", runs.len())));
    }
    Ok((runs.chunks_exact(len), count))
}

fn physical(bytes: &[u8], flags: bool) -> Result<Vec<PhysicalRun>> {
    let (runs, count) = runs(bytes, 12)?;
    let run = |run: &[u8]| {
        let flags = if flags { le32(run, 12)? } else { 0 };
        Ok(PhysicalRun { start: le64(run, 0)?, len: le32(run, 8)?, flags })
    };
    runs.take(count).map(run).collect()
}

fn mapped(bytes: &[u8]) -> Result<Vec<MappedRun>> {
    let (runs, count) = runs(bytes, 32)?;
    let run = |run: &[u8]| {
        Ok(MappedRun {
            owner: le64(run, 0)?,
            start: le64(run, 8)?,
            offset: le64(run, 16)?,
            len: le32(run, 24)?,
            flags: le32(run, 28)?,
        })
    };
    runs.take(count).map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(format: Vec<u8>) -> Item {
        let mut item = Item::default();
        item.regions.push(format);
        item
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn extents_with_and_without_padding() {
        let head = [0x0001_1236, 2, 7, 0];
        let runs =
            vec![PhysicalRun { start: 5, len: 6, flags: 0 }, PhysicalRun { start: 8, len: 9, flags: 0 }];
        for body in [&[5, 0, 6, 0, 8, 0, 9, 0][..], &[5, 0, 6, 8, 0, 9]] {
            let Some(Step::Begin(name, intent)) = step(&item(words(&[&head[..], body].concat()))).unwrap()
            else {
                panic!("no intent");
            };
            assert_eq!((name, intent), ((0x1236, 7), Intent::Free(runs.clone())));
        }
        let done = step(&item(words(&[0x0001_1237, 2, 7, 0]))).unwrap();
        assert!(matches!(done, Some(Step::Done((0x1236, 7)))));
        // More runs than there are bytes, and none at all.
        assert!(step(&item(words(&[0x0001_1236, u32::MAX, 7, 0, 5, 0, 6]))).is_err());
        assert!(step(&item(words(&[0x0001_1236, 0, 7, 0]))).is_err());
        assert!(step(&item(words(&[0x0001_9999, 0, 7, 0]))).unwrap().is_none());
    }
}

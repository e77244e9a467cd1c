//! A folder of raw images that is asked as AWS is, in this process: the endpoint `file:///folder`.
//!
//! The snapshot `snap-…` is the file `snap-….img`, a volume of as many whole GiB as hold it; a block of
//! nothing but zeros was never written. Nothing is signed, sent or throttled, so a demonstration or a test
//! needs no network and no server.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::service::{Listed, Service};
use super::{BLOCK, BLOCK_LEN, MAX_BLOCKS};
use crate::fault::{Fault, FaultKind};
use crate::to_u64;

/// The scheme of an endpoint that is a folder.
const SCHEME: &str = "file://";
/// The most entries in one page, as of the service.
const PAGE: usize = 10_000;
/// Volumes are of whole GiB.
const BLOCKS_OF_A_GIB: u64 = (1 << 30) / BLOCK;

/// Images in a folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder that `endpoint` names, if it names one.
    pub(super) fn of_endpoint(endpoint: &str) -> Option<Self> {
        endpoint.strip_prefix(SCHEME).map(|path| Self(path.into()))
    }

    fn open(&self, snapshot: &str) -> Result<Image, Fault> {
        // The name becomes a part of a path.
        if snapshot.contains(['/', '\0']) {
            return Err(Fault::new(FaultKind::Invalid, "no name of a snapshot"));
        }
        let path = self.0.join(format!("{snapshot}.img"));
        let missing = |error: io::Error| {
            let kind =
                if error.kind() == ErrorKind::NotFound { FaultKind::NotFound } else { FaultKind::Access };
            Fault::new(kind, format!("{}: {error}", path.display()))
        };
        let file = File::open(&path).map_err(missing)?;
        let size = file.metadata().map_err(missing)?.len();
        let blocks = size.div_ceil(BLOCK).max(1).checked_next_multiple_of(BLOCKS_OF_A_GIB);
        match blocks.filter(|blocks| *blocks <= MAX_BLOCKS) {
            Some(blocks) => Ok(Image { file, size, blocks }),
            None => {
                Err(Fault::new(FaultKind::Protocol, format!("{}: a volume of {size} bytes", path.display())))
            }
        }
    }
}

/// An image, open.
struct Image {
    file: File,
    /// In bytes.
    size: u64,
    /// Of the volume.
    blocks: u64,
}

impl Image {
    /// Fills `buf` with block `index`; what lies past the end of the file is zero.
    fn read(&self, index: u64, buf: &mut [u8]) -> Result<(), Fault> {
        buf.fill(0);
        let start = index.saturating_mul(BLOCK);
        let there = usize::try_from(self.size.saturating_sub(start)).unwrap_or(BLOCK_LEN).min(buf.len());
        let (part, _) = buf.split_at_mut(there);
        self.file.read_exact_at(part, start).map_err(|error| Fault::new(FaultKind::Server, error.to_string()))
    }

    /// One page of the blocks from `from` on that are `wanted`, which is given the number and a buffer of a
    /// block.
    fn page(
        &self,
        from: u64,
        next: Option<String>,
        mut wanted: impl FnMut(u64, &mut [u8]) -> Result<bool, Fault>,
    ) -> Result<Listed, Fault> {
        let wrong = |_| Fault::new(FaultKind::Token, "no token of a page");
        let from = next.map_or(Ok(from), |next| next.parse().map_err(wrong))?;
        let mut page = Listed { volume_blocks: self.blocks, ..Listed::default() };
        let mut buf = vec![0; BLOCK_LEN];
        for index in from..self.size.div_ceil(BLOCK) {
            if !wanted(index, &mut buf)? {
                continue;
            }
            if page.blocks.len() == PAGE {
                page.next = Some(index.to_string());
                break;
            }
            // A block of zeros was never written.
            let token = if block::is_zero(&buf) { String::new() } else { index.to_string() };
            page.blocks.push((index, token));
        }
        Ok(page)
    }
}

impl Service for Folder {
    fn known(&self) -> bool {
        true
    }

    fn list(&self, snapshot: &str, from: u64, next: Option<String>) -> Result<Listed, Fault> {
        let image = self.open(snapshot)?;
        image.page(from, next, |index, buf| {
            image.read(index, buf)?;
            Ok(!block::is_zero(buf))
        })
    }

    fn changed(&self, first: &str, second: &str, from: u64, next: Option<String>) -> Result<Listed, Fault> {
        let (older, newer) = (self.open(first)?, self.open(second)?);
        if older.size != newer.size {
            return Err(Fault::new(FaultKind::Unrelated, format!("{first} and {second} differ in size")));
        }
        let mut before = vec![0; BLOCK_LEN];
        newer.page(from, next, |index, buf| {
            older.read(index, &mut before)?;
            newer.read(index, buf)?;
            Ok(before != buf)
        })
    }

    fn get(&self, snapshot: &str, index: u64, _token: &str, buf: &mut [u8]) -> Result<[u8; 32], Fault> {
        if to_u64(buf.len()) != BLOCK {
            return Err(Fault::new(FaultKind::Invalid, "only whole blocks are served"));
        }
        self.open(snapshot)?.read(index, buf)?;
        Ok(Sha256::digest(&*buf).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_goes_on_where_its_page_ended() {
        let blocks = to_u64(PAGE) + 100;
        let image = Image { file: tempfile::tempfile().unwrap(), size: blocks * BLOCK, blocks };
        let odd = |index, _: &mut [u8]| Ok(index % 2 == 1 || index > 100);
        let first = image.page(0, None, odd).unwrap();
        assert_eq!((first.blocks.len(), first.blocks[0].0), (PAGE, 1));
        let second = image.page(0, first.next.clone(), odd).unwrap();
        // Of the first hundred and one every other one is left out.
        assert_eq!((second.blocks.len(), second.next), (49, None));
        assert_eq!(second.blocks.first().map(|block| block.0), first.blocks.last().map(|block| block.0 + 1));
        assert_eq!(image.page(0, Some("x".into()), odd).unwrap_err().kind(), FaultKind::Token);
    }
}

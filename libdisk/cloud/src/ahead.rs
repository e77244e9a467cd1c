//! Reading ahead, for one reader that goes from front to back.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use block::{BlockRead, Disk, Extent, Result};

use crate::ebs::BLOCK;

/// What is read at once, in bytes: as many blocks as a snapshot fetches at once.
const WINDOW: u64 = 16 * BLOCK;

/// A device over a snapshot, or over what was made of it, whose reader takes a small piece at a time: each
/// answer of the service would be waited for alone. All of it must be wanted, as what is read ahead is paid
/// for.
#[derive(Debug)]
pub struct Ahead {
    base: Disk,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// What is here of the device from byte `at` on.
    fn from(&self, at: u64) -> &[u8] {
        let skip = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default()
    }
}

impl Ahead {
    /// Reads `base` ahead.
    pub fn new(base: Disk) -> Self {
        Self { base, window: Mutex::default() }
    }
}

impl BlockRead for Ahead {
    fn layer(&self) -> &'static str {
        self.base.layer()
    }

    fn size(&self) -> u64 {
        self.base.size()
    }

    fn sector_size(&self) -> u32 {
        self.base.sector_size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rest, mut at) = (buf, offset);
        while !rest.is_empty() {
            if window.from(at).is_empty() {
                let start = (at / BLOCK).saturating_mul(BLOCK);
                let len = WINDOW.min(self.base.size().saturating_sub(start));
                if len == 0 {
                    // Past the end: it says so.
                    return self.base.read_at(rest, at);
                }
                let mut bytes = std::mem::take(&mut window.bytes);
                bytes.resize(usize::try_from(len).unwrap_or(0), 0);
                self.base.read_at(&mut bytes, start)?;
                *window = Window { start, bytes };
            }
            let here = window.from(at);
            let (part, after) = rest.split_at_mut(here.len().min(rest.len()));
            let (here, _) = here.split_at(part.len());
            part.copy_from_slice(here);
            at = at.saturating_add(u64::try_from(part.len()).unwrap_or(0));
            rest = after;
        }
        Ok(())
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        self.base.extent_at(range)
    }
}

#[cfg(test)]
mod tests {
    use block::Memory;
    use block::testing::conformance;

    use super::*;

    #[test]
    fn it_behaves_as_every_device_does() {
        let mut bytes = vec![0; (WINDOW + 5 * BLOCK) as usize + 512 * 7];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        conformance::read(&Disk::new(Ahead::new(Disk::new(Memory::new(bytes.clone())))), &bytes);
    }
}

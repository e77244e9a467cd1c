//! GRUB 2 for BIOS: `boot.img` in the master boot record, `core.img` in the gap between it and the first
//! partition.
//!
//! Both are GPL and come from outside. The fields written into them are those that GRUB's own setup program
//! fills in; where they are is told by the images themselves, and by the GRUB manual, 2.12, "Images", 2023.

use block::{Error, Result};
use zerocopy::byteorder::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const LAYER: &str = "grub";
const SECTOR: usize = 512;
/// Where the code of `boot.img` ends, and the signature and partitions of the disk begin.
const CODE: usize = 440;
/// Where in `boot.img` the sector of `core.img` is named.
const CORE_SECTOR: usize = 0x5C;
/// Where in `boot.img` the drive to read from is; 0xFF: the one the BIOS started.
const DRIVE: usize = 0x64;
/// Where in `boot.img` a jump is that leaves the drive's number alone, and is to go: some BIOSes give a wrong
/// one.
const DRIVE_CHECK: usize = 0x66;
/// Where in `core.img` its first sector names the others.
const BLOCK_LIST: usize = SECTOR - 12;
/// Where the BIOS's memory takes them, as a real mode segment.
const SEGMENT: u16 = 0x820;

/// A run of sectors that the first one of `core.img` loads.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Run {
    start: U64,
    sectors: U16,
    segment: U16,
}

/// GRUB's two images, checked to be such.
#[derive(Clone, PartialEq, Eq)]
pub struct Grub {
    /// As long as the code may be.
    boot: Vec<u8>,
    /// Whole sectors.
    core: Vec<u8>,
}

impl Grub {
    /// From the files `boot.img` and `core.img`.
    ///
    /// # Errors
    /// `Corrupt` if they are not, `Unsupported` for a `core.img` that needs more than the 2047 sectors of the
    /// gap.
    pub fn new(boot_img: &[u8], core_img: &[u8]) -> Result<Self> {
        let boot = boot_img.get(..CODE).filter(|_| {
            boot_img.len() == SECTOR
                && boot_img.ends_with(&[0x55, 0xAA])
                && boot_img.windows(5).any(|text| text == b"GRUB ")
                && boot_img.get(DRIVE_CHECK) == Some(&0xEB)
        });
        let boot = boot.ok_or_else(|| Error::corrupt(LAYER, "boot.img is not GRUB's for i386-pc"))?;
        let run = core_img.get(BLOCK_LIST..).and_then(|rest| Run::read_from_prefix(rest).ok());
        if core_img.len() <= SECTOR || run.is_none_or(|(run, _)| run.segment.get() != SEGMENT) {
            let what = "core.img is not GRUB's for i386-pc, as grub-mkimage -O i386-pc makes it";
            return Err(Error::corrupt(LAYER, what));
        }
        let mut core = core_img.to_vec();
        core.resize(core.len().next_multiple_of(SECTOR), 0);
        let room = 2047_usize.saturating_mul(SECTOR);
        if core.len() > room {
            let what = format!("core.img has {} bytes, and {room} fit before the partition", core_img.len());
            return Err(Error::unsupported(LAYER, what));
        }
        Ok(Self { boot: boot.to_vec(), core })
    }

    /// Sectors that `core.img` takes.
    pub fn core_sectors(&self) -> usize {
        self.core.len().div_euclid(SECTOR)
    }

    /// The code of a master boot record that starts `core.img` from sector `at`, and what is to be there.
    pub(crate) fn installed(&self, at: u64) -> (Vec<u8>, Vec<u8>) {
        let (mut boot, mut core) = (self.boot.clone(), self.core.clone());
        put(&mut boot, CORE_SECTOR, &at.to_le_bytes());
        put(&mut boot, DRIVE, &[0xFF]);
        put(&mut boot, DRIVE_CHECK, &[0x90, 0x90]);
        let others = self.core_sectors().saturating_sub(1);
        let run = Run {
            start: at.saturating_add(1).into(),
            sectors: u16::try_from(others).unwrap_or(u16::MAX).into(),
            segment: SEGMENT.into(),
        };
        put(&mut core, BLOCK_LIST, run.as_bytes());
        (boot, core)
    }
}

impl std::fmt::Debug for Grub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grub({} sectors)", self.core_sectors())
    }
}

/// Writes `new` at `at`, as far as `bytes` goes.
fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    let place = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..new.len()));
    if let Some(place) = place {
        place.copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use block::ErrorKind;

    use super::*;

    /// What can be told from GRUB's images by [`Grub::new`], and no code.
    fn images(core_len: usize) -> (Vec<u8>, Vec<u8>) {
        let mut boot = vec![0; SECTOR];
        boot[..2].copy_from_slice(&[0xEB, 0x63]);
        boot[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0xEB, 5]);
        boot[0x180..0x185].copy_from_slice(b"GRUB ");
        boot[CODE..510].fill(0xEE);
        boot[510..].copy_from_slice(&[0x55, 0xAA]);
        let mut core = vec![0xCC; core_len];
        core[SECTOR - 2..SECTOR].copy_from_slice(&SEGMENT.to_le_bytes());
        (boot, core)
    }

    #[test]
    fn the_fields_are_filled_in_and_nothing_else_changes() {
        let (boot, core) = images(5 * SECTOR + 1);
        let grub = Grub::new(&boot, &core).unwrap();
        assert_eq!(grub.core_sectors(), 6);
        let (code, placed) = grub.installed(1);
        let changed: Vec<usize> = (0..CODE).filter(|&at| code[at] != boot[at]).collect();
        assert_eq!(changed, [0x5C, 0x64, 0x66, 0x67]);
        assert_eq!(
            (code.len(), &code[0x5C..0x68]),
            (CODE, &[1, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0, 0x90, 0x90][..])
        );
        assert_eq!(placed[0x1F4..0x200], [2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0x20, 8]);
        assert_eq!(
            (&placed[..0x1F4], &placed[SECTOR..5 * SECTOR]),
            (&core[..0x1F4], &core[SECTOR..5 * SECTOR])
        );
        assert_eq!(placed.len(), 6 * SECTOR);
    }

    #[test]
    fn what_is_not_grub_is_refused() {
        let (boot, core) = images(2000);
        for len in 0..SECTOR {
            assert_eq!(Grub::new(&boot[..len], &core).unwrap_err().kind(), ErrorKind::Corrupt);
            assert_eq!(Grub::new(&boot, &core[..len]).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        for (at, byte) in [(510, 0), (0x180, b'L'), (DRIVE_CHECK, 0x90)] {
            let mut other = boot.clone();
            other[at] = byte;
            assert_eq!(Grub::new(&other, &core).unwrap_err().kind(), ErrorKind::Corrupt, "{at}");
        }
        let mut other = core.clone();
        other[SECTOR - 1] = 0;
        assert_eq!(Grub::new(&boot, &other).unwrap_err().kind(), ErrorKind::Corrupt);
        let (boot, core) = images(2047 * SECTOR + 1);
        assert_eq!(Grub::new(&boot, &core).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(Grub::new(&boot, &core[..2047 * SECTOR]).unwrap().core_sectors(), 2047);
    }
}

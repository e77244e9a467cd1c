//! Members of ZFS pools: four labels of 256 KiB, two at each end.
//!
//! Reference: "ZFS On-Disk Specification", chapter 1, "Vdevs, Labels, and Boot Block".

use block::Result;

use super::head::{Piece, Volume};
use super::{Signature, SignatureKind, found};

const LABEL: u64 = 256 << 10;
/// In a label: the list of names and values, and the ring of uberblocks behind it.
const NAMES: u64 = 16 << 10;
const NAMES_LEN: u64 = 112 << 10;
const UBERBLOCKS: u64 = 128 << 10;
const MAGIC: u64 = 0x00ba_b10c;
/// More names are not looked at.
const MAX_NAMES: usize = 64;

pub(super) fn probe(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let end = volume.size() & !LABEL.wrapping_sub(1);
    let places = [Some(0), Some(LABEL), end.checked_sub(2 << 18), end.checked_sub(LABEL)];
    for place in places.into_iter().flatten() {
        let ring = volume.piece(place.saturating_add(UBERBLOCKS), LABEL.saturating_sub(UBERBLOCKS))?;
        let (blocks, _) = ring.0.as_chunks::<1024>();
        let is_uberblock = |block: &[u8; 1024]| {
            let magic = Piece(block.to_vec()).bytes(0);
            u64::from_le_bytes(magic) == MAGIC || u64::from_be_bytes(magic) == MAGIC
        };
        if blocks.iter().any(is_uberblock) {
            let (name, guid) = names(&volume.piece(place.saturating_add(NAMES), NAMES_LEN)?);
            return Ok(found(SignatureKind::Zfs, guid, name));
        }
    }
    Ok(None)
}

/// The name and the number of the pool, from a list in XDR.
fn names(list: &Piece) -> (Option<String>, Option<String>) {
    let (mut name, mut guid) = (None, None);
    let mut at = 12_usize;
    for _ in 0..MAX_NAMES {
        let field = |skip: usize| list.be32(at.saturating_add(skip));
        let [len, key_len] = [0, 8].map(|skip| usize::try_from(field(skip)).unwrap_or(0));
        if len == 0 {
            break;
        }
        let key = list.slice(at.saturating_add(12), key_len.min(64));
        // Behind the key, which is padded to four bytes: type, number of elements, and the value.
        let value = at.saturating_add(12).saturating_add(key_len.min(64).next_multiple_of(4));
        let content = value.saturating_add(8);
        match (key, list.be32(value)) {
            (b"name", 9) => {
                let len = usize::try_from(list.be32(content)).unwrap_or(0).min(256);
                name = list.text(content.saturating_add(4), len);
            }
            (b"pool_guid", 8) => guid = Some(list.be64(content).to_string()),
            _ => {}
        }
        at = at.saturating_add(len);
    }
    (name, guid)
}

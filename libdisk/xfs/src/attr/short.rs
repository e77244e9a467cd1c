//! Few and small attributes, inside the inode ("Short Form Attributes").

use vfs::Result;

use super::{Attribute, flag};
use crate::bytes::{byte, half, part};

const HEADER: usize = 4;
/// Bytes of an entry beside its name and value.
const FIXED: usize = 3;
/// Lengths are bytes.
const LEN_MAX: usize = 255;

pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Attribute>> {
    let mut attributes = Vec::new();
    let mut at = HEADER;
    for _ in 0..byte(bytes, 2)? {
        let name_len = usize::from(byte(bytes, at)?);
        let value_len = usize::from(byte(bytes, at.saturating_add(1))?);
        let flags = byte(bytes, at.saturating_add(2))?;
        let name = part(bytes, at.saturating_add(FIXED), name_len)?.to_vec();
        at = at.saturating_add(FIXED).saturating_add(name_len);
        let value = part(bytes, at, value_len)?.to_vec();
        at = at.saturating_add(value_len);
        if flags & flag::INCOMPLETE == 0 {
            attributes.push(Attribute { space: flags & flag::SPACES, name, value });
        }
    }
    Ok(attributes)
}

/// The bytes, if these can be stored so.
pub(super) fn encode(attributes: &[Attribute]) -> Option<Vec<u8>> {
    let count = u8::try_from(attributes.len()).ok()?;
    let mut bytes = vec![0, 0, count, 0];
    for Attribute { space, name, value } in attributes {
        if name.len() > LEN_MAX || value.len() > LEN_MAX {
            return None;
        }
        bytes.extend([u8::try_from(name.len()).ok()?, u8::try_from(value.len()).ok()?, *space]);
        bytes.extend(name);
        bytes.extend(value);
    }
    let total = half(bytes.len()).to_be_bytes();
    bytes.splice(..2, total);
    Some(bytes)
}

//! POSIX access control lists: stored shorter than the kernel shows them
//! ("ext4 disk layout: POSIX ACLs"; acl(5), `struct posix_acl_xattr_entry` of linux/posix_acl_xattr.h).

use vfs::{FsError, Result};

use crate::bytes::{le16, le32};

const STORED_VERSION: u32 = 1;
const SHOWN_VERSION: u32 = 2;
/// The number shown with an entry that has none.
const UNDEFINED: u32 = u32::MAX;

/// Only entries for a named user or group store a number.
fn is_named(tag: u16) -> bool {
    matches!(tag, 0x02 | 0x08)
}

/// From the stored form to what `getxattr` gives; `None` if it is not well formed.
pub(crate) fn shown(stored: &[u8]) -> Option<Vec<u8>> {
    if le32(stored, 0).ok()? != STORED_VERSION {
        return None;
    }
    let mut acl = SHOWN_VERSION.to_le_bytes().to_vec();
    let mut at = 4_usize;
    while at < stored.len() {
        let tag = le16(stored, at).ok()?;
        acl.extend(stored.get(at..at.checked_add(4)?)?);
        at = at.checked_add(4)?;
        let id = if is_named(tag) { le32(stored, at).ok()? } else { UNDEFINED };
        at = at.checked_add(if is_named(tag) { 4 } else { 0 })?;
        acl.extend(id.to_le_bytes());
    }
    Some(acl)
}

/// From what `setxattr` takes to the stored form.
pub(crate) fn stored(shown: &[u8]) -> Result<Vec<u8>> {
    let invalid = || FsError::Invalid("a POSIX ACL that is not well formed".into());
    let (version, entries) = shown.split_at_checked(4).ok_or_else(invalid)?;
    if le32(version, 0)? != SHOWN_VERSION || entries.len() & 7 != 0 {
        return Err(invalid());
    }
    let mut acl = STORED_VERSION.to_le_bytes().to_vec();
    for entry in entries.chunks_exact(8) {
        let len = if is_named(le16(entry, 0)?) { 8 } else { 4 };
        acl.extend(entry.iter().take(len));
    }
    Ok(acl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        // user::rw-, user:1000:r--, mask::r--, other::---
        let text = [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0];
        let disk = stored(&text).unwrap();
        assert_eq!(disk, [1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 4, 0, 0xe8, 3, 0, 0]);
        assert_eq!(shown(&disk).unwrap(), text);
        assert!(stored(&text[..19]).is_err());
        assert_eq!(shown(&disk[..15]), None);
    }
}

//! POSIX access control lists: stored in another form than the kernel shows them ("POSIX ACLs"; acl(5)).

use vfs::{FsError, Result};

use crate::bytes::{be16, be32, index, le16, le32, word};

const SHOWN_VERSION: u32 = 2;

/// Names as shown and as stored.
const NAMES: [(&[u8], &[u8]); 2] =
    [(b"system.posix_acl_access", b"SGI_ACL_FILE"), (b"system.posix_acl_default", b"SGI_ACL_DEFAULT")];

pub(super) fn stored_name(shown: &[u8]) -> Option<&'static [u8]> {
    NAMES.iter().find(|(name, _)| *name == shown).map(|(_, stored)| *stored)
}

pub(super) fn shown_name(stored: &[u8]) -> Option<&'static [u8]> {
    NAMES.iter().find(|(_, name)| *name == stored).map(|(shown, _)| *shown)
}

pub(super) fn is_stored_name(name: &[u8]) -> bool {
    shown_name(name).is_some()
}

/// From the stored form, big-endian entries of 12 bytes after their count, to what `getxattr` gives; `None`
/// if it is not well formed.
pub(super) fn shown(stored: &[u8]) -> Option<Vec<u8>> {
    let (count, entries) = stored.split_at_checked(4)?;
    let count = index(be32(count, 0).ok()?);
    let mut acl = SHOWN_VERSION.to_le_bytes().to_vec();
    for entry in entries.get(..count.checked_mul(12)?)?.chunks_exact(12) {
        let tag = u16::try_from(be32(entry, 0).ok()?).ok()?;
        acl.extend(tag.to_le_bytes());
        acl.extend(be16(entry, 8).ok()?.to_le_bytes());
        acl.extend(be32(entry, 4).ok()?.to_le_bytes());
    }
    Some(acl)
}

/// From what `setxattr` takes, little-endian entries of 8 bytes after a version, to the stored form.
pub(super) fn stored(shown: &[u8]) -> Result<Vec<u8>> {
    let invalid = || FsError::Invalid("a POSIX ACL that is not well formed".into());
    let (version, entries) = shown.split_at_checked(4).ok_or_else(invalid)?;
    if version != SHOWN_VERSION.to_le_bytes() || entries.len() & 7 != 0 {
        return Err(invalid());
    }
    let count = entries.len() >> 3;
    let mut acl = word(count).to_be_bytes().to_vec();
    for entry in entries.chunks_exact(8) {
        let (tag, permissions, id) = (le16(entry, 0)?, le16(entry, 2)?, le32(entry, 4)?);
        acl.extend(u32::from(tag).to_be_bytes());
        acl.extend(id.to_be_bytes());
        acl.extend(permissions.to_be_bytes());
        acl.extend([0, 0]);
    }
    Ok(acl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        // user::rw-, user:1000:r--
        let text = [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0];
        let disk = stored(&text).unwrap();
        let first = [0, 0, 0, 1, 255, 255, 255, 255, 0, 6, 0, 0];
        let second = [0, 0, 0, 2, 0, 0, 3, 0xe8, 0, 4, 0, 0];
        assert_eq!(disk, [&[0, 0, 0, 2][..], &first, &second].concat());
        assert_eq!(shown(&disk).unwrap(), text);
        assert!(stored(&text[..19]).is_err());
        assert_eq!(shown(&disk[..15]), None);
    }
}

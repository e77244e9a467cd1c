//! Records by hand, for images that no real `cpio` would write.

pub(crate) const FILE: u32 = 0o100_644;
pub(crate) const DIRECTORY: u32 = 0o040_755;
pub(crate) const LINK: u32 = 0o120_777;

/// A record; the inode number also tells hard links.
pub(crate) fn record(inode: u32, mode: u32, nlink: u32, path: &str, data: &[u8]) -> Vec<u8> {
    let fields = [inode, mode, 0, 0, nlink, 0, data.len() as u32, 0, 0, 0, 0, path.len() as u32 + 1, 0];
    let mut bytes = b"070701".to_vec();
    bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
    bytes.extend(path.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An archive of records of one link each, with its trailer.
pub(crate) fn archive(records: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let numbered = records.iter().zip(1..);
    let mut bytes: Vec<u8> =
        numbered.flat_map(|((path, mode, data), inode)| record(inode, *mode, 1, path, data)).collect();
    bytes.extend(trailer());
    bytes
}

pub(crate) fn trailer() -> Vec<u8> {
    record(0, 0, 1, "TRAILER!!!", b"")
}

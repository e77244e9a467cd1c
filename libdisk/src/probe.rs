//! What a file is, by its magic numbers at both ends.

use std::fmt;
use std::str::FromStr;

use block::{Disk, Error, ErrorKind, Result};

/// The formats of image files that we open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// VHD, fixed.
    Vhd,
    /// qcow2, versions 2 and 3.
    Qcow2,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Vhd => "vhd",
            Self::Qcow2 => "qcow2",
        })
    }
}

/// The text is no name of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a format: raw, vhd and qcow2 are")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "raw" => Ok(Self::Raw),
            "vhd" | "vpc" => Ok(Self::Vhd),
            "qcow2" => Ok(Self::Qcow2),
            _ => Err(UnknownFormat),
        }
    }
}

/// Formats that are known by their first bytes, and not opened.
const REFUSED: [(usize, &[u8], &str); 14] = [
    (0, b"vhdxfile", "a VHDX image"),
    (0, b"KDMV", "a VMDK image"),
    (0, b"COWD", "a VMDK image (COWD)"),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor"),
    (0x40, &[0x7f, 0x10, 0xda, 0xbe], "a VDI image"),
    (0, b"WithoutFreeSpace", "a Parallels image"),
    (0, b"WithouFreSpacExt", "a Parallels image"),
    (0, b"QED\0", "a QED image"),
    (0, &[0x1f, 0x8b, 8], "compressed with gzip"),
    (0, &[0xfd, b'7', b'z', b'X', b'Z', 0], "compressed with xz"),
    (0, &[0x28, 0xb5, 0x2f, 0xfd], "compressed with zstd"),
    (0, b"BZh", "compressed with bzip2"),
    (0, b"PK\x03\x04", "a zip archive"),
    (257, b"ustar", "a tar archive (an OVA, perhaps)"),
];

/// Tells the format of an image file.
///
/// A fixed VHD has nothing but a footer, so the end is looked at as well. A file with the marks of a format that we do not
/// open is refused by name, and one with the marks of two formats, too: it is never taken for raw. Probing decides how the
/// bytes are read, and a guest may have written them: where the format is known, say so instead.
///
/// # Errors
/// `Unsupported` for known formats that are not opened, `Refused` for contradictions, and what the device reports.
pub fn probe(file: &Disk) -> Result<Format> {
    let len = file.size().min(512);
    let head = file.read_vec(0, usize::try_from(len).unwrap_or(0))?;
    let mut footer = vec![0; 8];
    if let Some(end) = file.size().checked_sub(512) {
        file.read_at(&mut footer, end)?;
    }

    let qcow2 = head.starts_with(b"QFI\xfb");
    let vhd = footer == b"conectix" || head.starts_with(b"conectix");
    let other =
        REFUSED.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    match (qcow2, vhd, other) {
        (false, true, Some((_, _, name))) => Err(ambiguous(format!("a VHD and {name}"))),
        (true, true, _) => Err(ambiguous("qcow2 at its start and VHD at its end")),
        (_, _, Some((_, _, name))) => Err(Error::unsupported("probe", format!("the file is {name}"))),
        (true, false, None) => Ok(Format::Qcow2),
        (false, true, None) => Ok(Format::Vhd),
        (false, false, None) => Ok(Format::Raw),
    }
}

fn ambiguous(what: impl fmt::Display) -> Error {
    let text = format!("the file looks like {what}; say which it is, as in raw:disk.img");
    Error::new(ErrorKind::Refused, "probe", text)
}

#[cfg(test)]
mod tests {
    use block::Memory;

    use super::*;

    fn with(marks: &[(usize, &[u8])]) -> Result<Format> {
        let mut bytes = vec![0; 4096];
        for (at, magic) in marks {
            bytes[*at..*at + magic.len()].copy_from_slice(magic);
        }
        probe(&Disk::new(Memory::new(bytes)))
    }

    #[test]
    fn magic_numbers_at_both_ends() {
        assert_eq!(with(&[]).unwrap(), Format::Raw);
        assert_eq!(with(&[(0, b"QFI\xfb")]).unwrap(), Format::Qcow2);
        assert_eq!(with(&[(4096 - 512, b"conectix")]).unwrap(), Format::Vhd);
        assert_eq!(with(&[(0, b"conectix")]).unwrap(), Format::Vhd);
    }

    #[test]
    fn never_raw_when_it_is_something_else() {
        for (at, magic, name) in REFUSED {
            let error = with(&[(at, magic)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(name), "{error}");
        }
        for start in [&b"QFI\xfb"[..], b"vhdxfile"] {
            let error = with(&[(0, start), (4096 - 512, b"conectix")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
        }
    }

    #[test]
    fn tiny_files_are_raw() {
        for size in [0, 1, 7, 511, 512] {
            assert_eq!(probe(&Disk::new(Memory::new(vec![0; size]))).unwrap(), Format::Raw);
        }
    }
}

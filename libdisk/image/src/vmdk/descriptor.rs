//! The descriptor: a text that says of which extents a disk is made, and on which other disk it stands.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use block::{Error, Result};

use super::LAYER;
use super::ondisk::SECTOR;

/// The longest descriptor, in bytes: that of 2 TiB in pieces of 2 GiB has 50 KiB.
pub(super) const MAX_LEN: u64 = 1 << 20;
/// More extents are not opened: each is a file.
const MAX_EXTENTS: usize = 4096;
/// `parentCID` of a disk that stands on no other.
const NO_PARENT: u32 = 0xffff_ffff;

/// What a descriptor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Changes with each opening for writing.
    pub(super) cid: Option<u32>,
    /// The disk that this one stands on.
    pub(super) parent: Option<Parent>,
    /// `createType`: "monolithicSparse".
    pub(super) create_type: String,
    /// In the order of the disk.
    pub(super) extents: Vec<Extent>,
}

/// The disk below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    /// What its `CID` has to be.
    pub(super) cid: u32,
    /// `parentFileNameHint`.
    pub(super) name: Option<OsString>,
}

/// A piece of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its size in bytes.
    pub(super) size: u64,
    /// Where it is.
    pub(super) place: Place,
}

/// Where an extent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: zeros.
    Zero,
    /// In a file as it is, from this byte on.
    Flat { name: OsString, offset: u64 },
    /// In a file that is a sparse extent.
    Sparse { name: OsString },
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt(LAYER, what)
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

impl Descriptor {
    /// Reads a descriptor, which may be padded with zeros.
    ///
    /// # Errors
    /// `Unsupported` for extents of other kinds, by name; `Corrupt`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let (mut cid, mut parent_cid, mut hint) = (None, NO_PARENT, None);
        let (mut create_type, mut extents) = (None, Vec::new());
        for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if let Some(extent) = Extent::parse(line)? {
                if extents.len() >= MAX_EXTENTS {
                    return Err(Error::unsupported(LAYER, format!("more than {MAX_EXTENTS} extents")));
                }
                extents.push(extent);
                continue;
            }
            let Some(at) = line.iter().position(|byte| *byte == b'=') else {
                return Err(corrupt(format!("the descriptor has a line {:?}", shown(line))));
            };
            let (key, value) = (line.get(..at).unwrap_or_default(), line.get(at..).unwrap_or_default());
            let value = unquoted(value.get(1..).unwrap_or_default());
            match key.trim_ascii().to_ascii_lowercase().as_slice() {
                b"version" if !matches!(value, b"1" | b"2" | b"3") => {
                    return Err(Error::unsupported(
                        LAYER,
                        format!("descriptors of version {}", shown(value)),
                    ));
                }
                b"cid" => cid = Some(content_id(value)?),
                b"parentcid" => parent_cid = content_id(value)?,
                b"parentfilenamehint" => hint = Some(OsString::from_vec(value.to_vec())),
                b"createtype" => create_type = Some(shown(value)),
                _ => {}
            }
        }
        let Some(create_type) = create_type else {
            return Err(corrupt("the descriptor has no createType"));
        };
        let parent = (parent_cid != NO_PARENT).then_some(Parent { cid: parent_cid, name: hint });
        Ok(Self { cid, parent, create_type, extents })
    }
}

impl Extent {
    /// Reads a line like `RW 4192256 SPARSE "disk-s001.vmdk"`; `None` if it is no such line.
    fn parse(line: &[u8]) -> Result<Option<Self>> {
        let (access, rest) = word(line);
        if !matches!(access, b"RW" | b"RDONLY" | b"NOACCESS") {
            return Ok(None);
        }
        let wrong = || corrupt(format!("the descriptor has an extent {:?}", shown(line)));
        if access == b"NOACCESS" {
            return Err(Error::unsupported(LAYER, "an extent that nobody may read (NOACCESS)"));
        }
        let (sectors, rest) = word(rest);
        let bytes = |sectors: &[u8]| {
            let sectors: u64 = str::from_utf8(sectors).ok()?.parse().ok()?;
            sectors.checked_mul(SECTOR).filter(|bytes| i64::try_from(*bytes).is_ok())
        };
        let size = bytes(sectors).ok_or_else(wrong)?;
        let (kind, rest) = word(rest);
        if kind == b"ZERO" {
            return Ok(Some(Self { size, place: Place::Zero }));
        }
        let refused = match kind {
            b"FLAT" | b"VMFS" | b"SPARSE" => None,
            b"VMFSSPARSE" => Some("a sparse extent of ESX (VMFSSPARSE, COWD)"),
            b"SESPARSE" => Some("a space-efficient sparse extent of ESX (SESPARSE)"),
            b"VMFSRDM" | b"VMFSRAW" => Some("a raw device of ESX (VMFSRDM)"),
            _ => return Err(Error::unsupported(LAYER, format!("an extent of type {}", shown(kind)))),
        };
        if let Some(refused) = refused {
            let what = format!("{refused}: export the disk as OVF or streamOptimized, say with ovftool");
            return Err(Error::unsupported(LAYER, what));
        }
        let mut parts = rest.splitn(3, |byte| *byte == b'"');
        let (Some(_), Some(name), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let name = OsString::from_vec(name.to_vec());
        if kind == b"SPARSE" {
            return Ok(Some(Self { size, place: Place::Sparse { name } }));
        }
        let offset = match word(rest).0 {
            b"" => 0,
            sectors => bytes(sectors).ok_or_else(wrong)?,
        };
        Ok(Some(Self { size, place: Place::Flat { name, offset } }))
    }
}

/// The first word, and what follows it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or_default()
}

fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

fn content_id(value: &[u8]) -> Result<u32> {
    let parsed = str::from_utf8(value).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
    parsed.ok_or_else(|| corrupt(format!("the descriptor has a content ID {:?}", shown(value))))
}

#[cfg(test)]
mod tests {
    use block::ErrorKind;

    use super::*;

    #[test]
    fn extents_of_every_kind() {
        let text = b"# Disk DescriptorFile\r\nversion=1\nCID=fffffffe\nparentCID=ffffffff\r\n\
            createType=\"custom\"\n\n# Extent description\nRW 63 FLAT \"a b-flat.vmdk\" 0\nRW 8 ZERO\n\
            RDONLY 16 SPARSE \"s 1.vmdk\"\n  RW 4 VMFS \"f\"\nRW 4 FLAT \"f\" 7\n\n# The Disk Data Base\n\
            ddb.adapterType = \"ide\"\nddb.comment = \"RW = x\"\n\0\0\0garbage";
        let found = Descriptor::parse(text).unwrap();
        let flat = |name: &str, offset| Place::Flat { name: name.into(), offset };
        let places = [
            (63, flat("a b-flat.vmdk", 0)),
            (8, Place::Zero),
            (16, Place::Sparse { name: "s 1.vmdk".into() }),
            (4, flat("f", 0)),
            (4, flat("f", 7 * 512)),
        ];
        let extents = places.map(|(sectors, place)| Extent { size: sectors * 512, place });
        assert_eq!(found.extents, extents);
        assert_eq!((found.cid, found.parent, &*found.create_type), (Some(0xffff_fffe), None, "custom"));
    }

    #[test]
    fn what_is_not_read_is_refused_by_name() {
        for (line, kind, text) in [
            ("RW 8 VMFSSPARSE \"x\"", ErrorKind::Unsupported, "COWD"),
            ("RW 8 SESPARSE \"x\"", ErrorKind::Unsupported, "SESPARSE"),
            ("RW 8 VMFSRDM \"x\"", ErrorKind::Unsupported, "VMFSRDM"),
            ("RW 8 NEW \"x\"", ErrorKind::Unsupported, "type NEW"),
            ("NOACCESS 8 FLAT \"x\" 0", ErrorKind::Unsupported, "NOACCESS"),
            ("RW 36028797018963968 ZERO", ErrorKind::Corrupt, "an extent"),
            ("RW -1 ZERO", ErrorKind::Corrupt, "an extent"),
            ("RW 8 FLAT x 0", ErrorKind::Corrupt, "an extent"),
            ("RW 8 FLAT \"x\" y", ErrorKind::Corrupt, "an extent"),
            ("garbage", ErrorKind::Corrupt, "a line"),
            ("CID=xyz", ErrorKind::Corrupt, "content ID"),
            ("version=4", ErrorKind::Unsupported, "version 4"),
        ] {
            let error = Descriptor::parse(format!("createType=x\n{line}\n").as_bytes()).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(Descriptor::parse(b"").unwrap_err().to_string().contains("createType"));
    }
}

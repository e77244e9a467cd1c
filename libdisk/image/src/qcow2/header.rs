//! The header with its meaning.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use block::{Disk, Error, Result};
use zerocopy::FromBytes;

use super::snapshot::Snapshot;
use super::{LAYER, ondisk};
use crate::backing::Reference;

/// The longest name that the format allows.
const MAX_NAME: u32 = 1023;
/// QEMU's own limit.
const MAX_L1_LEN: u64 = 32 << 20;
/// Extensions beyond that length are not believed.
const MAX_HEADER_AREA: u64 = 64 << 10;

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// Raw deflate.
    Zlib,
    Zstd,
}

/// A header whose numbers fit together and into the file.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) size: u64,
    pub(super) compression: Compression,
    pub(super) extended_l2: bool,
    pub(super) dirty: bool,
    /// How many internal snapshots there are, and where their table is.
    pub(super) snapshots: u32,
    pub(super) snapshots_offset: u64,
    pub(super) backing: Option<Reference>,
    /// Guest data are in another file; the name may still be missing.
    pub(super) data_file: Option<Option<OsString>>,
    l1_table_offset: u64,
    l1_entries: u64,
}

fn corrupt(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::corrupt(LAYER, what)
}

impl Header {
    pub(super) fn read(file: &Disk) -> Result<Self> {
        let len = usize::try_from(file.size().min(MAX_HEADER_AREA)).unwrap_or(0);
        let area = file.read_vec(0, len)?;
        let (raw, rest) = ondisk::Header::read_from_prefix(&area)
            .map_err(|_| corrupt("the file is shorter than a header"))?;
        if raw.magic != ondisk::MAGIC {
            return Err(corrupt("the file does not start with the magic number"));
        }
        let version = raw.version.get();
        let (v3, compression_type) = match version {
            2 => (None, 0),
            3 => {
                let (v3, rest) = ondisk::HeaderV3::read_from_prefix(rest)
                    .map_err(|_| corrupt("the header is cut short"))?;
                (Some(v3), rest.first().copied().unwrap_or(0))
            }
            other => return Err(Error::unsupported(LAYER, format!("version {other}"))),
        };
        let header_len = v3.map_or(72, |v3| v3.header_length.get());
        if version == 3 && !(104..=4096).contains(&header_len) {
            return Err(corrupt(format!("the header claims to be {header_len} bytes long")));
        }
        let extensions = Extensions::read(&area, header_len)?;
        let features = v3.map_or(0, |v3| v3.incompatible_features.get());
        check_features(features, &extensions)?;

        let cluster_bits = raw.cluster_bits.get();
        if !(9..=21).contains(&cluster_bits) {
            return Err(corrupt(format!("clusters of 2^{cluster_bits} bytes: 2^9 to 2^21 are possible")));
        }
        let extended_l2 = features & ondisk::EXTENDED_L2 != 0;
        if extended_l2 && cluster_bits < 14 {
            return Err(corrupt("extended L2 entries need clusters of 16 KiB or more"));
        }
        match raw.crypt_method.get() {
            0 => {}
            1 => return Err(Error::unsupported(LAYER, "encryption (AES)")),
            2 => return Err(Error::unsupported(LAYER, "encryption (LUKS)")),
            other => return Err(Error::unsupported(LAYER, format!("encryption method {other}"))),
        }
        let has_type = features & ondisk::COMPRESSION_TYPE != 0 && header_len > 104;
        let compression = match if has_type { compression_type } else { 0 } {
            0 => Compression::Zlib,
            ondisk::ZSTD => Compression::Zstd,
            other => return Err(Error::unsupported(LAYER, format!("compression type {other}"))),
        };
        let size = raw.size.get();
        if i64::try_from(size).is_err() {
            return Err(corrupt(format!("a disk of {size} bytes")));
        }
        let external = features & ondisk::EXTERNAL_DATA != 0;
        let mut header = Self {
            version,
            cluster_bits,
            size,
            compression,
            extended_l2,
            dirty: features & ondisk::DIRTY != 0,
            snapshots: raw.nb_snapshots.get(),
            snapshots_offset: raw.snapshots_offset.get(),
            backing: backing(file, &raw, extensions.backing_format)?,
            data_file: external.then_some(extensions.data_file),
            l1_table_offset: raw.l1_table_offset.get(),
            l1_entries: 0,
        };
        header.l1_entries = header.check_l1(raw.l1_size.get(), file.size())?;
        Ok(header)
    }

    /// The header as it would be if the state of `snapshot` were the active one.
    pub(super) fn of_snapshot(self, snapshot: &Snapshot, file: &Disk) -> Result<Self> {
        let Snapshot { size, l1_table_offset, l1_size, .. } = *snapshot;
        if i64::try_from(size).is_err() {
            return Err(corrupt(format!("an internal snapshot of a disk of {size} bytes")));
        }
        let mut header = Self { size, l1_table_offset, ..self };
        header.l1_entries = header.check_l1(l1_size, file.size())?;
        Ok(header)
    }

    /// Bytes of a cluster.
    pub(super) fn cluster_size(&self) -> u64 {
        1_u64.wrapping_shl(self.cluster_bits)
    }

    /// Entries of an L2 table, as a power of two.
    pub(super) fn l2_bits(&self) -> u32 {
        self.cluster_bits.saturating_sub(if self.extended_l2 { 4 } else { 3 })
    }

    /// Bytes of the disk that one L1 entry is for, as a power of two.
    pub(super) fn l1_span_bits(&self) -> u32 {
        self.cluster_bits.saturating_add(self.l2_bits())
    }

    /// How many L1 entries the disk needs; an error if the table has fewer or does not lie in the file.
    fn check_l1(&self, claimed: u32, file_size: u64) -> Result<u64> {
        let needed = self.size.div_ceil(1_u64.wrapping_shl(self.l1_span_bits()));
        if u64::from(claimed) < needed {
            return Err(corrupt(format!("the L1 table has {claimed} entries, the disk needs {needed}")));
        }
        let len = needed.saturating_mul(8);
        if len > MAX_L1_LEN {
            return Err(corrupt(format!("an L1 table of {len} bytes")));
        }
        let offset = self.l1_table_offset;
        if offset & self.cluster_size().wrapping_sub(1) != 0 || offset.saturating_add(len) > file_size {
            return Err(
                corrupt("the L1 table does not lie in the file, at the start of a cluster").at(offset)
            );
        }
        Ok(needed)
    }

    /// The part of the L1 table that the disk needs.
    pub(super) fn read_l1(&self, file: &Disk) -> Result<Vec<u64>> {
        let len = usize::try_from(self.l1_entries.saturating_mul(8)).unwrap_or(usize::MAX);
        Ok(be64s(&file.read_vec(self.l1_table_offset, len)?))
    }
}

/// A table of big-endian numbers.
pub(super) fn be64s(bytes: &[u8]) -> Vec<u64> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|number| u64::from_be_bytes(*number)).collect()
}

fn backing(file: &Disk, raw: &ondisk::Header, format: Option<String>) -> Result<Option<Reference>> {
    let offset = raw.backing_file_offset.get();
    if offset == 0 {
        return Ok(None);
    }
    let len = raw.backing_file_size.get();
    if len == 0 || len > MAX_NAME {
        return Err(corrupt(format!("the name of the backing file is {len} bytes long")));
    }
    let name = file.read_vec(offset, usize::try_from(len).unwrap_or(usize::MAX))?;
    Ok(Some(Reference { name: OsString::from_vec(name), format }))
}

/// What the header extensions say.
#[derive(Debug, Default)]
struct Extensions {
    backing_format: Option<String>,
    data_file: Option<OsString>,
    /// Name and bit of incompatible features.
    feature_names: Vec<(u8, String)>,
}

impl Extensions {
    fn read(area: &[u8], header_len: u32) -> Result<Self> {
        let mut found = Self::default();
        let mut rest = usize::try_from(header_len).ok().and_then(|len| area.get(len..)).unwrap_or_default();
        while let Ok((extension, after)) = ondisk::Extension::read_from_prefix(rest) {
            let kind = extension.kind.get();
            if kind == ondisk::EXTENSION_END {
                break;
            }
            let len = usize::try_from(extension.len.get()).unwrap_or(usize::MAX);
            let data = after
                .get(..len)
                .ok_or_else(|| corrupt(format!("header extension {kind:#x} is cut short")))?;
            match kind {
                ondisk::EXTENSION_BACKING_FORMAT => {
                    found.backing_format = Some(String::from_utf8_lossy(data).into_owned());
                }
                ondisk::EXTENSION_DATA_FILE => found.data_file = Some(OsString::from_vec(data.to_vec())),
                ondisk::EXTENSION_FEATURE_NAMES => found.feature_names = feature_names(data),
                _ => {}
            }
            rest = after.get(len.saturating_add(7) & !7..).unwrap_or_default();
        }
        Ok(found)
    }
}

/// Entries of 48 bytes: the kind of feature (0 for incompatible), the bit, the name.
fn feature_names(table: &[u8]) -> Vec<(u8, String)> {
    let (entries, _) = table.as_chunks::<48>();
    let incompatible = entries.iter().filter_map(|entry| entry.strip_prefix(&[0]));
    incompatible
        .filter_map(|entry| {
            let (bit, name) = entry.split_first()?;
            let name = name.split(|byte| *byte == 0).next()?;
            Some((*bit, name.escape_ascii().to_string()))
        })
        .collect()
}

fn check_features(features: u64, extensions: &Extensions) -> Result<()> {
    if features & ondisk::CORRUPT != 0 {
        return Err(corrupt("the image is marked as corrupt; qemu-img check -r repairs such images"));
    }
    let known = ondisk::DIRTY | ondisk::EXTERNAL_DATA | ondisk::COMPRESSION_TYPE | ondisk::EXTENDED_L2;
    let unknown = features & !known;
    if unknown == 0 {
        return Ok(());
    }
    let names: Vec<_> = (0_u8..64)
        .filter(|bit| unknown & 1_u64.wrapping_shl(u32::from(*bit)) != 0)
        .map(|bit| match extensions.feature_names.iter().find(|(known, _)| *known == bit) {
            Some((_, name)) => format!("{bit} ({name})"),
            None => bit.to_string(),
        })
        .collect();
    Err(Error::unsupported(LAYER, format!("incompatible feature {}", names.join(", "))))
}

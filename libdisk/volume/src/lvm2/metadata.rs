//! What the metadata of a volume group says, before any device is looked at.

use std::collections::BTreeSet;

use block::{Error, Result};

use super::LAYER;
use super::ondisk::SECTOR;
use super::text::{self, Section, Value};

/// One state of a volume group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) uuid: String,
    /// Counts the changes: the highest one is how it is now.
    pub(super) seqno: u64,
    /// Bytes.
    pub(super) extent_size: u64,
    /// It was handed over to another machine, which has not taken it.
    pub(super) exported: bool,
    pub(super) physical: Vec<Physical>,
    pub(super) logical: Vec<Logical>,
}

/// A physical volume, as the group knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Physical {
    /// Its name in the metadata: "pv0".
    pub(super) name: String,
    pub(super) uuid: String,
    /// Where Linux saw it last: "/dev/sda2".
    pub(super) device: String,
    /// Byte at which its first extent begins.
    pub(super) start: u64,
    /// How many extents it has.
    pub(super) extents: u64,
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logical {
    pub(super) name: String,
    pub(super) uuid: String,
    /// It is for people; others are parts of such ones.
    pub(super) visible: bool,
    pub(super) segments: Vec<Segment>,
}

/// A run of extents of a logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its first extent in the logical volume.
    pub(super) start: u64,
    /// How many extents it has.
    pub(super) extents: u64,
    pub(super) kind: Kind,
}

/// How a segment is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// In turns on each of the areas; on one alone it is linear.
    Striped {
        /// Bytes on one area before it is the next one's turn.
        stripe: u64,
        areas: Vec<Area>,
    },
    /// A link from the volume that stores a snapshot to the one of which it is.
    Snapshot { origin: String, store: String },
    /// The rest of LVM's types, which are more than a mapping, as LVM calls them: "thin", "raid1".
    Other(String),
}

/// Where a stripe begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Area {
    /// A physical volume, or a logical one that is a part.
    pub(super) on: String,
    /// Its extent.
    pub(super) extent: u64,
}

impl Metadata {
    /// Reads the text of a metadata area.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let top = text::parse(&text)?;
        if top.text("contents")? != "Text Format Volume Group" || top.number("version")? != 1 {
            return Err(Error::unsupported(
                LAYER,
                "metadata of another kind than \"Text Format Volume Group\" 1",
            ));
        }
        let (name, group) =
            top.sections().next().ok_or_else(|| Error::corrupt(LAYER, "the metadata has no volume group"))?;
        let metadata = Self {
            name: name.to_owned(),
            uuid: group.word("id")?.to_owned(),
            seqno: group.number("seqno")?,
            extent_size: bytes_of(group.number("extent_size")?)?,
            exported: group.has("status", "EXPORTED"),
            physical: group
                .sections_of("physical_volumes")
                .map(|(name, section)| Physical::parse(name, section))
                .collect::<Result<_>>()?,
            logical: group
                .sections_of("logical_volumes")
                .map(|(name, section)| Logical::parse(name, section))
                .collect::<Result<_>>()?,
        };
        let names = metadata.physical.iter().map(|pv| &pv.name);
        let mut seen = BTreeSet::new();
        if let Some(name) =
            names.chain(metadata.logical.iter().map(|lv| &lv.name)).find(|name| !seen.insert(name.as_str()))
        {
            return Err(Error::corrupt(LAYER, format!("two volumes of {} are called {name}", metadata.name)));
        }
        if metadata.extent_size == 0 {
            return Err(Error::corrupt(LAYER, "extents of no bytes"));
        }
        Ok(metadata)
    }
}

impl Physical {
    fn parse(name: &str, section: &Section<'_>) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            uuid: section.word("id")?.to_owned(),
            device: section.text_if_there("device").unwrap_or_default().escape_default().to_string(),
            start: bytes_of(section.number("pe_start")?)?,
            extents: section.number("pe_count")?,
        })
    }
}

impl Logical {
    fn parse(name: &str, section: &Section<'_>) -> Result<Self> {
        let mut segments = section
            .sections()
            .filter(|(name, _)| name.starts_with("segment"))
            .map(|(_, section)| Segment::parse(section))
            .collect::<Result<Vec<_>>>()?;
        segments.sort_by_key(|segment| segment.start);
        Ok(Self {
            name: name.to_owned(),
            uuid: section.word("id")?.to_owned(),
            visible: section.has("status", "VISIBLE"),
            segments,
        })
    }
}

impl Segment {
    /// How many extents are on each of `count` stripes; `None` if they do not come out even.
    pub(super) fn extents_of_each(&self, count: usize) -> Option<u64> {
        let count = u64::try_from(count).ok()?;
        self.extents.checked_div(count).filter(|_| self.extents.is_multiple_of(count))
    }

    fn parse(section: &Section<'_>) -> Result<Self> {
        let name = section.word("type")?;
        let kind = match name {
            "striped" => Kind::striped(section)?,
            "snapshot" => Kind::Snapshot {
                origin: section.word("origin")?.to_owned(),
                store: section.word("cow_store").or_else(|_| section.word("merging_store"))?.to_owned(),
            },
            other => Kind::Other(other.to_owned()),
        };
        Ok(Self { start: section.number("start_extent")?, extents: section.number("extent_count")?, kind })
    }
}

impl Kind {
    fn striped(section: &Section<'_>) -> Result<Self> {
        let count = section.number("stripe_count")?;
        let list = section.list("stripes");
        let area = |pair: &[Value<'_>]| match pair {
            [Value::Text(on), Value::Number(extent)] => Ok(Area { on: (*on).to_owned(), extent: *extent }),
            _ => Err(Error::corrupt(LAYER, "a stripe without its place")),
        };
        let areas: Vec<_> = list.chunks(2).map(area).collect::<Result<_>>()?;
        if areas.is_empty() || u64::try_from(areas.len()) != Ok(count) {
            return Err(Error::corrupt(LAYER, "another number of stripes than is said"));
        }
        // A linear segment has no stripes' size.
        let stripe = if count == 1 { 0 } else { bytes_of(section.number("stripe_size")?)? };
        Ok(Self::Striped { stripe, areas })
    }
}

/// Sectors in bytes.
fn bytes_of(sectors: u64) -> Result<u64> {
    sectors.checked_mul(SECTOR).ok_or_else(|| Error::corrupt(LAYER, "a number of sectors that no device has"))
}

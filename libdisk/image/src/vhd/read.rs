//! Reading: the footer that counts, and the disk that it tells of.

use std::fmt;
use std::path::Path;

use block::{Concat, Disk, Error, ErrorKind, Result};

use super::footer::{DiskType, FOOTER_LEN, Footer};
use super::sparse::Sparse;
use super::{LAYER, ondisk};
use crate::backing::Chain;
use crate::{Layer, Layered};

/// What is wrong with a VHD whose content can be told all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The footer at the end is missing or damaged, and its copy at the start is not.
    Footer(String),
    /// The checksum of the only footer is wrong: of a fixed disk, all before it is the content.
    Checksum(String),
    /// The mark of the only footer is damaged, and its checksum is right with the mark.
    Mark,
    /// The footer has 511 bytes, as programs before Virtual PC 2004 wrote it, or is cut by one.
    Short,
    /// The file is longer than the footer of a fixed disk says: all before the footer is the content.
    Longer {
        /// The size of the disk by the footer, in bytes.
        told: u64,
        /// The bytes before the footer.
        found: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Footer(why) => {
                write!(f, "the footer at the end is no good ({why}), its copy at the start is")
            }
            Self::Checksum(why) => write!(f, "the footer is damaged ({why}), and all before it is the disk"),
            Self::Mark => f.write_str("the mark of the footer is damaged, and nothing else of it"),
            Self::Short => f.write_str("the footer has 511 bytes, and others want 512"),
            Self::Longer { told, found } => {
                write!(f, "the footer tells of {told} bytes, and before it are {found}, which are the disk")
            }
        }
    }
}

/// A VHD of any type, and without its parent.
#[derive(Debug)]
pub struct Image {
    footer: Footer,
    faults: Vec<Fault>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// All before the footer.
    Fixed(Disk),
    Sparse(Sparse),
}

impl Image {
    /// Reads the footer, and what it tells of, of the image `file`.
    ///
    /// # Errors
    /// `Corrupt` if there is no footer, or it contradicts the file so that content is missing; `Unsupported`
    /// for other versions and unknown types.
    pub fn read(file: Disk) -> Result<Self> {
        let (footer, mut faults) = find_footer(&file)?;
        let content = match footer.disk_type() {
            DiskType::Fixed => Content::Fixed(payload(&file, &footer, &mut faults)?),
            DiskType::Dynamic | DiskType::Differencing => {
                Content::Sparse(Sparse::read(file, footer.clone())?)
            }
            other @ DiskType::Other(_) => return Err(Error::unsupported(LAYER, format!("{other} disks"))),
        };
        Ok(Self { footer, faults, content })
    }

    /// The footer.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// What is wrong with it, and mended by a copy.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// For people.
    fn layer(&self) -> Layer {
        let kind = match &self.content {
            Content::Fixed(_) => "fixed".to_owned(),
            Content::Sparse(sparse) => sparse.text(),
        };
        let creator = self.footer.creator().escape_ascii().to_string();
        let mut text = format!("{kind}, made by {creator:?}");
        self.faults.iter().for_each(|fault| text.push_str(&format!("; spoiled: {fault}")));
        Layer { name: LAYER, text }
    }

    fn into_disk(self) -> Disk {
        match self.content {
            Content::Fixed(payload) => payload,
            Content::Sparse(sparse) => sparse.into_disk(),
        }
    }
}

/// Opens the VHD in `file`, which must not have a parent.
///
/// # Errors
/// As [`Image::read`]; `Refused` for a differencing disk.
pub fn open(file: Disk) -> Result<Disk> {
    let image = Image::read(file)?;
    if image.footer.disk_type() == DiskType::Differencing {
        return Err(Error::new(ErrorKind::Refused, LAYER, "a differencing disk without its parent"));
    }
    Ok(image.into_disk())
}

/// Opens the VHD `path`, and its parents through the chain.
pub(super) fn open_in(path: &Path, chain: &mut Chain<'_>) -> Result<Layered> {
    let mut image = Image::read(block::open_file(path)?).map_err(|error| error.in_file(path))?;
    let mut layers = match &mut image.content {
        Content::Fixed(_) => Vec::new(),
        Content::Sparse(sparse) => sparse.open_parent(path, chain)?,
    };
    layers.push(image.layer());
    for fault in &image.faults {
        tracing::warn!(path = %path.display(), %fault, "the VHD is spoiled");
    }
    Ok((image.into_disk(), layers))
}

/// Whether it is a fixed VHD, and nothing about it is wrong.
pub(super) fn is_flat(path: &Path) -> bool {
    let image = block::open_file(path).and_then(Image::read);
    image.is_ok_and(|image| matches!(image.content, Content::Fixed(_)) && image.faults.is_empty())
}

/// The footer that counts: that at the end of `file`, or its copy at the start, which all types but the fixed
/// one have; or a damaged one of a fixed disk.
pub(super) fn find_footer(file: &Disk) -> Result<(Footer, Vec<Fault>)> {
    let missing = || Error::corrupt(LAYER, "there is no footer in the last 512 bytes");
    let end = file.size().checked_sub(FOOTER_LEN).ok_or_else(missing)?;
    let at = |place: u64| -> Result<_> {
        let mut bytes = [0; 512];
        file.read_at(&mut bytes, place)?;
        Ok((Footer::parse(&bytes, place), bytes))
    };
    let (last, bytes) = at(end)?;
    let why = match last {
        Ok(Some(footer)) => return Ok((footer, Vec::new())),
        Ok(None) => None,
        Err(error) if error.kind() == ErrorKind::Corrupt => Some(error),
        Err(error) => return Err(error),
    };
    if let (Ok(Some(copy)), _) = at(0)?
        && matches!(copy.disk_type(), DiskType::Dynamic | DiskType::Differencing)
    {
        let why = why.map_or_else(|| "it is missing".to_owned(), |error| error.to_string());
        return Ok((copy, vec![Fault::Footer(why)]));
    }
    let Some(why) = why else {
        return match (Footer::parse_unmarked(&bytes), Footer::parse_short(&bytes)) {
            (Some(footer), _) => Ok((footer, vec![Fault::Mark])),
            (None, Some(footer)) => Ok((footer, vec![Fault::Short])),
            (None, None) => Err(missing().at(end)),
        };
    };
    match Footer::parse_damaged(&bytes) {
        Some(footer) if footer.disk_type() == DiskType::Fixed => {
            let footer = footer.resized(end);
            Ok((footer, vec![Fault::Checksum(why.to_string())]))
        }
        _ => Err(why),
    }
}

/// Whether the last 512 bytes of a file are a footer, or one whose mark is damaged, or end with a short one.
pub(super) fn is_footer(tail: &[u8]) -> bool {
    tail.starts_with(&ondisk::COOKIE)
        || Footer::parse_short(tail).is_some()
        || Footer::parse_unmarked(tail).is_some()
}

/// How far before the end of a file a footer is looked for that something was added to, in bytes.
const BEHIND: u64 = 64 << 10;

/// Where the footer of a fixed disk lies that is not at the end of the file: something follows it.
///
/// # Errors
/// What the device reports.
pub fn footer_before_end(file: &Disk) -> Result<Option<u64>> {
    let start = file.size().saturating_sub(BEHIND);
    let bytes = file.read_vec(start, usize::try_from(file.size().saturating_sub(start)).unwrap_or(0))?;
    // The size that it tells is where it lies.
    let is_one = |place: u64, sector: &[u8]| {
        let footer = Footer::parse(sector, place).ok().flatten();
        footer.is_some_and(|it| it.disk_type() == DiskType::Fixed && it.size() == place)
    };
    let marks = bytes.windows(ondisk::COOKIE.len()).enumerate().filter(|(_, mark)| **mark == ondisk::COOKIE);
    let mut found = marks.filter_map(|(at, _)| {
        let place = start.checked_add(u64::try_from(at).ok()?)?;
        let sector = file.read_vec(place, 512).ok()?;
        is_one(place, &sector).then_some(place)
    });
    Ok(found.next_back())
}

/// The disk of a fixed VHD: all before the footer.
fn payload(file: &Disk, footer: &Footer, faults: &mut Vec<Fault>) -> Result<Disk> {
    let len = if faults.contains(&Fault::Short) { FOOTER_LEN.saturating_sub(1) } else { FOOTER_LEN };
    let found = file.size().saturating_sub(len);
    let told = footer.size();
    if found < told {
        let what = format!(
            "the footer tells of a disk of {told} bytes, but the file has {} bytes and not {len} more than that",
            file.size()
        );
        return Err(Error::corrupt(LAYER, what));
    }
    if found > told {
        faults.push(Fault::Longer { told, found });
    }
    // Whole sectors, as readers have it.
    Concat::padded(file.slice(0..found)?, found.next_multiple_of(512))
}

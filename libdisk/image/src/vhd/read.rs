//! Reading: the footer that counts, and the disk that it tells of.

use std::fmt;
use std::path::Path;

use block::{Concat, Disk, Error, ErrorKind, Result};

use super::LAYER;
use super::footer::{DiskType, FOOTER_LEN, Footer};
use super::sparse::Sparse;
use crate::backing::Chain;
use crate::{Layer, Layered};

/// What is wrong with a VHD whose content can be told all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The footer at the end is missing or damaged, and its copy at the start is not.
    Footer(String),
    /// The checksum of the only footer is wrong: of a fixed disk, all before it is the content.
    Checksum(String),
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
    let Some(why) = why else { return Err(missing().at(end)) };
    match Footer::parse_damaged(&bytes) {
        Some(footer) if footer.disk_type() == DiskType::Fixed => {
            let footer = footer.resized(end);
            Ok((footer, vec![Fault::Checksum(why.to_string())]))
        }
        _ => Err(why),
    }
}

/// The disk of a fixed VHD: all before the footer.
fn payload(file: &Disk, footer: &Footer, faults: &mut Vec<Fault>) -> Result<Disk> {
    let found = file.size().saturating_sub(FOOTER_LEN);
    let told = footer.size();
    if found < told {
        let what = format!(
            "the footer tells of a disk of {told} bytes, but the file has {} bytes and not 512 more than that",
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

//! The image: its descriptor, and its extents end to end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use block::{Concat, Disk, Error, ErrorKind, Result, Zeros};

use super::descriptor::{Descriptor, Extent, MAX_LEN, Parent, Place};
use super::extent::Sparse;
use super::header::Header;
use super::{LAYER, ondisk};
use crate::backing::Chain;
use crate::{Backing, Layer, raw};

/// A VMDK image, opened for reading.
#[derive(Debug)]
pub struct Image {
    disk: Disk,
    layers: Vec<Layer>,
    files: Vec<PathBuf>,
    cid: Option<u32>,
}

/// How the image gets at other files.
enum Others<'a, 'b> {
    /// By the names that the image in this file has for them.
    Of(&'a Path, &'a mut Chain<'b>),
    /// Not at all: it is not in a file of its own.
    None,
}

impl Others<'_, '_> {
    /// An error of the image itself.
    fn here(&self, error: Error) -> Error {
        match self {
            Self::Of(path, _) => error.in_file(path),
            Self::None => error,
        }
    }

    /// The file that the image calls `name`.
    fn admit(&mut self, role: &'static str, name: &OsStr) -> Result<PathBuf> {
        match self {
            Self::Of(path, chain) => chain.admit(LAYER, path, role, name),
            Self::None => {
                let name = name.as_encoded_bytes().escape_ascii();
                let what = format!("the {role} \"{name}\" is not opened, as the image is in an archive");
                Err(Error::new(ErrorKind::Refused, LAYER, what))
            }
        }
    }
}

impl Image {
    /// Opens the image `path`, and behind the gate `backing` the files that it names.
    ///
    /// # Errors
    /// `Refused` if it names files that the gate keeps shut, and for a piece of a split disk; `Unsupported` for
    /// kinds of extents, by name; `Corrupt`; `Io`.
    pub fn open(path: &Path, backing: &Backing) -> Result<Self> {
        let mut chain = Chain::new(backing);
        chain.enter(LAYER, path)?;
        let image = Self::open_in(path, &mut chain)?;
        Ok(Self { files: chain.into_files(), ..image })
    }

    /// Opens the image in `file`, where that is no file of its own: other files are not opened.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_alone(file: Disk) -> Result<Self> {
        Self::read(file, &mut Others::None)
    }

    /// The same, as a part of a chain.
    pub(super) fn open_in(path: &Path, chain: &mut Chain<'_>) -> Result<Self> {
        let file = raw::open_bytes(path)?;
        Self::read(file, &mut Others::Of(path, chain))
    }

    /// The disk in it.
    pub fn disk(&self) -> Disk {
        self.disk.clone()
    }

    /// The image and everything below it, the lowest first, for people.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The image and every other file that was opened for it.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    fn read(file: Disk, others: &mut Others<'_, '_>) -> Result<Self> {
        let mut magic = [0; ondisk::MAGIC.len()];
        if file.size() >= ondisk::SECTOR {
            file.read_at(&mut magic, 0)?;
        }
        if magic != ondisk::MAGIC {
            return Self::described(&file, others);
        }
        let header = Header::read(&file).map_err(|error| others.here(error))?;
        let descriptor = embedded(&file, &header).map_err(|error| others.here(error))?;
        let (below, layers) = open_parent(&descriptor, header.size, others)?;
        let extent = Sparse::open(file, header, below).map_err(|error| others.here(error))?;
        let text = format!("{}, {}", descriptor.create_type, extent.text());
        Ok(Self::new(Disk::new(extent), layers, text, descriptor.cid))
    }

    /// The image whose descriptor is the file.
    fn described(file: &Disk, others: &mut Others<'_, '_>) -> Result<Self> {
        let descriptor = whole(file).map_err(|error| others.here(error))?;
        let size = descriptor.extents.iter().fold(0_u64, |size, extent| size.saturating_add(extent.size));
        if i64::try_from(size).is_err() || descriptor.extents.is_empty() {
            let what = format!("{} extents of {size} bytes together", descriptor.extents.len());
            return Err(others.here(Error::corrupt(LAYER, what)));
        }
        let (below, layers) = open_parent(&descriptor, size, others)?;
        let (mut disks, mut start) = (Vec::new(), 0_u64);
        for extent in &descriptor.extents {
            let end = start.saturating_add(extent.size);
            let below = below.as_ref().filter(|_| start < end).map(|below| below.slice(start..end));
            disks.push(open_extent(extent, below.transpose()?, others)?);
            start = end;
        }
        let count = match disks.len() {
            1 => "1 extent".to_owned(),
            several => format!("{several} extents"),
        };
        let text = format!("{}, {count}", descriptor.create_type);
        Ok(Self::new(Disk::new(Concat::new(disks)?), layers, text, descriptor.cid))
    }

    fn new(disk: Disk, mut layers: Vec<Layer>, text: String, cid: Option<u32>) -> Self {
        layers.push(Layer { name: LAYER, text });
        Self { disk, layers, files: Vec::new(), cid }
    }
}

/// The descriptor within a sparse extent.
fn embedded(file: &Disk, header: &Header) -> Result<Descriptor> {
    let piece = || {
        let what = "this is a piece of a split disk; name the descriptor, the small file beside it";
        Error::new(ErrorKind::Refused, LAYER, what)
    };
    let place = header.descriptor.as_ref().ok_or_else(piece)?;
    if place.end > file.size() {
        return Err(Error::corrupt(LAYER, "the descriptor lies past the end of the file").at(place.start));
    }
    let len = place.end.saturating_sub(place.start);
    let text = file.read_vec(place.start, usize::try_from(len).unwrap_or(0))?;
    // QEMU leaves room for one in each piece.
    if block::is_zero(&text) {
        return Err(piece());
    }
    Descriptor::parse(&text)
}

/// The descriptor that is all of a file.
fn whole(file: &Disk) -> Result<Descriptor> {
    if file.size() > MAX_LEN {
        return Err(Error::corrupt(LAYER, format!("a descriptor of {} bytes", file.size())));
    }
    Descriptor::parse(&file.read_vec(0, usize::try_from(file.size()).unwrap_or(0))?)
}

/// The disk that one of `size` bytes stands on, if it does, and its layers.
fn open_parent(
    descriptor: &Descriptor,
    size: u64,
    others: &mut Others<'_, '_>,
) -> Result<(Option<Disk>, Vec<Layer>)> {
    let Some(Parent { cid, name }) = &descriptor.parent else { return Ok((None, Vec::new())) };
    let nameless = || others.here(Error::corrupt(LAYER, "the disk below has no name"));
    let name = name.as_deref().ok_or_else(nameless)?;
    let path = others.admit("disk below", name)?;
    let Others::Of(_, chain) = others else { return Err(Error::corrupt(LAYER, "a disk below an archive")) };
    chain.enter(LAYER, &path)?;
    let Image { disk, mut layers, cid: found, .. } = Image::open_in(&path, chain)?;
    let wrong = |what: String| Err(Error::corrupt(LAYER, what).in_file(&path));
    if found != Some(*cid) {
        let found = found.map_or("none".to_owned(), |found| format!("{found:08x}"));
        return wrong(format!("it was written since: its content ID is {found}, and was {cid:08x}"));
    }
    if disk.size() != size {
        return wrong(format!("it has {} bytes, and the disk above it {size}", disk.size()));
    }
    let text = format!("{}, disk of {size} bytes", block::shown(&path));
    layers.push(Layer { name: "backing file", text });
    Ok((Some(disk), layers))
}

/// An extent in a file of its own, over `below`.
fn open_extent(extent: &Extent, below: Option<Disk>, others: &mut Others<'_, '_>) -> Result<Disk> {
    let wrong = |path: &Path, what: String| Error::corrupt(LAYER, what).in_file(path);
    match &extent.place {
        Place::Zero => Ok(Disk::new(Zeros::new(extent.size))),
        Place::Flat { name, offset } => {
            let path = others.admit("extent", name)?;
            let file = raw::open_bytes(&path)?;
            let end = offset.checked_add(extent.size).filter(|end| *end <= file.size());
            let Some(end) = end else {
                let what = format!("an extent of {} bytes from byte {offset} on", extent.size);
                return Err(wrong(&path, format!("{what} does not fit into {} bytes", file.size())));
            };
            if (*offset, end) == (0, file.size()) { Ok(file) } else { file.slice(*offset..end) }
        }
        Place::Sparse { name } => {
            let path = others.admit("extent", name)?;
            let file = raw::open_bytes(&path)?;
            let header = Header::read(&file).map_err(|error| error.in_file(&path))?;
            if header.size < extent.size {
                let what = format!("an extent has {} bytes, and not {}", header.size, extent.size);
                return Err(wrong(&path, what));
            }
            let sparse = Sparse::open(file, Header { size: extent.size, ..header }, below);
            sparse.map(Disk::new).map_err(|error| error.in_file(&path))
        }
    }
}

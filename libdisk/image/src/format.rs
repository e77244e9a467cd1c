//! The table of formats: how each is named, recognised and opened.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use block::{Disk, Error, ErrorKind, Observer, Result};

use crate::backing::{Backing, Chain};
use crate::{foreign, ova, packed, qcow2, raw, vdi, vhd, vhdx, vmdk};

/// Every format that is opened: a line each.
pub static FORMATS: [&Format; 11] = [
    &raw::FORMAT,
    &vhd::FORMAT,
    &vhdx::FORMAT,
    &qcow2::FORMAT,
    &vdi::FORMAT,
    &vmdk::FORMAT,
    &ova::FORMAT,
    &packed::GZIP,
    &packed::ZSTD,
    &packed::XZ,
    &packed::BZIP2,
];

/// A format of image files.
#[derive(Debug)]
pub struct Format {
    /// Its name, in addresses too: "vhd", as in `vhd:disk.img`.
    pub name: &'static str,
    /// What QEMU calls it: "vpc". Addresses may say so as well. `None` where QEMU does not open it.
    pub qemu_name: Option<&'static str>,
    /// How names of files end that promise its marks. Raw disks have any name, and some VHDs have lost their footer.
    pub(crate) endings: &'static [&'static str],
    /// Whether the disk is in this file as it is, so that a change of it can be made in place.
    pub(crate) flat: fn(&Path) -> bool,
    /// Whether a file with these ends is one.
    pub recognise: fn(&Ends) -> bool,
    /// Opens such a file, and through the chain the files that it names: the disk in it, and the layers from
    /// the lowest up.
    pub(crate) read: fn(&Path, &mut Chain<'_>) -> Result<Layered>,
}

/// A disk, and the layers between it and the file, the lowest first.
pub(crate) type Layered = (Disk, Vec<Layer>);

/// What is in an image file.
#[derive(Debug)]
pub struct Content {
    /// The disk.
    pub disk: Disk,
    /// The layers between the file and the disk, the lowest first.
    pub layers: Vec<Layer>,
    /// The file, and every other one that was opened for it.
    pub files: Vec<PathBuf>,
}

/// One step from the file to the device, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What it is: "file", "qcow2", "backing file", "partition".
    pub name: &'static str,
    /// More about it: "disk.qcow2, 1,262 MiB".
    pub text: String,
}

/// Both ends of a file, where formats have their marks.
#[derive(Debug)]
pub struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// How much of each end is looked at, in bytes.
const END: u64 = 512;

impl Ends {
    /// Reads both ends of `file`.
    ///
    /// # Errors
    /// What the device reports.
    pub fn read(file: &Disk) -> Result<Self> {
        let len = usize::try_from(file.size().min(END)).unwrap_or(0);
        let end = file.size().checked_sub(END);
        let tail = end.map(|end| file.read_vec(end, len)).transpose()?.unwrap_or_default();
        Ok(Self { head: file.read_vec(0, len)?, tail })
    }

    /// The first bytes of the file: 512, or all.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The last bytes of the file: 512; none if it has fewer.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Whether the file has `magic` at byte `offset`.
    pub fn has(&self, offset: usize, magic: &[u8]) -> bool {
        self.head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    }

    /// Whether the last 512 bytes of the file start with `magic`.
    pub fn has_footer(&self, magic: &[u8]) -> bool {
        self.tail.starts_with(magic)
    }
}

impl Format {
    /// The format that people or QEMU call so.
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.into_iter().find(|format| format.name == name || format.qemu_name == Some(name))
    }

    /// Whether the disk is in the image `path` as it is, from the first byte on, so that a change of it can be
    /// made in place.
    pub fn is_flat(&self, path: &Path) -> bool {
        (self.flat)(path)
    }

    /// Opens the image `path`, and behind the gate `backing` the files that it names. One that is packed is unpacked
    /// first, which `observer` watches and may stop.
    ///
    /// # Errors
    /// `Cancelled`; `Refused` if it names files that the gate keeps shut, `Unsupported` for what is not read by name,
    /// `Corrupt`, `Io`.
    pub fn open(&self, path: &Path, backing: &Backing, observer: &dyn Observer) -> Result<Content> {
        let mut chain = Chain::watched(backing, observer);
        let (disk, layers) = self.open_in(path, &mut chain)?;
        Ok(Content { disk, layers, files: chain.into_files() })
    }

    /// The same, as a part of a chain.
    pub(crate) fn open_in(&self, path: &Path, chain: &mut Chain<'_>) -> Result<Layered> {
        chain.enter(self.name, path)?;
        (self.read)(path, chain)
    }

    /// The names of all formats, for people: "raw, vhd and qcow2".
    pub fn names() -> String {
        let names: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }

    /// Tells the format of an image file by its marks; without any it is raw.
    ///
    /// A file with the marks of a format that we do not open is refused by name, and one with the marks of
    /// two formats, too: it is never taken for raw. This decides how the bytes are read, and a guest may
    /// have written them: where the format is known, say so instead.
    ///
    /// # Errors
    /// `Unsupported` for known formats that are not opened, `Refused` for contradictions, and what the device
    /// reports.
    pub fn probe(file: &Disk) -> Result<&'static Self> {
        let ends = Ends::read(file)?;
        let mut ours = FORMATS.into_iter().filter(|format| (format.recognise)(&ends));
        match (ours.next(), ours.next(), foreign::find(&ends)) {
            (None, _, None) => Ok(&raw::FORMAT),
            (Some(format), None, None) => Ok(format),
            (None, _, Some(foreign)) => Err(Error::unsupported("probe", format!("the file is {foreign}"))),
            (Some(one), Some(other), _) => Err(ambiguous(one, other)),
            (Some(one), None, Some(foreign)) => Err(ambiguous(one, &foreign.name)),
        }
    }

    /// [`probe`](Self::probe), where the name of the file is known as well.
    ///
    /// # Errors
    /// As there; `Corrupt` for a file without marks whose name promises a format that has them, and for a VHD with
    /// something behind its footer.
    pub fn probe_named(path: &Path, file: &Disk) -> Result<&'static Self> {
        let found = Self::probe(file).map_err(|error| error.in_file(path))?;
        if *found == raw::FORMAT {
            promised(path, file)?;
        }
        Ok(found)
    }
}

/// Refuses a file without any mark under a name that promises one: it is damaged, and no raw disk.
fn promised(path: &Path, file: &Disk) -> Result<()> {
    let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase();
    let refused = |what: String| Err(Error::corrupt("probe", what).in_file(path));
    if ending == "vhd" {
        let Some(place) = vhd::footer_before_end(file)? else { return Ok(()) };
        let whole = place.saturating_add(512);
        return refused(format!(
            "a VHD's footer is at byte {place}, and something was added behind it: cut it off, as by truncate -s \
             {whole}; raw:FILE is all of it as a raw disk"
        ));
    }
    if let Some(foreign) = foreign::promised(&ending) {
        let what = format!(
            "by its name the file is {foreign}; where it is a raw disk all the same, say so: raw:FILE"
        );
        return Err(Error::unsupported("probe", what).in_file(path));
    }
    // The extents of a flat VMDK are raw disks.
    let is_extent = path.file_stem().is_some_and(|name| name.as_encoded_bytes().ends_with(b"-flat"));
    match FORMATS.iter().find(|format| format.endings.contains(&&*ending)).filter(|_| !is_extent) {
        Some(format) => refused(format!(
            "the name promises {format}, and the file has no mark of that: its start is damaged, or it is \
             misnamed; where it is a raw disk all the same, say so: raw:FILE"
        )),
        None => Ok(()),
    }
}

fn ambiguous(one: &Format, other: &dyn fmt::Display) -> Error {
    let what = format!("the file has the marks of {one} and of {other}; name its format, as in {one}:FILE");
    Error::new(ErrorKind::Refused, "probe", what)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Format {}

impl Hash for Format {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use block::Memory;

    use super::*;

    fn with(marks: &[(usize, &[u8])]) -> Result<&'static Format> {
        let mut bytes = vec![0; 4096];
        for (at, magic) in marks {
            bytes[*at..*at + magic.len()].copy_from_slice(magic);
        }
        Format::probe(&Disk::new(Memory::new(bytes)))
    }

    #[test]
    fn names_are_the_tables() {
        for format in FORMATS {
            assert_eq!(Format::named(format.name), Some(format));
            assert_eq!(format.qemu_name.map_or(Some(format), Format::named), Some(format));
            assert!(Format::names().contains(format.name));
        }
        assert_eq!(Format::named("parallels"), None);
    }

    #[test]
    fn magic_numbers_at_both_ends() {
        assert_eq!(with(&[]).unwrap(), &raw::FORMAT);
        assert_eq!(with(&[(0, b"QFI\xfb")]).unwrap(), &qcow2::FORMAT);
        assert_eq!(with(&[(4096 - 512, b"conectix")]).unwrap(), &vhd::FORMAT);
        assert_eq!(with(&[(0, b"conectix")]).unwrap(), &vhd::FORMAT);
    }

    #[test]
    fn never_raw_when_it_is_something_else() {
        for start in [&b"QFI\xfb"[..], b"vhdxfile", b"KDMV"] {
            let error = with(&[(0, start), (4096 - 512, b"conectix")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
        }
    }

    #[test]
    fn tiny_files_are_raw() {
        for size in [0, 1, 7, 511, 512] {
            assert_eq!(Format::probe(&Disk::new(Memory::new(vec![0; size]))).unwrap(), &raw::FORMAT);
        }
    }
}

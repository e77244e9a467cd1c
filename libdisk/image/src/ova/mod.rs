//! OVA: a machine in a tar archive, its descriptor (OVF) first, then its disks.
//!
//! Reference: DSP0243, "Open Virtualization Format Specification", DMTF; read as far as it tells of disks.
//!
//! Nothing is unpacked: a disk is read where it is in the archive, unless it is compressed with gzip besides.
//! Disks come in the order of the machine's drives. Refused by name: archives of several machines, disks that
//! stand on others, compressions other than gzip. Hardware, networks and properties are not looked at.

use std::path::Path;

use block::{Concat, Disk, Error, ErrorKind, Observer, Result, Zeros};
use percent_encoding::percent_decode_str;

use crate::{Content, Ends, Format, Layer, Layered, packed, raw, vmdk};

mod manifest;
mod ovf;
mod tar;

pub use manifest::{Found, Listed, check_manifest};
use ovf::{OvfDisk, OvfFile};
use tar::Member;

const LAYER: &str = "ova";
/// The longest descriptor or manifest, in bytes.
const MAX_TEXT: u64 = 4 << 20;
/// Pieces of a file are no more than these.
const MAX_PIECES: usize = 4096;

/// Known as a tar archive. What is in it, opening tells.
pub static FORMAT: Format = Format {
    name: LAYER,
    qemu_name: None,
    endings: &["ova"],
    flat: |_| false,
    recognise: is_tar,
    read: |path, chain| {
        let mut disks = Archive::open(path)?.disks(chain.observer()).map_err(|error| error.in_file(path))?;
        match (disks.pop(), disks.is_empty()) {
            (Some(disk), true) => Ok(disk),
            _ => Err(Error::unsupported(LAYER, "not one disk, but several").in_file(path)),
        }
    },
};

/// Whether a file with these ends is a tar archive, but for those of an old form, which have no magic number.
pub(crate) fn is_tar(ends: &Ends) -> bool {
    ends.has(tar::MAGIC_AT, tar::MAGIC)
}

/// Opens all disks in the archive `path`; of those that are packed besides `observer` hears, and may stop it.
///
/// # Errors
/// `Cancelled`; `Unsupported` for what is not read, by name; `Corrupt`; what the formats of the disks report; `Io`.
pub fn open(path: &Path, observer: &dyn Observer) -> Result<Vec<Content>> {
    let disks = Archive::open(path)?.disks(observer).map_err(|error| error.in_file(path))?;
    let content = |(disk, layers)| Content { disk, layers, files: vec![path.to_owned()] };
    Ok(disks.into_iter().map(content).collect())
}

/// An archive, of which it is known where its members are.
struct Archive {
    file: Disk,
    members: Vec<Member>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self> {
        let file = raw::open_bytes(path)?;
        let members = tar::members(&file).map_err(|error| error.in_file(path))?;
        Ok(Self { file, members })
    }

    /// The member with this name, or with the name that it spells with `%20` and the like: a descriptor names
    /// files by URIs, and some that write one do not know that.
    fn member(&self, name: &str) -> Option<Disk> {
        let spelt = percent_decode_str(name).decode_utf8().unwrap_or_default();
        let named = |name: &str| self.members.iter().find(|member| member.name == name);
        let member = named(name).or_else(|| named(&spelt))?;
        self.file.slice(member.range.clone()).ok()
    }

    /// The text of the member whose name ends so.
    fn text(&self, end: &str) -> Result<Option<String>> {
        let has = |member: &&Member| member.name.to_ascii_lowercase().ends_with(end);
        let mut found = self.members.iter().filter(has);
        let Some(Member { name, range }) = found.next() else { return Ok(None) };
        if let Some(other) = found.next() {
            let what = format!(
                "several files that end in {end}, {name:?} and {:?}, as of several machines; unpack it first",
                other.name
            );
            return Err(Error::unsupported(LAYER, what));
        }
        let len = range.end.saturating_sub(range.start);
        let wrong = |what: &str| Error::corrupt(LAYER, format!("{name:?} {what}")).at(range.start);
        if len > MAX_TEXT {
            return Err(wrong("is too long"));
        }
        let bytes = self.file.read_vec(range.start, usize::try_from(len).unwrap_or(0))?;
        String::from_utf8(bytes).map(Some).map_err(|_| wrong("is no text in UTF-8"))
    }

    fn disks(&self, observer: &dyn Observer) -> Result<Vec<Layered>> {
        let Some(text) = self.text(".ovf")? else {
            let what = "a tar archive without a machine (no .ovf in it); unpack it first with tar -x";
            return Err(Error::unsupported(LAYER, what));
        };
        let disks = ovf::disks(&text)?;
        if disks.is_empty() {
            return Err(Error::unsupported(LAYER, "a machine without disks"));
        }
        disks.iter().map(|disk| self.disk(disk, observer)).collect()
    }

    fn disk(&self, disk: &OvfDisk, observer: &dyn Observer) -> Result<Layered> {
        let Some(file) = &disk.file else {
            let size = disk.capacity.filter(|size| i64::try_from(*size).is_ok()).ok_or_else(|| {
                Error::unsupported(LAYER, format!("the disk {:?} is empty, and of no known size", disk.id))
            })?;
            let text = format!("{}, an empty disk of {size} bytes", disk.id);
            return Ok((Disk::new(Zeros::new(size)), vec![Layer { name: LAYER, text }]));
        };
        let mut bytes = self.content(file)?;
        let mut layers = vec![Layer { name: LAYER, text: format!("{}, {} bytes", file.name, bytes.size()) }];
        if file.gzip {
            let (unpacked, layer) = packed::unpack(&bytes, packed::Codec::Gzip, &packed::folder(), observer)?;
            bytes = unpacked;
            layers.push(layer);
        }
        // What the descriptor calls a VMDK is one, whatever it looks like.
        let (opened, above) = match disk.format.to_ascii_lowercase().contains("vmdk") {
            true => {
                let image = vmdk::Image::open_alone(bytes)?;
                (image.disk(), image.layers().to_vec())
            }
            false => packed::alone(bytes)?,
        };
        layers.extend(above);
        if let Some(told) = disk.capacity.filter(|told| *told != opened.size()) {
            let text = format!("the descriptor says {told} bytes, the disk has {}", opened.size());
            layers.push(Layer { name: LAYER, text });
        }
        Ok((opened, layers))
    }

    /// The bytes of a file, which may be in pieces.
    fn content(&self, file: &OvfFile) -> Result<Disk> {
        let missing = |name: &str| {
            let what = format!("the file {name:?} is not in the archive");
            Error::new(ErrorKind::Corrupt, LAYER, what)
        };
        let name = tar::plain(&file.name);
        if !file.in_pieces {
            return self.member(&name).ok_or_else(|| missing(&file.name));
        }
        let pieces = (0..MAX_PIECES).map_while(|number| self.member(&format!("{name}.{number:09}")));
        match pieces.collect::<Vec<_>>() {
            // One that is smaller than a piece may be whole.
            none if none.is_empty() => self.member(&name).ok_or_else(|| missing(&file.name)),
            pieces => Concat::new(pieces).map(Disk::new),
        }
    }
}

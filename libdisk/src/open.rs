//! Opening an image file, whatever format it has.

use std::path::Path;

use block::Result;
use image::{Backing, Content, Layer, ova};

use crate::{Format, MachineDisk, Origin};

/// How to open.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// The format, if it is known; an address that names one beats it, and both beat the probe.
    pub format: Option<&'static Format>,
    /// Which other files an image may open.
    pub backing: Backing,
    /// How to speak to AWS.
    #[cfg(feature = "cloud")]
    pub ebs: cloud::ebs::Options,
    /// How to speak to Azure.
    #[cfg(feature = "cloud")]
    pub azure: cloud::azure::Options,
}

/// Opens an image file, in the format that is forced or probed: the disk in it, or of an archive all disks.
pub(crate) fn open_file(
    path: &Path,
    forced: Option<&'static Format>,
    backing: &Backing,
) -> Result<Vec<MachineDisk>> {
    let file = block::open_file(path)?;
    let format = match forced {
        Some(format) => format,
        None => Format::probe(&file).map_err(|error| error.in_file(path))?,
    };
    let lowest = Layer { name: "file", text: format!("{}, {} bytes", block::shown(path), file.size()) };
    let contents = match *format == ova::FORMAT {
        true => ova::open(path)?,
        false => vec![format.open(path, backing)?],
    };
    let several = contents.len() > 1;
    let disk = |(Content { disk, layers, files }, number)| {
        let number = several.then_some(number);
        let layers = std::iter::once(lowest.clone()).chain(layers).collect();
        let origin = Origin::File { path: path.to_owned(), format, number };
        let mut disk = MachineDisk::new(disk, layers, origin, None);
        disk.files = files;
        disk
    };
    Ok(contents.into_iter().zip(1..).map(disk).collect())
}

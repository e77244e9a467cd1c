//! Opening a blob in Azure.

use block::{Error, Result};
use cloud::azure::{BlobUrl, Options, PageBlob};
use image::{Layer, raw, vhd};

use crate::{Format, MachineDisk, Origin};

/// Opens the blob at the URL `name`: a fixed VHD, or the bytes of a disk.
pub(crate) fn open(name: &str, options: &Options) -> Result<MachineDisk> {
    let wrong = |error| Error::unsupported("azure", "an address").because(error);
    let url: BlobUrl = name.parse().map_err(wrong)?;
    let blob = PageBlob::open(&url, options)?;
    let bytes = blob.disk();
    let text = format!("{url}, {} bytes", bytes.size());
    let mut layers = vec![Layer { name: "azure", text }];
    let format = Format::probe(&bytes)?;
    let disk = if *format == vhd::FORMAT {
        layers.push(Layer { name: format.name, text: "fixed".to_owned() });
        vhd::open(bytes)?
    } else if *format == raw::FORMAT {
        bytes
    } else {
        let what =
            format!("an image in the format {format} in a blob; a VHD and a raw disk can be opened there");
        return Err(Error::unsupported("azure", what));
    };
    Ok(MachineDisk::new(disk, layers, Origin::Blob(blob, format), None))
}

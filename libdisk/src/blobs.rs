//! Opening a blob, a managed disk or a snapshot of one in Azure.

use std::sync::Arc;

use block::{Disk, Error, Result};
use cloud::azure::{BlobUrl, DiskId, Manager, OpenDisk, Options, PageBlob};
use image::{Layer, raw, vhd};

use crate::{Format, MachineDisk, Origin, PageBlobDestination};

/// Opens what `name` names: the URL of a blob, or `SUBSCRIPTION/GROUP/DISK`; a fixed VHD, or the bytes of a
/// disk.
pub(crate) fn open(name: &str, options: &Options) -> Result<MachineDisk> {
    if name.contains("://") { blob(name, options) } else { managed(name, options) }
}

fn wrong(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unsupported("azure", "an address").because(error)
}

fn blob(name: &str, options: &Options) -> Result<MachineDisk> {
    let url: BlobUrl = name.parse().map_err(wrong)?;
    let blob = PageBlob::open(&url, options)?;
    let (disk, layers, format) = layers(&blob, url.to_string())?;
    Ok(MachineDisk::new(disk, layers, Origin::Blob(blob, format), None))
}

fn managed(name: &str, options: &Options) -> Result<MachineDisk> {
    let id: DiskId = name.parse().map_err(wrong)?;
    let manager = Arc::new(Manager::of_environment(options.patience)?);
    let state = PageBlobDestination::default_state();
    let open = OpenDisk::open(&manager, &id, options, state.as_deref())?;
    let (disk, layers, format) = layers(open.blob(), id.to_string())?;
    Ok(MachineDisk::new(disk, layers, Origin::Managed(open, format), None))
}

/// The disk in a blob, through which layers, and in which format.
fn layers(blob: &PageBlob, name: String) -> Result<(Disk, Vec<Layer>, &'static Format)> {
    let bytes = blob.disk();
    let text = format!("{name}, {} bytes", bytes.size());
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
    Ok((disk, layers, format))
}

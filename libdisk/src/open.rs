//! Opening whatever an address names.

use std::path::{Path, PathBuf};

use block::{Disk, Error, ErrorKind, Result};
use image::Layer;
use image::qcow2::Backing;
use volume::lvm2::{self, PhysicalVolume};

use crate::{Address, Format, Location, Place};

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
}

/// What has been opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The device: the disk, or the partition if the address names one.
    pub disk: Disk,
    /// The format of the image.
    pub format: &'static Format,
    /// The image file; a snapshot's address.
    pub path: PathBuf,
    /// The snapshots, where it is made of such: the first is the disk, the others are the machine's other disks.
    #[cfg(feature = "cloud")]
    pub snapshots: Vec<crate::Member>,
    /// The layers from the file up to the device.
    pub layers: Vec<Layer>,
}

/// Opens what `address` names. For a path in the guest's tree that is the whole disk: finding the file is the caller's.
///
/// # Errors
/// `Unsupported` for what we do not open (yet), by name; `Refused` for backing files that are not allowed; `OutOfRange` for
/// a partition that is not there; what the layers report.
pub fn open(address: &Address, options: &OpenOptions) -> Result<Opened> {
    let mut opened = match &address.location {
        Location::File { path, format } => open_file(path, format.or(options.format), &options.backing)?,
        #[cfg(feature = "cloud")]
        Location::Ebs(name) => crate::snapshots::open(name, &options.ebs)?,
        #[cfg(not(feature = "cloud"))]
        Location::Ebs(_) => return Err(Error::unsupported("ebs", "this program was built without AWS")),
        Location::Azure(_) => return Err(Error::unsupported("azure", "disks in Azure cannot be opened yet")),
    };
    match &address.place {
        Place::Disk | Place::Path(_) => {}
        Place::Partition(number) => partition(&mut opened, *number)?,
        Place::LogicalVolume { group, volume } => logical_volume(&mut opened, group, volume)?,
    }
    Ok(opened)
}

fn open_file(path: &Path, forced: Option<&'static Format>, backing: &Backing) -> Result<Opened> {
    let file = block::open_file(path)?;
    let format = match forced {
        Some(format) => format,
        None => Format::probe(&file).map_err(|error| error.in_file(path))?,
    };
    let mut layers = vec![Layer { name: "file", text: format!("{}, {} bytes", path.display(), file.size()) }];
    let (disk, above) = (format.open)(path, backing)?;
    layers.extend(above);
    Ok(Opened {
        disk,
        format,
        path: path.to_owned(),
        #[cfg(feature = "cloud")]
        snapshots: Vec::new(),
        layers,
    })
}

fn partition(opened: &mut Opened, number: u32) -> Result<()> {
    let table = volume::read(&opened.disk)?;
    let partition = table.partition(number).ok_or_else(|| {
        let there: Vec<_> = table.partitions.iter().map(|partition| partition.number.to_string()).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        let what = format!("there is no partition {number}; there are: {there}");
        Error::new(ErrorKind::OutOfRange, "partition table", what).in_file(&opened.path)
    })?;
    let (start, len) = (partition.range.start, partition.range.end - partition.range.start);
    let text = format!("number {number}, {}, {len} bytes at byte {start}", partition.partition_type);
    opened.layers.push(Layer { name: "partition", text });
    opened.disk = partition.open(&opened.disk)?;
    Ok(())
}

fn logical_volume(opened: &mut Opened, group: &str, volume: &str) -> Result<()> {
    let scan = lvm2::scan_disk(&opened.disk, &volume::read(&opened.disk)?)?;
    let map = scan.map(group, volume).map_err(|error| error.in_file(&opened.path))?;
    let disk = map.open(std::slice::from_ref(&opened.disk))?;
    for PhysicalVolume { name, uuid, .. } in
        scan.physical.iter().filter(|pv| pv.group.as_deref() == Some(group))
    {
        opened.layers.push(Layer { name: "physical volume", text: format!("{name}, {uuid}") });
    }
    let text = format!("{group}/{volume}, {} bytes", disk.size());
    opened.layers.push(Layer { name: "logical volume", text });
    opened.disk = disk;
    Ok(())
}

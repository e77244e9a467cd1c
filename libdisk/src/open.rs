//! Opening an image file, whatever format it has.

use std::path::Path;
use std::sync::Arc;

use block::{Error, ErrorKind, Observer, Result, Silent};
use image::{Backing, Content, Layer, ova, qcow2};

use crate::{Format, MachineDisk, Origin};

/// How to open.
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// The format, if it is known; an address that names one beats it, and both beat the probe.
    pub format: Option<&'static Format>,
    /// Which other files an image may open.
    pub backing: Backing,
    /// Who watches, and may stop, what takes long: images that are packed are unpacked first.
    pub observer: Option<Arc<dyn Observer>>,
    /// How to speak to AWS.
    #[cfg(feature = "cloud")]
    pub ebs: cloud::ebs::Options,
    /// How to speak to Azure.
    #[cfg(feature = "cloud")]
    pub azure: cloud::azure::Options,
}

/// Opens an image file, in the format that is forced or probed: the disk in it, or of an archive all disks; or the
/// state that an internal snapshot of it keeps.
pub(crate) fn open_file(
    path: &Path,
    forced: Option<&'static Format>,
    snapshot: Option<&str>,
    options: &OpenOptions,
) -> Result<Vec<MachineDisk>> {
    if let (Some(named), None) = (snapshot, forced) {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!("@{named}"));
        if Path::new(&beside).exists() {
            let what = format!(
                "it may mean the internal snapshot {named:?} of {}, and a file of that name: raw:FILE or qcow2:FILE@ is \
                 the file, qcow2:FILE@SNAPSHOT the snapshot",
                block::shown(path)
            );
            return Err(Error::new(ErrorKind::Refused, "address", what).in_file(Path::new(&beside)));
        }
    }
    let file = block::open_file(path)?;
    let format = match forced {
        Some(format) => format,
        None => Format::probe_named(path, &file)?,
    };
    let lowest = Layer { name: "file", text: format!("{}, {} bytes", block::shown(path), file.size()) };
    let backing = &options.backing;
    let observer = options.observer.as_deref().unwrap_or(&Silent);
    let contents = match snapshot {
        Some(named) if *format == qcow2::FORMAT => vec![qcow2::open_snapshot(path, named, backing)?],
        Some(named) => {
            let what = format!("there is no internal snapshot {named:?}; images of qcow2 alone have any");
            return Err(Error::new(ErrorKind::OutOfRange, format.name, what).in_file(path));
        }
        None if *format == ova::FORMAT => ova::open(path, observer)?,
        None => vec![format.open(path, backing, observer)?],
    };
    let handle = |named: &str| -> Result<String> {
        let snapshots = qcow2::Snapshots::of(path)?;
        Ok(snapshots.handle(snapshots.find(named)?).to_owned())
    };
    let snapshot = snapshot.map(handle).transpose()?;
    let several = contents.len() > 1;
    let disk = |(Content { disk, layers, files }, number)| {
        let number = several.then_some(number);
        let layers = std::iter::once(lowest.clone()).chain(layers).collect();
        let origin = Origin::File { path: path.to_owned(), format, number, snapshot: snapshot.clone() };
        let mut disk = MachineDisk::new(disk, layers, origin, None);
        disk.files = files;
        disk
    };
    Ok(contents.into_iter().zip(1..).map(disk).collect())
}

//! A machine: the disks that are one input, whether they are files or snapshots.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use block::{Disk, Error, ErrorKind, Result, shown};
use volume::lvm2::{self, PhysicalVolume};

use crate::open::open_file;
use crate::{Address, Format, Layer, Location, OpenOptions, Place};

/// A source of one disk or more. The first is the one that the machine starts from.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What it was called when it was opened.
    pub name: String,
    /// At least one.
    disks: Vec<MachineDisk>,
    /// What its cloud knows of it.
    pub facts: Option<CloudFacts>,
}

/// A disk of a machine.
#[derive(Debug, Clone)]
pub struct MachineDisk {
    /// Its bytes.
    pub disk: Disk,
    /// The layers from the file, or snapshot, up to the device.
    pub layers: Vec<Layer>,
    /// Where it is.
    pub origin: Origin,
    /// The files of this machine that its bytes come from.
    pub files: Vec<PathBuf>,
    /// What it is for.
    pub role: Role,
    /// The device that it was on its machine, if that is known: "/dev/xvda".
    pub device: Option<String>,
    identity: OnceLock<[u8; 32]>,
}

/// Where a disk is.
#[derive(Debug, Clone)]
pub enum Origin {
    /// In a file, or on a block device.
    File {
        /// Its path.
        path: PathBuf,
        /// The format of the image.
        format: &'static Format,
        /// Which of several disks in it: the first is number 1.
        number: Option<u32>,
        /// Which internal snapshot it is, by what names that alone.
        snapshot: Option<String>,
    },
    /// In a snapshot in AWS.
    #[cfg(feature = "cloud")]
    Snapshot(cloud::ebs::Snapshot),
    /// In a blob in Azure, in this format.
    #[cfg(feature = "cloud")]
    Blob(cloud::azure::PageBlob, &'static Format),
    /// A managed disk in Azure, or a snapshot of one, which is open for as long.
    #[cfg(feature = "cloud")]
    Managed(cloud::azure::OpenDisk, &'static Format),
}

/// What a disk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The machine starts from it.
    Os,
    /// Any other.
    Data,
}

/// What a cloud knows of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudFacts {
    /// The region.
    pub region: String,
    /// The instance, if one was named.
    pub instance: Option<String>,
    /// What EC2 knows of it beside its volumes.
    #[cfg(feature = "cloud")]
    pub described: Option<cloud::ebs::Described>,
    /// The times of the snapshots, in words, if they are not of one instant.
    pub unequal_times: Option<String>,
}

impl Machine {
    /// A machine of these disks, the one that it starts from first; `None` if there are none.
    pub fn new(name: String, mut disks: Vec<MachineDisk>, facts: Option<CloudFacts>) -> Option<Self> {
        for (index, disk) in disks.iter_mut().enumerate() {
            disk.role = if index == 0 { Role::Os } else { Role::Data };
        }
        (!disks.is_empty()).then_some(Self { name, disks, facts })
    }

    /// All disks, that of the operating system first.
    pub fn disks(&self) -> &[MachineDisk] {
        &self.disks
    }

    /// Whether any of it is fetched from elsewhere, so that each block costs time and money.
    pub fn is_remote(&self) -> bool {
        self.disks.iter().any(|disk| !matches!(disk.origin, Origin::File { .. }))
    }

    /// The disk that the machine starts from.
    pub fn os_disk(&self) -> &MachineDisk {
        &self.disks[0]
    }

    /// Its other disks.
    pub fn data_disks(&self) -> &[MachineDisk] {
        &self.disks[1..]
    }

    /// The device names that are known from elsewhere, a plan say, in the order of the disks.
    pub fn name_devices(&mut self, devices: impl IntoIterator<Item = Option<String>>) {
        for (disk, device) in self.disks.iter_mut().zip(devices) {
            disk.device = disk.device.take().or(device);
        }
    }

    /// A part of it, which is a machine of one disk.
    fn part(mut self, place: &Place) -> Result<Self> {
        match place {
            Place::Disk => return Ok(self),
            Place::Numbered(disk) => self.narrow_to_disk(*disk)?,
            Place::Partition { disk, number } => {
                self.narrow_to_disk(*disk)?;
                self.disks[0].narrow_to_partition(*number)?;
            }
            Place::LogicalVolume { group, volume } => self.narrow_to_logical_volume(group, volume)?,
        }
        self.disks.truncate(1);
        Ok(self)
    }

    /// Puts the disk with this number first.
    fn narrow_to_disk(&mut self, number: u32) -> Result<()> {
        let count = self.disks.len();
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let Some(index) = index.filter(|index| *index < count) else {
            let disks = if count == 1 { "1 disk".to_owned() } else { format!("{count} disks") };
            let what = format!("there is no disk {number}; the machine has {disks}");
            return Err(Error::new(ErrorKind::OutOfRange, "machine", what).in_file(Path::new(&self.name)));
        };
        self.disks.swap(0, index);
        self.disks[0].role = Role::Os;
        Ok(())
    }

    fn narrow_to_logical_volume(&mut self, group: &str, volume: &str) -> Result<()> {
        let disks: Vec<_> = self.disks.iter().map(|disk| disk.disk.clone()).collect();
        let mut places = Vec::new();
        for (index, disk) in disks.iter().enumerate() {
            places.extend(volume::read(disk)?.places(index, disk.size()));
        }
        let scan = lvm2::scan_places(&disks, &places)?;
        let map = scan.map(group, volume).map_err(|error| error.in_file(Path::new(&self.name)))?;
        let first = &mut self.disks[0];
        first.disk = map.open(&disks)?;
        let members = scan.physical.iter().filter(|physical| physical.group.as_deref() == Some(group));
        for PhysicalVolume { name, uuid, .. } in members {
            first.layers.push(Layer { name: "physical volume", text: format!("{name}, {uuid}") });
        }
        let text = format!("{group}/{volume}, {} bytes", first.disk.size());
        first.layers.push(Layer { name: "logical volume", text });
        first.identity = OnceLock::new();
        Ok(())
    }
}

impl MachineDisk {
    /// A disk of which nothing else is known.
    pub fn new(disk: Disk, layers: Vec<Layer>, origin: Origin, device: Option<String>) -> Self {
        let files = Vec::new();
        Self { disk, layers, origin, files, role: Role::Os, device, identity: OnceLock::new() }
    }

    /// What tells it from other disks: see [`identity`](crate::identity()). As it was when this was first
    /// asked.
    ///
    /// # Errors
    /// What the layers report.
    pub fn identity(&self) -> Result<[u8; 32]> {
        if let Some(known) = self.identity.get() {
            return Ok(*known);
        }
        let found = crate::identity(&self.disk)?;
        Ok(*self.identity.get_or_init(|| found))
    }

    fn narrow_to_partition(&mut self, number: u32) -> Result<()> {
        let table = volume::read(&self.disk)?;
        let partition = table.partition(number).ok_or_else(|| {
            let there: Vec<_> =
                table.partitions.iter().map(|partition| partition.number.to_string()).collect();
            let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            let what = format!("there is no partition {number}; there are: {there}");
            let error = Error::new(ErrorKind::OutOfRange, "partition table", what);
            error.in_file(Path::new(&self.origin.to_string()))
        })?;
        let (start, len) = (partition.range.start, partition.range.end - partition.range.start);
        let text = format!("number {number}, {}, {len} bytes at byte {start}", partition.partition_type);
        self.layers.push(Layer { name: "partition", text });
        self.disk = partition.open(&self.disk)?;
        self.identity = OnceLock::new();
        Ok(())
    }
}

impl Origin {
    /// The path, if it is a file.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            #[cfg(feature = "cloud")]
            Self::Snapshot(_) | Self::Blob(..) | Self::Managed(..) => None,
        }
    }

    /// The file, if its active state is all that is meant: what can be the backing file of another.
    pub fn whole_file(&self) -> Option<&Path> {
        match self {
            Self::File { path, snapshot: None, .. } => Some(path),
            _ => None,
        }
    }

    /// The format of the image; that of a snapshot is raw.
    pub fn format(&self) -> &'static Format {
        match self {
            Self::File { format, .. } => format,
            #[cfg(feature = "cloud")]
            Self::Snapshot(_) => &image::raw::FORMAT,
            #[cfg(feature = "cloud")]
            Self::Blob(_, format) | Self::Managed(_, format) => format,
        }
    }

    /// The snapshot, if it is one.
    #[cfg(feature = "cloud")]
    pub fn snapshot(&self) -> Option<&cloud::ebs::Snapshot> {
        match self {
            Self::Snapshot(snapshot) => Some(snapshot),
            _ => None,
        }
    }

    /// The blob that its pages are in, if it is in Azure.
    #[cfg(feature = "cloud")]
    pub fn blob(&self) -> Option<&cloud::azure::PageBlob> {
        match self {
            Self::Blob(blob, _) => Some(blob),
            Self::Managed(open, _) => Some(open.blob()),
            _ => None,
        }
    }

    /// The managed disk, if it is one.
    #[cfg(feature = "cloud")]
    pub fn managed(&self) -> Option<&cloud::azure::OpenDisk> {
        match self {
            Self::Managed(open, _) => Some(open),
            _ => None,
        }
    }

    /// Says of what is far away whether what follows is a transfer of everything, which is read once.
    #[cfg(feature = "cloud")]
    pub fn set_streaming(&self, streaming: bool) {
        match self {
            Self::File { .. } => {}
            Self::Snapshot(snapshot) => snapshot.set_streaming(streaming),
            Self::Blob(blob, _) => blob.set_streaming(streaming),
            Self::Managed(open, _) => open.blob().set_streaming(streaming),
        }
    }

    /// Whether two are one.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::File { path: a, number: of_a, snapshot: at_a, .. },
                Self::File { path: b, number: of_b, snapshot: at_b, .. },
            ) => {
                let inode = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
                (of_a, at_a) == (of_b, at_b) && (a == b || inode(a).is_some_and(|a| inode(b) == Some(a)))
            }
            #[cfg(feature = "cloud")]
            (Self::Snapshot(a), Self::Snapshot(b)) => (a.id(), a.region()) == (b.id(), b.region()),
            #[cfg(feature = "cloud")]
            (Self::Blob(a, _), Self::Blob(b, _)) => a.url() == b.url(),
            #[cfg(feature = "cloud")]
            (Self::Managed(a, _), Self::Managed(b, _)) => a.id() == b.id(),
            #[cfg(feature = "cloud")]
            _ => false,
        }
    }
}

/// The address that names this disk alone.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, snapshot: Some(snapshot), .. } => {
                write!(f, "{}", Location::snapshot(path, snapshot))
            }
            Self::File { path, number: None | Some(1), .. } => write!(f, "{}", shown(path)),
            Self::File { path, number: Some(number), .. } => write!(f, "{}#disk{number}", shown(path)),
            #[cfg(feature = "cloud")]
            Self::Snapshot(snapshot) => write!(f, "ebs:{}@{}", snapshot.id(), snapshot.region()),
            #[cfg(feature = "cloud")]
            Self::Blob(blob, _) => write!(f, "azure:{}", blob.url()),
            #[cfg(feature = "cloud")]
            Self::Managed(open, _) => write!(f, "azure:{}", open.id()),
        }
    }
}

/// Opens the machine whose disks `addresses` name, in their order: one image, several, an instance, or any
/// mixture. Where the first address names a part of a disk, a partition or a logical volume, the machine is
/// that part alone; for a path in the guest's tree it is all of the machine, and finding the file is the
/// caller's.
///
/// # Errors
/// `Unsupported` for what we do not open, by name; `Refused` for a disk that is named twice, for a part of a
/// further disk, and for backing files that are not allowed; `OutOfRange` for a part that is not there; what
/// the layers report.
pub fn open_machine(addresses: &[Address], options: &OpenOptions) -> Result<Machine> {
    let Some((first, further)) = addresses.split_first() else {
        return Err(Error::unsupported("machine", "no disk is named"));
    };
    if let Some(part) = further.iter().find(|address| address.place != Place::Disk || address.path.is_some())
    {
        let what = format!("{part} names a part of a disk, and a further disk is taken as a whole");
        return Err(Error::new(ErrorKind::Refused, "machine", what));
    }
    let (mut disks, mut facts) = (Vec::new(), None);
    for address in addresses {
        let (found, known) = open_location(&address.location, options)?;
        facts = facts.or(known);
        disks.extend(found);
    }
    for (number, disk) in disks.iter().enumerate() {
        if disks[..number].iter().any(|other| other.origin.is_same(&disk.origin)) {
            let what = format!("{} is named twice, and is one disk", disk.origin);
            return Err(Error::new(ErrorKind::Refused, "machine", what));
        }
    }
    let name = first.location.to_string();
    let machine = Machine::new(name, disks, facts);
    machine.ok_or_else(|| Error::unsupported("machine", "no disk is named"))?.part(&first.place)
}

/// Opens what `address` names, if it is one disk or a part of one; of a machine the disk that it starts from.
///
/// # Errors
/// As [`open_machine`].
pub fn open(address: &Address, options: &OpenOptions) -> Result<MachineDisk> {
    Ok(open_machine(std::slice::from_ref(address), options)?.os_disk().clone())
}

fn open_location(
    location: &Location,
    options: &OpenOptions,
) -> Result<(Vec<MachineDisk>, Option<CloudFacts>)> {
    match location {
        Location::File { path, format, snapshot } => {
            let forced = format.or(options.format);
            Ok((open_file(path, forced, snapshot.as_deref(), options)?, None))
        }
        #[cfg(feature = "cloud")]
        Location::Ebs(name) => crate::snapshots::open(name, &options.ebs),
        #[cfg(not(feature = "cloud"))]
        Location::Ebs(_) => Err(Error::unsupported("ebs", "this program was built without AWS")),
        #[cfg(feature = "cloud")]
        Location::Azure(name) => Ok((vec![crate::blobs::open(name, &options.azure)?], None)),
        #[cfg(not(feature = "cloud"))]
        Location::Azure(_) => Err(Error::unsupported("azure", "this program was built without Azure")),
    }
}

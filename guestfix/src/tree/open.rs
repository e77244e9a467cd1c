//! From disks to a tree: the partition tables, every file system, the root, and the guest's own fstab.

use libdisk::block::{self, Disk, ErrorKind, Overlay, Zeros};
use libdisk::vfs::{FileSystem, FsError, Info, NodeId, State};
use libdisk::volume::{self, Kind, Partition, PartitionTable, SignatureKind, lvm2, volume_name, wrap};

use super::{Blind, Mounted, SYSTEM_PARTITION, Tree, windows};
use crate::device::{Device, Logical, Part};
use crate::facts::{DataDisk, Lvm, Machine, OsKind, TableKind, Volume, VolumeGroup};
use crate::inspect::devices;
use crate::path::{Last, Place, resolve};
use crate::text::bytes::{decode, encode};
use crate::text::fstab;
use crate::unread::Noting;
use crate::{Disks, Error, Result, View};

/// Bytes of a sector of the disks that the targets make: a VHD knows no others. That of the source does not
/// matter, a VHDX with sectors of 4,096 bytes, say.
const SECTOR: u32 = 512;

/// A volume and its file system, if it has one that we read.
pub(super) struct Found {
    pub(super) volume: Volume,
    pub(super) fs: Option<Box<dyn FileSystem>>,
    pub(super) is_esp: bool,
    /// A BIOS starts it.
    pub(super) is_active: bool,
}

impl Tree {
    /// Reads the disks of a guest: their partition tables, their file systems, the guest's own fstab. Nothing
    /// is written: journals that must be replayed are, in overlays, and the tree shows what that gives.
    ///
    /// Volume groups, and what fstab names, are looked for on all disks together. Disks without a root file
    /// system open too; [`has_root`](Self::has_root) tells. A first disk with one file system and no
    /// operating system shows that file system at "/".
    ///
    /// # Errors
    /// If a disk cannot be read, or the partition table of the first or the root file system is corrupt.
    pub fn open(disks: impl Into<Disks>) -> Result<Self> {
        let disks = disks.into();
        let (mut found, mut data_disks, mut machine) = (Vec::new(), Vec::new(), None);
        for (index, (disk, device)) in disks.all().iter().zip(disks.devices()).enumerate() {
            let table = match volume::read(disk) {
                Err(error) if index > 0 && is_of_the_content(&error) => {
                    data_disks.push(data_disk(index, disk, device, Err(error.to_string())));
                    continue;
                }
                table => table?,
            };
            match index {
                0 => machine = Some(without_volumes(disk, &table)?),
                _ => data_disks.push(data_disk(index, disk, device, Ok(&table))),
            }
            found.extend(volumes(&disks, index, &table)?);
        }
        let machine = machine.ok_or_else(|| Error::Refused("a guest without a disk".into()))?;
        let lvm = logical_volumes(&disks, &mut found)?;
        let volumes = found.iter().map(|found| found.volume.clone()).collect();
        let mut machine = Machine { data_disks, volumes, lvm, remote: disks.are_remote(), ..machine };
        let mut tree =
            Self { disks: disks.all().to_vec(), ..Self::from_filesystems(Vec::new(), machine.clone()) };
        if let Some((root, system)) = root_of(&found)? {
            tree.add(&mut machine, &mut found, root, b"/".to_vec());
            match system {
                OsKind::Linux => tree.mount_the_rest(&mut machine, &mut found)?,
                OsKind::Windows => tree.mount_system_partition(&mut machine, &mut found, root),
            }
        }
        tree.machine = machine;
        Ok(tree)
    }

    /// Mounts what fstab names, outer mounts first, and the EFI system partition where it usually is.
    fn mount_the_rest(&mut self, machine: &mut Machine, found: &mut [Found]) -> Result<()> {
        // One that cannot be read is told by the rules that look at it: here the other volumes still count.
        let text = Noting::new(&*self).text("/etc/fstab")?;
        let entries = fstab::entries(&text.unwrap_or_default());
        let root = entries.iter().find(|entry| entry.target == "/").map(|entry| entry.spec.clone());
        let (mut points, mut blind): (Vec<(String, usize, Option<String>)>, _) = (Vec::new(), Vec::new());
        for entry in entries {
            if !entry.target.starts_with('/') || entry.target == "/" {
                continue;
            }
            let named = devices::resolve(machine, &entry.spec, root.as_deref());
            let index = named.and_then(|named| found.iter().position(|one| one.volume.name == named.name));
            let mut options = entry.options.split(',');
            match index {
                Some(index) => {
                    let subvolume = options.find_map(|option| option.strip_prefix("subvol="));
                    points.push((entry.target, index, subvolume.map(str::to_owned)));
                }
                None if OF_THE_SYSTEM.contains(&entry.target.as_str())
                    && devices::is_device(&entry.spec)
                    && options.all(|option| option != "noauto") =>
                {
                    let why =
                        format!("{} belongs here, and no volume that can be read has that name", entry.spec);
                    blind.push(Blind { point: entry.target.into_bytes(), why });
                }
                None => {}
            }
        }
        points.sort_by_key(|(target, ..)| target.matches('/').count());
        // One without anything on it has nothing to hide.
        let holds = |found: &Found| found.fs.is_some() || found.volume.kind.is_some();
        if let Some(esp) = found.iter().position(|found| found.is_esp && holds(found))
            && points.iter().all(|(_, index, _)| *index != esp)
        {
            points.push(("/boot/efi".to_owned(), esp, None));
        }
        for (target, index, subvolume) in points {
            // As systemd does, a missing mount point is thought to be there; one through a file is not.
            let place = match resolve(self, &encode(&target), Last::Follow) {
                Ok(place) => place,
                Err(error) => {
                    let why = error.unread()?.to_string();
                    tracing::warn!(target, why, "a mount point of fstab is not reached");
                    continue;
                }
            };
            match place {
                Place::Found(point) | Place::Absent(point) => {
                    if let Some(name) = subvolume {
                        self.choose_subvolume(machine, &mut found[index], index, &name)?;
                    }
                    let is_open = found[index].fs.is_some() || machine.volumes[index].mounted_at.is_some();
                    blind.extend(
                        (!is_open)
                            .then(|| Blind { why: unopened(&found[index].volume), point: point.clone() }),
                    );
                    self.add(machine, found, index, point);
                }
                Place::Blocked(_) => tracing::warn!(target, "a mount point of fstab is not a directory"),
            }
        }
        self.blind = blind;
        Ok(())
    }

    /// Mounts what the firmware starts Windows from, where it is another volume.
    fn mount_system_partition(&mut self, machine: &mut Machine, found: &mut [Found], root: usize) {
        let Some(index) = windows::system_partition(machine.table, found, root) else { return };
        let point = SYSTEM_PARTITION.as_bytes().to_vec();
        if found[index].fs.is_none() {
            self.blind.push(Blind { why: unopened(&found[index].volume), point: point.clone() });
        }
        self.add(machine, found, index, point);
    }

    /// Opens the subvolume that is to be mounted next. Of a volume that is mounted already only if it is that
    /// of the root, for a path is looked up on one volume, not on one subvolume.
    fn choose_subvolume(&self, machine: &Machine, found: &mut Found, index: usize, name: &str) -> Result<()> {
        let volume = &machine.volumes[index];
        if !self.disks.is_empty() && matches!(volume.mounted_at.as_deref(), None | Some("/")) {
            let opened = libdisk::open_subvolume(&volume.device.open(&self.disks)?, name);
            found.fs = opened.map_err(|source| failed(volume, source))?.or(found.fs.take());
        }
        Ok(())
    }

    /// Mounts a file system, unless it has none to mount or is mounted already.
    fn add(&mut self, machine: &mut Machine, found: &mut [Found], index: usize, point: Vec<u8>) {
        if self.mounts.iter().any(|mount| mount.point == point) {
            return;
        }
        let Some(fs) = found[index].fs.take() else { return };
        let mounted_at = &mut machine.volumes[index].mounted_at;
        *mounted_at = mounted_at.take().or_else(|| Some(decode(&point)));
        self.mounts.push(Mounted { point, fs });
        // What was absent, or below the mount point, may be something else now.
        self.nodes.borrow_mut().clear();
        self.spellings.borrow_mut().clear();
    }
}

/// Where parts of a system are that rules and the boot look at.
const OF_THE_SYSTEM: [&str; 4] = ["/boot", "/etc", "/usr", "/var"];

/// Why nothing of a volume that belongs somewhere is seen.
fn unopened(volume: &Volume) -> String {
    let (name, kind) = (&volume.name, volume.kind_name().unwrap_or("nothing that refloat knows"));
    match &volume.unreadable {
        Some(why) => format!("{name} ({kind}) belongs here, and is not opened: {why}"),
        None => format!("{name} belongs here, and holds {kind}"),
    }
}

/// Whether the bytes are at fault, and not the device that they are read from.
fn is_of_the_content(error: &block::Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::OutOfRange)
}

fn data_disk(
    index: usize,
    disk: &Disk,
    device: &Option<String>,
    table: Result<&PartitionTable, String>,
) -> DataDisk {
    let (name, device, size) = (volume_name(index, None), device.clone(), disk.size());
    match table {
        Ok(table) => {
            let (faults, table) = (table.faults(SECTOR), table_kind(&table.kind));
            DataDisk { name, device, size, table, table_faults: faults, unreadable: None }
        }
        Err(why) => DataDisk { name, device, size, unreadable: Some(why), ..DataDisk::default() },
    }
}

fn table_kind(kind: &Kind) -> TableKind {
    match kind {
        Kind::Gpt { .. } => TableKind::Gpt,
        Kind::Mbr { .. } => TableKind::Mbr,
        Kind::None => TableKind::None,
    }
}

/// What the disk that the machine starts from is, but for what is on it.
fn without_volumes(disk: &Disk, table: &PartitionTable) -> Result<Machine> {
    let firmware = volume::boot::firmware(disk, table)?;
    Ok(Machine {
        size: disk.size(),
        remote: false,
        table: table_kind(&table.kind),
        table_faults: table.faults(SECTOR),
        data_disks: Vec::new(),
        bios: if firmware.bios.likely { firmware.bios.found } else { Vec::new() },
        uefi: if firmware.uefi.likely { firmware.uefi.found } else { Vec::new() },
        volumes: Vec::new(),
        lvm: Lvm::default(),
    })
}

/// The machine whose disk, one file system and nothing else, gets `head` before it: see [`wrap::wrap_bare`].
pub(crate) fn wrapped(machine: &Machine, head: &[u8]) -> Result<Machine> {
    let disk = wrap::wrap_bare(Disk::new(Zeros::new(machine.size)), head)?;
    let table = volume::read(&disk)?;
    let (first, mut others): (Vec<_>, Vec<_>) =
        machine.volumes.iter().cloned().partition(|volume| volume.device.disks().contains(&0));
    let ([whole], [partition]) = (first.as_slice(), table.partitions.as_slice()) else {
        return Err(Error::Refused("the disk is more than one file system".into()));
    };
    let Volume { name, number, device, partuuid, partlabel, type_name, .. } = on_partition(0, partition);
    let volume = Volume { name, number, device, partuuid, partlabel, type_name, ..whole.clone() };
    others.insert(0, volume);
    Ok(Machine {
        volumes: others,
        lvm: machine.lvm.clone(),
        data_disks: machine.data_disks.clone(),
        remote: machine.remote,
        ..without_volumes(&disk, &table)?
    })
}

/// Every partition of a disk that holds something, or the whole disk where there is no table.
fn volumes(disks: &Disks, index: usize, table: &PartitionTable) -> Result<Vec<Found>> {
    if table.kind == Kind::None {
        let part = Part { disk: index, range: 0..disks.all()[index].size() };
        let volume =
            Volume { name: volume_name(index, None), device: Device::Range(part), ..Volume::blank() };
        return Ok(vec![identify(disks, volume)?]);
    }
    let partitions = table.partitions.iter().filter(|partition| !partition.partition_type.is_extended());
    let on = |partition: &Partition| -> Result<Found> {
        let found = identify(disks, on_partition(index, partition))?;
        Ok(Found { is_esp: partition.partition_type.is_esp(), is_active: partition.active, ..found })
    };
    partitions.map(on).collect()
}

/// The volume on a partition of the disk with this index, as far as the table tells.
fn on_partition(disk: usize, partition: &Partition) -> Volume {
    Volume {
        name: volume_name(disk, Some(partition.number)),
        number: partition.number,
        device: Device::Range(Part { disk, range: partition.range.clone() }),
        partuuid: Some(partition.part_uuid.clone()).filter(|uuid| !uuid.is_empty()),
        partlabel: Some(partition.name.clone()).filter(|name| !name.is_empty()),
        type_name: Some(partition.partition_type.to_string()),
        ..Volume::blank()
    }
}

/// Adds the logical volumes; those that cannot be opened have nothing on them.
fn logical_volumes(disks: &Disks, found: &mut Vec<Found>) -> Result<Lvm> {
    let place = |found: &Found| {
        let Part { disk, range } = found.volume.device.part()?.clone();
        Some(volume::Place { disk, name: found.volume.name.clone(), range })
    };
    let places: Vec<_> = found.iter().filter_map(place).collect();
    let scan = lvm2::scan_places(disks.all(), &places)?;
    let mut groups = Vec::new();
    for group in &scan.groups {
        for logical in &group.volumes {
            let volume = Volume {
                name: format!("{}/{}", group.name, logical.name),
                device: Device::Logical(Logical::new(logical)),
                type_name: Some("logical volume".to_owned()),
                ..Volume::blank()
            };
            found.push(match &logical.map {
                Ok(_) => identify(disks, volume)?,
                Err(_) => Found { volume, fs: None, is_esp: false, is_active: false },
            });
        }
        let on = scan.physical.iter().filter(|physical| physical.group.as_ref() == Some(&group.name));
        groups.push(VolumeGroup {
            name: group.name.clone(),
            uuid: group.uuid.clone(),
            on: on.map(|physical| physical.name.clone()).collect(),
        });
    }
    Ok(Lvm { groups, problems: scan.problems })
}

/// Opens the file system of a volume, or names what else it holds. One damaged volume must not hide the
/// others: it stays without a file system.
fn identify(disks: &Disks, mut volume: Volume) -> Result<Found> {
    let device = volume.device.open(disks.all())?;
    let remote = disks.are_remote();
    let fs = match libdisk::open_filesystem(&device).and_then(|fs| told(fs, remote)) {
        Ok(Some((fs, info, free))) => {
            describe(&mut volume, info, free);
            if volume.needs_recovery {
                Some(recovered(&device, &mut volume, fs, remote)?)
            } else {
                volume.read_only = why_read_only(&device)?;
                let subvolume = root_subvolume(&device, &*fs).unwrap_or_else(|error| {
                    tracing::info!(volume = volume.name, %error, "no subvolume is looked for");
                    None
                });
                Some(subvolume.unwrap_or(fs))
            }
        }
        Ok(None) => None,
        Err(FsError::Device(error)) => return Err(error.into()),
        Err(error) => {
            volume.unreadable = why_unreadable(&device, &error)?;
            None
        }
    };
    if fs.is_none()
        && let Some(signature) = volume::signature(&device)?
    {
        volume.kind = Some(signature.kind);
        volume.uuid = signature.uuid;
        volume.label = signature.label;
    }
    Ok(Found { volume, fs, is_esp: false, is_active: false })
}

/// What to say of a volume that is not opened: nothing, where there is nothing to open.
fn why_unreadable(device: &Disk, error: &FsError) -> Result<Option<String>> {
    let signature = volume::signature(device)?;
    let kind = signature.as_ref().map(|signature| signature.kind);
    if matches!(kind, Some(SignatureKind::Swap | SignatureKind::Suspended | SignatureKind::Lvm2)) {
        return Ok(None);
    }
    let no_driver = libdisk::driver(device).is_ok_and(|driver| driver.is_none());
    Ok(Some(match signature {
        Some(signature) if no_driver => format!("{}, which refloat does not read", signature.describe()),
        _ => error.to_string(),
    }))
}

/// What keeps the file system from being edited; it has no journal that must be replayed.
fn why_read_only(device: &Disk) -> Result<Option<String>> {
    let overlay = Overlay::new(device.clone())?;
    let begun = libdisk::open_filesystem_mut(&overlay.writer())
        .and_then(|fs| fs.map_or(Ok(()), |mut fs| fs.begin().map(drop)));
    match begun {
        Err(FsError::Device(error)) => Err(error.into()),
        Err(FsError::Unsupported(what)) => Ok(Some(format!("not supported: {what}"))),
        _ => Ok(None),
    }
}

/// The file system as it is once its journal is replayed, in an overlay of its own: without that, files may
/// be old. As it is now where the journal cannot be replayed.
fn recovered(
    device: &Disk,
    volume: &mut Volume,
    fs: Box<dyn FileSystem>,
    remote: bool,
) -> Result<Box<dyn FileSystem>> {
    let overlay = Overlay::new(device.clone())?;
    let replayed = libdisk::replay_filesystem(&overlay.writer())
        .and_then(|_| libdisk::open_filesystem(&overlay.disk()))
        .and_then(|fs| told(fs, remote));
    match replayed {
        Ok(Some((fs, info, free))) => {
            describe(volume, info, free);
            volume.needs_recovery = true;
            Ok(fs)
        }
        Ok(None) => Ok(fs),
        Err(FsError::Device(error)) => Err(error.into()),
        Err(error) => {
            tracing::info!(volume = volume.name, %error, "a journal that cannot be replayed");
            volume.unrecoverable = Some(error.to_string());
            Ok(fs)
        }
    }
}

/// A file system with what it tells of itself, and its free space. That of NTFS is counted in a map of all
/// clusters, and not where each block of that is paid for.
#[allow(clippy::type_complexity, reason = "it is taken apart at once")]
fn told(
    fs: Option<Box<dyn FileSystem>>,
    remote: bool,
) -> Result<Option<(Box<dyn FileSystem>, Info, Option<u64>)>, FsError> {
    let Some(fs) = fs else { return Ok(None) };
    let info = fs.info()?;
    let free = if remote && info.kind == "ntfs" { None } else { Some(fs.free(u64::MAX)?) };
    Ok(Some((fs, info, free)))
}

fn describe(volume: &mut Volume, info: Info, free: Option<u64>) {
    volume.kind = info.kind.parse().ok();
    volume.uuid = info.uuid;
    volume.label = info.label;
    volume.needs_recovery = info.state == State::NeedsRecovery;
    volume.free = free;
    volume.free_nodes = info.free_nodes;
}

/// What an operating system's root holds: all of one of these lists of paths.
struct Recogniser {
    system: OsKind,
    /// It is one.
    sure: &'static [&'static [&'static str]],
    /// It looks like one.
    likely: &'static [&'static [&'static str]],
}

/// What roots are known by. Names of NTFS and FAT are found in whatever case they are written.
const ROOTS: [Recogniser; 2] = [
    Recogniser {
        system: OsKind::Linux,
        sure: &[&["etc/os-release"], &["usr/lib/os-release"]],
        likely: &[&["etc", "usr"], &["etc", "bin"]],
    },
    Recogniser {
        system: OsKind::Windows,
        sure: &[&["Windows/System32/config/SYSTEM", "Windows/System32/ntoskrnl.exe"]],
        likely: &[&["Windows/System32"]],
    },
];

/// The volume that holds the guest's root, and what of: the first that is one, else the first that looks like
/// one, else the only file system of the first disk, the EFI partition aside. Volumes that have a part on that
/// disk come before all others.
fn root_of(found: &[Found]) -> Result<Option<(usize, OsKind)>> {
    let on_first = |index: &usize| found[*index].volume.device.disks().contains(&0);
    let (mut order, others): (Vec<_>, Vec<_>) = (0..found.len()).partition(on_first);
    let shows = |index: &usize| found[*index].fs.is_some() && !found[*index].is_esp;
    let mut of_first = order.clone().into_iter().filter(shows);
    let only = of_first.next().filter(|_| of_first.next().is_none());
    order.extend(others);
    let (mut likely, mut windows) = (None, Vec::new());
    for index in order {
        let candidate = &found[index];
        let Some(fs) = &candidate.fs else { continue };
        let holds = |lists| holds(&**fs, lists).map_err(|source| failed(&candidate.volume, source));
        for root in &ROOTS {
            match (root.system, holds(root.sure)?) {
                // Of several Windows one is chosen.
                (OsKind::Windows, true) => windows.push(index),
                (OsKind::Linux, true) if windows.is_empty() => return Ok(Some((index, root.system))),
                _ if likely.is_none() && holds(root.likely)? => likely = Some((index, root.system)),
                _ => {}
            }
        }
    }
    // One of another disk does not start.
    if windows.iter().any(on_first) {
        windows.retain(on_first);
    }
    match windows.as_slice() {
        [] => Ok(likely.or(only.map(|index| (index, OsKind::Linux)))),
        [one] => Ok(Some((*one, OsKind::Windows))),
        several => Ok(Some((windows::of_several(found, several)?, OsKind::Windows))),
    }
}

/// Where installers put the root if it is not in the default subvolume: Ubuntu and openSUSE, Debian, Fedora.
const ROOT_SUBVOLUMES: [&str; 3] = ["@", "@rootfs", "root"];

/// The subvolume that holds a root, where the default one does not.
fn root_subvolume(
    device: &Disk,
    default: &dyn FileSystem,
) -> libdisk::vfs::Result<Option<Box<dyn FileSystem>>> {
    if is_root(default)? {
        return Ok(None);
    }
    for name in ROOT_SUBVOLUMES {
        let subvolume = libdisk::open_subvolume(device, name)?;
        if let Some(subvolume) = subvolume
            && is_root(&*subvolume)?
        {
            return Ok(Some(subvolume));
        }
    }
    Ok(None)
}

/// Whether it says which Linux it holds.
fn is_root(fs: &dyn FileSystem) -> libdisk::vfs::Result<bool> {
    holds(fs, ROOTS[0].sure)
}

/// Whether the file system has all paths of one of these lists.
fn holds(fs: &dyn FileSystem, lists: &[&[&str]]) -> libdisk::vfs::Result<bool> {
    for list in lists {
        let mut all = true;
        for path in *list {
            all = all && has(fs, path)?;
        }
        if all {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the file system has this name; links are not followed.
pub(super) fn has(fs: &dyn FileSystem, path: &str) -> libdisk::vfs::Result<bool> {
    let step = |dir: NodeId, name: &str| fs.lookup(dir, name.as_bytes());
    match path.split('/').try_fold(fs.root(), step) {
        Ok(_) => Ok(true),
        Err(FsError::NotFound | FsError::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn failed(volume: &Volume, source: FsError) -> Error {
    Error::Volume { volume: volume.name.clone(), source: source.into() }
}

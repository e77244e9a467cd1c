//! The boot sector and its BIOS parameter block (FAT spec, "Boot Sector and BPB").

use block::Disk;
use vfs::{FsError, Result};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// What all FAT boot sectors begin with.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Parameters {
    jump: [u8; 3],
    oem_name: [u8; 8],
    bytes_per_sector: U16,
    sectors_per_cluster: u8,
    reserved_sectors: U16,
    fats: u8,
    root_entries: U16,
    total_sectors_16: U16,
    media: u8,
    fat_size_16: U16,
    sectors_per_track: U16,
    heads: U16,
    hidden_sectors: U32,
    total_sectors_32: U32,
}

/// What follows on FAT32.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Fat32Parameters {
    fat_size_32: U32,
    flags: U16,
    version: U16,
    root_cluster: U32,
    fs_info: U16,
    backup: U16,
    reserved: [u8; 12],
}

/// What ends the parameters of every FAT, at another place on FAT32.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Extension {
    drive: u8,
    /// Bit 0: the volume was not unmounted. Reserved in the specification; Windows and Linux keep it here.
    state: u8,
    /// 0x29 if the serial number is there.
    signature: u8,
    serial: U32,
    /// A copy of the label, or "NO NAME".
    label: [u8; 11],
}

const PARAMETERS: usize = size_of::<Parameters>();
const FAT32_PARAMETERS: usize = size_of::<Fat32Parameters>();
const _: () = assert!(PARAMETERS == 36 && FAT32_PARAMETERS == 28);

/// The size of a directory entry.
pub(crate) const SLOT: u64 = 32;

/// The first cluster that holds data.
pub(crate) const FIRST_CLUSTER: u32 = 2;

/// How wide the entries of the table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Fat12,
    Fat16,
    Fat32,
}

/// Where a directory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The root directory of FAT12 and FAT16, in front of the clusters.
    Fixed,
    /// A chain that begins with this cluster.
    Chain(u32),
}

/// The layout of a volume: checked, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct BootSector {
    pub(crate) kind: Kind,
    pub(crate) cluster_bytes: u64,
    /// Clusters are numbered from 2 to one more than this.
    pub(crate) clusters: u32,
    /// The start of the first copy of the table.
    table_start: u64,
    pub(crate) table_bytes: u64,
    copies: u64,
    /// The copy that is valid, when they are not kept alike (FAT32 only).
    only_copy: Option<u64>,
    /// The fixed root directory; empty on FAT32.
    pub(crate) fixed_root: std::ops::Range<u64>,
    pub(crate) root: Place,
    data_start: u64,
    pub(crate) size: u64,
    pub(crate) serial: Option<u32>,
    /// The copy of the label, which few writers keep up to date.
    pub(crate) label: Option<[u8; 11]>,
    /// Where the FSInfo sector is.
    pub(crate) fs_info: Option<u64>,
    /// Where the byte with the "not unmounted" bit is.
    pub(crate) state_at: u64,
}

/// Whether sector 0 looks like the start of a FAT volume; a boot loader in an MBR or another file system does
/// not.
pub(crate) fn probe(disk: &Disk) -> Result<bool> {
    if disk.size() < 512 {
        return Ok(false);
    }
    let sector = disk.read_vec(0, 512)?;
    let Ok((parameters, _)) = Parameters::ref_from_prefix(&sector) else { return Ok(false) };
    Ok(sector.ends_with(&[0x55, 0xAA])
        && matches!(parameters.jump, [0xEB, _, 0x90] | [0xE9, _, _])
        && is_sector_size(parameters.bytes_per_sector.get())
        && parameters.sectors_per_cluster.is_power_of_two()
        && parameters.reserved_sectors.get() > 0
        && matches!(parameters.fats, 1..=4)
        && (parameters.media >= 0xF8 || parameters.media == 0xF0))
}

fn is_sector_size(bytes: u16) -> bool {
    matches!(bytes, 512 | 1024 | 2048 | 4096)
}

fn corrupt(offset: u64, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
    FsError::corrupt("boot sector", offset, what)
}

/// The number of the last of so many clusters.
fn last(clusters: u32) -> u64 {
    u64::from(clusters).saturating_add(1)
}

impl Kind {
    /// The specification goes by the number of clusters alone; writers also make small volumes with 32-bit
    /// tables, and all readers then go by the 16-bit size of the table, which is 0 on FAT32 only.
    fn of(clusters: u32, is_fat32: bool) -> Self {
        match clusters {
            _ if is_fat32 => Self::Fat32,
            ..4085 => Self::Fat12,
            _ => Self::Fat16,
        }
    }

    /// How many entries a table has room for.
    fn entries(self, table_bytes: u64) -> u64 {
        match self {
            Self::Fat12 => table_bytes.saturating_mul(2) / 3,
            Self::Fat16 => table_bytes / 2,
            Self::Fat32 => table_bytes / 4,
        }
    }
}

impl Parameters {
    /// Whether they make sense by themselves.
    fn check(&self) -> Result<()> {
        if !is_sector_size(self.bytes_per_sector.get()) {
            return Err(corrupt(11, format!("a sector of {} bytes", self.bytes_per_sector.get())));
        }
        if !self.sectors_per_cluster.is_power_of_two() {
            return Err(corrupt(13, format!("a cluster of {} sectors", self.sectors_per_cluster)));
        }
        if self.reserved_sectors.get() == 0 || !matches!(self.fats, 1..=4) {
            return Err(corrupt(14, "no reserved sectors, or not 1 to 4 copies of the table"));
        }
        Ok(())
    }

    fn total_sectors(&self) -> u32 {
        match self.total_sectors_16.get() {
            0 => self.total_sectors_32.get(),
            sectors => sectors.into(),
        }
    }
}

impl BootSector {
    /// Reads and checks the boot sector.
    pub(crate) fn read(disk: &Disk) -> Result<Self> {
        if disk.size() < 512 {
            return Err(corrupt(0, "the volume is smaller than a sector"));
        }
        Self::parse(&disk.read_vec(0, 512)?, disk.size())
    }

    fn parse(sector: &[u8], device_size: u64) -> Result<Self> {
        let short = || corrupt(0, "it is cut short");
        let (parameters, rest) = Parameters::ref_from_prefix(sector).map_err(|_| short())?;
        let fat32 = (parameters.fat_size_16.get() == 0)
            .then(|| Fat32Parameters::ref_from_prefix(rest).map(|(fat32, _)| fat32).map_err(|_| short()))
            .transpose()?;
        let extension_at = if fat32.is_some() { FAT32_PARAMETERS } else { 0 };
        let (extension, _) = rest
            .get(extension_at..)
            .and_then(|rest| Extension::ref_from_prefix(rest).ok())
            .ok_or_else(short)?;

        if !sector.ends_with(&[0x55, 0xAA]) {
            return Err(corrupt(510, "the signature 55 aa is missing"));
        }
        parameters.check()?;
        if let Some(fat32) = fat32
            && fat32.version.get() != 0
        {
            return Err(FsError::unsupported(format!("FAT32 version {:#06x}", fat32.version.get())));
        }

        // No overflow: all factors have at most 32 bits, and the products are compared with the device.
        let sector_bytes = u64::from(parameters.bytes_per_sector.get());
        let in_bytes = |sectors: u32| u64::from(sectors).saturating_mul(sector_bytes);
        let size = in_bytes(parameters.total_sectors());
        if size == 0 || size > device_size {
            let what = format!("a volume of {size} bytes on a device of {device_size}");
            return Err(corrupt(19, what));
        }
        let table_bytes =
            in_bytes(fat32.map_or(parameters.fat_size_16.get().into(), |fat32| fat32.fat_size_32.get()));
        let copies = u64::from(parameters.fats);
        let table_start = in_bytes(parameters.reserved_sectors.get().into());
        let root_start = table_start.saturating_add(table_bytes.saturating_mul(copies));
        let root_bytes = u64::from(parameters.root_entries.get()).saturating_mul(SLOT);
        let data_start = root_start.saturating_add(root_bytes.next_multiple_of(sector_bytes));
        let cluster_bytes = in_bytes(parameters.sectors_per_cluster.into());
        let clusters = size.saturating_sub(data_start).checked_div(cluster_bytes).unwrap_or(0);
        let clusters = u32::try_from(clusters)
            .ok()
            .filter(|clusters| (1..0x0FFF_FFF5).contains(clusters))
            .ok_or_else(|| corrupt(0, format!("{clusters} clusters behind tables of {table_bytes} bytes")))?;

        let kind = Kind::of(clusters, fat32.is_some());
        if kind.entries(table_bytes) <= last(clusters) || (kind == Kind::Fat16 && clusters >= 65525) {
            return Err(corrupt(22, format!("a table of {table_bytes} bytes for {clusters} clusters")));
        }
        let root = match fat32.map(|fat32| fat32.root_cluster.get()) {
            None if root_bytes > 0 => Place::Fixed,
            None => return Err(corrupt(17, "no root directory")),
            Some(cluster) if cluster < FIRST_CLUSTER || u64::from(cluster) > last(clusters) => {
                return Err(corrupt(44, format!("the root directory begins at cluster {cluster}")));
            }
            Some(cluster) => Place::Chain(cluster),
        };
        let flags = fat32.map_or(0, |fat32| fat32.flags.get());
        let only_copy = (flags & 0x80 != 0).then_some(u64::from(flags & 0x0F));
        if only_copy.is_some_and(|copy| copy >= copies) {
            return Err(corrupt(40, "the active copy of the table is not there"));
        }
        let fs_info = fat32.map(|fat32| fat32.fs_info.get()).filter(|sector| (1..0xFFFF).contains(sector));
        let state_at = PARAMETERS.saturating_add(extension_at).saturating_add(1);

        Ok(Self {
            kind,
            cluster_bytes,
            clusters,
            table_start,
            table_bytes,
            copies,
            only_copy,
            fixed_root: root_start..root_start.saturating_add(root_bytes),
            root,
            data_start,
            size,
            serial: (extension.signature == 0x29).then_some(extension.serial.get()),
            label: (extension.signature == 0x29).then_some(extension.label),
            fs_info: fs_info
                .map(|sector| in_bytes(sector.into()))
                .filter(|offset| offset.saturating_add(512) <= table_start),
            state_at: u64::try_from(state_at).unwrap_or(0),
        })
    }

    /// The start of the copy of the table that is read and written.
    pub(crate) fn table(&self) -> u64 {
        self.copy(self.only_copy.unwrap_or(0))
    }

    /// The starts of the copies that are kept like it.
    pub(crate) fn mirrors(&self) -> impl Iterator<Item = u64> + '_ {
        let copies = if self.only_copy.is_some() { 0 } else { self.copies };
        (1..copies).map(|index| self.copy(index))
    }

    fn copy(&self, index: u64) -> u64 {
        self.table_start.saturating_add(self.table_bytes.saturating_mul(index))
    }

    /// Whether a cluster of this number holds data.
    pub(crate) fn has(&self, cluster: u32) -> bool {
        cluster >= FIRST_CLUSTER && cluster < self.end()
    }

    /// One more than the last cluster.
    pub(crate) fn end(&self) -> u32 {
        self.clusters.saturating_add(FIRST_CLUSTER)
    }

    /// Where a cluster begins on the volume.
    pub(crate) fn offset(&self, cluster: u32) -> u64 {
        let index = u64::from(cluster.saturating_sub(FIRST_CLUSTER));
        self.data_start.saturating_add(index.saturating_mul(self.cluster_bytes))
    }

    /// How many clusters hold so many bytes.
    pub(crate) fn clusters_for(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster_bytes.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 4 << 20;

    /// FAT16: 8,192 sectors, of which 1 is reserved, 2 x 32 are tables and 32 the root directory.
    fn sector() -> Vec<u8> {
        let mut sector = vec![0; 512];
        let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0xEB, 0x3C, 0x90]);
        put(11, &512_u16.to_le_bytes());
        put(13, &[1]);
        put(14, &1_u16.to_le_bytes());
        put(16, &[2]);
        put(17, &512_u16.to_le_bytes());
        put(19, &8192_u16.to_le_bytes());
        put(21, &[0xF8]);
        put(22, &32_u16.to_le_bytes());
        put(38, &[0x29, 0xCD, 0xAB, 0x34, 0x12]);
        put(510, &[0x55, 0xAA]);
        sector
    }

    #[test]
    fn the_layout_follows_from_the_parameters() {
        let boot = BootSector::parse(&sector(), SIZE).unwrap();
        assert_eq!((boot.kind, boot.clusters, boot.cluster_bytes), (Kind::Fat16, 8192 - 1 - 64 - 32, 512));
        assert_eq!((boot.table(), boot.mirrors().collect::<Vec<_>>()), (512, vec![33 * 512]));
        assert_eq!((boot.fixed_root.clone(), boot.offset(2)), (65 * 512..97 * 512, 97 * 512));
        assert_eq!((boot.serial, boot.root, boot.end()), (Some(0x1234_ABCD), Place::Fixed, 8097));
    }

    #[test]
    fn contradictions_are_refused_where_they_are() {
        type Damage = (usize, &'static [u8], u64);
        let damages: [Damage; 9] = [
            (510, &[0], 510),
            (11, &[0, 3], 11),
            (13, &[3], 13),
            (13, &[0], 13),
            (14, &[0, 0], 14),
            (16, &[0], 14),
            (19, &[0, 0], 19),
            (17, &[0, 0], 17),
            // A table of one sector has 256 entries.
            (22, &[1, 0], 22),
        ];
        for (at, bytes, told) in damages {
            let mut sector = sector();
            sector[at..at + bytes.len()].copy_from_slice(bytes);
            match BootSector::parse(&sector, SIZE) {
                Err(FsError::Corrupt { offset, .. }) => assert_eq!(offset, told, "byte {at}"),
                other => panic!("byte {at}: {other:?}"),
            }
        }
        assert!(matches!(BootSector::parse(&sector(), SIZE - 1), Err(FsError::Corrupt { offset: 19, .. })));
        assert!(BootSector::parse(&sector()[..20], SIZE).is_err());
    }
}

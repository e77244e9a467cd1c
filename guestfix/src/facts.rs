//! What is known of a guest, gathered once by `inspect` and read by every rule.

pub mod windows;

use std::collections::BTreeMap;
use std::fmt;

use libdisk::volume::TableFault;
use serde::{Deserialize, Serialize, Serializer};

pub use self::windows::Windows;
pub use libdisk::volume::SignatureKind;

use crate::device::{Device, Part};
use crate::rule::{Evidence, Place};
use crate::unread::Known;

/// Facts that are shown in words.
fn as_text<S: Serializer>(facts: &[impl ToString], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(facts.iter().map(ToString::to_string))
}

/// What is on a volume, by its name.
fn as_name<S: Serializer>(kind: &Option<SignatureKind>, serializer: S) -> Result<S::Ok, S::Error> {
    kind.map(SignatureKind::name).serialize(serializer)
}

/// The kind of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// GUID partition table.
    Gpt,
    /// That of DOS, in the master boot record.
    Mbr,
    /// There is none: the disk is one volume, or empty.
    #[default]
    None,
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpt => "gpt",
            Self::Mbr => "mbr",
            Self::None => "none",
        })
    }
}

/// The disks below the guest's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Machine {
    /// Size of the disk that the machine starts from, in bytes.
    pub size: u64,
    /// Whether it is fetched from elsewhere, so that each block that is looked at costs time and money.
    #[serde(skip)]
    pub remote: bool,
    /// Its partition table.
    pub table: TableKind,
    /// What is wrong with it, although it can be read.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub table_faults: Vec<TableFault>,
    /// Its other disks.
    pub data_disks: Vec<DataDisk>,
    /// What speaks for a start by BIOS: each a line of evidence; empty if nothing does.
    pub bios: Vec<String>,
    /// What speaks for a start by UEFI.
    pub uefi: Vec<String>,
    /// The volumes in the order of the disks, logical ones behind them.
    pub volumes: Vec<Volume>,
    /// What LVM has on all disks.
    pub lvm: Lvm,
}

/// A disk beside that of the operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DataDisk {
    /// Its name in findings and addresses: "disk2" for the machine's second.
    pub name: String,
    /// The device that it was on its machine, if that is known: "/dev/sdf".
    pub device: Option<String>,
    /// In bytes.
    pub size: u64,
    /// Its partition table.
    pub table: TableKind,
    /// What is wrong with the table, although it can be read.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub table_faults: Vec<TableFault>,
    /// Why the table cannot be read, if it cannot; nothing is known of what is on the disk then.
    pub unreadable: Option<String>,
}

impl Machine {
    /// The size of each disk in bytes, that of the operating system first.
    pub fn sizes(&self) -> impl Iterator<Item = (Place, u64)> {
        let sizes = std::iter::once(self.size).chain(self.data_disks.iter().map(|disk| disk.size));
        (0..).map(Place::disk).zip(sizes)
    }

    /// The partition table of each disk that can be read, with what is wrong with it, in the same order.
    pub fn tables(&self) -> impl Iterator<Item = (Place, TableKind, &[TableFault])> {
        let first = (Place::DISK, self.table, self.table_faults.as_slice());
        let further = (1..).zip(&self.data_disks).filter(|(_, disk)| disk.unreadable.is_none());
        let further =
            further.map(|(number, disk)| (Place::disk(number), disk.table, disk.table_faults.as_slice()));
        std::iter::once(first).chain(further)
    }

    /// The disks whose partition table cannot be read, with the reason.
    pub fn unread_tables(&self) -> impl Iterator<Item = (Place, &str)> {
        let further = (1..).zip(&self.data_disks);
        further.filter_map(|(number, disk)| Some((Place::disk(number), disk.unreadable.as_deref()?)))
    }

    /// The volumes that have a part on the disk with this index.
    pub fn volumes_on(&self, disk: usize) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter(move |volume| volume.device.disks().contains(&disk))
    }

    /// Whether a firmware finds something to start.
    pub fn starts(&self) -> bool {
        !self.bios.is_empty() || !self.uefi.is_empty()
    }

    /// Whether it is a paravirtual AMI, if this is its boot loader: no firmware starts its disk, and EC2's
    /// PV-GRUB did.
    pub fn is_paravirtual(&self, loader: Loader) -> bool {
        !self.starts() && self.table != TableKind::Gpt && loader == Loader::GrubLegacy
    }
}

/// What LVM has on the disks, beside its logical volumes, which are [`Volume`]s.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lvm {
    /// The volume groups.
    pub groups: Vec<VolumeGroup>,
    /// All that is not as it should be, in words: damage, physical volumes that are missing or there twice.
    pub problems: Vec<String>,
}

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// The volumes of the machine that it is made of.
    pub on: Vec<String>,
}

/// A partition, a logical volume, or a whole disk where there is no table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Volume {
    /// Its name in addresses: "p1", "vg0/root", "disk" for the whole; on further disks "disk2p1", "disk2".
    pub name: String,
    /// Partition number; 0 for a whole disk, and for a logical volume.
    pub number: u32,
    /// Where on the disks it is.
    #[serde(flatten)]
    pub device: Device,
    /// What is on it, as `blkid` names it: "ext4", "vfat", "xfs", "swap", "LVM2_member"; `None` if nothing
    /// is known.
    #[serde(serialize_with = "as_name")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub kind: Option<SignatureKind>,
    /// UUID as fstab writes it.
    pub uuid: Option<String>,
    /// Volume label.
    pub label: Option<String>,
    /// PARTUUID as Linux writes it.
    pub partuuid: Option<String>,
    /// GPT partition name.
    pub partlabel: Option<String>,
    /// Partition type in words: "EFI system", "Linux filesystem".
    pub type_name: Option<String>,
    /// Where it is in the guest's tree: "/", "/boot"; `None` if it is not mounted there.
    pub mounted_at: Option<String>,
    /// Why what is on it is not opened: damage, an unknown feature, a missing disk, a format that we do not
    /// read. `None` for a file system that is open, for swap and physical volumes, which have no files,
    /// and where nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Its journal must be replayed before it can be edited. Its files are shown as they are after that.
    pub needs_recovery: bool,
    /// Why we cannot replay it; its files are shown without it then.
    pub unrecoverable: Option<String>,
    /// Why nothing can be written to its file system, whatever state it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<String>,
    /// Free bytes, where the file system is known.
    pub free: Option<u64>,
    /// Free inodes, where there is a fixed number.
    pub free_nodes: Option<u64>,
}

impl Volume {
    /// One of which nothing is known, at the start of the first disk.
    pub(crate) fn blank() -> Self {
        Self {
            name: String::new(),
            number: 0,
            device: Device::Range(Part { disk: 0, range: 0..0 }),
            kind: None,
            uuid: None,
            label: None,
            partuuid: None,
            partlabel: None,
            type_name: None,
            mounted_at: None,
            unreadable: None,
            needs_recovery: false,
            unrecoverable: None,
            read_only: None,
            free: None,
            free_nodes: None,
        }
    }

    /// What is on it, as `blkid` names it.
    pub fn kind_name(&self) -> Option<&'static str> {
        self.kind.map(SignatureKind::name)
    }
}

/// Who configures the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum NetworkConfig {
    Netplan,
    Ifupdown,
    Networkd,
    NetworkManager,
    Ifcfg,
    Wicked,
}

impl fmt::Display for NetworkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Netplan => "netplan",
            Self::Ifupdown => "ifupdown",
            Self::Networkd => "networkd",
            Self::NetworkManager => "networkmanager",
            Self::Ifcfg => "ifcfg",
            Self::Wicked => "wicked",
        })
    }
}

/// A program of a cloud, or one that keeps the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[allow(missing_docs, reason = "the names say it")]
pub enum Agent {
    #[serde(rename = "cloud-init")]
    CloudInit,
    #[serde(rename = "amazon-ssm-agent")]
    AmazonSsm,
    #[serde(rename = "ec2-instance-connect")]
    InstanceConnect,
    #[serde(rename = "amazon-cloudwatch-agent")]
    CloudWatch,
    #[serde(rename = "codedeploy-agent")]
    CodeDeploy,
    #[serde(rename = "hibagent")]
    Hibagent,
    #[serde(rename = "walinuxagent")]
    WaLinux,
    #[serde(rename = "chrony")]
    Chrony,
    #[serde(rename = "ntp")]
    Ntp,
    #[serde(rename = "ec2config")]
    Ec2Config,
    #[serde(rename = "ec2launch")]
    Ec2Launch,
    #[serde(rename = "windows-azure-guest-agent")]
    WindowsAzure,
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloudInit => "cloud-init",
            Self::AmazonSsm => "amazon-ssm-agent",
            Self::InstanceConnect => "ec2-instance-connect",
            Self::CloudWatch => "amazon-cloudwatch-agent",
            Self::CodeDeploy => "codedeploy-agent",
            Self::Hibagent => "hibagent",
            Self::WaLinux => "walinuxagent",
            Self::Chrony => "chrony",
            Self::Ntp => "ntp",
            Self::Ec2Config => "ec2config",
            Self::Ec2Launch => "ec2launch",
            Self::WindowsAzure => "windows-azure-guest-agent",
        })
    }
}

/// The family a distribution belongs to: what its tools and paths are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Family {
    Debian,
    Ubuntu,
    RedHat,
    Amazon,
    Suse,
    Fedora,
    Alpine,
    Other,
}

/// The kind of an operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum OsKind {
    Linux,
    Windows,
}

/// The operating system: from os-release, or from Windows' own registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Os {
    /// What kind it is.
    pub kind: OsKind,
    /// `ID`; "windows".
    pub id: String,
    /// `VERSION_ID`; the build of a Windows: "17763".
    pub version: Option<String>,
    /// `PRETTY_NAME`; `ProductName`, which is corrected for Windows 11.
    pub pretty_name: String,
    /// From `ID` and `ID_LIKE`.
    pub family: Family,
    /// "x86_64", "aarch64": from the ELF header of a program of the guest, or `PROCESSOR_ARCHITECTURE`.
    pub arch: Option<&'static str>,
}

/// Where a driver is, for one kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// In the kernel itself.
    BuiltIn,
    /// A module in the root file system.
    Module,
    /// Nowhere.
    Absent,
}

/// An installed kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Kernel {
    /// "6.1.0-50-amd64".
    pub version: String,
    /// The kernel image, if there is one: "/boot/vmlinuz-6.1.0-50-amd64".
    pub image: Option<String>,
    /// "/lib/modules/6.1.0-50-amd64", resolved, if there is one.
    pub modules: Option<String>,
    /// The initramfs that boot entries give it, else the one that its name asks for.
    pub initramfs: Option<String>,
    /// The drivers of the platforms, by module name with underscores.
    pub drivers: BTreeMap<&'static str, Driver>,
}

impl Kernel {
    /// Whether it has a driver of this name, wherever.
    pub fn has(&self, driver: &str) -> bool {
        self.drivers.get(driver).is_some_and(|place| *place != Driver::Absent)
    }
}

/// One entry of a boot menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BootEntry {
    /// Where its command line is: "/boot/grub/grub.cfg:112".
    pub place: Place,
    /// The menu title.
    pub title: String,
    /// What the loader's default must be for this entry to start: an identifier, or a path of them with `>`
    /// between.
    pub selector: String,
    /// Kernel image as a path in the guest's tree (that is with /boot in front where /boot is a volume of
    /// its own), links resolved.
    pub kernel: String,
    /// Initramfs images likewise, in order; empty for a boot without one.
    pub initrds: Vec<String>,
    /// The kernel command line, GRUB's variables in it filled in.
    pub cmdline: String,
    /// It is the one that starts if nobody touches a key, as far as can be told.
    pub default: bool,
}

/// How a kernel command line is written in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// Behind `linux` in a grub.cfg.
    Linux,
    /// The value of `set name="..."` in a grub.cfg.
    Set(&'static str),
    /// This variable of GRUB's environment block.
    Variable(&'static str),
    /// Behind `options` in an entry of the Boot Loader Specification.
    Options,
    /// Behind `kernel` in a menu.lst.
    Kernel,
    /// Behind `APPEND` in an extlinux.conf.
    Append,
    /// The value of this variable of a shell script.
    Assigned(&'static str),
    /// Behind this word in a comment of a menu.lst, where Debian's update-grub of old reads it.
    Comment(&'static str),
    /// A line of its own.
    Line,
}

/// A kernel command line, or a part of one, where it is written: in a boot entry, or where entries, and those
/// to come, take it from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandLine {
    /// The line, or the variable: "/boot/grub2/grubenv kernelopts".
    pub place: Place,
    /// The file alone.
    pub file: String,
    /// The line alone, from 1; 0 where lines do not count.
    pub line: usize,
    /// How it is written there.
    pub site: Site,
    /// As it is written, blanks at its end included.
    pub written: String,
    /// All that a kernel gets, with what GRUB's variables stand for; `None` for what is a part only.
    pub complete: Option<String>,
}

/// The boot loader's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Loader {
    Grub2,
    GrubLegacy,
    SystemdBoot,
    Extlinux,
    #[default]
    None,
}

/// How the guest boots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Boot {
    /// Its loader.
    pub loader: Loader,
    /// The loader's configuration files that were read, real ones, not ESP stubs.
    pub configs: Vec<String>,
    /// All entries, in the order of the menu.
    pub entries: Vec<BootEntry>,
    /// All command lines that are written anywhere: those of the entries, in their order, then those that
    /// are shared.
    pub cmdlines: Vec<CommandLine>,
}

impl Boot {
    /// The entry whose command line this is.
    pub fn entry_of(&self, cmdline: &CommandLine) -> Option<&BootEntry> {
        self.entries.iter().find(|entry| entry.place == cmdline.place)
    }

    /// The entries of the menu that this entry is in.
    pub fn menu_of(&self, entry: &BootEntry) -> Vec<&BootEntry> {
        let own = self.menu_name(entry);
        self.entries.iter().filter(|other| self.menu_name(other) == own).collect()
    }

    /// The file of an entry's menu; entries of the Boot Loader Specification have a file each, in one folder.
    fn menu_name<'a>(&'a self, entry: &'a BootEntry) -> &'a str {
        let cmdline = self.cmdlines.iter().find(|cmdline| cmdline.place == entry.place);
        let file = cmdline.map_or(entry.place.path().unwrap_or_default(), |cmdline| cmdline.file.as_str());
        let of_options = cmdline.is_none_or(|cmdline| cmdline.site == Site::Options);
        if of_options { file.rsplit_once('/').map_or(file, |(dir, _)| dir) } else { file }
    }

    /// Has the entries at these places start by themselves, in place of others of their menus.
    pub(crate) fn mark_defaults(&mut self, places: &[Place]) {
        let chosen: Vec<&BootEntry> =
            self.entries.iter().filter(|entry| places.contains(&entry.place)).collect();
        let menus: Vec<&str> = chosen.iter().map(|entry| self.menu_name(entry)).collect();
        let mark = |entry: &BootEntry| {
            let default = if menus.contains(&self.menu_name(entry)) {
                places.contains(&entry.place)
            } else {
                entry.default
            };
            BootEntry { default, ..entry.clone() }
        };
        self.entries = self.entries.iter().map(mark).collect();
    }
}

/// One line of fstab that names something to mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mount {
    /// Line number from 1.
    pub line: usize,
    /// The first field, unescaped: "UUID=...", "/dev/xvda1".
    pub spec: String,
    /// Mount point, unescaped.
    pub target: String,
    /// Type.
    pub kind: String,
    /// Options.
    pub options: String,
    /// Volume of the machine that the spec names, if it does.
    pub volume: Option<String>,
}

/// What is known of a guest. What is of Linux alone is empty of a Windows, and was not looked for there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Facts {
    /// The operating system; `None` if the disk holds none that we know.
    pub os: Known<Option<Os>>,
    /// /etc/hostname; `ComputerName`.
    pub hostname: Known<Option<String>>,
    /// Kernels, newest version first.
    pub kernels: Known<Vec<Kernel>>,
    /// How it boots.
    pub boot: Known<Boot>,
    /// /etc/fstab.
    pub fstab: Known<Vec<Mount>>,
    /// Who configures the network.
    pub network: Known<Vec<NetworkConfig>>,
    /// Programs of a cloud that are installed, and those that keep the time.
    pub agents: Known<Vec<Agent>>,
    /// SELinux mode, where it is configured: "enforcing", "permissive", "disabled".
    pub selinux: Known<Option<String>>,
    /// What is known of a Windows besides.
    pub windows: Known<Option<Windows>>,
    /// What could not be read when these were gathered, each once.
    pub unread: Vec<Evidence>,
}

impl Facts {
    /// The kernel that a boot entry starts.
    pub fn kernel_of(&self, entry: &BootEntry) -> Option<&Kernel> {
        self.kernel_of_image(&entry.kernel)
    }

    /// The kernel in this file.
    pub fn kernel_of_image(&self, path: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.image.as_deref() == Some(path))
    }

    /// The kernel of the entry that starts by itself.
    pub fn default_kernel(&self) -> Option<&Kernel> {
        self.kernel_of(self.boot.entries.iter().find(|entry| entry.default)?)
    }

    /// Whether it can start from disks that are NVMe: every Windows can, a Linux where its kernel has the driver.
    pub fn starts_from_nvme(&self) -> bool {
        self.os.as_ref().is_some_and(|os| os.kind == OsKind::Windows)
            || self.default_kernel().is_some_and(|kernel| kernel.has("nvme"))
    }

    /// What could not be read of the facts that were looked at since the last call.
    pub(crate) fn looked_at(&self) -> Vec<Evidence> {
        let Self { os, hostname, kernels, boot, fstab, network, agents, selinux, windows, unread: _ } = self;
        [
            os.take_looked_at(),
            hostname.take_looked_at(),
            kernels.take_looked_at(),
            boot.take_looked_at(),
            fstab.take_looked_at(),
            network.take_looked_at(),
            agents.take_looked_at(),
            selinux.take_looked_at(),
            windows.take_looked_at(),
        ]
        .concat()
    }
}

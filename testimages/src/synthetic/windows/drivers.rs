//! Drivers as the service listings of real servers have them: names, groups, tags, starts.

use super::Line;

/// When a driver starts: by the loader, or when a device of it is found.
pub(super) const BOOT: u32 = 0;
pub(super) const SYSTEM: u32 = 1;
pub(super) const DEMAND: u32 = 3;

/// A driver: its service, its group and its place in that (0: none), its start, and what the image of 8.1 and
/// later has in `StartOverride` for a machine of EC2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Driver {
    pub(super) name: &'static str,
    /// Below the system's folder.
    pub(super) file: &'static str,
    /// 1 a kernel driver, 2 a file system, 8 a recogniser of file systems.
    pub(super) kind: u32,
    pub(super) group: &'static str,
    pub(super) tag: u32,
    pub(super) start: u32,
    /// The start is 3 as long as no device of it was found on this machine.
    pub(super) overridden: bool,
}

const fn driver(name: &'static str, file: &'static str, group: &'static str, tag: u32, start: u32) -> Driver {
    Driver { name, file, kind: 1, group, tag, start, overridden: false }
}

impl Driver {
    const fn kind(self, kind: u32) -> Self {
        Self { kind, ..self }
    }

    const fn overridden(self) -> Self {
        Self { overridden: true, ..self }
    }
}

/// Of all versions.
const COMMON: &[Driver] = &[
    driver("pcw", "drivers\\pcw.sys", "Base", 0, BOOT),
    driver("Wdf01000", "drivers\\Wdf01000.sys", "WdfLoadGroup", 0, BOOT),
    driver("ACPI", "drivers\\ACPI.sys", "Boot Bus Extender", 1, BOOT),
    driver("msisadrv", "drivers\\msisadrv.sys", "Boot Bus Extender", 2, BOOT),
    driver("pci", "drivers\\pci.sys", "Boot Bus Extender", 3, BOOT),
    driver("vdrvroot", "drivers\\vdrvroot.sys", "Boot Bus Extender", 4, BOOT),
    driver("partmgr", "drivers\\partmgr.sys", "Boot Bus Extender", 0, BOOT),
    driver("volmgr", "drivers\\volmgr.sys", "System Bus Extender", 9, BOOT),
    driver("volmgrx", "drivers\\volmgrx.sys", "System Bus Extender", 10, BOOT),
    driver("mountmgr", "drivers\\mountmgr.sys", "System Bus Extender", 0, BOOT),
    driver("FltMgr", "drivers\\fltmgr.sys", "FSFilter Infrastructure", 1, BOOT).kind(2),
    driver("FileInfo", "drivers\\fileinfo.sys", "FSFilter Bottom", 0, BOOT).kind(2),
    driver("CLFS", "drivers\\CLFS.sys", "Filter", 1, BOOT),
    driver("KSecDD", "drivers\\ksecdd.sys", "Base", 1, BOOT),
    driver("CNG", "drivers\\cng.sys", "Base", 2, BOOT),
    driver("Fs_Rec", "drivers\\Fs_Rec.sys", "File system", 0, BOOT).kind(8),
    driver("NDIS", "drivers\\ndis.sys", "NDIS Wrapper", 0, BOOT),
    driver("KSecPkg", "drivers\\ksecpkg.sys", "Cryptography", 2, BOOT),
    driver("Tcpip", "drivers\\tcpip.sys", "PNP_TDI", 3, BOOT),
    driver("rdyboost", "drivers\\rdyboost.sys", "PnP Filter", 2, BOOT),
    driver("disk", "drivers\\disk.sys", "", 0, BOOT),
    driver("fvevol", "drivers\\fvevol.sys", "PnP Filter", 5, BOOT),
    driver("hwpolicy", "drivers\\hwpolicy.sys", "", 0, BOOT),
    driver("Mup", "drivers\\mup.sys", "Network", 0, BOOT).kind(2),
    driver("volsnap", "drivers\\volsnap.sys", "", 0, BOOT),
    driver("Ntfs", "drivers\\ntfs.sys", "Boot File System", 0, DEMAND).kind(2),
    driver("fastfat", "drivers\\fastfat.sys", "Boot File System", 0, DEMAND).kind(2),
    driver("kbdclass", "drivers\\kbdclass.sys", "Keyboard Class", 1, DEMAND),
    driver("i8042prt", "drivers\\i8042prt.sys", "Keyboard Port", 7, DEMAND),
    driver("Serial", "drivers\\serial.sys", "Extended base", 0, DEMAND),
    driver("AFD", "drivers\\afd.sys", "PNP_TDI", 0, SYSTEM),
    driver("Npfs", "drivers\\npfs.sys", "File system", 0, SYSTEM).kind(2),
    driver("Null", "drivers\\null.sys", "Base", 0, SYSTEM),
    driver("HTTP", "drivers\\HTTP.sys", "", 0, DEMAND),
    driver("srv2", "drivers\\srv2.sys", "Network", 0, DEMAND).kind(2),
];

/// Of Windows 7 and Server 2008 R2.
const SEVEN: &[Driver] = &[
    driver("intelide", "drivers\\intelide.sys", "System Bus Extender", 4, BOOT),
    driver("vmbus", "drivers\\vmbus.sys", "System Bus Extender", 0, BOOT),
    driver("atapi", "drivers\\atapi.sys", "SCSI miniport", 33, BOOT),
    driver("storflt", "drivers\\vmstorfl.sys", "Extended Base", 0, BOOT),
    driver("spldr", "drivers\\spldr.sys", "", 0, BOOT),
    driver("storvsc", "drivers\\storvsc.sys", "SCSI miniport", 0, DEMAND),
    driver("pciide", "drivers\\pciide.sys", "System Bus Extender", 0, DEMAND),
    driver("VMBusHID", "drivers\\VMBusHID.sys", "Extended Base", 0, DEMAND),
    driver("netvsc", "drivers\\netvsc60.sys", "NDIS", 0, DEMAND),
    driver("sacdrv", "drivers\\sacdrv.sys", "EMS", 1, BOOT),
];

/// Of 8.1 and Server 2012 R2, and all later ones.
const EIGHT: &[Driver] = &[
    driver("acpiex", "drivers\\acpiex.sys", "Boot Bus Extender", 7, BOOT),
    driver("pdc", "drivers\\pdc.sys", "Boot Bus Extender", 0, BOOT),
    driver("pciide", "drivers\\pciide.sys", "System Bus Extender", 8, BOOT).overridden(),
    driver("spaceport", "drivers\\spaceport.sys", "System Bus Extender", 8, BOOT),
    driver("intelide", "drivers\\intelide.sys", "System Bus Extender", 9, BOOT).overridden(),
    driver("vmbus", "drivers\\vmbus.sys", "System Bus Extender", 11, BOOT).overridden(),
    driver("atapi", "drivers\\atapi.sys", "SCSI Miniport", 30, BOOT).overridden(),
    driver("storahci", "drivers\\storahci.sys", "SCSI Miniport", 31, BOOT).overridden(),
    driver("stornvme", "drivers\\stornvme.sys", "SCSI Miniport", 32, BOOT).overridden(),
    driver("EhStorClass", "drivers\\EhStorClass.sys", "SCSI Class", 0, BOOT),
    driver("storvsc", "drivers\\storvsc.sys", "Base", 25, BOOT).overridden(),
    driver("WFPLWFS", "drivers\\wfplwfs.sys", "PNP_TDI", 0, BOOT),
    driver("storflt", "drivers\\vmstorfl.sys", "Extended Base", 46, BOOT).overridden(),
    driver("vpci", "drivers\\vpci.sys", "System Bus Extender", 0, DEMAND),
    driver("netvsc", "drivers\\netvsc.sys", "NDIS", 0, DEMAND),
    driver("hyperkbd", "drivers\\hyperkbd.sys", "Keyboard Port", 0, DEMAND),
    driver("HyperVideo", "drivers\\HyperVideo.sys", "Video", 0, DEMAND),
    driver("gencounter", "drivers\\vmgencounter.sys", "", 0, DEMAND),
    driver("BasicDisplay", "drivers\\BasicDisplay.sys", "Video", 0, SYSTEM),
    driver("sacdrv", "drivers\\sacdrv.sys", "EMS", 1, BOOT),
];

/// Of Windows 10 and Server 2016, and all later ones.
const TEN: &[Driver] = &[
    driver("Wof", "drivers\\Wof.sys", "FSFilter Compression", 0, BOOT).kind(2),
    driver("bttflt", "drivers\\bttflt.sys", "PnP Filter", 6, BOOT).overridden(),
    driver("iorate", "drivers\\iorate.sys", "PnP Filter", 0, BOOT),
    driver("volume", "drivers\\volume.sys", "", 0, BOOT),
    driver("WindowsTrustedRT", "drivers\\WindowsTrustedRT.sys", "Core Security Extensions", 1, BOOT),
    driver("hvservice", "drivers\\hvservice.sys", "", 0, DEMAND),
    driver("WdFilter", "drivers\\wd\\WdFilter.sys", "FSFilter Anti-Virus", 0, BOOT).kind(2),
    driver("WdBoot", "drivers\\wd\\WdBoot.sys", "Early-Launch", 0, BOOT),
];

/// AWS's drivers for Xen, in the order of the listing.
pub(super) const XEN: &[Driver] = &[
    driver("xenbus", "drivers\\xenbus.sys", "System Bus Extender", 0, BOOT),
    driver("xenfilt", "drivers\\xenfilt.sys", "Boot Bus Extender", 0, BOOT),
    driver("xeniface", "drivers\\xeniface.sys", "", 0, DEMAND),
    driver("xenvbd", "drivers\\xenvbd.sys", "SCSI Miniport", 0, BOOT),
    driver("xenvif", "drivers\\xenvif.sys", "", 0, DEMAND),
    driver("xennet", "drivers\\xennet.sys", "NDIS", 0, DEMAND),
];

/// AWS's drivers for Nitro.
pub(super) const NITRO: &[Driver] = &[
    driver("AWSNVMe", "drivers\\AWSNVMe.sys", "SCSI Miniport", 0, BOOT),
    driver("ena", "drivers\\ena.sys", "NDIS", 0, DEMAND),
];

/// Citrix' drivers of old AMIs.
pub(super) const CITRIX: &[Driver] = &[
    driver("xenevtchn", "drivers\\xenevtchn.sys", "System Bus Extender", 0, BOOT),
    driver("xenvbd", "drivers\\xenvbd.sys", "SCSI Miniport", 0, BOOT),
    driver("scsifilt", "drivers\\scsifilt.sys", "", 0, BOOT),
    driver("xennet6", "drivers\\xennet6.sys", "NDIS", 0, DEMAND),
];

/// What is in the box of a line of Windows.
pub(super) fn in_the_box(line: Line) -> Vec<Driver> {
    let more: &[&[Driver]] = match line {
        Line::Seven => &[SEVEN],
        Line::Eight => &[EIGHT],
        Line::Ten => &[EIGHT, TEN],
    };
    COMMON.iter().chain(more.iter().copied().flatten()).copied().collect()
}

/// The order of the groups, as ServiceGroupOrder has it.
pub(super) const GROUPS: &[&str] = &[
    "System Reserved",
    "EMS",
    "WdfLoadGroup",
    "Boot Bus Extender",
    "System Bus Extender",
    "SCSI miniport",
    "Port",
    "Primary Disk",
    "SCSI Class",
    "SCSI CDROM Class",
    "FSFilter Infrastructure",
    "FSFilter System",
    "FSFilter Bottom",
    "FSFilter Compression",
    "FSFilter Anti-Virus",
    "FSFilter Top",
    "Filter",
    "Boot File System",
    "Base",
    "Pointer Port",
    "Keyboard Port",
    "Pointer Class",
    "Keyboard Class",
    "Video Init",
    "Video",
    "Video Save",
    "File System",
    "Streams Drivers",
    "NDIS Wrapper",
    "COM Infrastructure",
    "Event Log",
    "ProfSvc_Group",
    "AudioGroup",
    "UIGroup",
    "MS_WindowsLocalValidation",
    "PlugPlay",
    "Cryptography",
    "PNP_TDI",
    "NDIS",
    "TDI",
    "iSCSI",
    "NetBIOSGroup",
    "ShellSvcGroup",
    "SchedulerGroup",
    "SpoolerGroup",
    "NetworkProvider",
    "MS_WindowsRemoteValidation",
    "Parallel arbitrator",
    "Extended Base",
    "PCI Configuration",
    "MS Transactions",
];

/// The order of the tags within some groups, as GroupOrderList has them.
pub(super) const TAGS: &[(&str, &[u32])] = &[
    ("Base", &[14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 23, 25, 26]),
    ("Boot Bus Extender", &[7, 1, 2, 3, 4, 5, 6]),
    ("Cryptography", &[1, 2]),
    ("EMS", &[1]),
    ("Extended Base", &[1, 2, 4, 3, 5, 6, 12, 46]),
    ("Filter", &[1]),
    ("FSFilter Infrastructure", &[1]),
    ("PnP Filter", &[1, 3, 4, 6, 7, 5, 8, 9, 2]),
    ("PNP_TDI", &[5, 1, 2, 3, 4, 6, 7, 8, 10]),
    ("SCSI miniport", &[256, 257, 25, 1, 2, 3, 30, 31, 32, 33, 34]),
    ("System Bus Extender", &[7, 3, 4, 1, 15, 8, 9, 10, 11, 12]),
];

//! Azure: the one place that knows its drivers, its numbers and its names.

use super::{Agent, Driver, Drivers, Firmware, Limit, Platform, Target, assessment};
use crate::facts;

/// Generation 1: BIOS, an emulated IDE disk for the boot loader, VMBus for the kernel.
pub static GEN1: Target = Target {
    id: "azure-gen1",
    name: "Azure generation 1: BIOS",
    firmware: Firmware::Bios,
    secure_boot: false,
    platform: &AZURE,
};

/// Generation 2: UEFI without stored boot entries, VMBus SCSI.
pub static GEN2: Target = Target {
    id: "azure-gen2",
    name: "Azure generation 2: UEFI",
    firmware: Firmware::Uefi,
    secure_boot: true,
    platform: &AZURE,
};

/// What serves addresses, names and health to each machine ("What is IP address 168.63.129.16", Microsoft
/// Learn, 2026).
pub(crate) const SERVER: &str = "168.63.129.16";
/// What it answers with, by dhclient's names (leases of Azure machines, 2026-11).
pub(crate) const DHCP_OPTIONS: &[&str] = &[
    "dhcp-lease-time",
    "dhcp-message-type",
    "dhcp-rebinding-time",
    "dhcp-renewal-time",
    "dhcp-server-identifier",
    "domain-name",
    "domain-name-servers",
    "rfc3442-classless-static-routes",
    "routers",
    "subnet-mask",
    "unknown-245",
];

/// The services of its agent in a Windows guest, and what each starts ("Troubleshoot Azure Windows VM Agent
/// issues", Microsoft Learn, 2025-03-17).
pub(crate) const WINDOWS_AGENTS: [(&str, &str); 2] =
    [("WindowsAzureGuestAgent", "WindowsAzureGuestAgent.exe"), ("RdAgent", "WaAppAgent.exe")];
/// Its activation server ("Windows activation", Microsoft Learn, 2026), and the port.
pub(crate) const ACTIVATION: (&str, &str) = ("azkms.core.windows.net", "1688");

/// The cloud.
pub static AZURE: Platform = Platform {
    id: "azure",
    name: "Azure",
    drivers: DRIVERS,
    windows: &super::windows::HYPER_V,
    agent: Some(Agent { agent: facts::Agent::WaLinux, program: "/usr/sbin/waagent" }),
    data_source: Some("Azure"),
    resolver: Some(SERVER),
    ubuntu_archive: "azure.archive.ubuntu.com",
    // "TCP/IP performance tuning for Azure VMs", Microsoft Learn, 2026
    mtu: 1500,
    // One of those that Azure gives (IEEE's registry of OUIs, Microsoft, 2026)
    mac: "00:0d:3a",
    os_disk: Some(Limit {
        bytes: 4095 << 30,
        words: "the 4095 GiB of an OS disk",
        source: assessment::OS_DISK,
    }),
    data_disk: Some(Limit {
        bytes: 32 << 40,
        words: "the 32 TiB that can be uploaded",
        source: assessment::UPLOAD,
    }),
};

/// The devices of Hyper-V, which Azure's hosts run.
///
/// The bus and its SCSI controller are what the root disk is on ("Information for non-endorsed
/// distributions", Microsoft Learn, 2026); an image built on EC2 for NVMe alone may lack SCSI disks, too.
/// `nvme` is for sizes whose remote disks are NVMe, the cards are those of accelerated networking, `ata_piix`
/// is the controller that the boot loader of generation 1 sees.
pub(super) const DRIVERS: Drivers = Drivers {
    all: &[
        Driver { old_option: Some("CONFIG_HYPERV"), ..Driver::new("hv_vmbus", "CONFIG_HYPERV_VMBUS", "hv") },
        Driver::new("hv_storvsc", "CONFIG_HYPERV_STORAGE", "scsi"),
        Driver::new("hv_netvsc", "CONFIG_HYPERV_NET", "net/hyperv"),
        Driver::new("hv_utils", "CONFIG_HYPERV_UTILS", "hv"),
        Driver::new("hv_balloon", "CONFIG_HYPERV_BALLOON", "hv"),
        Driver::new("hyperv_keyboard", "CONFIG_HYPERV_KEYBOARD", "input/serio"),
        Driver::new("hid_hyperv", "CONFIG_HID_HYPERV_MOUSE", "hid"),
        Driver::new("pci_hyperv", "CONFIG_PCI_HYPERV", "pci/controller"),
        Driver::new("mlx4_core", "CONFIG_MLX4_CORE", "net/ethernet/mellanox/mlx4"),
        Driver::new("mlx5_core", "CONFIG_MLX5_CORE", "net/ethernet/mellanox/mlx5/core"),
        Driver::new("mana", "CONFIG_MICROSOFT_MANA", "net/ethernet/microsoft/mana"),
        Driver::new("sd_mod", "CONFIG_BLK_DEV_SD", "scsi"),
        Driver::new("sr_mod", "CONFIG_BLK_DEV_SR", "scsi"),
        Driver::elsewhere("ata_piix", "CONFIG_ATA_PIIX"),
        Driver::elsewhere("nvme", "CONFIG_BLK_DEV_NVME"),
        Driver::elsewhere("udf", "CONFIG_UDF_FS"),
        Driver::elsewhere("vfat", "CONFIG_VFAT_FS"),
    ],
    bus: "hv_vmbus",
    disk: "hv_storvsc",
    network: "hv_netvsc",
    clock: "hv_utils",
    pci: "pci_hyperv",
    pci_in_udev: "hv_pci",
    cards: &["mlx4_core", "mlx5_core", "mana"],
    required: &["hv_vmbus", "hv_storvsc", "sd_mod"],
    desired: &[
        "hv_netvsc",
        "hv_utils",
        "hyperv_keyboard",
        "hid_hyperv",
        "pci_hyperv",
        "sr_mod",
        "nvme",
        "nvme_core",
    ],
    first: &["hv_vmbus", "hv_storvsc", "hv_netvsc"],
    allowed: &[
        "hv_vmbus",
        "hv_storvsc",
        "hv_netvsc",
        "hv_utils",
        "hv_balloon",
        "hyperv_keyboard",
        "hid_hyperv",
        "pci_hyperv",
        "sd_mod",
        "scsi_mod",
        "udf",
        "vfat",
        "fat",
    ],
    // Linux, drivers/: the argument of module_init() or subsys_initcall() in each, 2.6.32 to 6.12
    initcalls: &[
        ("hv_acpi_init", "hv_vmbus"),
        ("vmbus_init", "hv_vmbus"),
        ("storvsc_drv_init", "hv_storvsc"),
        ("netvsc_drv_init", "hv_netvsc"),
        ("init_hyperv_utils", "hv_utils"),
        ("hv_kbd_init", "hyperv_keyboard"),
        ("mousevsc_init", "hid_hyperv"),
        ("init_hv_pci_drv", "pci_hyperv"),
        ("init_sd", "sd_mod"),
        ("init_scsi", "scsi_mod"),
        ("init_udf_fs", "udf"),
        ("init_vfat_fs", "vfat"),
        ("init_fat_fs", "fat"),
    ],
    early: &[
        "hv_vmbus",
        "hv_storvsc",
        "hv_netvsc",
        "hv_utils",
        "hyperv_keyboard",
        "hid_hyperv",
        "pci_hyperv",
        "sd_mod",
        "nvme",
    ],
    mkinitfs: &[
        "kernel/drivers/hv",
        "kernel/drivers/scsi/hv_storvsc.ko*",
        "kernel/drivers/scsi/sd_mod.ko*",
        "kernel/drivers/net/hyperv",
        "kernel/drivers/pci/controller/pci-hyperv*",
    ],
};

//! The hive SYSTEM: control sets with services, classes of devices and settings.

use super::Version;
use super::drivers::{self, Driver, GROUPS, TAGS};
use super::reg::Reg;
use super::{Dress, Firmware, Line};

/// A service in user mode: its name, its start, what it runs.
pub(super) const SERVICES: &[(&str, u32, &str)] = &[
    ("BFE", 2, "%systemroot%\\system32\\svchost.exe -k LocalServiceNoNetwork"),
    ("DcomLaunch", 2, "%SystemRoot%\\system32\\svchost.exe -k DcomLaunch"),
    ("Dhcp", 2, "%SystemRoot%\\system32\\svchost.exe -k LocalServiceNetworkRestricted"),
    ("Dnscache", 2, "%SystemRoot%\\system32\\svchost.exe -k NetworkService"),
    ("EventLog", 2, "%SystemRoot%\\System32\\svchost.exe -k LocalServiceNetworkRestricted"),
    ("IKEEXT", 2, "%systemroot%\\system32\\svchost.exe -k netsvcs"),
    ("iphlpsvc", 2, "%SystemRoot%\\System32\\svchost.exe -k NetSvcs"),
    ("LanmanServer", 2, "%SystemRoot%\\system32\\svchost.exe -k netsvcs"),
    ("LSM", 2, "%SystemRoot%\\system32\\svchost.exe -k DcomLaunch"),
    ("mpssvc", 2, "%SystemRoot%\\system32\\svchost.exe -k LocalServiceNoNetwork"),
    ("Netlogon", 3, "%systemroot%\\system32\\lsass.exe"),
    ("Netman", 3, "%SystemRoot%\\System32\\svchost.exe -k LocalSystemNetworkRestricted"),
    ("nsi", 2, "%systemroot%\\system32\\svchost.exe -k LocalService"),
    ("PlugPlay", 2, "%SystemRoot%\\system32\\svchost.exe -k DcomLaunch"),
    ("ProfSvc", 2, "%systemroot%\\system32\\svchost.exe -k netsvcs"),
    ("RemoteRegistry", 2, "%SystemRoot%\\system32\\svchost.exe -k localService"),
    ("RpcEptMapper", 2, "%SystemRoot%\\system32\\svchost.exe -k RPCSS"),
    ("RpcSs", 2, "%SystemRoot%\\system32\\svchost.exe -k rpcss"),
    ("SamSs", 2, "%SystemRoot%\\system32\\lsass.exe"),
    ("sacsvr", 3, "%SystemRoot%\\System32\\svchost.exe -k netsvcs"),
    ("TermService", 3, "%SystemRoot%\\System32\\svchost.exe -k termsvcs"),
    ("WerSvc", 3, "%SystemRoot%\\System32\\svchost.exe -k WerSvcGroup"),
    ("WinRM", 2, "%SystemRoot%\\System32\\svchost.exe -k NetworkService"),
];

/// What some of them are in, below System32.
pub(super) const LIBRARIES: &[(&str, &str)] = &[
    ("BFE", "bfe.dll"),
    ("DcomLaunch", "rpcss.dll"),
    ("Dhcp", "dhcpcore.dll"),
    ("LSM", "lsm.dll"),
    ("mpssvc", "mpssvc.dll"),
    ("nsi", "nsisvc.dll"),
    ("PlugPlay", "umpnpmgr.dll"),
    ("ProfSvc", "profsvc.dll"),
    ("RpcEptMapper", "RpcEpMap.dll"),
    ("RpcSs", "rpcss.dll"),
    ("TermService", "termsrv.dll"),
];

/// Libraries that all programs share.
pub(super) const SHARED: &[&str] = &["advapi32", "gdi32", "kernel32", "rpcrt4", "sechost", "user32"];

/// Classes of devices, as Windows numbers them.
pub(super) const DISK_DRIVE: &str = "{4d36e967-e325-11ce-bfc1-08002be10318}";
pub(super) const HDC: &str = "{4d36e96a-e325-11ce-bfc1-08002be10318}";
pub(super) const SCSI_ADAPTER: &str = "{4d36e97b-e325-11ce-bfc1-08002be10318}";
pub(super) const SYSTEM_DEVICE: &str = "{4d36e97d-e325-11ce-bfc1-08002be10318}";
pub(super) const VOLUME: &str = "{71a27cdd-812a-11d0-bec7-08002be2092f}";

/// How a volume is known to the guest: what MountedDevices has for its letter.
#[derive(Clone, Debug)]
pub(super) struct Mounted(pub(super) Vec<u8>);

/// All of it.
pub(super) fn compose(version: &Version, dress: &Dress, letter_c: &Mounted) -> Reg {
    let mut reg = Reg::default();
    let set = "ControlSet001";
    for (name, number) in
        [("Current", 1), ("Default", 1), ("Failed", 0), ("LastKnownGood", dress.control_sets)]
    {
        reg.dword("Select", name, number);
    }
    services(&mut reg, version, dress, set);
    control(&mut reg, version, dress, set);
    classes(&mut reg, version, dress, set);
    firewall(&mut reg, version, set);
    devices(&mut reg, dress, set);
    for number in 2..=dress.control_sets {
        reg.copy(set, &format!("ControlSet{number:03}"));
    }
    reg.binary("MountedDevices", "\\DosDevices\\C:", &letter_c.0);
    reg.binary("MountedDevices", "\\??\\Volume{5c2d5f3e-0a52-11ee-9c3e-0e7a5c1d2b4f}", &letter_c.0);
    reg.text("Setup", "CmdLine", "").dword("Setup", "SetupType", 0).dword(
        "Setup",
        "SystemSetupInProgress",
        0,
    );
    reg.dword("Setup", "OOBEInProgress", 0).text("Setup", "SystemPartition", "\\Device\\HarddiskVolume1");
    if version.line != Line::Seven {
        reg.dword("HardwareConfig", "LastId", 0);
        reg.dword("HardwareConfig\\{ec2a5b19-0d4e-6f3a-9b1c-2f6d8e7a5c10}", "Id", 0);
        driver_database(&mut reg);
    }
    reg
}

fn put_driver(reg: &mut Reg, set: &str, driver: &Driver, line: Line) {
    let key = format!("{set}\\Services\\{}", driver.name);
    reg.dword(&key, "Type", driver.kind).dword(&key, "Start", driver.start);
    reg.dword(&key, "ErrorControl", if driver.start == drivers::BOOT { 3 } else { 1 });
    reg.expand(&key, "ImagePath", &format!("System32\\{}", driver.file));
    if !driver.group.is_empty() {
        reg.text(&key, "Group", driver.group);
    }
    if driver.tag != 0 {
        reg.dword(&key, "Tag", driver.tag);
    }
    if driver.overridden && line != Line::Seven {
        reg.dword(&format!("{key}\\StartOverride"), "0", 3);
    }
}

fn services(reg: &mut Reg, version: &Version, dress: &Dress, set: &str) {
    for driver in drivers::in_the_box(version.line).iter().chain(dress.drivers.iter().copied().flatten()) {
        put_driver(reg, set, driver, version.line);
    }
    // What EC2's disks hang on is no stranger to a machine that ran there.
    if version.line != Line::Seven && !dress.nitro() {
        reg.dword(&format!("{set}\\Services\\atapi\\StartOverride"), "0", 0);
        reg.dword(&format!("{set}\\Services\\intelide\\StartOverride"), "0", 0);
    }
    if version.line != Line::Seven && dress.nitro() {
        reg.dword(&format!("{set}\\Services\\stornvme\\StartOverride"), "0", 0);
    }
    for (name, start, program) in SERVICES.iter().chain(dress.services) {
        let key = format!("{set}\\Services\\{name}");
        let start = if *name == "RemoteRegistry" && version.client { 4 } else { *start };
        if *name == "sacsvr" && version.client || *name == "LSM" && version.line == Line::Seven {
            continue;
        }
        reg.dword(&key, "Type", if program.contains("svchost") { 0x20 } else { 0x10 });
        reg.dword(&key, "Start", start).dword(&key, "ErrorControl", 1).expand(&key, "ImagePath", program);
        reg.text(&key, "ObjectName", "LocalSystem");
        if let Some((_, library)) = LIBRARIES.iter().find(|(known, _)| known == name) {
            let library = format!("%SystemRoot%\\System32\\{library}");
            reg.expand(&format!("{key}\\Parameters"), "ServiceDll", &library);
        }
    }
    let time = format!("{set}\\Services\\W32Time");
    reg.dword(&time, "Type", 0x20).dword(&time, "Start", if version.client { 3 } else { 2 });
    reg.expand(&time, "ImagePath", "%SystemRoot%\\system32\\svchost.exe -k LocalService");
    reg.text(&format!("{time}\\Parameters"), "NtpServer", dress.time_server);
    reg.text(&format!("{time}\\Parameters"), "Type", "NTP");
    reg.dword(&format!("{time}\\TimeProviders\\NtpClient"), "Enabled", 1);
    reg.dword(&format!("{time}\\TimeProviders\\VMICTimeProvider"), "Enabled", 1);
    let tcpip = format!("{set}\\Services\\Tcpip\\Parameters");
    reg.text(&tcpip, "Hostname", version.host).text(&tcpip, "Domain", "");
    reg.text(&tcpip, "SearchList", dress.search_list).text(&tcpip, "NameServer", "");
    for route in dress.routes {
        reg.text(&format!("{tcpip}\\PersistentRoutes"), route, "");
    }
    reg.key(&format!("{tcpip}\\PersistentRoutes"));
    let card = format!("{tcpip}\\Interfaces\\{{8b2a4e0c-6d3f-4f7e-a5b1-3c9d2e8f7a60}}");
    reg.dword(&card, "EnableDHCP", u32::from(dress.address.is_none()));
    if let Some(address) = dress.address {
        reg.texts(&card, "IPAddress", &[address]).texts(&card, "SubnetMask", &["255.255.255.0"]);
        reg.texts(&card, "DefaultGateway", &["10.0.0.1"]);
    }
    // 2 (offline where shared) is what servers have from the box.
    reg.dword(
        &format!("{set}\\Services\\partmgr\\Parameters"),
        "SanPolicy",
        if version.client { 1 } else { 2 },
    );
}

fn control(reg: &mut Reg, version: &Version, dress: &Dress, set: &str) {
    let control = format!("{set}\\Control");
    reg.texts(&format!("{control}\\ServiceGroupOrder"), "List", GROUPS);
    for (group, tags) in TAGS {
        let words = std::iter::once(tags.len() as u32).chain(tags.iter().copied());
        let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        reg.binary(&format!("{control}\\GroupOrderList"), group, &bytes);
    }
    let session = format!("{control}\\Session Manager");
    reg.texts(&session, "BootExecute", &["autocheck autochk *"]);
    let environment = format!("{session}\\Environment");
    reg.text(&environment, "PROCESSOR_ARCHITECTURE", "AMD64").text(&environment, "OS", "Windows_NT");
    reg.expand(&environment, "TEMP", "%SystemRoot%\\TEMP").expand(&environment, "TMP", "%SystemRoot%\\TEMP");
    reg.texts(&format!("{session}\\Memory Management"), "PagingFiles", &["?:\\pagefile.sys"]);
    reg.dword(&format!("{session}\\Power"), "HiberbootEnabled", u32::from(version.client));
    let subsystems = format!("{session}\\SubSystems");
    reg.texts(&subsystems, "Required", &["Debug", "Windows"]);
    reg.expand(&subsystems, "Windows", "%SystemRoot%\\system32\\csrss.exe ObjectDirectory=\\Windows");
    let shared = format!("{session}\\KnownDLLs");
    for name in SHARED {
        reg.text(&shared, name, &format!("{name}.dll"));
    }
    let letters = format!("{control}\\Nls");
    let pages = format!("{letters}\\CodePage");
    reg.text(&pages, "ACP", "1252").text(&pages, "OEMCP", "437");
    reg.text(&pages, "1252", "c_1252.nls").text(&pages, "437", "c_437.nls");
    let language = format!("{letters}\\Language");
    reg.text(&language, "Default", "0409").text(&language, "InstallLanguage", "0409");
    let authority = format!("{control}\\Lsa");
    reg.texts(&authority, "Authentication Packages", &["msv1_0"]);
    reg.texts(&authority, "Notification Packages", &["scecli"]);
    reg.text(
        &format!("{control}\\ProductOptions"),
        "ProductType",
        dress.product_type.unwrap_or(if version.client { "WinNT" } else { "ServerNT" }),
    );
    reg.text(&format!("{control}\\ComputerName\\ComputerName"), "ComputerName", version.host);
    let terminal = format!("{control}\\Terminal Server");
    reg.dword(&terminal, "fDenyTSConnections", u32::from(dress.no_rdp));
    let rdp = format!("{terminal}\\WinStations\\RDP-Tcp");
    reg.dword(&rdp, "PortNumber", 3389).dword(&rdp, "LanAdapter", 0).dword(&rdp, "UserAuthentication", 1);
    reg.dword(&rdp, "SecurityLayer", 2).dword(&rdp, "fEnableWinStation", 1);
    let crash = format!("{control}\\CrashControl");
    reg.dword(&crash, "CrashDumpEnabled", 7).expand(&crash, "DumpFile", "%SystemRoot%\\MEMORY.DMP");
    reg.texts(&crash, "DumpFilters", &["dumpfve.sys"]);
    reg.dword(&format!("{control}\\TimeZoneInformation"), "RealTimeIsUniversal", 1);
    reg.text(
        &format!("{control}\\Power\\User\\PowerSchemes"),
        "ActivePowerScheme",
        "8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c",
    );
    reg.dword(&format!("{control}\\Power"), "HibernateEnabled", u32::from(version.client));
    if version.line == Line::Seven {
        critical_devices(reg, &format!("{control}\\CriticalDeviceDatabase"));
    }
}

/// The devices that 2008 R2 starts without their being installed.
fn critical_devices(reg: &mut Reg, at: &str) {
    for (device, service, class) in [
        ("ACPI#VMBus", "vmbus", SYSTEM_DEVICE),
        ("VMBUS#{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}", "storvsc", SCSI_ADAPTER),
        ("PCI#VEN_8086&DEV_7111", "intelide", HDC),
        ("Primary_IDE_Channel", "atapi", HDC),
        ("Secondary_IDE_Channel", "atapi", HDC),
        ("GenDisk", "disk", DISK_DRIVE),
    ] {
        let key = format!("{at}\\{device}");
        reg.text(&key, "Service", service).text(&key, "ClassGUID", class);
    }
}

fn driver_database(reg: &mut Reg) {
    let at = "DriverDatabase";
    let package = "wvmbus.inf_amd64_2f4c1a8d7e6b5a90";
    reg.text(&format!("{at}\\DriverInfFiles\\wvmbus.inf"), "Active", package);
    reg.binary(&format!("{at}\\DeviceIds\\ACPI\\VMBus"), "wvmbus.inf", &[1, 0xff, 0, 0]);
    for part in [
        "Configurations\\VMBus_Device_WIN8_Child.NT",
        "Configurations\\VMBus_Support_Device.NT",
        "Descriptors\\ACPI\\VMBus",
        "Descriptors\\VMBUS\\SUBCHANNEL",
        "Strings",
    ] {
        reg.key(&format!("{at}\\DriverPackages\\{package}\\{part}"));
    }
}

fn classes(reg: &mut Reg, version: &Version, dress: &Dress, set: &str) {
    let class = |guid: &str| format!("{set}\\Control\\Class\\{guid}");
    reg.texts(&class(DISK_DRIVE), "UpperFilters", &["partmgr"]);
    match version.line {
        Line::Seven => reg.texts(&class(VOLUME), "LowerFilters", &["fvevol", "rdyboost"]),
        Line::Eight => {
            reg.texts(&class(DISK_DRIVE), "LowerFilters", &["EhStorClass"]);
            reg.texts(&class(VOLUME), "UpperFilters", &["volsnap"]);
            reg.texts(&class(VOLUME), "LowerFilters", &["fvevol", "rdyboost"])
        }
        Line::Ten => {
            reg.texts(&class(DISK_DRIVE), "LowerFilters", &["EhStorClass"]);
            reg.texts(&class(VOLUME), "UpperFilters", &["volsnap"]);
            reg.texts(&class(VOLUME), "LowerFilters", &["fvevol", "iorate", "rdyboost"])
        }
    };
    for guid in [HDC, SCSI_ADAPTER, SYSTEM_DEVICE] {
        reg.key(&class(guid));
    }
    for (guid, filters) in dress.filters {
        reg.texts(&class(guid), "UpperFilters", filters);
    }
}

fn firewall(reg: &mut Reg, version: &Version, set: &str) {
    let policy = format!("{set}\\Services\\SharedAccess\\Parameters\\FirewallPolicy");
    for profile in ["DomainProfile", "PublicProfile", "StandardProfile"] {
        reg.dword(&format!("{policy}\\{profile}"), "EnableFirewall", 1);
    }
    let rules = format!("{policy}\\FirewallRules");
    let edition = if version.line == Line::Seven { "v2.10" } else { "v2.30" };
    let rule = |protocol: u32| {
        format!(
            "{edition}|Action=Allow|Active=TRUE|Dir=In|Protocol={protocol}|LPort=3389|App=%SystemRoot%\\system32\\svchost.exe|\
             Svc=termservice|Name=@FirewallAPI.dll,-28775|Desc=@FirewallAPI.dll,-28756|EmbedCtxt=@FirewallAPI.dll,-28752|"
        )
    };
    if version.line == Line::Seven {
        reg.text(&rules, "RemoteDesktop-In-TCP", &rule(6));
    } else {
        reg.text(&rules, "RemoteDesktop-UserMode-In-TCP", &rule(6));
        reg.text(&rules, "RemoteDesktop-UserMode-In-UDP", &rule(17));
    }
}

/// What was plugged in: the disk of EC2, by PCI or by Xen.
fn devices(reg: &mut Reg, dress: &Dress, set: &str) {
    let key = match dress.nitro() {
        true => format!("{set}\\Enum\\PCI\\VEN_1D0F&DEV_8061&SUBSYS_00000000&REV_00\\3&11583659&0&20"),
        false => format!("{set}\\Enum\\XENBUS\\CLASS&VBD\\0"),
    };
    reg.text(&key, "Service", if dress.nitro() { "AWSNVMe" } else { "xenvbd" });
    reg.text(&key, "ClassGUID", SCSI_ADAPTER);
    // What is there without a bus that tells of it.
    for name in ["vdrvroot", "volmgr"] {
        let key = format!("{set}\\Enum\\ROOT\\{}\\0000", name.to_uppercase());
        reg.text(&key, "Service", name).text(&key, "ClassGUID", SYSTEM_DEVICE);
    }
    for (device, filters) in dress.device_filters {
        reg.texts(&format!("{set}\\Enum\\{device}"), "UpperFilters", filters);
    }
    if dress.firmware == Firmware::Bios {
        let ide = format!("{set}\\Enum\\PCI\\VEN_8086&DEV_7010&SUBSYS_00015853&REV_00\\3&267a616a&0&09");
        reg.text(&ide, "Service", "intelide").text(&ide, "ClassGUID", HDC);
    }
}

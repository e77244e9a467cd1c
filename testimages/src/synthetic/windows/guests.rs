//! The Windows guests: which version, started how, dressed in what.

use std::path::Path;

use anyhow::Result;

use super::super::{Generation, SyntheticGuest};
use super::drivers::{CITRIX, NITRO, XEN};
use super::system::{HDC, SYSTEM_DEVICE};
use super::{Dress, Firmware, Line, Version, WINDOWS_MIB};

/// Every Windows guest.
pub(in crate::synthetic) static ALL: &[SyntheticGuest] = &[
    guest(
        "windows-2008r2",
        "Server 2008 R2 with Citrix' drivers and EC2Config, all on one active partition",
        Generation::Gen1,
        windows_2008r2,
    ),
    guest(
        "windows-2012r2",
        "Server 2012 R2 on Xen with a partition for bootmgr, two control sets",
        Generation::Gen1,
        windows_2012r2,
    ),
    guest(
        "windows-2016",
        "Server 2016 with AWS PV and EC2Launch, on one active partition",
        Generation::Gen1,
        windows_2016,
    ),
    guest(
        "windows-2019",
        "Server 2019 with AWS PV and Nitro drivers side by side, on one active partition",
        Generation::Gen1,
        windows_2019,
    ),
    guest("windows-2022", "Server 2022 on Nitro by UEFI, EC2Launch v2", Generation::Gen2, windows_2022),
    guest(
        "windows-2025",
        "Server 2025 on Nitro by UEFI, no fallback loader on the ESP",
        Generation::Gen2,
        windows_2025,
    ),
    guest(
        "windows-10",
        "Windows 10 brought by VM Import, a static address, Remote Desktop off",
        Generation::Gen1,
        windows_10,
    ),
    guest("windows-11", "Windows 11 by UEFI, Fast Startup on", Generation::Gen2, windows_11),
];

/// A volume of 30 GiB as EC2 gives it, with its files far from one another.
pub(in crate::synthetic) static LARGE: SyntheticGuest = guest(
    "windows-2019-large",
    "Server 2019 as above on 30 GiB, with a MiB of others' between any two files",
    Generation::Gen1,
    windows_2019_large,
);

const fn guest(
    name: &'static str,
    description: &'static str,
    generation: Generation,
    build: fn(&Path) -> Result<()>,
) -> SyntheticGuest {
    SyntheticGuest { name, description, generation, build }
}

const ROUTES: &[&str] = &[
    "169.254.169.254,255.255.255.255,10.0.0.1,15",
    "169.254.169.250,255.255.255.255,10.0.0.1,15",
    "169.254.169.251,255.255.255.255,10.0.0.1,15",
];

const SSM: (&str, u32, &str) =
    ("AmazonSSMAgent", 2, "\"C:\\Program Files\\Amazon\\SSM\\amazon-ssm-agent.exe\"");
const EC2_CONFIG: (&str, u32, &str) =
    ("Ec2Config", 2, "\"C:\\Program Files\\Amazon\\Ec2ConfigService\\Ec2Config.exe\"");
const LITE_AGENT: (&str, u32, &str) =
    ("AWSLiteAgent", 2, "\"C:\\Program Files\\Amazon\\XenTools\\LiteAgent.exe\"");
const EC2_LAUNCH: (&str, u32, &str) =
    ("Amazon EC2Launch", 2, "\"C:\\Program Files\\Amazon\\EC2Launch\\service\\EC2LaunchService.exe\"");

/// A server on Xen as AWS's AMIs of its time are.
const ON_XEN: Dress = Dress {
    firmware: Firmware::Bios,
    system_partition: false,
    fallback: true,
    control_sets: 1,
    drivers: &[XEN],
    services: &[SSM, LITE_AGENT],
    filters: &[(SYSTEM_DEVICE, &["XENFILT"]), (HDC, &["XENFILT"])],
    device_filters: &[],
    files: &[
        "/Program Files/Amazon/SSM/amazon-ssm-agent.exe",
        "/Program Files/Amazon/XenTools/LiteAgent.exe",
    ],
    routes: ROUTES,
    search_list: "eu-west-1.ec2-utilities.amazonaws.com",
    time_server: "169.254.169.123,0x9",
    kms: Some("169.254.169.250"),
    address: None,
    no_rdp: false,
    reboot_pending: false,
    product_type: None,
    mib: WINDOWS_MIB,
    between: None,
};

/// A server on Nitro.
const ON_NITRO: Dress = Dress {
    firmware: Firmware::Uefi,
    system_partition: true,
    drivers: &[NITRO],
    services: &[SSM, EC2_LAUNCH],
    filters: &[],
    files: &[
        "/Program Files/Amazon/SSM/amazon-ssm-agent.exe",
        "/Program Files/Amazon/EC2Launch/service/EC2LaunchService.exe",
    ],
    ..ON_XEN
};

const fn server(line: Line, build: &'static str, product: &'static str, host: &'static str) -> Version {
    Version { line, build, product, edition: "ServerDatacenter", display: None, client: false, host }
}

fn windows_2008r2(out: &Path) -> Result<()> {
    let version = server(Line::Seven, "7601", "Windows Server 2008 R2 Datacenter", "WIN-2K8R2");
    let dress = Dress {
        drivers: &[CITRIX],
        services: &[EC2_CONFIG, ("xensvc", 2, "\"C:\\Program Files\\Citrix\\XenTools\\XenGuestAgent.exe\"")],
        filters: &[],
        device_filters: &[("XENBUS\\CLASS&VBD\\0", &["scsifilt"])],
        files: &[
            "/Program Files/Amazon/Ec2ConfigService/Ec2Config.exe",
            "/Program Files/Citrix/XenTools/XenGuestAgent.exe",
        ],
        control_sets: 2,
        ..ON_XEN
    };
    super::build(out, &version, &dress)
}

fn windows_2012r2(out: &Path) -> Result<()> {
    let version = server(Line::Eight, "9600", "Windows Server 2012 R2 Datacenter", "WIN-2012R2");
    let dress =
        Dress { system_partition: true, control_sets: 2, services: &[SSM, LITE_AGENT, EC2_CONFIG], ..ON_XEN };
    super::build(out, &version, &dress)
}

fn windows_2016(out: &Path) -> Result<()> {
    let version = server(Line::Ten, "14393", "Windows Server 2016 Datacenter", "EC2AMAZ-2016");
    super::build(out, &version, &ON_XEN)
}

fn windows_2019(out: &Path) -> Result<()> {
    let version = Version {
        display: Some("1809"),
        ..server(Line::Ten, "17763", "Windows Server 2019 Datacenter", "EC2AMAZ-2019")
    };
    super::build(out, &version, &Dress { drivers: &[XEN, NITRO], ..ON_XEN })
}

fn windows_2019_large(out: &Path) -> Result<()> {
    let version = server(Line::Ten, "17763", "Windows Server 2019 Datacenter", "EC2AMAZ-2019");
    let dress = Dress { drivers: &[XEN, NITRO], mib: 30 << 10, between: Some(1 << 20), ..ON_XEN };
    super::build(out, &version, &dress)
}

fn windows_2022(out: &Path) -> Result<()> {
    let version = Version {
        display: Some("21H2"),
        ..server(Line::Ten, "20348", "Windows Server 2022 Datacenter", "EC2AMAZ-2022")
    };
    super::build(out, &version, &ON_NITRO)
}

fn windows_2025(out: &Path) -> Result<()> {
    let version = Version {
        display: Some("24H2"),
        ..server(Line::Ten, "26100", "Windows Server 2025 Datacenter", "EC2AMAZ-2025")
    };
    super::build(out, &version, &Dress { fallback: false, ..ON_NITRO })
}

fn client(build: &'static str, product: &'static str, display: &'static str) -> Version {
    Version {
        line: Line::Ten,
        build,
        product,
        edition: "Professional",
        display: Some(display),
        client: true,
        host: "DESKTOP-REFLOAT",
    }
}

fn windows_10(out: &Path) -> Result<()> {
    let version = client("19045", "Windows 10 Pro", "22H2");
    let dress = Dress {
        drivers: &[XEN, NITRO],
        system_partition: true,
        kms: None,
        address: Some("10.0.0.20"),
        no_rdp: true,
        time_server: "time.windows.com,0x9",
        routes: &[],
        search_list: "",
        ..ON_XEN
    };
    super::build(out, &version, &dress)
}

fn windows_11(out: &Path) -> Result<()> {
    // It says Windows 10 of itself; the build tells.
    let version = client("22631", "Windows 10 Pro", "23H2");
    super::build(out, &version, &Dress { kms: None, reboot_pending: true, ..ON_NITRO })
}

#[cfg(test)]
mod tests {
    use super::super::layout;
    use super::*;
    use crate::judge;
    use crate::synthetic::disk::MIB;

    /// The programs of ntfs-3g and hivex find the system's hive and its store in each guest.
    #[test]
    fn hives_of_all_guests_are_read_by_others() {
        if !judge::need_all(&["ntfsfix", "ntfscat", "hivexml"]) {
            return;
        }
        for guest in ALL {
            let Some(path) = guest.path() else { return };
            let disk = std::fs::read(&path).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let start = match guest.generation {
                Generation::Gen2 => layout(&ON_NITRO).windows.0,
                Generation::Gen1 => disk.len() as u64 - (WINDOWS_MIB + 1) * MIB,
            };
            let volume = folder.path().join("volume");
            let start = usize::try_from(start).unwrap();
            std::fs::write(&volume, &disk[start..start + usize::try_from(WINDOWS_MIB * MIB).unwrap()])
                .unwrap();
            judge::run(judge::tool("ntfsfix").arg("--no-action").arg(&volume));
            for (name, key) in [("SYSTEM", "StartOverride"), ("SOFTWARE", "CurrentBuildNumber")] {
                let mut cat = judge::tool("ntfscat");
                let hive =
                    judge::run(cat.arg(&volume).arg(format!("/Windows/System32/config/{name}"))).stdout;
                let hive_path = folder.path().join(name);
                std::fs::write(&hive_path, hive).unwrap();
                let xml = judge::run(judge::tool("hivexml").arg(&hive_path)).stdout;
                let found = String::from_utf8_lossy(&xml).contains(key);
                // 2008 R2 knows no StartOverride.
                assert_eq!(
                    found,
                    key != "StartOverride" || guest.name != "windows-2008r2",
                    "{} {name}",
                    guest.name
                );
            }
        }
    }
}

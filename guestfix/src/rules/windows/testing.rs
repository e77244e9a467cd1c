//! A Windows guest in memory with which every rule is content, and what can be made wrong with it.

use hive::Kind;

use crate::platform::azure;
use crate::registry::testing::{changed, dword, hive, sz};
use crate::registry::{BCD_UEFI, BCD_WINDOWS, HiveFile, SOFTWARE, SYSTEM};
use crate::rules::testing::Bench;

/// The object that starts by itself.
pub(super) const LOADER: &str = "{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}";
/// Control sets: a rule has to look at both.
const SETS: [&str; 2] = ["ControlSet001", "ControlSet002"];

/// Drivers that the loader starts, and the files below `drivers`.
const BOOT: [&str; 12] = [
    "ACPI", "pci", "disk", "partmgr", "volmgr", "mountmgr", "vmbus", "storvsc", "intelide", "atapi",
    "stornvme", "sacdrv",
];
const AUTOMATIC: [&str; 9] =
    ["Dhcp", "BFE", "Dnscache", "IKEEXT", "iphlpsvc", "nsi", "mpssvc", "W32Time", "sacsvr"];
const FILES: [&str; 8] = [
    "vmbus.sys",
    "storvsc.sys",
    "vmstorfl.sys",
    "intelide.sys",
    "pciidex.sys",
    "atapi.sys",
    "ataport.sys",
    "partmgr.sys",
];
const RDP_RULE: &str = "v2.30|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=3389|App=%SystemRoot%\\system32\\svchost.exe|Svc=termservice|Name=@FirewallAPI.dll,-28775|";

/// A value of a hive, with a path that may begin with `*\` for all control sets.
pub(super) type Value<'a> = (HiveFile, &'a str, &'a str, Kind, Vec<u8>);

fn paths(path: &str) -> Vec<String> {
    match path.strip_prefix(r"*\") {
        Some(rest) => SETS.iter().map(|set| format!(r"{set}\{rest}")).collect(),
        None => vec![path.to_owned()],
    }
}

/// A number of 64 bits, as the store keeps numbers.
pub(super) fn number(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// Texts of a list, as they are stored.
pub(super) fn list(texts: &[&str]) -> Vec<u8> {
    hive::texts_data(texts.iter().copied())
}

/// The values of a Server 2022 that ran on Hyper-V, and of its store.
fn sound() -> Vec<(HiveFile, String, String, Kind, Vec<u8>)> {
    let mut all = Vec::new();
    let mut put = |file: HiveFile, path: &str, name: &str, kind: Kind, data: Vec<u8>| {
        all.extend(paths(path).into_iter().map(|path| (file, path, name.to_owned(), kind, data.clone())));
    };
    let mut system = |path: &str, name: &str, kind, data| put(SYSTEM, path, name, kind, data);
    for (name, set) in [("Current", 1), ("Default", 1), ("LastKnownGood", 2)] {
        system("Select", name, Kind::DWORD, dword(set));
    }
    for name in BOOT {
        system(&format!(r"*\Services\{name}"), "Type", Kind::DWORD, dword(1));
        system(&format!(r"*\Services\{name}"), "Start", Kind::DWORD, dword(0));
    }
    system(r"*\Services\storflt\StartOverride", "0", Kind::DWORD, dword(0));
    for name in AUTOMATIC {
        system(&format!(r"*\Services\{name}"), "Start", Kind::DWORD, dword(2));
    }
    for name in ["TermService", "Netlogon", "Netman", "WerSvc"] {
        system(&format!(r"*\Services\{name}"), "Start", Kind::DWORD, dword(3));
    }
    for (name, program) in azure::WINDOWS_AGENTS {
        let (key, program) =
            (format!(r"*\Services\{name}"), sz(&format!(r"C:\WindowsAzure\Packages\{program}")));
        system(&key, "Start", Kind::DWORD, dword(2));
        system(&key, "ImagePath", Kind::EXPAND_SZ, program);
    }
    system(r"*\Services\partmgr\Parameters", "SanPolicy", Kind::DWORD, dword(1));
    system(r"*\Services\W32Time\Parameters", "NtpServer", Kind::SZ, sz("time.windows.com,0x9"));
    system(r"*\Services\W32Time\TimeProviders\VMICTimeProvider", "Enabled", Kind::DWORD, dword(1));
    system(r"*\Services\Tcpip\Parameters", "SearchList", Kind::SZ, sz("example.org"));
    let firewall = r"*\Services\SharedAccess\Parameters\FirewallPolicy";
    system(&format!(r"{firewall}\PublicProfile"), "EnableFirewall", Kind::DWORD, dword(1));
    system(&format!(r"{firewall}\FirewallRules"), "RemoteDesktop-UserMode-In-TCP", Kind::SZ, sz(RDP_RULE));
    system(r"*\Control\TimeZoneInformation", "RealTimeIsUniversal", Kind::DWORD, dword(1));
    system(r"*\Control\Terminal Server", "fDenyTSConnections", Kind::DWORD, dword(0));
    system(r"*\Control\Terminal Server\WinStations\RDP-Tcp", "PortNumber", Kind::DWORD, dword(3389));
    system(r"*\Control\Session Manager\Environment", "PROCESSOR_ARCHITECTURE", Kind::SZ, sz("AMD64"));
    system(r"*\Control\ProductOptions", "ProductType", Kind::SZ, sz("ServerNT"));
    system(
        r"*\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}",
        "UpperFilters",
        Kind::MULTI_SZ,
        list(&["partmgr"]),
    );
    system("Setup", "SystemSetupInProgress", Kind::DWORD, dword(0));
    let current = r"Microsoft\Windows NT\CurrentVersion";
    put(SOFTWARE, current, "CurrentBuildNumber", Kind::SZ, sz("20348"));
    put(
        SOFTWARE,
        r"Microsoft\Windows\CurrentVersion\Setup\State",
        "ImageState",
        Kind::SZ,
        sz("IMAGE_STATE_COMPLETE"),
    );
    for (object, element, kind, data) in [
        ("{9dea862c-5cdd-4e70-acc1-f32b344d4795}", "23000003", Kind::SZ, sz(LOADER)),
        ("{9dea862c-5cdd-4e70-acc1-f32b344d4795}", "16000020", Kind::BINARY, vec![1]),
        ("{9dea862c-5cdd-4e70-acc1-f32b344d4795}", "26000020", Kind::BINARY, vec![1]),
        ("{9dea862c-5cdd-4e70-acc1-f32b344d4795}", "25000004", Kind::BINARY, number(5)),
        ("{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}", "15000022", Kind::BINARY, number(1)),
        ("{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}", "15000023", Kind::BINARY, number(115_200)),
        (LOADER, "260000b0", Kind::BINARY, vec![1]),
        (LOADER, "16000009", Kind::BINARY, vec![0]),
        (LOADER, "250000e0", Kind::BINARY, number(1)),
    ] {
        put(BCD_UEFI, &format!(r"Objects\{object}\Elements\{element}"), "Element", kind, data);
    }
    all
}

/// That guest with further values, or others, and without those keys (`*\` for all control sets) and files.
pub(super) fn windows(values: &[Value<'_>], without: &[(HiveFile, &str)], files: &[(&str, &[u8])]) -> Bench {
    let all = sound();
    let mut bench = Bench::debian().without("/etc/os-release").target(&azure::GEN2);
    for file in [SYSTEM, SOFTWARE, BCD_UEFI] {
        let own: Vec<_> = all
            .iter()
            .filter(|value| value.0 == file)
            .map(|(_, path, name, kind, data)| (path.as_str(), name.as_str(), *kind, data.clone()))
            .collect();
        let content = changed(hive(&own), |edit| {
            for (_, path, name, kind, data) in values.iter().filter(|value| value.0 == file) {
                for path in paths(path) {
                    edit.create_key(&path).unwrap();
                    edit.set(&path, name, *kind, data).unwrap();
                }
            }
            for (_, path) in without.iter().filter(|key| key.0 == file) {
                for path in paths(path) {
                    edit.delete_key(&path).unwrap();
                }
            }
        });
        bench = bench.file(file.path, &content);
    }
    for name in FILES {
        bench = bench.file(&format!("/Windows/System32/drivers/{name}"), "MZ");
    }
    bench = bench
        .file("/WindowsAzure/Packages/WaAppAgent.exe", "MZ")
        .file("/WindowsAzure/Packages/WindowsAzureGuestAgent.exe", "MZ")
        .file("/System:/EFI/Boot/bootx64.efi", "MZ")
        .file("/System:/EFI/Microsoft/Boot/bootmgfw.efi", "MZ");
    files.iter().fold(bench, |bench, (path, content)| bench.file(path, content))
}

/// The same with its store where a start by BIOS looks.
pub(super) fn by_bios(bench: Bench) -> Bench {
    let store = bench.guest(|guest| guest.view.read(BCD_UEFI.path).unwrap().unwrap());
    bench.without(BCD_UEFI.path).file(BCD_WINDOWS.path, &store).target(&azure::GEN1)
}

const VERSION: &str = r"Microsoft\Windows NT\CurrentVersion";

/// A sound server of this build.
pub(in crate::rules) fn windows_build(build: &str) -> Bench {
    server(build, &[])
}

fn server(build: &str, values: &[Value<'_>]) -> Bench {
    let mut all = vec![
        (SOFTWARE, VERSION, "CurrentBuildNumber", Kind::SZ, sz(build)),
        (SOFTWARE, VERSION, "ProductName", Kind::SZ, sz("Windows Server")),
    ];
    all.extend_from_slice(values);
    windows(&all, &[], &[])
}

/// A Windows for desktops.
pub(in crate::rules) fn windows_client(build: &str) -> Bench {
    server(build, &[(SYSTEM, r"*\Control\ProductOptions", "ProductType", Kind::SZ, sz("WinNT"))])
}

/// One whose first volume has this letter.
pub(in crate::rules) fn windows_letters(letter: &str) -> Bench {
    let data = [&0x1ec2_a517_u32.to_le_bytes()[..], &(1_u64 << 20).to_le_bytes()].concat();
    let name = format!(r"\DosDevices\{letter}");
    server("20348", &[(SYSTEM, "MountedDevices", &name, Kind::BINARY, data)])
}

/// One that pages memory to this file.
pub(in crate::rules) fn windows_paging(file: &str) -> Bench {
    let key = r"*\Control\Session Manager\Memory Management";
    server("20348", &[(SYSTEM, key, "PagingFiles", Kind::MULTI_SZ, list(&[file]))])
}

/// One with this driver.
pub(in crate::rules) fn windows_driver(name: &str) -> Bench {
    let key = format!(r"*\Services\{name}");
    let values = [("Type", 1), ("Start", 0)]
        .map(|(value, number)| (SYSTEM, key.as_str(), value, Kind::DWORD, dword(number)));
    server("20348", &values).file(&format!("/Windows/System32/drivers/{name}.sys"), "MZ")
}

/// One that refuses Remote Desktop.
pub(in crate::rules) fn refusing_rdp() -> Bench {
    server("20348", &[(SYSTEM, r"*\Control\Terminal Server", "fDenyTSConnections", Kind::DWORD, dword(1))])
}

/// One whose data disks stay offline.
pub(in crate::rules) fn disks_offline() -> Bench {
    server("20348", &[(SYSTEM, r"*\Services\partmgr\Parameters", "SanPolicy", Kind::DWORD, dword(3))])
}

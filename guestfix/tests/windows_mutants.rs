//! Law 7 for Windows: with any one file that a start needs taken away or damaged, and with any one key or value of
//! the registry taken away or set wrong, no verdict is "ready". The guests are mended first, so that the one fault
//! is the only one.
//!
//! A run for a submission tries some of each kind, a long one all.

mod support;

use std::collections::BTreeSet;

use guestfix::bootwalk::walk;
use guestfix::plan::check;
use guestfix::platform::hyperv;
use guestfix::registry::{self, BCD_STORES, HiveFile, SOFTWARE, SYSTEM};
use guestfix::tree::Tree;
use guestfix::{Goal, Stage, View};
use hive::{Hive, Key, Kind};
use libdisk::vfs::FileType;
use support::{fixed, goal};
use testimages::length::long;
use testimages::synthetic::{self, Generation, SyntheticGuest};

/// Of as many faults one is tried, where not all are.
const SPARSE: usize = 29;

/// Which faults of a list are tried; `turn` says where to begin, so that guests do not all have the same.
fn drawn<T>(all: Vec<T>, turn: usize) -> impl Iterator<Item = T> {
    let step = if long() { 1 } else { SPARSE };
    all.into_iter().skip(if long() { 0 } else { turn % SPARSE }).step_by(step)
}

/// Every guest as a plan makes it, with what it is planned for: on today's hosts of Azure 2012 R2 does not start.
fn mended() -> impl Iterator<Item = (&'static SyntheticGuest, Tree, Goal)> {
    synthetic::windows().iter().filter_map(|guest| {
        let goal = match guest.name {
            "windows-2012r2" => Goal::new(&hyperv::GEN1),
            _ => goal(guest),
        };
        let disk = fixed(&guest.path()?, &goal).expect("it can be mended");
        Some((guest, Tree::open(disk).unwrap(), goal))
    })
}

/// Whether a staged guest is called ready. Where the walk does not arrive, the rules need not be asked.
fn is_ready(stage: &mut Stage<'_>, goal: &Goal) -> bool {
    walk(&stage.guest().unwrap()).unwrap().arrives()
        && check(stage.guest().unwrap().view, goal).unwrap().ready()
}

#[test]
fn a_mended_guest_is_ready() {
    for (guest, tree, goal) in mended() {
        assert!(is_ready(&mut Stage::new(&tree, &goal), &goal), "{}", guest.name);
    }
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Removed,
    Emptied,
    Truncated,
    /// A page of it is zero; of a small one half a KiB.
    Zeroed,
    /// Some bits in its middle are others.
    Damaged,
}

const DEEDS: [Deed; 5] = [Deed::Removed, Deed::Emptied, Deed::Truncated, Deed::Zeroed, Deed::Damaged];

impl Deed {
    /// The content after it; `None` where there is no file any more.
    fn done_to(self, content: &[u8]) -> Option<Vec<u8>> {
        let mut content = content.to_vec();
        let middle = content.len() / 2;
        let page = if content.len() > 8192 { 4096 } else { 512 };
        match self {
            Self::Removed => return None,
            Self::Emptied => content.clear(),
            Self::Truncated => content.truncate(middle),
            Self::Zeroed => {
                content.iter_mut().skip(middle / page * page).take(page).for_each(|byte| *byte = 0)
            }
            Self::Damaged => content.iter_mut().skip(middle).take(8).for_each(|byte| *byte ^= 0x55),
        }
        Some(content)
    }
}

/// Whether what became of a hive has in it what it had: a fault in what is free is none.
fn is_same_hive(before: &[u8], after: &[u8]) -> bool {
    match (Hive::open(before.to_vec()), Hive::open(after.to_vec())) {
        (Ok(before), Ok(after)) => {
            after.check().iter().all(|fault| fault.harmless)
                && hive::diff(&before, &after).is_ok_and(|all| all.is_empty())
        }
        _ => false,
    }
}

#[test]
fn without_any_one_file_that_it_needs_none_is_ready() {
    let mut wrong = Vec::new();
    for (turn, (guest, tree, goal)) in mended().enumerate() {
        let mut faults = Vec::new();
        tree.walk(&mut |path, metadata| {
            if metadata.file_type == FileType::Regular {
                let path = String::from_utf8(path.to_vec()).unwrap();
                faults.extend(DEEDS.map(|deed| (deed, path.clone())));
            }
            Ok(())
        })
        .unwrap();
        for (deed, path) in drawn(faults, turn * 7) {
            let mut stage = Stage::new(&tree, &goal);
            let before = tree.read(&path).unwrap().unwrap();
            let after = deed.done_to(&before);
            // There is nothing in a table of letters by which damage shows.
            let is_table = path.to_lowercase().ends_with(".nls");
            let is_same =
                after.as_ref().is_some_and(|after| **after == *before || is_same_hive(&before, after));
            if is_same || is_table && !matches!(deed, Deed::Removed | Deed::Emptied) {
                continue;
            }
            match after {
                None => stage.remove(&path).unwrap(),
                Some(after) => stage.put_binary(&path, after, Vec::new()).unwrap(),
            }
            if !is_needless(guest, &path) && is_ready(&mut stage, &goal) {
                wrong.push(format!("{} {deed:?} {path}", guest.name));
            }
        }
    }
    assert!(wrong.is_empty(), "these are called ready:\n{}", wrong.join("\n"));
}

/// A fault of the registry.
#[derive(Debug, Clone)]
enum Fault {
    NoKey(String),
    NoValue(String, String),
    Start(String, u32),
    Override(String),
    /// Nobody's driver is a filter of this key.
    Filter(String, &'static str),
    /// A filter that is a text, and no list.
    Text(String, &'static str),
}

impl Fault {
    fn sow(&self, edit: &mut hive::Edit) -> hive::Result<()> {
        match self {
            Self::NoKey(key) => edit.delete_key(key),
            Self::NoValue(key, value) => edit.delete_value(key, value),
            Self::Start(key, start) => edit.set(key, "Start", Kind::DWORD, &start.to_le_bytes()),
            Self::Override(key) => {
                let key = format!(r"{key}\StartOverride");
                edit.create_key(&key)?;
                edit.set(&key, "0", Kind::DWORD, &3_u32.to_le_bytes())
            }
            Self::Filter(key, list) => edit.set(key, list, Kind::MULTI_SZ, &hive::texts_data(["nobodys"])),
            Self::Text(key, list) => edit.set(key, list, Kind::SZ, &hive::text_data("partmgr")),
        }
    }
}

/// All keys below one, with their values, by their paths from the root.
fn below(key: &Key<'_>, path: &str, found: &mut Vec<(String, Vec<String>)>) {
    for key in key.subkeys().unwrap() {
        let name = key.name().unwrap();
        let path = if path.is_empty() { name } else { format!(r"{path}\{name}") };
        let values = key.values().unwrap().iter().map(|value| value.name().unwrap()).collect();
        found.push((path.clone(), values));
        below(&key, &path, found);
    }
}

/// Each fault of a hive: of SYSTEM in the control set that starts alone.
fn faults(file: HiveFile, hive: &Hive) -> Vec<Fault> {
    let mut keys = Vec::new();
    below(&hive.root().unwrap(), "", &mut keys);
    keys.retain(|(path, _)| !path.starts_with("ControlSet002"));
    let mut faults = Vec::new();
    for (path, values) in keys {
        faults.push(Fault::NoKey(path.clone()));
        faults.extend(values.into_iter().map(|value| Fault::NoValue(path.clone(), value)));
        if let (SYSTEM, Some((r"ControlSet001\Services", name))) = (file, path.rsplit_once('\\')) {
            assert!(!name.is_empty());
            faults.extend([3, 4].map(|start| Fault::Start(path.clone(), start)));
            faults.push(Fault::Override(path.clone()));
        }
        if path.rsplit_once('\\').is_some_and(|(above, _)| above.ends_with(r"Control\Class")) {
            for list in registry::filters::LISTS {
                faults.extend([Fault::Filter(path.clone(), list), Fault::Text(path.clone(), list)]);
            }
        }
    }
    faults
}

#[test]
fn with_any_one_fault_of_the_registry_none_is_ready() {
    let (mut tried, mut ready) = (0, BTreeSet::new());
    for (turn, (guest, tree, goal)) in mended().enumerate() {
        for file in [SYSTEM, SOFTWARE].into_iter().chain(BCD_STORES) {
            let Some(opened) = registry::open(&tree, file).unwrap() else { continue };
            for fault in drawn(faults(file, opened.hive()), turn * 5) {
                let mut stage = Stage::new(&tree, &goal);
                // What is as it was is no fault.
                if is_harmless(file, &fault)
                    || is_harmless_on(guest, &fault)
                    || !stage.edit_hive(file, |edit| fault.sow(edit)).unwrap()
                {
                    continue;
                }
                tried += 1;
                if is_ready(&mut stage, &goal) {
                    ready.insert(format!("{} {} {fault:?}", guest.name, file.name));
                }
            }
        }
    }
    let ready: Vec<_> = ready.into_iter().collect();
    assert!(ready.is_empty(), "of {tried} these are called ready:\n{}", ready.join("\n"));
}

/// Drivers and services that a start by either firmware, the network and a logon by Remote Desktop need, and the
/// filters of what those drive.
const VITAL: [&str; 38] = [
    "ACPI",
    "pci",
    "disk",
    "partmgr",
    "volmgr",
    "mountmgr",
    "volume",
    "Wdf01000",
    "FltMgr",
    "KSecDD",
    "CNG",
    "Ntfs",
    "vmbus",
    "storvsc",
    "netvsc",
    "NDIS",
    "Tcpip",
    "AFD",
    "nsi",
    "Dhcp",
    "Npfs",
    "RpcSs",
    "RpcEptMapper",
    "DcomLaunch",
    "SamSs",
    "LSM",
    "ProfSvc",
    "PlugPlay",
    "TermService",
    "BFE",
    "mpssvc",
    "WFPLWFS",
    "EhStorClass",
    "volsnap",
    "fvevol",
    "rdyboost",
    "iorate",
    "SharedAccess",
];

/// Whether no start and no logon asks for what a fault takes away.
fn is_harmless(file: HiveFile, fault: &Fault) -> bool {
    let (key, value) = match fault {
        Fault::NoKey(key) => (key.as_str(), None),
        Fault::NoValue(key, value) => (key.as_str(), Some(value.as_str())),
        Fault::Start(key, _) | Fault::Override(key) => (key.as_str(), Some("Start")),
        Fault::Filter(key, _) | Fault::Text(key, _) => {
            return !registry::filters::CLASSES.iter().any(|class| key.to_lowercase().ends_with(class));
        }
    };
    // Some say what a thing is or where its place in an order is, others what would be so without them.
    if value.is_some_and(|value| UNASKED.contains(&value)) {
        return true;
    }
    let key = key.strip_prefix(r"ControlSet001\").unwrap_or(key);
    if let Some(service) = key.strip_prefix(r"Services\") {
        let (name, rest) =
            service.split_once('\\').map_or((service, None), |(name, rest)| (name, Some(rest)));
        let is_vital = VITAL.iter().any(|vital| vital.eq_ignore_ascii_case(name));
        return match rest {
            _ if !is_vital => true,
            // Of the firewall the rule for Remote Desktop counts, while there are any.
            Some(rest) if name == "SharedAccess" => {
                !rest.ends_with("FirewallRules") || value.is_some_and(|name| name.ends_with("UDP"))
            }
            Some("Parameters") => value != Some("ServiceDll") || ["RpcSs", "TermService"].contains(&name),
            Some(_) => true,
            None => name == "SharedAccess" || starts_anyhow(name, fault),
        };
    }
    let is_below =
        |path: &&str| key == *path || key.strip_prefix(*path).is_some_and(|rest| rest.starts_with('\\'));
    // Those of these lists are told one by one.
    let is_listed = |path: &str| key == path && value.is_some();
    const LISTS: [&str; 3] = [
        r"Control\GroupOrderList",
        r"Control\Session Manager\KnownDLLs",
        r"Microsoft\Windows NT\CurrentVersion\ProfileList",
    ];
    LISTS.iter().any(|path| is_listed(path))
        || key.starts_with(r"Microsoft\Windows NT\CurrentVersion\ProfileList\")
        || HARMLESS.iter().any(|(name, paths)| *name == file.name && paths.iter().any(is_below))
        || VALUES
            .iter()
            .any(|(path, values)| key == *path && value.is_some_and(|value| values.contains(&value)))
}

/// What this guest does without and others do not: by BIOS the disk comes by IDE, and 2008 R2 has no filter by the
/// name of the snapshots' driver.
fn is_harmless_on(guest: &SyntheticGuest, fault: &Fault) -> bool {
    let of_service = |key: &str, name: &str| key.ends_with(&format!(r"\Services\{name}"));
    match fault {
        Fault::NoValue(key, value) if of_service(key, "storvsc") => {
            value == "Type" && guest.generation == Generation::Gen1
        }
        Fault::NoKey(key) | Fault::NoValue(key, _) | Fault::Start(key, _) | Fault::Override(key) => {
            guest.name.contains("2008") && of_service(key, "volsnap")
        }
        Fault::Filter(..) | Fault::Text(..) => false,
    }
}

/// Whether a service does its work whatever this fault says of its start.
fn starts_anyhow(name: &str, fault: &Fault) -> bool {
    let is_filter = ["EhStorClass", "volsnap", "fvevol", "rdyboost", "iorate", "WFPLWFS"].contains(&name);
    match fault {
        // Where the registry does not name it, the file has the service's name.
        Fault::NoValue(_, value) if value == "ImagePath" => !["RpcSs", "Dhcp"].contains(&name),
        // The loader brings it whatever its start is, and others when they are asked for.
        Fault::Start(_, 3) | Fault::Override(_) => is_filter || ON_DEMAND.contains(&name),
        // 2008 R2 has none.
        Fault::NoKey(_) => name == "WFPLWFS",
        _ => false,
    }
}

/// What starts when it is asked for.
const ON_DEMAND: [&str; 13] = [
    "Ntfs",
    "netvsc",
    "DcomLaunch",
    "RpcEptMapper",
    "SamSs",
    "LSM",
    "ProfSvc",
    "PlugPlay",
    "TermService",
    "BFE",
    "mpssvc",
    "volume",
    "SharedAccess",
];

const UNASKED: [&str; 7] =
    ["ErrorControl", "Group", "Tag", "ObjectName", "DisplayName", "ClassGUID", "DependOnService"];

/// Keys, with all below them, by their hive and within the control set.
const HARMLESS: &[(&str, &[&str])] = &[
    (
        "SYSTEM",
        &[
            // Without values in the synthetic guests.
            r"Control\Class\{4d36e96a-e325-11ce-bfc1-08002be10318}",
            r"Control\Class\{4d36e97b-e325-11ce-bfc1-08002be10318}",
            r"Control\Class\{4d36e97d-e325-11ce-bfc1-08002be10318}",
            r"Control\Class\{71a27cdd-812a-11d0-bec7-08002be2092f}",
            r"Control\ComputerName",
            r"Control\CrashControl",
            r"Control\Nls\Language",
            r"Control\Power",
            r"Control\Session Manager\Environment",
            r"Control\Session Manager\Memory Management",
            r"Control\Session Manager\Power",
            r"Control\TimeZoneInformation",
            r"DriverDatabase\DriverInfFiles",
            r"DriverDatabase\DriverPackages",
            r"Enum\ACPI",
            r"Enum\PCI",
            r"Enum\ROOT\VDRVROOT",
            r"Enum\XENBUS",
            "HardwareConfig",
            "MountedDevices",
        ],
    ),
    (
        "SOFTWARE",
        &[
            r"Microsoft\NET Framework Setup",
            r"Microsoft\Windows",
            r"Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform",
            "Policies",
        ],
    ),
    (
        "BCD",
        &[
            "Description",
            // Of settings, and of the test of memory.
            r"Objects\{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}",
            r"Objects\{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}",
            r"Objects\{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}",
            r"Objects\{b2721d73-1db4-4c62-bf78-c548a880142d}",
            // Of the boot manager all but its default entry.
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\11000001",
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\12000002",
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\12000004",
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\12000005",
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\14000006",
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\16000020",
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\24000001",
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\24000010",
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\25000004",
            r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\26000020",
            // Of the entry its title, language, settings, and what a plan sets for who looks at it.
            r"Objects\{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}\Elements\12000004",
            r"Objects\{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}\Elements\12000005",
            r"Objects\{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}\Elements\14000006",
            r"Objects\{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}\Elements\16000009",
            r"Objects\{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}\Elements\25000020",
            r"Objects\{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}\Elements\250000e0",
            r"Objects\{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}\Elements\260000b0",
        ],
    ),
];

/// Values of keys that are needed, without which is done what is usual.
const VALUES: &[(&str, &[&str])] = &[
    ("Select", &["Current", "Failed", "LastKnownGood"]),
    ("Setup", &["CmdLine", "OOBEInProgress", "SetupType", "SystemPartition"]),
    (r"Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}", &["LowerFilters"]),
    (r"Control\Lsa", &["Notification Packages"]),
    (r"Control\Nls\CodePage", &["1252", "437"]),
    (r"Control\Session Manager", &["BootExecute"]),
    (
        r"Control\Terminal Server\WinStations\RDP-Tcp",
        &["LanAdapter", "PortNumber", "SecurityLayer", "UserAuthentication", "fEnableWinStation"],
    ),
    (
        r"Microsoft\Windows NT\CurrentVersion",
        &[
            "CurrentBuild",
            "CurrentBuildNumber",
            "CurrentMajorVersionNumber",
            "CurrentMinorVersionNumber",
            "CurrentVersion",
            "DisplayVersion",
            "EditionID",
            "InstallationType",
            "ProductName",
            "RegisteredOwner",
            "SystemRoot",
        ],
    ),
    (
        r"Microsoft\Windows NT\CurrentVersion\Svchost",
        &["LocalSystemNetworkRestricted", "NetworkService", "WerSvcGroup"],
    ),
    (r"Microsoft\Windows NT\CurrentVersion\Winlogon", &["Shell"]),
];

/// Whether a file is one that no start needs.
fn is_needless(guest: &SyntheticGuest, path: &str) -> bool {
    let path = path.strip_prefix("/System:").unwrap_or(path);
    let loader = match guest.generation {
        Generation::Gen1 => "/Windows/System32/winload.exe",
        Generation::Gen2 => "/Windows/System32/winload.efi",
    };
    let driver = path.strip_prefix("/Windows/System32/drivers/");
    let of_ec2 =
        |name: &str| ["xen", "AWSNVMe", "ena.", "scsifilt"].iter().any(|start| name.starts_with(start));
    path != loader
        && (NEEDLESS.contains(&path) || path.starts_with("/Program Files/") || driver.is_some_and(of_ec2))
}

/// What no start needs: programs that nobody has to wait for, drivers of devices that the target has not.
const NEEDLESS: &[&str] = &[
    "/BOOTNXT",
    "/Boot/Fonts/segoe_slboot.ttf",
    "/Boot/memtest.exe",
    "/EFI/Microsoft/Boot/memtest.efi",
    "/Windows/Fonts/vgaoem.fon",
    "/Windows/INF/wvmbus.inf",
    "/Windows/System32/autochk.exe",
    "/Windows/System32/cmd.exe",
    "/Windows/System32/drivers/BasicDisplay.sys",
    "/Windows/System32/drivers/HTTP.sys",
    "/Windows/System32/drivers/HyperVideo.sys",
    "/Windows/System32/drivers/ataport.sys",
    "/Windows/System32/drivers/fastfat.sys",
    "/Windows/System32/drivers/hal.sys",
    "/Windows/System32/drivers/hvservice.sys",
    "/Windows/System32/drivers/hyperkbd.sys",
    "/Windows/System32/drivers/i8042prt.sys",
    "/Windows/System32/drivers/kbdclass.sys",
    "/Windows/System32/drivers/ndiscap.sys",
    "/Windows/System32/drivers/null.sys",
    "/Windows/System32/drivers/pciidex.sys",
    "/Windows/System32/drivers/serial.sys",
    "/Windows/System32/drivers/srv2.sys",
    "/Windows/System32/drivers/vmbkmcl.sys",
    "/Windows/System32/drivers/vmgencounter.sys",
    "/Windows/System32/drivers/vpci.sys",
    "/Windows/System32/drivers/winhv.sys",
    "/Windows/System32/locale.nls",
    "/Windows/System32/mcupdate_GenuineIntel.dll",
    // Of the other firmware.
    "/Windows/System32/winload.efi",
    "/Windows/System32/winload.exe",
    "/Windows/System32/winresume.efi",
    "/Windows/System32/winresume.exe",
    "/pagefile.sys",
];

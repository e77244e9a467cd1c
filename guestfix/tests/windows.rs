//! What is said of the synthetic Windows guests, which are made by programs that share no code with us.

use guestfix::bootwalk::{Outcome, Walk, walk};
use guestfix::facts::OsKind;
use guestfix::plan::{Remedy, Verdict, check};
use guestfix::platform::{azure, hyperv};
use guestfix::registry::{self, BCD_UEFI, BCD_WINDOWS, ControlSets, HiveFile, SOFTWARE, SYSTEM};
use guestfix::tree::Tree;
use guestfix::{Goal, Severity, Stage, View, inspect};
use hive::Kind;
use libdisk::block::FileDisk;
use testimages::synthetic::{self, Generation, SyntheticGuest};

fn open(guest: &SyntheticGuest) -> Option<Tree> {
    Some(Tree::open(FileDisk::open(&guest.path()?).unwrap().disk()).unwrap())
}

/// Name, edition, build, control sets, host name, where the system partition is.
const KNOWN: &[(&str, &str, &str, u32, usize, &str, &str)] = &[
    ("windows-2008r2", "Windows Server 2008 R2 Datacenter", "ServerDatacenter", 7601, 2, "WIN-2K8R2", ""),
    ("windows-2012r2", "Windows Server 2012 R2 Datacenter", "ServerDatacenter", 9600, 2, "WIN-2012R2", "p1"),
    ("windows-2016", "Windows Server 2016 Datacenter", "ServerDatacenter", 14393, 1, "EC2AMAZ-2016", ""),
    ("windows-2019", "Windows Server 2019 Datacenter", "ServerDatacenter", 17763, 1, "EC2AMAZ-2019", ""),
    ("windows-2022", "Windows Server 2022 Datacenter", "ServerDatacenter", 20348, 1, "EC2AMAZ-2022", "p1"),
    ("windows-2025", "Windows Server 2025 Datacenter", "ServerDatacenter", 26100, 1, "EC2AMAZ-2025", "p1"),
    ("windows-10", "Windows 10 Pro", "Professional", 19045, 1, "DESKTOP-REFLOAT", "p1"),
    ("windows-11", "Windows 11 Pro", "Professional", 22631, 1, "DESKTOP-REFLOAT", "p1"),
];

#[test]
fn each_is_known_for_what_it_is() {
    assert_eq!(KNOWN.len(), synthetic::windows().len());
    for (guest, (name, product, edition, build, sets, host, system)) in synthetic::windows().iter().zip(KNOWN)
    {
        assert_eq!(guest.name, *name);
        let Some(tree) = open(guest) else { return };
        let facts = inspect::gather(&tree).unwrap();
        assert_eq!(facts.unread, [], "{name}");
        let os = facts.os.as_ref().unwrap();
        assert_eq!((os.kind, os.pretty_name.as_str(), os.arch), (OsKind::Windows, *product, Some("x86_64")));
        assert_eq!((os.id.as_str(), os.version.as_deref()), ("windows", Some(&*build.to_string())));
        assert_eq!(facts.hostname.as_deref(), Some(*host));
        let windows = facts.windows.as_ref().unwrap();
        assert_eq!((windows.edition.as_deref(), windows.build), (Some(*edition), Some(*build)));
        assert_eq!(windows.control_sets.all.len(), *sets, "{name}");
        assert_eq!(windows.is_server(), !name.ends_with("10") && !name.ends_with("11"), "{name}");
        let at = |point: &str| {
            let volumes = &tree.machine().volumes;
            volumes.iter().find(|one| one.mounted_at.as_deref() == Some(point)).map(|one| one.name.as_str())
        };
        assert_eq!(at("/System:").unwrap_or_default(), *system, "{name}");
        let letter = &windows.letters[0];
        assert_eq!((letter.letter.as_str(), letter.volume.as_deref()), ("C:", at("/")), "{name}");
    }
}

#[test]
fn what_ec2_left_is_told() {
    let windows = |name: &str| {
        let guest = synthetic::named(name);
        open(guest).map(|tree| inspect::gather(&tree).unwrap().windows.peek().clone().unwrap())
    };
    let Some(server) = windows("windows-2019") else { return };
    let of = |name: &str| server.services.iter().find(|service| service.name == name).unwrap();
    assert!(of("xenfilt").has_file && of("AWSNVMe").start == Some(0) && of("ena").start == Some(3));
    assert_eq!((of("vmbus").start, &*of("vmbus").overrides), (Some(0), &[("0".to_owned(), 3)][..]));
    let filters: Vec<_> = server.filters.iter().filter(|list| list.names == ["XENFILT"]).collect();
    assert!(filters.len() == 2 && filters.iter().all(|list| list.list == "UpperFilters"), "{filters:?}");
    assert!(server.remote_desktop.allowed && !server.fast_startup && server.pending.is_empty());
    assert_eq!(server.firewall, ["DomainProfile", "PublicProfile", "StandardProfile"]);
    let client = windows("windows-10").unwrap();
    assert!(!client.remote_desktop.allowed && client.fast_startup);
    assert_eq!(client.addresses[0].addresses, ["10.0.0.20"]);
    let client = windows("windows-11").unwrap();
    assert!(client.pending[0].ends_with("RebootPending"), "{:?}", client.pending);
}

fn goal(guest: &SyntheticGuest) -> Goal {
    let target = match guest.generation {
        Generation::Gen1 => &azure::GEN1,
        Generation::Gen2 => &azure::GEN2,
    };
    Goal::new(target)
}

/// Each hop that is not reached: what it is, where, and why.
fn stops(walk: &Walk) -> Vec<String> {
    let hops = walk.hops().filter(|hop| !hop.is_reached());
    hops.map(|hop| match &hop.outcome {
        Outcome::Blocked { why } => format!("{} {}: {why}", hop.kind, hop.place),
        Outcome::Unknown { why } => format!("{} {} unknown: {why}", hop.kind, hop.place),
        Outcome::Reached => String::new(),
    })
    .collect()
}

/// What keeps a walk from arriving: what it has in its way, or that it is none.
fn why_not(stage: &mut Stage<'_>) -> Vec<String> {
    let walk = walk(&stage.guest().unwrap()).unwrap();
    let stops = stops(&walk);
    assert_eq!(walk.arrives(), stops.is_empty(), "{walk:#?}");
    stops
}

/// Has the drivers of Hyper-V start on every machine, as a rule does.
fn start_everywhere(stage: &mut Stage<'_>) {
    let system = registry::open(stage.guest().unwrap().view, SYSTEM).unwrap().unwrap();
    let mut keys = Vec::new();
    for set in ControlSets::of(&system).unwrap().all {
        for name in ["vmbus", "storvsc", "intelide", "atapi"] {
            let key = format!(r"{set}\Services\{name}\StartOverride");
            keys.extend(system.key(&key).unwrap().map(|_| key));
        }
    }
    let zero = 0_u32.to_le_bytes();
    stage
        .edit_hive(SYSTEM, |edit| keys.iter().try_for_each(|key| edit.set(key, "0", Kind::DWORD, &zero)))
        .unwrap();
}

const FALLBACK: &str = "/System:/EFI/Boot/bootx64.efi";

/// What a plan does for the start of any of them: the drivers of Hyper-V start everywhere, there is a fallback
/// loader, Remote Desktop takes connections.
fn mend(stage: &mut Stage<'_>) {
    start_everywhere(stage);
    let view = stage.guest().unwrap().view;
    let manager = view.read("/System:/EFI/Microsoft/Boot/bootmgfw.efi").unwrap();
    if let Some(manager) = manager.filter(|_| !view.exists(FALLBACK).unwrap()) {
        stage.put_binary(FALLBACK, manager, Vec::new()).unwrap();
    }
    let key = r"ControlSet001\Control\Terminal Server";
    let zero = 0_u32.to_le_bytes();
    stage.edit_hive(SYSTEM, |edit| edit.set(key, "fDenyTSConnections", Kind::DWORD, &zero)).unwrap();
}

#[test]
fn the_walk_stops_where_each_guest_does() {
    let inferred = "StartOverride has 3 in the place of its Start (inferred: Microsoft says not when)";
    let held_back =
        |name: &str| format!("root SYSTEM\\ControlSet001\\Services\\{name}\\StartOverride 0: {inferred}");
    let bus = vec![held_back("vmbus"), held_back("storvsc")];
    let denied =
        r"login SYSTEM\ControlSet001\Control\Terminal Server fDenyTSConnections: it takes no connections";
    let host = r"root SYSTEM\ControlSet001\Enum\ACPI\MSFT1000: Azure's hosts have it as ACPI\MSFT1000, which 2012 and 2012 R2 do not know";
    let host = vec![host.to_owned()];
    let loader = vec!["firmware /System:/EFI/BOOT/BOOTX64.EFI: there is no such file".to_owned()];
    for (name, as_it_is, mended) in [
        // The controller that the BIOS sees is one that EC2's Xen has, too.
        ("windows-2008r2", vec![], vec![]),
        ("windows-2012r2", host.clone(), host),
        ("windows-2016", vec![], vec![]),
        ("windows-2019", bus.clone(), vec![]),
        ("windows-2022", bus.clone(), vec![]),
        ("windows-2025", loader, vec![]),
        ("windows-10", [bus.clone(), vec![denied.to_owned()]].concat(), vec![]),
        ("windows-11", bus, vec![]),
    ] {
        let guest = synthetic::named(name);
        let Some(tree) = open(guest) else { return };
        let goal = goal(guest);
        let mut stage = Stage::new(&tree, &goal);
        assert_eq!(why_not(&mut stage), as_it_is, "{name}");
        mend(&mut stage);
        assert_eq!(why_not(&mut stage), mended, "{name}");
    }
    let guest = synthetic::named("windows-2022");
    let (tree, goal) = (open(guest).unwrap(), goal(guest));
    let mut stage = Stage::new(&tree, &goal);
    mend(&mut stage);
    let chain = walk(&stage.guest().unwrap()).unwrap().chain().to_string();
    let kinds = "firmware → loader → menu → kernel → registry → drivers → root → init → network → login";
    assert_eq!(chain, kinds);
}

type Change<'a> = (&'a str, &'a str, Kind, Vec<u8>);

fn dword(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// What a change to a hive of a guest that arrives has the walk say.
fn changed(
    name: &str,
    file: HiveFile,
    change: impl FnOnce(&mut hive::Edit) -> hive::Result<()>,
) -> Vec<String> {
    let guest = synthetic::named(name);
    let Some(tree) = open(guest) else { return vec!["skipped".to_owned()] };
    let goal = goal(guest);
    let mut stage = Stage::new(&tree, &goal);
    mend(&mut stage);
    assert!(stage.edit_hive(file, change).unwrap(), "nothing is changed");
    why_not(&mut stage)
}

#[test]
fn a_setting_of_the_registry_ends_the_walk() {
    let service = |name: &str| format!(r"ControlSet001\Services\{name}");
    let class = r"ControlSet001\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}";
    let firewall = r"ControlSet001\Services\SharedAccess\Parameters\FirewallPolicy";
    let (rules, public) = (&format!(r"{firewall}\FirewallRules"), &format!(r"{firewall}\PublicProfile"));
    let rdp = r"ControlSet001\Control\Terminal Server\WinStations\RDP-Tcp";
    let filters = || hive::texts_data(["partmgr", "gone"]);
    let text = |text: &str| hive::text_data(text);
    let one = || dword(1);
    let system: [(Change<'_>, &str); 21] = [
        (
            ("Select", "Default", Kind::DWORD, dword(9)),
            "registry SYSTEM\\Select Default: it names ControlSet009",
        ),
        (
            (&service("disk"), "Start", Kind::DWORD, dword(3)),
            "root SYSTEM\\ControlSet001\\Services\\disk Start",
        ),
        (
            (&service("vmbus"), "Start", Kind::DWORD, dword(4)),
            "root SYSTEM\\ControlSet001\\Services\\vmbus Start",
        ),
        (
            (&service("Ntfs"), "Start", Kind::DWORD, dword(4)),
            "root SYSTEM\\ControlSet001\\Services\\Ntfs Start",
        ),
        ((&service("pci"), "ImagePath", Kind::SZ, text(r"D:\pci.sys")), "is on another drive"),
        (
            (&service("CLFS"), "ImagePath", Kind::SZ, text("gone.sys")),
            "/Windows/gone.sys: there is no such file",
        ),
        (
            (&service("CLFS"), "Start", Kind::SZ, text("0")),
            "drivers SYSTEM\\ControlSet001\\Services\\CLFS Start unknown",
        ),
        ((class, "UpperFilters", Kind::MULTI_SZ, filters()), "UpperFilters: there is no driver gone"),
        ((&service("EhStorClass"), "Start", Kind::DWORD, dword(4)), "LowerFilters: EhStorClass is disabled"),
        (
            (&service("EhStorClass"), "Start", Kind::DWORD, dword(3)),
            "LowerFilters unknown: EhStorClass starts late",
        ),
        (
            ("Setup", "SystemSetupInProgress", Kind::DWORD, one()),
            "init SYSTEM\\Setup SystemSetupInProgress unknown",
        ),
        (
            (&service("Npfs"), "Start", Kind::DWORD, dword(4)),
            "init SYSTEM\\ControlSet001\\Services\\Npfs Start",
        ),
        (
            (&service("Dhcp"), "Start", Kind::DWORD, dword(3)),
            "network SYSTEM\\ControlSet001\\Services\\Dhcp Start",
        ),
        (
            (&service("netvsc"), "Start", Kind::DWORD, dword(4)),
            "network SYSTEM\\ControlSet001\\Services\\netvsc Start",
        ),
        (
            (&service("Dhcp"), "DependOnService", Kind::MULTI_SZ, filters()),
            "Dhcp needs it: there is no service gone",
        ),
        ((&service("TermService"), "Start", Kind::DWORD, dword(4)), "TermService is disabled"),
        (
            (rdp, "fEnableWinStation", Kind::DWORD, dword(0)),
            "login SYSTEM\\ControlSet001\\Control\\Terminal Server",
        ),
        (
            (rdp, "PortNumber", Kind::DWORD, dword(3390)),
            "no rule that is on lets connections to port 3390 in",
        ),
        (
            (rules, "x", Kind::SZ, text("v2.30|Action=Block|Active=TRUE|Dir=In|Protocol=6|LPort=3389|")),
            "blocks port",
        ),
        (
            (
                rules,
                "RemoteDesktop-UserMode-In-TCP",
                Kind::SZ,
                text("v2.30|Action=Allow|Active=FALSE|Dir=In|"),
            ),
            "no rule",
        ),
        ((public, "DoNotAllowExceptions", Kind::DWORD, one()), "no connections are let in"),
    ];
    for ((key, value, kind, data), why) in &system {
        let stops = changed("windows-2022", SYSTEM, |edit| edit.set(key, value, *kind, data));
        let told = stops == ["skipped"] || stops.iter().any(|stop| stop.contains(why));
        assert!(told, "{key} {value}: {stops:#?}, not {why}");
    }
    let policy = r"Policies\Microsoft\Windows NT\Terminal Services";
    let state = r"Microsoft\Windows\CurrentVersion\Setup\State";
    for (key, value, kind, data, why) in [
        (policy, "fDenyTSConnections", Kind::DWORD, one(), "it takes no connections"),
        (
            state,
            "ImageState",
            Kind::SZ,
            text("IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"),
            "that of a new machine",
        ),
    ] {
        let stops = changed("windows-2022", SOFTWARE, |edit| {
            edit.create_key(key)?;
            edit.set(key, value, kind, &data)
        });
        assert!(
            stops == ["skipped"] || stops.iter().any(|stop| stop.contains(why)),
            "{key} {value}: {stops:#?}"
        );
    }
    for (name, key) in [
        ("windows-2022", r"DriverDatabase\DeviceIds\ACPI\VMBus"),
        // By the controller that the BIOS sees, for want of storvsc at boot.
        ("windows-2008r2", r"ControlSet001\Control\CriticalDeviceDatabase\PCI#VEN_8086&DEV_7111"),
        ("windows-2022", r"ControlSet001\Services\partmgr"),
        ("windows-2022", r"ControlSet001\Services\netvsc"),
        ("windows-2022", r"ControlSet001\Services\TermService"),
    ] {
        let stops = changed(name, SYSTEM, |edit| edit.delete_key(key));
        assert!(!stops.is_empty(), "{name} {key}");
    }
}

/// What a start or a logon does not do without, each with what the walk says of it.
#[test]
fn what_no_logon_is_made_without_ends_the_walk() {
    let service = |name: &str| format!(r"ControlSet001\Services\{name}");
    let control = |key: &str| format!(r"ControlSet001\Control\{key}");
    let (disks, terminal) =
        (control(r"Class\{4d36e967-e325-11ce-bfc1-08002be10318}"), control("Terminal Server"));
    let listener = format!(r"{terminal}\WinStations\RDP-Tcp");
    let cards = control(r"Class\{4d36e972-e325-11ce-bfc1-08002be10318}");
    let subsystems = control(r"Session Manager\SubSystems");
    let number = |number: u32| (Kind::DWORD, dword(number));
    let text = |text: &str| (Kind::EXPAND_SZ, hive::text_data(text));
    let list = |names: &[&'static str]| (Kind::MULTI_SZ, hive::texts_data(names.iter().copied()));
    let off = || number(4);
    let mut system = vec![
        (service("volume"), "Start", off(), "root SYSTEM\\ControlSet001\\Services\\volume Start"),
        (service("KSecDD"), "Start", off(), "KSecDD Start"),
        (service("CNG"), "Start", off(), "CNG Start"),
        (service("FltMgr"), "Start", off(), "FltMgr Start"),
        (service("Wdf01000"), "Start", off(), "Wdf01000 Start"),
        (
            service("WFPLWFS"),
            "Start",
            off(),
            "network SYSTEM\\ControlSet001\\Services\\WFPLWFS Start unknown",
        ),
        (service("BFE"), "Start", off(), "login SYSTEM\\ControlSet001\\Services\\BFE Start unknown"),
        (service("PlugPlay"), "Start", off(), "init SYSTEM\\ControlSet001\\Services\\PlugPlay Start"),
        (
            service(r"netvsc\StartOverride"),
            "0",
            off(),
            "netvsc: StartOverride has 4 in the place of its Start",
        ),
        (
            service("storvsc"),
            "Type",
            number(0x10),
            "storvsc Type: its Type is 0x10, and not that of a driver",
        ),
        (service("netvsc"), "Type", number(0x20), "netvsc: its Type is 0x20, and not that of a driver"),
        (service("Ntfs"), "Type", number(0x20), "its Type is 0x20, and not that of a driver"),
        (service("TermService"), "Type", number(1), "its Type is 0x1, and not that of a service"),
        (
            service("TermService"),
            "ObjectName",
            text(r".\rdp"),
            "ObjectName unknown: TermService runs as .\\rdp",
        ),
        (
            service("vmbus"),
            "ImagePath",
            text(r"System32\drivers\null.sys"),
            "its file is null.sys, which is that of Null",
        ),
        (service("netvsc"), "ImagePath", text(r"System32\drivers\null.sys"), "which is that of Null"),
        (
            service("disk"),
            "ImagePath",
            text(r"System32\drivers\storport.sys"),
            "unknown: its file is storport.sys",
        ),
        (disks, "UpperFilters", list(&[]), "UpperFilters: partmgr is not in it"),
        (
            cards.clone(),
            "UpperFilters",
            list(&["gone"]),
            "UpperFilters: there is no driver gone, and no card starts",
        ),
        (cards, "LowerFilters", list(&["AWSNVMe", "rdyboost"]), ""),
        (
            subsystems.clone(),
            "Windows",
            text(r"%SystemRoot%\system32\csrsx.exe ObjectDirectory=\Windows"),
            "/Windows/system32/csrsx.exe: there is no such file",
        ),
        (
            subsystems.clone(),
            "Windows",
            text(r"%SystemRoot%\system32\csrss.exe ServerDll=basesrv,1 ServerDll=gone:Init,3"),
            "/Windows/System32/gone.dll: there is no such file",
        ),
        (
            subsystems.clone(),
            "Windows",
            text(r"%SystemRoot%\system32\csrss.exe ServerDll=basesrv,1 ServerDll=winsrv:Init,3"),
            "",
        ),
        (subsystems.clone(), "Windows", text(""), "SubSystems Windows: it names no program"),
        (subsystems.clone(), "Required", list(&["Debug"]), "Required: the subsystem of Windows is not in it"),
        (
            subsystems.clone(),
            "Kmode",
            text(r"\SystemRoot\System32\win32x.sys"),
            "/Windows/System32/win32x.sys",
        ),
        (
            listener.clone(),
            "MaxInstanceCount",
            number(0),
            "login SYSTEM\\ControlSet001\\Control\\Terminal Server\\WinStations\\RDP-Tcp MaxInstanceCount: it may have no session",
        ),
        (listener.clone(), "fLogonDisabled", number(1), "its listener lets nobody log on"),
        (terminal.clone(), "TSEnabled", number(0), "TSEnabled: its services are off"),
    ];
    for name in ["DcomLaunch", "RpcEptMapper", "SamSs", "LSM", "ProfSvc"] {
        system.push((service(name), "Start", off(), " is disabled"));
        system.push((service(name), "ImagePath", text(""), "/Windows/"));
    }
    for (key, value, (kind, data), why) in &system {
        let stops = changed("windows-2022", SYSTEM, |edit| {
            edit.create_key(key)?;
            edit.set(key, value, *kind, data)
        });
        assert!(is_told(&stops, why), "{key} {value}: {stops:#?}, not {why:?}");
    }
    for (key, why) in [
        (listener, "RDP-Tcp: there is no such key, and nothing listens"),
        (subsystems, "SubSystems: there is no such key"),
        (service("disk"), "services"),
        (service("LSM"), "there is no service LSM"),
        (service("RpcEptMapper"), "there is no service RpcEptMapper"),
        (control("Session Manager\\KnownDLLs"), "KnownDLLs unknown: every Windows has it"),
        (control("ProductOptions"), "ProductType unknown: every Windows has it"),
        (control("Lsa"), "Authentication Packages unknown: every Windows has it"),
        (control("Nls"), "ACP unknown: it is not there"),
        (control("ServiceGroupOrder"), "List unknown: it names no groups"),
        (r"ControlSet001\Enum\ROOT".to_owned(), "VOLMGR unknown: no device there has the driver volmgr"),
        ("Setup".to_owned(), "SystemSetupInProgress unknown: every Windows has it"),
    ] {
        let stops = changed("windows-2022", SYSTEM, |edit| edit.delete_key(&key));
        assert!(is_told(&stops, why) || why == "services" && !stops.is_empty(), "{key}: {stops:#?}");
    }
    let logon = r"Microsoft\Windows NT\CurrentVersion\Winlogon";
    let policy = r"Policies\Microsoft\Windows NT\Terminal Services";
    let groups = r"Microsoft\Windows NT\CurrentVersion\Svchost";
    for (key, value, (kind, data), why) in [
        (logon, "Userinit", text(""), "Userinit: it names no program"),
        (logon, "Userinit", text(r"C:\x\userinit.exe,"), r"Userinit: there is no C:\x\userinit.exe"),
        (
            logon,
            "Userinit",
            text(r"C:\Windows\system32\cmd.exe,"),
            "Userinit unknown: it starts /Windows/system32/cmd.exe",
        ),
        (logon, "Userinit", text(r"C:\x\agent.exe,%SystemRoot%\system32\userinit.exe"), ""),
        (logon, "Userinit", text("userinit"), ""),
        (logon, "Shell", text(" "), "Shell unknown: it names no program"),
        (logon, "Shell", text("shell.exe"), "Shell unknown: there is no shell.exe"),
        (logon, "Shell", text(r#"cmd.exe /c "cd /d "%USERPROFILE%" & start cmd.exe /k runonce.exe""#), ""),
        (policy, "MaxInstanceCount", number(0), "MaxInstanceCount: it may have no session"),
        (groups, "termsvcs", list(&["Other"]), "Svchost termsvcs: TermService is not in it"),
    ] {
        let stops = changed("windows-2022", SOFTWARE, |edit| {
            edit.create_key(key)?;
            edit.set(key, value, kind, &data)
        });
        assert!(is_told(&stops, why), "{key} {value}: {stops:#?}, not {why:?}");
    }
}

/// Whether one of what stops the walk says so; nothing does where `why` is empty.
fn is_told(stops: &[String], why: &str) -> bool {
    let is = |stop: &String| stop.contains(why) && !why.is_empty();
    stops == ["skipped"] || stops.iter().any(is) || stops.is_empty() && why.is_empty()
}

/// A fault of SYSTEM is not one of the menu, which does not read that.
#[test]
fn a_fault_of_system_is_told_where_it_ends_the_start() {
    let class = r"ControlSet001\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}";
    let netvsc = r"ControlSet001\Services\netvsc";
    for (key, value, kind, first) in [
        (netvsc, "Start", Kind::BINARY, "drivers SYSTEM\\ControlSet001\\Services\\netvsc Start unknown"),
        (class, "UpperFilters", Kind::SZ, "drivers SYSTEM\\ControlSet001\\Control\\Class"),
    ] {
        let stops = changed("windows-2022", SYSTEM, |edit| edit.set(key, value, kind, &hive::text_data("x")));
        assert!(stops == ["skipped"] || stops[0].starts_with(first), "{stops:#?}");
    }
    let guest = synthetic::named("windows-2022");
    let Some(tree) = open(guest) else { return };
    let goal = goal(guest);
    let whole = tree.read(SYSTEM.path).unwrap().unwrap();
    let without = |stage: &mut Stage<'_>| stage.remove(SYSTEM.path).unwrap();
    let cut = |stage: &mut Stage<'_>| stage.put_binary(SYSTEM.path, &whole[..60_000], Vec::new()).unwrap();
    for (change, first) in [
        (
            &without as &dyn Fn(&mut Stage<'_>),
            "registry /Windows/System32/config/SYSTEM: there is no such file",
        ),
        (&cut, "registry /Windows/System32/config/SYSTEM unknown: "),
    ] {
        let mut stage = Stage::new(&tree, &goal);
        mend(&mut stage);
        change(&mut stage);
        let stops = why_not(&mut stage);
        assert!(stops[0].starts_with(first), "{stops:#?}");
    }
    let mut stage = Stage::new(&tree, &goal);
    mend(&mut stage);
    stage.put_binary(BCD_UEFI.path, vec![0; 4096], Vec::new()).unwrap();
    let stops = why_not(&mut stage);
    assert!(stops[0].starts_with("menu /System:/EFI/Microsoft/Boot/BCD unknown: "), "{stops:#?}");
    assert!(stops[0].ends_with("on a repair machine, bcdboot writes a new one"), "{stops:#?}");
}

#[test]
fn an_element_of_the_boot_configuration_ends_the_walk() {
    let loader = "{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}";
    let manager = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
    let at = |object: &str, number: u32| format!(r"Objects\{object}\Elements\{number:08x}");
    let settings = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}";
    let megabytes = |count: u64| (count << 20).to_le_bytes().to_vec();
    let long = 301_u64.to_le_bytes().to_vec();
    for (name, file, loads) in
        [("windows-2019", BCD_WINDOWS, "winload.efi"), ("windows-2022", BCD_UEFI, "winload.exe")]
    {
        let Some(tree) = open(synthetic::named(name)) else { return };
        let store = registry::open(&tree, file).unwrap().unwrap();
        let of = |object: &str, number: u32| store.data(&at(object, number), "Element").unwrap().unwrap();
        let (mut elsewhere, mut other_disk) = (of(loader, 0x2100_0001), of(loader, 0x2100_0001));
        elsewhere[0x21] ^= 1;
        other_disk[0x38] ^= 1;
        let objects = |name: &str| hive::texts_data([name]);
        for (object, number, kind, data, why) in [
            (loader, 0x2100_0001, Kind::BINARY, elsewhere, "no partition of this disk is"),
            (loader, 0x2100_0001, Kind::BINARY, other_disk, "the disk "),
            (loader, 0x1100_0001, Kind::BINARY, vec![0; 20], "unknown"),
            (
                loader,
                0x1200_0002,
                Kind::SZ,
                hive::text_data(&format!(r"\Windows\system32\{loads}")),
                "no loader for",
            ),
            (
                loader,
                0x1200_0002,
                Kind::SZ,
                hive::text_data("x.exe"),
                if name == "windows-2019" { "/x.exe" } else { "no loader" },
            ),
            (
                loader,
                0x2200_0002,
                Kind::SZ,
                hive::text_data(r"\Windows.old"),
                "unknown: it starts the Windows in",
            ),
            (loader, 0x2500_0080, Kind::BINARY, vec![0; 8], "safe mode, without network"),
            (manager, 0x2300_0003, Kind::SZ, hive::text_data("{gone}"), "names no entry"),
            (
                manager,
                0x2400_0002,
                Kind::MULTI_SZ,
                objects("{b2721d73-1db4-4c62-bf78-c548a880142d}"),
                "once that of",
            ),
            (manager, 0x2500_0004, Kind::BINARY, long.clone(), "it waits 301 seconds"),
            (manager, 0x2500_0004, Kind::BINARY, vec![0xff; 8], "does not stop waiting"),
            (
                loader,
                0x2200_0012,
                Kind::SZ,
                hive::text_data("halx.dll"),
                "it names halx.dll: there is no such",
            ),
            (loader, 0x2200_0013, Kind::SZ, hive::text_data("kdxyz.dll"), "it names kdxyz.dll"),
            (loader, 0x1500_0007, Kind::BINARY, megabytes(16), "the first 16 MiB of memory alone"),
            (
                loader,
                0x2500_0031,
                Kind::BINARY,
                900_u64.to_le_bytes().to_vec(),
                "leave 900 MiB of memory unused",
            ),
            (loader, 0x2600_0022, Kind::BINARY, vec![1], "unknown: it starts as Windows PE"),
            // Of all entries.
            (settings, 0x1500_0007, Kind::BINARY, megabytes(16), "the first 16 MiB of memory alone"),
            (settings, 0x2500_0080, Kind::BINARY, vec![0; 8], "safe mode, without network"),
        ] {
            let stops = changed(name, file, |edit| {
                edit.create_key(&at(object, number))?;
                edit.set(&at(object, number), "Element", kind, &data)
            });
            assert!(stops.iter().any(|stop| stop.contains(why)), "{name} {object} {number:x}: {stops:#?}");
        }
    }
}

#[test]
fn what_the_bios_starts_is_followed_to_bootmgr() {
    let guest = synthetic::named("windows-2012r2");
    let Some(tree) = open(guest) else { return };
    let goal = Goal { target: &hyperv::GEN1, ..goal(guest) };
    // The active partition is at 1 MiB.
    let volume = 1 << 20;
    for (offset, bytes, why) in [
        (0, vec![0; 440], "there is no code in it"),
        (446, vec![0], "none is active"),
        (462, vec![0x80], "several partitions are active"),
        (510, vec![0], "no boot record"),
        (volume + 510, vec![0], "no boot sector"),
        (volume + 0x54, vec![0; 426], "there is no code in it"),
        (volume + 0x1c, vec![1], "takes the partition to start at sector"),
    ] {
        let mut stage = Stage::new(&tree, &goal);
        assert_eq!(why_not(&mut stage), [""; 0], "Hyper-V of one's own has ACPI\\VMBus");
        stage.put_bytes(0, offset, bytes, Vec::new()).unwrap();
        let stops = why_not(&mut stage);
        assert!(stops.iter().any(|stop| stop.contains(why)), "{offset:#x}: {stops:#?}");
    }
    let mut stage = Stage::new(&tree, &goal);
    stage.put_binary("/hiberfil.sys", *b"HIBR and more", Vec::new()).unwrap();
    let stops = why_not(&mut stage);
    assert!(stops.iter().any(|stop| stop.contains("which is of another machine")), "{stops:#?}");
}

/// *Ready* needs the rules and the walk to agree: what the rules mend, the walk comes through.
#[test]
fn rules_and_walk_agree_on_every_guest() {
    for guest in synthetic::windows() {
        let Some(tree) = open(guest) else { return };
        let found = check(&tree, &goal(guest)).unwrap();
        assert!(!found.ready(), "{}: AWS's drivers are in it", guest.name);
        let open = found.items.iter().filter(|item| item.severity == Severity::Blocker);
        let by_hand: Vec<_> = open
            .filter(|item| {
                matches!(
                    item.verdict,
                    Verdict::Wrong { remedy: Remedy::ByHand { .. }, .. } | Verdict::Unknown
                )
            })
            .map(|item| item.rule)
            .collect();
        let stops = stops(found.after_fix());
        assert_eq!(by_hand.is_empty(), stops.is_empty(), "{}: {by_hand:?}, {stops:#?}", guest.name);
        assert_eq!(found.fixable(), by_hand.is_empty(), "{}: {by_hand:?}", guest.name);
        assert_eq!(by_hand.is_empty(), guest.name != "windows-2012r2", "{}: {by_hand:?}", guest.name);
    }
}

/// What a driver or a program is linked with is needed as that is.
#[test]
fn what_a_file_is_linked_with_is_looked_for() {
    let guest = synthetic::named("windows-2022");
    let Some(tree) = open(guest) else { return };
    let goal = goal(guest);
    let gone = "it is linked with gone.sys, which is not there";
    for (file, name, why) in [
        ("drivers/vmbus.sys", "storport.sys", ""),
        ("drivers/vmbus.sys", "ext-ms-win-ntos-x.dll", ""),
        ("drivers/vmbus.sys", "gone.sys", gone),
        ("drivers/vmbus.sys", "locale.nls", "/Windows/System32/locale.nls: it is no PE file"),
        ("drivers/netvsc.sys", "gone.sys", gone),
        ("drivers/netvsc.sys", "vmbkmcl.sys", ""),
        ("services.exe", "gone.sys", gone),
        ("lsasrv.dll", "gone.sys", gone),
        ("lsass.exe", "api-ms-win-core-x-l1-1-0.dll", ""),
        ("LogonUI.exe", "gdiplus.dll", ""),
        ("userinit.exe", "gone.sys", gone),
        ("termsrv.dll", "gone.sys", gone),
        ("../explorer.exe", "gone.sys", gone),
    ] {
        let mut stage = Stage::new(&tree, &goal);
        mend(&mut stage);
        let path = match file.strip_prefix("../") {
            Some(file) => format!("/Windows/{file}"),
            None => format!("/Windows/System32/{file}"),
        };
        let mut content = stage.guest().unwrap().view.read(&path).unwrap().unwrap().to_vec();
        // Its import directory is put into its data, and its checksum is taken away.
        let (optional, data) = (0x98, 1024 + 512);
        content[optional + 64..optional + 68].fill(0);
        content[optional + 120..optional + 124].copy_from_slice(&0x2000_u32.to_le_bytes());
        content[data..data + 512].fill(0);
        content[data + 12..data + 16].copy_from_slice(&0x2040_u32.to_le_bytes());
        content[data + 0x40..data + 0x40 + name.len()].copy_from_slice(name.as_bytes());
        stage.put_binary(&path, content, Vec::new()).unwrap();
        let stops = why_not(&mut stage);
        assert!(is_told(&stops, why), "{file} {name}: {stops:#?}");
        let is_named = why != gone || stops.iter().any(|stop| stop.contains(&path));
        assert!(is_named, "{file} {name}: {stops:#?}");
    }
}

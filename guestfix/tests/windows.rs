//! What is said of the synthetic Windows guests, which are made by programs that share no code with us.

use guestfix::facts::OsKind;
use guestfix::tree::Tree;
use guestfix::{View, inspect};
use libdisk::block::FileDisk;
use testimages::synthetic::{self, SyntheticGuest};

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

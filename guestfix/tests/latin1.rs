//! A guest whose configuration files hold bytes that are not UTF-8 gets the verdicts and the fixes that it
//! gets without them, and the bytes stay.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use guestfix::edit::{Before, Content, Edit, Ownership};
use guestfix::facts::{Lvm, Machine, TableKind};
use guestfix::plan::{Check, Identity, Plan, check, plan};
use guestfix::platform::azure;
use guestfix::text::bytes;
use guestfix::tree::Tree;
use guestfix::{Error, Goal, Result, Stage, View, apply};
use libdisk::block::FileDisk;
use libdisk::vfs::{Attributes, FileSystem, FileSystemMut, MemoryFs, Metadata};
use testimages::synthetic::{self, Generation};

/// A comment in Latin-1 and one of bytes that are nothing, for formats with `#`.
const COMMENT: &[u8] = b"# caf\xe9 \xff\xfe \xc3\n";

/// One for each boot loader and each way to configure a network.
const GUESTS: [&str; 6] =
    ["debian-separate-boot", "ubuntu-gpt-hybrid", "alpine", "rhel-6", "sles-15", "debian-systemd-boot"];

/// A guest of which every configuration file has [`COMMENT`] at its end.
struct Commented<'a> {
    guest: &'a dyn View,
    /// The files that were read.
    read: RefCell<BTreeSet<String>>,
}

impl Commented<'_> {
    /// Configuration that takes comments at its end; what the distribution ships is left alone, and so is
    /// what is no text or ends within a line.
    fn takes_comment(path: &str, content: &[u8]) -> bool {
        let place = ["/etc/", "/boot/grub", "/boot/loader", "/boot/efi/", "/boot/extlinux"];
        place.iter().any(|place| path.starts_with(place))
            && !path.starts_with("/etc/selinux/")
            && content.ends_with(b"\n")
            && std::str::from_utf8(content).is_ok_and(|text| !text.contains('\0'))
    }
}

impl View for Commented<'_> {
    fn machine(&self) -> &Machine {
        self.guest.machine()
    }

    fn lstat(&self, path: &str) -> Result<Option<Metadata>> {
        self.guest.lstat(path)
    }

    fn stat(&self, path: &str) -> Result<Option<Metadata>> {
        self.guest.stat(path)
    }

    fn resolve(&self, path: &str) -> Result<Option<String>> {
        self.guest.resolve(path)
    }

    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>> {
        let (Some(content), Some(place)) = (self.guest.read(path)?, self.guest.resolve(path)?) else {
            return Ok(None);
        };
        if !Self::takes_comment(&place, &content) {
            return Ok(Some(content));
        }
        self.read.borrow_mut().insert(place);
        Ok(Some([&content, COMMENT].concat().into()))
    }

    fn read_link(&self, path: &str) -> Result<Option<String>> {
        self.guest.read_link(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        self.guest.list(path)
    }

    fn xattrs(&self, path: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.guest.xattrs(path)
    }

    fn disk_bytes(&self, disk: usize, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.guest.disk_bytes(disk, offset, len)
    }
}

fn goal(generation: Generation) -> Goal {
    let target = match generation {
        Generation::Gen1 => &azure::GEN1,
        Generation::Gen2 => &azure::GEN2,
    };
    Goal::new(target)
}

fn identity() -> Identity {
    Identity::new("disk.img", 0, &[0; 32])
}

/// The new content of a file, if the plan holds it.
fn content(edit: &Edit) -> Option<(&str, &[u8])> {
    match edit {
        Edit::PutFile { path, content: Content::Text(text), .. } => Some((path, text.as_bytes())),
        Edit::PutFile { path, content: Content::Bytes(bytes), .. } => Some((path, bytes)),
        _ => None,
    }
}

/// What a check finds, but for the numbers of lines; its steps hold what was read, with the comment.
fn without_lines(check: &Check) -> String {
    let text = format!("{:?}", (&check.items, &check.shortages, &check.walk, &check.walk_after_fix));
    let mut parts = text.split("line: Some(");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + "line: Some(" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
fn bytes_that_are_not_utf8_change_no_verdict_and_stay() {
    let mut edited = BTreeSet::new();
    for guest in GUESTS.map(synthetic::named) {
        let Some(path) = guest.path() else { return };
        let goal = goal(guest.generation);
        let tree = Tree::open(FileDisk::open(&path).unwrap().disk()).unwrap();
        let commented = Commented { guest: &tree, read: RefCell::default() };
        let (plain, with) = (check(&tree, &goal).unwrap(), check(&commented, &goal).unwrap());
        // What a fix writes behind the comment is a line further down.
        assert_eq!(without_lines(&with), without_lines(&plain), "{}", guest.name);

        let plans = (plan(&tree, &[identity()], &goal), plan(&commented, &[identity()], &goal));
        let (plain, with) = match plans {
            (Ok(plain), Ok(with)) => (plain, with),
            (Err(Error::Refused(_)), Err(Error::Refused(_))) => continue,
            (plain, with) => panic!("{}: {plain:?} {with:?}", guest.name),
        };
        assert_eq!(with.steps.len(), plain.steps.len(), "{}", guest.name);
        for (plain, with) in plain.steps.iter().zip(&with.steps) {
            assert_eq!(with.rules, plain.rules, "{}", guest.name);
            let (Some((path, plain)), Some((same, with))) = (content(&plain.edit), content(&with.edit))
            else {
                continue;
            };
            assert_eq!(same, path);
            if commented.read.borrow().contains(path) {
                let rest = remove(with, COMMENT);
                assert_eq!(bytes::shown_bytes(&rest), bytes::shown_bytes(plain), "{}: {path}", guest.name);
                edited.insert(path.to_owned());
            }
        }
        let diff = with.diff(&commented).unwrap().to_string();
        assert!(!diff.chars().any(|c| c > '\u{f0000}'), "{}: {diff}", guest.name);
        assert_eq!(Plan::from_json(&with.to_json().unwrap()).unwrap(), with);
    }
    // One of each kind of editor at least.
    for path in ["/etc/fstab", "/etc/default/grub", "/boot/grub/grub.cfg"] {
        assert!(edited.contains(path), "{path} was not edited, only {edited:?}");
    }
}

/// `bytes` without the one `part` in it.
fn remove(bytes: &[u8], part: &[u8]) -> Vec<u8> {
    let at = bytes.windows(part.len()).position(|window| window == part);
    let at = at.unwrap_or_else(|| panic!("not there any more: {}", bytes::shown_bytes(bytes)));
    [&bytes[..at], &bytes[at + part.len()..]].concat()
}

/// The names of files and the targets of links are carried as well.
#[test]
fn a_name_that_is_not_utf8_is_listed_read_and_written() {
    let name = bytes::decode(b"caf\xe9.conf");
    let mut fs = MemoryFs::from_entries([("/etc/hosts", "x")]).symlink("/etc/link", b"caf\xe9.conf");
    let etc = fs.lookup(fs.root(), b"etc").unwrap();
    let mut change = fs.begin().unwrap();
    change.create(etc, b"caf\xe9.conf", &Attributes::default(), b"old\xff\n").unwrap();
    change.commit().unwrap();
    let machine = machine();
    let tree = Tree::from_filesystems(vec![("/".into(), Box::new(fs.clone()))], machine.clone());
    assert_eq!(tree.list("/etc").unwrap(), ["caf\u{10ffe9}.conf", "hosts", "link"]);
    assert_eq!(tree.read_link("/etc/link").unwrap().as_deref(), Some(name.as_str()));
    let goal = goal(Generation::Gen1);
    let mut stage = Stage::new(&tree, &goal);
    assert!(stage.edit("/etc/link", |text| text.replace("old", "new")).unwrap());
    let view = stage.guest().unwrap().view;
    assert_eq!(&*view.read(&format!("/etc/{name}")).unwrap().unwrap(), b"new\xff\n");

    let edit = Edit::PutFile {
        path: format!("/etc/{name}"),
        before: Before::Absent,
        content: Content::Bytes(b"new\xff\n".to_vec()),
        ownership: Ownership::default(),
        rendering: Vec::new(),
    };
    apply::write(&mut fs, "p1", "/", &[&edit], &tree, 1).unwrap();
    let tree = Tree::from_filesystems(vec![("/".into(), Box::new(fs))], machine);
    assert_eq!(&*tree.read("/etc/link").unwrap().unwrap(), b"new\xff\n");
}

fn machine() -> Machine {
    Machine {
        size: 0,
        table: TableKind::None,
        remote: false,
        table_faults: Vec::new(),
        data_disks: vec![],
        bios: Vec::new(),
        uefi: Vec::new(),
        volumes: Vec::new(),
        lvm: Lvm::default(),
    }
}

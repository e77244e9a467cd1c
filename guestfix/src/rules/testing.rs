//! A guest in memory to try a rule on.

use libdisk::vfs::{FileSystemMut, MemoryFs};

use super::linux::boot::{grub_root_device, immutable};
use super::linux::kernel::kernel_hyperv;
use super::linux::mounts::{crypttab, fstab, lvm_filters};
use super::linux::network;
use crate::device::Part;
use crate::elf::testing::library;
use crate::facts::{DataDisk, Lvm, Machine, SignatureKind, TableKind, Volume};
use crate::instance::{Hardware, Instance, Performance};
use crate::plan::{Item, Verdict, check, judge};
use crate::platform::{Firmware, azure};
use crate::rule::{CloudInit, Goal, Place};
use crate::sizing::Size;
use crate::tree::Tree;
use crate::unread::Noting;
use crate::{Device, Finding, Fixed, Guest, Rule, Severity, Stage, Target, View, rules};

const MAIN_OF_IFUPDOWN: &str = "/etc/network/interfaces";
pub(crate) const ROOT_UUID: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const BOOT_UUID: &str = "66666666-7777-8888-9999-000000000000";

/// What the plain Debian below boots with; `{root}` and `{arguments}` are to be filled in.
const GRUB_CFG: &str = "set default=\"0\"
menuentry 'Debian GNU/Linux' --class debian {
	search --no-floppy --fs-uuid --set=root 11111111-2222-3333-4444-555555555555
	linux	/boot/vmlinuz-6.1.0-50-amd64 root={root} ro {arguments}
	initrd	/boot/initrd.img-6.1.0-50-amd64
}
submenu 'Advanced options for Debian GNU/Linux' {
	menuentry 'Debian GNU/Linux, recovery' {
		linux	/boot/vmlinuz-6.1.0-50-amd64 root={root} ro single {arguments}
		initrd	/boot/initrd.img-6.1.0-50-amd64
	}
}
terminal_output console serial
";

const MODULES: &[&str] = &[
    "drivers/hv/hv_vmbus",
    "drivers/scsi/hv_storvsc",
    "drivers/net/hyperv/hv_netvsc",
    "drivers/hv/hv_utils",
    "drivers/pci/controller/pci-hyperv",
    "drivers/net/ethernet/mellanox/mlx4/mlx4_core",
    "drivers/net/ethernet/mellanox/mlx5/core/mlx5_core",
    "drivers/net/ethernet/microsoft/mana/mana",
    "drivers/scsi/sd_mod",
];

/// What a package that configures the network has: the unit or script by which it is started, where there is
/// one, and its programs.
const MANAGERS: [(&str, Option<&str>, &[&str]); 6] = [
    (
        "ifupdown",
        Some("/lib/systemd/system/networking.service"),
        &["/sbin/ifup", "/sbin/dhclient", "/sbin/dhclient-script"],
    ),
    ("netplan", None, &["/usr/lib/systemd/system-generators/netplan", "/usr/lib/systemd/systemd-networkd"]),
    (
        "networkd",
        Some("/usr/lib/systemd/system/systemd-networkd.service"),
        &["/usr/lib/systemd/systemd-networkd"],
    ),
    ("NetworkManager", Some("/usr/lib/systemd/system/NetworkManager.service"), &["/usr/sbin/NetworkManager"]),
    ("network", Some("/etc/rc.d/init.d/network"), &["/sbin/ifup", "/sbin/dhclient", "/sbin/dhclient-script"]),
    ("wicked", Some("/usr/lib/systemd/system/wicked.service"), &["/usr/sbin/wicked", "/usr/sbin/wickedd"]),
];

/// A guest and what is asked for it.
#[derive(Clone)]
pub(crate) struct Bench {
    fs: MemoryFs,
    machine: Machine,
    goal: Goal,
    instance: Option<Instance>,
    given: Vec<Option<Performance>>,
    sizes: Vec<Size>,
}

/// A guest made into another.
pub(super) type Change = fn(Bench) -> Bench;

/// `grub.cfg` of the plain Debian with this root and these arguments.
pub(crate) fn grub_cfg(root: &str, arguments: &str) -> String {
    GRUB_CFG.replace("{root}", root).replace("{arguments}", arguments)
}

impl Bench {
    /// A plain Debian with which every rule is content, for a start by BIOS.
    pub(crate) fn debian() -> Self {
        let modules: String = MODULES.iter().map(|path| format!("kernel/{path}.ko:\n")).collect();
        let fs = MemoryFs::from_entries([
            (
                "/etc/os-release",
                "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
            ),
            ("/boot/vmlinuz-6.1.0-50-amd64", "kernel"),
            ("/lib/modules/6.1.0-50-amd64/modules.dep", &modules),
            (
                "/boot/grub/grub.cfg",
                &grub_cfg(&format!("UUID={ROOT_UUID}"), "console=tty0 console=ttyS0,115200n8"),
            ),
            (
                "/etc/default/grub",
                "GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0,115200n8\"\nGRUB_TERMINAL=serial\nGRUB_SERIAL_COMMAND=serial\n",
            ),
            ("/etc/fstab", &format!("UUID={ROOT_UUID} / ext4 defaults 0 1\n")),
            (MAIN_OF_IFUPDOWN, "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n"),
            ("/usr/sbin/waagent", "#!/usr/bin/python3\n"),
        ]);
        let volume = |number: u32, mounted_at: Option<&str>, kind: &str, uuid: &str| Volume {
            name: format!("p{number}"),
            number,
            device: Device::Range(Part { disk: 0, range: 1 << 20..2 << 20 }),
            kind: kind.parse().ok(),
            uuid: Some(uuid.into()),
            label: None,
            partuuid: Some(format!("1ec2a517-0{number}")),
            partlabel: None,
            type_name: None,
            mounted_at: mounted_at.map(str::to_owned),
            unreadable: None,
            needs_recovery: false,
            unrecoverable: None,
            read_only: None,
            free: Some(1 << 30),
            free_nodes: None,
        };
        let machine = Machine {
            size: 8 << 30,
            table: TableKind::Mbr,
            remote: false,
            table_faults: Vec::new(),
            data_disks: Vec::new(),
            bios: vec!["boot code in the MBR".into()],
            uefi: Vec::new(),
            volumes: vec![volume(1, Some("/"), "ext4", ROOT_UUID), volume(2, None, "swap", BOOT_UUID)],
            lvm: Lvm::default(),
        };
        let goal = Goal::new(&azure::GEN1);
        Self { fs, machine, goal, instance: None, given: Vec::new(), sizes: Vec::new() }.manager("ifupdown")
    }

    /// The same, of which nothing is known yet that configures its network.
    pub(crate) fn without_network() -> Self {
        let (_, unit, programs) = MANAGERS[0];
        let links = ["/etc/systemd/system/multi-user.target.wants/networking.service", MAIN_OF_IFUPDOWN];
        let all = unit.iter().chain(programs).chain(&links);
        all.fold(Self::debian(), |bench, path| bench.without(path))
    }

    /// With this package that configures the network, which is started.
    pub(crate) fn manager(self, name: &str) -> Self {
        let (_, unit, programs) = MANAGERS.iter().find(|(known, ..)| *known == name).unwrap();
        let bench = programs.iter().fold(self, |bench, path| bench.program(path, library(&[])));
        let Some(unit) = unit else {
            let unit = "[Service]\nExecStart=!!/usr/lib/systemd/systemd-networkd\n";
            return bench.file("/usr/lib/systemd/system/systemd-networkd.service", unit);
        };
        let bench = bench.file(unit, format!("[Service]\nExecStart={}\n", programs[0]));
        match unit.rsplit_once('/').unwrap() {
            ("/etc/rc.d/init.d", script) => bench
                .link(&format!("/etc/rc.d/rc3.d/S10{script}"), &format!("../init.d/{script}"))
                .file("/etc/sysconfig/network", "NETWORKING=yes\n"),
            (_, unit_name) => {
                bench.link(&format!("/etc/systemd/system/multi-user.target.wants/{unit_name}"), unit)
            }
        }
    }

    /// With this file.
    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.fs = self.fs.file(path, content);
        self
    }

    /// With this file, which its owner alone may read.
    pub(crate) fn secret(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.fs = self.fs.file(path, content).mode(path, 0o600, 0, 0);
        self
    }

    /// With this program.
    pub(crate) fn program(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.fs = self.fs.file(path, content).mode(path, 0o755, 0, 0);
        self
    }

    /// With this mode.
    pub(crate) fn mode(mut self, path: &str, mode: u16) -> Self {
        self.fs = self.fs.mode(path, mode, 0, 0);
        self
    }

    /// With this symbolic link.
    pub(crate) fn link(mut self, path: &str, target: &str) -> Self {
        self.fs = self.fs.symlink(path, target);
        self
    }

    /// With an empty folder in the place of this file.
    pub(crate) fn folder(self, path: &str) -> Self {
        let mut bench = self.without_if_there(path);
        bench.fs = bench.fs.dir(path);
        bench
    }

    fn without_if_there(self, path: &str) -> Self {
        if self.tree().exists(path).unwrap() { self.without(path) } else { self }
    }

    /// Without this file.
    pub(crate) fn without(mut self, path: &str) -> Self {
        let (dir, name) = path.rsplit_once('/').unwrap();
        let dir = self.fs.resolve(dir).unwrap();
        let mut change = self.fs.begin().unwrap();
        change.unlink(dir, name.as_bytes()).unwrap();
        change.commit().unwrap();
        self
    }

    pub(crate) fn machine(mut self, change: impl FnOnce(&mut Machine)) -> Self {
        change(&mut self.machine);
        self
    }

    /// With a second disk, an ext4 with the UUID da7a, of which nobody knows the name that it had.
    pub(super) fn with_data_disk(self) -> Self {
        self.machine(|machine| {
            machine.data_disks.push(DataDisk { name: "disk2".into(), ..DataDisk::default() });
            let volume = Volume {
                name: "disk2".into(),
                number: 0,
                device: Device::Range(Part { disk: 1, range: 0..1 << 20 }),
                uuid: Some("da7a".into()),
                partuuid: None,
                mounted_at: None,
                ..machine.volumes[0].clone()
            };
            machine.volumes.push(volume);
        })
    }

    pub(super) fn instance(mut self, instance: Instance) -> Self {
        self.instance = Some(instance);
        self
    }

    /// Where these are all sizes that there are.
    pub(super) fn sizes(mut self, sizes: Vec<Size>) -> Self {
        self.sizes = sizes;
        self
    }

    /// With volumes that were given this.
    pub(super) fn given(mut self, given: Vec<Option<Performance>>) -> Self {
        self.given = given;
        self
    }

    pub(crate) fn target(mut self, target: &'static Target) -> Self {
        self.goal.target = target;
        self
    }

    pub(crate) fn cloud_init(mut self, cloud_init: CloudInit) -> Self {
        self.goal.cloud_init = cloud_init;
        self
    }

    fn tree(&self) -> Tree {
        Tree::from_filesystems(vec![("/".into(), Box::new(self.fs.clone()))], self.machine.clone())
    }

    /// What `see` says of the guest.
    pub(crate) fn guest<T>(&self, see: impl FnOnce(&Guest<'_>) -> T) -> T {
        let tree = self.tree();
        see(&Stage::new(&tree, &self.goal).guest().unwrap())
    }

    /// Shows it with nothing staged yet.
    pub(crate) fn stage<T>(&self, see: impl FnOnce(&mut Stage<'_>) -> T) -> T {
        let tree = self.tree();
        see(&mut Stage::new(&tree, &self.goal))
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> String {
        self.tree().text(path).unwrap().unwrap_or_else(|| panic!("there is no {path}"))
    }

    /// What the rule finds wrong, "place: what" each.
    pub(crate) fn findings(&self, rule: &Rule) -> Vec<String> {
        let tree = self.tree();
        let mut stage = Stage::new(&tree, &self.goal);
        let hardware = Hardware { instance: self.instance.as_ref(), disks: &self.given, sizes: &self.sizes };
        let guest = Guest { hardware, ..stage.guest().unwrap() };
        match rule.find(&guest).unwrap() {
            Finding::Wrong { evidence } => {
                assert!(!evidence.is_empty());
                evidence.iter().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What the rule cannot judge for, "place: why" each.
    pub(crate) fn unread(&self, rule: &Rule) -> Vec<String> {
        let tree = self.tree();
        let noting = Noting::new(&tree);
        let judged = judge(rule, &mut Stage::new(&noting, &self.goal)).unwrap();
        judged.unread.iter().map(ToString::to_string).collect()
    }

    /// What the rule asks the user to do.
    pub(crate) fn by_hand(&self, rule: &Rule) -> String {
        let tree = self.tree();
        match rule.mend(&mut Stage::new(&tree, &self.goal)).unwrap() {
            Fixed::ByHand(what) => what,
            Fixed::Staged => panic!("it staged something"),
        }
    }

    /// Has the rule find fault and mend it, sees that it is then content, and lets `see` look at the mended
    /// guest.
    pub(crate) fn mended(&self, rule: &Rule, see: impl FnOnce(&dyn View)) {
        assert!(!self.findings(rule).is_empty(), "nothing to mend");
        let tree = self.tree();
        let mut stage = Stage::new(&tree, &self.goal);
        assert_eq!(rule.mend(&mut stage).unwrap(), Fixed::Staged);
        let guest = stage.guest().unwrap();
        let again = rule.find(&guest).unwrap();
        assert!(!matches!(again, Finding::Wrong { .. }), "still wrong: {again:?}");
        see(guest.view);
    }

    /// As [`mended`](Self::mended), for the text of one file.
    pub(crate) fn mended_text(&self, rule: &Rule, path: &str) -> String {
        let mut text = None;
        self.mended(rule, |view| text = view.text(path).unwrap());
        text.unwrap_or_else(|| panic!("there is no {path}"))
    }
}

/// Every rule has a pair of guests: it finds fault with the first, and none with the second.
pub(super) fn judge_pairs(rules: &[&Rule], pairs: &[(&Rule, Change, Change)]) {
    for rule in rules {
        let id = rule.meta.id;
        let pair = pairs.iter().find(|(known, ..)| known.meta.id == id);
        let (_, trip, fine) = pair.unwrap_or_else(|| panic!("{id} has no pair of guests"));
        assert!(!trip(Bench::debian()).findings(rule).is_empty(), "{id} finds nothing");
        assert_eq!(fine(Bench::debian()).findings(rule), [""; 0], "{id}");
    }
    assert_eq!(rules.len(), pairs.len());
}

/// A data disk of this size.
pub(super) fn disk(size: u64) -> DataDisk {
    DataDisk { size, ..DataDisk::default() }
}

/// The start of a program for this machine (System V ABI, e_machine).
pub(super) fn elf(machine: u8) -> Vec<u8> {
    let mut head = b"\x7fELF".to_vec();
    head.resize(64, 0);
    head[18] = machine;
    head
}

/// With this host name.
pub(super) fn named(bench: Bench, name: &str) -> Bench {
    bench.file("/etc/hostname", format!("{name}\n"))
}

/// With one volume more, on this disk.
pub(super) fn with_volume(
    bench: Bench,
    name: &str,
    disk: usize,
    kind: SignatureKind,
    at: Option<&str>,
) -> Bench {
    bench.machine(|machine| {
        let number = u32::try_from(machine.volumes.len()).unwrap() + 1;
        machine.volumes.push(Volume {
            name: name.to_owned(),
            number,
            device: Device::Range(Part { disk, range: 3 << 20..4 << 20 }),
            kind: Some(kind),
            mounted_at: at.map(str::to_owned),
            ..machine.volumes[1].clone()
        });
    })
}

/// With one volume more, of this kind.
pub(super) fn of_kind(bench: Bench, kind: SignatureKind) -> Bench {
    let name = format!("p{}", bench.machine.volumes.len() + 1);
    with_volume(bench, &name, 0, kind, None)
}

/// That starts another kernel.
pub(super) fn with_kernel(bench: Bench, version: &str) -> Bench {
    let menu = bench.text("/boot/grub/grub.cfg").replace("6.1.0-50-amd64", version);
    let modules = bench.text("/lib/modules/6.1.0-50-amd64/modules.dep");
    bench
        .file("/boot/grub/grub.cfg", menu)
        .file(&format!("/boot/vmlinuz-{version}"), "kernel")
        .file(&format!("/lib/modules/{version}/modules.dep"), modules)
}

/// A newc archive of nothing but its trailer.
pub(crate) fn empty_initramfs() -> Vec<u8> {
    initramfs_with(&[])
}

/// A newc archive of these files.
pub(crate) fn initramfs_with(files: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut record = |name: &str, mode: u32, data: &[u8]| {
        let name_size = name.len() + 1;
        out.extend(format!("070701{:08x}{mode:08x}{:08x}{:08x}{:08x}", 1, 0, 0, 1).bytes());
        out.extend(format!("{:08x}{:08x}", 0, data.len()).bytes());
        out.extend([b'0'; 32]);
        out.extend(format!("{name_size:08x}{:08x}{name}\0", 0).bytes());
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(data);
        out.resize(out.len().next_multiple_of(4), 0);
    };
    let mut made = std::collections::BTreeSet::new();
    for (path, text) in files {
        for (slash, _) in path.match_indices('/') {
            if made.insert(&path[..slash]) {
                record(&path[..slash], 0o040_755, b"");
            }
        }
        record(path, 0o100_755, text.as_bytes());
    }
    record("TRAILER!!!", 0, b"");
    out
}

#[test]
fn every_rule_is_content_with_a_plain_debian() {
    for rule in super::ALL {
        let found = Bench::debian().findings(rule);
        assert!(found.is_empty(), "{}: {found:?}", rule.meta.id);
    }
}

/// What cannot be read, and a rule that must say so.
const ODD: &[(&str, &Rule)] = &[
    ("/etc/fstab", &fstab::DEVICE_NAMES),
    ("/etc/default/grub", &grub_root_device::RULE),
    ("/boot/grub/grub.cfg", &grub_root_device::RULE),
    ("/boot/grub/grub.cfg", &kernel_hyperv::RULE),
    ("/lib/modules/6.1.0-50-amd64/modules.dep", &kernel_hyperv::RULE),
    ("/etc/os-release", &immutable::RULE),
    ("/etc/network/interfaces", &network::RULE),
    ("/etc/crypttab", &crypttab::RULE),
    ("/etc/lvm/lvm.conf", &lvm_filters::RULE),
];

/// Finding T12: what was not asked, as the machine starts by BIOS, is no "ok".
#[test]
fn what_does_not_apply_is_not_counted_as_ok() {
    let bench = Bench::debian();
    let check = check(&bench.tree(), &bench.goal).unwrap();
    let of_uefi = rules::ALL.iter().filter(|rule| rule.meta.applies.firmware == Some(Firmware::Uefi));
    let of_uefi: Vec<_> = of_uefi.map(|rule| rule.meta.id).collect();
    let says = |id: &str| check.items.iter().find(|item| item.rule == id).map(|item| &item.verdict);
    for id in &of_uefi {
        assert!(matches!(says(id), Some(Verdict::NotApplicable { .. })), "{id}: {:?}", says(id));
    }
    let ok = check.items.iter().filter(|item| item.verdict == Verdict::Ok).count();
    let count = check.count();
    assert_eq!(count.ok, ok);
    assert!(!of_uefi.is_empty() && count.not_applicable >= of_uefi.len());
    assert_eq!(count.ok + count.not_applicable + count.wrong + count.unknown, rules::ALL.len());
}

/// One odd file makes the rules that look at it unknown, costs no other its verdict, and is never "ready".
#[test]
fn what_cannot_be_read_is_unknown_and_hides_nothing_else() {
    for (path, rule) in ODD {
        let folder = Bench::debian().folder(path);
        let own_loop = Bench::debian().without_if_there(path).link(path, path);
        for (bench, why) in [(folder, "is a directory, not a file"), (own_loop, "symbolic links")] {
            let unread = bench.unread(rule);
            let named = unread.iter().find(|line| line.starts_with(&format!("{path}: ")));
            assert!(named.is_some_and(|line| line.contains(why)), "{path}: {unread:?}");

            let tree = bench.tree();
            let check = check(&tree, &bench.goal).unwrap();
            let grave = rule.meta.severity == Severity::Blocker;
            assert!(!grave || !check.ready() && !check.fixable(), "{path}");
            let count = check.count();
            assert!(count.unknown > 0 && count.ok > 10, "{path}: {count:?}");
            let odd = |item: &&Item| item.unread.iter().all(|unread| unread.place != Place::file(*path));
            let blind = check.unknown().filter(odd).map(|item| item.rule).collect::<Vec<_>>();
            assert_eq!(blind, [""; 0], "{path}");
        }
    }
}

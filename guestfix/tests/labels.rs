//! SELinux labels, judged by libselinux.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guestfix::facts::SignatureKind;
use guestfix::plan::{Identity, plan};
use guestfix::platform::azure;
use guestfix::text::file_contexts::FileContexts;
use guestfix::tree::Tree;
use guestfix::{Goal, View, apply};
use libdisk::block::{FileDisk, Silent};
use libdisk::vfs::FileType;
use testimages::judge::{self, KernelMount};
use testimages::synthetic::{self, Generation};

/// Where Debian's selinux-policy-default puts its policy.
const DEBIAN: &str = "/etc/selinux/default/contexts/files/file_contexts";

/// Everything about the format that a policy may make use of.
const SMALL: &[(&str, &str)] = &[
    (
        "",
        "# comment\n/.*\tu:r:default_t:s0\n/etc/.*\tu:r:etc_t:s0\n/etc/fstab\t--\tu:r:fstab_t:s0\n\
         /etc/(udev|hal)/rules\\.d(/.*)?\tu:r:rules_t:s0\n/etc/net[a-z]+(/.*)?\t-d\tu:r:net_t:s0\n\
         /usr/lib/systemd/system(/.*)?\tu:r:unit_t:s0\n/boot/initrd\\.img-.{3,}\t--\tu:r:image_t:s0\n\
         /var/log/s?yslog\t<<none>>\n",
    ),
    (".homedirs", "/home/[^/]+/.+\tu:r:home_t:s0\n/root/\\.bashrc\t--\tu:r:rc_t:s0\n"),
    (".local", "/etc/h.*\tu:r:hosts_t:s0\n/etc/fsta.\tu:r:late_t:s0\n"),
    (".subs_dist", "/lib /usr/lib\n/etc/systemd/system /usr/lib/systemd/system\n"),
    (".subs", "/usr/sbin /etc/udev/rules.d\n"),
];

/// What rules write, and what their neighbours are.
const PATHS: &[&str] = &[
    "/boot/initrd.img-6.1.0-50-amd64",
    "/boot/grub/grub.cfg",
    "/boot/efi/EFI/BOOT/BOOTX64.EFI",
    "/etc/chrony/chrony.conf",
    "/etc/cloud/cloud-init.disabled",
    "/etc/crypttab",
    "/etc/default/grub",
    "/etc/dracut.conf.d/90-azure-hyperv.conf",
    "/etc/fstab",
    "/etc/hosts",
    "/etc/init.d/x",
    "/etc/initramfs-tools/modules",
    "/etc/modprobe.d/x.conf",
    "/etc/netplan/90-azure.yaml",
    "/etc/network/interfaces",
    "/etc/NetworkManager/system-connections/azure.nmconnection",
    "/etc/resolv.conf",
    "/etc/ssh/sshd_config",
    "/etc/sysconfig/network-scripts/ifcfg-eth0",
    "/etc/systemd/network/90-azure.network",
    "/etc/systemd/system/x.service",
    "/etc/udev/rules.d/99-ptp_hyperv.rules",
    "/home/x/.ssh/authorized_keys",
    "/lib/modules/6.1.0/modules.dep",
    "/root/.bashrc",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/sbin/sshd",
    "/var/lib/cloud/instance",
    "/var/log/syslog",
];

/// Compares our labels with those of libselinux for a policy whose main file is at `path`.
fn compare(matchpathcon: &Path, path: &str) {
    let read = |suffix: &str| fs::read_to_string(format!("{path}{suffix}")).unwrap_or_default();
    let contexts = FileContexts::new([read("").as_str(), &read(".homedirs"), &read(".local")])
        .with_aliases(&read(".subs_dist"), &read(".subs"));
    for (name, file_type) in
        [("file", FileType::Regular), ("dir", FileType::Directory), ("lnk_file", FileType::Symlink)]
    {
        let output =
            judge::run(Command::new(matchpathcon).args(["-n", "-N", "-m", name, "-f", path]).args(PATHS));
        let judged = String::from_utf8(output.stdout).unwrap();
        assert_eq!(judged.lines().count(), PATHS.len());
        for (path, expected) in PATHS.iter().zip(judged.lines()) {
            let ours = contexts.label(path, file_type).unwrap_or("<<none>>");
            assert_eq!(ours, expected, "{path} as {name}");
        }
    }
}

#[test]
fn labels_of_a_small_policy_are_those_of_libselinux() {
    let Some(matchpathcon) = judge::need("matchpathcon") else { return };
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("file_contexts");
    for (suffix, text) in SMALL {
        fs::write(format!("{}{suffix}", main.display()), text).unwrap();
    }
    compare(&matchpathcon, main.to_str().unwrap());
}

#[test]
fn labels_of_debians_policy_are_those_of_libselinux() {
    let Some(matchpathcon) = judge::need("matchpathcon") else { return };
    if !Path::new(DEBIAN).exists() {
        return judge::skip("a policy (Debian package selinux-policy-default)");
    }
    compare(&matchpathcon, DEBIAN);
}

/// What a guest of the RPM families has its policy in.
const TARGETED: &str = "etc/selinux/targeted/contexts/files/file_contexts";

/// The volumes of a disk with files of Linux, mounted by the kernel below one root.
struct Mounted {
    /// Bound into the root: unmounted before it.
    bound: Option<PathBuf>,
    root: KernelMount,
    _boot: Option<KernelMount>,
}

impl Mounted {
    fn new(image: &Path, options: &str) -> Self {
        let tree = Tree::open(FileDisk::open(image).unwrap().disk()).unwrap();
        let mount = |point: &str| {
            let volumes = &tree.machine().volumes;
            let volume = volumes.iter().find(|volume| volume.mounted_at.as_deref() == Some(point))?;
            Some(KernelMount::with_options(image, volume.device.range()?, options))
        };
        let (root, boot) = (mount("/").unwrap(), mount("/boot"));
        let bound = boot.as_ref().map(|boot| {
            let bound = root.path().join("boot");
            judge::run(judge::tool("mount").arg("--bind").arg(boot.path()).arg(&bound));
            bound
        });
        Self { bound, root, _boot: boot }
    }

    /// Runs `setfiles` over all files with the guest's own policy; what it says.
    fn setfiles(&self, options: &[&str]) -> String {
        let root = self.root.path();
        let mut setfiles = judge::tool("setfiles");
        setfiles.args(options).arg("-r").arg(root).arg(root.join(TARGETED)).arg(root);
        String::from_utf8(judge::run(&mut setfiles).stdout).unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(bound) = &self.bound {
            judge::run(judge::tool("umount").arg(bound));
        }
    }
}

/// Every file, link and directory that a plan makes or changes has the label that the guest's policy gives
/// its path: there is nothing left for a relabelling to do.
#[test]
fn nothing_is_to_be_relabelled_after_a_plan() {
    if judge::need("setfiles").is_none() || !judge::need_kernel_mounts() {
        return;
    }
    let mut mended = Vec::new();
    for guest in synthetic::all() {
        let Some(image) = guest.path() else { return };
        let tree = Tree::open(FileDisk::open(&image).unwrap().disk()).unwrap();
        let is_logical = tree.machine().volumes.iter().any(|volume| volume.device.range().is_none());
        let config = tree.text("/etc/selinux/config").unwrap().unwrap_or_default();
        if !tree.exists(TARGETED).unwrap() || config.contains("SELINUX=disabled") || is_logical {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let copy = guest.copy_into(dir.path()).unwrap();
        // the tools that make an XFS set no labels
        let is_xfs = tree.machine().volumes.iter().any(|volume| volume.kind == Some(SignatureKind::Xfs));
        let (read, write) = if is_xfs { ("ro,nouuid", "rw,nouuid") } else { ("ro", "rw") };
        if is_xfs {
            Mounted::new(&copy, write).setfiles(&["-F"]);
        }
        let relabelled = Mounted::new(&copy, read).setfiles(&["-n", "-v", "-F"]);
        assert_eq!(relabelled, "", "{} as it is made", guest.name);

        let disk = FileDisk::open(&copy).unwrap().disk();
        let identity = [Identity::of("disk.img", &disk).unwrap()];
        let target = match guest.generation {
            Generation::Gen1 => &azure::GEN1,
            Generation::Gen2 => &azure::GEN2,
        };
        let goal = Goal::new(target);
        let plan = plan(&Tree::open(disk.clone()).unwrap(), &identity, &goal).unwrap();
        if plan.steps.is_empty() {
            continue;
        }
        let sealed = apply::apply(disk, &identity, &plan, &Silent).unwrap().remove(0);
        let target = FileDisk::open_mut(&copy).unwrap().disk_mut();
        sealed.merge_into(&target).unwrap();
        target.flush().unwrap();
        drop(target);
        let relabelled = Mounted::new(&copy, read).setfiles(&["-n", "-v", "-F"]);
        assert_eq!(relabelled, "", "{} after its plan", guest.name);
        mended.push(guest.name);
    }
    for name in ["rhel-7", "rhel-8", "rhel-9", "amzn-2023", "fedora-43"] {
        assert!(mended.contains(&name), "{mended:?}");
    }
}

/// A guest without labels gets none: where SELinux is off, or is not there.
#[test]
fn a_guest_without_labels_gets_none() {
    for name in ["amzn-2", "sles-12"] {
        let Some(image) = synthetic::named(name).path() else { return };
        let disk = FileDisk::open(&image).unwrap().disk();
        let identity = [Identity::of("disk.img", &disk).unwrap()];
        let goal = Goal::new(&azure::GEN1);
        let plan = plan(&Tree::open(disk.clone()).unwrap(), &identity, &goal).unwrap();
        let tree =
            Tree::open(apply::apply(disk, &identity, &plan, &Silent).unwrap().remove(0).disk()).unwrap();
        for step in &plan.steps {
            let (guestfix::Edit::PutFile { path, .. } | guestfix::Edit::PutLink { path, .. }) = &step.edit
            else {
                continue;
            };
            assert_eq!(tree.xattrs(path).unwrap(), [], "{name}: {path}");
        }
    }
}

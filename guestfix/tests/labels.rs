//! SELinux labels, judged by libselinux.

use std::fs;
use std::path::Path;
use std::process::Command;

use guestfix::text::file_contexts::FileContexts;
use libdisk::vfs::FileType;
use testimages::judge;

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
        [("file", FileType::Regular), ("dir", FileType::Directory), ("symlink", FileType::Symlink)]
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

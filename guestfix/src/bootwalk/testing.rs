//! A guest in memory that starts, to take things from.

use super::{Hop, MenuEntry, Outcome};
use crate::elf::testing::{library, program};
use crate::kernel_image::testing::bz_image;
use crate::rules::testing::{Bench, initramfs_with};

pub(super) const RELEASE: &str = "6.1.0-50-amd64";
pub(super) const KERNEL: &str = "/boot/vmlinuz-6.1.0-50-amd64";
pub(super) const INITRD: &str = "/boot/initrd.img-6.1.0-50-amd64";
pub(super) const DEP: &str = "/lib/modules/6.1.0-50-amd64/modules.dep";

/// What sshd takes for a key by its first and last line.
pub(super) const HOST_KEY: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";

/// The modules in the initramfs, and what brings them in.
const IN_INITRAMFS: &[(&str, &str)] = &[
    ("kernel/drivers/hv/hv_vmbus.ko", "acpi*:VMBUS:*"),
    ("kernel/drivers/scsi/hv_storvsc.ko", "vmbus:d96361baa104294db60572e2ffb1dc7f"),
    ("kernel/drivers/scsi/sd_mod.ko", "scsi:t-0x00*"),
    ("kernel/fs/ext4/ext4.ko", "fs-ext4"),
];

/// The files of an initramfs of initramfs-tools in which all is well.
pub(super) fn initramfs_files() -> Vec<(String, String)> {
    let dir = format!("lib/modules/{RELEASE}");
    let mut files: Vec<(String, String)> = [
        ("init", "#!/bin/sh\nexec run-init /root /sbin/init\n"),
        ("bin/sh", "program"),
        ("conf/initramfs.conf", "MODULES=most\n"),
        ("conf/modules", "# none\n"),
        ("scripts/functions", "load_modules() {\n}\n"),
        ("lib/systemd/systemd-udevd", "program"),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into();
    let name = |path: &str| path.rsplit('/').next().unwrap().replace(".ko", "");
    let dep: String = IN_INITRAMFS.iter().map(|(path, _)| format!("{path}:\n")).collect();
    let alias: String =
        IN_INITRAMFS.iter().map(|(path, alias)| format!("alias {alias} {}\n", name(path))).collect();
    files.push((format!("{dir}/modules.dep"), dep));
    files.push((format!("{dir}/modules.alias"), alias));
    files.extend(IN_INITRAMFS.iter().map(|(path, _)| (format!("{dir}/{path}"), "module".to_owned())));
    files
}

/// An initramfs of these files.
pub(super) fn pack(files: &[(String, String)]) -> Vec<u8> {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    initramfs_with(&files)
}

/// Units of systemd on the way to the login.
const UNITS: &[&str] =
    &["basic.target", "getty.target", "multi-user.target", "ssh.service", "sysinit.target"];

/// Services there, and what they start.
const SERVICES: &[(&str, &str)] = &[
    ("getty@.service", "-/sbin/agetty -o '-p -- \\u' --noclear %I $TERM"),
    ("serial-getty@.service", "-/sbin/agetty -o '-p -- \\u' --keep-baud 115200,57600,38400,9600 %I $TERM"),
    ("ssh.service", "/usr/sbin/sshd -D"),
    ("systemd-udev-trigger.service", "-udevadm trigger --type=all --action=add"),
    ("systemd-udevd.service", "/lib/systemd/systemd-udevd"),
];

/// A Debian that starts on Azure.
pub(super) fn debian() -> Bench {
    let bench = UNITS.iter().fold(Bench::debian(), |bench, unit| {
        bench.file(&format!("/lib/systemd/system/{unit}"), "[Unit]\nDescription=x\n")
    });
    let bench = SERVICES.iter().fold(bench, |bench, (unit, command)| {
        let text = format!("[Unit]\nDescription=x\n\n[Service]\nExecStart={command}\n");
        bench.file(&format!("/lib/systemd/system/{unit}"), text)
    });
    let modules: Vec<String> =
        bench.text(DEP).lines().map(|line| line.trim_end_matches(':').to_owned()).collect();
    let bench = modules
        .iter()
        .fold(bench, |bench, module| bench.file(&format!("/lib/modules/{RELEASE}/{module}"), "module"));
    bench
        .folder("/dev")
        .folder("/proc")
        .folder("/run")
        .folder("/sys")
        .file(KERNEL, bz_image(RELEASE))
        .file(INITRD, pack(&initramfs_files()))
        .link("/sbin/init", "../lib/systemd/systemd")
        .program("/lib/systemd/systemd", program("/lib64/ld-linux-x86-64.so.2", &["libc.so.6"], ""))
        .program("/lib64/ld-linux-x86-64.so.2", library(&[]))
        .program("/lib/x86_64-linux-gnu/libc.so.6", library(&[]))
        .link("/lib/systemd/system/default.target", "graphical.target")
        .file("/lib/systemd/system/graphical.target", "[Unit]\nRequires=multi-user.target\n")
        .link("/lib/systemd/system/multi-user.target.wants/getty.target", "../getty.target")
        .link("/etc/systemd/system/multi-user.target.wants/ssh.service", "/lib/systemd/system/ssh.service")
        .program("/sbin/agetty", library(&[]))
        .program("/bin/udevadm", library(&[]))
        .program("/bin/mount", library(&[]))
        .link("/lib/systemd/systemd-udevd", "../../bin/udevadm")
        .program("/usr/sbin/sshd", library(&[]))
        .file("/etc/ssh/sshd_config", "UsePAM yes\n")
        .secret("/etc/ssh/ssh_host_ed25519_key", HOST_KEY)
        .program("/bin/bash", library(&[]))
        .program("/bin/login", library(&[]))
        .secret("/etc/shadow", "root:$y$j9T$salt$hash:19675:0:99999:7:::\n")
        .file(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nsshd:x:102:65534::/run/sshd:/usr/sbin/nologin\n",
        )
}

/// The entry of its menu that starts by itself.
pub(super) fn entry(bench: &Bench) -> MenuEntry {
    bench.guest(|guest| {
        let entry = guest.facts.boot.entries.iter().find(|entry| entry.default).unwrap();
        MenuEntry {
            title: entry.title.clone(),
            place: entry.place.clone(),
            default: true,
            kernel: entry.kernel.clone(),
            initrds: entry.initrds.clone(),
            cmdline: entry.cmdline.clone(),
        }
    })
}

/// Each hop in a line: what it is, where, and how far the boot gets.
pub(super) fn lines(hops: &[Hop]) -> Vec<String> {
    let line = |hop: &Hop| {
        let Hop { kind, place, what, outcome } = hop;
        match outcome {
            Outcome::Reached => format!("{kind:?} {place}: {what}"),
            Outcome::Blocked { why } => format!("{kind:?} {place} blocked: {why}"),
            Outcome::Unknown { why } => format!("{kind:?} {place} unknown: {why}"),
        }
    };
    hops.iter().map(line).collect()
}

/// Those of them that are not reached.
pub(super) fn stops(hops: Vec<Hop>) -> Vec<String> {
    lines(&hops.into_iter().filter(|hop| !hop.is_reached()).collect::<Vec<_>>())
}

//! The faults that can be sown, each a few lines of shell in the terms of `sow.sh`.

use super::{Fault, Kind, On};

const fn all(kind: Kind, name: &'static str, script: &'static str) -> Fault {
    only(On::All, kind, name, script)
}

const fn only(on: On, kind: Kind, name: &'static str, script: &'static str) -> Fault {
    Fault { on, kind, name, script }
}

/// Files of the boot, and some that it can do without, by the shell's name for them. What is done to a file is
/// one of [`DEEDS`].
pub(super) const FILES: &[(&str, &str)] = &[
    ("kernel", "$kernel"),
    ("initramfs", "$initrd"),
    ("menu", "$menu"),
    ("normal.mod", "$loader/normal.mod"),
    ("linux.mod", "$loader/linux.mod"),
    ("systemd", "$root/usr/lib/systemd/systemd"),
    ("ld.so", "$lib/ld-linux-x86-64.so.2"),
    ("libc", "$lib/libc.so.6"),
    ("libsystemd-core", "$lib/systemd/libsystemd-core-252.so"),
    ("libmount", "$(readlink -f $lib/libmount.so.1)"),
    ("graphical.target", "$root/usr/lib/systemd/system/graphical.target"),
    ("multi-user.target", "$root/usr/lib/systemd/system/multi-user.target"),
    ("sysinit.target", "$root/usr/lib/systemd/system/sysinit.target"),
    ("udevadm", "$root/usr/bin/udevadm"),
    ("agetty", "$root/usr/sbin/agetty"),
    ("serial-getty@.service", "$root/usr/lib/systemd/system/serial-getty@.service"),
    ("mount", "$root/usr/bin/mount"),
    ("sh", "$root/usr/bin/dash"),
    ("sshd", "$root/usr/sbin/sshd"),
    ("ifup", "$root/usr/sbin/ifup"),
    ("interfaces", "$root/etc/network/interfaces"),
    ("fstab", "$root/etc/fstab"),
    ("modules.dep", "$root/usr/lib/modules/$release/modules.dep"),
    ("dbus-daemon", "$root/usr/bin/dbus-daemon"),
    ("passwd", "$root/etc/passwd"),
    ("machine-id", "$root/etc/machine-id"),
    ("motd", "$root/etc/motd"),
    ("chronyd", "$root/usr/sbin/chronyd"),
];

/// What happens to a file; `$file` is where it is.
pub(super) const DEEDS: &[(Kind, &str)] = &[
    (Kind::Removed, "rm \"$file\""),
    (Kind::Emptied, ": > \"$file\""),
    (Kind::Truncated, "half \"$file\""),
    (Kind::Swapped, "swap \"$file\" \"$root/usr/bin/perl\""),
];

/// All others.
pub(super) const FAULTS: &[Fault] = &[
    // Names and UUIDs.
    only(
        On::Ext4,
        Kind::Renamed,
        "root-uuid",
        "let_go; tune2fs -f -U 24e7baea-0000-4ec2-8000-00000000beef \"$image?offset=$root_offset\" > \"$work/log\" || { loop=$(losetup -f --show -o \"$root_offset\" --sizelimit \"$root_size\" \"$image\"); e2fsck -fp \"$loop\" > \"$work/log\" || true; tune2fs -U 24e7baea-0000-4ec2-8000-00000000beef \"$loop\" > \"$work/log\"; losetup -d \"$loop\"; }",
    ),
    only(
        On::Xfs,
        Kind::Renamed,
        "root-uuid",
        "let_go; loop=$(losetup -f --show -o \"$root_offset\" --sizelimit \"$root_size\" \"$image\"); xfs_admin -U 24e7baea-0000-4ec2-8000-00000000beef \"$loop\" > \"$work/log\"; losetup -d \"$loop\"",
    ),
    only(
        On::SeparateBoot,
        Kind::Renamed,
        "boot-uuid",
        "let_go; loop=$(losetup -f --show -o \"$boot_offset\" --sizelimit \"$boot_size\" \"$image\"); xfs_admin -U 24e7baea-0000-4ec2-8000-00000000beef \"$loop\" > \"$work/log\"; losetup -d \"$loop\"",
    ),
    all(
        Kind::Renamed,
        "root-argument",
        "replace 's|root=[^ ]*|root=UUID=24e7baea-0000-4ec2-8000-00000000beef|' $command_lines",
    ),
    all(
        Kind::Renamed,
        "root-by-partuuid-of-another",
        "replace 's|root=[^ ]*|root=PARTUUID=deadbeef-01|' $command_lines",
    ),
    only(
        On::Table,
        Kind::Renamed,
        "root-by-label-of-none",
        "replace 's|root=[^ ]*|root=LABEL=cloudimg-rootfs|' $command_lines",
    ),
    only(
        On::Lvm,
        Kind::Renamed,
        "volume-argument",
        "replace 's|rd.lvm.lv=vg0/root|rd.lvm.lv=vg0/other|' $command_lines",
    ),
    only(
        On::Grub,
        Kind::Renamed,
        "search-uuid",
        "replace 's|\\(search.*\\) [0-9a-f-]\\{36\\}|\\1 24e7baea-0000-4ec2-8000-00000000beef|' \"$menu\"",
    ),
    all(Kind::Renamed, "kernel-file", "mv \"$kernel\" \"$kernel.old\""),
    all(Kind::Renamed, "initramfs-file", "mv \"$initrd\" \"$initrd.old\""),
    all(
        Kind::Renamed,
        "modules-folder",
        "mv \"$root/usr/lib/modules/$release\" \"$root/usr/lib/modules/$release.old\"",
    ),
    all(Kind::Renamed, "root-device-of-ec2", "replace 's|root=[^ ]*|root=/dev/nvme0n1p1|' $command_lines"),
    // Drivers, by each of the places that can take one away.
    all(Kind::Drivers, "initramfs-without-storvsc", "without_modules hv_storvsc"),
    all(Kind::Drivers, "initramfs-without-vmbus", "without_modules hv_vmbus"),
    all(Kind::Drivers, "initramfs-without-sd", "without_modules sd_mod"),
    all(Kind::Drivers, "initramfs-without-file-system", "without_modules \"$root_type\""),
    all(Kind::Drivers, "initramfs-without-crc32c", "without_modules crc32c_generic crc32c-intel"),
    only(On::Lvm, Kind::Drivers, "initramfs-without-device-mapper", "without_modules dm-mod"),
    all(Kind::Drivers, "initramfs-blacklist", "in_initrd etc/modprobe.d/site.conf 'blacklist hv_storvsc'"),
    all(
        Kind::Drivers,
        "initramfs-install-false",
        "in_initrd etc/modprobe.d/site.conf 'install hv_storvsc /bin/false'",
    ),
    all(
        Kind::Drivers,
        "initramfs-lib-modprobe",
        "in_initrd lib/modprobe.d/site.conf 'install hv_vmbus /bin/true'",
    ),
    all(Kind::Drivers, "argument-module-blacklist", "add_argument module_blacklist=hv_storvsc"),
    all(Kind::Drivers, "argument-modprobe-blacklist", "add_argument modprobe.blacklist=hv_storvsc"),
    only(On::Dracut, Kind::Drivers, "argument-rd-blacklist", "add_argument rd.driver.blacklist=hv_storvsc"),
    all(
        Kind::Drivers,
        "root-blacklist-of-the-card",
        "echo 'blacklist hv_netvsc' > \"$root/etc/modprobe.d/site.conf\"",
    ),
    all(
        Kind::Drivers,
        "root-install-false-of-the-card",
        "echo 'install hv_netvsc /bin/false' > \"$root/etc/modprobe.d/site.conf\"",
    ),
    all(
        Kind::Drivers,
        "root-blacklist-of-the-disk",
        "echo 'blacklist hv_storvsc' > \"$root/etc/modprobe.d/site.conf\"",
    ),
    // The menu and its default.
    only(
        On::Grub,
        Kind::Menu,
        "default-behind-the-last",
        "replace '1i set default=7' \"$menu\"; replace 's|^ *set default=.*|set default=7|' \"$menu\"",
    ),
    only(
        On::GrubMkconfig,
        Kind::Menu,
        "default-of-none",
        "replace 's|^ *set default=.*|set default=\"gnulinux-of-yesterday\"|' \"$menu\"",
    ),
    only(On::Grub, Kind::Menu, "waits-for-a-key", "replace 's|^ *set timeout=.*|set timeout=-1|' \"$menu\""),
    only(
        On::Grub,
        Kind::Menu,
        "asks-for-a-password",
        "replace '1i set superusers=\"root\"\\npassword root secret' \"$menu\"",
    ),
    only(
        On::GrubMkconfig,
        Kind::Menu,
        "no-entry",
        "replace '/^menuentry/,/^}/d; /^submenu/,/^}/d' \"$menu\"",
    ),
    only(On::GrubMkconfig, Kind::Menu, "no-initrd-line", "replace '/^\\s*initrd\\s/d' \"$menu\""),
    only(On::GrubMkconfig, Kind::Menu, "unclosed", "replace '$d' \"$menu\"; half \"$menu\""),
    only(
        On::Grub,
        Kind::Menu,
        "root-of-another-disk",
        "echo 'set root=(hd5,msdos1)' > \"$work/tmp/head\"; replace 's|^\\(search.*\\)$|set root=(hd5,msdos1)|; s|^\\s*search .*|set root=(hd5,msdos1)|; s|set root=.hd0,.*|set root=(hd5,msdos1)|' \"$menu\"",
    ),
    only(On::Bls, Kind::Menu, "saved-entry-of-none", "grub-editenv \"$grub/grubenv\" set saved_entry=gone"),
    only(On::Bls, Kind::Menu, "no-entries", "rm \"$boot\"/loader/entries/*.conf"),
    only(On::Bls, Kind::Menu, "entry-without-initrd", "replace '/^initrd/d' \"$entry\""),
    only(
        On::Bls,
        Kind::Menu,
        "entry-of-another-kernel",
        "replace 's|^linux .*|linux /vmlinuz-4.18.0|' \"$entry\"",
    ),
    only(On::Bls, Kind::Menu, "environment-emptied", ": > \"$grub/grubenv\""),
    only(On::Bls, Kind::Menu, "environment-removed", "rm \"$grub/grubenv\""),
    // What the firmware starts.
    only(On::Bios, Kind::Firmware, "no-boot-code", "let_go; wipe 0 440"),
    only(On::Bios, Kind::Firmware, "no-boot-signature", "let_go; wipe 510 2"),
    only(On::Bios, Kind::Firmware, "no-core", "let_go; wipe 512 30720"),
    only(On::Bios, Kind::Firmware, "core-cut-short", "let_go; wipe 10752 30720"),
    only(On::Bios, Kind::Firmware, "core-without-its-first-sector", "let_go; wipe 512 512"),
    only(On::Bios, Kind::Firmware, "partition-not-active", "let_go; wipe 446 1"),
    only(On::Bios, Kind::Firmware, "loader-folder-renamed", "mv \"$grub\" \"$grub.old\""),
    only(
        On::Bios,
        Kind::Firmware,
        "loader-modules-of-another-platform",
        "rm -r \"$loader\"; mkdir -p \"$grub/x86_64-efi\"",
    ),
    only(On::Uefi, Kind::Firmware, "no-fallback", "esp_remove EFI/BOOT/BOOTX64.EFI"),
    only(On::Uefi, Kind::Firmware, "fallback-emptied", "esp_change EFI/BOOT/BOOTX64.EFI empty"),
    only(On::Uefi, Kind::Firmware, "fallback-cut-short", "esp_change EFI/BOOT/BOOTX64.EFI half"),
    only(On::Uefi, Kind::Firmware, "no-second-stage", "esp_remove EFI/BOOT/grubx64.efi"),
    only(On::Uefi, Kind::Firmware, "second-stage-emptied", "esp_change EFI/BOOT/grubx64.efi empty"),
    only(On::Uefi, Kind::Firmware, "second-stage-cut-short", "esp_change EFI/BOOT/grubx64.efi half"),
    only(On::Uefi, Kind::Firmware, "no-stub", "esp_remove EFI/debian/grub.cfg"),
    only(On::Uefi, Kind::Firmware, "stub-emptied", "esp_change EFI/debian/grub.cfg empty"),
    only(
        On::Uefi,
        Kind::Firmware,
        "stub-names-another",
        "other() { sed -i 's/[0-9a-f]\\{8\\}-[0-9a-f-]\\{27\\}/24e7baea-0000-4ec2-8000-00000000beef/' \"$1\"; }; esp_change EFI/debian/grub.cfg other",
    ),
    only(On::Uefi, Kind::Firmware, "no-mok-manager", "esp_remove EFI/BOOT/mmx64.efi"),
    only(
        On::Uefi,
        Kind::Firmware,
        "no-debian-folder-but-its-stub",
        "esp_remove EFI/debian/shimx64.efi; esp_remove EFI/debian/grubx64.efi",
    ),
    // fstab.
    all(
        Kind::Fstab,
        "data-disk-of-none",
        "echo 'UUID=24e7baea-0000-4ec2-8000-00000000beef /data ext4 defaults 0 2' >> \"$root/etc/fstab\"",
    ),
    all(
        Kind::Fstab,
        "data-disk-nofail",
        "echo 'UUID=24e7baea-0000-4ec2-8000-00000000beef /data ext4 defaults,nofail,x-systemd.device-timeout=5 0 2' >> \"$root/etc/fstab\"",
    ),
    all(
        Kind::Fstab,
        "data-disk-by-ec2-name",
        "echo '/dev/xvdf /data ext4 defaults 0 2' >> \"$root/etc/fstab\"",
    ),
    all(
        Kind::Fstab,
        "swap-of-none",
        "echo 'UUID=24e7baea-0000-4ec2-8000-00000000beef none swap sw 0 0' >> \"$root/etc/fstab\"",
    ),
    all(
        Kind::Fstab,
        "unknown-file-system",
        "echo \"$(sed -n 's|^\\([^ \\t#]*\\)[ \\t]*/[ \\t].*|\\1|p' \"$root/etc/fstab\" | head -n 1) /data zfs defaults 0 0\" >> \"$root/etc/fstab\"",
    ),
    all(
        Kind::Fstab,
        "root-of-another",
        "replace 's|^[^ \\t#]*\\([ \\t]*/[ \\t]\\)|UUID=24e7baea-0000-4ec2-8000-00000000beef\\1|' \"$root/etc/fstab\"",
    ),
    all(
        Kind::Fstab,
        "root-unknown-option",
        "replace 's|^\\([^ \\t#]*[ \\t]*/[ \\t]*[^ \\t]*[ \\t]*\\)[^ \\t]*|\\1defaults,no-such-option|' \"$root/etc/fstab\"",
    ),
    all(
        Kind::Fstab,
        "root-of-another-type",
        "replace 's|^\\([^ \\t#]*[ \\t]*/[ \\t]*\\)[^ \\t]*|\\1btrfs|' \"$root/etc/fstab\"",
    ),
    all(Kind::Fstab, "bind-of-none", "echo '/srv/none /data none bind 0 0' >> \"$root/etc/fstab\""),
    all(Kind::Fstab, "image-of-none", "echo '/srv/none.img /data ext4 loop 0 0' >> \"$root/etc/fstab\""),
    all(
        Kind::Fstab,
        "automounted",
        "echo 'UUID=24e7baea-0000-4ec2-8000-00000000beef /data ext4 noauto,x-systemd.automount 0 2' >> \"$root/etc/fstab\"",
    ),
    only(
        On::Uefi,
        Kind::Fstab,
        "esp-of-another",
        "sed -i '/boot.efi/d' \"$root/etc/fstab\"; echo 'UUID=BEEF-BEEF /boot/efi vfat umask=0077 0 1' >> \"$root/etc/fstab\"",
    ),
    all(
        Kind::Fstab,
        "encrypted-of-none",
        "echo 'secret UUID=24e7baea-0000-4ec2-8000-00000000beef none luks' > \"$root/etc/crypttab\"; echo '/dev/mapper/secret /data ext4 defaults 0 2' >> \"$root/etc/fstab\"",
    ),
    // Targets and units.
    all(Kind::Units, "default-target-masked", "mask default.target"),
    all(
        Kind::Units,
        "default-target-of-none",
        "mkdir -p \"$units\"; ln -sf /lib/systemd/system/gone.target \"$units/default.target\"",
    ),
    all(
        Kind::Units,
        "rescue-by-default",
        "mkdir -p \"$units\"; ln -sf /lib/systemd/system/rescue.target \"$units/default.target\"",
    ),
    all(
        Kind::Units,
        "poweroff-by-default",
        "mkdir -p \"$units\"; ln -sf /lib/systemd/system/poweroff.target \"$units/default.target\"",
    ),
    all(Kind::Units, "sysinit-masked", "mask sysinit.target"),
    all(Kind::Units, "basic-masked", "mask basic.target"),
    all(Kind::Units, "multi-user-masked", "mask multi-user.target"),
    all(
        Kind::Units,
        "gettys-masked",
        "mask getty.target serial-getty@ttyS0.service getty@tty1.service ssh.service",
    ),
    all(Kind::Units, "serial-getty-masked", "mask serial-getty@ttyS0.service"),
    all(
        Kind::Units,
        "udev-masked",
        "mask systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket",
    ),
    all(Kind::Units, "udev-trigger-masked", "mask systemd-udev-trigger.service"),
    all(Kind::Units, "ssh-masked", "mask ssh.service ssh.socket"),
    all(Kind::Units, "dbus-masked", "mask dbus.service dbus.socket"),
    all(Kind::Units, "local-fs-masked", "mask local-fs.target"),
    all(Kind::Units, "journald-masked", "mask systemd-journald.service"),
    all(Kind::Units, "tmpfiles-masked", "mask systemd-tmpfiles-setup.service"),
    all(Kind::Units, "argument-rescue", "add_argument systemd.unit=rescue.target"),
    all(Kind::Units, "argument-single", "add_argument single"),
    all(Kind::Units, "argument-init-of-none", "add_argument init=/sbin/gone"),
    all(Kind::Units, "argument-init-shell", "add_argument init=/bin/sh"),
    all(
        Kind::Units,
        "argument-mask-getty",
        "add_argument 'systemd.mask=serial-getty@ttyS0.service systemd.mask=getty.target'",
    ),
    only(On::Dracut, Kind::Units, "argument-rd-break", "add_argument rd.break"),
    only(On::InitramfsTools, Kind::Units, "argument-break", "add_argument break=mount"),
    // The network and its client.
    all(Kind::Network, "another-card", "replace 's/eth0/ens5/' \"$root/etc/network/interfaces\""),
    all(
        Kind::Network,
        "card-renamed-by-udev",
        "echo 'SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", NAME=\"lan0\"' > \"$root/etc/udev/rules.d/70-persistent-net.rules\"",
    ),
    all(
        Kind::Network,
        "card-renamed-by-link",
        "mkdir -p \"$root/etc/systemd/network\"; printf '[Match]\\nOriginalName=*\\n[Link]\\nName=lan0\\n' > \"$root/etc/systemd/network/10-lan.link\"",
    ),
    all(
        Kind::Network,
        "static-address",
        "replace 's/iface eth0 inet dhcp/iface eth0 inet static\\n    address 192.168.1.10\\/24\\n    gateway 192.168.1.1/' \"$root/etc/network/interfaces\"",
    ),
    all(Kind::Network, "no-dhcp-client", "rm -f \"$root/usr/sbin/dhclient\" \"$root/sbin/dhclient\""),
    all(Kind::Network, "networking-masked", "mask networking.service"),
    all(Kind::Network, "not-auto", "replace '/auto eth0/d' \"$root/etc/network/interfaces\""),
    all(
        Kind::Network,
        "ifup-without-its-wants",
        "find \"$units\" -name 'networking.service' -delete; find \"$units\" -path '*wants*' -name 'ifup*' -delete",
    ),
    all(Kind::Network, "manual", "replace 's/inet dhcp/inet manual/' \"$root/etc/network/interfaces\""),
    // The partition table.
    only(On::Mbr, Kind::Table, "wiped", "let_go; wipe 446 64"),
    only(
        On::Mbr,
        Kind::Table,
        "root-one-sector-on",
        "let_go; printf '\\001' | dd of=\"$image\" bs=1 seek=454 conv=notrunc status=none",
    ),
    only(
        On::Mbr,
        Kind::Table,
        "root-cut-short",
        "let_go; printf '\\000\\000\\020\\000' | dd of=\"$image\" bs=1 seek=458 conv=notrunc status=none",
    ),
    only(On::Mbr, Kind::Table, "root-called-empty", "let_go; wipe 450 1"),
    only(On::Gpt, Kind::Table, "primary-header-damaged", "let_go; wipe 528 8"),
    only(On::Gpt, Kind::Table, "backup-header-damaged", "let_go; wipe $(($(stat -c %s \"$image\") - 496)) 8"),
    only(
        On::Gpt,
        Kind::Table,
        "both-headers-damaged",
        "let_go; wipe 528 8; wipe $(($(stat -c %s \"$image\") - 496)) 8",
    ),
    only(On::Gpt, Kind::Table, "protective-record-wiped", "let_go; wipe 446 66"),
    only(On::Gpt, Kind::Table, "esp-of-another-type", "let_go; sgdisk -t 15:8300 \"$image\" > \"$work/log\""),
    // The kernel and its drivers for Hyper-V.
    all(
        Kind::Kernel,
        "no-drivers-for-hyper-v",
        "find \"$root/usr/lib/modules\" -name 'hv_*.ko*' -delete; without_modules hv_vmbus hv_storvsc hv_netvsc hv_utils",
    ),
    all(
        Kind::Kernel,
        "no-driver-for-the-card",
        "find \"$root/usr/lib/modules\" -name 'hv_netvsc.ko*' -delete",
    ),
    all(Kind::Kernel, "no-modules", "rm -r \"$root/usr/lib/modules/$release\""),
    all(
        Kind::Kernel,
        "no-boot-header",
        "printf 'xxxx' | dd of=\"$kernel\" bs=1 seek=514 conv=notrunc status=none",
    ),
    all(Kind::Kernel, "setup-without-its-body", "truncate -s 16384 \"$kernel\""),
    all(
        Kind::Kernel,
        "zeros-in-its-middle",
        "size=$(stat -c %s \"$kernel\"); dd if=/dev/zero of=\"$kernel\" bs=4096 seek=$((size / 8192)) count=16 conv=notrunc status=none",
    ),
    all(
        Kind::Kernel,
        "initramfs-of-another-kernel",
        "unpack_initrd; find \"$work/initramfs\" -type d -path '*/modules/*' -name \"$release\" | while read -r folder; do mv \"$folder\" \"${folder%/*}/5.10.0-1-amd64\"; done; pack_initrd",
    ),
    all(
        Kind::Kernel,
        "zeros-in-the-initramfs",
        "size=$(stat -c %s \"$initrd\"); dd if=/dev/zero of=\"$initrd\" bs=4096 seek=$((size / 8192)) count=16 conv=notrunc status=none",
    ),
    all(Kind::Kernel, "initramfs-without-init", "unpack_initrd; rm \"$work/initramfs/init\"; pack_initrd"),
    all(
        Kind::Kernel,
        "initramfs-without-a-shell",
        "unpack_initrd; find \"$work/initramfs/\" \\( -name sh -o -name dash -o -name bash -o -name busybox \\) -path '*bin/*' | xargs rm; pack_initrd",
    ),
    all(
        Kind::Kernel,
        "initramfs-without-udev",
        "unpack_initrd; find \"$work/initramfs/\" \\( -name udevadm -o -name systemd-udevd \\) | xargs rm; pack_initrd",
    ),
];

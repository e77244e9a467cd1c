//! Fedora.

use std::path::Path;

use anyhow::Result;

use super::{
    MACHINE, RED_HAT_INITRD, bls, blscfg, esp, fstab, hostonly, install, kernel, on_gpt, os_release, system,
};
use crate::synthetic::ec2::unit;
use crate::synthetic::guests::ROOT_UUID;
use crate::synthetic::initrd::{Codec, Initrd};
use crate::synthetic::kernel::{EC2_INITRAMFS, HYPERV_INITRAMFS, Kernel};
use crate::synthetic::tree::Tree;
use crate::synthetic::{grub, loaders, network};

pub(super) fn fedora_43(out: &Path) -> Result<()> {
    let kernel = kernel("6.17.4-300.fc43.x86_64");
    let release = kernel.release;
    let mut tree = system(&os_release("fedora", "", "43", "Fedora Linux"));
    let generic =
        Initrd { modules: [EC2_INITRAMFS, HYPERV_INITRAMFS].concat(), ..hostonly(&kernel, Codec::Zstd) };
    install(&mut tree, &generic, RED_HAT_INITRD)?;
    bls(
        &mut tree,
        release,
        "/boot",
        &format!("root=UUID={ROOT_UUID} ro no_timer_check console=tty1 console=ttyS0,115200n8 rhgb quiet"),
    );
    tree.file("/boot/grub2/grub.cfg", blscfg(None));
    tree.file(
        "/boot/grub2/grubenv",
        grub::environment(&[
            &format!("saved_entry={MACHINE}-{release}"),
            "menu_auto_hide=1",
            "boot_success=1",
        ]),
    );
    tree.file("/usr/lib/dracut/dracut.conf.d/02-generic-image.conf", "hostonly=\"no\"\n");
    fstab(&mut tree);
    network::network_manager(&mut tree);
    unit(&mut tree, "fapolicyd", "File Access Policy Daemon", "/usr/sbin/fapolicyd");
    tree.file("/var/lib/aide/aide.db.gz", "synthetic\n");
    tree.file(
        "/usr/lib/NetworkManager/conf.d/00-server.conf",
        "[main]\nno-auto-default=*\nignore-carrier=*\n",
    );
    tree.file(
        "/etc/crypttab",
        "vault UUID=0f0e0d0c-1111-4ec2-8abc-0123456789ab none luks,tpm2-device=auto,nofail\n",
    );
    let mut esp = esp("fedora");
    let unified = unified_kernel(&kernel, "root=/dev/nvme0n1p1 ro console=ttyS0\0");
    esp.file(&format!("/EFI/Linux/{MACHINE}-{release}.efi"), unified);
    on_gpt(out, &tree, &esp)
}

/// It starts by systemd-boot, or by the firmware itself: there is no menu.
pub(super) fn fedora_43_uki(out: &Path) -> Result<()> {
    let kernel = kernel("6.17.4-300.fc43.x86_64");
    let release = kernel.release;
    let mut tree = system(&os_release("fedora", "", "43", "Fedora Linux"));
    tree.merge(kernel.tree()?);
    tree.file("/usr/lib/dracut/dracut.conf.d/02-generic-image.conf", "hostonly=\"no\"\n");
    fstab(&mut tree);
    network::network_manager(&mut tree);
    let mut esp = Tree::default();
    esp.file("/EFI/BOOT/BOOTX64.EFI", loaders::systemd_boot());
    esp.file("/loader/loader.conf", "timeout 5\n");
    let unified = unified_kernel(&kernel, "root=/dev/nvme0n1p1 ro console=ttyS0\0");
    esp.file(&format!("/EFI/Linux/{MACHINE}-{release}.efi"), unified);
    on_gpt(out, &tree, &esp)
}

/// A unified kernel image without code, with the sections that say what it starts.
fn unified_kernel(kernel: &Kernel<'_>, cmdline: &str) -> Vec<u8> {
    let image = kernel.boot_image();
    let sections =
        [(".uname", kernel.release.as_bytes()), (".cmdline", cmdline.as_bytes()), (".linux", &image)];
    loaders::program(&sections)
}

pub(super) fn fedora_coreos(out: &Path) -> Result<()> {
    let kernel = kernel("6.16.10-200.fc42.x86_64");
    let release = kernel.release;
    let mut tree = system(&os_release("fedora", "", "42", "Fedora CoreOS"));
    let generic =
        Initrd { modules: [EC2_INITRAMFS, HYPERV_INITRAMFS].concat(), ..hostonly(&kernel, Codec::Zstd) };
    install(&mut tree, &generic, RED_HAT_INITRD)?;
    bls(
        &mut tree,
        release,
        "/boot",
        &format!(
            "root=UUID={ROOT_UUID} rw console=ttyS0,115200n8 ignition.platform.id=aws ostree=/ostree/boot.1/fedora-coreos/0"
        ),
    );
    tree.file("/boot/grub2/grub.cfg", blscfg(None));
    tree.file("/ostree/repo/config", "[core]\nrepo_version=1\nmode=bare\n");
    tree.directory("/ostree/deploy/fedora-coreos/deploy");
    fstab(&mut tree);
    network::network_manager(&mut tree);
    on_gpt(out, &tree, &esp("fedora"))
}

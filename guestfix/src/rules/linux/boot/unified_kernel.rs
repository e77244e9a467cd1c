//! linux.boot.unified-kernel

use std::sync::Arc;

use crate::error::chain;
use crate::inspect::devices;
use crate::pe::Pe;
use crate::platform::Firmware;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::kernel::initramfs_hyperv::{Target, lacking_in};
use crate::text::{bytes, cmdline};
use crate::{Error, Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A kernel, its initramfs and its command line in one file of UEFI, which is signed as a whole.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.boot.unified-kernel",
        title: "unified kernel images find their root on Azure",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Blocker,
        cause: "In a unified kernel image initramfs and command line are sections of one file. What is \
                missing there cannot be added without breaking its signature.",
        fix: "build the image anew in the running machine (dracut --uefi \
              --add-drivers, or ukify) with the drivers of Hyper-V, with root=UUID=, and sign it again or leave Secure Boot off",
        source: &[
            Source::new("uapi-group.org", "Unified Kernel Image", "2026"),
            Source::new("systemd-stub(7)", "", "2026-11"),
            Source::new("ukify(1)", "", "2026-11"),
            Source::new("Microsoft PE Format", "", "2026"),
        ],
        applies: Applies::LINUX.with(Firmware::Uefi),
    },
    detect,
    fix: None,
};

/// Where systemd-boot, and the specification, have them; and kernel-install on a /boot of its own.
const DIRS: [&str; 3] = ["/boot/efi/EFI/Linux", "/efi/EFI/Linux", "/boot/EFI/Linux"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if !guest.facts.boot.entries.is_empty() {
        return Ok(Finding::NotApplicable("a boot menu starts its kernels"));
    }
    let mut evidence = Vec::new();
    for dir in DIRS {
        for path in guest.view.glob(dir, ".efi")? {
            let Some(image) = guest.view.read(&path)? else { continue };
            for what in faults(guest, &path, &image)? {
                evidence.push(Evidence::new(&path, what));
            }
        }
    }
    Ok(Finding::from_evidence(evidence))
}

/// What in the sections of an image does not fit Azure.
fn faults(guest: &Guest<'_>, path: &str, image: &[u8]) -> Result<Vec<String>> {
    let mut out = Vec::new();
    let text = |name: &str| section(image, name).map(bytes::decode);
    let arguments = text(".cmdline").unwrap_or_default();
    let root = cmdline::values(arguments.trim_end_matches('\0'), "root")
        .into_iter()
        .find(|root| devices::is_disk_name(root));
    out.extend(root.map(|root| format!("root={root}, a name that a disk has only on EC2")));

    let release = text(".uname").unwrap_or_default();
    let release = release.trim_matches(['\0', '\n']);
    let kernel = guest.facts.kernels.iter().find(|kernel| kernel.version == release);
    let target = kernel.and_then(|kernel| Target::new(path, kernel, &guest.goal.target.platform.drivers));
    let (Some(target), Some(initrd)) = (target, section(image, ".initrd")) else { return Ok(out) };
    match lacking_in(guest, &target, &Arc::from(initrd)) {
        Ok(lacking) if lacking.is_empty() => {}
        Ok(lacking) => out.push(format!("its initramfs lacks {}", lacking.join(", "))),
        Err(Error::Initramfs { source, .. }) => {
            out.push(format!("its initramfs cannot be read: {}", chain(&source)))
        }
        Err(error) => return Err(error),
    }
    Ok(out)
}

/// The content of a section of a PE file.
fn section<'a>(file: &'a [u8], name: &str) -> Option<&'a [u8]> {
    Pe::parse(file)?.content(file, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pe::testing::image;
    use crate::platform::azure;
    use crate::rules::testing::{Bench, empty_initramfs, grub_cfg, initramfs_with};

    const PATH: &str = "/boot/efi/EFI/Linux/debian.efi";

    fn bench(cmdline: &str, initrd: &[u8]) -> Bench {
        let sections: &[(&str, &[u8])] = &[
            (".linux", b"MZ"),
            (".uname", b"6.1.0-50-amd64\n"),
            (".cmdline", cmdline.as_bytes()),
            (".initrd", initrd),
        ];
        Bench::debian()
            .target(&azure::GEN2)
            .without("/boot/grub/grub.cfg")
            .file("/lib/modules/6.1.0-50-amd64/kernel/drivers/hv/hv_vmbus.ko", "")
            .file("/lib/modules/6.1.0-50-amd64/kernel/drivers/scsi/hv_storvsc.ko", "")
            .file(PATH, image(sections))
    }

    #[test]
    fn an_image_without_drivers_or_with_a_root_of_ec2_is_named() {
        let bench = bench("root=/dev/nvme0n1p1 ro\0", &empty_initramfs());
        let found = bench.findings(&RULE);
        assert_eq!(found[0], format!("{PATH}: root=/dev/nvme0n1p1, a name that a disk has only on EC2"));
        assert!(
            found.len() == 2 && found[1].starts_with(&format!("{PATH}: its initramfs lacks hv_")),
            "{found:?}"
        );
        bench.by_hand(&RULE);
    }

    #[test]
    fn an_image_with_drivers_and_one_that_is_none_are_left_alone() {
        let built_in = bench("root=UUID=1", &initramfs_with(&[("init", "x")]))
            .file("/lib/modules/6.1.0-50-amd64/modules.builtin", "kernel/drivers/hv/hv_vmbus.ko\nkernel/drivers/scsi/hv_storvsc.ko\nkernel/drivers/scsi/sd_mod.ko\n");
        assert_eq!(built_in.findings(&RULE), [""; 0]);
        for broken in [&b"MZ"[..], &[0xff; 0x100], &image(&[(".initrd", b"")])] {
            assert_eq!(bench("", b"").file(PATH, broken).findings(&RULE), [""; 0]);
        }
        let menu = bench("root=/dev/xvda1", b"").file("/boot/grub/grub.cfg", grub_cfg("UUID=1", ""));
        assert_eq!(menu.findings(&RULE), [""; 0]);
        let other = bench("root=/dev/xvda1", &empty_initramfs()).target(&azure::GEN1);
        assert_eq!(other.findings(&RULE), [""; 0]);
    }
}

//! linux.device-caches

use crate::inspect::devices;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::aside;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// Files in which programs note what disks were called.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.device-caches",
        title: "no program has noted what disks are called on EC2",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Warning,
        cause: "LVM's devices file lists the only disks that LVM looks at, by their serial numbers or names \
                on EC2; its cache, blkid's and GRUB's device.map say which disk is which. All are wrong on \
                another machine.",
        fix: "They are kept aside: LVM then looks at all disks, the others are made anew when they are \
              needed.",
        source: &[
            Source::new("lvmdevices(8)", "", "2026-11"),
            Source::new("virt-v2v 71376bdb", "system.devices and blkid.tab (behaviour)", "2026"),
            Source::new("grub-install(8)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

/// Each is wrong if it names a disk of EC2.
const FILES: [&str; 7] = [
    "/etc/lvm/devices/system.devices",
    "/etc/lvm/cache/.cache",
    "/etc/lvm/.cache",
    "/etc/blkid.tab",
    "/etc/blkid/blkid.tab",
    "/boot/grub/device.map",
    "/boot/grub2/device.map",
];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for (file, name) in stale(guest.view)? {
        evidence.push(Evidence::new(file, format!("names {name}")));
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    for (file, _) in stale(stage.guest()?.view)? {
        aside::take(stage, file)?;
    }
    Ok(Fixed::Staged)
}

/// The files that name a disk of EC2, and which.
fn stale(view: &dyn View) -> Result<Vec<(&'static str, String)>> {
    let mut out: Vec<(&str, String)> = Vec::new();
    for file in FILES {
        let text = view.text(file)?.unwrap_or_default();
        out.extend(disk_of_ec2(&text).map(|name| (file, name.to_owned())));
    }
    Ok(out)
}

/// The first disk that a text names as EC2 does: a device name, or the serial number of an EBS volume.
pub(in crate::rules) fn disk_of_ec2(text: &str) -> Option<&str> {
    let of_ec2 = |word: &&str| {
        let is_name = devices::is_disk_name(word) && !word.starts_with("/dev/sd");
        is_name || word.contains("nvme.1d0f-") || word.contains("Amazon_Elastic_Block_Store")
    };
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(|line| line.split([' ', '\t', '"', '=', '<', '>', ','])).find(of_ec2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn what_names_disks_of_ec2_is_kept_aside() {
        let devices = "VERSION=1.1.2\nIDTYPE=sys_wwid IDNAME=nvme.1d0f-766f6c30-416d617a6f6e-00000001 DEVNAME=/dev/nvme0n1p3 PVID=x PART=3\n";
        let bench =
            Bench::debian().file(FILES[0], devices).file("/boot/grub/device.map", "(hd0)\t/dev/xvda\n").file(
                "/etc/blkid.tab",
                "<device DEVNO=\"0xca01\" UUID=\"x\" TYPE=\"ext4\">/dev/xvda1</device>\n",
            );
        assert_eq!(
            bench.findings(&RULE),
            [
                "/etc/lvm/devices/system.devices: names nvme.1d0f-766f6c30-416d617a6f6e-00000001",
                "/etc/blkid.tab: names /dev/xvda1",
                "/boot/grub/device.map: names /dev/xvda",
            ]
        );
        bench.mended(&RULE, |view| {
            assert!(!view.exists(FILES[0]).unwrap());
            assert_eq!(view.text(&format!("{}.pre-azure", FILES[0])).unwrap().as_deref(), Some(devices));
        });
        let fine = Bench::debian()
            .file(FILES[0], "# LVM uses devices listed in this file.\n")
            .file("/boot/grub2/device.map", "# by grub-install, not /dev/xvda\n(hd0) /dev/sda\n");
        assert_eq!(fine.findings(&RULE), [""; 0]);
    }
}

//! linux.boot.next-upgrade

use crate::inspect::devices;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::rules::linux::linewise;
use crate::text::{Line, lines};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity, View};

/// What was noted for the next upgrade of the boot loader or the kernel, and fits the disk of EC2.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.boot.next-upgrade",
        title: "the next upgrade of the boot loader or the kernel finds its disk",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Warning,
        cause: "Packages note the disk that the boot loader was written to, and scripts that run with each \
                new kernel may name one. On Azure that disk has another name: the upgrade fails, or leaves a \
                boot loader that does not fit its own files, and the next start ends there.",
        fix: "once it runs on Azure, tell the packages the disk (dpkg-reconfigure grub-pc; \
              /etc/default/grub_installdevice), and take the name out of the scripts",
        source: &[
            Source::new("Debian grub-pc", "debconf template grub-pc/install_devices", "2026-11"),
            Source::new("Debian Policy, kernel hooks", "/etc/kernel/*.d", "2026-11"),
            Source::new("SUSE perl-Bootloader", "/etc/default/grub_installdevice", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: None,
};

const DEBCONF: &str = "/var/cache/debconf/config.dat";
/// The questions whose answer is a disk.
const QUESTIONS: &[&str] = &["grub-pc/install_devices", "grub-efi/install_devices"];
/// Where SUSE notes it.
const INSTALL_DEVICE: &str = "/etc/default/grub_installdevice";
/// Folders of scripts that run with each new kernel.
const HOOKS: &[&str] = &[
    "/etc/kernel/postinst.d",
    "/etc/kernel/postrm.d",
    "/etc/kernel/preinst.d",
    "/etc/kernel/install.d",
    "/etc/kernel/header_postinst.d",
    "/etc/initramfs/post-update.d",
];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = of_debconf(guest.view)?;
    let mut files = vec![INSTALL_DEVICE.to_owned()];
    for folder in HOOKS {
        files.extend(guest.view.glob(folder, "")?);
    }
    let what = |line: &Line<'_>| disk(line.body).map(|name| format!("names {name}, a disk of EC2"));
    evidence.extend(linewise::faults(guest.view, &files, what)?);
    Ok(Finding::from_evidence(evidence))
}

/// The answers that debconf keeps: paragraphs of fields.
fn of_debconf(view: &dyn View) -> Result<Vec<Evidence>> {
    let text = view.text(DEBCONF)?.unwrap_or_default();
    let (mut out, mut question) = (Vec::new(), "");
    for line in lines(&text) {
        match line.body.split_once(':') {
            Some(("Name", name)) => question = name.trim(),
            Some(("Value", value)) if QUESTIONS.contains(&question) => {
                let what = disk(value).map(|name| format!("{question} is {name}, a disk of EC2"));
                out.extend(what.map(|what| Evidence::new(Place::line(DEBCONF, line.number), what)));
            }
            _ => {}
        }
    }
    Ok(out)
}

/// The first name of a disk in a text that is no comment.
fn disk(text: &str) -> Option<&str> {
    let code = text.split('#').next().unwrap_or(text);
    let mut words = code.split(|c: char| c.is_whitespace() || "\"'=,;()[]{}".contains(c));
    words.find(|word| devices::is_disk_name(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn what_packages_and_scripts_have_noted_is_named() {
        let config = "Name: grub-pc/install_devices\nTemplate: grub-pc/install_devices\n\
                      Value: /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123\nOwners: grub-pc\n\n\
                      Name: grub-pc/kopt_extracted\nValue: /dev/xvda\n";
        let bench = Bench::debian().file(DEBCONF, config).file(INSTALL_DEVICE, "/dev/xvda\nactivate\n").file(
            "/etc/kernel/postinst.d/zz-loader",
            "#!/bin/sh\n# not /dev/sda\nextlinux-install \"/dev/nvme0n1\"\n",
        );
        assert_eq!(
            bench.findings(&RULE),
            [
                format!(
                    "{DEBCONF}:3: grub-pc/install_devices is /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123, a disk of EC2"
                ),
                format!("{INSTALL_DEVICE}:1: names /dev/xvda, a disk of EC2"),
                "/etc/kernel/postinst.d/zz-loader:3: names /dev/nvme0n1, a disk of EC2".to_owned(),
            ]
        );
        bench.by_hand(&RULE);
    }

    #[test]
    fn scripts_that_name_no_disk_stay() {
        let bench = Bench::debian()
            .file(DEBCONF, "Name: grub-pc/install_devices\nValue:\n")
            .file("/etc/kernel/postinst.d/initramfs-tools", "#!/bin/sh\nupdate-initramfs -c >/dev/null\n");
        assert_eq!(bench.findings(&RULE), [""; 0]);
    }
}

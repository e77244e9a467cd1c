//! linux.boot.modules

use super::boot_entries;
use crate::facts::{Driver, Family};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::text::cmdline::{self, Change};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// An Alpine whose initramfs is told which drivers to load, and not those of Hyper-V.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.boot.modules",
        title: "modules= on Alpine's command line names the drivers of Hyper-V",
        pack: Pack::Linux,
        phase: Phase::Boot,
        severity: Severity::Warning,
        cause: "Alpine's initramfs loads what modules= names before it looks for the root. On EC2 those are \
                ena and nvme; where the disk of Azure is not found by its alias in time, the boot ends in a \
                rescue shell.",
        fix: "The drivers of the bus, the controller and the disk, as far as the kernel has them as modules, are added in every \
              boot entry and in /etc/update-extlinux.conf.",
        source: &[
            Source::new("Alpine Linux", "mkinitfs initramfs-init.in (modules=)", "2026"),
            Source::new("alpine-cloud-images", "aws configuration", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const KEY: &str = "modules";
/// The disk itself, as the kernel and as Alpine call its driver.
const DISK: (&str, &str) = ("sd_mod", "sd-mod");

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if guest.facts.os.as_ref().is_none_or(|os| os.family != Family::Alpine) {
        return Ok(Finding::NotApplicable("this is not Alpine"));
    }
    let wanted = wanted(guest);
    let cmdlines = guest.facts.boot.cmdlines.iter();
    let evidence = cmdlines.filter_map(|cmdline| {
        let token = cmdline::tokens(&cmdline.written).find(|token| extended(token, &wanted).is_some())?;
        Some(Evidence::new(&cmdline.place, format!("{token} lacks drivers of Hyper-V")))
    });
    Ok(Finding::from_evidence(evidence.collect()))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let wanted = wanted(&stage.guest()?);
    boot_entries::edit_cmdlines(stage, |cmdline| {
        Some(cmdline::edit(&cmdline.written, |token| match extended(token, &wanted) {
            Some(value) => Change::Replace(format!("{KEY}={value}")),
            None => Change::Keep,
        }))
    })?;
    Ok(Fixed::Staged)
}

/// The names of those that the kernel that boots has as modules.
fn wanted(guest: &Guest<'_>) -> Vec<&'static str> {
    let facts = guest.facts;
    let Some(kernel) = facts.default_kernel().or(facts.kernels.first()) else { return Vec::new() };
    let is_module = |name: &str| kernel.drivers.get(name) == Some(&Driver::Module);
    let vital = guest.goal.target.platform.drivers.vital().map(|name| (name, name));
    vital.into_iter().chain([DISK]).filter(|(driver, _)| is_module(driver)).map(|(_, name)| name).collect()
}

/// What a token that names modules is to name, if that is more.
fn extended(token: &str, wanted: &[&str]) -> Option<String> {
    let value = cmdline::value(token, KEY)?;
    let mut names: Vec<&str> = value.split(',').filter(|name| !name.is_empty()).collect();
    let before = names.len();
    for name in wanted {
        let same = |known: &&str| known.replace('-', "_") == name.replace('-', "_");
        if !names.iter().any(same) {
            names.push(name);
        }
    }
    (names.len() > before).then(|| names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    const MENU: &str = "/boot/extlinux.conf";
    const DEFAULTS: &str = "/etc/update-extlinux.conf";

    fn alpine(modules: &str) -> Bench {
        Bench::debian()
            .without("/boot/grub/grub.cfg")
            .file("/etc/os-release", "ID=alpine\nVERSION_ID=3.22.1\n")
            .file(
                MENU,
                format!("DEFAULT menu.c32\nLABEL virt\n  LINUX vmlinuz-6.1.0-50-amd64\n  APPEND root=UUID=1 modules={modules} console=ttyS0\n"),
            )
            .file(DEFAULTS, format!("modules={modules}\ndefault_kernel_opts=\"console=ttyS0\"\n"))
    }

    #[test]
    fn drivers_are_named_where_others_are() {
        let bench = alpine("sd-mod,usb-storage,ext4,nvme,ena");
        let lacks = "modules=sd-mod,usb-storage,ext4,nvme,ena lacks drivers of Hyper-V";
        assert_eq!(bench.findings(&RULE), [format!("{MENU}:4: {lacks}"), format!("{DEFAULTS}:1: {lacks}")]);
        bench.mended(&RULE, |view| {
            for file in [MENU, DEFAULTS] {
                let text = view.text(file).unwrap().unwrap();
                assert_eq!(
                    text,
                    bench.text(file).replace("nvme,ena", "nvme,ena,hv_vmbus,hv_storvsc"),
                    "{file}"
                );
            }
        });
        assert_eq!(alpine("sd_mod,hv-vmbus,hv_storvsc").findings(&RULE), [""; 0]);
        let other = alpine("ena").file("/etc/os-release", "ID=debian\n");
        assert_eq!(other.findings(&RULE), [""; 0]);
    }

    #[test]
    fn the_other_rules_of_command_lines_know_extlinux() {
        use crate::rules::linux::boot::grub_root_device;
        use crate::rules::linux::boot::grub_serial_console;
        let menu = "LABEL virt\n  LINUX vmlinuz-6.1.0-50-amd64\n  INITRD initramfs-virt\n  APPEND root=/dev/xvda1 console=hvc0\n";
        let bench = alpine("")
            .file(MENU, menu)
            .file(DEFAULTS, "root=/dev/xvda1\ndefault_kernel_opts=\"console=hvc0\"\n");
        assert_eq!(bench.findings(&grub_root_device::RULE).len(), 2);
        bench.mended(&grub_root_device::RULE, |view| {
            let uuid = crate::rules::testing::ROOT_UUID;
            let text = |path| view.text(path).unwrap().unwrap();
            assert_eq!(text(MENU), menu.replace("/dev/xvda1", &format!("UUID={uuid}")));
            assert!(text(DEFAULTS).starts_with(&format!("root=UUID={uuid}\n")));
        });
        let consoles = "console=tty1 console=ttyS0,115200n8 earlyprintk=ttyS0,115200";
        bench.mended(&grub_serial_console::RULE, |view| {
            let text = |path| view.text(path).unwrap().unwrap();
            assert_eq!(text(MENU), menu.replace("console=hvc0", consoles));
            assert!(text(DEFAULTS).ends_with(&format!("default_kernel_opts=\"{consoles}\"\n")));
        });
    }
}

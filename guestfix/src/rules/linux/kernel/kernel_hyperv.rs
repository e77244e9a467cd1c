//! linux.kernel.hyperv

use std::collections::BTreeMap;

use crate::facts::{BootEntry, Family, Kernel, Os};
use crate::inspect::{compare_versions, kernels};
use crate::platform::Drivers;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::boot::boot_entries;
use crate::text::cmdline;
use crate::{Facts, Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A kernel that cannot see an Azure disk whatever its initramfs holds.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.kernel.hyperv",
        title: "the kernel that boots has drivers for Hyper-V",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        severity: Severity::Blocker,
        cause: "Without drivers for its bus and its disk a kernel sees no disk on Azure. Kernels made for Xen only, \
                and some built for EC2, have neither.",
        fix: "The newest installed kernel that has them becomes the default of the boot menu: in grub.cfg \
              or grubenv, menu.lst, and /etc/default/grub. Where there is none, a kernel of the \
              distribution has to be installed before the migration.",
        source: &[
            Source::new("Microsoft Learn", "Prepare Linux for imaging in Azure", "2026-09"),
            Source::new("Debian's linux-image packages", "measured", "2026-11-23"),
            Source::new("virt-v2v 71376bdb", "best kernel and Xen-only kernels (behaviour)", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let (facts, drivers) = (guest.facts, &guest.goal.target.platform.drivers);
    if facts.kernels.is_empty() {
        return Ok(Finding::NotApplicable("no kernel was found"));
    }
    let mut wrong: Vec<&Kernel> = Vec::new();
    if facts.kernels.iter().any(|kernel| is_usable(kernel, drivers)) {
        for (_, kernel) in unusable_defaults(facts, drivers) {
            if !wrong.contains(&kernel) {
                wrong.push(kernel);
            }
        }
    } else {
        wrong = facts.kernels.iter().collect();
    }
    let mut evidence = Vec::new();
    for kernel in wrong {
        let place = kernel.modules.clone().or_else(|| kernel.image.clone()).unwrap_or_default();
        for (why, names) in lacks(guest.view, kernel, drivers)? {
            evidence.push(Evidence::new(&place, why.words(&kernel.version, &names.join(" and "))));
        }
        let config = xen_only(guest.view, kernel)?;
        evidence.extend(config.map(|config| Evidence::new(config, "a kernel for Xen only")));
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let (facts, platform) = (guest.facts.clone(), guest.goal.target.platform);
    let drivers = &platform.drivers;
    let Some(usable) = facts.kernels.iter().find(|kernel| is_usable(kernel, drivers)) else {
        let default = facts.default_kernel().or(facts.kernels.first());
        if let Some(kernel) = default
            && let Some(what) = remedy(guest.view, kernel, &facts, drivers)?
        {
            return Ok(Fixed::ByHand(what));
        }
        let package = package(facts.os.as_ref());
        return Ok(Fixed::ByHand(format!(
            "no kernel here sees a disk on {}: install {package} in the running machine, boot it there, and take a new snapshot",
            platform.name
        )));
    };
    for (entry, _) in unusable_defaults(&facts, drivers) {
        let Some(better) = best(&facts, entry, drivers) else {
            return Ok(Fixed::ByHand(format!(
                "{} would do, but no entry of the boot menu starts it: make one in the running machine, and take a new snapshot",
                usable.version
            )));
        };
        let title = better.title.clone();
        boot_entries::make_default(stage, better)?;
        if unusable_defaults(stage.guest()?.facts, drivers).any(|(left, _)| left.place == entry.place) {
            return Ok(Fixed::ByHand(format!(
                "{} starts by itself, and how the loader comes to choose it is not changed offline: make '{title}' the default in the running machine, and take a new snapshot",
                entry.title
            )));
        }
    }
    Ok(Fixed::Staged)
}

/// The entries that start by themselves, one for each menu, with a kernel that cannot see a disk.
fn unusable_defaults<'a>(
    facts: &'a Facts,
    drivers: &'a Drivers,
) -> impl Iterator<Item = (&'a BootEntry, &'a Kernel)> {
    let defaults = facts.boot.entries.iter().filter(|entry| entry.default);
    let known = defaults.filter_map(|entry| Some((entry, facts.kernel_of(entry)?)));
    known.filter(|(_, kernel)| !is_usable(kernel, drivers))
}

/// The entry of the same menu with the newest kernel that has the drivers; rescue entries are for rescue.
fn best<'a>(facts: &'a Facts, entry: &BootEntry, drivers: &Drivers) -> Option<&'a BootEntry> {
    let is_rescue = |entry: &BootEntry| {
        entry.kernel.contains("rescue")
            || cmdline::tokens(&entry.cmdline).any(|token| matches!(token, "single" | "recovery"))
    };
    let menu = facts.boot.menu_of(entry).into_iter().filter(|entry| !is_rescue(entry));
    let with_kernel = menu.filter_map(|entry| Some((entry, facts.kernel_of(entry)?)));
    let usable = with_kernel.filter(|(_, kernel)| is_usable(kernel, drivers));
    usable.max_by(|(_, a), (_, b)| compare_versions(&a.version, &b.version)).map(|(entry, _)| entry)
}

fn is_usable(kernel: &Kernel, drivers: &Drivers) -> bool {
    lacking(kernel, drivers).next().is_none()
}

/// Why a kernel does not have a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lack {
    /// It was built without.
    Unbuilt,
    /// It was built with it as a module, which is not installed.
    Missing,
    /// The module is there, and modules.dep does not list it.
    Stale,
}

impl Lack {
    fn words(self, release: &str, names: &str) -> String {
        match self {
            Self::Unbuilt => format!("{release} is built without {names}"),
            Self::Missing => format!("{release} has {names} as modules, which are not installed"),
            Self::Stale => format!("modules.dep of {release} does not list {names}, which are there"),
        }
    }
}

/// The drivers without which it sees no disk, as far as it lacks them, by what they are lacking for.
fn lacks(view: &dyn View, kernel: &Kernel, drivers: &Drivers) -> Result<BTreeMap<Lack, Vec<&'static str>>> {
    let config = view.text(&format!("/boot/config-{}", kernel.version))?.unwrap_or_default();
    let mut out: BTreeMap<Lack, Vec<&'static str>> = BTreeMap::new();
    for name in lacking(kernel, drivers) {
        let driver = drivers.all.iter().find(|driver| driver.module == name);
        let is_there = match driver {
            Some(driver) => kernels::has_file(view, kernel.modules.as_deref(), driver)?,
            None => false,
        };
        let is_module = |option: &str| config.lines().any(|line| line.strip_prefix(option) == Some("=m"));
        let options = driver.into_iter().flat_map(|driver| [Some(driver.option), driver.old_option]);
        let why = match is_there {
            true => Lack::Stale,
            false if options.flatten().any(is_module) => Lack::Missing,
            false => Lack::Unbuilt,
        };
        out.entry(why).or_default().push(name);
    }
    Ok(out)
}

/// What to do about a kernel that only has to be completed.
fn remedy(view: &dyn View, kernel: &Kernel, facts: &Facts, drivers: &Drivers) -> Result<Option<String>> {
    let (lacks, release) = (lacks(view, kernel, drivers)?, &kernel.version);
    let is_ubuntu = matches!(facts.os.as_ref().map(|os| os.family), Some(Family::Ubuntu));
    let what = match lacks.keys().next() {
        Some(Lack::Stale) => format!("run depmod -a {release} in the running machine"),
        Some(Lack::Missing) if is_ubuntu => {
            format!("install linux-modules-extra-{release} in the running machine")
        }
        Some(Lack::Missing) => {
            format!("install the package of {release} with all its modules again in the running machine")
        }
        Some(Lack::Unbuilt) | None => return Ok(None),
    };
    Ok(Some(format!("{what}, and take a new snapshot")))
}

/// The drivers without which it sees no disk, as far as it lacks them.
fn lacking(kernel: &Kernel, drivers: &Drivers) -> impl Iterator<Item = &'static str> {
    drivers.vital().into_iter().filter(|name| !kernel.has(name))
}

/// The distribution's kernel that has them.
fn package(os: Option<&Os>) -> &'static str {
    match os.map(|os| os.family) {
        Some(Family::Debian) => "linux-image-amd64",
        Some(Family::Ubuntu) => "linux-azure or linux-generic",
        Some(Family::Suse) => "kernel-default",
        Some(Family::Alpine) => "linux-virt or linux-lts",
        Some(Family::RedHat | Family::Amazon | Family::Fedora) => "the distribution's package kernel",
        Some(Family::Other) | None => "the distribution's own kernel",
    }
}

/// The configuration by which a kernel is for paravirtual Xen and nothing else.
fn xen_only(view: &dyn View, kernel: &Kernel) -> Result<Option<String>> {
    let path = format!("/boot/config-{}", kernel.version);
    let config = view.text(&path)?.unwrap_or_default();
    let is_xen = config.lines().any(|line| matches!(line, "CONFIG_X86_XEN=y" | "CONFIG_X86_64_XEN=y"));
    Ok(is_xen.then_some(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_kernel_without_drivers_is_found() {
        let bench = Bench::debian()
            .file("/lib/modules/6.1.0-50-amd64/modules.dep", "kernel/drivers/nvme/host/nvme.ko:\n")
            .file("/boot/config-6.1.0-50-amd64", "CONFIG_X86_XEN=y\n");
        let found = bench.findings(&RULE);
        assert_eq!(
            found[0],
            "/lib/modules/6.1.0-50-amd64: 6.1.0-50-amd64 is built without hv_vmbus and hv_storvsc"
        );
        assert_eq!(found[1], "/boot/config-6.1.0-50-amd64: a kernel for Xen only");
        assert!(bench.by_hand(&RULE).contains("install linux-image-amd64 in the running machine"));
    }

    #[test]
    fn modules_that_are_not_installed_or_not_listed_are_told_apart_from_none() {
        let dir = "/lib/modules/6.1.0-50-amd64";
        let config = "CONFIG_HYPERV=m\nCONFIG_HYPERV_STORAGE=m\n";
        let bench = Bench::debian()
            .file(&format!("{dir}/modules.dep"), "kernel/fs/ext4.ko:\n")
            .file("/boot/config-6.1.0-50-amd64", config);
        let what = "6.1.0-50-amd64 has hv_vmbus and hv_storvsc as modules, which are not installed";
        assert_eq!(bench.findings(&RULE), [format!("{dir}: {what}")]);
        assert!(bench.by_hand(&RULE).contains("install the package of 6.1.0-50-amd64"));
        let ubuntu = bench.clone().file("/etc/os-release", "ID=ubuntu\nVERSION_ID=\"22.04\"\n");
        assert!(ubuntu.by_hand(&RULE).contains("install linux-modules-extra-6.1.0-50-amd64"));
        let stale = bench
            .file(&format!("{dir}/kernel/drivers/hv/hv_vmbus.ko"), "module")
            .file(&format!("{dir}/kernel/drivers/scsi/hv_storvsc.ko.xz"), "module");
        assert!(stale.findings(&RULE)[0].contains("does not list hv_vmbus and hv_storvsc, which are there"));
        assert!(stale.by_hand(&RULE).contains("run depmod -a 6.1.0-50-amd64"));
    }

    #[test]
    fn drivers_that_are_built_in_do() {
        let bench = Bench::debian().file("/lib/modules/6.1.0-50-amd64/modules.dep", "").file(
            "/lib/modules/6.1.0-50-amd64/modules.builtin",
            "kernel/drivers/hv/hv_vmbus.ko\nkernel/drivers/scsi/hv_storvsc.ko\n",
        );
        assert_eq!(bench.findings(&RULE), [""; 0]);
        let by_config = Bench::debian()
            .file("/lib/modules/6.1.0-50-amd64/modules.dep", "")
            .file("/boot/config-6.1.0-50-amd64", "CONFIG_HYPERV=y\nCONFIG_HYPERV_STORAGE=y\n");
        assert_eq!(by_config.findings(&RULE), [""; 0]);
    }

    const OLD: &str = "5.10.0-32-amd64";
    const DRIVERS: &str = "kernel/drivers/hv/hv_vmbus.ko:\nkernel/drivers/scsi/hv_storvsc.ko:\n";

    /// The newest kernel lacks the drivers, an older one has them.
    fn newest_lacks() -> Bench {
        Bench::debian()
            .file("/lib/modules/6.1.0-50-amd64/modules.dep", "")
            .file(&format!("/lib/modules/{OLD}/modules.dep"), DRIVERS)
            .file(&format!("/boot/vmlinuz-{OLD}"), "kernel")
    }

    #[test]
    fn another_kernel_without_an_entry_is_named() {
        let bench = newest_lacks();
        assert_eq!(bench.findings(&RULE).len(), 1);
        assert!(bench.by_hand(&RULE).starts_with("5.10.0-32-amd64 would do"));
    }

    #[test]
    fn another_kernel_is_made_the_default_of_grub_cfg() {
        let entry = |release: &str, more: &str| {
            format!(
                "\tmenuentry 'x' --id '{release}{more}' {{\n\t\tlinux /boot/vmlinuz-{release} ro {more}\n\t}}\n"
            )
        };
        let menu = entry("6.1.0-50-amd64", "") + &entry(OLD, "single") + &entry(OLD, "");
        let cfg = format!("set default=\"0\"\nsubmenu 'x' --id 'more' {{\n{menu}}}\n");
        let bench =
            newest_lacks().file("/boot/grub/grub.cfg", &cfg).file("/etc/default/grub", "GRUB_DEFAULT=0\n");
        bench.mended(&RULE, |view| {
            let text = |path| view.text(path).unwrap().unwrap();
            let selector = format!("more>{OLD}");
            assert_eq!(
                text("/boot/grub/grub.cfg"),
                cfg.replace("default=\"0\"", &format!("default=\"{selector}\""))
            );
            assert_eq!(text("/etc/default/grub"), format!("GRUB_DEFAULT=\"{selector}\"\n"));
        });
    }

    #[test]
    fn another_kernel_is_made_the_saved_entry() {
        let mut block =
            b"# GRUB Environment Block\nsaved_entry=m-6.1.0-50-amd64\nnext_entry=m-6.1.0-50-amd64\n".to_vec();
        block.resize(1024, b'#');
        let cfg = "set default=\"${saved_entry}\"\nblscfg\n";
        let bench = newest_lacks()
            .without("/boot/grub/grub.cfg")
            .file("/boot/grub2/grub.cfg", cfg)
            .file("/boot/grub2/grubenv", block)
            .file("/boot/loader/entries/m-6.1.0-50-amd64.conf", "linux /vmlinuz-6.1.0-50-amd64\noptions ro\n")
            .file(
                &format!("/boot/loader/entries/m-{OLD}.conf"),
                format!("linux /vmlinuz-{OLD}\noptions ro\n"),
            );
        let block = bench.mended_text(&RULE, "/boot/grub2/grubenv");
        assert!(block.contains(&format!("saved_entry=m-{OLD}\n")) && block.len() == 1024, "{block}");
        assert!(!block.contains("next_entry"), "the next start is by the new one as well: {block}");
    }

    #[test]
    fn another_kernel_is_made_the_default_of_systemd_boot() {
        let entry = |release: &str| format!("linux /m/{release}/linux\noptions ro\n");
        let (config, entries) = ("/boot/efi/loader/loader.conf", "/boot/efi/loader/entries");
        let bench = newest_lacks()
            .without("/boot/grub/grub.cfg")
            .file(config, "timeout 5\ndefault m-6*\n")
            .file(&format!("{entries}/m-6.1.0-50-amd64.conf"), entry("6.1.0-50-amd64"))
            .file(&format!("{entries}/m-{OLD}.conf"), entry(OLD))
            .file("/boot/efi/m/6.1.0-50-amd64/linux", "kernel")
            .file(&format!("/boot/efi/m/{OLD}/linux"), "kernel");
        assert_eq!(bench.findings(&RULE).len(), 1);
        let text = bench.mended_text(&RULE, config);
        assert_eq!(text, format!("timeout 5\ndefault m-{OLD}.conf\n"));
    }

    #[test]
    fn another_kernel_is_made_the_default_of_menu_lst() {
        let entry = |release: &str| format!("title x\nroot (hd0)\nkernel /boot/vmlinuz-{release} ro\n");
        let menu = format!("default 0\n{}{}", entry("6.1.0-50-amd64"), entry(OLD));
        let bench = newest_lacks().without("/boot/grub/grub.cfg").file("/boot/grub/menu.lst", &menu);
        let text = bench.mended_text(&RULE, "/boot/grub/menu.lst");
        assert_eq!(text, menu.replace("default 0", "default 1"));
    }
}

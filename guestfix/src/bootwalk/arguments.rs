//! What on the command line keeps the kernel from the disk of the target, whatever drivers it has.

use super::initramfs::filesystem_drivers;
use super::{Hop, HopKind, MenuEntry, sysctl};
use crate::facts::Driver;
use crate::inspect::devices;
use crate::text::{cmdline, modprobe};
use crate::{Device, Guest, Result};

/// The functions by which file systems and the device mapper start (Linux, fs/ and drivers/md).
const INITCALLS: &[(&str, &str)] = &[
    ("dm_init", "dm_mod"),
    ("ext2_init", "ext2"),
    ("ext3_init_fs", "ext3"),
    ("ext4_init_fs", "ext4"),
    ("init_btrfs_fs", "btrfs"),
    ("init_ext2_fs", "ext2"),
    ("init_ext3_fs", "ext3"),
    ("init_xfs_fs", "xfs"),
];

/// Functions that guides switch off, and that no boot needs.
const HARMLESS: &[&str] = &[
    "acpi_cpufreq_init",
    "algif_aead_init",
    "algif_hash_init",
    "algif_rng_init",
    "algif_skcipher_init",
    "sysfb_init",
];

/// Seconds of sleep after which nobody waits any more.
const PATIENCE: u64 = 600;

/// The hops at arguments that stop the kernel; none where there are none.
pub(super) fn arguments(guest: &Guest<'_>, entry: &MenuEntry) -> Result<Vec<Hop>> {
    let drivers = &guest.goal.target.platform.drivers;
    let mut hops = Vec::new();
    for token in cmdline::tokens(&entry.cmdline) {
        let blocked = |why: String| {
            Hop::blocked(HopKind::Kernel, &entry.place, token, format!("{token} on the command line: {why}"))
        };
        let value = |key: &str| cmdline::value(token, key);
        match (value("acpi"), value("scsi_mod.scan")) {
            (Some("off" | "ht"), _) => {
                hops.push(blocked(format!("{} finds the target's bus by ACPI alone", drivers.bus)));
            }
            (_, Some("none" | "manual")) => hops.push(blocked("no disk is looked for".into())),
            _ => {}
        }
        if value("rootdelay")
            .is_some_and(|seconds| seconds.parse().is_ok_and(|seconds: u64| seconds > PATIENCE))
        {
            hops.push(blocked("the start sleeps for longer than anybody waits".into()));
        }
        if let Some(size) = value("mem").and_then(bytes)
            && size < least(guest, entry)?
        {
            hops.push(blocked("this kernel and its initramfs need more memory".into()));
        }
        let sysctl = token.strip_prefix("sysctl.").and_then(|token| token.split_once('='));
        if sysctl.is_some_and(|(key, value)| sysctl::is_set(key, value)) {
            hops.push(blocked("no module is loaded".into()));
        }
        if matches!(token, "nomodule" | "nomodules") {
            let known = guest.facts.kernel_of_image(&entry.kernel);
            let is_module =
                |name: &&&str| known.is_none_or(|kernel| kernel.drivers.get(**name) == Some(&Driver::Module));
            if let Some(name) = drivers.required.iter().find(is_module) {
                hops.push(blocked(format!("{name} is a module, and none is loaded")));
            }
        }
        for function in functions(token) {
            let file_system =
                INITCALLS.iter().find(|(known, _)| *known == function).map(|(_, module)| *module);
            match drivers.of_initcall(function).or(file_system) {
                Some(module) if is_needed(guest, module) => {
                    hops.push(blocked(format!("{module} does not start")));
                }
                Some(_) => {}
                None if HARMLESS.contains(&function) => {}
                None => {
                    let why = format!("nobody can tell what the kernel lacks without {function}");
                    hops.push(Hop::unknown(HopKind::Kernel, &entry.place, token, why));
                }
            }
        }
    }
    Ok(hops)
}

/// A number of bytes as the kernel reads it; `None` for what it passes over.
fn bytes(value: &str) -> Option<u64> {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = value.strip_suffix(unit)?.parse().ok()?;
    let shift = match unit.chars().next().map(|unit| unit.to_ascii_lowercase()) {
        None => 0,
        Some('k') => 10,
        Some('m') => 20,
        Some('g') => 30,
        Some('t') => 40,
        Some(_) => return None,
    };
    number.checked_mul(1 << shift)
}

/// The least memory with which an entry starts: for the kernel and the system, and for an initramfs that is
/// there packed and unpacked at once.
fn least(guest: &Guest<'_>, entry: &MenuEntry) -> Result<u64> {
    const SYSTEM: u64 = 128 << 20;
    /// How much an initramfs grows, by what compressors do at the least.
    const UNPACKED: u64 = 3;
    let mut least = SYSTEM;
    for path in &entry.initrds {
        let size = guest.view.stat(path)?.map_or(0, |node| node.size);
        least = least.saturating_add(size.saturating_mul(UNPACKED));
    }
    Ok(least)
}

/// The functions that a token forbids to call.
fn functions(token: &str) -> Vec<&str> {
    let lists = modprobe::INITCALLS.iter().filter_map(|key| cmdline::value(token, key));
    lists.flat_map(|value| value.split(',')).filter(|name| !name.is_empty()).collect()
}

/// Whether the target's disk or network, or the root on it, is not to be had without a module.
fn is_needed(guest: &Guest<'_>, module: &str) -> bool {
    let drivers = &guest.goal.target.platform.drivers;
    let root = devices::root(guest.view.machine());
    let is_logical = root.is_some_and(|root| matches!(root.device, Device::Logical(_)));
    drivers.required.contains(&module)
        || module == drivers.network
        || module == "scsi_mod"
        || (module == "dm_mod" && is_logical)
        || root.map(filesystem_drivers).unwrap_or_default().contains(&module)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{debian, entry, stops};
    use super::*;
    use crate::rules::testing::{ROOT_UUID, grub_cfg};

    fn found(text: &str) -> Vec<String> {
        let bench = debian().file("/boot/grub/grub.cfg", grub_cfg(&format!("UUID={ROOT_UUID}"), text));
        let entry = entry(&bench);
        stops(bench.guest(|guest| arguments(guest, &entry).unwrap()))
    }

    #[test]
    fn what_the_kernel_is_told_not_to_start_stops_the_boot() {
        for (text, why) in [
            ("initcall_blacklist=hv_acpi_init", "hv_vmbus does not start"),
            ("initcall-blacklist=x,storvsc_drv_init", "hv_storvsc does not start"),
            ("initcall_blacklist=netvsc_drv_init", "hv_netvsc does not start"),
            ("initcall_blacklist=init_sd", "sd_mod does not start"),
            ("initcall_blacklist=ext4_init_fs", "ext4 does not start"),
            ("acpi=off", "hv_vmbus finds the target's bus by ACPI alone"),
            ("scsi_mod.scan=none", "no disk is looked for"),
            ("rootdelay=86400", "the start sleeps for longer than anybody waits"),
            ("mem=64M", "this kernel and its initramfs need more memory"),
            ("sysctl.kernel.modules_disabled=1", "no module is loaded"),
            ("nomodule", "hv_vmbus is a module, and none is loaded"),
        ] {
            let found = found(text);
            let line = found.iter().find(|line| line.contains(" blocked: "));
            assert!(line.is_some_and(|line| line.ends_with(why)), "{text}: {found:?}");
        }
    }

    #[test]
    fn an_initcall_that_is_not_known_is_not_passed_over() {
        let found = found("initcall_blacklist=pci_subsys_init");
        assert!(found.len() == 1 && found[0].contains("unknown: nobody can tell"), "{found:?}");
    }

    #[test]
    fn what_no_boot_needs_is_let_pass() {
        for text in [
            "rootdelay=300 mem=2G mem=nopentium sysctl.kernel.panic=5",
            "quiet acpi=force scsi_mod.scan=async",
            "initcall_blacklist=algif_aead_init,sysfb_init",
            "initcall_blacklist=init_xfs_fs,dm_init,init_udf_fs",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}

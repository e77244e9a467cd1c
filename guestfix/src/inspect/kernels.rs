//! Installed kernels, and where each has the drivers that Azure needs.

use std::collections::{BTreeMap, BTreeSet};

use super::compare_versions;
use crate::facts::{Boot, Driver, Kernel};
use crate::{Result, View};

/// The drivers that are looked for, by module name with underscores, and the kernel option that builds each in.
const DRIVERS: &[(&str, &str)] = &[
    ("hv_vmbus", "CONFIG_HYPERV_VMBUS"),
    ("hv_storvsc", "CONFIG_HYPERV_STORAGE"),
    ("hv_netvsc", "CONFIG_HYPERV_NET"),
    ("hv_utils", "CONFIG_HYPERV_UTILS"),
    ("hv_balloon", "CONFIG_HYPERV_BALLOON"),
    ("hyperv_keyboard", "CONFIG_HYPERV_KEYBOARD"),
    ("hid_hyperv", "CONFIG_HID_HYPERV_MOUSE"),
    ("pci_hyperv", "CONFIG_PCI_HYPERV"),
    ("sd_mod", "CONFIG_BLK_DEV_SD"),
    ("sr_mod", "CONFIG_BLK_DEV_SR"),
    ("ata_piix", "CONFIG_ATA_PIIX"),
    ("nvme", "CONFIG_BLK_DEV_NVME"),
    ("udf", "CONFIG_UDF_FS"),
    ("vfat", "CONFIG_VFAT_FS"),
];

const MODULE_DIRS: [&str; 2] = ["/lib/modules", "/usr/lib/modules"];

/// Every kernel that has an image or modules, newest first.
pub(super) fn kernels(view: &dyn View, boot: &Boot) -> Result<Vec<Kernel>> {
    let mut images: BTreeMap<String, String> = BTreeMap::new();
    for name in view.list("/boot")? {
        if let Some(version) = name.strip_prefix("vmlinuz-").or_else(|| name.strip_prefix("vmlinux-")) {
            images.insert(version.to_owned(), format!("/boot/{name}"));
        }
    }
    let mut versions: BTreeSet<String> = images.keys().cloned().collect();
    for dir in MODULE_DIRS {
        versions.extend(
            view.list(dir)?.into_iter().filter(|name| name.starts_with(|c: char| c.is_ascii_digit())),
        );
    }
    let mut versions: Vec<String> = versions.into_iter().collect();
    versions.sort_by(|a, b| compare_versions(b, a));
    versions.into_iter().map(|version| kernel(view, boot, images.remove(&version), version)).collect()
}

fn kernel(view: &dyn View, boot: &Boot, image: Option<String>, version: String) -> Result<Kernel> {
    let mut modules = None;
    for dir in MODULE_DIRS {
        if modules.is_none() {
            modules = view.resolve(&format!("{dir}/{version}"))?;
        }
    }
    let entry =
        boot.entries.iter().find(|entry| Some(&entry.kernel) == image.as_ref() && !entry.initrds.is_empty());
    let initramfs = match entry.and_then(|entry| entry.initrds.last()) {
        Some(path) => Some(path.clone()),
        None => initramfs_by_name(view, &version)?,
    };
    let drivers = drivers(view, &version, modules.as_deref())?;
    Ok(Kernel { version, image, modules, initramfs, drivers })
}

fn initramfs_by_name(view: &dyn View, version: &str) -> Result<Option<String>> {
    let names = [
        format!("/boot/initrd.img-{version}"),
        format!("/boot/initramfs-{version}.img"),
        format!("/boot/initrd-{version}"),
        format!("/boot/initrd-{version}.img"),
    ];
    for name in names {
        if view.exists(&name)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn drivers(view: &dyn View, version: &str, modules: Option<&str>) -> Result<BTreeMap<&'static str, Driver>> {
    let text = |path: String| Ok::<_, crate::Error>(view.text(&path)?.unwrap_or_default());
    let (mut built_in, mut loadable) = (String::new(), String::new());
    if let Some(dir) = modules {
        built_in = text(format!("{dir}/modules.builtin"))?;
        loadable = text(format!("{dir}/modules.dep"))?;
    }
    let config = text(format!("/boot/config-{version}"))?;
    let built_in: BTreeSet<String> = built_in.lines().map(module_name).collect();
    let loadable: BTreeSet<String> =
        loadable.lines().filter_map(|line| line.split_once(':')).map(|(path, _)| module_name(path)).collect();
    let configured = |option: &str, value: &str| {
        config
            .lines()
            .any(|line| line.strip_prefix(option).is_some_and(|rest| rest.strip_prefix('=') == Some(value)))
    };
    let mut out = BTreeMap::new();
    for &(name, option) in DRIVERS {
        // before 6.18 CONFIG_HYPERV was the bus itself
        let in_config = configured(option, "y")
            || (name == "hv_vmbus"
                && configured("CONFIG_HYPERV", "y")
                && !config.contains("CONFIG_HYPERV_VMBUS"));
        let driver = if built_in.contains(name) || in_config {
            Driver::BuiltIn
        } else if loadable.contains(name) || (loadable.is_empty() && has_file(view, modules, name)?) {
            Driver::Module
        } else {
            Driver::Absent
        };
        out.insert(name, driver);
    }
    Ok(out)
}

/// Whether the module is where the kernel's own tree has it, for guests without a modules.dep.
fn has_file(view: &dyn View, modules: Option<&str>, name: &str) -> Result<bool> {
    let Some(modules) = modules else { return Ok(false) };
    let dir = match name {
        "hv_vmbus" | "hv_utils" | "hv_balloon" => "hv",
        "hv_netvsc" => "net/hyperv",
        "hyperv_keyboard" => "input/serio",
        "hid_hyperv" => "hid",
        "pci_hyperv" => "pci/controller",
        "hv_storvsc" | "sd_mod" | "sr_mod" => "scsi",
        _ => return Ok(false),
    };
    let names = view.list(&format!("{modules}/kernel/drivers/{dir}"))?;
    Ok(names.iter().any(|file| file.contains(".ko") && module_name(file) == name))
}

/// The name of a module from its path: `kernel/drivers/hid/hid-hyperv.ko.xz` is `hid_hyperv`.
fn module_name(path: &str) -> String {
    let file = path.trim().rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_name_has_underscores_and_no_suffix() {
        assert_eq!(module_name("kernel/drivers/hid/hid-hyperv.ko.xz"), "hid_hyperv");
        assert_eq!(module_name("kernel/drivers/hv/hv_vmbus.ko"), "hv_vmbus");
    }
}

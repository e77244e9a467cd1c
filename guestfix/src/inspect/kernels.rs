//! Installed kernels, and where each has the drivers that Azure needs.

use std::collections::{BTreeMap, BTreeSet};

use super::compare_versions;
use crate::facts::{Boot, Driver, Kernel};
use crate::{Result, View, limits};

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
    ("mlx4_core", "CONFIG_MLX4_CORE"),
    ("mlx5_core", "CONFIG_MLX5_CORE"),
    ("mana", "CONFIG_MICROSOFT_MANA"),
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
    let mut found = Vec::new();
    for name in view.list("/boot")? {
        if let Some(version) = name.strip_prefix("vmlinuz-").or_else(|| name.strip_prefix("vmlinux-")) {
            let image = format!("/boot/{name}");
            found.push((release(view, &image, version)?, Some(image)));
        }
    }
    for entry in &boot.entries {
        add_of_entry(view, boot, &mut found, &entry.kernel)?;
    }
    let mut modules = BTreeSet::new();
    for dir in MODULE_DIRS {
        modules.extend(
            view.list(dir)?.into_iter().filter(|name| name.starts_with(|c: char| c.is_ascii_digit())),
        );
    }
    modules.retain(|version| !found.iter().any(|(known, _)| known == version));
    found.extend(modules.into_iter().map(|version| (version, None)));
    limits::at_most(MODULE_DIRS[0], found.len() as u64, limits::KERNELS, "kernels")?;
    found.sort_by(|(a, _), (b, _)| compare_versions(b, a));
    found.into_iter().map(|(version, image)| kernel(view, boot, image, version)).collect()
}

/// The kernel of an entry that has it elsewhere, as systemd-boot does: `/boot/efi/<machine>/<release>/linux`. Where no entry
/// starts the one of its release in /boot, it is that which counts.
fn add_of_entry(
    view: &dyn View,
    boot: &Boot,
    found: &mut Vec<(String, Option<String>)>,
    image: &str,
) -> Result<()> {
    if found.iter().any(|(_, known)| known.as_deref() == Some(image)) || !view.exists(image)? {
        return Ok(());
    }
    let dir = image.rsplit('/').nth(1).unwrap_or_default();
    let Some(release) = known_release(view, image, dir)? else { return Ok(()) };
    let is_started =
        |image: &Option<String>| boot.entries.iter().any(|entry| Some(&entry.kernel) == image.as_ref());
    match found.iter_mut().find(|(known, other)| *known == release && !is_started(other)) {
        Some((_, other)) => *other = Some(image.to_owned()),
        None => found.push((release, Some(image.to_owned()))),
    }
    Ok(())
}

/// The release of a kernel: what its name says, unless no modules have that name, as with `vmlinuz-0-rescue-<machine>`: then
/// what the image itself says.
fn release(view: &dyn View, image: &str, name: &str) -> Result<String> {
    Ok(known_release(view, image, name)?.unwrap_or_else(|| name.to_owned()))
}

/// The same; `None` where neither modules nor the image confirm the name.
fn known_release(view: &dyn View, image: &str, name: &str) -> Result<Option<String>> {
    for dir in MODULE_DIRS {
        if !name.is_empty() && view.exists(&format!("{dir}/{name}"))? {
            return Ok(Some(name.to_owned()));
        }
    }
    // the version stands in the first 64 KiB and a bit, for its place is a number of 16 bits
    Ok(view.start(image, 0x10000 + 0x400)?.and_then(|bytes| bz_image_release(&bytes)))
}

/// The first word of the version that the header of an image for x86 leads to (Linux, arch/x86/boot: `kernel_version`).
fn bz_image_release(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let offset = u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?);
    let text = image.get(usize::from(offset) + 0x200..)?;
    let end = text.iter().take(256).position(|byte| matches!(byte, 0 | b' '))?;
    let release = str::from_utf8(&text[..end]).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+~".contains(c);
    (!release.is_empty() && release.chars().all(plain)).then(|| release.to_owned())
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
    let name_of = |name: &str| DRIVERS.iter().map(|(known, _)| *known).find(|known| is_module(name, known));
    let (mut built_in, mut loadable) = (String::new(), String::new());
    if let Some(dir) = modules {
        built_in = text(format!("{dir}/modules.builtin"))?;
        loadable = text(format!("{dir}/modules.dep"))?;
    }
    let config = text(format!("/boot/config-{version}"))?;
    let built_in: BTreeSet<&str> = built_in.lines().filter_map(name_of).collect();
    let is_listed = loadable.contains(':');
    let loadable: BTreeSet<&str> = loadable
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(path, _)| name_of(path))
        .collect();
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
        } else if loadable.contains(name) || (!is_listed && has_file(view, modules, name)?) {
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
        "mlx4_core" => "net/ethernet/mellanox/mlx4",
        "mlx5_core" => "net/ethernet/mellanox/mlx5/core",
        "mana" => "net/ethernet/microsoft/mana",
        "hv_storvsc" | "sd_mod" | "sr_mod" => "scsi",
        _ => return Ok(false),
    };
    let names = view.list(&format!("{modules}/kernel/drivers/{dir}"))?;
    Ok(names.iter().any(|file| file.contains(".ko") && is_module(file, name)))
}

/// Whether this is the path of the module of this name: `kernel/drivers/hid/hid-hyperv.ko.xz` is that of `hid_hyperv`.
fn is_module(path: &str, name: &str) -> bool {
    let file = path.trim().rsplit('/').next().unwrap_or(path);
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.len() == name.len() && stem.bytes().zip(name.bytes()).all(|(c, n)| c == n || c == b'-' && n == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_knows_its_release() {
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x80_u16.to_le_bytes());
        let version = b"5.14.0-427.el9.x86_64 (builder) #1\0";
        image[0x280..0x280 + version.len()].copy_from_slice(version);
        assert_eq!(bz_image_release(&image).as_deref(), Some("5.14.0-427.el9.x86_64"));
        image[0x280] = b'/';
        assert_eq!(bz_image_release(&image), None);
        image[0x20f] = 0xff;
        assert_eq!(bz_image_release(&image), None);
        assert_eq!(bz_image_release(&image[..0x205]), None);
    }

    #[test]
    fn a_module_name_has_underscores_and_no_suffix() {
        assert!(is_module("kernel/drivers/hid/hid-hyperv.ko.xz", "hid_hyperv"));
        assert!(is_module("kernel/drivers/hv/hv_vmbus.ko", "hv_vmbus"));
        assert!(!is_module("kernel/drivers/hv/hv_vmbus2.ko", "hv_vmbus"));
    }
}

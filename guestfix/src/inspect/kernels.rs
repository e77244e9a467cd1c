//! Installed kernels, and where each has the drivers of the platforms.

use std::collections::{BTreeMap, BTreeSet};

use super::compare_versions;
use crate::facts::{Boot, Driver, Kernel};
use crate::kernel_image::{HEAD, KernelImage};
use crate::{Result, View, limits, modules, platform};

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

/// The kernel of an entry that has it elsewhere, as systemd-boot does: `/boot/efi/<machine>/<release>/linux`.
/// Where no entry starts the one of its release in /boot, it is that which counts.
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

/// The release of a kernel: what its name says, unless no modules have that name, as with
/// `vmlinuz-0-rescue-<machine>`: then what the image itself says.
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
    let head = view.start(image, HEAD)?.unwrap_or_default();
    Ok(KernelImage::parse(&head).ok().and_then(|image| image.release))
}

fn kernel(view: &dyn View, boot: &Boot, image: Option<String>, version: String) -> Result<Kernel> {
    let modules = module_dir(view, &version)?;
    let entry =
        boot.entries.iter().find(|entry| Some(&entry.kernel) == image.as_ref() && !entry.initrds.is_empty());
    let initramfs = match entry.and_then(|entry| entry.initrds.last()) {
        Some(path) => Some(path.clone()),
        None => initramfs_by_name(view, &version)?,
    };
    let drivers = drivers(view, &version, modules.as_deref())?;
    Ok(Kernel { version, image, modules, initramfs, drivers })
}

/// The directory of a kernel's modules, links resolved.
pub(crate) fn module_dir(view: &dyn View, release: &str) -> Result<Option<String>> {
    for dir in MODULE_DIRS {
        if let Some(found) = view.resolve(&format!("{dir}/{release}"))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
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

fn drivers(
    view: &dyn View,
    version: &str,
    directory: Option<&str>,
) -> Result<BTreeMap<&'static str, Driver>> {
    let text = |path: String| Ok::<_, crate::Error>(view.text(&path)?.unwrap_or_default());
    let (mut built_in, mut loadable) = (String::new(), None);
    if let Some(dir) = directory {
        built_in = text(format!("{dir}/modules.builtin"))?;
        loadable = Some(modules::List::open(view, dir, version)?);
    }
    let config = text(format!("/boot/config-{version}"))?;
    // Thousands of lines each: they are looked through once.
    let known = platform::drivers();
    let name_of = |path: &str| {
        let stem = stem(path.trim());
        known.iter().map(|driver| driver.module).find(|known| is_name(stem, known))
    };
    let built_in: BTreeSet<&str> = built_in.lines().filter_map(name_of).collect();
    let configured: BTreeSet<&str> = config.lines().filter(|line| line.starts_with("CONFIG_")).collect();
    let configured = |option: &str, value: &str| configured.contains(format!("{option}={value}").as_str());
    let is_listed = |name: &str| loadable.as_ref().is_some_and(|list| list.path(name).is_some());
    let is_unlisted = loadable.as_ref().is_none_or(modules::List::is_empty);
    let mut out = BTreeMap::new();
    for driver in &known {
        let platform::Driver { module: name, option, old_option, .. } = **driver;
        let by_old = |old| configured(old, "y") && !config.contains(option);
        let in_config = configured(option, "y") || old_option.is_some_and(by_old);
        let place = if built_in.contains(name) || in_config {
            Driver::BuiltIn
        } else if is_listed(name) || (is_unlisted && has_file(view, directory, driver)?) {
            Driver::Module
        } else {
            Driver::Absent
        };
        out.insert(name, place);
    }
    Ok(out)
}

/// Whether the module is where the kernel's own tree has it, for guests without a modules.dep, or with one
/// that is old.
pub(crate) fn has_file(view: &dyn View, modules: Option<&str>, driver: &platform::Driver) -> Result<bool> {
    let (Some(modules), Some(dir)) = (modules, driver.folder) else { return Ok(false) };
    let names = view.list(&format!("{modules}/kernel/drivers/{dir}"))?;
    Ok(names.iter().any(|file| file.contains(".ko") && is_module(file.trim(), driver.module)))
}

/// Whether this is the path of the module of this name: `kernel/drivers/hid/hid-hyperv.ko.xz` is that of
/// `hid_hyperv`.
pub(crate) fn is_module(path: &str, name: &str) -> bool {
    is_name(stem(path), name)
}

/// The file's name without what follows ".ko".
fn stem(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file)
}

/// Whether a stem is that of the module of this name: `hid-hyperv` of `hid_hyperv`.
fn is_name(stem: &str, name: &str) -> bool {
    stem.len() == name.len() && stem.bytes().zip(name.bytes()).all(|(c, n)| c == n || c == b'-' && n == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_name_has_underscores_and_no_suffix() {
        assert!(is_module("kernel/drivers/hid/hid-hyperv.ko.xz", "hid_hyperv"));
        assert!(is_module("kernel/drivers/hv/hv_vmbus.ko", "hv_vmbus"));
        assert!(!is_module("kernel/drivers/hv/hv_vmbus2.ko", "hv_vmbus"));
    }
}

//! The kernel's file: there, whole, for the machine that the programs are for, with its modules, and with the
//! drivers of the target in the one or the other.

use std::ops::Range;

use initramfs::kmod::index;

use super::look::regular;
use super::{Hop, HopKind, MenuEntry, payload, service};
use crate::facts::{Driver, Loader};
use crate::inspect::kernels::module_dir;
use crate::kernel_image::{HEAD, KernelImage};
use crate::pe::{Pe, authenticode};
use crate::text::bytes;
use crate::{Guest, Result, View, modules};

/// The longest name of a release, in bytes.
const RELEASE: usize = 256;

/// The hop of an entry's kernel.
pub(super) fn kernel(guest: &Guest<'_>, entry: &MenuEntry) -> Result<Vec<Hop>> {
    let path = entry.kernel.as_str();
    if path.is_empty() {
        let why = "the entry names no kernel";
        return Ok(vec![Hop::blocked(HopKind::Kernel, &entry.place, "no kernel", why)]);
    }
    let image = match image(guest.view, path)? {
        Ok(image) => image,
        Err(why) => return Ok(vec![Hop::blocked(HopKind::Kernel, path, "no kernel", why)]),
    };
    let release = release(guest, entry, &image);
    let what = match &release {
        Some(release) => format!("Linux {release}, {}", image.format),
        None => image.format.to_owned(),
    };
    let arch = guest.facts.os.as_ref().and_then(|os| os.arch);
    if let (Some(kernel), Some(programs)) = (image.arch, arch)
        && kernel != programs
        && (kernel, programs) != ("x86_64", "i386")
    {
        let why = format!("it is a kernel for {kernel}, and the programs are for {programs}");
        return Ok(vec![Hop::blocked(HopKind::Kernel, path, what, why)]);
    }
    // This loader starts programs of UEFI, as the firmware does.
    if guest.facts.boot.loader == Loader::SystemdBoot && !image.efi {
        let why = "it has no EFI stub, and systemd-boot starts nothing else";
        return Ok(vec![Hop::blocked(HopKind::Kernel, path, what, why)]);
    }
    // A snapshot's bytes are paid for: of its kernel only the header and the length are looked at.
    let far = guest.view.machine().remote;
    let what =
        if far { format!("{what}; in a snapshot, only its header and length are looked at") } else { what };
    if !far && let Some(why) = payload::damage(guest.view, path, &image)? {
        return Ok(vec![Hop::blocked(HopKind::Kernel, path, what, why)]);
    }
    if image.efi
        && let Some(fault) = authenticode::damage(guest.view, path)?
    {
        return Ok(vec![service::hop(HopKind::Kernel, &what, fault)]);
    }
    let Some(release) = release else {
        let why = "nothing says which release it is, so nobody knows its modules";
        return Ok(vec![Hop::unknown(HopKind::Kernel, path, what, why)]);
    };
    Ok(vec![match without_drivers(guest, &release)? {
        None => Hop::reached(HopKind::Kernel, path, what),
        Some((place, why)) => Hop::blocked(HopKind::Kernel, place.unwrap_or(path.to_owned()), what, why),
    }])
}

/// What the file is, or why no loader starts it.
pub(super) fn image(view: &dyn View, path: &str) -> Result<Result<KernelImage, String>> {
    let metadata = match regular(view, path)? {
        Ok(metadata) => metadata,
        Err(why) => return Ok(Err(why.into())),
    };
    let head = view.start(path, HEAD)?.unwrap_or_default();
    if let Some(pe) = Pe::parse(&head)
        && let Some(kernel) = pe.section(".linux")
        && pe.end() <= metadata.size
    {
        return unified(view, path, &pe, kernel);
    }
    Ok(match KernelImage::parse(&head) {
        Ok(image) if image.needs > metadata.size => Err(format!(
            "it is cut short: it has {} bytes of the {} that its header speaks of",
            metadata.size, image.needs
        )),
        Ok(image) => Ok(image),
        Err(why) => Err(format!("it is {why}")),
    })
}

/// The kernel in a unified image.
fn unified(view: &dyn View, path: &str, pe: &Pe, kernel: Range<u64>) -> Result<Result<KernelImage, String>> {
    let len = usize::try_from(kernel.end.saturating_sub(kernel.start)).unwrap_or(HEAD).min(HEAD);
    let head = view.range(path, kernel.start, len)?.unwrap_or_default();
    let inner = match KernelImage::parse(&head) {
        Ok(inner) if inner.needs > kernel.end.saturating_sub(kernel.start) => {
            return Ok(Err("the kernel in it is cut short".into()));
        }
        Ok(inner) => inner,
        Err(why) => return Ok(Err(format!("what should be the kernel in it is {why}"))),
    };
    let mut release = inner.release;
    if let Some(uname) = pe.section(".uname") {
        let text = view.range(path, uname.start, RELEASE.min((uname.end - uname.start) as usize))?;
        let text = bytes::decode(&text.unwrap_or_default());
        release =
            Some(text.trim_matches(['\0', '\n', ' ']).to_owned()).filter(|text| !text.is_empty()).or(release);
    }
    Ok(Ok(KernelImage { format: "in a unified kernel image", release, efi: true, ..inner }))
}

/// The release of the kernel that an entry starts: what the image itself says, else what is known by its name.
fn release(guest: &Guest<'_>, entry: &MenuEntry, image: &KernelImage) -> Option<String> {
    let known = || guest.facts.kernels.iter().find(|kernel| kernel.image.as_ref() == Some(&entry.kernel));
    image.release.clone().or_else(|| known().map(|kernel| kernel.version.clone()))
}

/// [`release`] of the entry, for the hops that come next.
pub(super) fn release_of(guest: &Guest<'_>, entry: &MenuEntry) -> Result<Option<String>> {
    Ok(image(guest.view, &entry.kernel)?.ok().and_then(|image| release(guest, entry, &image)))
}

/// Why a kernel sees no disk or no network of the target, whatever its initramfs holds, and where that is to
/// be seen.
fn without_drivers(guest: &Guest<'_>, release: &str) -> Result<Option<(Option<String>, String)>> {
    let drivers = &guest.goal.target.platform.drivers;
    let known = guest.facts.kernels.iter().find(|kernel| kernel.version == release);
    let dir = module_dir(guest.view, release)?;
    let Some(dir) = dir else {
        let built_in =
            |name: &&str| known.is_some_and(|kernel| kernel.drivers.get(*name) == Some(&Driver::BuiltIn));
        let modules: Vec<_> =
            [drivers.bus, drivers.disk, drivers.network].into_iter().filter(|name| !built_in(name)).collect();
        let why = format!("there is no /lib/modules/{release}, where {} would be", modules.join(", "));
        return Ok((!modules.is_empty()).then_some((None, why)));
    };
    let place = |name| known.and_then(|kernel| kernel.drivers.get(name)).copied().unwrap_or(Driver::Absent);
    let needed = [drivers.bus, drivers.disk, drivers.network];
    if needed.into_iter().any(|name| place(name) == Driver::Module)
        && let Some((path, why)) = damaged_index(guest.view, &dir)?
    {
        return Ok(Some((Some(path), why)));
    }
    let list = modules::List::open(guest.view, &dir, release)?;
    for name in needed {
        match place(name) {
            Driver::BuiltIn => {}
            Driver::Absent => {
                return Ok(Some((
                    Some(dir),
                    format!("{release} has no {name}, neither built in nor as a module"),
                )));
            }
            Driver::Module => {
                let Some(file) = list.path(name) else {
                    let why = format!("it does not list {name}: depmod has not run");
                    return Ok(Some((Some(format!("{dir}/modules.dep")), why)));
                };
                // depmod of old writes whole paths
                let path = if file.starts_with('/') { file.clone() } else { format!("{dir}/{file}") };
                if !guest.view.exists(&path)? {
                    return Ok(Some((Some(dir), format!("{file}, which modules.dep lists, is not there"))));
                }
            }
        }
    }
    Ok(None)
}

/// The index by which kmod would load a module and cannot, and why: where depmod has written any of these, all
/// are read, and the text beside them is not.
fn damaged_index(view: &dyn View, dir: &str) -> Result<Option<(String, String)>> {
    let paths = ["dep", "alias"].map(|name| format!("{dir}/modules.{name}.bin"));
    let [dep, alias] = &paths;
    if !view.exists(dep)? && !view.exists(alias)? {
        return Ok(None);
    }
    for path in paths {
        if let Err(why) = regular(view, &path)? {
            return Ok(Some((path, format!("{why}, and kmod loads modules by it"))));
        }
        // A snapshot's bytes are paid for.
        if view.machine().remote {
            continue;
        }
        let bytes = view.read(&path)?.unwrap_or_default();
        if index::check(&bytes, &path).is_err() {
            return Ok(Some((path, "it is damaged, and kmod loads modules by it".into())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use initramfs::kmod::dep::Dep;
    use initramfs::kmod::index::Index;

    use super::super::look::look;
    use super::super::testing::{DEP, KERNEL, RELEASE, debian, entry, lines, stops};
    use super::*;
    use crate::kernel_image::testing::bz_image;
    use crate::rules::testing::Bench;

    fn hops(bench: &Bench) -> Vec<Hop> {
        let entry = entry(bench);
        bench.guest(|guest| look(guest, HopKind::Kernel, |guest| kernel(guest, &entry)).unwrap())
    }

    #[test]
    fn a_kernel_with_its_modules_is_reached() {
        assert_eq!(lines(&hops(&debian())), [format!("Kernel {KERNEL}: Linux {RELEASE}, a bzImage")]);
    }

    #[test]
    fn a_file_that_is_no_whole_kernel_stops_the_boot() {
        let image = bz_image(RELEASE);
        for (bench, why) in [
            (debian().without(KERNEL), "there is no such file"),
            (debian().file(KERNEL, ""), "it is empty"),
            (debian().folder(KERNEL), "it is no regular file"),
            (debian().file(KERNEL, &image[..0x600]), "it is cut short: it has 1536 bytes of the 6656"),
            (debian().file(KERNEL, "#!/bin/sh\n"), "it is no kernel that a boot loader starts"),
            (debian().file(KERNEL, vec![0; image.len()]), "it is nothing but zeros"),
        ] {
            let stops = stops(hops(&bench));
            assert!(stops.len() == 1 && stops[0].contains(&format!("blocked: {why}")), "{why}: {stops:?}");
        }
    }

    #[test]
    fn a_unified_image_has_its_kernel_in_a_section() {
        let unified = |kernel: &[u8]| {
            let sections: &[(&str, &[u8])] = &[(".uname", RELEASE.as_bytes()), (".linux", kernel)];
            debian().file(KERNEL, crate::pe::testing::image(sections))
        };
        let kernel = bz_image(RELEASE);
        let found = lines(&hops(&unified(&kernel)));
        assert_eq!(found, [format!("Kernel {KERNEL}: Linux {RELEASE}, in a unified kernel image")]);
        assert!(stops(hops(&unified(&kernel[..0x600])))[0].ends_with("the kernel in it is cut short"));
        assert!(stops(hops(&unified(b"code")))[0].ends_with("is no kernel that a boot loader starts"));
        let file = crate::pe::testing::image(&[(".linux", &kernel)]);
        let cut = debian().file(KERNEL, &file[..file.len() - 1]);
        assert!(stops(hops(&cut))[0].contains("it is cut short"));
    }

    #[test]
    fn a_kernel_for_another_machine_is_no_use() {
        let mut image = bz_image(RELEASE);
        image[0x236] = 0;
        let found = stops(hops(
            &debian().program("/bin/true", crate::elf::testing::library(&[])).file(KERNEL, image),
        ));
        assert!(found[0].ends_with("it is a kernel for i386, and the programs are for x86_64"), "{found:?}");
    }

    #[test]
    fn modules_belong_to_the_kernel_that_is_in_the_file() {
        let older = debian().file(KERNEL, bz_image("5.10.0-32-amd64"));
        let found = stops(hops(&older));
        assert!(
            found[0].contains(
                "blocked: there is no /lib/modules/5.10.0-32-amd64, where hv_vmbus, hv_storvsc, hv_netvsc"
            ),
            "{found:?}"
        );
        let file = format!("/lib/modules/{RELEASE}/kernel/drivers/net/hyperv/hv_netvsc.ko");
        let found = stops(hops(&debian().without(&file)));
        assert!(found[0].ends_with("hv_netvsc.ko, which modules.dep lists, is not there"), "{found:?}");
        let found = stops(hops(&debian().file(DEP, "kernel/drivers/hv/hv_vmbus.ko:\n")));
        assert!(found[0].contains("has no hv_storvsc, neither built in nor as a module"), "{found:?}");
        let found = stops(hops(&debian().file(DEP, "").folder(&format!("{DEP}.bin"))));
        assert!(found[0].ends_with("modules.dep.bin unknown: is a directory, not a file"), "{found:?}");
        let found = stops(hops(&debian().folder(DEP)));
        assert!(
            found.iter().any(|line| line.contains(&format!("{DEP} unknown: is a directory"))),
            "{found:?}"
        );
    }

    #[test]
    fn kmod_reads_its_indexes_and_not_the_text() {
        let alias = DEP.replace(".dep", ".alias.bin");
        let dep =
            Dep::parse(debian().text(DEP).as_bytes(), RELEASE).index().write("modules.dep.bin").unwrap();
        let indexed = debian()
            .file(&format!("{DEP}.bin"), dep.clone())
            .file(&alias, Index::default().write("modules.alias.bin").unwrap());
        for sound in [indexed.clone(), indexed.clone().without(DEP), indexed.clone().file(DEP, "kernel/fs/")]
        {
            assert_eq!(stops(hops(&sound)), [""; 0]);
        }
        for (damaged, path, why) in [
            (indexed.clone().without(&format!("{DEP}.bin")), format!("{DEP}.bin"), "there is no such file"),
            (indexed.clone().without(&alias), alias.clone(), "there is no such file"),
            (indexed.clone().file(&alias, ""), alias.clone(), "it is empty"),
            (indexed.clone().file(&alias, "alias x y"), alias.clone(), "it is damaged"),
            (
                indexed.file(&format!("{DEP}.bin"), &dep[..dep.len() / 2]),
                format!("{DEP}.bin"),
                "it is damaged",
            ),
        ] {
            let found = stops(hops(&damaged));
            assert!(found[0].contains(&format!("{path} blocked: {why}")), "{path}: {why}: {found:?}");
        }
    }
}

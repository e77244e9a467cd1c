//! Whether an initramfs loads a driver that it does not need itself: what is in the kernel then, no configuration
//! of the root keeps out.

use initramfs::ModuleState;

use super::drivers::Module;
use super::{Image, Kernel, whole_cmdline};
use crate::bootwalk::MenuEntry;
use crate::bootwalk::kernel::release_of;
use crate::inspect::kernels::module_dir;
use crate::{Error, Guest, Result};

/// Whether the kernel of an entry has this driver before the root is there: in itself, or by an initramfs.
pub(in crate::bootwalk) fn loads(guest: &Guest<'_>, entry: &MenuEntry, driver: &str) -> Result<bool> {
    let Some(release) = release_of(guest, entry)? else { return Ok(false) };
    let dir = module_dir(guest.view, &release)?.unwrap_or_default();
    let kernel = Kernel { release, dir };
    for path in &entry.initrds {
        match by_image(guest, entry, &kernel, path, driver) {
            // its own hop says what is wrong with it
            Ok(false) | Err(Error::Initramfs { .. }) => {}
            found => return found,
        }
    }
    Ok(false)
}

fn by_image(guest: &Guest<'_>, entry: &MenuEntry, kernel: &Kernel, path: &str, driver: &str) -> Result<bool> {
    let Some(content) = guest.view.read(path)? else { return Ok(false) };
    let parsed = guest.archives.get(path, &content)?;
    let archive = parsed.archive();
    if !archive.has_init() {
        return Ok(false);
    }
    let (generator, cmdline) = (archive.generator(), whole_cmdline(archive, &entry.cmdline)?);
    let image = Image { guest, kernel, archive, generator, cmdline, volumes: Vec::new() };
    match image.states(&[driver])?.pop() {
        Some((_, ModuleState::Builtin)) => Ok(true),
        Some((name, ModuleState::InInitramfs { needs })) => {
            Ok(image.not_loaded(&[Module { name, needs }])?.is_none())
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use crate::bootwalk::network::network;
    use crate::bootwalk::testing::{INITRD, RELEASE, debian, entry, initramfs_files, pack, stops};
    use crate::rules::testing::Bench;

    /// The same with the driver of the card in the initramfs, and this configuration of modprobe in it.
    fn with_driver(bench: Bench, config: &str) -> Bench {
        let mut files = initramfs_files();
        let dir = format!("lib/modules/{RELEASE}");
        let path = "kernel/drivers/net/hyperv/hv_netvsc.ko";
        for (name, line) in
            [("modules.dep", format!("{path}:\n")), ("modules.alias", "alias vmbus:n hv_netvsc\n".into())]
        {
            let file = files.iter_mut().find(|(path, _)| *path == format!("{dir}/{name}")).unwrap();
            file.1.push_str(&line);
        }
        files.push((format!("{dir}/{path}"), "module".into()));
        files.push(("etc/modprobe.d/x.conf".into(), config.into()));
        bench.file(INITRD, pack(&files))
    }

    #[test]
    fn a_driver_that_the_initramfs_loads_is_not_kept_out_by_the_root() {
        let found = |bench: &Bench| {
            let entry = entry(bench);
            stops(bench.guest(|guest| network(guest, Some(&entry)).unwrap()))
        };
        assert_eq!(found(&debian()), [""; 0]);
        for line in ["blacklist hv_netvsc\n", "install hv_netvsc /bin/false\n"] {
            let banned = debian().file("/etc/modprobe.d/x.conf", line);
            assert_eq!(found(&banned).len(), 1, "{line}");
            assert_eq!(found(&with_driver(banned.clone(), "")), [""; 0], "{line}");
            assert_eq!(found(&with_driver(banned, line)).len(), 1, "{line}");
            assert_eq!(found(&with_driver(debian(), line)), [""; 0], "the root loads it");
        }
    }
}

//! The initramfs of an entry: there, whole, of a known framework, with the drivers of the root and what loads
//! them, and with nothing of its own that holds the boot up.

mod drivers;
mod loading;
mod loads;
mod scripts;
mod without;

use std::collections::BTreeSet;
use std::sync::Arc;

use initramfs::{Archive, Error as ImageError, Generator};

pub(super) use self::drivers::filesystem_drivers;
use self::loading::Loading;
pub(super) use self::loading::forbidden_by;
pub(super) use self::loads::loads;
use self::without::without;
use super::init::is_shell;
use super::kernel::release_of;
use super::look::regular;
use super::waits;
use super::{Hop, HopKind, MenuEntry};
use crate::error::chain;
use crate::facts::Volume;
use crate::inspect::kernels::module_dir;
use crate::kernel_image::HEAD;
use crate::pe::Pe;
use crate::place::Place;
use crate::rules::linux::kernel::initramfs_lvm;
use crate::text::{bytes, cmdline};
use crate::{Device, Error, Guest, Result, View, modprobe};

const KIND: HopKind = HopKind::Initramfs;

/// The most files of one kind that are looked at in an initramfs.
const TEXTS: usize = 4096;

/// The hops of an entry's initramfs: one for each image of it, or one that says how it goes without.
pub(super) fn initramfs(guest: &Guest<'_>, entry: &MenuEntry) -> Result<Vec<Hop>> {
    let Some(release) = release_of(guest, entry)? else {
        let why = "the kernel that it is for is not known";
        return Ok(vec![Hop::unknown(KIND, &entry.place, "an initramfs", why)]);
    };
    let dir = module_dir(guest.view, &release)?.unwrap_or_default();
    let kernel = Kernel { release, dir };
    if entry.initrds.is_empty() {
        return Ok(vec![match inside(guest.view, &entry.kernel)? {
            Some(content) => judged(guest, entry, &kernel, &entry.kernel, &content)?.0,
            None => without(guest, entry, &kernel)?,
        }]);
    }
    let mut hops = Vec::new();
    let mut has_init = false;
    for path in &entry.initrds {
        let (hop, is_system) = image(guest, entry, &kernel, path)?;
        has_init |= is_system || !hop.is_reached();
        hops.push(hop);
    }
    if !has_init {
        let place = entry.initrds.last().map_or_else(|| entry.place.clone(), Place::from);
        hops.push(Hop::blocked(KIND, place, "an initramfs", "it has no /init: the kernel cannot start it"));
    }
    Ok(hops)
}

/// The kernel that an image is for.
struct Kernel {
    release: String,
    /// Where its modules are; empty if it has none.
    dir: String,
}

/// What an image is found to be.
enum Found {
    /// All is there; what it is, and whether it is more than microcode.
    Fine(String, bool),
    Blocked(String, String),
    Unknown(String, String),
}

/// The hop of one image, and whether it is the one with the system in it.
fn image(guest: &Guest<'_>, entry: &MenuEntry, kernel: &Kernel, path: &str) -> Result<(Hop, bool)> {
    let nothing = |why: &str| Ok((Hop::blocked(KIND, path, "no initramfs", why), false));
    if let Err(why) = regular(guest.view, path)? {
        return nothing(why);
    }
    let Some(content) = guest.view.read(path)? else { return nothing("there is no such file") };
    judged(guest, entry, kernel, path, &content)
}

/// The initramfs in a unified kernel image, if that is what the kernel's file is.
fn inside(view: &dyn View, path: &str) -> Result<Option<Arc<[u8]>>> {
    let head = view.start(path, HEAD)?.unwrap_or_default();
    let unified = Pe::parse(&head).filter(|pe| pe.section(".initrd").is_some());
    let Some(pe) = unified else { return Ok(None) };
    let content = view.read(path)?.unwrap_or_default();
    Ok(pe.content(&content, ".initrd").map(Arc::from))
}

/// The hop of an image with this content, and whether it is the one with the system in it.
fn judged(
    guest: &Guest<'_>,
    entry: &MenuEntry,
    kernel: &Kernel,
    path: &str,
    content: &Arc<[u8]>,
) -> Result<(Hop, bool)> {
    let found = match guest.archives.get(path, content) {
        Ok(parsed) => judge(guest, entry, kernel, parsed.archive()),
        Err(Error::Initramfs { source, .. }) => Ok(broken(&source)),
        Err(error) => return Err(error),
    };
    let found = match found {
        Err(Error::Initramfs { source, .. }) => broken(&source),
        found => found?,
    };
    Ok(match found {
        Found::Fine(what, is_system) => (Hop::reached(KIND, path, what), is_system),
        Found::Blocked(what, why) => (Hop::blocked(KIND, path, what, why), true),
        Found::Unknown(what, why) => (Hop::unknown(KIND, path, what, why), true),
    })
}

/// An image that does not unpack stops the boot; one that is only not understood here may not.
fn broken(source: &ImageError) -> Found {
    let (what, why) = ("an initramfs".to_owned(), chain(source));
    match source {
        ImageError::Malformed { .. } | ImageError::Decompress { .. } => Found::Blocked(what, why),
        _ => Found::Unknown(what, why),
    }
}

fn judge(guest: &Guest<'_>, entry: &MenuEntry, kernel: &Kernel, archive: &Archive<'_>) -> Result<Found> {
    if let Some(segment) = archive.segments().iter().find(|segment| !segment.complete) {
        let why = format!("it is cut short: the archive at offset {:#x} has no end", segment.offset);
        return Ok(Found::Blocked("an initramfs".into(), why));
    }
    if !archive.has_init() {
        let only = archive.segments().iter().all(|segment| segment.is_microcode());
        let what = if only { "microcode" } else { "files without an /init" };
        return Ok(Found::Fine(what.into(), false));
    }
    let generator = archive.generator();
    let what = format!("{generator} for {}", kernel.release);
    let cmdline = whole_cmdline(archive, &entry.cmdline)?;
    let volumes = waits::before_init(guest, generator)?;
    let image = Image { guest, kernel, archive, generator, cmdline, volumes };
    let blocked = |why| Ok(Found::Blocked(what.clone(), why));
    if let Some(why) = image.no_init()? {
        return blocked(why);
    }
    if let Some(why) = image.asks() {
        return blocked(why);
    }
    if generator == Generator::InitramfsTools {
        match scripts::fault(archive, &image.cmdline)? {
            Some(Loading::Never(why)) => return blocked(why),
            Some(Loading::NotKnown(why)) => return Ok(Found::Unknown(what, why)),
            None => {}
        }
    }
    let needed = image.needed()?;
    if let Some(why) = needed.lacking {
        return blocked(why);
    }
    if let Some(why) = waits::in_initramfs(guest, archive, &image.cmdline)? {
        return blocked(why);
    }
    if let Some(volume) = image.volumes.iter().find(|volume| matches!(volume.device, Device::Logical(_))) {
        if !["sbin/lvm", "usr/sbin/lvm"].iter().any(|path| archive.find(path).is_some()) {
            let point = volume.mounted_at.as_deref().filter(|point| *point != "/").unwrap_or("the root");
            return blocked(format!("it has no lvm, and {point} is a logical volume"));
        }
        if let Some(why) =
            initramfs_lvm::faults(archive, guest.view.machine()).map_err(failed)?.into_iter().next()
        {
            return blocked(why);
        }
    }
    match image.not_loaded(&needed.modules)? {
        None => Ok(Found::Fine(what, true)),
        Some(Loading::Never(why)) => blocked(why),
        Some(Loading::NotKnown(why)) => Ok(Found::Unknown(what, why)),
    }
}

fn failed(source: ImageError) -> Error {
    Error::Initramfs { path: String::new(), source: source.into() }
}

/// An image with an `/init`.
struct Image<'a> {
    guest: &'a Guest<'a>,
    kernel: &'a Kernel,
    archive: &'a Archive<'a>,
    generator: Generator,
    /// That of the entry and, before it, what the image itself adds.
    cmdline: String,
    /// What is mounted before init is started.
    volumes: Vec<&'a Volume>,
}

impl Image<'_> {
    /// Why the kernel cannot run its first program.
    fn no_init(&self) -> Result<Option<String>> {
        let named = cmdline::values(&self.cmdline, "rdinit").pop().unwrap_or("/init");
        let Some(init) = self.archive.find(named.trim_start_matches('/')) else {
            return Ok(Some(format!("its {named} is not there, or leads to nothing")));
        };
        if init.entry.mode & 0o111 == 0 {
            return Ok(Some(format!("its {named} cannot be executed")));
        }
        let content = init.data().map_err(failed)?;
        if content.is_empty() {
            return Ok(Some(format!("its {named} is empty")));
        }
        let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Some(line) = first.strip_prefix(b"#!") else { return Ok(None) };
        let line = bytes::decode(line);
        let program = line.split_whitespace().next().unwrap_or_default();
        let is_there = self.archive.find(program.trim_start_matches('/')).is_some();
        Ok((!is_there).then(|| format!("{program}, which runs its {named}, is not in it")))
    }

    /// What on the command line makes it stop in a shell.
    fn asks(&self) -> Option<String> {
        let is_dracut = self.generator == Generator::Dracut;
        let asks = |token: &&str| {
            let (key, value) =
                token.split_once('=').map_or((*token, None), |(key, value)| (key, Some(value)));
            match key {
                "break" => !is_dracut,
                "rdinit" => value.is_some_and(is_shell),
                "rd.break" | "rdbreak" => is_dracut,
                "rd.emergency" | "rd.rescue" => is_dracut && value.is_none(),
                "rd.systemd.unit" => is_dracut && value != Some("initrd.target"),
                _ => false,
            }
        };
        let token = cmdline::tokens(&self.cmdline).find(asks)?;
        Some(format!("{token} on the command line makes it stop and ask"))
    }
}

/// modprobe's configuration in it: the files that are in force, and their texts.
pub(crate) fn modprobe_files(archive: &Archive<'_>) -> Result<Vec<(String, String)>> {
    let found = texts(archive, modprobe::is_config)?;
    let in_force = modprobe::in_force(found.iter().map(|(path, _)| path.clone()).collect());
    Ok(found.into_iter().filter(|(path, _)| in_force.contains(path)).collect())
}

/// The command line as dracut puts it together: what the image adds comes first.
fn whole_cmdline(archive: &Archive<'_>, given: &str) -> Result<String> {
    let is_part =
        |path: &str| path == "etc/cmdline" || (path.starts_with("etc/cmdline.d/") && path.ends_with(".conf"));
    let parts: Vec<String> = texts(archive, is_part)?.into_iter().map(|(_, text)| text).collect();
    Ok(format!("{} {given}", parts.join(" ")))
}

/// The text files whose path this takes, each as the kernel unpacks it, in the order of their paths.
pub(crate) fn texts(archive: &Archive<'_>, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, String)>> {
    let entries = archive.segments().iter().flat_map(|segment| &segment.entries);
    let paths: BTreeSet<&str> =
        entries.map(|entry| entry.path.as_str()).filter(|path| wanted(path)).collect();
    if paths.len() > TEXTS {
        return Err(failed(ImageError::TooLarge { what: "configuration files", limit: TEXTS as u64 }));
    }
    archive.load(paths.iter().copied()).map_err(failed)?;
    let mut out = Vec::new();
    for path in paths {
        let Some(file) = archive.find(path).filter(|file| file.entry.kind == initramfs::Kind::File) else {
            continue;
        };
        out.push((path.to_owned(), bytes::decode(file.data().map_err(failed)?)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use libdisk::volume::lvm2::LogicalVolume;

    use super::super::look::look;
    use super::super::testing::{INITRD, RELEASE, debian, entry, initramfs_files, lines, pack, stops};
    use super::*;
    use crate::device::Logical;
    use crate::facts::SignatureKind;
    use crate::rules::testing::{BOOT_UUID, Bench, ROOT_UUID, empty_initramfs, grub_cfg};

    fn hops(bench: &Bench) -> Vec<Hop> {
        let entry = entry(bench);
        bench.guest(|guest| look(guest, KIND, |guest| initramfs(guest, &entry)).unwrap())
    }

    /// The one hop that is not reached, of a guest whose initramfs was changed.
    fn stop(change: impl FnOnce(&mut Vec<(String, String)>)) -> String {
        let mut files = initramfs_files();
        change(&mut files);
        let stops = stops(hops(&debian().file(INITRD, pack(&files))));
        assert!(stops.len() == 1, "{stops:?}");
        stops[0].clone()
    }

    fn add(path: &str, text: &str) -> impl FnOnce(&mut Vec<(String, String)>) {
        let file = (path.to_owned(), text.to_owned());
        move |files| files.push(file)
    }

    fn without(part: &str) -> impl FnOnce(&mut Vec<(String, String)>) {
        move |files| files.retain(|(path, _)| !path.contains(part))
    }

    fn with_arguments(arguments: &str) -> Bench {
        debian().file("/boot/grub/grub.cfg", grub_cfg(&format!("UUID={ROOT_UUID}"), arguments))
    }

    #[test]
    fn one_with_all_it_needs_is_reached() {
        assert_eq!(lines(&hops(&debian())), [format!("Initramfs {INITRD}: initramfs-tools for {RELEASE}")]);
    }

    #[test]
    fn one_in_a_unified_image_is_judged_as_any_other() {
        let with = |files: &[(String, String)]| {
            let sections: &[(&str, &[u8])] =
                &[(".linux", &crate::kernel_image::testing::bz_image(RELEASE)), (".initrd", &pack(files))];
            let bench = debian().file(super::super::testing::KERNEL, crate::pe::testing::image(sections));
            let entry = MenuEntry { initrds: Vec::new(), ..entry(&bench) };
            stops(bench.guest(|guest| look(guest, KIND, |guest| initramfs(guest, &entry)).unwrap()))
        };
        assert_eq!(with(&initramfs_files()), [""; 0]);
        let mut files = initramfs_files();
        without("hv_vmbus")(&mut files);
        assert!(with(&files)[0].ends_with("it lacks hv_vmbus"));
    }

    #[test]
    fn one_that_is_not_whole_stops_the_boot() {
        let whole = pack(&initramfs_files());
        let at = whole.windows(10).position(|name| name == b"TRAILER!!!").unwrap() - 110;
        for (bench, why) in [
            (debian().without(INITRD), "there is no such file"),
            (debian().file(INITRD, ""), "it is empty"),
            (debian().folder(INITRD), "it is no regular file"),
            (debian().file(INITRD, &whole[..at]), "it is cut short: the archive at offset 0x0 has no end"),
            (debian().file(INITRD, &whole[..at - 200]), "corrupt cpio record"),
            (debian().file(INITRD, empty_initramfs()), "it has no /init"),
        ] {
            let stops = stops(hops(&bench));
            assert!(stops.len() == 1 && stops[0].contains(&format!("blocked: {why}")), "{why}: {stops:?}");
        }
        let other = stops(hops(&debian().file(INITRD, "no initramfs")));
        assert!(
            other[0].contains("unknown: offset 0x0 of the initramfs holds an unknown format"),
            "{other:?}"
        );
    }

    #[test]
    fn drivers_must_be_there_found_and_allowed() {
        assert!(stop(without("hv_storvsc")).ends_with("blocked: it lacks hv_storvsc"));
        assert!(stop(without("ext4")).ends_with("blocked: it lacks ext4"));
        assert!(stop(without("modules.dep")).ends_with("it lacks hv_vmbus, hv_storvsc, sd_mod, ext4"));
        assert!(stop(without("modules.alias")).ends_with("blocked: nothing in it loads hv_vmbus"));
        assert!(stop(without("udevd")).ends_with("blocked: nothing in it loads hv_vmbus"));
        let denied = add("etc/modprobe.d/x.conf", "# x\ninstall hv_storvsc /bin/true\n");
        assert!(stop(denied).ends_with("its etc/modprobe.d/x.conf:2 keeps hv_storvsc from being loaded"));
        for key in ["module_blacklist", "modprobe.blacklist", "blacklist"] {
            let stops = stops(hops(&with_arguments(&format!("{key}=nouveau,hv-vmbus"))));
            assert!(stops[0].contains("on the command line keeps hv_vmbus from being loaded"), "{stops:?}");
        }
        assert_eq!(stops(hops(&with_arguments("rd.driver.blacklist=hv_vmbus"))), [""; 0], "a word of dracut");
        // its scripts call modprobe -b
        let listed = |files: &mut Vec<(String, String)>| {
            add("etc/modprobe.d/x.conf", "blacklist hv_storvsc\n")(files);
            add("conf/modules", "hv_storvsc\n")(files);
        };
        assert!(stop(listed).ends_with("its etc/modprobe.d/x.conf:1 keeps hv_storvsc from being loaded"));
    }

    /// A Debian with an image of dracut, the disk's driver of which needs the bus, and this in it.
    fn dracut(more: &[(&str, &str)], arguments: &str) -> Vec<String> {
        let mut files = initramfs_files();
        files.retain(|(path, _)| !path.starts_with("conf/"));
        files.push(("usr/lib/dracut/modules.txt".into(), "bash\n".into()));
        let dep = files.iter_mut().find(|(path, _)| path.ends_with("modules.dep")).unwrap();
        let disk = "kernel/drivers/scsi/hv_storvsc.ko:";
        dep.1 = dep.1.replace(disk, &format!("{disk} kernel/drivers/hv/hv_vmbus.ko"));
        files.extend(more.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        let cfg = grub_cfg(&format!("UUID={ROOT_UUID}"), arguments);
        stops(hops(&debian().file(INITRD, pack(&files)).file("/boot/grub/grub.cfg", cfg)))
    }

    #[test]
    fn what_is_loaded_by_its_name_or_for_another_is_so_in_spite_of_a_blacklist() {
        const CONF: &str = "etc/modprobe.d/x.conf";
        const PRE: (&str, &str) = ("etc/cmdline.d/20.conf", "rd.driver.pre=hv_storvsc\n");
        for (text, arguments, keeps) in [
            ("blacklist hv_storvsc\n", "", "its etc/modprobe.d/x.conf:1 keeps hv_storvsc"),
            ("blacklist hv_vmbus\n", "", "its etc/modprobe.d/x.conf:1 keeps hv_vmbus"),
            ("", "modprobe.blacklist=hv_storvsc", "modprobe.blacklist=hv_storvsc on the command line keeps"),
            (
                "",
                "rd.driver.blacklist=hv_storvsc",
                "rd.driver.blacklist=hv_storvsc on the command line keeps",
            ),
        ] {
            let by_device = dracut(&[(CONF, text)], arguments);
            assert!(by_device.len() == 1 && by_device[0].contains(keeps), "{by_device:?}");
            assert_eq!(dracut(&[(CONF, text), PRE], arguments), [""; 0], "{text}{arguments}");
            let other = ("etc/cmdline.d/20.conf", "rd.driver.pre=floppy\n");
            assert_eq!(dracut(&[(CONF, text), other], arguments).len(), 1, "{text}{arguments}");
            let heeds = ("etc/modules-load.d/x.conf", "hv_storvsc\n");
            let pulled = text.contains("vmbus");
            assert_eq!(dracut(&[(CONF, text), heeds], arguments).is_empty(), pulled, "{text}{arguments}");
        }
        assert_eq!(dracut(&[], "blacklist=hv_storvsc"), [""; 0], "dracut does not know it");
        for (text, arguments, keeps) in [
            ("install hv_storvsc /bin/false\n", "", "keeps hv_storvsc from"),
            ("install hv_vmbus /bin/true\n", "", "keeps hv_vmbus from"),
            ("", "module_blacklist=hv_storvsc", "keeps hv_storvsc from"),
            ("", "module_blacklist=hv_vmbus", "keeps hv_vmbus from"),
        ] {
            let found = dracut(&[(CONF, text), PRE], arguments);
            assert!(found.len() == 1 && found[0].contains(keeps), "{text}{arguments}: {found:?}");
        }
    }

    #[test]
    fn what_a_driver_needs_is_not_forbidden_either() {
        let mut files = initramfs_files();
        let dir = format!("lib/modules/{RELEASE}");
        let dep = files.iter_mut().find(|(path, _)| path.ends_with("modules.dep")).unwrap();
        let disk = "kernel/drivers/scsi/hv_storvsc.ko:";
        dep.1 = dep.1.replace(disk, &format!("{disk} kernel/x/scsi_transport_fc.ko"));
        dep.1.push_str("kernel/x/scsi_transport_fc.ko:\n");
        files.push((format!("{dir}/kernel/x/scsi_transport_fc.ko"), "module".into()));
        let with = |text: &str| {
            let mut files = files.clone();
            add("etc/modprobe.d/x.conf", text)(&mut files);
            stops(hops(&debian().file(INITRD, pack(&files))))
        };
        assert_eq!(with("blacklist scsi_transport_fc\n"), [""; 0], "it comes for the other");
        assert!(with("install scsi_transport_fc /bin/true\n")[0].contains("keeps scsi_transport_fc from"));
    }

    /// A Debian whose /usr, with init in it, is a volume of its own of this kind.
    fn with_usr(kind: SignatureKind) -> Bench {
        debian()
            .without("/sbin/init")
            .link("/sbin/init", "../usr/lib/systemd/systemd")
            .program("/usr/lib/systemd/systemd", "program")
            .machine(|machine| {
                machine.volumes[1].kind = Some(kind);
                machine.volumes[1].mounted_at = Some("/usr".into());
            })
    }

    #[test]
    fn what_comes_before_init_has_its_drivers() {
        assert_eq!(stops(hops(&with_usr(SignatureKind::Ext3))), [""; 0]);
        assert!(stops(hops(&with_usr(SignatureKind::Xfs)))[0].ends_with("blocked: it lacks xfs"));
        let later =
            with_usr(SignatureKind::Xfs).without("/sbin/init").link("/sbin/init", "../lib/systemd/systemd");
        assert_eq!(stops(hops(&later)), [""; 0], "init mounts it");
        let logical = with_usr(SignatureKind::Ext4).machine(|machine| {
            let (name, uuid) = ("vg0/usr".to_owned(), String::new());
            let logical = LogicalVolume { name, uuid, size: 1, map: Err("thin".into()), known: None };
            machine.volumes[1].device = Device::Logical(Logical::new(&logical));
        });
        assert!(stops(hops(&logical))[0].ends_with("it lacks dm_mod"));
        // systemd in dracut's image mounts what fstab says
        let dracut = |options: &str| {
            let mut files = initramfs_files();
            files.retain(|(path, _)| !path.starts_with("conf/"));
            files.push(("usr/lib/dracut/modules.txt".into(), "bash\n".into()));
            let fstab =
                format!("UUID={ROOT_UUID} / ext4 defaults 0 1\nUUID={BOOT_UUID} /srv xfs {options} 0 2\n");
            let bench = debian().file(INITRD, pack(&files)).file("/etc/fstab", fstab);
            stops(hops(&bench.machine(|machine| machine.volumes[1].kind = Some(SignatureKind::Xfs))))
        };
        assert!(dracut("x-initrd.mount")[0].ends_with("blocked: it lacks xfs"));
        assert_eq!(dracut("defaults"), [""; 0]);
        assert_eq!(dracut("nofail,x-initrd.mount"), [""; 0]);
    }

    #[test]
    fn a_file_system_that_asks_for_a_checksum_has_one() {
        let softdep = |files: &mut Vec<(String, String)>| {
            let dir = format!("lib/modules/{RELEASE}");
            files.push((format!("{dir}/modules.softdep"), "# x\nsoftdep ext4 pre: crypto-crc32c\n".into()));
        };
        let lacks = "blocked: it lacks crc32c_generic, without which ext4 mounts nothing";
        assert!(stop(softdep).ends_with(lacks));
        let with = |name: &'static str| {
            move |files: &mut Vec<(String, String)>| {
                softdep(files);
                let path = format!("kernel/crypto/{name}.ko");
                let dep = files.iter_mut().find(|(path, _)| path.ends_with("modules.dep")).unwrap();
                dep.1.push_str(&format!("{path}:\n"));
                files.push((format!("lib/modules/{RELEASE}/{path}"), "module".into()));
            }
        };
        for name in ["crc32c_generic", "crc32c-intel"] {
            let mut files = initramfs_files();
            with(name)(&mut files);
            assert_eq!(stops(hops(&debian().file(INITRD, pack(&files)))), [""; 0], "{name}");
        }
    }

    #[test]
    fn one_of_no_known_framework_is_not_judged() {
        assert!(stop(without("conf/")).contains("unknown: it was made by an unknown generator"));
    }

    #[test]
    fn it_is_told_to_start_from_a_disk_and_runs_what_it_lists() {
        assert!(
            stop(add("conf/conf.d/x", "BOOT=nfs\n")).ends_with("blocked: BOOT=nfs: its root is on a server")
        );
        assert!(
            stop(add("conf/conf.d/x", "BOOT=casper\n")).contains("unknown: what it does with BOOT=casper")
        );
        assert!(
            stop(add("conf/conf.d/x", "# x\nexit 1\n")).ends_with("conf/conf.d/x does is not known: exit 1")
        );
        let order = "/scripts/local-top/x \"$@\"\n[ -e /conf/param.conf ] && . /conf/param.conf\n";
        let absent = stop(add("scripts/local-top/ORDER", order));
        assert!(
            absent.contains("unknown: its scripts/local-top/ORDER runs scripts/local-top/x, which"),
            "{absent}"
        );
        let with = |text: &str| {
            let mut files = initramfs_files();
            add("scripts/local-top/ORDER", order)(&mut files);
            files.push(("scripts/local-top/x".into(), text.into()));
            files.push(("conf/conf.d/resume".into(), "RESUME=none\n".into()));
            stops(hops(&debian().file(INITRD, pack(&files))))
        };
        assert_eq!(with("#!/bin/sh\n# no reboot\necho reboot\n"), [""; 0]);
        assert!(with("#!/bin/sh\nif true; then /sbin/reboot -f; fi\n")[0].contains("may end the machine"));
    }

    #[test]
    fn its_first_program_must_run() {
        assert!(stop(without("bin/sh")).ends_with("/bin/sh, which runs its /init, is not in it"));
        for token in ["break", "break=bottom", "rdinit=/bin/bash", "rdinit=/bin/sh"] {
            let stops = stops(hops(&with_arguments(token)));
            assert_eq!(stops.len(), 1, "{token}: {stops:?}");
        }
        assert_eq!(stops(hops(&with_arguments("rd.break"))), [""; 0], "a word of dracut");
    }

    #[test]
    fn what_it_waits_for_must_come() {
        let dracut = |path: &'static str, text: &'static str| {
            stop(move |files| {
                files.retain(|(path, _)| !path.starts_with("conf/"));
                files.push(("usr/lib/dracut/modules.txt".into(), "bash\n".into()));
                files.push((path.into(), text.into()));
            })
        };
        let hook = "usr/lib/dracut/hooks/initqueue/finished/devexists-x.sh";
        assert!(dracut(hook, "[ -e \"/dev/xvda1\" ]\n").contains("is a name that p1 has only on EC2"));
        assert!(dracut(hook, "[ -e \"/dev/disk/by-uuid/dead-beef\" ]\n").contains("is not on this machine"));
        assert!(
            dracut("etc/cmdline.d/90.conf", "rd.lvm.lv=rhel/root")
                .contains("a logical volume that is not on")
        );
        assert!(dracut("etc/cmdline.d/90.conf", "rd.break").contains("makes it stop and ask"));
        assert!(dracut("etc/fstab", "/dev/xvdf /x ext4 defaults 0 0\n").contains("its etc/fstab waits"));
    }

    #[test]
    fn a_kernel_without_an_initramfs_has_its_drivers_in_it_and_its_root_by_partuuid() {
        let cfg = |root: &str| {
            let lines = grub_cfg(root, "");
            lines
                .lines()
                .filter(|line| !line.contains("initrd"))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        let built_in = "kernel/drivers/hv/hv_vmbus.ko\nkernel/drivers/scsi/hv_storvsc.ko\nkernel/drivers/scsi/sd_mod.ko\nkernel/fs/ext4/ext4.ko\n";
        let bench = debian().file("/boot/grub/grub.cfg", cfg("PARTUUID=1ec2a517-01"));
        let all = bench.clone().file(&format!("/lib/modules/{RELEASE}/modules.builtin"), built_in);
        assert_eq!(stops(hops(&all)), [""; 0]);
        assert!(
            stops(hops(&bench))[0]
                .ends_with("the kernel has hv_vmbus, hv_storvsc, sd_mod, ext4 not built in")
        );
        let usr = all.clone().without("/sbin/init").link("/sbin/init", "../usr/lib/systemd/systemd").machine(
            |machine| {
                machine.volumes[1].mounted_at = Some("/usr".into());
            },
        );
        let usr = usr.program("/usr/lib/systemd/systemd", "program");
        assert!(stops(hops(&usr))[0].contains("mounts the root alone, and init is in /usr, which is p2"));
        let by_uuid = all.file("/boot/grub/grub.cfg", cfg(&format!("UUID={ROOT_UUID}")));
        assert!(stops(hops(&by_uuid))[0].contains("a kernel by itself does not find root=UUID="));
    }
}

//! The first program of the system: there, to be executed, whole, with its interpreter and all libraries.

use super::look::regular;
use super::{Hop, HopKind, MenuEntry, folders, selinux, sysctl};
use crate::programs::{SHELLS, cannot_start};
use crate::text::cmdline;
use crate::{Guest, Result};

const KIND: HopKind = HopKind::Init;
/// What is started unless the command line names another.
const INIT: &str = "/sbin/init";
/// By this services know the machine (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";

/// Whether what is to be the first program is a shell, or asks for a password and starts one.
pub(super) fn is_shell(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    SHELLS.contains(&name) || name == "sulogin"
}

/// The hop of the first program.
pub(super) fn init(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Vec<Hop>> {
    let named = entry.and_then(|entry| cmdline::values(&entry.cmdline, "init").pop());
    let path = named.unwrap_or(INIT);
    if let (Some(entry), true) = (entry, is_shell(path)) {
        let why = format!("init={path} on the command line starts a shell, and no system");
        return Ok(vec![Hop::blocked(KIND, &entry.place, path, why)]);
    }
    let Some(found) = guest.view.resolve(path)? else {
        let why = match guest.view.read_link(path)? {
            Some(target) => format!("it leads to {target}, which is not there"),
            None => "there is no such file".to_owned(),
        };
        return Ok(vec![Hop::blocked(KIND, path, "no init", why)]);
    };
    if let Some((folder, why)) = folders::fault(guest.view)? {
        return Ok(vec![Hop::blocked(KIND, folder, found, why)]);
    }
    if let Some((place, why)) = selinux::without_policy(guest, entry)? {
        return Ok(vec![Hop::blocked(KIND, place, found, why)]);
    }
    if let Some(place) = sysctl::no_modules(guest.view)? {
        let why = "no module is loaded behind it, and which ones were by then is chance";
        return Ok(vec![Hop::unknown(KIND, place, found, why)]);
    }
    // The services of systemd ask for it by its name: where there is none, or nothing in it, one is made. What
    // else is in a file, and how much, stops none of them.
    let content = match regular(guest.view, MACHINE_ID)? {
        Ok(_) => guest.view.start(MACHINE_ID, 64)?.map(drop),
        Err(_) => guest.view.read(MACHINE_ID)?.map(drop),
    };
    if content.is_none()
        && let Some(target) = guest.view.read_link(MACHINE_ID)?
    {
        let why = format!("it leads to {target}, which is not there");
        return Ok(vec![Hop::unknown(KIND, MACHINE_ID, found, why)]);
    }
    let arch = guest.facts.os.as_ref().and_then(|os| os.arch);
    Ok(vec![match cannot_start(guest.view, &found, arch)? {
        None => Hop::reached(KIND, path, found),
        Some(why) => Hop::blocked(KIND, path, found, why),
    }])
}

#[cfg(test)]
mod tests {
    use super::super::look::look;
    use super::super::testing::{debian, entry, lines, stops};
    use super::*;
    use crate::elf::testing::{library, library_named, program};
    use crate::rules::testing::{Bench, ROOT_UUID, grub_cfg};

    const SYSTEMD: &str = "/lib/systemd/systemd";
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
    const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

    fn hops(bench: &Bench) -> Vec<Hop> {
        let entry = entry(bench);
        bench.guest(|guest| look(guest, KIND, |guest| init(guest, Some(&entry))).unwrap())
    }

    #[test]
    fn an_init_with_its_loader_and_libraries_is_reached() {
        assert_eq!(lines(&hops(&debian())), [format!("Init /sbin/init: {SYSTEMD}")]);
        let script = debian()
            .without("/sbin/init")
            .program("/sbin/init", "#! /bin/sh -e\n")
            .program("/bin/sh", library(&[]));
        assert_eq!(stops(hops(&script)), [""; 0]);
    }

    #[test]
    fn each_thing_that_is_missing_or_damaged_stops_the_boot() {
        let file = program(LOADER, &["libc.so.6"], "");
        for (bench, why) in [
            (debian().without("/sbin/init"), "there is no such file"),
            (debian().without(SYSTEMD), "it leads to ../lib/systemd/systemd, which is not there"),
            (debian().program(SYSTEMD, ""), "is empty"),
            (debian().program(SYSTEMD, &file[..100]), "is cut short"),
            (debian().without(LOADER), "which loads /lib/systemd/systemd, is no regular file"),
            (debian().program(LOADER, ""), "is empty"),
            (
                debian().program(LOADER, &file),
                "which loads /lib/systemd/systemd, is a program, and no loader",
            ),
            (
                debian().program(LIBC, &file),
                "libc.so.6, which /lib/systemd/systemd needs, is a program, and no",
            ),
            (
                debian().program(LIBC, library_named("libm.so.6", &[])),
                "libc.so.6, which /lib/systemd/systemd needs, is libm.so.6",
            ),
            (debian().without(LIBC), "libc.so.6, which /lib/systemd/systemd needs, is not there"),
            (
                debian().program(LIBC, &library(&[])[..80]),
                "libc.so.6, which /lib/systemd/systemd needs, is cut short",
            ),
            (
                debian().program(LIBC, library(&["libm.so.6"])),
                "libm.so.6, which /lib/x86_64-linux-gnu/libc.so.6 needs",
            ),
            (debian().without(SYSTEMD).file(SYSTEMD, &file), "cannot be executed: its mode is 0644"),
        ] {
            let stops = stops(hops(&bench));
            assert!(stops.len() == 1 && stops[0].contains(why), "{why}: {stops:?}");
        }
    }

    #[test]
    fn libraries_are_looked_for_where_the_program_and_the_system_say() {
        let own = program(LOADER, &["libx.so"], "$ORIGIN/own");
        let bench = debian().program(SYSTEMD, own);
        assert!(stops(hops(&bench))[0].contains("libx.so"));
        let beside = bench.clone().program("/lib/systemd/own/libx.so", library(&[]));
        assert_eq!(stops(hops(&beside)), [""; 0]);
        let newer = bench.clone().program("/lib/systemd/own/libx.so", library_named("libx.so.4", &[]));
        assert_eq!(stops(hops(&newer)), [""; 0]);
        let configured = bench
            .file("/etc/ld.so.conf.d/x.conf", "# x\n/opt/x/lib\n")
            .program("/opt/x/lib/libx.so", library(&[]));
        assert_eq!(stops(hops(&configured)), [""; 0]);
    }

    #[test]
    fn what_the_kernel_and_selinux_need_is_there() {
        let found = stops(hops(&debian().without("/proc")));
        assert!(found[0].starts_with("Init /proc blocked: there is no such folder"), "{found:?}");
        assert!(stops(hops(&debian().without("/run")))[0].contains("Init /run blocked: there is no such"));
        let closed = debian().mode("/etc", 0o700);
        assert!(stops(hops(&closed))[0].contains("Init /etc blocked: its mode 0700 keeps services out"));
        let enforcing = || debian().file("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n");
        assert!(stops(hops(&enforcing()))[0].ends_with("SELinux is to be enforced, and there is no policy"));
        let policy = "/etc/selinux/targeted/policy/policy.33";
        assert_eq!(stops(hops(&enforcing().file(policy, "policy"))), [""; 0]);
        assert_eq!(stops(hops(&enforcing().file(policy, ""))).len(), 1);
        let off =
            enforcing().file("/boot/grub/grub.cfg", grub_cfg(&format!("UUID={ROOT_UUID}"), "enforcing=0"));
        assert_eq!(stops(hops(&off)), [""; 0]);
        let config = |lsm: &str| {
            let text = format!("CONFIG_SECURITY_SELINUX=y\nCONFIG_LSM=\"{lsm}\"\n");
            enforcing().file("/boot/config-6.1.0-50-amd64", text)
        };
        assert_eq!(stops(hops(&config("landlock,yama,apparmor,selinux"))), [""; 0], "AppArmor comes first");
        assert_eq!(stops(hops(&config("yama,selinux,apparmor"))).len(), 1);
        for arguments in ["security=selinux selinux=1 enforcing=1", "lsm=yama,selinux"] {
            let cfg = grub_cfg(&format!("UUID={ROOT_UUID}"), arguments);
            let asked = config("apparmor,selinux").file("/boot/grub/grub.cfg", cfg);
            assert_eq!(stops(hops(&asked)).len(), 1, "{arguments}");
        }
    }

    #[test]
    fn modules_can_be_loaded() {
        let with = |line: &str| stops(hops(&debian().file("/etc/sysctl.d/x.conf", format!("# x\n{line}\n"))));
        for line in ["kernel.modules_disabled=1", "-kernel/modules_disabled = 1"] {
            let found = with(line);
            assert!(
                found.len() == 1 && found[0].contains("/etc/sysctl.d/x.conf:2 unknown: no module"),
                "{found:?}"
            );
        }
        assert_eq!(with("kernel.modules_disabled=0"), [""; 0]);
    }

    #[test]
    fn a_machine_id_is_made_unless_it_cannot_be_read() {
        for text in ["", "uninitialized\n", "0123456789abcdef0123456789abcdef\n", &"x".repeat(9 << 20)] {
            assert_eq!(stops(hops(&debian().file(MACHINE_ID, text))), [""; 0], "{}", text.len());
        }
        for (bench, why) in [
            (debian().folder(MACHINE_ID), "unknown: is a directory"),
            (debian().link(MACHINE_ID, "/gone"), "unknown: it leads to /gone, which is not there"),
            (debian().link(MACHINE_ID, MACHINE_ID), "unknown: "),
        ] {
            let stops = stops(hops(&bench));
            assert!(stops.iter().any(|line| line.contains(why)), "{why}: {stops:?}");
        }
    }

    #[test]
    fn a_shell_is_no_system() {
        let asked =
            debian().file("/boot/grub/grub.cfg", grub_cfg(&format!("UUID={ROOT_UUID}"), "init=/bin/bash"));
        assert!(
            stops(hops(&asked))[0]
                .ends_with("init=/bin/bash on the command line starts a shell, and no system")
        );
    }
}

//! The first program of the system: there, to be executed, whole, with its interpreter and all libraries.

use std::collections::BTreeSet;

use libdisk::vfs::FileType;

use super::{Hop, HopKind, MenuEntry, packaged};
use crate::elf::Elf;
use crate::text::{bytes, cmdline, shell_assign};
use crate::{Guest, Result, View};

const KIND: HopKind = HopKind::Init;
/// What is started unless the command line names another.
const INIT: &str = "/sbin/init";
/// Where the kernel shows itself; they are mounted on the root before anything could make them.
const KERNELS_OWN: &[&str] = &["/dev", "/proc", "/sys"];
/// Programs that start no system.
const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "zsh", "sulogin"];
/// The most libraries of one program.
const LIBRARIES: usize = 512;
/// The most directories that ld.so is told to look in.
const CONFIGURED: usize = 256;
/// The most scripts that are run by scripts.
const SCRIPTS: usize = 4;

/// Where libraries are looked for if nothing else is said: those of glibc as distributions build it, and of
/// musl.
const DIRS: &[&str] = &["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"];

/// The hop of the first program.
pub(super) fn init(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Vec<Hop>> {
    let named = entry.and_then(|entry| cmdline::values(&entry.cmdline, "init").pop());
    let path = named.unwrap_or(INIT);
    let name = path.rsplit('/').next().unwrap_or(path);
    if let (Some(entry), true) = (entry, SHELLS.contains(&name)) {
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
    for folder in KERNELS_OWN {
        if !guest.view.stat(folder)?.is_some_and(|node| node.file_type == FileType::Directory) {
            let why = "there is no such folder, and nothing makes it before it is needed";
            return Ok(vec![Hop::blocked(KIND, *folder, found, why)]);
        }
    }
    if let Some((place, why)) = without_policy(guest, entry)? {
        return Ok(vec![Hop::blocked(KIND, place, found, why)]);
    }
    let arch = guest.facts.os.as_ref().and_then(|os| os.arch);
    Ok(vec![match cannot_start(guest.view, &found, arch)? {
        None => Hop::reached(KIND, path, found),
        Some(why) => Hop::blocked(KIND, path, found, why),
    }])
}

/// SELinux that is to be enforced without a policy: systemd stops there.
fn without_policy(guest: &Guest<'_>, entry: Option<&MenuEntry>) -> Result<Option<(String, String)>> {
    let arguments = entry.map_or("", |entry| entry.cmdline.as_str());
    let off = cmdline::tokens(arguments).any(|token| matches!(token, "selinux=0" | "enforcing=0"));
    if off || guest.facts.selinux.as_deref() != Some("enforcing") {
        return Ok(None);
    }
    let config = guest.view.text("/etc/selinux/config")?.unwrap_or_default();
    let name = shell_assign::get(&config, "SELINUXTYPE").unwrap_or("targeted");
    let dir = format!("/etc/selinux/{name}/policy");
    for file in guest.view.list(&dir)?.iter().filter(|file| file.starts_with("policy.")) {
        if guest.view.stat(&format!("{dir}/{file}"))?.is_some_and(|node| node.size > 0) {
            return Ok(None);
        }
    }
    Ok(Some((dir, "SELinux is to be enforced, and there is no policy".to_owned())))
}

/// Why a program of the guest cannot be started; `None` if all that it needs is there. `arch` is the machine
/// that the guest is for, if that is known.
pub(super) fn cannot_start(view: &dyn View, path: &str, arch: Option<&str>) -> Result<Option<String>> {
    let mut path = path.to_owned();
    for _ in 0..SCRIPTS {
        let Some(metadata) = view.stat(&path)? else { return Ok(Some(format!("{path} is not there"))) };
        if metadata.mode & 0o111 == 0 {
            return Ok(Some(format!("{path} cannot be executed: its mode is {:04o}", metadata.mode)));
        }
        let start = view.start(&path, 256)?.unwrap_or_default();
        let Some(line) = start.strip_prefix(b"#!") else { return program(view, &path, arch) };
        let line = bytes::decode(line.split(|byte| *byte == b'\n').next().unwrap_or_default());
        let Some(interpreter) = line.split_whitespace().next() else {
            return Ok(Some(format!("{path} is a script that names no program to run it")));
        };
        path = interpreter.to_owned();
    }
    Ok(Some(format!("{path} runs scripts of scripts of scripts")))
}

/// The same for a program that is no script.
fn program(view: &dyn View, path: &str, arch: Option<&str>) -> Result<Option<String>> {
    let main = match Elf::read(view, path)? {
        Ok(main) => main,
        Err(why) => return Ok(Some(format!("{path} {why}"))),
    };
    if let (Some(own), Some(arch)) = (main.arch, arch)
        && own != arch
        && (own, arch) != ("i386", "x86_64")
    {
        return Ok(Some(format!("{path} is a program for {own}, and the system is one for {arch}")));
    }
    if let Some(loader) = &main.interpreter {
        let why = match Elf::read(view, loader)? {
            Ok(elf) => elf.interpreter.map(|_| "is a program, and no loader".to_owned()),
            Err(why) => Some(why),
        };
        if let Some(why) = why {
            return Ok(Some(format!("{loader}, which loads {path}, {why}")));
        }
    }
    let configured = configured_dirs(view)?;
    let (mut seen, mut todo) = (BTreeSet::new(), vec![(path.to_owned(), main.clone())]);
    while let Some((user, elf)) = todo.pop() {
        let own = elf.run_paths.iter().map(|dir| with_origin(dir, &user));
        let dirs: Vec<String> =
            own.chain(configured.iter().cloned()).chain(default_dirs(main.arch)).collect();
        for name in &elf.needed {
            if !seen.insert(name.clone()) {
                continue;
            }
            if seen.len() > LIBRARIES {
                return Ok(Some(format!("{path} needs more than {LIBRARIES} libraries")));
            }
            match library(view, name, &dirs, main.arch)? {
                Ok((found, library)) => todo.push((found, library)),
                Err(why) => return Ok(Some(format!("{name}, which {user} needs, {why}"))),
            }
        }
    }
    packaged::differs(view, &view.resolve(path)?.unwrap_or_default())
}

/// The first library of this name for this machine, and where it is.
fn library(
    view: &dyn View,
    name: &str,
    dirs: &[String],
    arch: Option<&str>,
) -> Result<std::result::Result<(String, Elf), String>> {
    let mut why = "is not there".to_owned();
    let candidates: Vec<String> = match name.contains('/') {
        true => vec![name.to_owned()],
        false => dirs.iter().map(|dir| format!("{dir}/{name}")).collect(),
    };
    for candidate in candidates {
        let Some(found) = view.resolve(&candidate)? else { continue };
        match Elf::read(view, &found)? {
            Ok(elf) if elf.arch == arch => {
                if let Some(other) = is_another(&elf, name) {
                    why = format!("{other} ({found})");
                    break;
                }
                return Ok(Ok((found, elf)));
            }
            // that of another machine is passed over
            Ok(_) => {}
            Err(wrong) => {
                why = format!("{wrong} ({found})");
                break;
            }
        }
    }
    Ok(Err(why))
}

/// Why a file is not the library of this name: it is a program, or calls itself something else. Versions may
/// differ: packages leave links for programs that know an older one.
fn is_another(elf: &Elf, name: &str) -> Option<String> {
    let stem = |name: &str| name.split(".so").next().unwrap_or(name).to_owned();
    match &elf.name {
        Some(own) if !name.contains('/') && stem(own) != stem(name) => Some(format!("is {own}")),
        None if elf.interpreter.is_some() => Some("is a program, and no library".to_owned()),
        _ => None,
    }
}

fn with_origin(dir: &str, user: &str) -> String {
    let origin = user.rsplit_once('/').map_or("", |(dir, _)| dir);
    dir.replace("$ORIGIN", origin).replace("${ORIGIN}", origin)
}

fn default_dirs(arch: Option<&str>) -> Vec<String> {
    let multiarch = match arch {
        Some("aarch64") => "aarch64-linux-gnu",
        Some("i386") => "i386-linux-gnu",
        _ => "x86_64-linux-gnu",
    };
    let own = ["/lib", "/usr/lib"].map(|dir| format!("{dir}/{multiarch}"));
    own.into_iter().chain(DIRS.iter().map(|dir| (*dir).to_owned())).collect()
}

/// The directories of ld.so.conf and what it includes, and those of musl.
fn configured_dirs(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec!["/etc/ld.so.conf".to_owned()];
    files.extend(view.glob("/etc/ld.so.conf.d", ".conf")?);
    files.extend(view.glob("/etc", ".path")?.into_iter().filter(|path| path.starts_with("/etc/ld-musl-")));
    let mut dirs = Vec::new();
    for file in files {
        let text = view.text(&file)?.unwrap_or_default();
        let words = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words = words.flat_map(|line| line.split([':', ' ', '\t', ',']));
        let left = CONFIGURED.saturating_sub(dirs.len());
        dirs.extend(words.filter(|word| word.starts_with('/')).take(left).map(str::to_owned));
    }
    Ok(dirs)
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
        let enforcing = || debian().file("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n");
        assert!(stops(hops(&enforcing()))[0].ends_with("SELinux is to be enforced, and there is no policy"));
        let policy = "/etc/selinux/targeted/policy/policy.33";
        assert_eq!(stops(hops(&enforcing().file(policy, "policy"))), [""; 0]);
        assert_eq!(stops(hops(&enforcing().file(policy, ""))).len(), 1);
        let off =
            enforcing().file("/boot/grub/grub.cfg", grub_cfg(&format!("UUID={ROOT_UUID}"), "enforcing=0"));
        assert_eq!(stops(hops(&off)), [""; 0]);
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

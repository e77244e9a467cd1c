//! Programs that the guest has: where they are, and whether all is there that they need to start.

use std::collections::BTreeSet;

use crate::elf::{self, Elf};
use crate::text::bytes;
use crate::{Result, View, packaged};

/// Libraries of glibc: they need each other and the loader alone, which every program needs as well.
const GLIBC: [&str; 6] =
    ["libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2"];

/// Where they are.
const DIRS: [&str; 4] = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"];

/// Shells.
pub(crate) const SHELLS: &[&str] = &["ash", "bash", "dash", "ksh", "sh", "zsh"];

/// What runs as the first program.
const FIRST: [&str; 5] = ["busybox", "init", "systemd", "sysvinit", "upstart"];

/// The most libraries of one program.
const LIBRARIES: usize = 512;
/// The most directories that ld.so is told to look in.
const CONFIGURED: usize = 256;
/// The most scripts that are run by scripts.
const SCRIPTS: usize = 4;

/// Where libraries are looked for if nothing else is said: those of glibc as distributions build it, and of
/// musl.
const LIBRARY_DIRS: &[&str] = &["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"];

/// The path of a program, links resolved; `None` if it is not installed.
///
/// # Errors
/// If the guest cannot be read.
pub(crate) fn find(view: &dyn View, name: &str) -> Result<Option<String>> {
    for dir in DIRS {
        if let Some(path) = view.resolve(&format!("{dir}/{name}"))? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Why a program of the guest cannot be started; `None` if all that it needs is there. `arch` is the machine
/// that the guest is for, if that is known.
///
/// # Errors
/// If the guest cannot be read.
pub(crate) fn cannot_start(view: &dyn View, path: &str, arch: Option<&str>) -> Result<Option<String>> {
    let mut path = path.to_owned();
    for _ in 0..SCRIPTS {
        let Some(metadata) = view.stat(&path)? else { return Ok(Some(format!("{path} is not there"))) };
        if metadata.mode & 0o111 == 0 {
            return Ok(Some(format!("{path} cannot be executed: its mode is {:04o}", metadata.mode)));
        }
        let start = view.start(&path, 256)?.unwrap_or_default();
        let Some(line) = start.strip_prefix(b"#!") else {
            return cannot_load(view, &path, arch);
        };
        let line = bytes::decode(line.split(|byte| *byte == b'\n').next().unwrap_or_default());
        let Some(interpreter) = line.split_whitespace().next() else {
            return Ok(Some(format!("{path} is a script that names no program to run it")));
        };
        path = interpreter.to_owned();
    }
    Ok(Some(format!("{path} runs scripts of scripts of scripts")))
}

/// The same for what is no script, and for what another program loads: its mode does not count.
///
/// # Errors
/// If the guest cannot be read.
pub(crate) fn cannot_load(view: &dyn View, path: &str, arch: Option<&str>) -> Result<Option<String>> {
    // A snapshot's blocks are paid for: what other programs need is looked up for the first one alone.
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_known_by_its_head = view.machine().remote && !FIRST.contains(&name);
    let Some(memo) = view.memo() else { return unsound(view, path, arch, is_known_by_its_head) };
    // One that is started twice, or by two names, is judged once.
    let own = Judged {
        path: view.resolve(path)?.unwrap_or_else(|| path.to_owned()),
        arch: arch.map(str::to_owned),
        by_its_head: is_known_by_its_head,
    };
    if memo.is_sound(&own) {
        return Ok(None);
    }
    let noted = view.noted();
    let why = unsound(view, path, arch, is_known_by_its_head)?;
    // What could not be read meanwhile is to be told to the next who asks, too.
    if why.is_none() && view.noted() == noted {
        memo.sound(own);
    }
    Ok(why)
}

/// A program, and what it was judged for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Judged {
    /// Resolved.
    path: String,
    arch: Option<String>,
    by_its_head: bool,
}

/// Why a program or library cannot be loaded, looked up anew; `by_its_head` leaves out what it needs.
fn unsound(view: &dyn View, path: &str, arch: Option<&str>, by_its_head: bool) -> Result<Option<String>> {
    let main = if by_its_head { Elf::head(view, path)? } else { Elf::read(view, path)? };
    let main = match main {
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
        let why = match Elf::head(view, loader)? {
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
    if let Some(at) = elf::blank_code(view, path)? {
        return Ok(Some(format!("{path} is damaged: from byte {at} on its code is a page of zeros")));
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
        // A snapshot's blocks are paid for, and what these need is known.
        if view.machine().remote && GLIBC.contains(&name) {
            match Elf::head(view, &found)? {
                Ok(elf) if elf.arch == arch => return Ok(Ok((found, elf))),
                _ => {}
            }
        }
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
    own.into_iter().chain(LIBRARY_DIRS.iter().map(|dir| (*dir).to_owned())).collect()
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
    use super::*;
    use crate::Stage;
    use crate::elf::testing::{library, program};
    use crate::rules::testing::Bench;
    use crate::unread::Noting;

    /// udevadm, which two services start by two names.
    #[test]
    fn a_program_is_judged_once_and_a_wrong_one_each_time() {
        let needs = program("/lib64/ld-linux-x86-64.so.2", &["libc.so.6"], "");
        let bench = Bench::debian()
            .program("/lib64/ld-linux-x86-64.so.2", library(&[]))
            .program("/bin/udevadm", &needs)
            .link("/lib/systemd/systemd-udevd", "../../bin/udevadm");
        let names = ["/lib/systemd/systemd-udevd", "/bin/udevadm", "/bin/udevadm"];
        let judge = |bench: &Bench, arch: Option<&str>| {
            bench.guest(|guest| {
                let view = Noting::new(guest.view);
                let whys = names.map(|name| cannot_start(&view, name, arch).unwrap());
                (whys, view.memo().unwrap().programs())
            })
        };
        let (whys, sound) = judge(&bench, Some("x86_64"));
        assert!(whys.iter().all(|why| why.as_ref().is_some_and(|why| why.contains("libc.so.6"))), "{whys:?}");
        assert_eq!(sound, 0);
        let whole = bench.program("/lib/x86_64-linux-gnu/libc.so.6", library(&[]));
        assert_eq!(judge(&whole, Some("x86_64")), ([None, None, None], 1));
        let (whys, sound) = judge(&whole, Some("aarch64"));
        assert!(whys.iter().all(Option::is_some) && sound == 0, "{whys:?}");
    }

    #[test]
    fn a_program_is_judged_anew_when_a_library_goes() {
        let libc = "/lib/x86_64-linux-gnu/libc.so.6";
        let bench = Bench::debian()
            .program("/lib64/ld-linux-x86-64.so.2", library(&[]))
            .program("/bin/sh", program("/lib64/ld-linux-x86-64.so.2", &["libc.so.6"], ""))
            .program(libc, library(&[]));
        bench.stage(|stage| {
            let why =
                |stage: &mut Stage<'_>| cannot_start(stage.guest().unwrap().view, "/bin/sh", None).unwrap();
            assert_eq!(why(stage), None);
            let before = stage.checkpoint();
            stage.put("/etc/fstab", "").unwrap();
            assert_eq!(
                stage.guest().unwrap().view.memo().unwrap().programs(),
                1,
                "fstab is no part of a program"
            );
            stage.remove(libc).unwrap();
            assert!(why(stage).is_some_and(|why| why.contains("libc.so.6")));
            stage.roll_back(before);
            assert_eq!(why(stage), None);
        });
    }
}

//! The operating system: os-release, or what came before it, and the machine its programs are for.

use super::windows;
use crate::facts::{Family, Os, OsKind};
use crate::text::{ini, shell_assign};
use crate::unread::Noting;
use crate::{Result, View};

/// Programs that some distribution has; the walk looks at the first one, too.
const PROGRAMS: &[&str] =
    &["/bin/sh", "/bin/true", "/usr/bin/env", "/bin/busybox", "/usr/lib/systemd/systemd", "/sbin/init"];

/// What the kernel starts; no data disk has it.
const INIT: &str = "/sbin/init";

/// The operating system, if the root holds one.
///
/// # Errors
/// If the guest cannot be read.
pub fn os(view: &dyn View) -> Result<Option<Os>> {
    let text = match view.text("/etc/os-release")? {
        Some(text) => Some(text),
        None => view.text("/usr/lib/os-release")?,
    };
    let Some(text) = text else {
        if windows::is(view)? {
            return windows::os(&Noting::new(view)).map(Some);
        }
        return before_os_release(view);
    };
    let get = |key| shell_assign::get(&text, key).filter(|value| !value.is_empty()).map(str::to_owned);
    let id = get("ID").unwrap_or_else(|| "linux".into());
    let like = get("ID_LIKE").unwrap_or_default();
    Ok(Some(Os {
        kind: OsKind::Linux,
        family: family(&id, &like),
        version: get("VERSION_ID"),
        pretty_name: get("PRETTY_NAME").or_else(|| get("NAME")).unwrap_or_else(|| id.clone()),
        id,
        arch: arch(view)?,
    }))
}

/// Files in which distributions said who they are before there was os-release; those that others copied come
/// last.
const RELEASES: &[&str] = &[
    "/etc/oracle-release",
    "/etc/centos-release",
    "/etc/fedora-release",
    "/etc/redhat-release",
    "/etc/system-release",
    "/etc/SuSE-release",
    "/etc/lsb-release",
    "/etc/alpine-release",
    "/etc/debian_version",
];

/// A system that is older than os-release, or one that does not say which it is.
fn before_os_release(view: &dyn View) -> Result<Option<Os>> {
    for path in RELEASES {
        let text = view.text(path)?.unwrap_or_default();
        let Some((id, version, pretty_name)) = release(path, &text) else { continue };
        let family = family(&id, "");
        return Ok(Some(Os { kind: OsKind::Linux, id, version, pretty_name, family, arch: arch(view)? }));
    }
    if view.resolve(INIT)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Os {
        kind: OsKind::Linux,
        id: "linux".into(),
        version: None,
        pretty_name: "Linux of an unknown distribution".into(),
        family: Family::Other,
        arch: arch(view)?,
    }))
}

/// Identifier, version and name from one of those files.
fn release(path: &str, text: &str) -> Option<(String, Option<String>, String)> {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let get = |key| shell_assign::get(text, key).map(str::to_owned);
    Some(match path {
        "/etc/debian_version" => {
            ("debian".to_owned(), Some(first.to_owned()), format!("Debian GNU/Linux {first}"))
        }
        "/etc/alpine-release" => {
            ("alpine".to_owned(), Some(first.to_owned()), format!("Alpine Linux v{first}"))
        }
        "/etc/lsb-release" => {
            let id = get("DISTRIB_ID")?.to_lowercase();
            (id.clone(), get("DISTRIB_RELEASE"), get("DISTRIB_DESCRIPTION").unwrap_or(id))
        }
        "/etc/SuSE-release" => {
            let id = if first.contains("openSUSE") { "opensuse" } else { "sles" };
            let value = |key| ini::values(text, "", key).pop().map(str::to_owned);
            let patch = value("PATCHLEVEL").filter(|patch| patch != "0");
            let version = value("VERSION").map(|version| match patch {
                Some(patch) => format!("{version}.{patch}"),
                None => version,
            });
            (id.to_owned(), version, first.to_owned())
        }
        _ => {
            const NAMES: [(&str, &str); 7] = [
                ("Oracle", "ol"),
                ("CentOS", "centos"),
                ("Fedora", "fedora"),
                ("Red Hat", "rhel"),
                ("Scientific", "centos"),
                ("Amazon", "amzn"),
                ("XenServer", "centos"),
            ];
            let id = NAMES.iter().find(|(name, _)| first.contains(name)).map_or("linux", |(_, id)| *id);
            let mut words = first.split_whitespace().skip_while(|word| *word != "release");
            let version = words.nth(1).map(str::to_owned);
            (id.to_owned(), version, first.to_owned())
        }
    })
}

fn family(id: &str, like: &str) -> Family {
    let known = |name: &str| match name {
        "ubuntu" => Some(Family::Ubuntu),
        "debian" => Some(Family::Debian),
        "amzn" => Some(Family::Amazon),
        "rhel" | "centos" | "rocky" | "almalinux" | "ol" => Some(Family::RedHat),
        "fedora" => Some(Family::Fedora),
        "alpine" => Some(Family::Alpine),
        name if name == "suse" || name == "sles" || name.starts_with("opensuse") => Some(Family::Suse),
        _ => None,
    };
    std::iter::once(id).chain(like.split_whitespace()).find_map(known).unwrap_or(Family::Other)
}

/// From the ELF header of the first program there is (System V ABI, e_machine).
fn arch(view: &dyn View) -> Result<Option<&'static str>> {
    for program in PROGRAMS {
        let Some(bytes) = view.start(program, 64)? else { continue };
        if let [0x7f, b'E', b'L', b'F', ..] = &bytes[..]
            && let Some(machine) = bytes.get(18..20)
        {
            return Ok(match u16::from_le_bytes([machine[0], machine[1]]) {
                0x3e => Some("x86_64"),
                0xb7 => Some("aarch64"),
                0x03 => Some("i386"),
                _ => None,
            });
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn a_family_is_found_by_id_then_by_likeness() {
        assert_eq!(family("ubuntu", "debian"), Family::Ubuntu);
        assert_eq!(family("pop", "ubuntu debian"), Family::Ubuntu);
        assert_eq!(family("rocky", "rhel centos fedora"), Family::RedHat);
        assert_eq!(family("opensuse-leap", "suse opensuse"), Family::Suse);
        assert_eq!(family("void", ""), Family::Other);
    }

    #[test]
    fn a_system_before_os_release_says_who_it_is() {
        for (path, text, id, version, is) in [
            ("/etc/redhat-release", "CentOS release 6.10 (Final)\n", "centos", "6.10", Family::RedHat),
            (
                "/etc/redhat-release",
                "Red Hat Enterprise Linux Server release 5.11 (Tikanga)\n",
                "rhel",
                "5.11",
                Family::RedHat,
            ),
            ("/etc/system-release", "Amazon Linux AMI release 2018.03\n", "amzn", "2018.03", Family::Amazon),
            (
                "/etc/SuSE-release",
                "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
                "sles",
                "11.4",
                Family::Suse,
            ),
            (
                "/etc/lsb-release",
                "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\nDISTRIB_DESCRIPTION=\"Ubuntu 10.04.4 LTS\"\n",
                "ubuntu",
                "10.04",
                Family::Ubuntu,
            ),
            ("/etc/debian_version", "6.0.10\n", "debian", "6.0.10", Family::Debian),
            ("/etc/alpine-release", "2.7.9\n", "alpine", "2.7.9", Family::Alpine),
        ] {
            let old = Bench::debian().without("/etc/os-release").file(path, text);
            let os = old.guest(|guest| guest.facts.os.peek().clone()).unwrap();
            assert_eq!((os.id.as_str(), os.version.as_deref(), os.family), (id, Some(version), is), "{path}");
        }
        let none = Bench::debian().without("/etc/os-release");
        assert_eq!(none.guest(|guest| guest.facts.os.peek().clone()), None);
        let unnamed = none.program(INIT, "program");
        let os = unnamed.guest(|guest| guest.facts.os.peek().clone()).unwrap();
        assert_eq!((os.kind, os.family, os.id.as_str()), (OsKind::Linux, Family::Other, "linux"));
    }
}

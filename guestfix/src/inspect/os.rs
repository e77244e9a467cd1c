//! The operating system: os-release, and the machine its programs are for.

use crate::facts::{Family, Os, OsKind};
use crate::text::shell_assign;
use crate::{Result, View};

/// Programs that some distribution has, small ones first.
const PROGRAMS: &[&str] =
    &["/bin/true", "/usr/bin/env", "/bin/sh", "/bin/busybox", "/usr/lib/systemd/systemd", "/sbin/init"];

/// The operating system, if the root holds one.
///
/// # Errors
/// If the guest cannot be read.
pub fn os(view: &dyn View) -> Result<Option<Os>> {
    let text = match view.text("/etc/os-release")? {
        Some(text) => Some(text),
        None => view.text("/usr/lib/os-release")?,
    };
    let Some(text) = text else { return Ok(None) };
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

    #[test]
    fn a_family_is_found_by_id_then_by_likeness() {
        assert_eq!(family("ubuntu", "debian"), Family::Ubuntu);
        assert_eq!(family("pop", "ubuntu debian"), Family::Ubuntu);
        assert_eq!(family("rocky", "rhel centos fedora"), Family::RedHat);
        assert_eq!(family("opensuse-leap", "suse opensuse"), Family::Suse);
        assert_eq!(family("void", ""), Family::Other);
    }
}

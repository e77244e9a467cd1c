//! What the boot waits for: whether a device that something names comes on this machine.

use initramfs::{Archive, Generator};

use super::initramfs::texts;
use crate::facts::{Machine, Mount, SignatureKind, Volume};
use crate::inspect::devices::{self, Named};
use crate::text::{cmdline, crypttab, fstab};
use crate::{Device, Guest, Result};

/// Why a device does not come, or why nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// It does not.
    Surely(String),
    /// It may.
    Perhaps(String),
}

/// The volume that a specification names, if it surely comes; `None` for what is no volume.
pub(super) fn volume<'a>(
    machine: &'a Machine,
    spec: &str,
) -> std::result::Result<Option<&'a Volume>, Missing> {
    match devices::named(machine, spec, None) {
        Named::Volume(volume) => match &volume.device {
            Device::Logical(logical) => match &logical.refused {
                Some(why) => {
                    Err(Missing::Perhaps(format!("{spec} is a logical volume that is not read: {why}")))
                }
                None => Ok(Some(volume)),
            },
            Device::Range(_) => Ok(Some(volume)),
        },
        Named::Several(volumes) => {
            let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
            let why = format!("{spec} is the name of {}: which one it finds is chance", names.join(" and "));
            Err(Missing::Surely(why))
        }
        Named::DiskName(Some(volume)) => {
            Err(Missing::Surely(format!("{spec} is a name that {} has only on EC2", volume.name)))
        }
        Named::DiskName(None) => Err(Missing::Surely(format!("{spec} is a name of a disk of EC2"))),
        Named::Closed(volume) => {
            let kind = volume.kind_name().unwrap_or_default();
            Err(Missing::Perhaps(format!(
                "{spec} may be in {} ({kind}), which refloat does not open",
                volume.name
            )))
        }
        Named::Absent => Err(Missing::Surely(format!("{spec} is not on this machine"))),
        Named::Other => Ok(None),
    }
}

/// Whether a specification is a volume that surely comes; the error says why it does not, and whether that is
/// sure.
pub(crate) fn device(machine: &Machine, spec: &str) -> std::result::Result<bool, (String, bool)> {
    match volume(machine, spec) {
        Ok(volume) => Ok(volume.is_some()),
        Err(Missing::Surely(why)) => Err((why, true)),
        Err(Missing::Perhaps(why)) => Err((why, false)),
    }
}

/// The volume of /usr, where that is one of its own and init is in it: it has to be there before init is.
pub(super) fn usr<'a>(guest: &Guest<'a>) -> Result<Option<&'a Volume>> {
    let in_usr = guest.view.resolve("/sbin/init")?.is_some_and(|path| path.starts_with("/usr/"));
    let mut volumes = guest.view.machine().volumes.iter();
    Ok(volumes.find(|volume| in_usr && volume.mounted_at.as_deref() == Some("/usr")))
}

/// The volumes that are mounted before init is started: the root, /usr where init is in it, and with systemd in
/// the initramfs what fstab asks for.
pub(super) fn before_init<'a>(guest: &Guest<'a>, generator: Generator) -> Result<Vec<&'a Volume>> {
    let machine = guest.view.machine();
    let mut found: Vec<&Volume> = devices::root(machine).into_iter().chain(usr(guest)?).collect();
    let asks = |mount: &&Mount| {
        generator == Generator::Dracut
            && fstab::has_option(&mount.options, "x-initrd.mount")
            && !is_optional(&mount.options)
    };
    let named: Vec<&str> =
        guest.facts.fstab.iter().filter(asks).filter_map(|mount| mount.volume.as_deref()).collect();
    let more = machine.volumes.iter().filter(|volume| named.contains(&volume.name.as_str()));
    for volume in more {
        if !found.iter().any(|known| known.name == volume.name) {
            found.push(volume);
        }
    }
    Ok(found)
}

/// The device that an initramfs waits for and that does not come.
pub(super) fn in_initramfs(
    guest: &Guest<'_>,
    archive: &Archive<'_>,
    cmdline: &str,
) -> Result<Option<String>> {
    let machine = guest.view.machine();
    let comes = |spec: &str| match volume(machine, spec) {
        Err(Missing::Surely(why)) => Some(why),
        _ => None,
    };
    if archive.generator() == Generator::Dracut {
        for token in cmdline::tokens(cmdline) {
            if let Some(why) = absent_of(machine, token) {
                return Ok(Some(why));
            }
        }
    }
    for (path, text) in texts(archive, is_hook)? {
        if let Some(why) = text.lines().filter_map(device_of).find_map(comes) {
            return Ok(Some(format!("it waits for a device ({path}): {why}")));
        }
    }
    for (path, text) in
        texts(archive, |path| matches!(path, "etc/fstab" | "etc/crypttab" | "cryptroot/crypttab"))?
    {
        let why = match path.as_str() {
            "etc/fstab" => {
                let mut entries = fstab::entries(&text).into_iter();
                entries.find_map(|entry| comes(&entry.spec).filter(|_| !is_optional(&entry.options)))
            }
            _ => {
                let mut entries = crypttab::entries(&text).into_iter();
                entries.find_map(|entry| comes(entry.device).filter(|_| !is_optional(entry.options)))
            }
        };
        if let Some(why) = why {
            return Ok(Some(format!("its {path} waits for a device: {why}")));
        }
    }
    Ok(None)
}

/// Whether this is a script by which dracut waits for a device.
pub(crate) fn is_hook(path: &str) -> bool {
    path.contains("initqueue/finished/devexists-")
}

/// The device that a line of such a script waits for.
pub(crate) fn device_of(line: &str) -> Option<&str> {
    if line.trim_start().starts_with('#') {
        return None;
    }
    line.split('"').find(|part| part.starts_with("/dev/"))
}

/// Whether systemd goes on without it.
pub(crate) fn is_optional(options: &str) -> bool {
    ["nofail", "noauto", "x-systemd.automount"].iter().any(|option| fstab::has_option(options, option))
}

/// Whether what is mounted as `kind` may be a file system of the kind `has`.
pub(super) fn is_driver_of(kind: &str, has: SignatureKind) -> bool {
    let has = has.name();
    const EXT: [&str; 3] = ["ext2", "ext3", "ext4"];
    const FAT: [&str; 3] = ["vfat", "msdos", "fat"];
    let same = |all: &[&str]| all.contains(&kind) && all.contains(&has);
    let any = kind.is_empty() || kind == "auto" || kind == has;
    any || same(&EXT) || same(&FAT) || (has == "ntfs" && kind.starts_with("ntfs"))
}

/// Whether something of this kind can be mounted.
pub(super) fn is_filesystem(kind: SignatureKind) -> bool {
    let kind = kind.name();
    let container = kind.ends_with("_member") || kind.starts_with("crypto_");
    !container && !["swap", "swsuspend", "BitLocker", "bcache"].contains(&kind)
}

/// Why dracut waits in vain for what a token of the command line names.
pub(crate) fn absent_of(machine: &Machine, token: &str) -> Option<String> {
    let holds = |kind: SignatureKind, uuid: &str| {
        machine.volumes.iter().any(|volume| {
            let known = plain(volume.uuid.as_deref().unwrap_or_default());
            volume.kind == Some(kind) && known.starts_with(&plain(uuid))
        })
    };
    let (is_there, what) = if let Some(name) = cmdline::value(token, "rd.lvm.lv") {
        (machine.volumes.iter().any(|volume| volume.name == name), "a logical volume")
    } else if let Some(uuid) = cmdline::value(token, "rd.luks.uuid") {
        (holds(SignatureKind::Luks, uuid.trim_start_matches("luks-")), "an encrypted volume")
    } else if let Some(uuid) = cmdline::value(token, "rd.md.uuid") {
        (holds(SignatureKind::LinuxRaid, uuid), "an array")
    } else {
        return None;
    };
    (!is_there).then(|| format!("{token} on the command line waits for {what} that is not on this machine"))
}

/// The digits of a UUID, however they are grouped.
fn plain(uuid: &str) -> String {
    uuid.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect()
}

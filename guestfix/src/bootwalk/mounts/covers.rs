//! What a mount hides of the system that is below it, and what it keeps of it from being executed.

use super::{Fault, REMOTE, Wanted, is_mounted};
use crate::bootwalk::{mount_options, waits};
use crate::{Guest, Result, View};

/// The folders without which nothing is started, or nobody comes in.
const NEEDED: &[&str] = &[
    "/bin",
    "/etc",
    "/etc/pam.d",
    "/etc/ssh",
    "/etc/systemd",
    "/etc/systemd/system",
    "/lib",
    "/lib/modules",
    "/lib/systemd",
    "/lib64",
    "/sbin",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib/modules",
    "/usr/lib/systemd",
    "/usr/lib64",
    "/usr/sbin",
];
/// Below these something may be that the boot needs.
const BELOW: &[&str] = &["/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr"];
/// These hold what the boot may need, and what is below them it does not.
const ALONE: &[&str] = &["/home", "/root", "/root/.ssh", "/var", "/var/lib"];
const HOMES: &str = "/home";
/// Of packages of others, and of what no program asks for.
const SPARED: &[&str] = &[
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/usr/games",
    "/usr/include",
    "/usr/local",
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/src",
];

/// Why the system does not start with this mount over it.
pub(super) fn fault(guest: &Guest<'_>, wanted: &Wanted<'_>) -> Result<Option<Fault>> {
    let Wanted { target, options, .. } = *wanted;
    if !is_mounted(options) || !target.starts_with('/') {
        return Ok(None);
    }
    let Some(path) = guest.view.resolve(target)? else { return Ok(None) };
    let is_below = |path: &str, folder: &&str| {
        path == *folder || path.strip_prefix(*folder).is_some_and(|rest| rest.starts_with('/'))
    };
    let is_spared = SPARED.iter().any(|folder| is_below(&path, folder));
    let holds_programs =
        path == "/" || BELOW.iter().any(|folder| *folder != "/etc" && is_below(&path, folder));
    if holds_programs
        && !is_spared
        && let Some(option) = mount_options::without_programs(options)
    {
        let why = format!("its option {option} keeps the programs at {path} from being started");
        return Ok(Some(Fault::Blocked(why)));
    }
    let matters = ALONE.contains(&path.as_str()) || BELOW.iter().any(|folder| is_below(&path, folder));
    if !matters || is_spared {
        return Ok(None);
    }
    let seen = instead(guest, wanted, &path)?;
    let hidden = !guest.view.list(&path)?.is_empty() || mount_options::is_bind(options);
    Ok(match seen {
        Seen::Same => None,
        _ if !hidden => None,
        Seen::Nothing if NEEDED.contains(&path.as_str()) => {
            Some(Fault::Blocked(format!("it hides what is at {path}, which the system needs")))
        }
        Seen::Nothing => Some(Fault::Unknown(format!("it hides what is at {path}, which the boot may need"))),
        Seen::Other(what) => {
            Some(Fault::Unknown(format!("{what} takes the place of what is at {path}, and is not looked at")))
        }
    })
}

/// What is seen where a mount is.
enum Seen {
    /// What is looked at here.
    Same,
    Nothing,
    /// Something else.
    Other(String),
}

fn instead(guest: &Guest<'_>, wanted: &Wanted<'_>, path: &str) -> Result<Seen> {
    let Wanted { spec, kind, options, .. } = *wanted;
    let view = guest.view;
    if mount_options::is_bind(options) {
        return Ok(match view.resolve(spec)? {
            Some(source) if source == path => Seen::Same,
            // that it is not there is said elsewhere
            None => Seen::Same,
            Some(_) if is_empty_folder(view, spec)? => Seen::Nothing,
            // The homes of accounts are looked at where they come from.
            Some(_) if path == HOMES => Seen::Same,
            Some(source) => Seen::Other(source),
        });
    }
    if kind == "overlay" {
        for lower in mount_options::values(options, "lowerdir").flat_map(|list| list.split(':')) {
            if view.resolve(lower)?.is_some_and(|lower| lower == path) {
                return Ok(Seen::Same);
            }
        }
        return Ok(Seen::Other("an overlay of other folders".into()));
    }
    if REMOTE.contains(&kind) || kind.starts_with("fuse") {
        return Ok(Seen::Other(format!("{spec}, which is on a server,")));
    }
    if super::WITHOUT_DEVICE.contains(&kind) && kind != "squashfs" {
        return Ok(Seen::Nothing);
    }
    Ok(match waits::volume(view.machine(), spec) {
        // what cannot be mounted is said elsewhere
        Ok(Some(volume)) if volume.mounted_at.as_deref().is_none_or(|point| point == path) => Seen::Same,
        // another subvolume of the root's file system is looked at where it is mounted
        Ok(Some(volume)) if volume.mounted_at.as_deref() == Some("/") && has_subvolume(options) => Seen::Same,
        Ok(Some(volume)) => Seen::Other(volume.name.clone()),
        Ok(None) => Seen::Other(spec.to_owned()),
        // it is not mounted
        Err(_) => Seen::Same,
    })
}

fn has_subvolume(options: &str) -> bool {
    mount_options::values(options, "subvol").next().is_some()
}

fn is_empty_folder(view: &dyn View, path: &str) -> Result<bool> {
    let is_folder =
        view.stat(path)?.is_some_and(|metadata| metadata.file_type == libdisk::vfs::FileType::Directory);
    Ok(is_folder && view.list(path)?.is_empty())
}

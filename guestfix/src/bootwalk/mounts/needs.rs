//! What must be there for a mount: the folder that it goes to, the folders of an overlay, the units that its
//! line names.

use libdisk::vfs::FileType;

use super::Fault;
use crate::bootwalk::mount_options;
use crate::bootwalk::waits::{self, Missing};
use crate::systemd::Unit;
use crate::{Guest, Result, View};

/// What is made anew at each start.
const VOLATILE: &[&str] = &["/dev/", "/run/", "/tmp/"];

/// Why nothing can be mounted there. A folder that is not there is made.
pub(super) fn no_place(view: &dyn View, target: &str, is_bind: bool) -> Result<Option<Fault>> {
    if let Some(metadata) = view.stat(target)? {
        let fits = metadata.file_type == FileType::Directory || is_bind;
        return Ok((!fits).then(|| Fault::Blocked(format!("{target} is no directory"))));
    }
    let above = target.rmatch_indices('/').map(|(at, _)| &target[..at]).filter(|path| !path.is_empty());
    for path in above {
        if let Some(metadata) = view.stat(path)? {
            let is_folder = metadata.file_type == FileType::Directory;
            return Ok((!is_folder)
                .then(|| Fault::Blocked(format!("{path}, which {target} is to be in, is no directory"))));
        }
    }
    Ok(None)
}

/// Why an overlay is not put together.
pub(super) fn no_layers(guest: &Guest<'_>, options: &str) -> Result<Option<Fault>> {
    let values = |name| mount_options::values(options, name);
    let lower: Vec<&str> =
        values("lowerdir").flat_map(|list| list.split(':')).chain(values("lowerdir+")).collect();
    if lower.is_empty() {
        return Ok(Some(Fault::Blocked("an overlay without a lowerdir= is refused".into())));
    }
    if values("upperdir").count() != values("workdir").count() {
        return Ok(Some(Fault::Blocked("an overlay needs upperdir= and workdir= together".into())));
    }
    let layers = lower.into_iter().chain(values("upperdir")).chain(values("workdir"));
    for layer in layers.filter(|layer| !layer.is_empty()) {
        let metadata = guest.view.stat(layer)?;
        if metadata.is_some_and(|metadata| metadata.file_type == FileType::Directory) {
            continue;
        }
        let comes_later = VOLATILE.iter().any(|folder| layer.starts_with(folder))
            || guest.facts.fstab.iter().any(|mount| {
                let below = layer.strip_prefix(mount.target.as_str());
                mount.target != "/" && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
        let why = format!("the folder {layer} of the overlay is not there");
        return Ok(Some(if comes_later { Fault::Unknown(why) } else { Fault::Blocked(why) }));
    }
    Ok(None)
}

/// Why systemd does not mount it, for what it is told to start before.
pub(super) fn unmet(guest: &Guest<'_>, options: &str) -> Result<Option<Fault>> {
    for value in mount_options::required(options) {
        let why = |why: &str| format!("x-systemd.requires={value}: {why}");
        let device = device_of(value);
        if let Some(device) = device {
            match waits::volume(guest.view.machine(), &device) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    return Ok(Some(Fault::Unknown(why("whether that device comes is not known"))));
                }
                Err(Missing::Surely(missing)) => return Ok(Some(Fault::Blocked(why(&missing)))),
                Err(Missing::Perhaps(missing)) => return Ok(Some(Fault::Unknown(why(&missing)))),
            }
        } else if value.starts_with('/') {
            // what is mounted above the path is judged by its own line
            let is_there = guest.facts.fstab.iter().any(|mount| mount.target == value)
                || mount_options::values(options, "x-systemd.requires-mounts-for").any(|path| path == value);
            if !is_there {
                return Ok(Some(Fault::Unknown(why("nothing in /etc/fstab is mounted there"))));
            }
        } else if let Some(fault) = unit(guest, value)? {
            return Ok(Some(match fault {
                Fault::Blocked(text) => Fault::Blocked(why(&text)),
                Fault::Unknown(text) => Fault::Unknown(why(&text)),
            }));
        }
    }
    Ok(None)
}

fn unit(guest: &Guest<'_>, value: &str) -> Result<Option<Fault>> {
    let name = if value.contains('.') { value.to_owned() } else { format!("{value}.service") };
    let Some((_, why)) = Unit::find(guest.view, &name)?.fault(&name) else { return Ok(None) };
    // these are made of other files
    let is_made = [".mount", ".swap", ".scope", ".slice"].iter().any(|kind| name.ends_with(kind))
        || name.starts_with("systemd-cryptsetup@");
    Ok(Some(if is_made { Fault::Unknown(why) } else { Fault::Blocked(why) }))
}

/// The device that a value names, by its path or its unit: "dev-disk-by\x2duuid-1.device".
fn device_of(value: &str) -> Option<String> {
    if value.starts_with("/dev/") || ["UUID=", "LABEL=", "PARTUUID="].iter().any(|tag| value.starts_with(tag))
    {
        return Some(value.to_owned());
    }
    let name = value.strip_suffix(".device")?;
    Some(format!("/{}", name.replace('-', "/").replace("\\x2d", "-")))
}

/// The name of an owner or group that mount(8) does not find, and gives up at.
pub(super) fn no_owner(view: &dyn View, options: &str) -> Result<Option<Fault>> {
    for (option, file) in [("uid", "/etc/passwd"), ("gid", "/etc/group")] {
        for name in mount_options::values(options, option) {
            let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
            let text = view.text(file)?.unwrap_or_default();
            if !is_number && !text.lines().any(|line| line.split(':').next() == Some(name)) {
                return Ok(Some(Fault::Blocked(format!(
                    "its option {option}={name} names nobody who is in {file}"
                ))));
            }
        }
    }
    Ok(None)
}

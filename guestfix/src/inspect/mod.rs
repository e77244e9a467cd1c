//! What a guest is: [`gather`] reads a few dozen small files, whose places are known, and nothing else.
//! Initramfs images are not unpacked here.

mod agents;
mod bootloader;
pub mod devices;
pub(crate) mod kernels;
mod network;
mod os;
pub(crate) mod windows;

use std::cmp::Ordering;

use crate::facts::{Facts, Mount};
use crate::rule::Evidence;
use crate::text::{fstab, shell_assign};
use crate::unread::{Known, Noting, distinct};
use crate::{Result, View, bootwalk, limits};

pub(crate) use bootloader::{bls_files, glob_of_entries};
pub use os::os;

/// Everything that is known of a guest.
///
/// # Errors
/// If the guest cannot be read. Files that are not there are no error, nor are those that cannot be read: the
/// facts that they would tell are marked with them.
pub fn gather(view: &dyn View) -> Result<Facts> {
    let noting = Noting::new(view);
    if windows::is(&noting)? && noting.take_unread().is_empty() {
        return windows::gather(view);
    }
    let view = &Noting::new(view);
    let mut unread: Vec<Evidence> = Vec::new();
    let boot = known(view, &mut unread, view.note(bootloader::boot(view))?);
    // Kernels are found by what boots them too.
    let kernels = view.note(kernels::kernels(view, &boot))?;
    let kernels = Known::new(kernels, [boot.unread(), &view.take_unread()].concat());
    unread.extend_from_slice(kernels.unread());
    let mut facts = Facts {
        os: known(view, &mut unread, os(view)?),
        hostname: known(view, &mut unread, hostname(view)?),
        kernels,
        boot,
        fstab: known(view, &mut unread, view.note(mounts(view))?),
        network: known(view, &mut unread, network::network(view)?),
        agents: known(view, &mut unread, agents::agents(view)?),
        selinux: known(view, &mut unread, selinux(view)?),
        windows: Known::default(),
        unread: Vec::new(),
    };
    facts.unread = distinct(unread);
    // What was read are entries; which one starts by itself is what the loader makes of its configuration.
    let defaults = bootwalk::defaults(view, &facts)?;
    facts.boot.change(|boot| boot.mark_defaults(&defaults));
    Ok(facts)
}

/// A fact that was just gathered, with what of it could not be read; `unread` gets that too.
fn known<T>(view: &Noting<'_>, unread: &mut Vec<Evidence>, fact: T) -> Known<T> {
    let known = Known::new(fact, view.take_unread());
    unread.extend_from_slice(known.unread());
    known
}

fn hostname(view: &dyn View) -> Result<Option<String>> {
    let text = view.text("/etc/hostname")?.unwrap_or_default();
    Ok(text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned))
}

fn mounts(view: &dyn View) -> Result<Vec<Mount>> {
    let Some(text) = view.text("/etc/fstab")? else { return Ok(Vec::new()) };
    let entries = fstab::entries(&text);
    limits::at_most("/etc/fstab", entries.len() as u64, limits::MOUNTS, "lines")?;
    let root = entries.iter().find(|entry| entry.target == "/").map(|entry| entry.spec.clone());
    let machine = view.machine();
    let volume = |entry: &fstab::Entry| {
        let found = match entry.target.as_str() {
            // whatever it is called there: this is the volume that is "/" here
            "/" if devices::is_disk_name(&entry.spec) => {
                machine.volumes.iter().find(|volume| devices::is_root(volume))
            }
            _ => devices::resolve(machine, &entry.spec, root.as_deref()),
        };
        found.map(|volume| volume.name.clone())
    };
    Ok(entries
        .iter()
        .map(|entry| Mount {
            line: entry.line,
            spec: entry.spec.clone(),
            target: entry.target.clone(),
            kind: entry.kind.clone(),
            options: entry.options.clone(),
            volume: volume(entry),
        })
        .collect())
}

fn selinux(view: &dyn View) -> Result<Option<String>> {
    let text = view.text("/etc/selinux/config")?;
    Ok(text.and_then(|text| shell_assign::get(&text, "SELINUX").map(str::to_owned)))
}

/// Compares version strings as people do: runs of digits by their value, all else by its characters.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (a_digits, b_digits) = (digits(a), digits(b));
        let number = |run: &str| run.trim_start_matches('0').to_owned();
        let (a_number, b_number) = (number(a_digits), number(b_digits));
        let order = a_number.len().cmp(&b_number.len()).then_with(|| a_number.cmp(&b_number));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (&a[a_digits.len()..], &b[b_digits.len()..]);
        match (a.chars().next(), b.chars().next()) {
            (None, None) => return Ordering::Equal,
            (x, y) if x == y => {
                let len = x.map_or(0, char::len_utf8);
                (a, b) = (&a[len..], &b[len..]);
            }
            // "~rc1" is before the end, the end before all else
            (x, y) => {
                let rank = |c: Option<char>| c.map_or(1, |c| if c == '~' { 0 } else { u32::from(c) + 2 });
                return rank(x).cmp(&rank(y));
            }
        }
    }
}

fn digits(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let order = [
            "5.4.0-99",
            "5.10.0-32-amd64",
            "5.10.0-32-cloud-amd64",
            "6.1.0-50",
            "6.1.10-1",
            "6.12~rc1",
            "6.12",
        ];
        for pair in order.windows(2) {
            assert_eq!(compare_versions(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }
}

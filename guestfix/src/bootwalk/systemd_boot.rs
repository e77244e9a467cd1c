//! systemd-boot: `loader.conf`, and entries that are files beside it, or images (systemd-boot(7),
//! loader.conf(5), 2026-11).

use std::cmp::Ordering;

use regex::Regex;

use super::esp::{self, On};
use super::{Entry, Hop, HopKind, LONGEST_WAIT, MenuEntry, unified};
use crate::facts::Volume;
use crate::inspect::{compare_versions, glob_of_entries};
use crate::place::Place;
use crate::text::bls;
use crate::{Guest, Result, limits};

/// What entries are sorted by.
#[derive(Default)]
struct Key {
    id: String,
    sort_key: Option<String>,
    machine: String,
    version: String,
}

/// From its configuration to its entries, in the order of the menu.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn boot(guest: &Guest<'_>, esp: &Volume, hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
    let config = match esp::find(guest, esp, "/loader/loader.conf")? {
        On::At(path) => Some((guest.view.text(&path)?.unwrap_or_default(), path)),
        On::Absent(_) | On::Unseen(_) => None,
    };
    let (text, place) = match &config {
        Some((text, path)) => (text.as_str(), Place::file(path)),
        None => ("", Place::volume(&esp.name)),
    };
    let mut found = Vec::new();
    // Entries are here, and on the partition for more of them.
    let machine = guest.view.machine();
    let more =
        machine.volumes_on(0).filter(|volume| volume.type_name.as_deref() == Some("Linux extended boot"));
    for volume in [esp].into_iter().chain(more) {
        entries_of(guest, volume, hops, &mut found)?;
    }
    found.sort_by(|(a, _), (b, _)| order(a, b));
    let what = format!("systemd-boot's menu, {} entries", found.len());
    if found.is_empty() {
        hops.push(Hop::blocked(HopKind::Menu, place, what, "it has nothing to start"));
        return Ok(Vec::new());
    }
    let timeout = bls::get(text, "timeout").map(str::trim).unwrap_or_default();
    if timeout == "menu-force" || timeout.parse().is_ok_and(|seconds: u64| seconds > LONGEST_WAIT) {
        let why = format!("timeout {timeout}: it waits for a key");
        hops.push(Hop::blocked(HopKind::Menu, place, what, why));
        return Ok(found.into_iter().map(|(_, entry)| entry).collect());
    }
    let pattern = pattern(bls::get(text, "default").unwrap_or_default());
    let named = found.iter().position(|(key, _)| pattern.as_ref().is_some_and(|it| it.is_match(&key.id)));
    let mut entries: Vec<Entry> = found.into_iter().map(|(_, entry)| entry).collect();
    if let Some(entry) = entries.get_mut(named.unwrap_or(0)) {
        entry.entry.default = true;
        let how = if named.is_some() { "starts by itself" } else { "is the first, and starts by itself" };
        hops.push(Hop::reached(HopKind::Menu, place, format!("{what}; '{}' {how}", entry.entry.title)));
    }
    Ok(entries)
}

fn entries_of(
    guest: &Guest<'_>,
    volume: &Volume,
    hops: &mut Vec<Hop>,
    out: &mut Vec<(Key, Entry)>,
) -> Result<()> {
    let view = guest.view;
    match esp::find(guest, volume, "/loader/entries")? {
        On::At(folder) => {
            let files = view.glob(&folder, ".conf")?;
            limits::at_most(&folder, files.len() as u64, limits::BOOT_ENTRIES as u64, "boot entries")?;
            for file in files {
                out.extend(entry(guest, volume, &file)?);
            }
        }
        On::Absent(_) => {}
        On::Unseen(why) => {
            hops.push(Hop::unknown(
                HopKind::Menu,
                Place::volume(&volume.name),
                "more entries of systemd-boot",
                why,
            ));
        }
    }
    if let On::At(folder) = esp::find(guest, volume, "/EFI/Linux")? {
        for file in view.glob(&folder, ".efi")? {
            if let Ok(entry) = unified::read(guest, &file)? {
                let key = Key { id: id(&file), version: id(&file), ..Key::default() };
                out.push((key, Entry { entry, hops: Vec::new() }));
            }
        }
    }
    Ok(())
}

/// An entry by its file; `None` if it starts nothing of Linux.
fn entry(guest: &Guest<'_>, volume: &Volume, file: &str) -> Result<Option<(Key, Entry)>> {
    let Some(text) = guest.view.text(file)? else { return Ok(None) };
    let get = |key: &str| bls::get(&text, key).map(|value| value.trim().to_owned());
    let Some(kernel) = get("linux").or_else(|| get("efi")).or_else(|| get("uki")) else { return Ok(None) };
    let mut hops = Vec::new();
    let mut path = |path: &str| -> Result<String> {
        Ok(match esp::find(guest, volume, path)? {
            On::At(path) => path,
            On::Absent(Place::File { path, .. }) => path,
            On::Absent(_) => path.to_owned(),
            On::Unseen(why) => {
                hops.push(Hop::unknown(HopKind::Menu, file, "an entry of systemd-boot", why));
                path.to_owned()
            }
        })
    };
    let kernel = path(&kernel)?;
    let mut initrds = Vec::new();
    for (_, initrd) in bls::values(&text, "initrd") {
        initrds.push(path(initrd.trim())?);
    }
    let options = bls::values(&text, "options");
    let place = options.first().map_or_else(|| Place::file(file), |(line, _)| Place::line(file, *line));
    let id = id(file);
    let cmdline = options.iter().map(|(_, value)| value.trim_end()).collect::<Vec<_>>().join(" ");
    let title = get("title").unwrap_or_else(|| id.clone());
    let key = Key {
        id,
        sort_key: get("sort-key"),
        machine: get("machine-id").unwrap_or_default(),
        version: get("version").unwrap_or_default(),
    };
    let entry = MenuEntry { title, place, default: false, kernel, initrds, cmdline };
    Ok(Some((key, Entry { entry, hops })))
}

/// The name of an entry, without what counts its tries.
fn id(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    let (name, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let name = name.split_once('+').map_or(name, |(name, _)| name);
    format!("{name}.{ending}")
}

/// Those with a sort key first, by it; then the newest version first.
fn order(a: &Key, b: &Key) -> Ordering {
    let newest = |a: &Key, b: &Key| compare_versions(&b.version, &a.version);
    match (&a.sort_key, &b.sort_key) {
        (Some(one), Some(other)) => {
            one.cmp(other).then_with(|| a.machine.cmp(&b.machine)).then_with(|| newest(a, b))
        }
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
    .then_with(|| compare_versions(&b.id, &a.id))
}

/// The names that a glob stands for; `None` for none.
fn pattern(glob: &str) -> Option<Regex> {
    glob_of_entries(glob.trim(), r"(\.conf|\.efi)?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_the_order_of_the_menu() {
        let key = |id: &str, sort_key: Option<&str>, version: &str| Key {
            id: id.into(),
            sort_key: sort_key.map(str::to_owned),
            machine: String::new(),
            version: version.into(),
        };
        let mut keys = [
            key("old-5.conf", None, ""),
            key("b-9.conf", Some("debian"), "6.1.9"),
            key("c-10.conf", Some("debian"), "6.1.10"),
            key("old-10.conf", None, ""),
            key("a.conf", Some("arch"), "1"),
        ];
        keys.sort_by(order);
        let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        assert_eq!(ids, ["a.conf", "c-10.conf", "b-9.conf", "old-10.conf", "old-5.conf"]);
    }

    #[test]
    fn names_lose_their_tries_and_globs_find_them() {
        assert_eq!(id("/efi/loader/entries/a-6.1+3-1.conf"), "a-6.1.conf");
        let fits = |glob: &str, id: &str| pattern(glob).is_some_and(|pattern| pattern.is_match(id));
        assert!(fits("a-*", "a-6.1.conf") && fits("a-6.1.conf", "a-6.1.conf") && fits("a-6.1", "a-6.1.conf"));
        assert!(!fits("", "a.conf") && !fits("@saved", "a.conf") && !fits("a-6", "a-6.1.conf"));
    }
}

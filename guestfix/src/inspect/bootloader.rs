//! How the guest boots: the loader, its configuration, its entries.

use super::compare_versions;
use crate::facts::{Boot, BootEntry, Loader};
use crate::text::grub_cfg::{self, Search};
use crate::text::grubenv;
use crate::{Result, View};

/// Where distributions keep the real grub.cfg. What the EFI partition holds is a stub that reads one of these, but for
/// older Red Hat systems, where it is the real one.
const GRUB_CONFIGS: &[&str] = &[
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/boot/efi/EFI/redhat/grub.cfg",
    "/boot/efi/EFI/centos/grub.cfg",
    "/boot/efi/EFI/rocky/grub.cfg",
    "/boot/efi/EFI/almalinux/grub.cfg",
    "/boot/efi/EFI/amzn/grub.cfg",
];

const BLS_DIR: &str = "/boot/loader/entries";

/// Reads the boot loader's configuration.
pub(super) fn boot(view: &dyn View) -> Result<Boot> {
    let mut boot = Boot { loader: Loader::None, configs: Vec::new(), entries: Vec::new() };
    for path in GRUB_CONFIGS {
        let Some(text) = view.text(path)? else { continue };
        let entries = grub_cfg::entries(&text);
        let uses_bls = grub_cfg::uses_blscfg(&text);
        if entries.is_empty() && !uses_bls {
            continue;
        }
        let default = default(view, path, &text)?;
        boot.loader = Loader::Grub2;
        boot.configs.push((*path).to_owned());
        for entry in entries {
            boot.entries.push(grub_entry(view, path, entry, &default)?);
        }
        if uses_bls {
            boot.entries.extend(bls_entries(view, &default)?);
        }
        break;
    }
    if boot.loader == Loader::None {
        boot.loader = other_loader(view)?;
    }
    if !boot.entries.is_empty() && !boot.entries.iter().any(|entry| entry.default) {
        // a default that names nothing falls back to the first
        boot.entries[0].default = true;
    }
    Ok(boot)
}

fn other_loader(view: &dyn View) -> Result<Loader> {
    for (path, loader) in [
        ("/boot/grub/menu.lst", Loader::GrubLegacy),
        ("/boot/grub/grub.conf", Loader::GrubLegacy),
        ("/boot/extlinux.conf", Loader::Extlinux),
        ("/boot/extlinux/extlinux.conf", Loader::Extlinux),
        ("/boot/efi/loader/loader.conf", Loader::SystemdBoot),
        ("/boot/loader/loader.conf", Loader::SystemdBoot),
    ] {
        if view.exists(path)? {
            return Ok(loader);
        }
    }
    Ok(Loader::None)
}

/// The entry that starts by itself, as `default` names it.
fn default(view: &dyn View, config: &str, text: &str) -> Result<String> {
    let default = grub_cfg::default(text).unwrap_or_else(|| "0".into());
    if default != "${saved_entry}" {
        return Ok(default);
    }
    let dir = config.rsplit_once('/').map_or("", |(dir, _)| dir);
    let block = view.read(&format!("{dir}/grubenv"))?;
    let saved = block.and_then(|block| grubenv::get(&block, "saved_entry"));
    Ok(saved.filter(|saved| !saved.is_empty()).unwrap_or_else(|| "0".into()))
}

fn grub_entry(view: &dyn View, file: &str, entry: grub_cfg::Entry, default: &str) -> Result<BootEntry> {
    let prefix = prefix(view, entry.search.as_ref());
    let selected = entry.is_selected_by(default);
    let mut initrds = Vec::new();
    for path in &entry.initrds {
        initrds.push(in_tree(view, &prefix, path)?);
    }
    Ok(BootEntry {
        place: format!("{file}:{}", entry.line),
        file: file.to_owned(),
        line: entry.line,
        title: entry.title,
        kernel: in_tree(view, &prefix, &entry.kernel)?,
        initrds,
        cmdline: entry.cmdline,
        default: selected,
    })
}

/// Where the volume that the script searches for is in the tree, without a slash at the end.
fn prefix(view: &dyn View, search: Option<&Search>) -> Option<String> {
    let found = view.machine().volumes.iter().find(|volume| match search {
        Some(Search::Uuid(uuid)) => {
            volume.uuid.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(uuid))
        }
        Some(Search::Label(label)) => volume.label.as_ref() == Some(label),
        None => false,
    });
    let mounted_at = found?.mounted_at.as_ref()?;
    Some(mounted_at.trim_end_matches('/').to_owned())
}

/// The path in the guest's tree of a path on the boot volume: what the volume says, else what exists.
fn in_tree(view: &dyn View, prefix: &Option<String>, path: &str) -> Result<String> {
    let guesses = [
        prefix.as_ref().map(|prefix| format!("{prefix}{path}")),
        Some(path.to_owned()),
        Some(format!("/boot{path}")),
    ];
    for guess in guesses.iter().flatten() {
        if view.exists(guess)? {
            return Ok(guess.clone());
        }
    }
    Ok(guesses.into_iter().flatten().next().unwrap_or_default())
}

/// The entries of the Boot Loader Specification, in the order of the menu: newest version first.
fn bls_entries(view: &dyn View, default: &str) -> Result<Vec<BootEntry>> {
    let mut files = view.glob(BLS_DIR, ".conf")?;
    files.sort_by(|a, b| compare_versions(b, a));
    let mut out = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let Some(text) = view.text(file)? else { continue };
        let get = |key: &str| {
            let value = |line: crate::text::Line<'_>| {
                Some((line.number, line.body.trim().strip_prefix(key)?.to_owned()))
            };
            let mut values = crate::text::lines(&text).filter_map(value);
            values
                .find(|(_, rest)| rest.starts_with([' ', '\t']))
                .map(|(line, rest)| (line, rest.trim().to_owned()))
        };
        let Some((_, kernel)) = get("linux") else { continue };
        let (line, cmdline) = get("options").unwrap_or((1, String::new()));
        let initrd = get("initrd").map(|(_, paths)| paths).unwrap_or_default();
        let mut initrds = Vec::new();
        for path in initrd.split_whitespace().filter(|path| !path.starts_with('$')) {
            initrds.push(in_tree(view, &None, path)?);
        }
        let id = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".conf");
        out.push(BootEntry {
            place: format!("{file}:{line}"),
            file: file.clone(),
            line,
            title: get("title").map_or_else(|| id.to_owned(), |(_, title)| title),
            kernel: in_tree(view, &None, &kernel)?,
            initrds,
            cmdline,
            default: id == default || default.parse() == Ok(index),
        });
    }
    Ok(out)
}

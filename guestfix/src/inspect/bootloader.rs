//! How the guest boots: the loader, its configuration, its entries.

mod bls;
mod extlinux;
mod menu_lst;
mod systemd_boot;

use crate::facts::{Boot, BootEntry, CommandLine, Loader, Site};
use crate::rule::Place;
use crate::text::grub_cfg::{self, Search};
use crate::text::{cmdline, grubenv, lines};
use crate::{Result, View, limits};

pub(crate) use bls::files as bls_files;
pub(crate) use systemd_boot::glob_of_entries;

/// Where distributions keep the real grub.cfg.
const GRUB_CONFIGS: [&str; 2] = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];
/// What the EFI partition holds is a stub that reads one of these, but for older Red Hat systems, where it is
/// a real one.
const EFI: &str = "/boot/efi/EFI";
/// What kernel-install gives the entries of kernels to come.
const KERNEL_CMDLINE: &str = "/etc/kernel/cmdline";
/// Red Hat's variable for what all entries share.
const KERNELOPTS: &str = "kernelopts";

/// Reads the boot loader's configuration.
pub(super) fn boot(view: &dyn View) -> Result<Boot> {
    let mut boot =
        Boot { loader: Loader::None, configs: Vec::new(), entries: Vec::new(), cmdlines: Vec::new() };
    let mut shared = Vec::new();
    for config in grub_configs(view)? {
        shared.extend(add_grub(view, &config, &mut boot)?);
    }
    // what no firmware starts was started by PV-GRUB, which knows this menu only
    if boot.loader == Loader::None || !view.machine().starts() {
        shared.extend(menu_lst::add(view, &mut boot)?);
    }
    if boot.loader == Loader::None {
        shared.extend(extlinux::add(view, &mut boot)?);
    }
    systemd_boot::add(view, &mut boot)?;
    shared.extend(kernel_cmdline(view)?);
    boot.cmdlines.extend(shared);
    Ok(boot)
}

fn grub_configs(view: &dyn View) -> Result<Vec<String>> {
    let mut candidates: Vec<String> = GRUB_CONFIGS.iter().map(|&path| path.to_owned()).collect();
    candidates.extend(view.list(EFI)?.into_iter().map(|vendor| format!("{EFI}/{vendor}/grub.cfg")));
    let mut out = Vec::new();
    for candidate in candidates {
        out.extend(view.resolve(&candidate)?.filter(|path| !out.contains(path)));
    }
    Ok(out)
}

/// Adds the menu of a grub.cfg, if it has one; answers the command lines that its entries share.
fn add_grub(view: &dyn View, config: &str, boot: &mut Boot) -> Result<Vec<CommandLine>> {
    let text = view.text(config)?.unwrap_or_default();
    let entries = grub_cfg::entries(&text);
    limits::at_most(config, entries.len() as u64, limits::BOOT_ENTRIES as u64, "boot entries")?;
    let uses_bls = grub_cfg::uses_blscfg(&text);
    if entries.is_empty() && !uses_bls {
        return Ok(Vec::new());
    }
    let menu = Menu::of(view, config, &text)?;
    let first = boot.entries.len();
    boot.loader = Loader::Grub2;
    boot.configs.push(config.to_owned());
    for entry in entries {
        let prefix = prefix(view, entry.search.as_ref());
        let mut initrds = Vec::new();
        limits::at_most(
            config,
            entry.initrds.len() as u64,
            limits::INITRDS,
            "initramfs images of one entry",
        )?;
        for path in &entry.initrds {
            initrds.push(in_tree(view, &prefix, path)?);
        }
        let written =
            Written { file: config, line: entry.line, site: Site::Linux, text: entry.cmdline.clone() };
        let complete = menu.expand(&entry.cmdline);
        boot.entries.push(BootEntry {
            place: written.place(),
            selector: entry.selector(),
            default: entry.is_selected_by(&menu.default),
            kernel: in_tree(view, &prefix, &entry.kernel)?,
            title: entry.title,
            initrds,
            cmdline: complete.clone(),
        });
        boot.cmdlines.push(written.into_cmdline(Some(complete)));
    }
    // two scripts may take their entries from one place
    if uses_bls && !boot.cmdlines.iter().any(|cmdline| cmdline.site == Site::Options) {
        bls::add(view, &menu, boot)?;
    }
    let added = boot.entries.get_mut(first..).unwrap_or_default();
    if !added.iter().any(|entry| entry.default)
        && let Some(entry) = added.first_mut()
    {
        // a default that names nothing falls back to the first
        entry.default = true;
    }
    Ok(menu.shared(&text))
}

/// A command line where it is written.
struct Written<'a> {
    file: &'a str,
    line: usize,
    site: Site,
    text: String,
}

impl Written<'_> {
    fn place(&self) -> Place {
        match self.site {
            Site::Variable(name) => Place::variable(self.file, name),
            _ => Place::line(self.file, self.line),
        }
    }

    fn into_cmdline(self, complete: Option<String>) -> CommandLine {
        let (place, file) = (self.place(), self.file.to_owned());
        CommandLine { place, file, line: self.line, site: self.site, written: self.text, complete }
    }
}

/// A menu of GRUB 2: its script, and the variables that the script knows.
struct Menu {
    config: String,
    /// The environment block beside the script, and where it is.
    block: Vec<u8>,
    environment: String,
    variables: Vec<(&'static str, String)>,
    /// The entry that starts by itself.
    default: String,
}

impl Menu {
    fn of(view: &dyn View, config: &str, text: &str) -> Result<Self> {
        let environment = grubenv::beside(config);
        let block = view.read(&environment)?.unwrap_or_default().to_vec();
        let value = |name: &str| {
            grubenv::get(&block, name)
                .or_else(|| Some(grub_cfg::variable(text, name)?.1.to_owned()))
                .filter(|value| !value.is_empty())
        };
        let default = match grub_cfg::default(text) {
            Some(default) if default == "${saved_entry}" => value("saved_entry"),
            default => default,
        };
        let known = [KERNELOPTS, "tuned_params"];
        Ok(Self {
            config: config.to_owned(),
            variables: known.into_iter().filter_map(|name| Some((name, value(name)?))).collect(),
            default: default.unwrap_or_else(|| "0".into()),
            environment: view.resolve(&environment)?.unwrap_or(environment),
            block,
        })
    }

    fn expand(&self, text: &str) -> String {
        let value = |name: &str| {
            let known = self.variables.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| value.clone())
        };
        cmdline::expand(text, value)
    }

    /// Red Hat's variable, in the environment block and in the script, where it is for when the block has
    /// none.
    fn shared(&self, text: &str) -> Vec<CommandLine> {
        let (file, site) = (self.environment.as_str(), Site::Variable(KERNELOPTS));
        let value = grubenv::get(&self.block, KERNELOPTS);
        let variable = value.map(|text| Written { file, line: 0, site, text });
        let (file, site) = (self.config.as_str(), Site::Set(KERNELOPTS));
        let value = grub_cfg::variable(text, KERNELOPTS);
        let set = value.map(|(line, text)| Written { file, line, site, text: text.to_owned() });
        let whole = |written: Written<'_>| {
            let complete = written.text.clone();
            written.into_cmdline(Some(complete))
        };
        variable.into_iter().chain(set).map(whole).collect()
    }
}

/// The first line that is no comment.
fn kernel_cmdline(view: &dyn View) -> Result<Option<CommandLine>> {
    let text = view.text(KERNEL_CMDLINE)?.unwrap_or_default();
    let line = lines(&text).find(|line| line.words().next().is_some());
    Ok(line.map(|line| {
        let text = line.body.to_owned();
        let written = Written { file: KERNEL_CMDLINE, line: line.number, site: Site::Line, text };
        written.into_cmdline(Some(line.body.to_owned()))
    }))
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

/// The path in the guest's tree of a path on the boot volume: what the volume says, else what exists. Links
/// are resolved: `/boot/vmlinuz` has no version in its name.
fn in_tree(view: &dyn View, prefix: &Option<String>, path: &str) -> Result<String> {
    let guesses = [
        prefix.as_ref().map(|prefix| format!("{prefix}{path}")),
        Some(path.to_owned()),
        Some(format!("/boot{path}")),
    ];
    for guess in guesses.iter().flatten() {
        if let Some(found) = view.resolve(guess)? {
            return Ok(found);
        }
    }
    Ok(guesses.into_iter().flatten().next().unwrap_or_default())
}

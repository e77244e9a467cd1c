//! GRUB's menu: how it comes to one, which entry starts if nobody touches a key, and what each loads.

use super::device::File;
use super::run::{Item, Loaded, Run, Source, State, Value};
use super::script::parse;
use super::{Entry, Started};
use crate::bootwalk::{Hop, HopKind, LONGEST_WAIT, MenuEntry};
use crate::inspect::bls_files;
use crate::place::Place;
use crate::text::{bls, cmdline};
use crate::{Guest, Result, limits};

use super::condition::Status;

/// Runs GRUB up to its menu; `hops` gets what it meets. Answers the entries in the order of the menu, those
/// of menus within it in its place.
///
/// # Errors
/// If the guest cannot be read.
pub(in crate::bootwalk) fn boot(
    guest: &Guest<'_>,
    started: &Started,
    hops: &mut Vec<Hop>,
) -> Result<Vec<Entry>> {
    let mut run = Run::new(guest, started);
    let image = Place::volume(&started.device);
    let script = started.embedded.as_ref().and_then(|embedded| embedded.script.clone());
    if let Some(script) = script {
        match parse(&script) {
            Ok(commands) => drop(run.commands(&commands)?),
            Err((_, why)) => hops.push(Hop::unknown(HopKind::Loader, &image, "GRUB's built-in script", why)),
        }
    }
    let loader = normal_mode(&mut run)?;
    if !loader.is_reached() {
        hops.push(loader);
        return Ok(Vec::new());
    }
    if run.state.items.is_empty() && run.state.unsure.is_none() {
        run.normal(None, &prefix_place(&run)?)?;
    }
    let at = hops.len();
    hops.push(loader);
    hops.append(&mut run.hops);
    if let Some((place, why)) = run.state.unsure.clone() {
        hops.push(Hop::unknown(HopKind::Menu, place, "GRUB's script", why));
        return Ok(Vec::new());
    }
    if run.state.items.is_empty() {
        let (place, why) = run.failures.pop().unwrap_or((prefix_place(&run)?, "it has no entry".into()));
        hops.push(Hop::blocked(
            HopKind::Menu,
            place,
            "GRUB's menu",
            format!("{why}: GRUB ends at its prompt"),
        ));
        return Ok(Vec::new());
    }
    let default = chosen(&run, hops);
    // The script that the menu is in is said once.
    if let Some((menu, before)) = hops.split_last()
        && before.last().is_some_and(|script| script.place == menu.place && script.is_reached())
    {
        hops.remove(before.len() - 1);
    }
    let state = run.state.clone();
    let mut out = Vec::new();
    walk_items(&mut run, &state, default.as_ref().map(|(index, rest)| (*index, rest.as_str())), &mut out)?;
    if let (Some(loader), [_, ..]) = (hops.get_mut(at), run.modules.loaded()) {
        loader.what = format!("{}, which loads {}", loader.what, run.modules.loaded().join(", "));
    }
    if !out.iter().any(|entry| entry.entry.default) && hops.iter().all(Hop::is_reached) {
        let place = state.items.first().map_or_else(|| image, |item| item.place.clone());
        hops.push(Hop::blocked(
            HopKind::Menu,
            place,
            "the entry that starts by itself",
            "it loads no kernel of Linux",
        ));
    }
    Ok(out)
}

fn prefix_place(run: &Run<'_>) -> Result<Place> {
    Ok(match run.value("prefix") {
        Value::Known(prefix) if !prefix.is_empty() => match run.locate(&prefix)? {
            File::At(path) | File::Absent(path) => Place::file(path),
            File::NoDevice(_) | File::Unseen(_) => Place::DISK,
        },
        _ => Place::DISK,
    })
}

/// The hop into normal mode: its modules are built in, or below the prefix.
fn normal_mode(run: &mut Run<'_>) -> Result<Hop> {
    let folder = run.module_folder()?;
    let prefix = match run.value("prefix") {
        Value::Known(prefix) => prefix,
        Value::Unsure(why) => {
            return Ok(Hop::unknown(HopKind::Loader, Place::DISK, "GRUB's prefix", why));
        }
    };
    let place = match &folder {
        File::At(path) => Place::file(path),
        _ => prefix_place(run)?,
    };
    let what = if prefix.is_empty() {
        "GRUB without a prefix".to_owned()
    } else {
        format!("GRUB with the prefix {prefix}")
    };
    if let (File::Unseen(why), false) = (&folder, run.modules.is_built_in("normal")) {
        return Ok(Hop::unknown(HopKind::Loader, place, what, why.clone()));
    }
    let known = run.failures.pop().map_or(String::new(), |(_, why)| format!("{why}, and "));
    Ok(match run.modules.load(run.guest.view, &folder, "normal")? {
        Ok(()) => Hop::reached(HopKind::Loader, place, what),
        Err(why) => {
            let why = format!("{known}{why}: GRUB ends at its rescue prompt");
            Hop::blocked(HopKind::Loader, place, what, why)
        }
    })
}

/// The item of a menu that its `default` names, and what is left of that for a menu within; `None`, with a
/// hop, where nobody can tell or nothing starts by itself.
fn chosen(run: &Run<'_>, hops: &mut Vec<Hop>) -> Option<(usize, String)> {
    let items = &run.state.items;
    let place = Place::file(items.first().and_then(|item| item.place.path()).unwrap_or_default());
    let what = format!("GRUB's menu, {} entries", items.len());
    let default = match run.value("default") {
        Value::Known(default) => default,
        Value::Unsure(why) => {
            hops.push(Hop::unknown(
                HopKind::Menu,
                place,
                what,
                format!("which entry starts is not sure: {why}"),
            ));
            return None;
        }
    };
    if let Value::Known(timeout) = run.value("timeout") {
        let why = match (timeout.as_str(), timeout.parse::<u32>()) {
            ("", _) => Some("no timeout is set, and the menu waits for a key".to_owned()),
            (timeout, Err(_)) => Some(format!("timeout={timeout}, and the menu waits for a key")),
            (_, Ok(seconds)) => {
                let why = format!("timeout={seconds}, for which nobody waits");
                (u64::from(seconds) > LONGEST_WAIT).then_some(why)
            }
        };
        if let Some(why) = why {
            hops.push(Hop::blocked(HopKind::Menu, place, what, why));
            return None;
        }
    }
    let (index, rest) = select(items, &default);
    let index_or_first = index.unwrap_or(0);
    let item = items.get(index_or_first)?;
    let title = &item.title;
    let asks = match run.value("superusers") {
        Value::Known(users) if users.is_empty() => None,
        _ if item.unrestricted => None,
        Value::Known(_) => Some("it asks for a user and a password"),
        Value::Unsure(_) => Some("whether it asks for a password is not sure"),
    };
    if let Some(why) = asks {
        hops.push(Hop::blocked(
            HopKind::Menu,
            item.place.clone(),
            what,
            format!("'{title}' starts by itself, and {why}"),
        ));
        return None;
    }
    let how = match index {
        Some(_) => format!("'{title}' starts by itself"),
        None => format!("its default {default:?} is none of them, and the first starts: '{title}'"),
    };
    let place = item.place.path().map_or(place, Place::file);
    hops.push(Hop::reached(HopKind::Menu, place, format!("{what}; {how}")));
    Some((index_or_first, rest))
}

/// What a value of `default` selects, and the rest of it behind `>`.
fn select(items: &[Item], default: &str) -> (Option<usize>, String) {
    let default = if default.is_empty() { "0" } else { default };
    let (name, rest) = part(default);
    let by_name = |item: &Item| item.title == name || item.id.as_deref() == Some(name.as_str());
    let index = match name.trim().parse::<usize>() {
        Ok(number) => Some(number).filter(|number| *number < items.len()),
        Err(_) => items.iter().position(by_name),
    };
    let rest = if index.is_some() { rest } else { String::new() };
    (index, rest)
}

/// The name up to the first `>` that is not doubled, and what is behind that.
fn part(default: &str) -> (String, String) {
    let mut name = String::new();
    let mut chars = default.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '>' && chars.next_if_eq(&'>').is_none() {
            return (name, chars.collect());
        }
        name.push(c);
    }
    (name, String::new())
}

/// Follows each item; `default` is the one that starts, with the rest of the choice.
fn walk_items(
    run: &mut Run<'_>,
    state: &State,
    default: Option<(usize, &str)>,
    out: &mut Vec<Entry>,
) -> Result<()> {
    for (index, item) in state.items.iter().enumerate() {
        let place = item.place.path().unwrap_or_default();
        limits::at_most(place, out.len() as u64, limits::BOOT_ENTRIES as u64, "boot entries")?;
        let rest = default.filter(|(chosen, _)| *chosen == index).map(|(_, rest)| rest);
        run.state = State { items: Vec::new(), loaded: None, over: false, ..state.clone() };
        run.failures.clear();
        let (file, body) = match &item.source {
            Source::Bls(file) => {
                out.extend(bls_entry(run, item, file, rest.is_some())?);
                continue;
            }
            Source::Script { file, body } => (file.clone(), body.clone()),
        };
        run.file = file;
        run.set("chosen", item.title.as_str());
        let arguments: Vec<&str> = item.arguments.iter().map(String::as_str).collect();
        run.set_arguments(&arguments);
        run.commands(&body)?;
        if item.is_submenu {
            let inner = State { items: std::mem::take(&mut run.state.items), ..run.state.clone() };
            let chosen = rest.map(|rest| select(&inner.items, rest));
            let chosen = chosen.as_ref().map(|(index, rest)| (index.unwrap_or(0), rest.as_str()));
            if inner.items.iter().all(|item| !item.is_submenu) || out.len() < limits::MENU_DEPTH {
                walk_items(run, &inner, chosen, out)?;
            }
            continue;
        }
        let unsure = run.state.unsure.clone();
        if let Some(loaded) = run.state.loaded.take() {
            out.push(entry_of(run, item.title.clone(), loaded, rest.is_some(), unsure.map(|(_, why)| why)));
        } else if rest.is_some() {
            out.push(without_kernel(run, item));
        }
    }
    Ok(())
}

/// The default entry, which loads nothing.
fn without_kernel(run: &Run<'_>, item: &Item) -> Entry {
    let why =
        run.failures.last().map_or_else(|| "it loads no kernel of Linux".to_owned(), |(_, why)| why.clone());
    let place = run.failures.last().map_or_else(|| item.place.clone(), |(place, _)| place.clone());
    Entry {
        entry: MenuEntry {
            title: item.title.clone(),
            place: item.place.clone(),
            default: true,
            kernel: String::new(),
            initrds: Vec::new(),
            cmdline: String::new(),
        },
        hops: vec![Hop::blocked(HopKind::Menu, place, format!("the entry '{}'", item.title), why)],
    }
}

/// What an entry has loaded, as the guest's own tree has it.
fn entry_of(run: &Run<'_>, title: String, loaded: Loaded, default: bool, unsure: Option<String>) -> Entry {
    let mut hops = Vec::new();
    let Loaded { place, protocol: _, kernel, cmdline, initrds, unsure: own } = loaded;
    let what = format!("the entry '{title}'");
    let mut path = |file: File| match file {
        File::At(path) | File::Absent(path) => path,
        File::NoDevice(device) => {
            let missed = run.failures.last().map_or(String::new(), |(_, why)| format!("; {why}"));
            let why = format!("it loads from {device}, which this machine does not have{missed}");
            hops.push(Hop::blocked(HopKind::Menu, place.clone(), what.clone(), why));
            format!("({device})")
        }
        File::Unseen(why) => {
            hops.push(Hop::unknown(HopKind::Menu, place.clone(), what.clone(), why));
            String::new()
        }
    };
    let kernel = path(kernel);
    let initrds = initrds.into_iter().map(&mut path).collect();
    if let Some(why) = own.or(unsure) {
        hops.push(Hop::unknown(HopKind::Menu, place.clone(), what, why));
    }
    Entry { entry: MenuEntry { title, place, default, kernel, initrds, cmdline }, hops }
}

fn bls_entry(run: &Run<'_>, item: &Item, file: &str, default: bool) -> Result<Option<Entry>> {
    let Some(text) = run.guest.view.text(file)? else { return Ok(None) };
    let Some(kernel) = bls::get(&text, "linux") else { return Ok(None) };
    let mut initrds = Vec::new();
    for path in bls::values(&text, "initrd").iter().flat_map(|(_, paths)| paths.split_whitespace()) {
        if !path.starts_with('$') {
            initrds.push(run.locate(path)?);
        }
    }
    let mut unsure = None;
    let options = bls::values(&text, "options").iter().map(|(_, value)| *value).collect::<Vec<_>>().join(" ");
    let cmdline = cmdline::expand(&options, |name| match run.value(name) {
        Value::Known(value) => Some(value),
        Value::Unsure(why) => {
            unsure = Some(why);
            None
        }
    });
    let place = bls::values(&text, "options")
        .first()
        .map_or_else(|| Place::file(file), |(line, _)| Place::line(file, *line));
    let kernel = run.locate(kernel.trim_end())?;
    let (protocol, cmdline) = (Default::default(), cmdline.trim_end().to_owned());
    let loaded = Loaded { place, protocol, kernel, cmdline, initrds, unsure };
    Ok(Some(entry_of(run, item.title.clone(), loaded, default, None)))
}

impl Run<'_> {
    /// Adds the entries of the Boot Loader Specification.
    pub(super) fn bls(&mut self, place: &Place) -> Result<Status> {
        let own = match self.value("blsdir") {
            Value::Known(own) if !own.is_empty() => Some(own),
            _ => None,
        };
        let dirs = match &own {
            Some(own) => vec![own.as_str()],
            None => vec!["/loader/entries", "/boot/loader/entries"],
        };
        for dir in dirs {
            let folder = match self.locate(dir)? {
                File::At(folder) => folder,
                File::Unseen(why) => return Ok(Status::Unsure(why)),
                File::Absent(_) | File::NoDevice(_) => continue,
            };
            let before = self.state.items.len();
            for file in bls_files(self.guest.view, &folder)? {
                let Some(text) = self.guest.view.text(&file)? else { continue };
                let id = file.rsplit('/').next().unwrap_or(&file).trim_end_matches(".conf").to_owned();
                let title = bls::get(&text, "title").unwrap_or(&id).trim_end().to_owned();
                let unrestricted =
                    bls::get(&text, "grub_arg").is_some_and(|word| word.contains("--unrestricted"));
                let place = Place::file(&file);
                let source = Source::Bls(file);
                self.state.items.push(Item {
                    arguments: Vec::new(),
                    title,
                    id: Some(id),
                    is_submenu: false,
                    unrestricted,
                    place,
                    source,
                });
            }
            if self.state.items.len() > before {
                return Ok(Status::Yes);
            }
        }
        Ok(self.fail(place, "blscfg finds no entry in loader/entries".into()))
    }
}

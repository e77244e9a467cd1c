//! Runs scripts of GRUB: commands one after the other, variables, files that are read by other files.
//!
//! A command whose outcome nobody can tell offline (a key that is held down, a font that is found) makes both
//! ways through its `if` be run: what they leave alike is known, all else is unsure.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::condition::{Status, holds};
use super::device::{File, file, found, name};
use super::image::MemDisk;
use super::modules::Modules;
use super::script::{Command, Piece, What, Word, parse};
use super::{Embedded, Started};
use crate::bootwalk::{Hop, HopKind};
use crate::place::Place;
use crate::text::grub_cfg::Search;
use crate::text::grubenv;
use crate::{Guest, Result, limits};

/// The most commands that are run for one guest.
const COMMANDS: u32 = 200_000;
/// The most calls within calls, of functions and of files.
const DEPTH: u32 = 24;
/// What GRUB's normal mode says that it can do.
const FEATURES: [&str; 9] = [
    "feature_200_final",
    "feature_all_video_module",
    "feature_chainloader_bpb",
    "feature_default_font_path",
    "feature_menuentry_id",
    "feature_menuentry_options",
    "feature_ntldr",
    "feature_platform_search_hint",
    "feature_timeout_style",
];

/// The variables that stand for the words behind a function's name.
const ARGUMENTS: [&str; 11] = ["*", "@", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Known(String),
    /// Nobody can tell, and why.
    Unsure(String),
}

/// An item of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) title: String,
    pub(super) id: Option<String>,
    /// It is a menu itself.
    pub(super) is_submenu: bool,
    /// It starts without a password where there are users.
    pub(super) unrestricted: bool,
    pub(super) place: Place,
    /// What `$1` and so on are in it.
    pub(super) arguments: Vec<String>,
    pub(super) source: Source,
}

/// What an item runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A part of a script, with the script's file.
    Script { file: String, body: Rc<Vec<Command>> },
    /// An entry of the Boot Loader Specification, by its file.
    Bls(String),
}

/// What a script has set up to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) place: Place,
    pub(super) kernel: File,
    pub(super) cmdline: String,
    pub(super) initrds: Vec<File>,
    /// Why some of this is not sure.
    pub(super) unsure: Option<String>,
}

/// What scripts change.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) variables: BTreeMap<String, Value>,
    pub(super) functions: BTreeMap<String, (String, Rc<Vec<Command>>)>,
    pub(super) items: Vec<Item>,
    pub(super) loaded: Option<Loaded>,
    /// A menu of another file took over, or `return` was met: nothing more is run.
    pub(super) over: bool,
    /// Why nobody can tell what the menu is.
    pub(super) unsure: Option<(Place, String)>,
}

/// A GRUB that runs.
pub(super) struct Run<'g> {
    pub(super) guest: &'g Guest<'g>,
    pub(super) started: &'g Started,
    pub(super) modules: Modules,
    pub(super) state: State,
    pub(super) hops: Vec<Hop>,
    /// What went wrong on the way and may be why it ends: the last is the nearest.
    pub(super) failures: Vec<(Place, String)>,
    /// The script that runs, and its path.
    pub(super) file: String,
    left: u32,
    depth: u32,
}

impl<'g> Run<'g> {
    pub(super) fn new(guest: &'g Guest<'g>, started: &'g Started) -> Self {
        let empty = Embedded::default();
        let embedded = started.embedded.as_ref().unwrap_or(&empty);
        let mut run = Self {
            guest,
            started,
            modules: Modules::new(&embedded.modules),
            state: State::default(),
            hops: Vec::new(),
            failures: Vec::new(),
            file: "GRUB's image".into(),
            left: COMMANDS,
            depth: 0,
        };
        let device = &started.device;
        run.set("cmdpath", format!("({device}){}", started.folder));
        run.set("grub_platform", started.platform);
        run.set("grub_cpu", started.cpu);
        let (device, path) = match embedded.prefix.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            // "(,msdos1)": of the disk that the firmware started
            Some((inside, path)) if inside.starts_with(',') => {
                (own_partition(device, inside), path.to_owned())
            }
            Some((device, path)) => (device.to_owned(), path.to_owned()),
            None => (device.clone(), embedded.prefix.clone()),
        };
        run.set("root", device.clone());
        if !path.is_empty() {
            run.set("prefix", format!("({device}){path}"));
        }
        run
    }

    /// What normal mode sets before it reads a menu.
    pub(super) fn enter_normal(&mut self) {
        for feature in FEATURES {
            self.set(feature, "y");
        }
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.put(name, Value::Known(value.into()));
    }

    fn put(&mut self, name: &str, value: Value) {
        if name == "prefix" && self.state.variables.get(name) != Some(&value) {
            self.modules.forget();
        }
        self.state.variables.insert(name.to_owned(), value);
    }

    /// The value of a variable; an empty one where it is not set.
    pub(super) fn value(&self, name: &str) -> Value {
        self.state.variables.get(name).cloned().unwrap_or(Value::Known(String::new()))
    }

    /// Where a path leads: on the device in it, else on `$root`.
    pub(super) fn locate(&self, path: &str) -> Result<File> {
        let (device, path) = match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((device, path)) => (device.to_owned(), path),
            None => match self.value("root") {
                Value::Known(device) => (device, path),
                Value::Unsure(why) => return Ok(File::Unseen(why)),
            },
        };
        file(self.guest.view, &device, path)
    }

    /// The folder of the modules.
    pub(super) fn module_folder(&self) -> Result<File> {
        match self.value("prefix") {
            Value::Known(prefix) => self.locate(&format!("{prefix}/{}", self.started.module_folder())),
            Value::Unsure(why) => Ok(File::Unseen(why)),
        }
    }

    fn has_command(&mut self, command: &str) -> Result<bool> {
        let folder = self.module_folder()?;
        Ok(self.modules.command(self.guest.view, &folder, command)?.is_ok())
    }

    /// Whether a command can be had; else it fails, as GRUB's does.
    fn command_is_there(&mut self, command: &str, place: &Place) -> Result<bool> {
        // Without its image nothing is known of what is built in: what normal.mod stands for is looked at alone.
        if self.started.embedded.is_none() {
            return Ok(true);
        }
        let folder = self.module_folder()?;
        match self.modules.command(self.guest.view, &folder, command)? {
            Ok(()) => Ok(true),
            Err(why) => {
                self.failures.push((place.clone(), format!("{command} cannot be had: {why}")));
                Ok(false)
            }
        }
    }

    /// Reads a script and runs it in this place.
    pub(super) fn source(&mut self, path: &str, place: &Place) -> Result<Status> {
        let located = if path.starts_with("(memdisk)") { None } else { Some(self.locate(path)?) };
        let text = match &located {
            None => return self.memory_disk(),
            Some(File::At(found)) => match self.guest.view.text(found)? {
                Some(text) if !text.trim().is_empty() => text,
                Some(_) => return Ok(self.fail(&Place::file(found), "it is empty".into())),
                None => return Ok(self.fail(&Place::file(found), "it is no file".into())),
            },
            Some(File::Absent(path)) => {
                return Ok(self.fail(&Place::file(path), "there is no such file".into()));
            }
            Some(File::NoDevice(device)) => {
                let why = format!("{path} is looked for on {device}, which this machine does not have");
                return Ok(self.fail(place, why));
            }
            Some(File::Unseen(why)) => {
                self.state.unsure.get_or_insert((place.clone(), why.clone()));
                return Ok(Status::Unsure(why.clone()));
            }
        };
        let Some(File::At(found)) = located else { return Ok(Status::No) };
        if self.depth == DEPTH {
            return Ok(self.fail(
                &Place::file(&found),
                format!("more than {DEPTH} files or functions within each other"),
            ));
        }
        let commands = match parse(&text) {
            Ok(commands) => commands,
            Err((line, why)) => {
                self.state.unsure.get_or_insert((Place::line(&found, line), why.clone()));
                return Ok(Status::Unsure(why));
            }
        };
        self.hops.push(Hop::reached(HopKind::Menu, found.as_str(), "a script of GRUB"));
        let outer = std::mem::replace(&mut self.file, found);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.set("config_file", path);
        self.set("config_directory", folder);
        self.depth += 1;
        let status = self.commands(&commands)?;
        self.depth -= 1;
        self.file = outer;
        Ok(status)
    }

    /// The script on the memory disk, or what such a script does where it cannot be read.
    fn memory_disk(&mut self) -> Result<Status> {
        let memdisk = self.started.embedded.as_ref().and_then(|embedded| embedded.memdisk.clone());
        match memdisk {
            Some(MemDisk::Read(Some(text))) => match parse(&text) {
                Ok(commands) => self.commands(&commands),
                Err((_, why)) => Ok(Status::Unsure(why)),
            },
            Some(MemDisk::Unread) => {
                for variable in ["prefix", "cmdpath"] {
                    let Value::Known(folder) = self.value(variable) else { continue };
                    let path = format!("{folder}/grub.cfg");
                    if matches!(self.locate(&path)?, File::At(_)) {
                        return self.source(&path, &Place::file(&self.file));
                    }
                }
                Ok(Status::No)
            }
            Some(MemDisk::Read(None)) | None => Ok(Status::No),
        }
    }

    /// Another file's menu takes the place of this one.
    pub(super) fn configure(&mut self, path: &str, place: &Place) -> Result<Status> {
        let items = std::mem::take(&mut self.state.items);
        let status = self.source(path, place)?;
        if self.state.items.is_empty() && self.state.unsure.is_none() {
            self.state.items = items;
        } else {
            self.state.over = true;
        }
        Ok(status)
    }

    pub(super) fn fail(&mut self, place: &Place, why: String) -> Status {
        self.failures.push((place.clone(), why));
        Status::No
    }

    pub(super) fn commands(&mut self, commands: &[Command]) -> Result<Status> {
        let mut status = Status::Yes;
        for command in commands {
            if self.state.over {
                break;
            }
            let Some(left) = self.left.checked_sub(1) else {
                let why = format!("it runs more than {COMMANDS} commands");
                self.state.unsure.get_or_insert((Place::line(&self.file, command.line), why.clone()));
                return Ok(Status::Unsure(why));
            };
            self.left = left;
            status = self.command(command)?;
        }
        Ok(status)
    }

    fn command(&mut self, command: &Command) -> Result<Status> {
        let place = Place::line(&self.file, command.line);
        match &command.what {
            What::Simple(words) => self.simple(words, &place),
            What::If { branches, otherwise } => self.branch(branches, otherwise),
            What::For { name, words, body } => {
                let words = match self.globbed(words)? {
                    Ok(words) => words,
                    Err(why) => {
                        self.state.unsure.get_or_insert((place, why.clone()));
                        return Ok(Status::Unsure(why));
                    }
                };
                let mut status = Status::Yes;
                for word in words {
                    self.set(name, word);
                    status = self.commands(body)?;
                }
                Ok(status)
            }
            What::Loop => {
                let why = "a loop, which is not followed".to_owned();
                self.state.unsure.get_or_insert((place, why.clone()));
                Ok(Status::Unsure(why))
            }
            What::Function { name, body } => {
                let function = (self.file.clone(), Rc::new(body.clone()));
                self.state.functions.insert(name.clone(), function);
                Ok(Status::Yes)
            }
            What::Block { words, body } => self.item(words, body, place),
        }
    }

    fn branch(&mut self, branches: &[(Vec<Command>, Vec<Command>)], otherwise: &[Command]) -> Result<Status> {
        let Some(((condition, then), rest)) = branches.split_first() else { return self.commands(otherwise) };
        match self.commands(condition)? {
            Status::Yes => self.commands(then),
            Status::No => self.branch(rest, otherwise),
            Status::Unsure(why) => {
                let before = self.state.clone();
                self.commands(then)?;
                let one = std::mem::replace(&mut self.state, before);
                self.branch(rest, otherwise)?;
                self.merge(one, &why);
                Ok(Status::Unsure(why))
            }
        }
    }

    /// What two ways through a script leave: this one, and another that may be the one taken.
    fn merge(&mut self, other: State, why: &str) {
        let names: Vec<String> = self.state.variables.keys().chain(other.variables.keys()).cloned().collect();
        for name in names {
            if self.state.variables.get(&name) != other.variables.get(&name) {
                self.put(&name, Value::Unsure(why.to_owned()));
            }
        }
        self.state.functions.extend(other.functions);
        let place = Place::file(&self.file);
        if self.state.items != other.items || self.state.over != other.over {
            self.state.unsure.get_or_insert((place, why.to_owned()));
        }
        match (&mut self.state.loaded, other.loaded) {
            (Some(one), Some(other)) if *one != other => one.unsure = Some(why.to_owned()),
            (None, Some(other)) => self.state.loaded = Some(Loaded { unsure: Some(why.to_owned()), ..other }),
            (Some(one), None) => one.unsure = Some(why.to_owned()),
            _ => {}
        }
        if let Some(unsure) = other.unsure {
            self.state.unsure.get_or_insert(unsure);
        }
    }

    /// The words with their variables filled in; an error where one is unsure.
    fn expand(&self, words: &[Word]) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        for word in words {
            let mut open: Option<String> = word.quoted.then(String::new);
            for piece in &word.pieces {
                match piece {
                    Piece::Text(text) => open.get_or_insert_default().push_str(text),
                    Piece::Variable { name, quoted } => {
                        let value = match self.value(name) {
                            Value::Known(value) => value,
                            Value::Unsure(why) => return Err(why),
                        };
                        if *quoted {
                            open.get_or_insert_default().push_str(&value);
                            continue;
                        }
                        let mut parts = value.split([' ', '\t', '\n']);
                        if let Some(first) = parts.next().filter(|first| !first.is_empty()) {
                            open.get_or_insert_default().push_str(first);
                        }
                        for part in parts {
                            out.extend(open.take());
                            open = (!part.is_empty()).then(|| part.to_owned());
                        }
                    }
                }
            }
            out.extend(open);
        }
        Ok(out)
    }

    /// The words with their variables filled in, and those with a `*` as the files that they name.
    fn globbed(&self, words: &[Word]) -> Result<Result<Vec<String>, String>> {
        let mut out = Vec::new();
        for word in words {
            let expanded = match self.expand(std::slice::from_ref(word)) {
                Ok(expanded) => expanded,
                Err(why) => return Ok(Err(why)),
            };
            for path in expanded {
                let Some((folder, pattern)) =
                    path.rsplit_once('/').filter(|(_, name)| name.contains('*') && !word.quoted)
                else {
                    out.push(path);
                    continue;
                };
                let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
                let fits = |name: &String| {
                    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
                };
                let names = match self.locate(folder)? {
                    File::At(found) => self.guest.view.list(&found)?,
                    File::Absent(_) | File::NoDevice(_) => Vec::new(),
                    File::Unseen(why) => return Ok(Err(why)),
                };
                limits::at_most(folder, names.len() as u64, limits::NAMES, "names")?;
                out.extend(names.into_iter().filter(fits).map(|name| format!("{folder}/{name}")));
            }
        }
        Ok(Ok(out))
    }

    fn simple(&mut self, words: &[Word], place: &Place) -> Result<Status> {
        if let Some((first, rest)) = words.split_first()
            && first.literal().as_deref() == Some("!")
        {
            return Ok(self.simple(rest, place)?.not());
        }
        let words = match self.expand(words) {
            Ok(words) => words,
            Err(why) => return Ok(self.unsure_command(words, why, place)),
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some((&command, arguments)) = words.split_first() else { return Ok(Status::Yes) };
        if let Some((name, value)) = command.split_once('=').filter(|(name, _)| is_name(name)) {
            self.set(name, value);
            return Ok(Status::Yes);
        }
        // A command goes before a function of its name, if it can be had.
        if let Some((file, body)) = self.state.functions.get(command).cloned()
            && !(is_of_module(command) && self.has_command(command)?)
        {
            return self.call(&file, &body, arguments, place);
        }
        self.builtin(command, arguments, place)
    }

    /// A command of which a word is not known.
    fn unsure_command(&mut self, words: &[Word], why: String, place: &Place) -> Status {
        let literal = |index: usize| words.get(index).and_then(Word::literal);
        let command = literal(0).unwrap_or_default();
        let assigned = match command.as_str() {
            "set" => words.get(1),
            _ => words.first(),
        };
        let name = assigned.and_then(|word| match word.pieces.first() {
            Some(Piece::Text(text)) => Some(text.split_once('=')?.0.to_owned()),
            _ => None,
        });
        match (command.as_str(), name) {
            (_, Some(name)) if is_name(&name) => self.put(&name, Value::Unsure(why.clone())),
            ("linux" | "linux16" | "linuxefi" | "initrd" | "initrd16" | "initrdefi", _) => {
                if let Some(loaded) = &mut self.state.loaded {
                    loaded.unsure = Some(why.clone());
                }
                self.failures.push((place.clone(), why.clone()));
            }
            ("configfile" | "source" | "." | "normal" | "search", _) => {
                self.state.unsure.get_or_insert((place.clone(), why.clone()));
            }
            _ => {}
        }
        Status::Unsure(why)
    }

    fn call(&mut self, file: &str, body: &[Command], arguments: &[&str], place: &Place) -> Result<Status> {
        if self.depth == DEPTH {
            let why = format!("more than {DEPTH} files or functions within each other");
            self.state.unsure.get_or_insert((place.clone(), why.clone()));
            return Ok(Status::Unsure(why));
        }
        let before = self.set_arguments(arguments);
        let outer = std::mem::replace(&mut self.file, file.to_owned());
        self.depth += 1;
        let status = self.commands(body);
        self.depth -= 1;
        self.file = outer;
        for (name, value) in ARGUMENTS.iter().zip(before) {
            match value {
                Some(value) => self.put(name, value),
                None => drop(self.state.variables.remove(*name)),
            }
        }
        status
    }

    /// Sets `$1` and so on; answers what they were.
    pub(super) fn set_arguments(&mut self, arguments: &[&str]) -> Vec<Option<Value>> {
        let before = ARGUMENTS.iter().map(|name| self.state.variables.remove(*name)).collect();
        let all = arguments.join(" ");
        let numbered = ARGUMENTS.iter().skip(2).zip(arguments);
        for (name, value) in [(&"*", &all.as_str()), (&"@", &all.as_str())].into_iter().chain(numbered) {
            self.set(name, *value);
        }
        before
    }

    fn builtin(&mut self, command: &str, arguments: &[&str], place: &Place) -> Result<Status> {
        if is_of_module(command) && !self.command_is_there(command, place)? {
            // What a condition would have said nobody can tell; all else has failed.
            let why = || self.failures.last().map_or(String::new(), |(_, why)| why.clone());
            return Ok(if matches!(command, "[" | "test") { Status::Unsure(why()) } else { Status::No });
        }
        Ok(match (command, arguments) {
            ("[", [inner @ .., "]"]) | ("test", inner) => {
                holds(self.guest.view, inner, &|path| self.locate(path))?
            }
            ("set", arguments) => {
                for (name, value) in arguments.iter().filter_map(|word| word.split_once('=')) {
                    self.set(name, value);
                }
                Status::Yes
            }
            ("unset", names) => {
                for name in names {
                    self.state.variables.remove(*name);
                }
                Status::Yes
            }
            ("search", arguments) => self.search(&SearchFor::of(arguments), place)?,
            ("search.fs_uuid", [uuid, rest @ ..]) => {
                let search = Search::Uuid((*uuid).to_owned());
                self.search(&SearchFor::volume(search, rest.first().copied()), place)?
            }
            ("search.fs_label", [label, rest @ ..]) => {
                let search = Search::Label((*label).to_owned());
                self.search(&SearchFor::volume(search, rest.first().copied()), place)?
            }
            ("search.file", [path, rest @ ..]) => {
                let variable = rest.first().copied().unwrap_or("root").to_owned();
                self.search(&SearchFor::File { path: (*path).to_owned(), variable }, place)?
            }
            ("source" | ".", [path, ..]) => self.source(path, place)?,
            ("configfile", [path, ..]) => self.configure(path, place)?,
            ("normal", arguments) => self.normal(arguments.first().copied(), place)?,
            ("load_env", arguments) => self.load_environment(arguments)?,
            ("linux" | "linux16" | "linuxefi", [kernel, arguments @ ..]) => {
                let kernel = self.locate(kernel)?;
                let cmdline = arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
                let place = place.clone();
                self.state.loaded =
                    Some(Loaded { place, kernel, cmdline, initrds: Vec::new(), unsure: None });
                Status::Yes
            }
            ("initrd" | "initrd16" | "initrdefi", paths) => {
                limits::at_most(
                    &self.file,
                    paths.len() as u64,
                    limits::INITRDS,
                    "initramfs images of one entry",
                )?;
                let paths = paths.iter().filter(|path| !path.starts_with("--") && !path.starts_with("newc:"));
                let files = paths.map(|path| self.locate(path)).collect::<Result<Vec<_>>>()?;
                if let Some(loaded) = &mut self.state.loaded {
                    // the last command counts
                    loaded.initrds = files;
                }
                Status::Yes
            }
            ("blscfg", _) => self.bls(place)?,
            ("insmod", [module, ..]) => self.insmod(module)?,
            ("regexp", arguments) => self.regexp(arguments),
            ("true" | ":", _) => Status::Yes,
            ("false", _) => Status::No,
            ("return" | "exit" | "halt" | "reboot" | "normal_exit", _) => {
                if command != "return" {
                    self.state
                        .unsure
                        .get_or_insert((place.clone(), format!("it may end here, by {command}")));
                }
                Status::Yes
            }
            (
                "echo" | "export" | "save_env" | "serial" | "terminal_input" | "terminal_output" | "terminal"
                | "clear" | "gfxpayload" | "rmmod" | "play" | "password" | "password_pbkdf2" | "setparams"
                | "boot" | "increment" | "decrement" | "version" | "ls" | "cat" | "cutmem" | "badram"
                | "background_color" | "videoinfo" | "list_env" | "devicetree" | "trust" | "verify_detached",
                _,
            ) => Status::Yes,
            _ => Status::Unsure(format!("what {command} answers cannot be told")),
        })
    }

    /// `regexp [--set [number:]name] expression text`
    fn regexp(&mut self, arguments: &[&str]) -> Status {
        let (mut sets, mut words) = (Vec::new(), Vec::new());
        let mut left = arguments.iter();
        while let Some(word) = left.next() {
            match word.strip_prefix("--set=") {
                Some(set) => sets.push(set),
                None if matches!(*word, "--set" | "-s") => sets.extend(left.next().copied()),
                None => words.push(*word),
            }
        }
        let [expression, text] = words.as_slice() else { return Status::No };
        let Ok(expression) = regex::Regex::new(expression) else {
            return Status::Unsure(format!("the expression {expression} is not understood"));
        };
        let Some(found) = expression.captures(text) else { return Status::No };
        for set in sets {
            let (number, name) = set.split_once(':').unwrap_or(("1", set));
            let part = number.parse().ok().and_then(|number| found.get(number));
            self.set(name, part.map_or("", |part| part.as_str()));
        }
        Status::Yes
    }

    fn insmod(&mut self, module: &str) -> Result<Status> {
        let folder = self.module_folder()?;
        // Most of them a menu can do without: what is not there fails by itself where it is needed.
        Ok(match folder {
            File::At(_) if self.started.embedded.is_some() => {
                let path = format!("{}/{module}.mod", self.started.module_folder());
                let Value::Known(prefix) = self.value("prefix") else { return Ok(Status::No) };
                let is_there = matches!(self.locate(&format!("{prefix}/{path}"))?, File::At(_));
                if is_there {
                    self.modules.insert(module);
                }
                Status::of(is_there || self.modules.is_built_in(module))
            }
            _ => Status::of(self.modules.is_built_in(module)),
        })
    }

    /// Normal mode with this menu, or with that of the prefix.
    pub(super) fn normal(&mut self, path: Option<&str>, place: &Place) -> Result<Status> {
        self.enter_normal();
        if let Some(path) = path {
            return self.configure(path, place);
        }
        // Red Hat's looks beside its image first.
        let beside = self.modules.is_built_in("blscfg") && self.started.platform == "efi";
        if beside && let Value::Known(folder) = self.value("cmdpath") {
            let path = format!("{folder}/grub.cfg");
            if matches!(self.locate(&path)?, File::At(_)) {
                return self.configure(&path, place);
            }
        }
        match self.value("prefix") {
            Value::Known(prefix) if !prefix.is_empty() => {
                self.configure(&format!("{prefix}/grub.cfg"), place)
            }
            Value::Known(_) => {
                Ok(self.fail(place, "it has no prefix: it does not know where its grub.cfg is".into()))
            }
            Value::Unsure(why) => Ok(Status::Unsure(why)),
        }
    }

    fn search(&mut self, search: &SearchFor, place: &Place) -> Result<Status> {
        let machine = self.guest.view.machine();
        let (device, variable, what) = match search {
            SearchFor::Volume { search, variable } => {
                let what = match search {
                    Search::Uuid(uuid) => format!("the UUID {uuid}"),
                    Search::Label(label) => format!("the label {label}"),
                };
                (found(machine, search).map(|volume| name(machine, volume)), variable, what)
            }
            SearchFor::File { path, variable } => {
                let mut device = None;
                for volume in &machine.volumes {
                    if device.is_none()
                        && matches!(super::on_volume(self.guest.view, volume, path)?, File::At(_))
                    {
                        device = Some(name(machine, volume));
                    }
                }
                (device, variable, format!("the file {path}"))
            }
            SearchFor::Other => return Ok(Status::Unsure("what it searches for is not understood".into())),
        };
        Ok(match device {
            Some(device) => {
                self.set(variable, device);
                Status::Yes
            }
            None => self.fail(place, format!("no volume of this machine has {what}")),
        })
    }

    fn load_environment(&mut self, arguments: &[&str]) -> Result<Status> {
        let mut arguments = arguments.iter();
        let (mut path, mut wanted) = (None, Vec::new());
        while let Some(argument) = arguments.next() {
            match *argument {
                "-f" | "--file" => path = arguments.next().map(|path| (*path).to_owned()),
                option if option.starts_with("--file=") => {
                    path = option.strip_prefix("--file=").map(str::to_owned)
                }
                option if option.starts_with('-') => {}
                name => wanted.push(name),
            }
        }
        let path = match (path, self.value("prefix")) {
            (Some(path), _) => path,
            (None, Value::Known(prefix)) => format!("{prefix}/grubenv"),
            (None, Value::Unsure(why)) => return Ok(Status::Unsure(why)),
        };
        let File::At(found) = self.locate(&path)? else { return Ok(Status::No) };
        let block = self.guest.view.read(&found)?.unwrap_or_default();
        let Some(variables) = grubenv::variables(&block) else {
            return Ok(self.fail(&Place::file(&found), "it is no environment block".into()));
        };
        for (name, value) in variables {
            if wanted.is_empty() || wanted.contains(&name.as_str()) {
                self.set(&name, value);
            }
        }
        Ok(Status::Yes)
    }

    fn item(&mut self, words: &[Word], body: &[Command], place: Place) -> Result<Status> {
        let words = match self.expand(words) {
            Ok(words) => words,
            Err(why) => {
                self.state.unsure.get_or_insert((place, why.clone()));
                return Ok(Status::Unsure(why));
            }
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (is_submenu, arguments) = match words.split_first() {
            Some((&"menuentry", rest)) => (false, rest),
            Some((&"submenu", rest)) => (true, rest),
            // one that a key starts
            Some((&"hiddenentry", _)) => return Ok(Status::Yes),
            _ => return self.commands(body),
        };
        limits::at_most(
            &self.file,
            self.state.items.len() as u64,
            limits::BOOT_ENTRIES as u64,
            "boot entries",
        )?;
        let after = |option: &str| arguments.iter().skip_while(|word| **word != option).nth(1);
        let has = |option: &str| {
            arguments.iter().any(|word| *word == option || word.starts_with(&format!("{option}=")))
        };
        let id =
            after("--id").copied().or_else(|| arguments.iter().find_map(|word| word.strip_prefix("--id=")));
        let mut given = Vec::new();
        let mut left = arguments.iter();
        while let Some(word) = left.next() {
            if matches!(*word, "--class" | "--users" | "--hotkey" | "--id") {
                left.next();
            } else if !word.starts_with("--") {
                given.push((*word).to_owned());
            }
        }
        let item = Item {
            arguments: given,
            title: arguments.first().copied().unwrap_or_default().to_owned(),
            id: id.map(str::to_owned),
            is_submenu,
            unrestricted: has("--unrestricted"),
            place,
            source: Source::Script { file: self.file.clone(), body: Rc::new(body.to_vec()) },
        };
        self.state.items.push(item);
        Ok(Status::Yes)
    }
}

/// Whether a command is of a module that may not be there.
fn is_of_module(command: &str) -> bool {
    super::modules::of_command(command).is_some()
}

/// What a `search` looks for, and the variable that gets the device.
enum SearchFor {
    Volume { search: Search, variable: String },
    File { path: String, variable: String },
    Other,
}

impl SearchFor {
    fn volume(search: Search, variable: Option<&str>) -> Self {
        Self::Volume { search, variable: variable.unwrap_or("root").to_owned() }
    }

    fn of(arguments: &[&str]) -> Self {
        let has = |names: &[&str]| {
            let short = |word: &str| word.starts_with('-') && !word.starts_with("--");
            arguments.iter().any(|word| {
                names.contains(word)
                    || short(word) && names.iter().any(|name| name.len() == 2 && word.contains(&name[1..]))
            })
        };
        let mut variable = None;
        let mut names = Vec::new();
        let mut words = arguments.iter().peekable();
        while let Some(word) = words.next() {
            if let Some(name) = word.strip_prefix("--set=") {
                variable = Some(name.to_owned());
            } else if *word == "--set" || *word == "-s" {
                variable = Some("root".to_owned());
            } else if *word == "--hint" {
                words.next();
            } else if !word.starts_with('-') {
                names.push(*word);
            }
        }
        // `--set root NAME`: the variable is a word of its own
        if names.len() > 1 && variable.is_some() {
            variable = Some(names.remove(0).to_owned());
        }
        let Some(name) = names.first().map(|name| (*name).to_owned()) else { return Self::Other };
        let variable = variable.unwrap_or_else(|| "root".to_owned());
        if has(&["--fs-uuid", "-u"]) {
            Self::Volume { search: Search::Uuid(name), variable }
        } else if has(&["--label", "--fs-label", "-l"]) {
            Self::Volume { search: Search::Label(name), variable }
        } else if has(&["--file", "-f"]) {
            Self::File { path: name, variable }
        } else {
            Self::Other
        }
    }
}

/// The partition of "hd0,gpt15" or "hd0" that is ",gpt1".
fn own_partition(device: &str, partition: &str) -> String {
    let disk = device.split_once(',').map_or(device, |(disk, _)| disk);
    format!("{disk}{partition}")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A word of a kernel's command line, in quotes if it has blanks.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}

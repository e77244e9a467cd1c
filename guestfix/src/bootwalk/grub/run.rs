//! Runs scripts of GRUB: commands one after the other, variables, files that are read by other files.
//!
//! A command whose outcome nobody can tell offline (a key that is held down, a font that is found) makes both
//! ways through its `if` be run: what they leave alike is known, all else is unsure.

mod entry;
mod files;
mod linux;
mod search;
mod words;

use std::collections::BTreeMap;
use std::rc::Rc;

pub(super) use self::entry::{Item, Source};
pub(super) use self::linux::Loaded;
use self::search::Search;
use super::condition::{Status, holds};
use super::device::{File, file};
use super::modules::Modules;
use super::script::{Command, Piece, What, Word};
use super::{Embedded, Started};
use crate::bootwalk::{Hop, LONGEST_WAIT};
use crate::place::Place;
use crate::text::grub_cfg::Search as By;
use crate::{Guest, Result};

/// The most commands that are run for one guest.
const COMMANDS: u32 = 200_000;
/// The most calls within calls, of functions and of files.
const DEPTH: u32 = 24;
/// Commands that take memory away, write to the hardware, or give disks other names.
const MACHINE: [&str; 15] = [
    "badram",
    "cutmem",
    "drivemap",
    "fakebios",
    "hdparm",
    "loadbios",
    "nativedisk",
    "outb",
    "outl",
    "outw",
    "setpci",
    "write_byte",
    "write_dword",
    "write_word",
    "fwsetup",
];
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

/// What scripts change.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) variables: BTreeMap<String, Value>,
    pub(super) functions: BTreeMap<String, (String, Rc<Vec<Command>>)>,
    pub(super) items: Vec<Item>,
    pub(super) loaded: Option<Loaded>,
    /// A menu of another file took over, or `return` was met: nothing more is run.
    pub(super) over: bool,
    /// For how many seconds it has slept.
    pub(super) slept: u64,
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
        self.state.slept = self.state.slept.max(other.slept);
        if let Some(unsure) = other.unsure {
            self.state.unsure.get_or_insert(unsure);
        }
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
            ("search", arguments) => self.search(&Search::of(arguments), place)?,
            ("search.fs_uuid", [uuid, rest @ ..]) => {
                self.search(&Search::volume(By::Uuid((*uuid).to_owned()), rest), place)?
            }
            ("search.fs_label", [label, rest @ ..]) => {
                self.search(&Search::volume(By::Label((*label).to_owned()), rest), place)?
            }
            ("search.file", [path, rest @ ..]) => self.search(&Search::file(path, rest), place)?,
            ("source" | ".", [path, ..]) => self.source(path, place)?,
            ("configfile", [path, ..]) => self.configure(path, place)?,
            ("normal", arguments) => self.normal(arguments.first().copied(), place)?,
            ("load_env", arguments) => self.load_environment(arguments)?,
            ("linux" | "linux16" | "linuxefi", [kernel, arguments @ ..]) => {
                self.linux(command, kernel, arguments, place)?
            }
            ("initrd" | "initrd16" | "initrdefi", paths) => self.initrd(command, paths, place)?,
            ("blscfg", _) => self.bls(place)?,
            ("insmod", [module, ..]) => self.insmod(module)?,
            ("regexp", arguments) => self.regexp(arguments),
            ("read", _) => self.stays(place, "read waits until somebody types".into()),
            ("sleep", arguments) => self.sleep(arguments, place),
            // it only answers
            ("fwsetup", ["--is-supported", ..]) => Status::Unsure("whether the firmware has a setup".into()),
            (command, _) if MACHINE.contains(&command) => {
                self.stays(place, format!("what {command} does to the machine is not known"))
            }
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
                | "boot" | "increment" | "decrement" | "version" | "ls" | "cat" | "background_color"
                | "videoinfo" | "list_env" | "devicetree" | "trust" | "verify_detached",
                _,
            ) => Status::Yes,
            _ => Status::Unsure(format!("what {command} answers cannot be told")),
        })
    }

    fn sleep(&mut self, arguments: &[&str], place: &Place) -> Status {
        let seconds = |word: &&str| {
            let digits = word.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            // what is longer than a number is for ever
            (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX))
        };
        let longer = arguments.iter().find_map(seconds).unwrap_or(0);
        self.state.slept = self.state.slept.saturating_add(longer);
        match self.state.slept {
            slept if slept > LONGEST_WAIT => self.stays(place, format!("it sleeps {slept} s")),
            _ => Status::Yes,
        }
    }

    /// A command behind which nobody can tell whether it comes any further.
    fn stays(&mut self, place: &Place, why: String) -> Status {
        self.state.unsure.get_or_insert((place.clone(), why));
        Status::Yes
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
}

/// Whether a command is of a module that may not be there.
fn is_of_module(command: &str) -> bool {
    super::modules::of_command(command).is_some()
}

/// The partition of "hd0,gpt15" or "hd0" that is ",gpt1".
fn own_partition(device: &str, partition: &str) -> String {
    let disk = device.split_once(',').map_or(device, |(disk, _)| disk);
    format!("{disk}{partition}")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

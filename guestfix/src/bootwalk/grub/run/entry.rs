//! `menuentry` and `submenu`: the items of a menu.

use std::rc::Rc;

use super::{Run, Status};
use crate::bootwalk::grub::script::{Command, Word};
use crate::place::Place;
use crate::{Result, limits};

/// An item of a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bootwalk::grub) struct Item {
    pub(in crate::bootwalk::grub) title: String,
    pub(in crate::bootwalk::grub) id: Option<String>,
    /// It is a menu itself.
    pub(in crate::bootwalk::grub) is_submenu: bool,
    /// It starts without a password where there are users.
    pub(in crate::bootwalk::grub) unrestricted: bool,
    pub(in crate::bootwalk::grub) place: Place,
    /// What `$1` and so on are in it.
    pub(in crate::bootwalk::grub) arguments: Vec<String>,
    pub(in crate::bootwalk::grub) source: Source,
}

/// What an item runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bootwalk::grub) enum Source {
    /// A part of a script, with the script's file.
    Script { file: String, body: Rc<Vec<Command>> },
    /// An entry of the Boot Loader Specification, by its file.
    Bls(String),
}

impl Run<'_> {
    pub(super) fn item(&mut self, words: &[Word], body: &[Command], place: Place) -> Result<Status> {
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

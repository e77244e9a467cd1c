//! `search`: the device that has a UUID, a label or a file.

use super::{Run, Status};
use crate::Result;
use crate::bootwalk::grub::device::{File, found, name};
use crate::bootwalk::grub::on_volume;
use crate::place::Place;
use crate::text::grub_cfg::Search as Volume;

/// What a `search` looks for, and the variable that gets the device.
pub(super) struct Search {
    by: By,
    variable: String,
}

enum By {
    Volume(Volume),
    File(String),
    /// It is not understood.
    Other,
}

impl Search {
    /// Of `search.fs_uuid` and `search.fs_label`, with the words behind the name.
    pub(super) fn volume(by: Volume, rest: &[&str]) -> Self {
        Self::new(By::Volume(by), rest.first().copied())
    }

    /// Of `search.file`, likewise.
    pub(super) fn file(path: &str, rest: &[&str]) -> Self {
        Self::new(By::File(path.to_owned()), rest.first().copied())
    }

    fn new(by: By, variable: Option<&str>) -> Self {
        Self { by, variable: variable.unwrap_or("root").to_owned() }
    }

    /// Of `search` with its options.
    pub(super) fn of(arguments: &[&str]) -> Self {
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
                variable = Some(name);
            } else if *word == "--set" || *word == "-s" {
                variable = Some("root");
            } else if *word == "--hint" {
                words.next();
            } else if !word.starts_with('-') {
                names.push(*word);
            }
        }
        // `--set root NAME`: the variable is a word of its own
        if names.len() > 1 && variable.is_some() {
            variable = Some(names.remove(0));
        }
        let by = match names.first().map(|name| (*name).to_owned()) {
            Some(name) if has(&["--fs-uuid", "-u"]) => By::Volume(Volume::Uuid(name)),
            Some(name) if has(&["--label", "--fs-label", "-l"]) => By::Volume(Volume::Label(name)),
            Some(name) if has(&["--file", "-f"]) => By::File(name),
            _ => By::Other,
        };
        Self::new(by, variable)
    }
}

impl Run<'_> {
    pub(super) fn search(&mut self, search: &Search, place: &Place) -> Result<Status> {
        let (view, machine) = (self.guest.view, self.guest.view.machine());
        let (device, what) = match &search.by {
            By::Volume(by) => {
                let what = match by {
                    Volume::Uuid(uuid) => format!("the UUID {uuid}"),
                    Volume::Label(label) => format!("the label {label}"),
                };
                (found(machine, by).map(|volume| name(machine, volume)), what)
            }
            By::File(path) => {
                let mut device = None;
                for volume in &machine.volumes {
                    if device.is_none() && matches!(on_volume(view, volume, path)?, File::At(_)) {
                        device = Some(name(machine, volume));
                    }
                }
                (device, format!("the file {path}"))
            }
            By::Other => return Ok(Status::Unsure("what it searches for is not understood".into())),
        };
        Ok(match device {
            Some(device) => {
                self.set(&search.variable, device);
                Status::Yes
            }
            None => self.fail(place, format!("no volume of this machine has {what}")),
        })
    }
}

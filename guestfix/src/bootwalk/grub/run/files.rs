//! The files that scripts of GRUB read: other scripts, menus that take the place of this one, and the
//! environment block.

use super::{DEPTH, Run, Status, Value};
use crate::Result;
use crate::bootwalk::grub::device::File;
use crate::bootwalk::grub::image::MemDisk;
use crate::bootwalk::grub::script::parse;
use crate::bootwalk::{Hop, HopKind};
use crate::place::Place;
use crate::text::grubenv;

impl Run<'_> {
    /// Reads a script and runs it in this place.
    pub(in crate::bootwalk::grub) fn source(&mut self, path: &str, place: &Place) -> Result<Status> {
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
                Err((line, why)) => {
                    let place = Place::line("(memdisk)/grub.cfg", line);
                    self.state.unsure.get_or_insert((place, why.clone()));
                    Ok(Status::Unsure(why))
                }
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
    pub(in crate::bootwalk::grub) fn configure(&mut self, path: &str, place: &Place) -> Result<Status> {
        let items = std::mem::take(&mut self.state.items);
        let status = self.source(path, place)?;
        if self.state.items.is_empty() && self.state.unsure.is_none() {
            self.state.items = items;
        } else {
            self.state.over = true;
        }
        Ok(status)
    }

    /// Normal mode with this menu, or with that of the prefix.
    pub(in crate::bootwalk::grub) fn normal(&mut self, path: Option<&str>, place: &Place) -> Result<Status> {
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

    pub(super) fn load_environment(&mut self, arguments: &[&str]) -> Result<Status> {
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
}

//! A unified kernel image: kernel, initramfs and command line are sections of one program for UEFI
//! (uapi-group.org, Unified Kernel Image, 2026).

use super::program::Program;
use super::{Entry, Hop, HopKind, MenuEntry};
use crate::place::Place;
use crate::text::{bytes, shell_assign};
use crate::{Guest, Result};

/// The entry that an image is, if it is one; `hops` gets why it is none.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn entry(guest: &Guest<'_>, file: &str, hops: &mut Vec<Hop>) -> Result<Vec<Entry>> {
    let entry = read(guest, file)?;
    match entry {
        Ok(entry) => {
            hops.push(Hop::reached(HopKind::Menu, file, "the one entry that the image is"));
            Ok(vec![Entry { entry: MenuEntry { default: true, ..entry }, hops: Vec::new() }])
        }
        Err(why) => {
            hops.push(Hop::blocked(HopKind::Menu, file, "a unified kernel image", why));
            Ok(Vec::new())
        }
    }
}

/// What an image starts; the inner error says why it starts nothing.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn read(guest: &Guest<'_>, file: &str) -> Result<Result<MenuEntry, String>> {
    let program = match Program::read(guest.view, file)? {
        Ok(program) => program,
        Err(why) => return Ok(Err(why)),
    };
    let content = guest.view.read(file)?.unwrap_or_default();
    if program.section(&content, ".linux").is_none_or(<[u8]>::is_empty) {
        return Ok(Err("it has no kernel in it".into()));
    }
    let text = |name: &str| program.section(&content, name).map(bytes::decode);
    let name = text(".osrel").and_then(|text| shell_assign::get(&text, "PRETTY_NAME").map(str::to_owned));
    let cmdline = text(".cmdline").unwrap_or_default();
    Ok(Ok(MenuEntry {
        title: name.unwrap_or_else(|| file.rsplit('/').next().unwrap_or(file).to_owned()),
        place: Place::variable(file, ".cmdline"),
        default: false,
        kernel: file.to_owned(),
        initrds: Vec::new(),
        cmdline: cmdline.trim_end_matches(['\0', '\n', ' ']).to_owned(),
    }))
}

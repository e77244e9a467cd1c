//! A part of the walk as it looks at the guest: what cannot be read on the way is said.

use libdisk::vfs::{FileType, Metadata};

use super::{Hop, HopKind};
use crate::unread::{Noting, distinct};
use crate::{Guest, Result, View};

/// The hops that `find` answers. Where it had to look at something that cannot be read, what it says of that
/// is not known.
///
/// # Errors
/// If the device fails.
pub(super) fn look(
    guest: &Guest<'_>,
    kind: HopKind,
    find: impl FnOnce(&Guest<'_>) -> Result<Vec<Hop>>,
) -> Result<Vec<Hop>> {
    let mut hops = Vec::new();
    let add = |guest: &Guest<'_>, hops: &mut Vec<Hop>| {
        hops.extend(find(guest)?);
        Ok(())
    };
    follow(guest, kind, &mut hops, add)?;
    Ok(hops)
}

/// The same for a part of the walk that adds its hops one by one, and answers something as well.
///
/// # Errors
/// If the device fails.
pub(super) fn follow<T: Default>(
    guest: &Guest<'_>,
    kind: HopKind,
    hops: &mut Vec<Hop>,
    part: impl FnOnce(&Guest<'_>, &mut Vec<Hop>) -> Result<T>,
) -> Result<T> {
    // What others looked at.
    guest.facts.looked_at();
    guest.view.take_unread();
    let noting = Noting::new(guest.view);
    let found = part(&Guest { view: &noting, ..*guest }, hops);
    let mut unread = [noting.take_unread(), guest.facts.looked_at()].concat();
    let value = match found {
        Ok(value) => value,
        Err(error) => {
            unread.push(error.unread()?);
            T::default()
        }
    };
    let unread = distinct(unread);
    let is_unread = |hop: &Hop| {
        let same = |path: &str| unread.iter().any(|unread| unread.place.path() == Some(path));
        hop.place.path().is_some_and(same)
    };
    hops.retain(|hop| !is_unread(hop));
    hops.extend(unread.iter().map(|unread| Hop::unread(kind, unread)));
    Ok(value)
}

/// A file that has to be there with something in it; the inner error says why it is none.
///
/// # Errors
/// If the guest cannot be read.
pub(super) fn regular(view: &dyn View, path: &str) -> Result<Result<Metadata, &'static str>> {
    Ok(match view.stat(path)? {
        None => Err("there is no such file"),
        Some(metadata) if metadata.file_type != FileType::Regular => Err("it is no regular file"),
        Some(metadata) if metadata.size == 0 => Err("it is empty"),
        Some(metadata) => Ok(metadata),
    })
}

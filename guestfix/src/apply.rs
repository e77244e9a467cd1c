//! Carries out a plan: in an overlay, after every condition was checked, and proven by the rules that asked
//! for it.
//!
//! A disk that is to get a partition table is looked at, and written, as the disk with one that it becomes.
//!
//! The order is: check everything that the plan expects of the image, reading only; replay journals; write,
//! one transaction for each volume; read the result again as a new guest and run the rules of the plan on it.
//! What goes wrong goes wrong with an overlay that nobody has seen: the source never changes here.

mod volume;

use std::collections::BTreeMap;

use libdisk::block::{DiskMut, Event, Observer, Overlay, Sealed};
use libdisk::vfs::FsError;
use libdisk::volume::wrap;

pub use volume::write;

use crate::edit::{Before, Content, Step, sha256};
use crate::facts::Volume;
use crate::plan::{Identity, Plan, Verdict, judge, unsatisfied};
use crate::report::counted;
use crate::stage::before;
use crate::tree::{Tree, volume_at};
use crate::unread::Noting;
use crate::{Disks, Edit, Error, Result, Rule, Stage, View, rules};

/// Applies a plan to the disks of a guest and proves the result: an overlay over each. The disks themselves
/// do not change.
///
/// # Errors
/// `OtherImage` at the first thing that is not as the plan says, `Refused` for what cannot be done: nothing
/// was written then. `Unsatisfied` if a rule of the plan still finds its fault in the result; what the file
/// systems report.
pub fn apply(
    disks: impl Into<Disks>,
    identities: &[Identity],
    plan: &Plan,
    observer: &dyn Observer,
) -> Result<Vec<Sealed>> {
    apply_with(rules::ALL, disks, identities, plan, observer)
}

/// [`apply`] for a plan that was made with other rules than the built-in ones.
///
/// # Errors
/// As [`apply`].
pub fn apply_with(
    rules: &[&Rule],
    disks: impl Into<Disks>,
    identities: &[Identity],
    plan: &Plan,
    observer: &dyn Observer,
) -> Result<Vec<Sealed>> {
    let total = Some(plan.totals.bytes);
    observer.on(Event::started("check the image against the plan", None));
    same_images(identities, &plan.source)?;
    let mut disks = disks.into();
    if let (Some(head), Some(first)) = (plan.head(), disks.all().first()) {
        disks = disks.with_first(wrap::wrap_bare(first.clone(), head)?);
    }
    let tree = Tree::open(disks.clone())?;
    same_befores(&tree, plan)?;
    observer.on(Event::finished());

    observer.on(Event::started("apply", total));
    let overlays: Vec<_> = disks.all().iter().cloned().map(Overlay::new).collect::<Result<_, _>>()?;
    let writers: Vec<_> = overlays.iter().map(Overlay::writer).collect();
    for step in &plan.steps {
        if let Edit::ReplayJournal { volume } = &step.edit {
            replay(&writers, to_replay(&tree, volume)?)?;
        }
    }
    for (volume, steps) in by_volume(&tree, plan)? {
        write_volume(&writers, volume, &steps, &tree, plan.time)?;
    }
    for step in &plan.steps {
        if let Edit::PutBytes { disk, offset, content, .. } = &step.edit {
            let writer = writers.get(*disk).ok_or_else(|| no_disk(*disk))?;
            writer.write_at(content, *offset)?;
        }
    }
    drop(writers);
    let sealed = overlays.into_iter().map(Overlay::seal).collect::<Result<Vec<_>, _>>()?;
    observer.on(Event::finished());

    observer.on(Event::started("verify", None));
    verify_with(rules, &Tree::open(disks.with(&sealed))?, plan)?;
    observer.on(Event::finished());
    Ok(sealed)
}

fn no_disk(disk: usize) -> Error {
    Error::OtherImage { what: format!("it has no disk {}", disk + 1) }
}

/// Proves that a guest is what the plan wanted: every path has the content planned, and no rule that had a
/// part in the plan finds a fault.
///
/// # Errors
/// `Unsatisfied` for a rule that does, `OtherImage` for a path that has not; if the guest cannot be read.
pub fn verify_with(rules: &[&Rule], view: &dyn View, plan: &Plan) -> Result<()> {
    for step in &plan.steps {
        arrived(view, &step.edit)?;
    }
    let noting = Noting::new(view);
    let mut stage = Stage::new(&noting, &plan.goal);
    for rule in rules {
        let id = rule.meta.id;
        if plan.steps.iter().any(|step| step.rules.iter().any(|rule| rule == id))
            && let Verdict::Wrong { evidence, .. } = judge(rule, &mut stage)?.verdict
        {
            return Err(unsatisfied(rule, &evidence));
        }
    }
    Ok(())
}

/// Refuses disks that are not the plan's. Where they were is no matter.
fn same_images(identities: &[Identity], planned: &[Identity]) -> Result<()> {
    if identities.len() != planned.len() {
        let what =
            format!("it has {}, and the plan's had {}", counted(identities.len(), "disk"), planned.len());
        return Err(Error::OtherImage { what });
    }
    identities
        .iter()
        .zip(planned)
        .enumerate()
        .try_for_each(|(index, (identity, planned))| same_image(index, identity, planned))
}

fn same_image(index: usize, identity: &Identity, planned: &Identity) -> Result<()> {
    let which = if index == 0 { String::new() } else { format!("disk {}: ", index + 1) };
    let other = |what: String| Err(Error::OtherImage { what: which + &what });
    if identity.size != planned.size {
        return other(format!("it has {} bytes, and the plan's had {}", identity.size, planned.size));
    }
    if identity.sha256 != planned.sha256 {
        let [ours, theirs] =
            [&identity.sha256, &planned.sha256].map(|digest| digest.get(..16).unwrap_or(digest));
        return other(format!("its identity is {ours}..., and that of the plan's was {theirs}..."));
    }
    Ok(())
}

/// Refuses an image of which any part that the plan replaces is not as it was.
pub(crate) fn same_befores(view: &dyn View, plan: &Plan) -> Result<()> {
    for Step { edit, .. } in &plan.steps {
        match edit {
            Edit::PutFile { path, before: planned, .. }
            | Edit::PutLink { path, before: planned, .. }
            | Edit::Remove { path, before: planned } => {
                let found = before(view, path)?;
                if found != *planned {
                    let (found, planned) = (in_words(&found), in_words(planned));
                    return Err(Error::OtherImage { what: format!("{path} is {found}, and was {planned}") });
                }
            }
            Edit::PutBytes { disk, offset, sha256: planned, content, .. } => {
                if sha256(&view.disk_bytes(*disk, *offset, content.len())?) != *planned {
                    let what = format!("the {} bytes of the disk at {offset:#x} are others", content.len());
                    return Err(Error::OtherImage { what });
                }
            }
            Edit::ReplayJournal { volume } => {
                to_replay(view, volume)?;
            }
            // of nothing that was there
            Edit::Wrap { .. } => {}
        }
    }
    Ok(())
}

/// The volume of this name, with a journal to be replayed.
fn to_replay<'a>(view: &'a dyn View, name: &str) -> Result<&'a Volume> {
    let volume = view.machine().volumes.iter().find(|volume| volume.name == name && volume.needs_recovery);
    volume.ok_or_else(|| Error::OtherImage { what: format!("{name} has no journal that must be replayed") })
}

fn replay(disks: &[DiskMut], volume: &Volume) -> Result<()> {
    let failed = |source: FsError| Error::Volume { volume: volume.name.clone(), source: source.into() };
    let device = volume.device.open_mut(disks)?;
    libdisk::replay_filesystem(&device).map_err(failed)?;
    Ok(device.flush()?)
}

fn in_words(before: &Before) -> String {
    match before {
        Before::Absent => "not there".to_owned(),
        Before::File { sha256, size } => {
            format!("a file of {size} bytes (sha256 {}...)", sha256.get(..16).unwrap_or(sha256))
        }
        Before::Link { target } => format!("a link to {target}"),
    }
}

/// The steps for each volume, in the order of the plan; volumes in the order of the machine.
fn by_volume<'a>(tree: &'a Tree, plan: &'a Plan) -> Result<Vec<(&'a Volume, Vec<&'a Edit>)>> {
    let mut edits: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
    for Step { edit, .. } in &plan.steps {
        if let Edit::PutFile { path, .. } | Edit::PutLink { path, .. } | Edit::Remove { path, .. } = edit {
            let volume = volume_at(tree.machine(), path);
            let volume =
                volume.ok_or_else(|| Error::Refused(format!("{path} is on no volume of this machine")))?;
            edits.entry(&volume.name).or_default().push(edit);
        }
    }
    let volumes = tree.machine().volumes.iter();
    Ok(volumes.filter_map(|volume| Some((volume, edits.remove(volume.name.as_str())?))).collect())
}

fn write_volume(disks: &[DiskMut], volume: &Volume, edits: &[&Edit], tree: &Tree, time: i64) -> Result<()> {
    let failed = |source: FsError| Error::Volume { volume: volume.name.clone(), source: source.into() };
    let device = volume.device.open_mut(disks)?;
    let fs = libdisk::open_filesystem_mut(&device).map_err(failed)?;
    let mut fs = fs.ok_or_else(|| Error::Refused(format!("volume {} has no file system", volume.name)))?;
    let point = volume.mounted_at.as_deref().unwrap_or("/");
    write(&mut *fs, &volume.name, point, edits, tree, time)?;
    drop(fs);
    device.flush()?;
    Ok(())
}

/// Whether the guest has what the edit put there.
fn arrived(view: &dyn View, edit: &Edit) -> Result<()> {
    let (place, ok) = match edit {
        Edit::PutFile { path, content, .. } => {
            let found = view.read(path)?;
            let ok = match content {
                Content::Text(text) => found.as_deref() == Some(text.as_bytes()),
                Content::Bytes(bytes) => found.as_deref() == Some(bytes.as_slice()),
                Content::Edited { sha256: planned, .. } => {
                    found.as_deref().is_some_and(|content| sha256(content) == *planned)
                }
                // The original was checked when it was copied; by now it may have changed.
                Content::CopyOf(_) => found.is_some(),
            };
            (path.clone(), ok)
        }
        Edit::PutLink { path, target, .. } => (path.clone(), view.read_link(path)?.as_ref() == Some(target)),
        Edit::Remove { path, .. } => (path.clone(), view.lstat(path)?.is_none()),
        Edit::PutBytes { disk, offset, content, .. } => {
            (format!("byte {offset:#x}"), view.disk_bytes(*disk, *offset, content.len())? == *content)
        }
        Edit::Wrap { head, .. } => {
            ("the boot record".to_owned(), view.disk_bytes(0, 0, head.len())? == *head)
        }
        Edit::ReplayJournal { volume } => {
            let known = view.machine().volumes.iter().find(|known| known.name == *volume);
            (volume.clone(), known.is_some_and(|volume| !volume.needs_recovery))
        }
    };
    let what = || format!("{place} has not got what the plan puts there");
    if ok { Ok(()) } else { Err(Error::OtherImage { what: what() }) }
}

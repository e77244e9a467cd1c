//! Opening what the user names, and refusing what is half changed.

use std::cell::OnceCell;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use guestfix::plan::Identity;
use guestfix::rule::Target;
use guestfix::tree::Tree;
use guestfix::{View, undo};
use libdisk::block::{self, Disk, ErrorKind};
use libdisk::image::in_use::{self, Exclusive, Reading, User};
use libdisk::image::qcow2::Backing;
use libdisk::{Address, Location, OpenOptions, Opened};

use crate::answer::Help;
use crate::cli::GoalArgs;
use crate::context::Context;
use crate::grub;
use crate::snapshot::{self, Pull};

/// An image as the user named it.
pub(crate) struct Image {
    /// What was typed.
    pub(crate) name: String,
    /// Taken apart.
    pub(crate) address: Address,
    /// Opened.
    pub(crate) opened: Opened,
    /// Nobody changes it meanwhile, as far as locks go.
    _reading: Option<Reading>,
    /// Once it was asked for.
    identity: OnceCell<[u8; 32]>,
}

impl Image {
    /// The device.
    pub(crate) fn disk(&self) -> &Disk {
        &self.opened.disk
    }

    /// What tells this image from others, cheap to find; as it was when this was first asked.
    pub(crate) fn identity(&self) -> Result<[u8; 32]> {
        if let Some(known) = self.identity.get() {
            return Ok(*known);
        }
        let found = libdisk::identity(self.disk())?;
        Ok(*self.identity.get_or_init(|| found))
    }

    /// The same, as plans carry it.
    pub(crate) fn plan_identity(&self) -> Result<Identity> {
        let path = match &self.address.location {
            Location::File { .. } => std::path::absolute(&self.opened.path)?,
            Location::Ebs(_) | Location::Azure(_) => self.opened.path.clone(),
        };
        Ok(Identity::new(&path.display().to_string(), self.disk().size(), &self.identity()?))
    }

    /// The mode of a file that holds what is in it.
    pub(crate) fn mode(&self) -> Result<u32> {
        match &self.address.location {
            Location::File { path, .. } => Ok(block::mode_like(path)?),
            Location::Ebs(_) | Location::Azure(_) => Ok(block::ANY_MODE),
        }
    }

    /// The guest in it.
    pub(crate) fn tree(&self) -> Result<Tree> {
        Tree::open(self.disk().clone()).with_context(|| self.name.clone())
    }

    /// The guest in it, for a check or plan: with GRUB, if the disk may want it.
    pub(crate) fn guest_for(&self, args: &GoalArgs) -> Result<Tree> {
        let tree = self.guest()?;
        if tree.machine().starts() || args.goal().target != Target::AzureGen1 {
            return Ok(tree);
        }
        Ok(match grub::find(args.grub.as_deref())? {
            Some(grub) => tree.with_grub(grub),
            None => tree,
        })
    }

    /// How it is pulled, if it is a snapshot in AWS. `changes` is the digest of what was changed in it.
    pub(crate) fn pull(&self, changes: Option<[u8; 32]>) -> Option<Pull<'_>> {
        let first = self.opened.snapshots.first()?;
        Some(Pull { snapshot: &first.snapshot, changes, since: None })
    }

    /// The guest in it, which must have a root file system.
    pub(crate) fn guest(&self) -> Result<Tree> {
        let tree = self.tree()?;
        if tree.has_root() {
            return Ok(tree);
        }
        let error: Result<Tree> =
            Err(anyhow!("{}: no operating system that refloat knows is in it", self.name));
        error.help(format!("refloat inspect {} shows what is there", self.name))
    }
}

/// What to do about an image that others use.
const NOT_ALONE: &str =
    "shut the machine down, or unmount the image, and try again; or work on a copy or snapshot of it";

/// Opens an image for reading. One that an interrupted `apply --in-place` left half changed is refused; that another
/// program may change it meanwhile is told.
pub(crate) fn open(context: &Context, name: &str) -> Result<Image> {
    let address: Address = name.parse().help("refloat --help shows what an address looks like")?;
    if let libdisk::Location::File { path, .. } = &address.location
        && path.exists()
    {
        let users = in_use::users(path)?;
        let writer = users.iter().find(|user| user.writes);
        if undo::pending(path)? {
            return half_changed(name, writer);
        }
        if let Some(User { who, .. }) = writer {
            context.note(format!("note: {name} is in use, and may change while it is read: {who}"));
        }
    }
    open_any(context, name, address)
}

fn half_changed(name: &str, writer: Option<&User>) -> Result<Image> {
    if let Some(User { who, .. }) = writer {
        let error = Err(anyhow!("{name}: an apply --in-place or an undo is at work on it: {who}"));
        return error.help("wait until it has ended");
    }
    let error = Err(anyhow!("{name}: an apply --in-place was interrupted, so it is half changed"));
    error.help(format!("refloat undo {name} puts it back; the same apply finishes it"))
}

/// Opens an image for reading, half changed or not.
pub(crate) fn open_any(context: &Context, name: &str, address: Address) -> Result<Image> {
    let global = &context.global;
    let backing = global.allow_backing.clone().map_or(Backing::Deny, Backing::AllowIn);
    let options = OpenOptions { format: None, backing, ebs: snapshot::options(global) };
    let reading = match &address.location {
        Location::File { path, .. } => Reading::take(path),
        _ => None,
    };
    match libdisk::open(&address, &options) {
        Ok(opened) => {
            context.opened.add(&opened.snapshots);
            let (name, identity) = (name.to_owned(), OnceCell::new());
            Ok(Image { name, address, opened, _reading: reading, identity })
        }
        Err(error) => {
            let help = match error.kind() {
                _ if error.layer() == "lvm2" => "refloat inspect IMAGE shows which volumes are there",
                ErrorKind::Refused => "if you trust the image, allow its files with --allow-backing DIR",
                ErrorKind::Unsupported if error.layer() == "file" => "name an image file or a block device",
                ErrorKind::Unsupported => "convert it first, say with qemu-img convert -O qcow2",
                ErrorKind::Corrupt => {
                    "if the format was guessed wrongly, force it: raw:FILE, vhd:FILE or qcow2:FILE"
                }
                ErrorKind::Io => "see that the file is there and can be read",
                _ => "refloat --help shows what an address looks like",
            };
            Err(error).help(help)
        }
    }
}

/// Takes an image to change it: nobody else may use it.
pub(crate) fn take(path: &Path) -> Result<Exclusive> {
    let taken = Exclusive::take(path);
    let in_use = taken.as_ref().is_err_and(|error| error.kind() == ErrorKind::Refused);
    taken.help(if in_use { NOT_ALONE } else { "see that the file is there and can be written" })
}

/// Refuses to write over what this run reads.
pub(crate) fn not_read(output: &Path) -> Result<()> {
    if in_use::is_open_here(output) {
        bail!("{} would be written over, and is what is read", output.display());
    }
    Ok(())
}

/// Refuses to put a new file in the place of one that others use.
pub(crate) fn replaceable(target: &Path) -> Result<()> {
    match in_use::users(target)?.first() {
        None => Ok(()),
        Some(User { who, .. }) => Err(anyhow!("{} is in use: {who}", target.display())).help(NOT_ALONE),
    }
}

/// The folder a file is in, or will be.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

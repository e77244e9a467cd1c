//! Opening what the user names, and refusing what is half changed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use guestfix::edit::hex;
use guestfix::facts::Volume;
use guestfix::plan::Identity;
use guestfix::platform::Firmware;
use guestfix::tree::Tree;
use guestfix::{View, undo};
use libdisk::block::{self, ErrorKind};
use libdisk::image::in_use::{self, Exclusive, Reading, User};
use libdisk::image::qcow2::{self, Snapshots};
use libdisk::image::transfer::{ResumeKey, Steady};
use libdisk::image::{Backing, packed, raw};
use libdisk::{Address, AddressError, Format, Location, Machine, MachineDisk, OpenOptions, Origin, Place};

use crate::answer::Help;
use crate::cli::GoalArgs;
use crate::context::Context;
use crate::snapshot;
use crate::{azure, grub, help, name, next, present, windows_agent};

/// A machine as the user named it: one image, several, or an instance.
pub(crate) struct Image {
    /// What was typed for the disk that it starts from.
    pub(crate) name: String,
    /// Taken apart.
    pub(crate) address: Address,
    /// Opened.
    pub(crate) machine: Machine,
    /// Nobody changes the images meanwhile, as far as locks go.
    _reading: Vec<Reading>,
}

impl Image {
    /// What tells its disks from others, as plans carry it.
    pub(crate) fn plan_identities(&self) -> Result<Vec<Identity>> {
        let identity = |disk: &MachineDisk| {
            let path = match &disk.origin {
                Origin::File { path, snapshot: Some(snapshot), .. } => {
                    let location = Location::snapshot(&std::path::absolute(path)?, snapshot);
                    name::address(&Address { location, place: Place::Disk, path: None })
                }
                Origin::File { path, number: None | Some(1), .. } => name::text(std::path::absolute(path)?),
                Origin::File { path, number: Some(number), .. } => {
                    format!("{}{}", name::text(std::path::absolute(path)?), Place::Numbered(*number))
                }
                _ => disk.origin.to_string(),
            };
            let identity = Identity::new(&path, disk.disk.size(), &disk.identity()?);
            Ok(Identity { device: disk.device.clone(), ..identity })
        };
        self.machine.disks().iter().map(identity).collect()
    }

    /// The guest in it.
    pub(crate) fn tree(&self) -> Result<Tree> {
        Tree::open(&self.machine).with_context(|| self.name.clone())
    }

    /// The guest in it, for a check or plan: with GRUB, if the disk may want it, and with Azure's agent, if it was given.
    pub(crate) fn guest_for(&self, args: &GoalArgs) -> Result<Tree> {
        if let Some(folder) = args.grub.as_deref().filter(|folder| !folder.is_dir()) {
            return Err(anyhow!("{}: there is no such folder", name::shown(folder))).help(help::GRUB);
        }
        let agent = args.windows_agent.as_deref().map(windows_agent::read).transpose()?;
        let tree = self.guest()?;
        let tree = agent.into_iter().fold(tree, Tree::with_windows_agent);
        if tree.machine().starts() || args.target.firmware != Firmware::Bios {
            return Ok(tree);
        }
        Ok(match grub::find(args.grub.as_deref())? {
            Some(grub) => tree.with_grub(grub),
            None => tree,
        })
    }

    /// The guest in it. A disk without an operating system is none, nor is one whose system or boot volume
    /// cannot be read.
    pub(crate) fn guest(&self) -> Result<Tree> {
        let tree = self.tree()?;
        let shows = || format!("{} shows what is there", present::command(["inspect", &self.name]));
        if tree.has_root() && tree.has_system()? {
            let Some(blind) = tree.blind().iter().find(|blind| blind.is_of_the_boot()) else {
                return Ok(tree);
            };
            let (point, why) = (blind.point(), blind.why());
            return Err(anyhow!("{}: {point} cannot be read: {why}", self.name)).help(shows());
        }
        let holds = |volume: &Volume| {
            let kind = volume.kind_name().unwrap_or("nothing that refloat knows");
            match volume.unreadable.as_ref().or(volume.unrecoverable.as_ref()) {
                Some(why) => format!("{} ({kind}: {why})", volume.name),
                None => format!("{} ({kind})", volume.name),
            }
        };
        let machine = tree.machine();
        let volumes: Vec<String> = machine.volumes.iter().map(holds).collect();
        let mut what = if volumes.is_empty() { "no volumes".to_owned() } else { volumes.join(", ") };
        machine.lvm.problems.iter().for_each(|problem| what += &format!("; LVM: {problem}"));
        let next = machine.volumes.iter().find_map(help::of_container);
        Err(anyhow!("{}: no operating system found: {what}", self.name)).help(next.unwrap_or_else(shows))
    }
}

/// The mode of a file that holds what is on a disk.
pub(crate) fn mode(disk: &MachineDisk) -> Result<u32> {
    match disk.origin.path() {
        Some(path) => Ok(block::mode_like(path)?),
        None => Ok(block::ANY_MODE),
    }
}

/// What a disk's bytes are, if that can be told again: for files of this machine, that nobody has written
/// them since.
pub(crate) fn resume_key(disk: &MachineDisk) -> Result<Option<ResumeKey>> {
    // A volume may have parts on other disks.
    if disk.layers.iter().any(|layer| layer.name == "logical volume") {
        return Ok(None);
    }
    let format = disk.origin.format().name;
    let key = match (&disk.origin, disk.origin.blob()) {
        (Origin::File { snapshot, .. }, _) => {
            let files = ResumeKey::of_files(disk.files.iter().map(PathBuf::as_path))?;
            files.map(|key| match snapshot {
                Some(snapshot) => key.with("snapshot", snapshot),
                None => key,
            })
        }
        // The URL and the ETag are those of one opening.
        (Origin::Managed(open, _), _) => {
            Some(ResumeKey::new("managed", open.id()).with("stamp", open.stamp()))
        }
        (_, Some(blob)) => Some(ResumeKey::new("blob", blob.url()).with("etag", &blob.properties().etag)),
        (_, None) => None,
    };
    let Some(key) = key else { return Ok(None) };
    let identity = hex(&disk.identity()?);
    let part = disk.layers.iter().filter(|layer| layer.name == "partition").map(|layer| layer.text.as_str());
    Ok(Some(
        key.with("read-as", format)
            .with("part", part.collect::<String>())
            .with("disk-size", disk.disk.size())
            .with("identity", identity),
    ))
}

/// The files of a disk as they are now: none of them may change while it is copied.
pub(crate) fn steady(disk: &MachineDisk) -> Result<Steady> {
    Ok(match &disk.origin {
        Origin::File { .. } => Steady::of(disk.files.iter().map(PathBuf::as_path))?,
        _ => Steady::default(),
    })
}

/// Which other files an image may open.
fn backing(context: &Context) -> Backing {
    context.global.allow_backing.clone().map_or(Backing::Deny, Backing::AllowIn)
}

/// Which parts of an image a command can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Takes {
    /// Whole disks only.
    Disk,
    /// A volume of one, too.
    Volume,
    /// A path in it, too.
    Path,
}

/// Takes an address apart. A part of it that the command cannot use is an error: it is never ignored.
fn parse(name: &str, takes: Takes) -> Result<Address> {
    if name.starts_with("https://") && !Path::new(name).exists() {
        return Err(anyhow!("{name} is no file")).help(format!("for a blob in Azure write azure:{name}"));
    }
    let parsed: Result<Address, AddressError> = name.parse();
    let parsed = parsed.map(|mut address| {
        if let Location::File { path, .. } = &mut address.location
            && let Some(text) = path.to_str()
        {
            *path = name::path(text);
        }
        address
    });
    let help = match &parsed {
        Err(AddressError::NoColon { right, .. }) => format!("write {right}"),
        _ => help::ADDRESS.to_owned(),
    };
    let address = parsed.help(help)?;
    let (named, what) = match (&address.path, &address.place) {
        (Some(_), _) => (Takes::Path, "a path"),
        (None, Place::Disk) => (Takes::Disk, "a disk"),
        (None, Place::Numbered(_)) => (Takes::Volume, "one disk of a machine"),
        (None, Place::Partition { .. } | Place::LogicalVolume { .. }) => (Takes::Volume, "a volume"),
    };
    if named <= takes {
        return Ok(address);
    }
    let taken = if takes == Takes::Disk { "a whole disk" } else { "a disk or a volume" };
    let error = Err(anyhow!("{name} names {what}, and this command takes {taken}"));
    let place = if takes == Takes::Disk { Place::Disk } else { address.place };
    let right = Address { place, path: None, ..address };
    error.help(format!("name {}; refloat fs looks inside", name::address(&right)))
}

/// Opens the machine that `name` and the user's `--disk` name, for reading. An image that an interrupted
/// `apply --in-place` left half changed is refused; that another program may change one meanwhile is told.
pub(crate) fn open(context: &Context, name: &str) -> Result<Image> {
    open_part(context, name, Takes::Disk)
}

/// The same, or a part of it.
pub(crate) fn open_part(context: &Context, name: &str, takes: Takes) -> Result<Image> {
    open_disks(context, name, &context.global.disks, takes)
}

/// The same with these further disks.
pub(crate) fn open_disks(context: &Context, name: &str, further: &[String], takes: Takes) -> Result<Image> {
    let addresses = addresses(name, further, takes)?;
    for address in &addresses {
        if let Location::Ebs(name) = &address.location {
            no_snapshot(name)?;
        }
        if let Location::File { path, format, snapshot } = &address.location
            && path.exists()
        {
            let name = name::shown(path);
            let format = format.or_else(|| probed(path));
            if format.is_some_and(packed::is_packed) {
                let folder = name::shown(packed::folder());
                context.note(format!(
                    "note: {name} is unpacked into {folder} first, as its parts are read in any order; TMPDIR names another folder"
                ));
            }
            if snapshot.is_none() && format == Some(&qcow2::FORMAT) {
                note_snapshots(context, path);
            }
            let users = in_use::users(path)?;
            let writer = users.iter().find(|user| user.writes);
            if undo::pending(path)? {
                return half_changed(path, writer);
            }
            if let Some(User { who, .. }) = writer {
                context.note(format!("note: {name} is in use, and may change while it is read: {who}"));
            }
        }
    }
    open_any(context, name, &addresses)
}

/// The format of an image that can be opened.
fn probed(path: &Path) -> Option<&'static Format> {
    block::open_file(path).and_then(|file| Format::probe(&file)).ok()
}

/// Tells of the internal snapshots of an image whose active state is meant. What is wrong with it, opening says.
fn note_snapshots(context: &Context, path: &Path) {
    let Ok(snapshots) = Snapshots::of(path) else { return };
    let Some(first) = snapshots.as_slice().first() else { return };
    let location = Location::snapshot(path, snapshots.handle(first));
    let named = name::address(&Address { location, place: Place::Disk, path: None });
    context.note(format!(
        "note: {} has internal snapshots, which are not looked at: {}; {} names the first",
        name::shown(path),
        snapshots.text(),
        present::quote(&named)
    ));
}

/// The addresses of a machine's disks, that of the disk that it starts from first.
pub(crate) fn addresses(name: &str, further: &[String], takes: Takes) -> Result<Vec<Address>> {
    let further = further.iter().map(|name| parse(name, Takes::Disk));
    std::iter::once(parse(name, takes)).chain(further).collect()
}

fn half_changed(path: &Path, writer: Option<&User>) -> Result<Image> {
    let name = name::shown(path);
    if let Some(User { who, .. }) = writer {
        let error = Err(anyhow!("{name}: an apply --in-place or an undo is at work on it: {who}"));
        return error.help(help::WAIT);
    }
    let error = Err(anyhow!("{name}: an apply --in-place was interrupted, so it is half changed"));
    let undo = next::Command::new("undo").path(path).text();
    error.help(format!("{undo} puts it back; the same apply finishes it"))
}

/// The disks of a machine, of which nothing is read yet that tells them from others.
pub(crate) fn machine(context: &Context, addresses: &[Address]) -> Result<Machine> {
    let exclude = &context.global.exclude_disks;
    let is_instance =
        |address: &Address| matches!(&address.location, Location::Ebs(name) if name.starts_with("i-"));
    if !exclude.is_empty() && !addresses.iter().any(is_instance) {
        return Err(anyhow!("--exclude-disk leaves out disks of an instance, ebs:i-…"))
            .help("leave it out, and name the disks that are meant");
    }
    let options = OpenOptions {
        format: None,
        backing: backing(context),
        observer: Some(context.observer.clone()),
        ebs: snapshot::options(&context.global),
        azure: azure::options(&context.global)?,
    };
    let machine = libdisk::open_machine(addresses, &options)?;
    if !exclude.is_empty() {
        context.note(format!("left out, and not looked at: {}", exclude.join(", ")));
    }
    context.opened.add(machine.disks());
    Ok(machine)
}

/// Opens a machine for reading, half changed or not.
pub(crate) fn open_any(context: &Context, name: &str, addresses: &[Address]) -> Result<Image> {
    let reading = addresses.iter().filter_map(|address| match &address.location {
        Location::File { path, .. } => Reading::take(path),
        _ => None,
    });
    let reading = reading.collect();
    let machine = machine(context, addresses)?;
    if let Some(empty) = machine.disks().iter().find(|disk| disk.disk.size() == 0) {
        return Err(anyhow!("{} is empty: it has 0 bytes", empty.origin)).help(help::EMPTY);
    }
    for disk in machine.disks() {
        if let Origin::File { path, format, .. } = &disk.origin
            && **format == raw::FORMAT
            && path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("vhd"))
        {
            context.note(format!(
                "note: {} has no footer of a VHD, and is read as a raw disk; if it was cut off, the end of the disk is missing",
                name::shown(path)
            ));
        }
    }
    let address = addresses.first().cloned().unwrap_or_else(|| Address::file(Path::new(name)));
    if context.global.json {
        context.sources.add(&address, &machine);
    }
    Ok(Image { name: name.to_owned(), address, machine, _reading: reading })
}

/// What people take for the address of a snapshot.
fn no_snapshot(name: &str) -> Result<()> {
    let id = name.split('@').next().unwrap_or(name);
    let help = match id.split_once('-').map(|(kind, _)| kind) {
        Some("vol") => {
            format!(
                "take a snapshot of it first: aws ec2 create-snapshot --volume-id {id}; then name ebs:snap-…"
            )
        }
        Some("ami") => {
            format!("aws ec2 describe-images --image-ids {id} names its snapshots; then name ebs:snap-…")
        }
        _ => return Ok(()),
    };
    Err(anyhow!("ebs:{name} is not a snapshot or instance")).help(help)
}

/// Takes an image to change it: nobody else may use it.
pub(crate) fn take(path: &Path) -> Result<Exclusive> {
    let taken = Exclusive::take(path);
    match taken {
        Err(error) if error.kind() == ErrorKind::Refused => Err(error).help(help::IN_USE),
        taken => Ok(taken?),
    }
}

/// Refuses to write over what this run reads.
pub(crate) fn not_read(output: &Path) -> Result<()> {
    if in_use::is_open_here(output) {
        bail!("{}: the output is the same file as the input", name::shown(output));
    }
    Ok(())
}

/// The folder a file is in, or will be.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

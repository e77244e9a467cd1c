//! `refloat fs`: look inside an image without mounting it.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use anyhow::{Context as _, Result, anyhow};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use guestfix::View;
use guestfix::bootwalk::{self, Change, Compared};
use guestfix::facts::{Machine, Volume};
use guestfix::report::escape::{escape, escape_bytes};
use guestfix::report::{Line, Page};
use guestfix::rule::{Evidence, Goal};
use guestfix::text::bytes;
use guestfix::tree::{Tree, volume_at};
use libdisk::vfs::{FileType, Metadata};
use libdisk::{Address, Place};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Help, Outcome};
use crate::cli::{FsArgs, FsVerb};
use crate::context::Context;
use crate::document::Document;
use crate::image::{self, Takes};
use crate::name;
use crate::present;

pub(crate) fn run(context: &Context, args: &FsArgs) -> Outcome {
    let below = matches!(args.verb, FsVerb::Diff { .. });
    let stale = if args.stale { Stale::Read } else { Stale::Refuse { below } };
    let open = |address: &str| open(context, address, &context.global.disks, stale);
    match &args.verb {
        FsVerb::Ls { address } => list(context, &open(address)?, address),
        FsVerb::Cat { address } => cat(context, &open(address)?, address),
        FsVerb::Stat { address } => stat(context, &open(address)?, address),
        FsVerb::Diff { left, right, other_disks, target: Some(target) } => {
            let (one, other) =
                (guest(context, left, &context.global.disks)?, guest(context, right, other_disks)?);
            diff_of_boot(context, &one, &other, &Goal::new(target))
        }
        FsVerb::Diff { left, right, other_disks, target: None } => {
            let (one, other) = (open(left)?, self::open(context, right, other_disks, stale)?);
            diff(context, &summary(one, left)?, &summary(other, right)?)
        }
    }
}

/// The type of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    File,
    Directory,
    Link,
    Device,
    Fifo,
    Socket,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "link",
            Self::Device => "device",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
        }
    }
}

/// A node as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Node {
    path: String,
    #[serde(rename = "type")]
    kind: Kind,
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    links: u64,
    mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl Document for Node {
    const SCHEMA: &'static str = "refloat.fs.stat/1";
}

impl Node {
    fn new(tree: &Tree, path: &[u8], metadata: &Metadata) -> Result<Self> {
        let kind = match metadata.file_type {
            FileType::Regular => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            FileType::CharDevice | FileType::BlockDevice => Kind::Device,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
        };
        Ok(Self {
            path: text(path),
            kind,
            mode: format!("{:04o}", metadata.mode),
            uid: metadata.uid,
            gid: metadata.gid,
            size: metadata.size,
            links: metadata.links,
            mtime: metadata.mtime.seconds,
            target: tree.link_target(path)?.map(|target| text(&target)),
        })
    }

    /// One line for people.
    fn line(&self) -> String {
        let Self { path, kind, mode, uid, gid, size, .. } = self;
        let target = self.target.as_ref().map(|target| format!(" -> {}", escape(target))).unwrap_or_default();
        let kind = kind.name();
        format!("{kind:<9} {mode} {uid:>5} {gid:>5} {size:>12}  {}{target}\n", escape(path))
    }
}

/// A name as text: whole if it is UTF-8, else with the other bytes spelt out.
fn text(name: &[u8]) -> String {
    std::str::from_utf8(name).map_or_else(|_| escape_bytes(name), str::to_owned)
}

/// What to do about files that may be old, for the journal of their volume cannot be replayed.
#[derive(Debug, Clone, Copy)]
enum Stale {
    Read,
    /// Refuse them at a path, and perhaps below it.
    Refuse {
        below: bool,
    },
}

impl Stale {
    fn refuses(self, machine: &Machine, volume: &Volume, path: &str) -> bool {
        let Self::Refuse { below } = self else { return false };
        let is_there = volume_at(machine, path).is_some_and(|there| there.name == volume.name);
        is_there || below && volume.mounted_at.is_some()
    }
}

/// What an address names: the tree of the guest or of one volume, and the path in it, "/" where it names
/// none.
fn open(context: &Context, address: &str, further: &[String], stale: Stale) -> Result<(Tree, Vec<u8>)> {
    let image = image::open_disks(context, address, further, Takes::Path)?;
    let mut tree = image.tree()?;
    if image.address.place != Place::Disk {
        tree = tree.of_one_volume();
    }
    let machine = tree.machine();
    if !tree.has_root() {
        let why = machine.volumes.iter().find_map(|volume| Some((&volume.name, volume.unreadable.as_ref()?)));
        let why = why.map(|(name, why)| format!("; {name} is not opened: {why}")).unwrap_or_default();
        let error: Result<()> =
            Err(anyhow!("{address}: no file system that refloat reads is a guest's root{why}"));
        let disk = name::address(&Address { path: None, ..image.address.clone() });
        error.help(format!(
            "{} shows what is there; IMAGE#p2:/ is a path in partition 2",
            present::command(["inspect", &disk])
        ))?;
    }
    let path = image.address.path.clone().unwrap_or_else(|| "/".to_owned());
    let mut stale_volumes =
        machine.volumes.iter().filter_map(|volume| Some((volume, volume.unrecoverable.as_ref()?)));
    if let Some((volume, why)) = stale_volumes.find(|(volume, _)| stale.refuses(machine, volume, &path)) {
        let error: Result<()> =
            Err(anyhow!("{address}: the journal of {} cannot be replayed: {why}", volume.name));
        error.help("files may be old without it; --stale reads them as they are")?;
    }
    Ok((tree, bytes::encode(&path).into_owned()))
}

fn missing<T>(found: Option<T>, address: &str, what: &str) -> Result<T> {
    found.ok_or_else(|| anyhow!("{address}: {what}")).help("refloat fs ls IMAGE#/ lists what is there")
}

/// What is in a directory.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Listing {
    entries: Vec<Node>,
    /// Names of which nothing more can be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

impl Document for Listing {
    const SCHEMA: &'static str = "refloat.fs.ls/1";
}

/// A name whose inode is damaged.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Unreadable {
    path: String,
    why: String,
}

fn list(context: &Context, (tree, path): &(Tree, Vec<u8>), address: &str) -> Outcome {
    let entries = match tree.entries(path)? {
        Some(entries) => entries,
        None => {
            let metadata = missing(tree.metadata(path, false)?, address, "no such file or directory")?;
            vec![(path.clone(), Ok(metadata))]
        }
    };
    let base = path.strip_suffix(b"/").unwrap_or(path).to_vec();
    let full =
        |name: &[u8]| if name.starts_with(b"/") { name.to_vec() } else { [&base, &b"/"[..], name].concat() };
    let mut listing = Listing { entries: Vec::new(), unreadable: Vec::new() };
    for (name, metadata) in entries {
        let path = full(&name);
        match metadata.map_err(Into::into).and_then(|metadata| Node::new(tree, &path, &metadata)) {
            Ok(node) => listing.entries.push(node),
            Err(error) => {
                listing.unreadable.push(Unreadable { path: text(&path), why: format!("{error:#}") })
            }
        }
    }
    context.answer(&listing, || {
        let unreadable = listing.unreadable.iter();
        let unreadable = unreadable
            .map(|Unreadable { path, why }| format!("{:<9} {}: {}\n", "damaged", escape(path), escape(why)));
        Ok(listing.entries.iter().map(Node::line).chain(unreadable).collect::<String>().into())
    })?;
    if listing.unreadable.is_empty() {
        return Ok(Answer::Yes);
    }
    let count = listing.unreadable.len();
    let error: Outcome =
        Err(anyhow!("{address}: {count} of the names lead to something that cannot be read"));
    error.help("the others are listed; repair a copy with the file system's own program, as e2fsck")
}

/// What `cat` says of what is no file.
const NO_FILE: &str = "no such regular file";

/// What is known of the file at a path.
fn regular(tree: &Tree, path: &[u8], address: &str) -> Result<Metadata> {
    let metadata = missing(tree.metadata(path, true)?, address, NO_FILE)?;
    if metadata.file_type == FileType::Directory {
        let error: Result<Metadata> = Err(anyhow!("{address}: {NO_FILE}, but a directory"));
        return error.help(format!("refloat fs ls {address} lists it"));
    }
    Ok(metadata)
}

fn cat(context: &Context, (tree, path): &(Tree, Vec<u8>), address: &str) -> Outcome {
    if context.global.json {
        return cat_json(context, tree, path, address);
    }
    regular(tree, path, address)?;
    let mut out = context.out.raw();
    let copied = match tree.copy_to(path, &mut out) {
        // The reader had enough.
        Err(guestfix::Error::Output(cause)) if cause.kind() == ErrorKind::BrokenPipe => {
            return Ok(Answer::Yes);
        }
        other => other?,
    };
    missing(copied, address, NO_FILE)?;
    Ok(Answer::Yes)
}

fn stat(context: &Context, (tree, path): &(Tree, Vec<u8>), address: &str) -> Outcome {
    let metadata = missing(tree.metadata(path, false)?, address, "no such file or directory")?;
    let node = Node::new(tree, path, &metadata)?;
    context.answer(&node, || Ok(node.line().into()))?;
    Ok(Answer::Yes)
}

/// The largest file that is put into a JSON document, in bytes.
const DOCUMENT: u64 = 16 << 20;

/// A file, for `--json`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Content {
    path: String,
    size: u64,
    #[serde(flatten)]
    bytes: Bytes,
}

impl Document for Content {
    const SCHEMA: &'static str = "refloat.fs.cat/1";
}

/// What is in a file: JSON holds text only.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bytes {
    Text(String),
    Base64(String),
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Base64(BASE64_STANDARD.encode(error.as_bytes())),
        }
    }
}

fn cat_json(context: &Context, tree: &Tree, path: &[u8], address: &str) -> Outcome {
    let size = regular(tree, path, address)?.size;
    if size > DOCUMENT {
        let error: Outcome = Err(anyhow!("{address}: {size} bytes are too many for one JSON document"));
        return error.help("without --json its bytes go to standard output, however many");
    }
    let mut content = Vec::new();
    missing(tree.copy_to(path, &mut content)?, address, NO_FILE)?;
    let content = Content { path: text(path), size, bytes: content.into() };
    // Never asked for without --json.
    context.answer(&content, || Ok(Page::new()))?;
    Ok(Answer::Yes)
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Difference {
    /// The path; of what is outside file systems, the disk and the byte: "disk at 0x1be".
    path: String,
    change: Change,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Differences<'a> {
    differences: &'a [Difference],
    /// What a boot looks at and could not be read, so that nobody knows whether it changed.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    unread: &'a [Evidence],
}

impl Document for Differences<'_> {
    const SCHEMA: &'static str = "refloat.fs.diff/1";
}

fn diff(context: &Context, left: &BTreeMap<String, String>, right: &BTreeMap<String, String>) -> Outcome {
    let mut differences = Vec::new();
    for path in left.keys().chain(right.keys().filter(|path| !left.contains_key(*path))) {
        let Some(change) = Change::between(left.get(path), right.get(path)) else { continue };
        differences.push(Difference { path: path.clone(), change });
    }
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    let same = differences.is_empty();
    context.answer(&Differences { differences: &differences, unread: &[] }, || {
        let line = |found: &Difference| format!("{:<8} {}\n", found.change.name(), escape(&found.path));
        Ok(differences.iter().map(line).collect::<String>().into())
    })?;
    Ok(Answer::from_bool(same))
}

/// The guest that boots from an image.
fn guest(context: &Context, address: &str, further: &[String]) -> Result<Tree> {
    let image = image::open_disks(context, address, further, Takes::Disk)?;
    image.guest()
}

fn diff_of_boot(context: &Context, old: &Tree, new: &Tree, goal: &Goal) -> Outcome {
    let Compared { differences, unread, compared } = bootwalk::compare(old, new, goal)?;
    let told: Vec<Difference> =
        differences.iter().map(|it| Difference { path: it.place.to_string(), change: it.change }).collect();
    let same = told.is_empty() && unread.is_empty();
    context.answer(&Differences { differences: &told, unread: &unread }, || {
        let mut page = Page::new();
        for it in &told {
            page.line(Line::new(format!("{:<8} {}", it.change.name(), escape(&it.path))));
        }
        for it in &unread {
            page.line(Line::new(format!(
                "{:<8} {}: {}",
                "unread",
                escape(&it.place.to_string()),
                escape(&it.what)
            )));
        }
        for diff in differences.into_iter().filter_map(|it| it.diff) {
            page.gap();
            page.append(diff);
        }
        page.gap();
        page.prose(
            0,
            format!(
                "{compared} files, volumes and places of disks that check looks at for {} were compared",
                goal.target.name
            ),
        );
        Ok(page)
    })?;
    Ok(Answer::from_bool(same))
}

/// Contents are compared in blocks of this size.
const BLOCK: usize = 4096;

/// Everything below a path: what it is, whose, and a digest of its content. Times are left out.
fn summary((tree, top): (Tree, Vec<u8>), address: &str) -> Result<BTreeMap<String, String>> {
    let mut below = top.clone();
    if !below.ends_with(b"/") {
        below.push(b'/');
    }
    let mut nodes = Vec::new();
    tree.walk(&mut |path, metadata| {
        if path == top || path.starts_with(&below) {
            nodes.push((path.to_vec(), metadata.clone()));
        }
        Ok(())
    })?;
    let mut all = BTreeMap::new();
    for (path, metadata) in nodes {
        let mut content = Sha256::new();
        if metadata.file_type == FileType::Regular {
            // A hole is equal to zeros that are stored, and is not read.
            let mut add = |place: u64, block: &[u8]| {
                content.update(place.to_le_bytes());
                content.update(block);
            };
            tree.stored_blocks(&path, BLOCK, &mut add).with_context(|| address.to_owned())?;
        }
        let node = Node::new(&tree, &path, &metadata)?;
        let size = if node.kind == Kind::File { node.size } else { 0 };
        let line = format!(
            "{} {} {}:{} {size} {:?} {:x?}",
            node.kind.name(),
            node.mode,
            node.uid,
            node.gid,
            node.target,
            content.finalize()
        );
        all.insert(node.path, line);
    }
    Ok(all)
}

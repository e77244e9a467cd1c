//! `refloat fs`: look inside an image without mounting it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use guestfix::tree::Tree;
use libdisk::Place;
use libdisk::vfs::{FileType, Metadata};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::answer::{self, Answer, Help, Outcome};
use crate::cli::{FsArgs, FsVerb, Global};
use crate::image::{self, Image};

pub(crate) fn run(global: &Global, args: &FsArgs) -> Outcome {
    match &args.verb {
        FsVerb::Ls { address } => list(global, address),
        FsVerb::Cat { address } => cat(global, address),
        FsVerb::Stat { address } => stat(global, address),
        FsVerb::Diff { left, right } => diff(global, left, right),
    }
}

/// A node as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Node {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    size: u64,
    links: u64,
    mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl Node {
    fn new(tree: &Tree, path: &[u8], metadata: &Metadata) -> Result<Self> {
        let kind = match metadata.file_type {
            FileType::Regular => "file",
            FileType::Directory => "directory",
            FileType::Symlink => "link",
            FileType::CharDevice | FileType::BlockDevice => "device",
            FileType::Fifo => "fifo",
            FileType::Socket => "socket",
        };
        Ok(Self {
            path: printable(path),
            kind,
            mode: format!("{:04o}", metadata.mode),
            uid: metadata.uid,
            gid: metadata.gid,
            size: metadata.size,
            links: metadata.links,
            mtime: metadata.mtime.seconds,
            target: tree.link_target(path)?.map(|target| printable(&target)),
        })
    }

    /// One line for people.
    fn line(&self) -> String {
        let Self { path, kind, mode, uid, gid, size, .. } = self;
        let target = self.target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
        format!("{kind:<9} {mode} {uid:>5} {gid:>5} {size:>12}  {path}{target}\n")
    }
}

/// Names come from the guest: nothing of them may steer a terminal.
fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// The guest and the path that an address names; "/" where it names none.
fn open(global: &Global, address: &str) -> Result<(Tree, Vec<u8>)> {
    let image = image::open(global, address)?;
    let tree = image.tree()?;
    if !tree.has_root() {
        let error: Result<()> =
            Err(anyhow!("{address}: no file system that refloat reads is a guest's root"));
        error.help(format!(
            "refloat inspect {} shows what is there; IMAGE#p2 names a partition",
            image.name
        ))?;
    }
    Ok((tree, path_of(&image)))
}

fn path_of(image: &Image) -> Vec<u8> {
    match &image.address.place {
        Place::Path(path) => path.clone().into_bytes(),
        _ => b"/".to_vec(),
    }
}

fn missing<T>(found: Option<T>, address: &str, what: &str) -> Result<T> {
    found.ok_or_else(|| anyhow!("{address}: {what}")).help("refloat fs ls IMAGE#/ lists what is there")
}

#[derive(Serialize)]
struct Listing {
    entries: Vec<Node>,
}

fn list(global: &Global, address: &str) -> Outcome {
    let (tree, path) = open(global, address)?;
    let entries = match tree.entries(&path)? {
        Some(entries) => entries,
        None => {
            let metadata = missing(tree.metadata(&path, false)?, address, "no such file or directory")?;
            vec![(path.clone(), metadata)]
        }
    };
    let base = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
    let full =
        |name: &[u8]| if name.starts_with(b"/") { name.to_vec() } else { [&base, &b"/"[..], name].concat() };
    let nodes = entries.iter().map(|(name, metadata)| Node::new(&tree, &full(name), metadata));
    let listing = Listing { entries: nodes.collect::<Result<_>>()? };
    if global.json {
        answer::json("refloat.fs.ls/1", &listing)?;
    } else {
        answer::text(&listing.entries.iter().map(Node::line).collect::<String>())?;
    }
    Ok(Answer::Yes)
}

fn cat(global: &Global, address: &str) -> Outcome {
    let (tree, path) = open(global, address)?;
    if global.json {
        return cat_json(&tree, &path, address);
    }
    let mut out = std::io::stdout().lock();
    let copied = match tree.copy_to(&path, &mut out) {
        // The reader had enough.
        Err(guestfix::Error::Output(cause)) if cause.kind() == ErrorKind::BrokenPipe => {
            return Ok(Answer::Yes);
        }
        other => other?,
    };
    missing(copied, address, "no such regular file")?;
    Ok(Answer::Yes)
}

fn stat(global: &Global, address: &str) -> Outcome {
    let (tree, path) = open(global, address)?;
    let metadata = missing(tree.metadata(&path, false)?, address, "no such file or directory")?;
    let node = Node::new(&tree, &path, &metadata)?;
    if global.json {
        answer::json("refloat.fs.stat/1", &node)?;
    } else {
        answer::text(&node.line())?;
    }
    Ok(Answer::Yes)
}

/// The largest file that is put into a JSON document, in bytes.
const DOCUMENT: u64 = 16 << 20;

/// A file, for `--json`.
#[derive(Serialize)]
struct Content {
    path: String,
    size: u64,
    #[serde(flatten)]
    bytes: Bytes,
}

/// What is in a file: JSON holds text only.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Bytes {
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

fn cat_json(tree: &Tree, path: &[u8], address: &str) -> Outcome {
    let no_file = "no such regular file";
    let size = missing(tree.metadata(path, true)?, address, no_file)?.size;
    if size > DOCUMENT {
        let error: Outcome = Err(anyhow!("{address}: {size} bytes are too many for one JSON document"));
        return error.help("without --json its bytes go to standard output, however many");
    }
    let mut content = Vec::new();
    missing(tree.copy_to(path, &mut content)?, address, no_file)?;
    answer::json("refloat.fs.cat/1", &Content { path: printable(path), size, bytes: content.into() })?;
    Ok(Answer::Yes)
}

#[derive(Serialize)]
struct Difference {
    path: String,
    change: &'static str,
}

#[derive(Serialize)]
struct Differences {
    differences: Vec<Difference>,
}

fn diff(global: &Global, left: &str, right: &str) -> Outcome {
    let (left, right) = (summary(global, left)?, summary(global, right)?);
    let mut differences = Vec::new();
    for path in left.keys().chain(right.keys().filter(|path| !left.contains_key(*path))) {
        let change = match (left.get(path), right.get(path)) {
            (Some(a), Some(b)) if a == b => continue,
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "removed",
            _ => "added",
        };
        differences.push(Difference { path: path.clone(), change });
    }
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    let same = differences.is_empty();
    if global.json {
        answer::json("refloat.fs.diff/1", &Differences { differences })?;
    } else {
        answer::text(
            &differences.iter().map(|d| format!("{:<8} {}\n", d.change, d.path)).collect::<String>(),
        )?;
    }
    Ok(Answer::from_bool(same))
}

/// Everything below a path: what it is, whose, and a digest of its content. Times are left out.
fn summary(global: &Global, address: &str) -> Result<BTreeMap<String, String>> {
    let (tree, top) = open(global, address)?;
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
        let mut content = Hashed(Sha256::new());
        if metadata.file_type == FileType::Regular {
            tree.copy_to(&path, &mut content).with_context(|| address.to_owned())?;
        }
        let node = Node::new(&tree, &path, &metadata)?;
        let size = if node.kind == "file" { node.size } else { 0 };
        let line = format!(
            "{} {} {}:{} {size} {:?} {:x?}",
            node.kind,
            node.mode,
            node.uid,
            node.gid,
            node.target,
            content.0.finalize()
        );
        all.insert(node.path, line);
    }
    Ok(all)
}

/// Takes content and keeps only its digest.
struct Hashed(Sha256);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! Scripts of known difficulty.

mod content;
mod names;
mod unix;
mod volume;

use super::trial::{Trial, at};
use super::{Capabilities, Rng, Subject};
use crate::{Attributes, Result, Timestamp, Transaction};

/// A case: its name, what the format must be able to do, and the script.
type Case = (&'static str, fn(&Capabilities) -> bool, fn(&mut Trial<'_>));

const CASES: &[Case] = &[
    ("file sizes", always, content::file_sizes),
    ("replaced content", always, content::replaced_content),
    ("partial reads", always, content::partial_reads),
    ("directories", always, names::directories),
    ("what is there and what is not", always, names::errors),
    ("lengths of names", always, names::name_lengths),
    ("bad names", always, names::bad_names),
    ("renames of files", always, names::file_renames),
    ("renames of directories", always, names::directory_renames),
    ("thousands of names", always, names::many_names),
    ("rollback", always, volume::rollback),
    ("many changes of one file in a transaction", always, content::many_changes_of_one_file),
    ("a full volume", always, volume::full_volume),
    ("free ranges", always, volume::free_ranges),
    ("bytes as names", |can| can.byte_names, names::byte_names),
    ("upper and lower case", |can| !can.byte_names, names::letter_case),
    ("hard links", |can| can.hard_links, unix::hard_links),
    ("symbolic links", |can| can.symlinks.is_some(), unix::symlinks),
    ("owners", |can| can.owners, unix::owners),
    ("extended attributes", |can| can.xattrs.is_some(), unix::xattrs),
    ("recycled nodes", |can| can.xattrs.is_some(), unix::recycled_nodes),
    ("nanoseconds", |can| can.nanoseconds, unix::nanoseconds),
    ("what the format lacks", |can| *can == Capabilities::FAT, unix::lacks),
];

/// Runs all fixed cases, each on a new volume; those that the format cannot do are left out.
///
/// # Panics
/// If a case fails; the message names it.
pub fn fixed_cases(new_volume: &mut dyn FnMut() -> Box<dyn Subject>) {
    for (name, can, run) in CASES {
        let mut subject = new_volume();
        if can(&subject.capabilities()) {
            let named = NameOnPanic(name);
            run(&mut Trial::new(&mut *subject));
            drop(named);
        }
    }
}

/// Tells which case was running when the driver, or an assertion, panicked.
struct NameOnPanic(&'static str);

impl Drop for NameOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(self.0);
        }
    }
}

#[expect(clippy::print_stderr, reason = "this library is a test suite, and the panic is under way")]
fn tell(case: &str) {
    eprintln!("this was the conformance case \"{case}\"");
}

fn always(_: &Capabilities) -> bool {
    true
}

/// Attributes with an even number of seconds, so that FAT can keep them.
fn attributes(second: i64) -> Attributes {
    Attributes { mode: 0o644, uid: 1000, gid: 100, time: time(second), xattrs: Vec::new() }
}

fn time(second: i64) -> Timestamp {
    Timestamp { seconds: 1_600_000_000 + 2 * second, nanos: 0 }
}

fn content(len: usize) -> Vec<u8> {
    Rng::new(len as u64).bytes(len)
}

fn create(change: &mut dyn Transaction, dir: &str, name: &str, len: usize) -> Result<()> {
    let dir = at(change, dir)?;
    change.create(dir, name.as_bytes(), &attributes(1), &content(len)).map(drop)
}

fn mkdir(change: &mut dyn Transaction, dir: &str, name: &str) -> Result<()> {
    let dir = at(change, dir)?;
    change.mkdir(dir, name.as_bytes(), &Attributes { mode: 0o755, ..attributes(2) }).map(drop)
}

fn replace(change: &mut dyn Transaction, path: &str, len: usize) -> Result<()> {
    let file = at(change, path)?;
    change.replace(file, &content(len), time(3))
}

fn rename(change: &mut dyn Transaction, from: (&str, &str), to: (&str, &str)) -> Result<()> {
    let (from_dir, to_dir) = (at(change, from.0)?, at(change, to.0)?);
    change.rename(from_dir, from.1.as_bytes(), to_dir, to.1.as_bytes())
}

fn unlink(change: &mut dyn Transaction, dir: &str, name: &str) -> Result<()> {
    let dir = at(change, dir)?;
    change.unlink(dir, name.as_bytes())
}

fn link(change: &mut dyn Transaction, dir: &str, name: &str, existing: &str) -> Result<()> {
    let (dir, node) = (at(change, dir)?, at(change, existing)?);
    change.link(dir, name.as_bytes(), node)
}

fn set_xattr(change: &mut dyn Transaction, path: &str, name: &str, value: Option<&[u8]>) -> Result<()> {
    let node = at(change, path)?;
    change.set_xattr(node, name.as_bytes(), value)
}

//! What could not be read is noted, and whoever looked at it is told: nothing that was not looked at counts
//! as ok.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::sync::Arc;

use libdisk::vfs::{FileType, Metadata};
use serde::{Serialize, Serializer};

use crate::facts::Machine;
use crate::memo::Memo;
use crate::rule::Evidence;
use crate::{Result, View};

/// What systemd and others link a file to that is to be empty.
const NULL: &str = "/dev/null";

/// A view that goes on where one file cannot be read: the file is answered as if it were not there, and noted
/// with the reason. Errors of the device stay errors.
pub struct Noting<'a> {
    view: &'a dyn View,
    unread: RefCell<Vec<Evidence>>,
}

impl<'a> Noting<'a> {
    /// Notes what cannot be read of `view`.
    pub fn new(view: &'a dyn View) -> Self {
        Self { view, unread: RefCell::default() }
    }

    /// The answer, or nothing if that is what is noted.
    pub(crate) fn note<T: Default>(&self, answer: Result<T>) -> Result<T> {
        answer.or_else(|error| {
            self.unread.borrow_mut().push(error.unread()?);
            Ok(T::default())
        })
    }

    /// Notes what is there in place of a regular file.
    fn note_odd(&self, path: &str) -> Result<()> {
        let Some(path) = self.resolve(path)?.filter(|path| path != NULL) else { return Ok(()) };
        let what = match self.lstat(&path)?.map(|metadata| metadata.file_type) {
            None | Some(FileType::Regular | FileType::Symlink) => return Ok(()),
            Some(FileType::Directory) => "is a directory, not a file",
            Some(_) => "is a device, a pipe or a socket, not a file",
        };
        self.unread.borrow_mut().push(Evidence::new(path, what));
        Ok(())
    }
}

impl View for Noting<'_> {
    fn below(&self) -> Option<&dyn View> {
        Some(self.view)
    }

    fn machine(&self) -> &Machine {
        self.view.machine()
    }

    fn lstat(&self, path: &str) -> Result<Option<Metadata>> {
        self.note(self.view.lstat(path))
    }

    fn stat(&self, path: &str) -> Result<Option<Metadata>> {
        self.note(self.view.stat(path))
    }

    fn resolve(&self, path: &str) -> Result<Option<String>> {
        self.note(self.view.resolve(path))
    }

    fn spelling(&self, path: &str) -> Result<Option<String>> {
        self.note(self.view.spelling(path))
    }

    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>> {
        let content = self.note(self.view.read(path))?;
        if content.is_none() {
            self.note_odd(path)?;
        }
        Ok(content)
    }

    fn text(&self, path: &str) -> Result<Option<String>> {
        let text = self.note(self.view.text(path))?;
        if text.is_none() {
            self.note_odd(path)?;
        }
        Ok(text)
    }

    fn range(&self, path: &str, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
        self.note(self.view.range(path, offset, len))
    }

    fn read_link(&self, path: &str) -> Result<Option<String>> {
        self.note(self.view.read_link(path))
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        self.note(self.view.list(path))
    }

    // A file that is written anew keeps its attributes or is not written.
    fn xattrs(&self, path: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.view.xattrs(path)
    }

    fn memo(&self) -> Option<&Memo> {
        self.view.memo()
    }

    fn noted(&self) -> usize {
        self.unread.borrow().len() + self.view.noted()
    }

    fn note_unread(&self, what: Evidence) {
        self.unread.borrow_mut().push(what);
    }

    fn take_unread(&self) -> Vec<Evidence> {
        let mut unread = self.unread.take();
        unread.extend(self.view.take_unread());
        unread
    }
}

/// Each piece of evidence once, in the order of their first.
pub(crate) fn distinct(evidence: Vec<Evidence>) -> Vec<Evidence> {
    let mut once: Vec<Evidence> = Vec::new();
    for one in evidence {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// A fact, and what could not be read when it was gathered. A rule that looks at the fact (by `Deref`) has
/// looked at that too, and says what it finds with that in mind: see [`plan`](crate::plan).
#[derive(Debug, Clone, Default)]
pub struct Known<T> {
    value: T,
    unread: Vec<Evidence>,
    looked_at: Cell<bool>,
}

impl<T> Known<T> {
    /// A fact, and what of it could not be read.
    pub fn new(value: T, unread: Vec<Evidence>) -> Self {
        Self { value, unread, looked_at: Cell::new(false) }
    }

    /// The fact, for those who judge nothing by it.
    pub fn peek(&self) -> &T {
        &self.value
    }

    /// Changes the fact by what is known besides.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut T)) {
        change(&mut self.value);
    }

    /// What could not be read of it.
    pub fn unread(&self) -> &[Evidence] {
        &self.unread
    }

    /// What could not be read of it, if it was looked at since the last call.
    pub(crate) fn take_looked_at(&self) -> &[Evidence] {
        if self.looked_at.take() { &self.unread } else { &[] }
    }
}

impl<T> Deref for Known<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.looked_at.set(true);
        &self.value
    }
}

/// Two facts are equal if the same is known.
impl<T: PartialEq> PartialEq for Known<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.unread == other.unread
    }
}

impl<T: Eq> Eq for Known<T> {}

/// As JSON it is the fact.
#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Known<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

impl<T: Serialize> Serialize for Known<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

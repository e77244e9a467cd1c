//! Answers as JSON documents: what all of them have in common. Their schemas derive from these types, see
//! [`schema`](crate::schema).

use std::borrow::Cow;

use guestfix::text::bytes;
use libdisk::cloud::{azure, ebs};
use schemars::JsonSchema;
use serde::Serialize;

use crate::source::Source;

/// What a verb answers with `--json`.
pub(crate) trait Document: Serialize + JsonSchema {
    /// Which document it is, and the version of its form.
    const SCHEMA: &'static str;
}

/// An answer, with its schema and what it is about.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}")]
pub(crate) struct Envelope<'a, T: Document> {
    #[schemars(extend("const" = T::SCHEMA))]
    pub(crate) schema: &'a str,
    /// The disks of the machine, that of the operating system first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) source: Vec<Source>,
    /// The disks of the machine that it was compared with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) other_source: Vec<Source>,
    #[serde(flatten)]
    pub(crate) document: &'a T,
}

/// A document, with what it took.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}")]
pub(crate) struct Told<'a, T> {
    #[serde(flatten)]
    pub(crate) document: &'a T,
    /// What was read of snapshots for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transfer: Option<ebs::Tally>,
    /// What was read of blobs for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blobs: Option<azure::Tally>,
}

/// An error.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Failed<'a> {
    #[schemars(extend("const" = Self::SCHEMA))]
    pub(crate) schema: &'static str,
    /// What went wrong, with where.
    pub(crate) error: Cow<'a, str>,
    /// Why, each the cause of the one before it.
    pub(crate) causes: Vec<Cow<'a, str>>,
    /// What to do next.
    pub(crate) help: Cow<'a, str>,
    /// The exit code: 2, or 3 where the same command resumes.
    #[schemars(extend("enum" = [2, 3]))]
    pub(crate) exit: u8,
}

impl<'a> Failed<'a> {
    const SCHEMA: &'static str = "refloat.error/1";

    pub(crate) fn new(error: &'a str, causes: &'a [String], help: &'a str, exit: u8) -> Self {
        let causes = causes.iter().map(|cause| bytes::shown(cause)).collect();
        Self { schema: Self::SCHEMA, error: bytes::shown(error), causes, help: bytes::shown(help), exit }
    }
}

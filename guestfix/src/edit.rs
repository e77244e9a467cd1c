//! The whole instruction set of `apply`: six operations.

pub(crate) mod pieces;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A SHA-256 in hexadecimal.
pub type Digest = String;

/// What was at a path when the plan was made: `apply` refuses anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "was", rename_all = "kebab-case")]
pub enum Before {
    /// Nothing.
    Absent,
    /// A regular file with this content.
    File {
        /// Of the content.
        sha256: Digest,
        /// In bytes.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// Its target as written.
        target: String,
    },
}

/// The content that a file gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// UTF-8 text, readable in the plan.
    Text(String),
    /// Anything else; base64 in the plan.
    #[serde(with = "base64_bytes")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    Bytes(Vec<u8>),
    /// What this other path holds before the plan is applied: how an original is kept.
    CopyOf(String),
    /// What the file holds before the plan is applied, changed. So is a file written that has secrets in it,
    /// as a hive of the registry may: they are not in the plan.
    Edited {
        /// Of the new content.
        sha256: Digest,
        /// Of the new content, in bytes.
        size: u64,
        /// The new content, piece by piece.
        pieces: Vec<Piece>,
    },
}

/// A part of the new content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// These bytes of the old content.
    Keep(Range<u64>),
    /// This text, as [`bytes`](crate::text::bytes) carries it.
    Put(String),
    /// These bytes.
    #[serde(with = "base64_bytes")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    PutBytes(Vec<u8>),
}

/// Owner, mode and extended attributes of a file or link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ownership {
    /// The low 12 bits of a Unix mode.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by full name, values in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<(String, String)>,
}

/// One change. Directories above a new file are made as needed, with the owner of the directory they stand
/// in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Edit {
    /// Put a partition table and a boot loader before a first disk that is one file system, which becomes
    /// partition 1. All other edits are of the disk that this makes.
    Wrap {
        /// What goes before it: see [`libdisk::volume::wrap`].
        #[serde(with = "base64_bytes")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        head: Vec<u8>,
        /// What changes, in lines a person can read.
        rendering: Vec<String>,
    },
    /// Bring a file system into the state its journal says.
    ReplayJournal {
        /// The volume's name in addresses: "p1".
        volume: String,
    },
    /// Put a regular file here, or new content into the one that is here.
    PutFile {
        /// Resolved path in the guest's tree.
        path: String,
        /// What was there.
        before: Before,
        /// What it gets.
        content: Content,
        /// Of the resulting file; equal to the old one's where there was one.
        ownership: Ownership,
        /// For binary content: what changes, in lines a person can read.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rendering: Vec<String>,
    },
    /// Put a symbolic link here.
    PutLink {
        /// Path in the guest's tree, its directory resolved.
        path: String,
        /// What was there.
        before: Before,
        /// The target as written.
        target: String,
    },
    /// Take a file or link away.
    Remove {
        /// Path in the guest's tree, its directory resolved.
        path: String,
        /// What was there.
        before: Before,
    },
    /// Change bytes of a disk outside any file system: partition tables, boot code.
    PutBytes {
        /// The index of the disk in the plan's `source`.
        disk: usize,
        /// On the whole disk.
        offset: u64,
        /// Of the bytes that were there, as many as `content`.
        sha256: Digest,
        /// The new bytes.
        #[serde(with = "base64_bytes")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        content: Vec<u8>,
        /// What changes, in lines a person can read.
        rendering: Vec<String>,
    },
}

/// An edit and the rule that asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Step {
    /// The rule's id; the last one's, where several changed the same file.
    pub rules: Vec<String>,
    /// The change.
    #[serde(flatten)]
    pub edit: Edit,
}

/// The digest of some content.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    hex(&sha2::Sha256::digest(bytes))
}

/// The digest of what `write` writes, which is not held in memory.
pub(crate) fn sha256_of<E>(
    write: impl FnOnce(&mut dyn std::io::Write) -> Result<(), E>,
) -> Result<Digest, E> {
    struct Hashed(sha2::Sha256);
    impl std::io::Write for Hashed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut hashed = Hashed(sha2::Sha256::default());
    write(&mut hashed)?;
    Ok(hex(&hashed.0.finalize()))
}

/// Bytes in lower-case hexadecimal, as digests are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_str(Base64)
    }

    /// Decodes where the text stands: a copy more of an initramfs counts.
    struct Base64;

    impl Visitor<'_> for Base64 {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("bytes in base64")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
            STANDARD.decode(text).map_err(E::custom)
        }
    }
}

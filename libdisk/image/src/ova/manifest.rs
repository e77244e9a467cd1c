//! The manifest of an archive: the digests that its members have to have.
//!
//! Reference: DSP0243, clause 5.1 ("OVF package structure").

use std::path::Path;

use block::{Disk, Result};
use sha2::Digest as _;

use super::{Archive, tar};

/// How much is read at once, in bytes.
const PIECE: u64 = 1 << 20;

/// What the manifest says of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The member.
    pub name: String,
    /// "SHA256".
    pub algorithm: String,
    /// What was found.
    pub found: Found,
}

/// What is with a member that a manifest lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It has that digest.
    Same,
    /// It has another one.
    Other,
    /// It is not in the archive.
    Missing,
    /// The digest is of a kind that is not computed.
    Unknown,
}

/// Every member that the manifest of the archive `path` lists, with whether it has its digest; `None` without
/// a manifest. All members that are listed are read.
///
/// # Errors
/// `Corrupt` for a damaged archive, `Io`.
pub fn check_manifest(path: &Path) -> Result<Option<Vec<Listed>>> {
    let archive = Archive::open(path)?;
    let Some(text) = archive.text(".mf")? else { return Ok(None) };
    let mut listed = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Some((algorithm, name, digest)) = parse(line) else {
            listed.push(Listed { name: line.to_owned(), algorithm: String::new(), found: Found::Unknown });
            continue;
        };
        let found = match archive.member(&tar::plain(name)) {
            None => Found::Missing,
            Some(member) => match digest_of(algorithm, &member)? {
                None => Found::Unknown,
                Some(found) if found.eq_ignore_ascii_case(digest) => Found::Same,
                Some(_) => Found::Other,
            },
        };
        listed.push(Listed { name: name.to_owned(), algorithm: algorithm.to_owned(), found });
    }
    Ok(Some(listed))
}

/// A line like `SHA256(disk.vmdk)= 9f86d0…`.
fn parse(line: &str) -> Option<(&str, &str, &str)> {
    let (algorithm, rest) = line.split_once('(')?;
    let (name, digest) = rest.rsplit_once(')')?;
    Some((algorithm.trim(), name, digest.trim().strip_prefix('=')?.trim()))
}

fn digest_of(algorithm: &str, member: &Disk) -> Result<Option<String>> {
    Ok(match algorithm.to_ascii_uppercase().as_str() {
        "SHA1" => {
            let mut digest = sha1::Sha1::default();
            each_piece(member, |piece| sha1::Digest::update(&mut digest, piece))?;
            Some(hex(&sha1::Digest::finalize(digest)))
        }
        "SHA256" => {
            let mut digest = sha2::Sha256::new();
            each_piece(member, |piece| digest.update(piece))?;
            Some(hex(&digest.finalize()))
        }
        "SHA512" => {
            let mut digest = sha2::Sha512::new();
            each_piece(member, |piece| digest.update(piece))?;
            Some(hex(&digest.finalize()))
        }
        _ => None,
    })
}

fn each_piece(member: &Disk, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut at = 0_u64;
    while at < member.size() {
        let len = member.size().saturating_sub(at).min(PIECE);
        take(&member.read_vec(at, usize::try_from(len).unwrap_or(0))?);
        at = at.saturating_add(len);
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

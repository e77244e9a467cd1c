//! Extended attributes ("Extended Attributes").

mod acl;
mod edit;
mod leaf;
mod remote;
mod short;

use vfs::{FsError, Result};

use crate::Xfs;
use crate::da::{self, Space};
use crate::fork::Fork;
use crate::inode::Inode;

/// The longest value that any kernel takes (`XATTR_SIZE_MAX`).
const VALUE_MAX: usize = 64 << 10;
const NAME_MAX: usize = 255;
/// All values of an inode together: far more than any kernel would list.
const TOTAL_MAX: usize = 64 << 20;

/// Flags of an entry.
mod flag {
    /// The value is in the leaf.
    pub(super) const LOCAL: u8 = 0x1;
    pub(super) const ROOT: u8 = 0x2;
    pub(super) const SECURE: u8 = 0x4;
    /// A pointer from a file to its directory: not an attribute that one sees.
    pub(super) const PARENT: u8 = 0x8;
    /// It was being written when the machine stopped.
    pub(super) const INCOMPLETE: u8 = 0x80;
    /// What tells names apart that are otherwise equal.
    pub(super) const SPACES: u8 = ROOT | SECURE | PARENT;
}

/// The namespaces by their flags.
const PREFIXES: [(u8, &[u8]); 3] = [(0, b"user."), (flag::ROOT, b"trusted."), (flag::SECURE, b"security.")];

/// An attribute as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attribute {
    /// [`flag::SPACES`] only.
    space: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Attribute {
    fn hash(&self) -> u32 {
        da::hash(&self.name)
    }
}

/// A name as the kernel shows it, as namespace and stored name.
fn stored_name(name: &[u8]) -> Result<(u8, Vec<u8>)> {
    if let Some(stored) = acl::stored_name(name) {
        return Ok((flag::ROOT, stored.to_vec()));
    }
    let found = PREFIXES.iter().find_map(|(space, prefix)| Some((*space, name.strip_prefix(*prefix)?)));
    let Some((space, rest)) = found else {
        let name = String::from_utf8_lossy(name).into_owned();
        return Err(FsError::unsupported(format!("the extended attribute {name} on XFS")));
    };
    if rest.is_empty() || rest.len() > NAME_MAX || rest.contains(&0) {
        return Err(FsError::Invalid("the name of an attribute has 1 to 255 bytes and no zero byte".into()));
    }
    if space == flag::ROOT && acl::is_stored_name(rest) {
        return Err(FsError::Invalid("an access list is set as system.posix_acl_*".into()));
    }
    Ok((space, rest.to_vec()))
}

impl Xfs {
    /// All attributes as they are stored.
    fn stored_attributes(&self, inode: &Inode) -> Result<Vec<Attribute>> {
        match &inode.attr {
            None => Ok(Vec::new()),
            Some(Fork::Inline(bytes)) => short::parse(bytes),
            Some(Fork::Extents(extents)) if extents.is_empty() => Ok(Vec::new()),
            Some(_) => {
                let mut attributes = Vec::new();
                let mut total = 0_usize;
                for leaf in self.leaves(inode, &Space::attributes(&self.sb))? {
                    for entry in leaf::parse(&self.sb, inode, &leaf)? {
                        attributes.push(match entry {
                            leaf::Parsed::Local(attribute) => attribute,
                            leaf::Parsed::Remote(attribute, at, len) => {
                                total = total.saturating_add(len);
                                if total > TOTAL_MAX {
                                    return Err(inode.corrupt("its attributes have more than 64 MiB"));
                                }
                                let value = self.remote_value(inode, at, len)?;
                                Attribute { value, ..attribute }
                            }
                        });
                    }
                }
                Ok(attributes)
            }
        }
    }

    /// All attributes with the names that the kernel shows, sorted.
    pub(crate) fn attributes(&self, inode: &Inode) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut shown = Vec::new();
        for Attribute { space, name, value } in self.stored_attributes(inode)? {
            if space == flag::ROOT
                && let Some(name) = acl::shown_name(&name)
            {
                let value = acl::shown(&value).ok_or_else(|| inode.corrupt("an access list is damaged"))?;
                shown.push((name.to_vec(), value));
                continue;
            }
            if let Some((_, prefix)) = PREFIXES.iter().find(|(flags, _)| *flags == space) {
                shown.push(([prefix, &name[..]].concat(), value));
            }
        }
        shown.sort();
        Ok(shown)
    }
}

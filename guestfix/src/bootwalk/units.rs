//! Units of systemd: where one is, and whether it is masked (systemd.unit(5)).

use libdisk::vfs::FileType;

use crate::{Result, View};

/// Where units are looked for, the first that has one counts.
const DIRS: &[&str] = &[
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// As many aliases of aliases as are followed.
const ALIASES: usize = 8;

/// A unit as it is found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unit {
    /// It is there under this name, which an alias may have led to, in this file.
    There {
        /// The name without aliases.
        name: String,
        /// Its file.
        path: String,
    },
    /// This link to /dev/null, or empty file, keeps it from being started.
    Masked(String),
    /// It is not there.
    Missing {
        /// The name without the aliases that there are.
        name: String,
        /// The last of those.
        link: Option<String>,
    },
}

impl Unit {
    /// Looks for a unit by its name; for one of a template, like `getty@tty1.service`, then for the template.
    pub(super) fn find(view: &dyn View, name: &str) -> Result<Self> {
        let mut name = name.to_owned();
        let mut last = None;
        for _ in 0..ALIASES {
            let Some(path) = first(view, &name)? else {
                return Ok(Self::Missing { name, link: last });
            };
            let Some(target) = view.read_link(&path)? else {
                return Ok(match view.stat(&path)? {
                    Some(node) if node.file_type == FileType::Regular && node.size > 0 => {
                        Self::There { name, path }
                    }
                    Some(node) if node.file_type == FileType::Regular => Self::Masked(path),
                    _ => Self::Missing { name, link: Some(path) },
                });
            };
            if target == "/dev/null" {
                return Ok(Self::Masked(path));
            }
            // a link is an alias, by the name of what it leads to
            let alias = target.rsplit('/').next().unwrap_or(&target).to_owned();
            if alias == name || view.exists(&path)? && first(view, &alias)?.is_none() {
                return Ok(match view.stat(&path)? {
                    Some(node) if node.size > 0 => Self::There { name: alias, path },
                    Some(_) => Self::Masked(path),
                    None => Self::Missing { name: alias, link: Some(path) },
                });
            }
            last = Some(path);
            name = alias;
        }
        Ok(Self::Missing { name, link: last })
    }

    /// What is wrong with it, if anything is, and where.
    pub(super) fn fault(&self, name: &str) -> Option<(String, String)> {
        match self {
            Self::There { .. } => None,
            Self::Masked(path) => Some((path.clone(), format!("{name} is masked"))),
            Self::Missing { name, link: Some(link) } => {
                Some((link.clone(), format!("it leads to a {name} that is not there")))
            }
            Self::Missing { name, link: None } => {
                Some((format!("/usr/lib/systemd/system/{name}"), format!("{name} is not there")))
            }
        }
    }
}

/// The first directory that has the unit, or its template.
fn first(view: &dyn View, name: &str) -> Result<Option<String>> {
    let template =
        name.split_once('@').and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
    for name in [Some(name.to_owned()), template].into_iter().flatten() {
        for dir in DIRS {
            let path = format!("{dir}/{name}");
            if view.lstat(&path)?.is_some() {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// The links by which a unit is started, in the directories of those that start it: `suffixes` are ".wants"
/// and ".requires".
pub(super) fn started_by(view: &dyn View, name: &str, suffixes: &[&str]) -> Result<Option<String>> {
    for dir in DIRS {
        for suffix in suffixes {
            for folder in view.glob(dir, suffix)? {
                let link = format!("{folder}/{name}");
                if view.lstat(&link)?.is_some() {
                    return Ok(Some(link));
                }
            }
        }
    }
    Ok(None)
}

//! Paths inside the guest, resolved as its own kernel would: links restart at the guest's root, `..` never
//! leaves it.

use crate::text::bytes;
use crate::{Error, Result};

/// As many links as Linux follows in one path (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// `PATH_MAX` of Linux: links of a hostile image must not make a path grow without end.
const MAX_LEN: usize = 4096;

/// What stands at a path.
pub(crate) enum Kind {
    Directory,
    /// A symbolic link and its target.
    Link(Vec<u8>),
    Other,
}

/// A tree whose paths can be resolved.
pub(crate) trait Names {
    /// What stands at `path`, of which all names but the last are those of real directories.
    fn kind(&self, path: &[u8]) -> Result<Option<Kind>>;

    /// How the last name of `path` is written where it stands, if it is found without regard to case and is
    /// written in another way. What is staged is known by the names that are written.
    fn spelling(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let _ = path;
        Ok(None)
    }
}

/// Whether a link in the last place is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Follow,
    Keep,
}

/// Where a path leads. The paths in it hold no link in the place of a directory, no `.` and no `..`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To something that is there.
    Found(Vec<u8>),
    /// To nothing, but it could be made, together with the directories above it.
    Absent(Vec<u8>),
    /// Through this path, which is not a directory.
    Blocked(Vec<u8>),
}

/// Follows `path` through `names`.
pub(crate) fn resolve(names: &dyn Names, path: &[u8], last: Last) -> Result<Place> {
    let malformed = |what: &str| Error::Malformed { path: shown(path), what: what.into() };
    let mut done = Vec::new();
    let mut todo = Vec::new();
    push_names(&mut todo, path);
    let mut links = 0;
    while let Some(name) = todo.pop() {
        let parent = done.len();
        if name == b".." {
            done.truncate(done.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
            continue;
        }
        done.push(b'/');
        done.extend_from_slice(&name);
        if done.len() > MAX_LEN {
            return Err(malformed("the path is longer than 4096 bytes"));
        }
        if let Some(written) = names.spelling(&done)? {
            done.truncate(parent.saturating_add(1));
            done.extend_from_slice(&written);
        }
        match names.kind(&done)? {
            Some(Kind::Link(target)) if !todo.is_empty() || last == Last::Follow => {
                links += 1;
                if links > MAX_LINKS || target.len() > MAX_LEN {
                    return Err(malformed("more than 40 symbolic links, or a loop of them"));
                }
                done.truncate(if target.starts_with(b"/") { 0 } else { parent });
                push_names(&mut todo, &target);
            }
            Some(Kind::Directory) => {}
            Some(Kind::Link(_) | Kind::Other) if todo.is_empty() => {}
            Some(Kind::Link(_) | Kind::Other) => return Ok(Place::Blocked(done)),
            None if todo.iter().any(|name| name == b"..") => return Ok(Place::Blocked(done)),
            None => {
                for name in todo.iter().rev() {
                    done.push(b'/');
                    done.extend_from_slice(name);
                }
                return Ok(Place::Absent(done));
            }
        }
    }
    if done.is_empty() {
        done.push(b'/');
    }
    Ok(Place::Found(done))
}

/// Puts the names of `path` on the stack, the first one on top.
fn push_names(stack: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    stack.extend(names.rev().map(<[u8]>::to_vec));
}

/// The directory of a resolved path and its last name; `None` for the root.
pub(crate) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|&byte| byte == b'/')?;
    let name = &path[slash + 1..];
    let dir = if slash == 0 { &b"/"[..] } else { &path[..slash] };
    (!name.is_empty()).then_some((dir, name))
}

/// [`split`] for text.
pub(crate) fn split_str(path: &str) -> Option<(&str, &str)> {
    let (dir, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then_some((if dir.is_empty() { "/" } else { dir }, name))
}

/// `path` as seen from the mount point `point`, without a slash in front; `None` if it does not lie below it.
pub(crate) fn below<'a>(path: &'a [u8], point: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(point.strip_suffix(b"/").unwrap_or(point))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"/") }
}

/// A path for messages.
pub(crate) fn shown(path: &[u8]) -> String {
    bytes::shown_bytes(path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Paths to link targets; a target of "dir" or "file" is one.
    struct Fake(BTreeMap<&'static str, &'static str>);

    impl Names for Fake {
        fn kind(&self, path: &[u8]) -> Result<Option<Kind>> {
            Ok(self.0.get(std::str::from_utf8(path).unwrap()).map(|&target| match target {
                "dir" => Kind::Directory,
                "file" => Kind::Other,
                target => Kind::Link(target.into()),
            }))
        }
    }

    fn fake() -> Fake {
        Fake(BTreeMap::from([
            ("/usr", "dir"),
            ("/usr/lib", "dir"),
            ("/usr/lib/x", "file"),
            ("/lib", "usr/lib"),
            ("/abs", "/usr/lib/../lib/x"),
            ("/out", "../../../../usr"),
            ("/loop", "loop"),
            ("/gone", "/run/x/y"),
        ]))
    }

    #[test]
    fn links_and_dots_stay_inside() {
        let find = |path: &str, last| resolve(&fake(), path.as_bytes(), last).unwrap();
        let found = |path: &str| Place::Found(path.into());
        assert_eq!(find("/lib/x", Last::Follow), found("/usr/lib/x"));
        assert_eq!(find("//lib/./../lib/x", Last::Keep), found("/usr/lib/x"));
        assert_eq!(find("/../..", Last::Follow), found("/"));
        assert_eq!(find("/abs", Last::Follow), found("/usr/lib/x"));
        assert_eq!(find("/abs", Last::Keep), found("/abs"));
        assert_eq!(find("/out/lib/x", Last::Follow), found("/usr/lib/x"));
        assert_eq!(find("/lib/new/y", Last::Keep), Place::Absent("/usr/lib/new/y".into()));
        assert_eq!(find("/gone", Last::Follow), Place::Absent("/run/x/y".into()));
        assert_eq!(find("/lib/x/y", Last::Keep), Place::Blocked("/usr/lib/x".into()));
        assert_eq!(find("/nowhere/../usr", Last::Keep), Place::Blocked("/nowhere".into()));
    }

    #[test]
    fn loops_and_endless_paths_are_errors() {
        assert!(resolve(&fake(), b"/loop", Last::Follow).is_err());
        assert!(resolve(&fake(), b"/loop/x", Last::Keep).is_err());
        assert!(resolve(&fake(), &b"/a".repeat(3000), Last::Keep).is_ok());
        let long = Fake(BTreeMap::from([("/a", "dir")]));
        assert!(resolve(&long, &[&b"/"[..], &b"x".repeat(5000)].concat(), Last::Keep).is_err());
    }

    #[test]
    fn splitting() {
        assert_eq!(split(b"/a/b"), Some((&b"/a"[..], &b"b"[..])));
        assert_eq!(split(b"/a"), Some((&b"/"[..], &b"a"[..])));
        assert_eq!(split(b"/"), None);
        assert_eq!(below(b"/boot/efi/x", b"/boot"), Some(&b"efi/x"[..]));
        assert_eq!(below(b"/bootx", b"/boot"), None);
        assert_eq!(below(b"/boot", b"/boot"), Some(&b""[..]));
        assert_eq!(below(b"/boot", b"/"), Some(&b"boot"[..]));
    }
}

//! Where something is: an image, a partition of it, a file in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use block::shown;
use image::{Format, qcow2};

/// What a user names on the command line.
///
/// `disk.qcow2`, `raw:disk.img` (the format is forced), `disk.qcow2@before` (an internal snapshot, by its name or ID), `disk.vhd#p2` (partition 2), `disk.vhd#disk2` and
/// `disk.vhd#disk2p1` (the machine's second disk, and a partition of that), `disk.vhd#vg0/root` (a logical
/// volume), `disk.vhd#/etc/fstab` (a path in the guest's own tree), `disk.vhd#p1:/EFI` and
/// `disk.vhd#vg0/root:/etc` (a path in one volume), `ebs:snap-0abc@eu-west-1` (also several, with commas, or
/// an instance, `ebs:i-0abc@eu-west-1`), `azure:https://ACCOUNT.blob.core.windows.net/CONTAINER/disk.vhd` (a
/// blob; its signature is no part of the address), `azure:SUBSCRIPTION/GROUP/DISK` (a managed disk),
/// `azure:SUBSCRIPTION/GROUP/snapshots/NAME` (a snapshot of one).
///
/// What follows a `#` counts only if it has one of these shapes, so `build#7.img` is a file. What follows the last
/// `@` counts after `.qcow2`, and where the format is forced to be qcow2; there `qcow2:a@b.img@` is the file `a@b.img`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Where the disk is.
    pub location: Location,
    /// Which part of it is meant.
    pub place: Place,
    /// An absolute path: in the guest's own tree, or in the volume if one is named.
    pub path: Option<String>,
}

/// Where a disk is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A file or block device of this machine.
    File {
        /// Its path.
        path: PathBuf,
        /// The format that the user says it has, whatever it looks like.
        format: Option<&'static Format>,
        /// The internal snapshot that is meant, by its ID or name.
        snapshot: Option<String>,
    },
    /// Snapshots in AWS, as `cloud::ebs::Address` reads them: `snap-0abc@eu-west-1`.
    Ebs(String),
    /// A blob in Azure, by its URL without a query, as `cloud::azure::BlobUrl` reads it, or a managed disk, as
    /// `cloud::azure::DiskId` does.
    Azure(String),
}

/// Which part of a machine is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// All of it.
    Disk,
    /// One of its disks; the one that it starts from is number 1.
    Numbered(u32),
    /// A partition.
    Partition {
        /// Of which disk.
        disk: u32,
        /// Its number in the table.
        number: u32,
    },
    /// A logical volume.
    LogicalVolume {
        /// The volume group.
        group: String,
        /// The volume.
        volume: String,
    },
}

/// Why something is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is nothing before the `#`.
    #[error("address {0:?} names no image")]
    Empty(String),
    /// The URL of a blob has a query, which may be a secret, and is not told.
    #[error("address {0:?} has a query; a shared access signature is given apart from it")]
    Query(String),
    /// An `@` with nothing behind it, as from a variable that is not set.
    #[error("address {0:?} names no internal snapshot behind its @")]
    NoSnapshot(String),
    /// Partitions count from 1.
    #[error("address {0:?} names partition 0; partitions count from 1")]
    PartitionZero(String),
    /// Disks do, too.
    #[error("address {0:?} names disk 0; disks count from 1")]
    DiskZero(String),
    /// A path directly behind a partition or disk; with the right form.
    #[error("address {address:?} has no colon between the volume and the path")]
    NoColon {
        /// What was typed.
        address: String,
        /// What was meant: "disk.vhd#p1:/EFI".
        right: String,
    },
    /// A format that is forced, and that we do not open.
    #[error("{0} images cannot be opened; {names} can", names = Format::names())]
    Format(String),
}

impl Address {
    /// The whole disk in the file `path`, its format probed; for paths that must not be taken apart.
    pub fn file(path: &Path) -> Self {
        Self {
            location: Location::File { path: path.to_owned(), format: None, snapshot: None },
            place: Place::Disk,
            path: None,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut parts = text.match_indices('#').map(|(at, _)| text.split_at(at));
        let part = parts.find_map(|(disk, part)| Some((disk, part.strip_prefix('#').and_then(Part::of)?)));
        let (disk, part) = part.unwrap_or((text, Part { place: Place::Disk, path: None, colon: false }));
        let Part { place, path, colon } = part;
        match (&place, path) {
            (Place::Partition { number: 0, .. }, _) => {
                return Err(AddressError::PartitionZero(text.to_owned()));
            }
            (Place::Numbered(0) | Place::Partition { disk: 0, .. }, _) => {
                return Err(AddressError::DiskZero(text.to_owned()));
            }
            (Place::Numbered(_) | Place::Partition { .. }, Some(path)) if !colon => {
                let right = format!("{disk}{place}:{path}");
                return Err(AddressError::NoColon { address: text.to_owned(), right });
            }
            _ => {}
        }
        let location = location(disk)?;
        let empty = match &location {
            Location::File { path, .. } => path.as_os_str().is_empty(),
            Location::Ebs(name) | Location::Azure(name) => name.is_empty(),
        };
        if empty {
            return Err(AddressError::Empty(text.to_owned()));
        }
        Ok(Self { location, place, path: path.map(str::to_owned) })
    }
}

/// What follows a `#`: a volume, a path, or both.
struct Part<'a> {
    place: Place,
    path: Option<&'a str>,
    /// Whether there is a colon between them, as there has to be.
    colon: bool,
}

impl<'a> Part<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let colon = false;
        if text.starts_with('/') {
            return Some(Self { place: Place::Disk, path: Some(text), colon });
        }
        if let Some((volume, path)) = text.find('/').and_then(|at| text.split_at_checked(at))
            && let Some(place) = partition_of(volume)
        {
            return Some(Self { place, path: Some(path), colon });
        }
        match text.find(":/").and_then(|at| text.split_at_checked(at)) {
            Some((volume, path)) => {
                Some(Self { place: volume_of(volume)?, path: path.strip_prefix(':'), colon: true })
            }
            None => Some(Self { place: volume_of(text)?, path: None, colon }),
        }
    }
}

/// `p2`, `disk2`, or `disk2p1`.
fn partition_of(text: &str) -> Option<Place> {
    let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let Some(disk) = text.strip_prefix("disk") else {
        return Some(Place::Partition { disk: 1, number: number(text.strip_prefix('p')?)? });
    };
    Some(match disk.split_once('p') {
        None => Place::Numbered(number(disk)?),
        Some((disk, partition)) => Place::Partition { disk: number(disk)?, number: number(partition)? },
    })
}

fn volume_of(text: &str) -> Option<Place> {
    let is_lvm_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+_.-".contains(&b))
    };
    let logical = || {
        let (group, volume) = text.split_once('/')?;
        (is_lvm_name(group) && is_lvm_name(volume))
            .then(|| Place::LogicalVolume { group: group.to_owned(), volume: volume.to_owned() })
    };
    partition_of(text).or_else(logical)
}

fn location(text: &str) -> Result<Location, AddressError> {
    let plain = || file(text, None);
    let Some((scheme, rest)) = text.split_once(':') else { return plain() };
    if image::is_foreign(scheme) {
        return Err(AddressError::Format(scheme.to_owned()));
    }
    Ok(match (scheme, Format::named(scheme)) {
        ("ebs", _) => Location::Ebs(rest.to_owned()),
        ("azure", _) if rest.contains('?') => {
            return Err(AddressError::Query(text.split('?').next().unwrap_or_default().to_owned()));
        }
        ("azure", _) => Location::Azure(rest.to_owned()),
        (_, Some(format)) => file(rest, Some(format))?,
        _ => plain()?,
    })
}

/// A file, or an internal snapshot in it. A path with an `@` of its own may end with one, so that no other is meant.
fn file(text: &str, format: Option<&'static Format>) -> Result<Location, AddressError> {
    let ats = || {
        text.match_indices('@').map(|(at, _)| at).filter(|at| {
            text.split_at_checked(*at)
                .is_some_and(|(path, name)| has_snapshots(path, format) && !name.contains('/'))
        })
    };
    // The name of a snapshot may have an @ where the end of the path is known.
    let at = if format.is_none() { ats().next() } else { ats().next_back() };
    let Some((path, name)) = at.and_then(|at| text.split_at_checked(at)) else {
        return Ok(Location::File { path: text.into(), format, snapshot: None });
    };
    let name = name.strip_prefix('@').filter(|name| !name.is_empty());
    if name.is_none() && !path.contains('@') {
        return Err(AddressError::NoSnapshot(text.to_owned()));
    }
    Ok(Location::File { path: path.into(), format, snapshot: name.map(str::to_owned) })
}

/// Whether an `@` after this path is no part of it.
fn has_snapshots(path: &str, format: Option<&'static Format>) -> bool {
    match format {
        None => path.to_ascii_lowercase().ends_with(".qcow2"),
        Some(format) => *format == qcow2::FORMAT && !path.is_empty(),
    }
}

impl Location {
    /// An internal snapshot of the image `path`.
    pub fn snapshot(path: &Path, name: &str) -> Self {
        let is_told = has_snapshots(&path.to_string_lossy(), None);
        let format = (!is_told).then_some(&qcow2::FORMAT);
        Self::File { path: path.to_owned(), format, snapshot: Some(name.to_owned()) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, format, snapshot } => {
                if let Some(format) = format {
                    write!(f, "{format}:")?;
                }
                write!(f, "{}", shown(path))?;
                let is_ambiguous = || {
                    path.to_string_lossy().contains('@')
                        && format.is_some_and(|format| *format == qcow2::FORMAT)
                };
                match snapshot {
                    Some(snapshot) => write!(f, "@{snapshot}"),
                    None if is_ambiguous() => f.write_str("@"),
                    None => Ok(()),
                }
            }
            Self::Ebs(name) => write!(f, "ebs:{name}"),
            Self::Azure(name) => write!(f, "azure:{name}"),
        }
    }
}

/// As it follows a location.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk => Ok(()),
            Self::Numbered(disk) => write!(f, "#disk{disk}"),
            Self::Partition { disk: 1, number } => write!(f, "#p{number}"),
            Self::Partition { disk, number } => write!(f, "#disk{disk}p{number}"),
            Self::LogicalVolume { group, volume } => write!(f, "#{group}/{volume}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.location, self.place)?;
        match (&self.path, &self.place) {
            (None, _) => Ok(()),
            (Some(path), Place::Disk) => write!(f, "#{path}"),
            (Some(path), _) => write!(f, ":{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{raw, vhd};

    use super::*;

    fn file(path: &str, format: Option<&'static Format>, place: Place) -> Address {
        Address { location: Location::File { path: path.into(), format, snapshot: None }, place, path: None }
    }

    fn partition(disk: u32, number: u32) -> Place {
        Place::Partition { disk, number }
    }

    #[test]
    fn every_shape_is_read_and_written_back() {
        let volume = Place::LogicalVolume { group: "vg0".into(), volume: "root".into() };
        let with_path =
            |place: Place, path: &str| Address { path: Some(path.into()), ..file("disk.vhd", None, place) };
        let cases = [
            ("disk.qcow2", file("disk.qcow2", None, Place::Disk)),
            ("raw:disk.img", file("disk.img", Some(&raw::FORMAT), Place::Disk)),
            ("dir/disk.vhd#p2", file("dir/disk.vhd", None, partition(1, 2))),
            ("vhd:disk.vhd#vg0/root", file("disk.vhd", Some(&vhd::FORMAT), volume.clone())),
            ("disk.vhd#/etc/fstab", with_path(Place::Disk, "/etc/fstab")),
            ("disk.vhd#/etc/a#p1", with_path(Place::Disk, "/etc/a#p1")),
            ("disk.vhd#p1:/", with_path(partition(1, 1), "/")),
            ("disk.vhd#p15:/EFI/a:/b#/c", with_path(partition(1, 15), "/EFI/a:/b#/c")),
            ("disk.vhd#vg0/root:/etc", with_path(volume.clone(), "/etc")),
            ("disk.vhd#disk2", file("disk.vhd", None, Place::Numbered(2))),
            ("disk.vhd#disk3p1", file("disk.vhd", None, partition(3, 1))),
            ("disk.vhd#disk2:/", with_path(Place::Numbered(2), "/")),
            ("disk.vhd#disk2p14:/EFI", with_path(partition(2, 14), "/EFI")),
            ("a#disk", file("a#disk", None, Place::Disk)),
            ("a#disk2p", file("a#disk2p", None, Place::Disk)),
            ("a#disk-2", file("a#disk-2", None, Place::Disk)),
            ("a#p1#p2", file("a#p1", None, partition(1, 2))),
            (
                "build#7/a#p2:/x",
                Address { path: Some("/x".into()), ..file("build#7/a", None, partition(1, 2)) },
            ),
            ("build#7.img", file("build#7.img", None, Place::Disk)),
            ("a:b.img", file("a:b.img", None, Place::Disk)),
        ];
        for (text, address) in cases {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), text);
        }
        for (text, path, format, snapshot) in [
            ("disk.qcow2@before", "disk.qcow2", None, Some("before")),
            ("qcow2:disk.img@2", "disk.img", Some(&qcow2::FORMAT), Some("2")),
            ("a@b.QCOW2@c d", "a@b.QCOW2", None, Some("c d")),
            ("a.qcow2@b@c", "a.qcow2", None, Some("b@c")),
            ("qcow2:a@b.img@", "a@b.img", Some(&qcow2::FORMAT), None),
            ("qcow2:x@y/a.img@", "x@y/a.img", Some(&qcow2::FORMAT), None),
            ("a.qcow2@x/b.img", "a.qcow2@x/b.img", None, None),
            ("a@b.img", "a@b.img", None, None),
            ("raw:a.qcow2@b", "a.qcow2@b", Some(&raw::FORMAT), None),
        ] {
            for part in ["", "#p2", "#/etc/fstab"] {
                let text = format!("{text}{part}");
                let address: Address = text.parse().unwrap();
                let location =
                    Location::File { path: path.into(), format, snapshot: snapshot.map(str::to_owned) };
                assert_eq!(address.location, location, "{text}");
                assert_eq!(address.to_string(), text);
            }
        }
        for text in ["a.qcow2@", "qcow2:a.img@", "a.qcow2@#p1"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(matches!(error, AddressError::NoSnapshot(_)), "{text}: {error}");
        }
        assert_eq!(Location::snapshot(Path::new("a.qcow2"), "1").to_string(), "a.qcow2@1");
        assert_eq!(Location::snapshot(Path::new("a.img"), "1").to_string(), "qcow2:a.img@1");
        let ebs: Address = "ebs:snap-0abc@eu-west-1#p1".parse().unwrap();
        assert_eq!(ebs.location, Location::Ebs("snap-0abc@eu-west-1".into()));
        assert_eq!(ebs.to_string(), "ebs:snap-0abc@eu-west-1#p1");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["", "#p1", "raw:", "ebs:", "azure:#p1"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Empty(text.into())), "{text}");
        }
        let secret = "azure:https://a/c/b.vhd?sig=secret".parse::<Address>();
        assert_eq!(secret, Err(AddressError::Query("azure:https://a/c/b.vhd".into())));
        assert_eq!("qed:disk.img".parse::<Address>(), Err(AddressError::Format("qed".into())));
        for (typed, right) in [
            ("a#p2/EFI", "a#p2:/EFI"),
            ("b:c#p1/", "b:c#p1:/"),
            ("a#p1/x:/y", "a#p1:/x:/y"),
            ("a#disk2p1/EFI", "a#disk2p1:/EFI"),
            ("a#disk2/", "a#disk2:/"),
        ] {
            match typed.parse::<Address>() {
                Err(AddressError::NoColon { right: told, .. }) => assert_eq!(told, right),
                other => panic!("{typed}: {other:?}"),
            }
        }
        for text in ["a#p0", "a#disk2p0"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::PartitionZero(text.into())));
        }
        for text in ["a#disk0", "a#disk0p1"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::DiskZero(text.into())));
        }
    }
}

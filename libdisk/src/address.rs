//! Where something is: an image, a partition of it, a file in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use image::Format;

/// What a user names on the command line.
///
/// `disk.qcow2`, `raw:disk.img` (the format is forced), `disk.vhd#p2` (partition 2), `disk.vhd#vg0/root` (a logical
/// volume), `disk.vhd#/etc/fstab` (a path in the guest's own tree), `ebs:snap-0abc@eu-west-1` (also several, with commas, or
/// an instance, `ebs:i-0abc@eu-west-1`), `azure:...`.
///
/// What follows a `#` counts only if it has one of these shapes, so `build#7.img` is a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Where the disk is.
    pub location: Location,
    /// Which part of it is meant.
    pub place: Place,
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
    },
    /// Snapshots in AWS, as `cloud::ebs::Address` reads them: `snap-0abc@eu-west-1`.
    Ebs(String),
    /// A disk in Azure.
    Azure(String),
}

/// Which part of a disk is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// All of it.
    Disk,
    /// The partition with this number.
    Partition(u32),
    /// A logical volume.
    LogicalVolume {
        /// The volume group.
        group: String,
        /// The volume.
        volume: String,
    },
    /// An absolute path in the guest's own tree.
    Path(String),
}

/// Why something is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is nothing before the `#`.
    #[error("address {0:?} names no image")]
    Empty(String),
    /// Partitions count from 1.
    #[error("address {0:?} names partition 0; partitions count from 1")]
    PartitionZero(String),
    /// A format that is forced, and that we do not open.
    #[error("{0} images cannot be opened; {names} can", names = Format::names())]
    Format(String),
}

impl Address {
    /// The whole disk in the file `path`, its format probed; for paths that must not be taken apart.
    pub fn file(path: &Path) -> Self {
        Self { location: Location::File { path: path.to_owned(), format: None }, place: Place::Disk }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (disk, place) = match text.split_once("#/") {
            Some((disk, path)) => (disk, Place::Path(format!("/{path}"))),
            None => match text.rsplit_once('#').and_then(|(disk, rest)| Some((disk, place(rest)?))) {
                Some(found) => found,
                None => (text, Place::Disk),
            },
        };
        if place == Place::Partition(0) {
            return Err(AddressError::PartitionZero(text.to_owned()));
        }
        let location = location(disk)?;
        let empty = match &location {
            Location::File { path, .. } => path.as_os_str().is_empty(),
            Location::Ebs(name) | Location::Azure(name) => name.is_empty(),
        };
        if empty { Err(AddressError::Empty(text.to_owned())) } else { Ok(Self { location, place }) }
    }
}

/// What follows a `#`, but for paths.
fn place(text: &str) -> Option<Place> {
    if let Some(number) = text.strip_prefix('p').filter(|n| n.bytes().all(|b| b.is_ascii_digit())) {
        return number.parse().ok().map(Place::Partition);
    }
    let is_lvm_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+_.-".contains(&b))
    };
    let (group, volume) = text.split_once('/')?;
    (is_lvm_name(group) && is_lvm_name(volume))
        .then(|| Place::LogicalVolume { group: group.to_owned(), volume: volume.to_owned() })
}

fn location(text: &str) -> Result<Location, AddressError> {
    let plain = Location::File { path: text.into(), format: None };
    let Some((scheme, rest)) = text.split_once(':') else { return Ok(plain) };
    if image::is_foreign(scheme) {
        return Err(AddressError::Format(scheme.to_owned()));
    }
    Ok(match (scheme, Format::named(scheme)) {
        ("ebs", _) => Location::Ebs(rest.to_owned()),
        ("azure", _) => Location::Azure(rest.to_owned()),
        (_, Some(format)) => Location::File { path: rest.into(), format: Some(format) },
        _ => plain,
    })
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, format: Some(format) } => write!(f, "{format}:{}", path.display()),
            Self::File { path, format: None } => write!(f, "{}", path.display()),
            Self::Ebs(name) => write!(f, "ebs:{name}"),
            Self::Azure(name) => write!(f, "azure:{name}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.location)?;
        match &self.place {
            Place::Disk => Ok(()),
            Place::Partition(number) => write!(f, "#p{number}"),
            Place::LogicalVolume { group, volume } => write!(f, "#{group}/{volume}"),
            Place::Path(path) => write!(f, "#{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{raw, vhd};

    use super::*;

    fn file(path: &str, format: Option<&'static Format>, place: Place) -> Address {
        Address { location: Location::File { path: path.into(), format }, place }
    }

    #[test]
    fn every_shape_is_read_and_written_back() {
        let volume = Place::LogicalVolume { group: "vg0".into(), volume: "root".into() };
        let cases = [
            ("disk.qcow2", file("disk.qcow2", None, Place::Disk)),
            ("raw:disk.img", file("disk.img", Some(&raw::FORMAT), Place::Disk)),
            ("dir/disk.vhd#p2", file("dir/disk.vhd", None, Place::Partition(2))),
            ("vhd:disk.vhd#vg0/root", file("disk.vhd", Some(&vhd::FORMAT), volume)),
            ("disk.vhd#/etc/fstab", file("disk.vhd", None, Place::Path("/etc/fstab".into()))),
            ("disk.vhd#/etc/a#p1", file("disk.vhd", None, Place::Path("/etc/a#p1".into()))),
            ("build#7.img", file("build#7.img", None, Place::Disk)),
            ("a:b.img", file("a:b.img", None, Place::Disk)),
        ];
        for (text, address) in cases {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), text);
        }
        let ebs: Address = "ebs:snap-0abc@eu-west-1#p1".parse().unwrap();
        assert_eq!(ebs.location, Location::Ebs("snap-0abc@eu-west-1".into()));
        assert_eq!(ebs.to_string(), "ebs:snap-0abc@eu-west-1#p1");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in ["", "#p1", "raw:", "ebs:", "azure:#p1"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Empty(text.into())), "{text}");
        }
        assert_eq!("vmdk:disk.img".parse::<Address>(), Err(AddressError::Format("vmdk".into())));
        assert_eq!("a#p0".parse::<Address>(), Err(AddressError::PartitionZero("a#p0".into())));
    }
}

//! Where on a machine something was found.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secrets;
use crate::text::bytes;

/// A place on a machine. [`Display`](fmt::Display) is the short form for people; as JSON it is an object
/// whose `kind` says which of these it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Place {
    /// A file or folder of the guest: "/etc/fstab:3", "/boot/grub2/grubenv kernelopts".
    File {
        /// Absolute, in the guest's own tree.
        path: String,
        /// Line number from 1, where lines count.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
        /// A variable or section of the file, where it has names and no lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// A value or key of a Windows registry: "SYSTEM\ControlSet001\Services\vmbus Start".
    Registry {
        /// The hive by its name: "SYSTEM".
        hive: String,
        /// The key below the hive's root, with backslashes.
        key: String,
        /// The value; `None` for the key itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },
    /// A partition or logical volume, by its name in addresses: "p1", "vg0/root".
    Volume {
        /// The name.
        name: String,
    },
    /// A whole disk, or one of its bytes: "disk", "disk 2", "disk at 0x1be".
    Disk {
        /// Which disk of the machine, from 0; 0 is that of the operating system.
        #[serde(default)]
        number: u32,
        /// In bytes from its start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
    },
    /// The machine on the platform that the guest goes to: its firmware, its devices.
    Platform,
}

impl Place {
    /// The disk of the operating system.
    pub const DISK: Self = Self::Disk { number: 0, offset: None };

    /// A disk by its index, from 0.
    pub fn disk(number: u32) -> Self {
        Self::Disk { number, offset: None }
    }

    /// A file as a whole.
    pub fn file(path: impl Into<String>) -> Self {
        Self::File { path: path.into(), line: None, name: None }
    }

    /// A line of a file, from 1.
    pub fn line(path: &str, line: usize) -> Self {
        Self::File { path: path.to_owned(), line: Some(line), name: None }
    }

    /// A variable or section of a file.
    pub fn variable(path: &str, name: &str) -> Self {
        Self::File { path: path.to_owned(), line: None, name: Some(name.to_owned()) }
    }

    /// A volume by its name in addresses.
    pub fn volume(name: &str) -> Self {
        Self::Volume { name: name.to_owned() }
    }

    /// With bytes of the guest that are not UTF-8 as people can read them.
    fn shown(self) -> Self {
        match self {
            Self::File { path, line, name } => Self::File { path: shown(path), line, name: name.map(shown) },
            Self::Registry { hive, key, value } => {
                Self::Registry { hive, key: shown(key), value: value.map(shown) }
            }
            Self::Volume { name } => Self::Volume { name: shown(name) },
            other => other,
        }
    }

    /// The file, if it is in one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File { path, .. } => Some(path),
            _ => None,
        }
    }
}

fn shown(text: String) -> String {
    bytes::shown(&text).into_owned()
}

/// A text by itself is the path of a file.
impl From<&str> for Place {
    fn from(path: &str) -> Self {
        Self::file(path)
    }
}

impl From<String> for Place {
    fn from(path: String) -> Self {
        Self::file(path)
    }
}

impl From<&String> for Place {
    fn from(path: &String) -> Self {
        Self::file(path.as_str())
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Self {
        place.clone()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, name } => {
                f.write_str(path)?;
                line.iter().try_for_each(|line| write!(f, ":{line}"))?;
                name.iter().try_for_each(|name| write!(f, " {name}"))
            }
            Self::Registry { hive, key, value } => {
                write!(f, "{hive}\\{key}")?;
                value.iter().try_for_each(|value| write!(f, " {value}"))
            }
            Self::Volume { name } => f.write_str(name),
            Self::Disk { number, offset } => {
                f.write_str("disk")?;
                if *number > 0 {
                    write!(f, " {}", number.saturating_add(1))?;
                }
                offset.iter().try_for_each(|offset| write!(f, " at {offset:#x}"))
            }
            Self::Platform => f.write_str("platform"),
        }
    }
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// Where.
    pub place: Place,
    /// What is there and what is wrong with it, or why it cannot be read, in a few words.
    pub what: String,
}

impl Evidence {
    /// Evidence at a place; a text as place is the path of a file. Bytes of the guest that are not UTF-8 are
    /// shown as `\xE9`, and values that look like secrets as [`secrets::MASK`].
    pub fn new(place: impl Into<Place>, what: impl Into<String>) -> Self {
        let what = shown(what.into());
        Self { place: place.into().shown(), what: secrets::masked(&what).into_owned() }
    }
}

/// "place: what".
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_short_for_people_and_tagged_for_programs() {
        let registry = |value: Option<&str>| Place::Registry {
            hive: "SYSTEM".into(),
            key: r"ControlSet001\Services\vmbus".into(),
            value: value.map(str::to_owned),
        };
        for (place, text, json) in [
            (Place::file("/etc/fstab"), "/etc/fstab", r#"{"kind":"file","path":"/etc/fstab"}"#),
            (Place::line("/etc/fstab", 3), "/etc/fstab:3", r#"{"kind":"file","path":"/etc/fstab","line":3}"#),
            (
                Place::variable("/boot/grub2/grubenv", "kernelopts"),
                "/boot/grub2/grubenv kernelopts",
                r#"{"kind":"file","path":"/boot/grub2/grubenv","name":"kernelopts"}"#,
            ),
            (Place::volume("vg0/root"), "vg0/root", r#"{"kind":"volume","name":"vg0/root"}"#),
            (Place::DISK, "disk", r#"{"kind":"disk","number":0}"#),
            (
                Place::Disk { number: 1, offset: Some(0x1be) },
                "disk 2 at 0x1be",
                r#"{"kind":"disk","number":1,"offset":446}"#,
            ),
            (
                registry(Some("Start")),
                r"SYSTEM\ControlSet001\Services\vmbus Start",
                r#"{"kind":"registry","hive":"SYSTEM","key":"ControlSet001\\Services\\vmbus","value":"Start"}"#,
            ),
            (
                registry(None),
                r"SYSTEM\ControlSet001\Services\vmbus",
                r#"{"kind":"registry","hive":"SYSTEM","key":"ControlSet001\\Services\\vmbus"}"#,
            ),
            (Place::Platform, "platform", r#"{"kind":"platform"}"#),
        ] {
            assert_eq!(place.to_string(), text);
            assert_eq!(serde_json::to_string(&place).unwrap(), json);
            assert_eq!(serde_json::from_str::<Place>(json).unwrap(), place);
        }
    }

    #[test]
    fn a_secret_in_a_line_is_not_in_the_evidence() {
        let line = "//files/x /srv cifs user=a,password=hunter2,_netdev 0 0";
        let evidence = Evidence::new(Place::line("/etc/fstab", 3), format!("{line} waits for the network"));
        assert!(!evidence.to_string().contains("hunter2"), "{evidence}");
        assert!(evidence.what.starts_with("//files/x /srv cifs user=a,password=(not-shown),_netdev"));
        let registration = Evidence::new("/x", "--token \"abc\" token=abc key AKIAIOSFODNN7EXAMPLE");
        assert_eq!(registration.what, "--token \"abc\" token=(not-shown) key (not-shown)");
        let plain = "root=/dev/xvda1 is a name of EC2";
        assert_eq!(Evidence::new("/x", plain).what, plain);
    }
}

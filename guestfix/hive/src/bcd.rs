//! Boot configuration data: a hive of objects, each with elements (Microsoft Learn, "Boot Configuration Data
//! in Windows Vista"; device elements after G. Chappell's notes and real ones).

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::hive::Hive;
use crate::key::Key;
use crate::value::Kind;

/// The object of the boot manager.
pub const BOOT_MANAGER: &str = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
/// The object of the settings of Emergency Management Services.
pub const EMS_SETTINGS: &str = "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}";

/// The boot manager's element that names the object to start.
pub const DEFAULT_OBJECT: u32 = 0x2300_0003;
/// The element with the device from which an application is loaded.
pub const APPLICATION_DEVICE: u32 = 0x1100_0001;
/// The element with the path of an application.
pub const APPLICATION_PATH: u32 = 0x1200_0002;
/// The element of a loader with the device of the system.
pub const OS_DEVICE: u32 = 0x2100_0001;
/// The element of a loader with the folder of Windows.
pub const SYSTEM_ROOT: u32 = 0x2200_0002;

/// The boot configuration of a disk.
#[derive(Debug, Clone, Copy)]
pub struct Bcd<'h> {
    objects: Key<'h>,
}

/// An object: the boot manager, a loader.
#[derive(Debug, Clone, Copy)]
pub struct Object<'h> {
    key: Key<'h>,
}

/// What an element says (its type is in the format of its number).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// A device.
    Device(Device),
    /// A text.
    Text(String),
    /// An object, or some.
    Objects(Vec<String>),
    /// A number, or numbers.
    Integers(Vec<u64>),
    /// Yes or no.
    Boolean(bool),
}

/// A device, as an element names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// That from which the firmware started.
    Boot,
    /// A partition.
    Partition(Partition),
    /// That with a file at this path.
    Locate {
        /// The path, where it is in the element; else another element has it.
        path: Option<String>,
    },
    /// A memory disk, loaded from a file.
    File {
        /// The file's path.
        path: String,
        /// The device that it is on.
        on: Box<Device>,
    },
    /// One of another type, which is not understood.
    Other {
        /// The type.
        kind: u32,
    },
}

/// A partition by what is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// Of a GUID partition table.
    Gpt {
        /// The disk's identifier.
        disk: Uuid,
        /// The partition's.
        partition: Uuid,
    },
    /// Of a master boot record.
    Mbr {
        /// The disk's signature.
        disk: u32,
        /// Where the partition starts, in bytes.
        start: u64,
    },
}

impl Hive {
    /// The boot configuration in it.
    ///
    /// # Errors
    /// `NoKey` if it has none, `Corrupt` if it is damaged; so for all that follow.
    pub fn bcd(&self) -> Result<Bcd<'_>> {
        let objects = self.key("Objects")?.ok_or_else(|| Error::NoKey("Objects".to_owned()))?;
        Ok(Bcd { objects })
    }
}

impl<'h> Bcd<'h> {
    /// All objects, with their names.
    ///
    /// # Errors
    /// As [`Hive::bcd`].
    pub fn objects(&self) -> Result<Vec<(String, Object<'h>)>> {
        self.objects.subkeys()?.into_iter().map(|key| Ok((key.name()?, Object { key }))).collect()
    }

    /// The object of a name, as in `{9dea862c-5cdd-4e70-acc1-f32b344d4795}`.
    ///
    /// # Errors
    /// As [`Hive::bcd`].
    pub fn object(&self, name: &str) -> Result<Option<Object<'h>>> {
        Ok(self.objects.subkey(name)?.map(|key| Object { key }))
    }

    /// The object that the boot manager starts, and its name; `None` if it names none that is there.
    ///
    /// # Errors
    /// As [`Hive::bcd`].
    pub fn default_object(&self) -> Result<Option<(String, Object<'h>)>> {
        let Some(manager) = self.object(BOOT_MANAGER)? else { return Ok(None) };
        let Some(Element::Objects(names)) = manager.element(DEFAULT_OBJECT)? else { return Ok(None) };
        let Some(name) = names.into_iter().next() else { return Ok(None) };
        Ok(self.object(&name)?.map(|object| (name, object)))
    }
}

impl<'h> Object<'h> {
    /// Its type, from its description.
    ///
    /// # Errors
    /// As [`Hive::bcd`].
    pub fn kind(&self) -> Result<Option<u32>> {
        let Some(description) = self.key.subkey("Description")? else { return Ok(None) };
        description.value("Type")?.map(|value| value.dword()).transpose()
    }

    /// An element by its number.
    ///
    /// # Errors
    /// As [`Hive::bcd`], and `Type` if its data is not of the type that its number says.
    pub fn element(&self, number: u32) -> Result<Option<Element>> {
        let Some(key) = self.key.at_path(&format!(r"Elements\{number:08x}"))? else { return Ok(None) };
        let Some(value) = key.value("Element")? else { return Ok(None) };
        let data = value.data()?;
        let wrong = |wanted| Error::Type {
            value: format!("element {number:08x}"),
            found: format!("{} of {} bytes", value.kind(), data.len()),
            wanted,
        };
        let binary = value.kind() == Kind::BINARY;
        let element = match number >> 24 & 0xf {
            1 => Device::read(&data).filter(|_| binary).map(Element::Device).ok_or_else(|| wrong("a device")),
            2 => value.text().map(Element::Text),
            3 => value.text().map(|name| Element::Objects(vec![name])),
            4 => value.texts().map(Element::Objects),
            5 | 7 => {
                let (words, rest) = data.as_chunks::<8>();
                let numbers = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
                // Some tools write a number of 32 bits.
                match <[u8; 4]>::try_from(rest) {
                    _ if !binary => Err(wrong("a number")),
                    Ok(word) if words.is_empty() => {
                        Ok(Element::Integers(vec![u64::from(u32::from_le_bytes(word))]))
                    }
                    _ if rest.is_empty() => Ok(Element::Integers(numbers)),
                    _ => Err(wrong("a number")),
                }
            }
            6 => data
                .first()
                .filter(|_| binary)
                .map(|byte| Element::Boolean(*byte != 0))
                .ok_or_else(|| wrong("yes or no")),
            _ => Err(wrong("of a type that is known")),
        };
        element.map(Some)
    }

    /// The numbers of its elements.
    ///
    /// # Errors
    /// As [`Hive::bcd`].
    pub fn elements(&self) -> Result<Vec<u32>> {
        let Some(elements) = self.key.subkey("Elements")? else { return Ok(Vec::new()) };
        let names: Vec<String> =
            elements.subkeys()?.into_iter().map(|key| key.name()).collect::<Result<_>>()?;
        Ok(names.iter().filter_map(|name| u32::from_str_radix(name, 16).ok()).collect())
    }
}

/// Bytes in front of what a device element holds: the options' object.
const OPTIONS: usize = 16;
/// Bytes of a device's head: its type, flags, length and four that are spare.
const HEAD: usize = 16;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    crate::cells::number(bytes, at)
}

fn guid(bytes: &[u8], at: usize) -> Option<Uuid> {
    bytes.get(at..)?.first_chunk().map(|guid| Uuid::from_bytes_le(*guid))
}

impl Device {
    /// The device of an element's data.
    fn read(data: &[u8]) -> Option<Self> {
        Self::at(data.get(OPTIONS..)?)
    }

    /// The device at the start of some bytes.
    fn at(bytes: &[u8]) -> Option<Self> {
        let kind = word(bytes, 0)?;
        let body = bytes.get(HEAD..)?;
        Some(match kind {
            5 => Self::Boot,
            6 => Self::Partition(Partition::read(body)?),
            0 => Self::file(body).unwrap_or(Self::Other { kind }),
            8 => {
                let in_place = word(body, 0)? == 0;
                let path = body.get(12..).map(crate::name::utf16).unwrap_or_default();
                let path = path.split('\0').next().unwrap_or_default().to_owned();
                Self::Locate { path: Some(path).filter(|path| in_place && !path.is_empty()) }
            }
            kind => Self::Other { kind },
        })
    }

    /// A file: behind 24 bytes its version, length and kind, the device that it is on, and its path.
    fn file(body: &[u8]) -> Option<Self> {
        let file = body.get(24..)?;
        let file = file.get(..crate::cells::index(word(file, 4)?)).filter(|_| word(body, 24) == Some(1))?;
        let nested = file.get(12..).filter(|_| word(file, 8) == Some(5))?;
        let len = crate::cells::index(word(nested, 8)?);
        let (device, path) = nested.split_at_checked(len)?;
        let on = Box::new(Self::at(device).filter(|on| !matches!(on, Self::File { .. }))?);
        let path = crate::name::utf16(path);
        Some(Self::File { path: path.split('\0').next().unwrap_or_default().to_owned(), on })
    }
}

impl Partition {
    fn read(body: &[u8]) -> Option<Self> {
        match word(body, 20)? {
            0 => Some(Self::Gpt { partition: guid(body, 0)?, disk: guid(body, 24)? }),
            1 => {
                let start = body.first_chunk().map(|start| u64::from_le_bytes(*start))?;
                Some(Self::Mbr { start, disk: word(body, 24)? })
            }
            _ => None,
        }
    }
}

//! Services and drivers of a control set ("HKLM\SYSTEM\CurrentControlSet\Services Registry Tree", Microsoft
//! Learn, 2026).

use std::result::Result as StdResult;

use hive::{Key, Value};

use super::Opened;
use crate::Result;
use crate::rule::{Evidence, Place};

/// The loader starts it.
pub const BOOT_START: u32 = 0;
/// Whatever comes, it is not started.
pub const DISABLED: u32 = 4;

/// Bits of a `Type` that has a process: one of its own, one that is shared.
const PROGRAM: u32 = 0x30;

/// The subkey whose values are starts for one machine each.
const START_OVERRIDE: &str = "StartOverride";

/// A service or a driver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its key from the hive's root.
    pub key: String,
    /// `Type`: 1 a driver of the kernel, 2 of a file system, 8 one that recognises file systems.
    pub kind: Option<u32>,
    /// `Start`: 0 by the loader, 1 by the kernel, 2 by itself, 3 when it is asked for, 4 never.
    pub start: Option<u32>,
    /// What takes the place of `Start` on some machines: the machine's number, and the start.
    pub overrides: Vec<(String, u32)>,
    /// `ErrorControl`: from 2 on a start ends where it fails.
    pub error_control: Option<u32>,
    /// `Group`, in whose turn it is loaded.
    pub group: Option<String>,
    /// `Tag`, by which it has its place in the group.
    pub tag: Option<u32>,
    /// `ImagePath`.
    pub image: Option<String>,
    /// `DependOnService`.
    pub needs: Vec<String>,
    /// `Parameters\ServiceDll`.
    pub library: Option<String>,
    /// `ObjectName`: the account that it runs as.
    pub account: Option<String>,
}

/// Those of one control set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Services {
    /// In the order of their names.
    pub all: Vec<Service>,
    /// Those that cannot be read, and why.
    pub unread: Vec<Evidence>,
}

impl Services {
    /// All of a control set.
    ///
    /// # Errors
    /// `Registry` if the list cannot be read; one of them that cannot is told beside the others.
    pub fn of(system: &Opened, set: &str) -> Result<Self> {
        let path = format!(r"{set}\Services");
        let mut services = Self::default();
        let Some(key) = system.key(&path)? else { return Ok(services) };
        for key in system.at(&path, None, key.subkeys())? {
            let name = system.at(&path, None, key.name())?;
            let path = format!(r"{path}\{name}");
            match Service::read(&key, name, path.clone()) {
                Ok(service) => services.all.push(service),
                Err((value, error)) => {
                    services.unread.push(Evidence::new(system.place(&path, Some(value)), error.to_string()));
                }
            }
        }
        Ok(services)
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Service> {
        self.all.iter().find(|service| service.name.eq_ignore_ascii_case(name))
    }

    /// Why the one of that name cannot be read, if that is so.
    pub fn unread(&self, name: &str) -> Option<&Evidence> {
        let is_it = |evidence: &&Evidence| match &evidence.place {
            Place::Registry { key, .. } => {
                key.rsplit('\\').next().is_some_and(|last| last.eq_ignore_ascii_case(name))
            }
            _ => false,
        };
        self.unread.iter().find(is_it)
    }
}

type Read<T> = StdResult<T, (&'static str, hive::Error)>;

impl Service {
    fn read(key: &Key<'_>, name: String, path: String) -> Read<Self> {
        let below = |name: &'static str| key.subkey(name).map_err(|error| (name, error));
        let mut overrides = Vec::new();
        if let Some(key) = below(START_OVERRIDE)? {
            let of_machine = |value: &Value<'_>| Ok((value.name()?, value.dword()?));
            let read = key.values().and_then(|values| values.iter().map(of_machine).collect());
            overrides = read.map_err(|error| (START_OVERRIDE, error))?;
        }
        let parameters = below("Parameters")?;
        let library = match &parameters {
            Some(key) => value(key, "ServiceDll", |value| value.text())?,
            None => None,
        };
        Ok(Self {
            kind: value(key, "Type", |value| value.dword())?,
            start: value(key, "Start", |value| value.dword())?,
            error_control: value(key, "ErrorControl", |value| value.dword())?,
            group: value(key, "Group", |value| value.text())?,
            tag: value(key, "Tag", |value| value.dword())?,
            image: value(key, "ImagePath", |value| value.text())?,
            needs: value(key, "DependOnService", |value| value.texts())?.unwrap_or_default(),
            account: value(key, "ObjectName", |value| value.text())?,
            library,
            overrides,
            name,
            key: path,
        })
    }

    /// Whether it is a driver: of the kernel, of a file system, or one that recognises these.
    pub fn is_driver(&self) -> bool {
        matches!(self.kind, Some(1 | 2 | 8))
    }

    /// What is odd about its `Type`: that of a driver for a program, or the other way.
    pub fn wrong_type(&self) -> Option<String> {
        let program = self.image.as_deref().map(|image| image.to_ascii_lowercase()).unwrap_or_default();
        let is_driver = match (program.contains(".exe"), program.trim_end().ends_with(".sys")) {
            (true, _) => false,
            (_, true) => true,
            _ => return None,
        };
        let is = self.kind.map_or("not there".to_owned(), |kind| format!("{kind:#x}"));
        let (of, what) = match is_driver {
            true => (self.is_driver(), "a driver"),
            false => (self.kind.is_some_and(|kind| kind & PROGRAM != 0), "a service"),
        };
        (!of).then(|| format!("its Type is {is}, and not that of {what}"))
    }

    /// Where its file is in the guest's tree; the error says why that cannot be told.
    ///
    /// # Errors
    /// For a path that begins in a way that is not known, or on another drive than that of Windows.
    pub fn file(&self) -> StdResult<String, String> {
        file_of(&self.name, self.image.as_deref())
    }
}

/// Where the file of a service is that has this `ImagePath`: without one, where its name says.
pub(super) fn file_of(name: &str, image: Option<&str>) -> StdResult<String, String> {
    match image {
        Some(image) if !image.trim().is_empty() => path_of(image),
        _ => Ok(format!("/Windows/System32/drivers/{name}.sys")),
    }
}

fn value<T>(
    key: &Key<'_>,
    name: &'static str,
    read: impl FnOnce(&Value<'_>) -> hive::Result<T>,
) -> Read<Option<T>> {
    let found = key.value(name).and_then(|value| value.as_ref().map(read).transpose());
    found.map_err(|error| (name, error))
}

/// What paths of the registry begin with, and what that is in the guest's tree. The drive of Windows is `C:`
/// to itself.
const ROOTS: [(&str, &str); 8] = [
    (r"%systemroot%\", "/Windows/"),
    (r"%windir%\", "/Windows/"),
    (r"\systemroot\", "/Windows/"),
    (r"%systemdrive%\", "/"),
    (r"%programfiles%\", "/Program Files/"),
    (r"%programdata%\", "/ProgramData/"),
    (r"\??\c:\", "/"),
    (r"c:\", "/"),
];

/// The file in the guest's tree that a command of the registry names.
///
/// # Errors
/// For one that begins in a way that is not known, or on another drive than that of Windows; in words.
pub fn path_of(command: &str) -> StdResult<String, String> {
    let command = command.trim();
    let path = match command.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        // What is behind the program are its arguments.
        None => match command.to_ascii_lowercase().find(".exe ") {
            Some(end) => command.get(..end.saturating_add(4)).unwrap_or(command),
            None => command,
        },
    };
    for (start, is) in ROOTS {
        let head = path.get(..start.len());
        if let (Some(true), Some(rest)) =
            (head.map(|head| head.eq_ignore_ascii_case(start)), path.get(start.len()..))
        {
            return Ok(format!("{is}{}", rest.replace('\\', "/")));
        }
    }
    match path.trim_start_matches(r"\??\").get(1..3) {
        Some(r":\") => Err(format!("{path} is on another drive than Windows")),
        _ if path.starts_with(['\\', '%']) => Err(format!("where {path} is, is not known")),
        // Below the folder of Windows.
        _ => Ok(format!("/Windows/{}", path.replace('\\', "/"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{dword, hive, sz};
    use super::super::{SYSTEM, open};
    use super::*;
    use crate::rules::testing::Bench;
    use ::hive::{Kind, texts_data};

    #[test]
    fn a_command_names_a_file() {
        for (command, path) in [
            (r"System32\drivers\a.sys", "/Windows/System32/drivers/a.sys"),
            (r"\SystemRoot\system32\DRIVERS\a.sys", "/Windows/system32/DRIVERS/a.sys"),
            (r"%SystemRoot%\system32\svchost.exe -k rpcss -p", "/Windows/system32/svchost.exe"),
            (r"\??\C:\Program Files\x y\a.sys", "/Program Files/x y/a.sys"),
            (r#""C:\Program Files\x\a.exe" --run "b""#, "/Program Files/x/a.exe"),
            (r"C:\Program Files\x\a.exe --run", "/Program Files/x/a.exe"),
            (r"%ProgramFiles%\x\a.exe", "/Program Files/x/a.exe"),
        ] {
            assert_eq!(path_of(command).as_deref(), Ok(path), "{command}");
        }
        assert_eq!(path_of(r"D:\a.sys").unwrap_err(), r"D:\a.sys is on another drive than Windows");
        assert_eq!(path_of(r"\??\D:\a.sys").unwrap_err(), r"\??\D:\a.sys is on another drive than Windows");
        assert_eq!(path_of(r"\Device\é").unwrap_err(), r"where \Device\é is, is not known");
    }

    #[test]
    fn services_are_read_and_what_is_odd_is_told() {
        let key = |name: &str| format!(r"ControlSet001\Services\{name}");
        let (vmbus, odd, over, dll) =
            (key("vmbus"), key("odd"), key(r"vmbus\StartOverride"), key(r"vmbus\Parameters"));
        let file = hive(&[
            (&vmbus, "Start", Kind::DWORD, dword(0)),
            (&vmbus, "Type", Kind::DWORD, dword(1)),
            (&vmbus, "Group", Kind::SZ, sz("System Bus Extender")),
            (&vmbus, "DependOnService", Kind::MULTI_SZ, texts_data(["a", "b"])),
            (&over, "0", Kind::DWORD, dword(3)),
            (&dll, "ServiceDll", Kind::EXPAND_SZ, sz(r"%SystemRoot%\x.dll")),
            (&odd, "Start", Kind::SZ, sz("0")),
        ]);
        Bench::debian().file(SYSTEM.path, file).guest(|guest| {
            let system = open(guest.view, SYSTEM).unwrap().unwrap();
            let services = Services::of(&system, "ControlSet001").unwrap();
            let vmbus = services.get("VMBUS").unwrap();
            assert_eq!((vmbus.start, vmbus.overrides.as_slice()), (Some(0), &[("0".to_owned(), 3)][..]));
            assert_eq!(vmbus.needs, ["a", "b"]);
            assert_eq!(vmbus.file().as_deref(), Ok("/Windows/System32/drivers/vmbus.sys"));
            assert!(vmbus.is_driver() && vmbus.library.is_some());
            assert!(services.get("odd").is_none());
            let unread = services.unread("Odd").unwrap().to_string();
            assert!(unread.starts_with(r"SYSTEM\ControlSet001\Services\odd Start: "), "{unread}");
            assert_eq!(Services::of(&system, "ControlSet002").unwrap(), Services::default());
        });
    }
}

//! The registry of a Windows guest: its hives, read whole and completed by their logs.
//!
//! Offline there is no `CurrentControlSet`, which is a link that Windows makes when it starts: there are
//! [`ControlSets`], and a change is made in each of them.

pub mod filters;
pub(crate) mod firewall;
mod services;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use hive::{Hive, Key, Value};

use crate::place::Place;
use crate::{Error, Result, View, limits};

pub use services::{BOOT_START, DISABLED, Service, Services, path_of};

/// A hive by its file, and where Windows loads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HiveFile {
    /// Its name in findings: "SYSTEM".
    pub name: &'static str,
    /// In the guest's tree.
    pub path: &'static str,
    /// The key below which its keys are: `HKEY_LOCAL_MACHINE\SYSTEM`.
    pub loaded_at: &'static str,
}

const BCD_KEY: &str = r"HKEY_LOCAL_MACHINE\BCD00000000";

/// Drivers, services, control sets.
pub const SYSTEM: HiveFile = HiveFile {
    name: "SYSTEM",
    path: "/Windows/System32/config/SYSTEM",
    loaded_at: r"HKEY_LOCAL_MACHINE\SYSTEM",
};
/// What is installed, and its settings.
pub const SOFTWARE: HiveFile = HiveFile {
    name: "SOFTWARE",
    path: "/Windows/System32/config/SOFTWARE",
    loaded_at: r"HKEY_LOCAL_MACHINE\SOFTWARE",
};
/// What the services of the machine have as their user.
pub const DEFAULT: HiveFile =
    HiveFile { name: "DEFAULT", path: "/Windows/System32/config/DEFAULT", loaded_at: r"HKEY_USERS\.DEFAULT" };
/// Accounts.
pub const SAM: HiveFile =
    HiveFile { name: "SAM", path: "/Windows/System32/config/SAM", loaded_at: r"HKEY_LOCAL_MACHINE\SAM" };
/// What accounts may do, and secrets.
pub const SECURITY: HiveFile = HiveFile {
    name: "SECURITY",
    path: "/Windows/System32/config/SECURITY",
    loaded_at: r"HKEY_LOCAL_MACHINE\SECURITY",
};
/// The boot configuration on the EFI system partition: what a start by UEFI reads.
pub const BCD_UEFI: HiveFile =
    HiveFile { name: "BCD", path: "/System:/EFI/Microsoft/Boot/BCD", loaded_at: BCD_KEY };
/// The boot configuration on an active partition of its own: what a start by BIOS reads.
pub const BCD_ACTIVE: HiveFile = HiveFile { name: "BCD", path: "/System:/Boot/BCD", loaded_at: BCD_KEY };
/// The same, where the active partition is that of Windows.
pub const BCD_WINDOWS: HiveFile = HiveFile { name: "BCD", path: "/Boot/BCD", loaded_at: BCD_KEY };
/// All places of a boot configuration.
pub const BCD_STORES: [HiveFile; 3] = [BCD_UEFI, BCD_ACTIVE, BCD_WINDOWS];

/// What a hive's logs end in, in the order in which they are looked at.
const LOGS: [&str; 3] = [".LOG1", ".LOG2", ".LOG"];

impl HiveFile {
    /// A key of it, or one of the key's values.
    pub fn place(&self, key: &str, value: Option<&str>) -> Place {
        Place::Registry {
            hive: self.name.to_owned(),
            key: key.to_owned(),
            value: value.map(|name| if name.is_empty() { "(default)".to_owned() } else { name.to_owned() }),
        }
    }
}

/// A hive that was read, and is sound.
#[derive(Debug, Clone)]
pub struct Opened {
    file: HiveFile,
    hive: Arc<Hive>,
}

/// Opens a hive of the guest, completed by its logs where it was not written to its end; `None` if there is no
/// such file.
///
/// # Errors
/// If the guest cannot be read; `Registry` for a hive that is damaged, or whose logs are needed and missing or
/// damaged; `TooLarge`.
pub fn open(view: &dyn View, file: HiveFile) -> Result<Option<Opened>> {
    let opened = |hive| Some(Opened { file, hive });
    if let Some(known) = view.memo().and_then(|memo| memo.hive(file.path)) {
        return known.map(opened).map_err(|what| Error::Registry { place: Place::file(file.path), what });
    }
    let Some(metadata) = view.stat(file.path)? else { return Ok(None) };
    limits::at_most(file.path, metadata.size, limits::FILE, "bytes")?;
    let Some(content) = view.read(file.path)? else { return Ok(None) };
    let read = read(view, file, &content)?.map(Arc::new);
    if let Some(memo) = view.memo() {
        memo.keep_hive(file.path, read.clone());
    }
    read.map(opened).map_err(|what| Error::Registry { place: Place::file(file.path), what })
}

/// The hive of a file's content; the inner error says why it is none.
fn read(view: &dyn View, file: HiveFile, content: &[u8]) -> Result<Result<Hive, String>> {
    let hive = match Hive::open(content.to_vec()) {
        Err(hive::Error::Dirty { .. }) => {
            let mut logs = Vec::new();
            for ending in LOGS {
                let path = format!("{}{ending}", file.path);
                let size = view.stat(&path)?.map_or(0, |metadata| metadata.size);
                limits::at_most(&path, size, limits::FILE, "bytes")?;
                logs.extend(view.read(&path)?);
            }
            let logs: Vec<&[u8]> = logs.iter().map(|log| &**log).collect();
            Hive::recover(content.to_vec(), &logs).map(|recovered| recovered.hive)
        }
        hive => hive,
    };
    Ok(hive.map_err(|error| error.to_string()).and_then(|hive| {
        let fault = hive.check().into_iter().find(|fault| !fault.harmless);
        fault.map_or(Ok(hive), |fault| Err(format!("{} (at offset {:#x})", fault.what, fault.offset)))
    }))
}

/// What the hive crate said of a hive, as an error of the guest's.
pub(crate) fn failed(file: HiveFile, error: hive::Error) -> Error {
    match error {
        hive::Error::Refused { .. } => Error::Refused(format!("{}: {error}", file.name)),
        error => Error::Registry { place: Place::file(file.path), what: error.to_string() },
    }
}

impl Opened {
    /// The file that it is in.
    pub fn file(&self) -> HiveFile {
        self.file
    }

    /// The hive.
    pub fn hive(&self) -> &Hive {
        &self.hive
    }

    /// A key of it, or one of the key's values.
    pub fn place(&self, key: &str, value: Option<&str>) -> Place {
        self.file.place(key, value)
    }

    /// What was found at a key, or why it could not be.
    ///
    /// # Errors
    /// `Registry` with the place.
    pub fn at<T>(&self, key: &str, value: Option<&str>, found: hive::Result<T>) -> Result<T> {
        found.map_err(|error| Error::Registry { place: self.place(key, value), what: error.to_string() })
    }

    /// The key at a path from the root, with `\` between its names.
    ///
    /// # Errors
    /// `Registry` if it cannot be read; so for all that follow.
    pub fn key(&self, path: &str) -> Result<Option<Key<'_>>> {
        self.at(path, None, self.hive.key(path))
    }

    /// The names of a key's subkeys; none if there is no such key.
    ///
    /// # Errors
    /// As [`Opened::key`].
    pub fn subkeys(&self, path: &str) -> Result<Vec<String>> {
        let Some(key) = self.key(path)? else { return Ok(Vec::new()) };
        self.at(path, None, key.subkeys().and_then(|keys| keys.iter().map(Key::name).collect()))
    }

    /// The names of a key's values; none if there is no such key.
    ///
    /// # Errors
    /// As [`Opened::key`].
    pub fn values(&self, path: &str) -> Result<Vec<String>> {
        let Some(key) = self.key(path)? else { return Ok(Vec::new()) };
        self.at(path, None, key.values().and_then(|values| values.iter().map(Value::name).collect()))
    }

    /// A number of 32 bits; `None` where there is no such key or value.
    ///
    /// # Errors
    /// As [`Opened::key`], and where the value is of another type. So for those that follow.
    pub fn dword(&self, path: &str, value: &str) -> Result<Option<u32>> {
        self.value(path, value, |value| value.dword())
    }

    /// A text.
    ///
    /// # Errors
    /// As [`Opened::dword`].
    pub fn text(&self, path: &str, value: &str) -> Result<Option<String>> {
        self.value(path, value, |value| value.text())
    }

    /// A list of texts.
    ///
    /// # Errors
    /// As [`Opened::dword`].
    pub fn texts(&self, path: &str, value: &str) -> Result<Option<Vec<String>>> {
        self.value(path, value, |value| value.texts())
    }

    /// The bytes of a value of any type.
    ///
    /// # Errors
    /// As [`Opened::key`].
    pub fn data(&self, path: &str, value: &str) -> Result<Option<Vec<u8>>> {
        self.value(path, value, |value| value.data().map(std::borrow::Cow::into_owned))
    }

    fn value<T>(
        &self,
        path: &str,
        name: &str,
        read: impl FnOnce(&Value<'_>) -> hive::Result<T>,
    ) -> Result<Option<T>> {
        let Some(key) = self.key(path)? else { return Ok(None) };
        let found = key.value(name).and_then(|value| value.as_ref().map(read).transpose());
        self.at(path, Some(name), found)
    }
}

/// The control sets of a guest: each is all that Windows knows of its drivers and services.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ControlSets {
    /// All that are there: "ControlSet001".
    pub all: Vec<String>,
    /// The one that the next start takes, whether it is there or not; `None` if nothing names one.
    pub default: Option<String>,
    /// The one that the last start took.
    pub current: Option<String>,
    /// The last one with which somebody could log in.
    pub last_known_good: Option<String>,
    /// One with which a start failed.
    pub failed: Option<String>,
}

impl ControlSets {
    /// Those of SYSTEM (Microsoft Learn, "HKLM\SYSTEM\CurrentControlSet\Control"): `Select` names them by their
    /// numbers.
    ///
    /// # Errors
    /// As [`Opened::dword`].
    pub fn of(system: &Opened) -> Result<Self> {
        let names = system.subkeys("")?;
        let is_set = |name: &String| {
            let number = name.get(..10).filter(|head| head.eq_ignore_ascii_case("ControlSet"));
            number.is_some_and(|_| name.len() == 13 && name.bytes().skip(10).all(|b| b.is_ascii_digit()))
        };
        let all: Vec<String> = names.into_iter().filter(is_set).collect();
        let named = |value| -> Result<Option<String>> {
            let number = system.dword("Select", value)?.filter(|number| *number > 0);
            let name = number.map(|number| format!("ControlSet{number:03}"));
            let known = |name: String| {
                all.iter().find(|set| set.eq_ignore_ascii_case(&name)).cloned().unwrap_or(name)
            };
            Ok(name.map(known))
        };
        Ok(Self {
            default: named("Default")?,
            current: named("Current")?,
            last_known_good: named("LastKnownGood")?,
            failed: named("Failed")?,
            all,
        })
    }
}

/// What to do about a place of the registry that cannot be read, which may keep Windows from starting, and so
/// from being mended by its own tools.
pub(crate) fn remedy(place: &Place) -> Option<&'static str> {
    let is = |path: &str, files: &[HiveFile]| files.iter().any(|file| file.path == path);
    match place {
        Place::Registry { .. } => Some(
            "set the value right with regedit, in the machine or, if it does not start, with the hive loaded \
             on another one that has its disk",
        ),
        Place::File { path, .. } if is(path, &BCD_STORES) => Some(
            "Windows does not start without its boot configuration: attach the disk to another machine, and \
             have bcdboot write a new one",
        ),
        Place::File { path, .. } if is(path, &[SYSTEM, SOFTWARE, DEFAULT, SAM, SECURITY]) => Some(
            "Windows does not start without this hive: put a whole one in its place, with its logs, from a \
             backup or an earlier snapshot",
        ),
        _ => None,
    }
}

/// Where SOFTWARE has which Windows it is.
pub(crate) const VERSION: &str = r"Microsoft\Windows NT\CurrentVersion";

/// The number of the guest's build, as SOFTWARE has it.
///
/// # Errors
/// As [`Opened::dword`].
pub(crate) fn build(software: &Opened) -> Result<Option<u32>> {
    let text = match software.text(VERSION, "CurrentBuildNumber")? {
        Some(text) => Some(text),
        None => software.text(VERSION, "CurrentBuild")?,
    };
    Ok(text.and_then(|text| text.trim().parse().ok()))
}

/// Whether there may be hives: their folder is there, or nobody can tell.
pub(crate) fn may_be(view: &dyn View) -> bool {
    view.stat("/Windows/System32/config").map_or(true, |folder| folder.is_some())
}

/// The file of a driver or service of a control set, in the guest's tree: that of its `ImagePath`, else the one
/// that its name gives.
///
/// # Errors
/// As [`Opened::dword`], and where that is not known.
pub fn driver_file(system: &Opened, set: &str, name: &str) -> Result<String> {
    let key = format!(r"{set}\Services\{name}");
    let image = system.text(&key, "ImagePath")?;
    services::file_of(name, image.as_deref())
        .map_err(|what| Error::Registry { place: system.place(&key, Some("ImagePath")), what })
}

/// What a change to a hive does, as lines of a `.reg` file.
///
/// # Errors
/// If either cannot be read.
pub(crate) fn rendering(before: &dyn View, after: &dyn View, file: HiveFile) -> Result<Vec<String>> {
    let (Some(before), Some(after)) = (open(before, file)?, open(after, file)?) else {
        return Ok(Vec::new());
    };
    let changes = hive::diff(before.hive(), after.hive()).map_err(|error| failed(file, error))?;
    Ok(hive::render(&changes, file.loaded_at).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::testing::{dword, hive, sz};
    use super::*;
    use crate::rules::testing::Bench;
    use crate::{Edit, Stage};
    use ::hive::Kind;

    fn bench() -> Bench {
        let select = |name: &'static str, number| ("Select", name, Kind::DWORD, dword(number));
        let content = hive(&[
            select("Default", 2),
            select("Current", 1),
            select("Failed", 0),
            select("LastKnownGood", 3),
            (r"controlset001\Services\vmbus", "Start", Kind::DWORD, dword(3)),
            (r"ControlSet002\Services\vmbus", "Start", Kind::DWORD, dword(3)),
            (r"ControlSet002\Services\vmbus", "Group", Kind::SZ, sz("System Bus Extender")),
            (r"ControlSet0001\x", "", Kind::DWORD, dword(0)),
        ]);
        Bench::debian().file(SYSTEM.path, content)
    }

    #[test]
    fn control_sets_are_named_by_select() {
        bench().guest(|guest| {
            let system = open(guest.view, SYSTEM).unwrap().unwrap();
            let sets = ControlSets::of(&system).unwrap();
            assert_eq!(sets.all, ["controlset001", "ControlSet002"]);
            assert_eq!(sets.default.as_deref(), Some("ControlSet002"));
            assert_eq!(sets.current.as_deref(), Some("controlset001"));
            assert_eq!((sets.last_known_good.as_deref(), sets.failed), (Some("ControlSet003"), None));
        });
    }

    #[test]
    fn a_value_of_another_type_is_told_with_its_place() {
        bench().guest(|guest| {
            let system = open(guest.view, SYSTEM).unwrap().unwrap();
            let vmbus = r"ControlSet002\Services\vmbus";
            assert_eq!(system.dword(vmbus, "start").unwrap(), Some(3));
            assert_eq!(system.dword(vmbus, "Tag").unwrap(), None);
            assert_eq!(system.dword(r"ControlSet002\Services\gone", "Start").unwrap(), None);
            let unread = system.dword(vmbus, "Group").unwrap_err().unread().unwrap();
            let text = r"SYSTEM\ControlSet002\Services\vmbus Group: the value Group is REG_SZ of 40 bytes, not a number of 32 bits";
            assert_eq!(unread.to_string(), text);
        });
    }

    #[test]
    fn damage_is_told_each_time_and_never_passes_for_absence() {
        let whole = bench();
        let content = whole.guest(|guest| guest.view.read(SYSTEM.path).unwrap().unwrap());
        for (damaged, why) in [
            (content[..5000].to_vec(), "corrupt"),
            (vec![0; 8192], "this is no registry hive"),
            ([&content[..4], &[9, 0, 0, 0], &content[8..]].concat(), "was not written to its end"),
        ] {
            whole.clone().file(SYSTEM.path, damaged).guest(|guest| {
                for _ in 0..2 {
                    let unread = open(guest.view, SYSTEM).unwrap_err().unread().unwrap().to_string();
                    assert!(unread.starts_with(SYSTEM.path) && unread.contains(why), "{unread}");
                }
            });
        }
        Bench::debian().guest(|guest| assert!(open(guest.view, SYSTEM).unwrap().is_none()));
    }

    #[test]
    fn an_edit_is_a_file_that_reads_as_the_values_that_change() {
        let start = |stage: &mut Stage<'_>, set: &str, number: u32| {
            let key = format!(r"{set}\Services\vmbus");
            stage.edit_hive(SYSTEM, |edit| edit.set(&key, "Start", Kind::DWORD, &dword(number))).unwrap()
        };
        bench().stage(|stage| {
            assert!(!start(stage, "ControlSet001", 3), "it is so already");
            assert!(stage.steps().unwrap().is_empty());
            // Two rules have a part in one step.
            assert!(start(stage, "ControlSet001", 0));
            assert!(start(stage, "ControlSet002", 0));
            let steps = stage.steps().unwrap();
            let [step] = steps.as_slice() else { panic!("{steps:?}") };
            let Edit::PutFile { path, rendering, content, .. } = &step.edit else { panic!("{step:?}") };
            assert_eq!(path, SYSTEM.path);
            assert_eq!(
                rendering,
                &[
                    r" [HKEY_LOCAL_MACHINE\SYSTEM\controlset001\Services\vmbus]",
                    r#"-"Start"=dword:00000003"#,
                    r#"+"Start"=dword:00000000"#,
                    "",
                    r" [HKEY_LOCAL_MACHINE\SYSTEM\ControlSet002\Services\vmbus]",
                    r#"-"Start"=dword:00000003"#,
                    r#"+"Start"=dword:00000000"#,
                ]
            );
            // What stays of a hive, where keys and passwords may be, is not in the plan.
            let json = serde_json::to_string(content).unwrap();
            assert!(json.contains("edited") && json.len() < 2000, "{json}");
            let guest = stage.guest().unwrap();
            let system = open(guest.view, SYSTEM).unwrap().unwrap();
            assert_eq!(system.dword(r"ControlSet001\Services\vmbus", "Start").unwrap(), Some(0));
            // Back to what it was: nothing is to be done.
            start(stage, "ControlSet001", 3);
            start(stage, "ControlSet002", 3);
            assert!(stage.edit_hive(super::SOFTWARE, |_| Ok(())).is_ok_and(|changed| !changed));
        });
    }
}

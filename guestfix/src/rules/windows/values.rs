//! Settings of the registry that are to be otherwise: a rule lists them once, and both its finding and its fix
//! come of that list.

use hive::Kind;

use crate::registry::{self, ControlSets, HiveFile, Opened, SOFTWARE, SYSTEM};
use crate::rule::{Evidence, Place};
use crate::{Error, Finding, Fixed, Guest, Result, Stage};

/// What a value is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    /// This number of 32 bits.
    Dword(u32),
    /// This text.
    Text(String),
    /// This text, in which variables have their values.
    Expand(String),
    /// This list of texts.
    Texts(Vec<String>),
    /// These bytes.
    Binary(Vec<u8>),
    /// Not there.
    Gone,
    /// Not there, and neither is its key.
    KeyGone,
}

/// A value that is to be otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) hive: HiveFile,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) to: To,
    /// What is there, and what it does.
    pub(super) what: String,
}

impl Change {
    pub(super) fn new(
        hive: HiveFile,
        key: impl Into<String>,
        value: impl Into<String>,
        to: To,
        what: impl Into<String>,
    ) -> Self {
        Self { hive, key: key.into(), value: value.into(), to, what: what.into() }
    }

    /// A number that is to be another, or is to be there: none where it is right.
    pub(super) fn number(hive: &Opened, key: &str, value: &str, to: u32) -> Result<Option<Self>> {
        let found = hive.dword(key, value)?;
        let is = found.map_or("is not set".to_owned(), |found| format!("is {found}"));
        let change = || Self::new(hive.file(), key, value, To::Dword(to), is);
        Ok((found != Some(to)).then(change))
    }

    /// The same of a text with variables.
    pub(super) fn expandable(hive: &Opened, key: &str, value: &str, to: &str) -> Result<Option<Self>> {
        let found = hive.text(key, value)?;
        let is = found.as_deref().map_or("is not set".to_owned(), |found| format!("is {found}"));
        let change = || Self::new(hive.file(), key, value, To::Expand(to.to_owned()), is);
        Ok((!found.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(to))).then(change))
    }

    fn make(&self, edit: &mut hive::Edit) -> hive::Result<()> {
        let (key, value) = (&self.key, &self.value);
        if !matches!(self.to, To::Gone | To::KeyGone) {
            edit.create_key(key)?;
        }
        match &self.to {
            To::Dword(number) => edit.set(key, value, Kind::DWORD, &number.to_le_bytes()),
            To::Text(text) => edit.set(key, value, Kind::SZ, &hive::text_data(text)),
            To::Expand(text) => edit.set(key, value, Kind::EXPAND_SZ, &hive::text_data(text)),
            To::Texts(texts) => {
                edit.set(key, value, Kind::MULTI_SZ, &hive::texts_data(texts.iter().map(String::as_str)))
            }
            To::Binary(bytes) => edit.set(key, value, Kind::BINARY, bytes),
            To::Gone => edit.delete_value(key, value),
            To::KeyGone => edit.delete_key(key),
        }
    }
}

/// What a rule finds where these are to change.
fn finding(changes: Vec<Change>) -> Finding {
    let evidence = |change: Change| {
        let value = (change.to != To::KeyGone).then_some(change.value.as_str());
        Evidence::new(change.hive.place(&change.key, value), change.what)
    };
    Finding::from_evidence(changes.into_iter().map(evidence).collect())
}

/// How a rule lists what is to be otherwise.
pub(super) type Wanted = fn(&Guest<'_>) -> Result<Vec<Change>>;

/// What a rule with this list finds.
pub(super) fn found(guest: &Guest<'_>, wanted: Wanted) -> Result<Finding> {
    Ok(finding(wanted(guest)?))
}

/// Stages all that is on a rule's list.
pub(super) fn mend(staged: &mut Stage<'_>, wanted: Wanted) -> Result<Fixed> {
    let changes = wanted(&staged.guest()?)?;
    stage(staged, changes)
}

/// Stages them.
pub(super) fn stage(stage: &mut Stage<'_>, changes: Vec<Change>) -> Result<Fixed> {
    let mut hives: Vec<HiveFile> = changes.iter().map(|change| change.hive).collect();
    hives.sort_unstable();
    hives.dedup();
    for file in hives {
        let of_this = || changes.iter().filter(|change| change.hive == file);
        stage.edit_hive(file, |edit| of_this().try_for_each(|change| change.make(edit)))?;
    }
    Ok(Fixed::Staged)
}

/// SYSTEM with its control sets.
pub(super) struct System {
    pub(super) hive: Opened,
    pub(super) sets: ControlSets,
}

/// A hive that every Windows has.
pub(super) fn open(guest: &Guest<'_>, file: HiveFile) -> Result<Opened> {
    let missing =
        || Error::Registry { place: Place::file(file.path), what: "this hive is missing".to_owned() };
    registry::open(guest.view, file)?.ok_or_else(missing)
}

impl System {
    pub(super) fn of(guest: &Guest<'_>) -> Result<Self> {
        let hive = open(guest, SYSTEM)?;
        let sets = ControlSets::of(&hive)?;
        Ok(Self { hive, sets })
    }

    /// The set that the next start takes.
    pub(super) fn default_set(&self) -> Result<&str> {
        self.sets.default.as_deref().ok_or_else(|| Error::Registry {
            place: SYSTEM.place("Select", Some("Default")),
            what: "no control set is named for the next start".to_owned(),
        })
    }

    /// The key of a service in every control set that has it.
    pub(super) fn services(&self, name: &str) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for set in &self.sets.all {
            let key = service(set, name);
            if self.hive.key(&key)?.is_some() {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// The keys below `Control` at this path, in every control set, whether they are there or not.
    pub(super) fn control(&self, path: &str) -> Vec<String> {
        self.sets.all.iter().map(|set| format!(r"{set}\Control\{path}")).collect()
    }

    /// When a service starts, where it is to be otherwise: `value` is `Start`, or one of those that stand for it.
    pub(super) fn start(
        &self,
        key: &str,
        value: &str,
        to: u32,
        is_right: impl FnOnce(u32) -> bool,
    ) -> Result<Option<Change>> {
        let start = self.hive.dword(key, value)?;
        let change = || Change::new(SYSTEM, key, value, To::Dword(to), start_in_words(start));
        Ok((!start.is_some_and(is_right)).then(change))
    }

    /// The services of these names that start otherwise, in every control set.
    pub(super) fn starts<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        to: u32,
    ) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for name in names {
            for key in self.services(name)? {
                changes.extend(self.start(&key, "Start", to, |start| start == to)?);
            }
        }
        Ok(changes)
    }

    /// A number that is to be another, or is to be there: none where it is right.
    pub(super) fn dword(&self, key: &str, value: &str, to: u32, what: &str) -> Result<Option<Change>> {
        let found = self.hive.dword(key, value)?;
        let is = found.map_or("not set".to_owned(), |found| found.to_string());
        let change = || Change::new(SYSTEM, key, value, To::Dword(to), format!("is {is}: {what}"));
        Ok((found != Some(to)).then(change))
    }
}

/// The key of a service in a control set.
pub(super) fn service(set: &str, name: &str) -> String {
    format!(r"{set}\Services\{name}")
}

/// When a driver or service starts, in words (Microsoft Learn, "CreateServiceA").
pub(super) fn start_in_words(start: Option<u32>) -> String {
    match start {
        None => "is not set".to_owned(),
        Some(0) => "is 0: the loader starts it".to_owned(),
        Some(1) => "is 1: the kernel starts it, after the loader's".to_owned(),
        Some(2) => "is 2: it starts by itself".to_owned(),
        Some(3) => "is 3: it starts when it is asked for".to_owned(),
        Some(4) => "is 4: it is disabled".to_owned(),
        Some(other) => format!("is {other}, which is no start"),
    }
}

/// The number of the guest's build.
pub(super) fn build(guest: &Guest<'_>) -> Result<u32> {
    registry::build(&open(guest, SOFTWARE)?)?.ok_or_else(|| Error::Registry {
        place: SOFTWARE.place(registry::VERSION, Some("CurrentBuildNumber")),
        what: "no number of a build".to_owned(),
    })
}

/// Builds of Windows that rules tell apart (Microsoft Learn, "Windows Server release information", 2026).
pub(super) mod builds {
    /// 7 and Server 2008 R2 with its service pack.
    pub(in crate::rules::windows) const SEVEN: u32 = 7601;
    /// 8 and Server 2012.
    pub(in crate::rules::windows) const EIGHT: u32 = 9200;
    /// 8.1 and Server 2012 R2.
    pub(in crate::rules::windows) const EIGHT_ONE: u32 = 9600;
}

//! Filter drivers: what is put above and below the drivers of a class of devices, or of one device. One that
//! does not load keeps the device from starting ("Filter driver altitudes and installation", Microsoft Learn,
//! 2026; Azure/repair-script-library #156).

use super::Opened;
use crate::Result;
use crate::place::Evidence;

/// What lists of filters are called.
pub const LISTS: [&str; 2] = ["UpperFilters", "LowerFilters"];

/// The class of disk drives.
pub const DISK_DRIVES: &str = "{4d36e967-e325-11ce-bfc1-08002be10318}";

/// Classes of devices that every start needs: disk drives, their controllers, buses and volumes ("System-defined
/// device setup classes available to vendors", Microsoft Learn, 2026).
pub const CLASSES: [&str; 5] = [
    DISK_DRIVES,
    "{4d36e96a-e325-11ce-bfc1-08002be10318}",
    "{4d36e97b-e325-11ce-bfc1-08002be10318}",
    "{4d36e97d-e325-11ce-bfc1-08002be10318}",
    "{71a27cdd-812a-11d0-bec7-08002be2092f}",
];

/// A list of filters.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Filters {
    /// The key of the class or the device, from the root of SYSTEM.
    pub key: String,
    /// `UpperFilters` or `LowerFilters`.
    pub list: &'static str,
    /// The names of the services, in their order.
    pub names: Vec<String>,
}

/// Those of a control set.
#[derive(Debug, Default)]
pub struct Lists {
    /// Those of classes first.
    pub all: Vec<Filters>,
    /// Those that are no lists, each with its key, and what there is.
    pub unread: Vec<(String, Evidence)>,
}

/// All lists of a control set.
///
/// # Errors
/// `Registry` if a key cannot be read; a value that is no list is told beside the others.
pub fn of(system: &Opened, set: &str) -> Result<Lists> {
    let mut found = Lists::default();
    // A class is a key of its own, a device one of three names: its bus, what it is, which one it is.
    for (path, depth) in [(format!(r"{set}\Control\Class"), 1), (format!(r"{set}\Enum"), 3)] {
        let Some(key) = system.key(&path)? else { continue };
        let mut todo = vec![(path, key, 0)];
        while let Some((path, key, at)) = todo.pop() {
            if at == depth {
                for list in LISTS {
                    let value = system.at(&path, Some(list), key.value(list))?;
                    let Some(value) = value else { continue };
                    match value.texts() {
                        Ok(names) => found.all.push(Filters { key: path.clone(), list, names }),
                        Err(error) => {
                            let place = system.place(&path, Some(list));
                            found.unread.push((path.clone(), Evidence::new(place, error.to_string())));
                        }
                    }
                }
                continue;
            }
            for below in system.at(&path, None, key.subkeys())?.into_iter().rev() {
                let name = system.at(&path, None, below.name())?;
                todo.push((format!(r"{path}\{name}"), below, at + 1));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{hive, sz};
    use super::super::{SYSTEM, open};
    use super::*;
    use crate::rules::testing::Bench;
    use ::hive::{Kind, texts_data};

    #[test]
    fn filters_of_classes_and_of_devices_are_found() {
        let list = |names: &[&'static str]| texts_data(names.iter().copied());
        let class = r"ControlSet001\Control\Class\{4d36e97d-e325-11ce-bfc1-08002be10318}";
        let device = r"ControlSet001\Enum\PCI\VEN_1D0F&DEV_8061\3&0";
        let file = hive(&[
            (class, "UpperFilters", Kind::MULTI_SZ, list(&["XENFILT", "x"])),
            (device, "LowerFilters", Kind::MULTI_SZ, list(&["y"])),
            (r"ControlSet001\Enum\PCI", "LowerFilters", Kind::MULTI_SZ, list(&["no device"])),
            (device, "UpperFilters", Kind::SZ, sz("z")),
        ]);
        Bench::debian().file(SYSTEM.path, file).guest(|guest| {
            let system = open(guest.view, SYSTEM).unwrap().unwrap();
            let found = of(&system, "ControlSet001").unwrap();
            let told: Vec<_> =
                found.all.iter().map(|one| (one.key.as_str(), one.list, one.names.join(" "))).collect();
            let wanted =
                [(class, "UpperFilters", "XENFILT x".to_owned()), (device, "LowerFilters", "y".to_owned())];
            assert_eq!(told, wanted);
            let unread: Vec<_> =
                found.unread.iter().map(|(key, what)| (key.as_str(), what.to_string())).collect();
            let why = "the value UpperFilters is REG_SZ of 4 bytes, not a list of texts";
            assert_eq!(unread, [(device, format!(r"SYSTEM\{device} UpperFilters: {why}"))]);
        });
    }
}

//! Packs of rules: what is asked of a machine, by whom, and of which day the answers are.
//!
//! Whether a machine starts is what the pack `boot` says, with the boot walk. The others have verdicts of their
//! own: what Azure's assessment says, and what Microsoft's own tool would.

use time::{Date, Month};

use super::{azure_migrate_agent, azure_vm};
use crate::Rule;

/// A pack of rules.
#[derive(Debug)]
pub struct RulePack {
    /// "azure-vm".
    pub id: &'static str,
    /// What it asks, in a line.
    pub title: &'static str,
    /// Its version: that of refloat for `boot`, else counted from 1.
    pub version: &'static str,
    /// The day on which its data was last compared with its sources.
    pub date: &'static str,
    /// Its rules.
    pub rules: &'static [&'static Rule],
}

/// What the disks say: will it start?
pub static BOOT: RulePack = RulePack {
    id: "boot",
    title: "what the disks say: will it start, and can somebody log in?",
    version: env!("CARGO_PKG_VERSION"),
    date: "2026-11-30",
    rules: super::ALL,
};

/// What Azure can run.
pub static AZURE_VM: RulePack = RulePack {
    id: "azure-vm",
    title: "what Azure's assessment says: can it run there, on which size, and is it supported?",
    version: "2",
    date: "2026-11-30",
    rules: azure_vm::ALL,
};

/// What Microsoft's tool can move.
pub static AZURE_MIGRATE_AGENT: RulePack = RulePack {
    id: "azure-migrate-agent",
    title: "what Azure Migrate's agent-based migration would say: could Microsoft's own tool move it?",
    version: "2",
    date: "2026-11-30",
    rules: azure_migrate_agent::ALL,
};

/// All packs.
pub static PACKS: [&RulePack; 3] = [&BOOT, &AZURE_VM, &AZURE_MIGRATE_AGENT];

/// From this age on a pack says how old it is, in days.
const OLD: i64 = 180;

impl RulePack {
    /// The pack of this id.
    pub fn of(id: &str) -> Option<&'static Self> {
        PACKS.into_iter().find(|pack| pack.id == id)
    }

    /// That the pack is old, if it is on this day ("2027-08-01"): its lists may have changed since.
    pub fn age(&self, today: &str) -> Option<String> {
        let days = (day(today)? - day(self.date)?).whole_days();
        (days > OLD).then(|| {
            format!(
                "the pack {} is of {}, {days} days ago: what it lists may have changed",
                self.id, self.date
            )
        })
    }
}

/// A day of the calendar as 2026-12-24.
pub(crate) fn day(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u16>().ok())?
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    parts.next().is_none().then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_pack_says_how_old_it_is() {
        assert_eq!(AZURE_VM.age(AZURE_VM.date), None);
        let old = AZURE_VM.age("2027-11-30").unwrap();
        assert!(old.contains("365 days ago"), "{old}");
        assert_eq!(AZURE_VM.age("not a day"), None);
    }

    #[test]
    fn every_pack_is_of_a_day_and_has_rules_of_its_own() {
        for pack in PACKS {
            assert!(day(pack.date).is_some(), "{}", pack.id);
            assert_eq!(RulePack::of(pack.id).map(|found| found.id), Some(pack.id));
            for rule in pack.rules {
                let own = rule.meta.id.starts_with(&format!("{}.", pack.id));
                assert_eq!(own, pack.id != "boot", "{}", rule.meta.id);
            }
        }
        let further: usize = PACKS.iter().skip(1).map(|pack| pack.rules.len()).sum();
        assert!(further >= 60, "{further}");
    }
}

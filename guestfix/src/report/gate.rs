//! Which findings count: what was waived, and from which severity on a check fails.
//!
//! None of this changes a verdict. A waiver says that somebody knows of a finding and answers for it; whether the
//! machine starts is another question.

use serde::{Deserialize, Serialize};

use super::{Drift, Report};
use crate::Severity;
use crate::bootwalk::{Hop, Outcome};
use crate::plan::{Item, Verdict};
use crate::rules::packs;

/// That somebody answers for what a rule finds, until a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The rule's id.
    pub rule: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day on which it counts, as 2026-12-24.
    pub expires: String,
    /// Why.
    pub reason: String,
}

impl Waiver {
    /// Reads a file of waivers: a list in JSON.
    ///
    /// # Errors
    /// In words: it is no such list, names no rule that there is, or a day that is none.
    pub fn read(text: &str) -> Result<Vec<Self>, String> {
        let waivers: Vec<Self> =
            serde_json::from_str(text).map_err(|error| format!("this is no list of waivers: {error}"))?;
        for waiver in &waivers {
            if crate::rules::find(&waiver.rule).is_none() {
                return Err(format!("there is no rule {}", waiver.rule));
            }
            if packs::day(&waiver.expires).is_none() {
                return Err(format!(
                    "{} is no day, for {}: write it as 2026-12-24",
                    waiver.expires, waiver.rule
                ));
            }
            if waiver.owner.trim().is_empty() || waiver.reason.trim().is_empty() {
                return Err(format!("a waiver has an owner and a reason: {}", waiver.rule));
            }
        }
        Ok(waivers)
    }

    /// Whether it still counts on this day.
    fn counts(&self, today: &str) -> bool {
        // Days that are written so are ordered as texts are.
        today <= self.expires.as_str()
    }
}

/// From what on a check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FailOn {
    /// From findings of this severity on.
    Severity(Severity),
    /// Not at all.
    Never,
}

/// What counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gate {
    /// From what on it fails; `None`: by whether the machine is ready, as ever.
    pub fail_on: Option<FailOn>,
    /// Rules that are not counted.
    pub skip: Vec<String>,
    /// The only rules that are; all if there are none.
    pub only: Vec<String>,
    /// What somebody answers for.
    pub waivers: Vec<Waiver>,
    /// This day, as 2026-12-24.
    pub today: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gated {
    /// Whether the check passes: the exit code.
    pub passes: bool,
    /// The rules whose findings count, and are why it does not pass.
    pub failing: Vec<&'static str>,
    /// Where the boot walk stops, if it does not pass for that. The walk is of no rule, so nobody waives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stops: Option<String>,
    /// Waivers that were used.
    pub waived: Vec<Waiver>,
    /// Waivers of findings that are there, which have expired: they count no more.
    pub expired: Vec<Waiver>,
    /// Rules that were not counted.
    pub skipped: Vec<String>,
}

impl Gate {
    /// Whether anything but the usual was asked for.
    pub fn is_asked(&self) -> bool {
        self.fail_on.is_some() || !self.skip.is_empty() || !self.only.is_empty() || !self.waivers.is_empty()
    }

    /// Whether the findings of a rule are counted.
    pub fn counts(&self, rule: &str) -> bool {
        !self.skip.iter().any(|skipped| skipped == rule)
            && (self.only.is_empty() || self.only.iter().any(|only| only == rule))
    }

    /// Judges a report. Where it was compared with an earlier one, only what is new fails.
    pub fn judge(&self, report: &Report, drift: Option<&Drift>) -> Gated {
        let least = match self.fail_on {
            Some(FailOn::Severity(severity)) => Some(severity),
            Some(FailOn::Never) => None,
            None => Some(Severity::Blocker),
        };
        let is_found = |item: &&Item| {
            matches!(item.verdict, Verdict::Wrong { .. } | Verdict::Unknown) || !item.unread.is_empty()
        };
        let waiver = |item: &Item| self.waivers.iter().find(|waiver| waiver.rule == item.rule);
        let (mut waived, mut expired, mut failing) = (Vec::new(), Vec::new(), Vec::new());
        for item in report.items().filter(is_found).filter(|item| self.counts(item.rule)) {
            match waiver(item) {
                Some(waiver) if waiver.counts(&self.today) => {
                    waived.push(waiver.clone());
                    continue;
                }
                Some(waiver) => expired.push(waiver.clone()),
                None => {}
            }
            let grave = least.is_some_and(|least| item.severity <= least);
            let new = drift.is_none_or(|drift| drift.is_new(item.rule));
            if grave && new && !failing.contains(&item.rule) {
                failing.push(item.rule);
            }
        }
        let walk = &report.check.walk;
        let counts = self.only.is_empty() && least.is_some() && drift.is_none_or(|drift| drift.stops_anew);
        let stops = (counts && !walk.arrives()).then(|| match walk.stop() {
            Some(Hop { place, outcome: Outcome::Blocked { why } | Outcome::Unknown { why }, .. }) => {
                format!("{place}: {why}")
            }
            Some(hop) => hop.place.to_string(),
            None => "before the login".to_owned(),
        });
        let by_rules = failing.is_empty() && stops.is_none();
        let passes = match self.fail_on.is_some() || drift.is_some() {
            true => by_rules,
            // A check that is asked nothing but what waivers, `skip` and `only` leave.
            false => report.ready || self.is_asked() && by_rules,
        };
        let stops = stops.filter(|_| !passes);
        Gated { passes, failing, stops, waived, expired, skipped: self.skip.clone() }
    }
}

//! What changed since an earlier report: findings that are new, those that are gone, and what boots by other
//! files than before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Report, SCHEMA};
use crate::bootwalk::Hop;
use crate::plan::{Item, Verdict};
use crate::rule::Evidence;

/// One finding that is new or gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changed {
    /// The rule's id.
    pub rule: String,
    /// Where.
    pub place: String,
    /// What, as it was or is told.
    pub what: String,
}

impl Changed {
    fn new(rule: &str, it: &Evidence) -> Self {
        Self { rule: rule.to_owned(), place: it.place.to_string(), what: it.what.clone() }
    }
}

/// A hop of the boot that is another than it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangedHop {
    /// "kernel".
    pub kind: String,
    /// What it was; none if there was no such hop.
    pub was: Vec<String>,
    /// What it is.
    pub is: Vec<String>,
}

/// What changed since an earlier report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Drift {
    /// The image of the earlier report.
    pub since: String,
    /// The name of the machine then, where it was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether it was ready then.
    pub was_ready: bool,
    /// The walk stops, and did not then.
    pub stops_anew: bool,
    /// Findings that are new.
    pub appeared: Vec<Changed>,
    /// Rules of these that the earlier report did not ask: nobody knows what they would have found then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_rules: Vec<String>,
    /// Findings that are gone.
    pub gone: Vec<Changed>,
    /// Hops of the boot that are others.
    pub boot: Vec<ChangedHop>,
}

/// What kind of document a text is.
#[derive(Deserialize)]
struct Kind {
    schema: String,
}

/// What a comparison stands on in an earlier report. A part that is missing, or is something else, is an error:
/// what was not told then is not "the same".
#[derive(Deserialize)]
struct Earlier {
    image: String,
    goal: EarlierGoal,
    guest: EarlierGuest,
    ready: bool,
    items: Vec<EarlierItem>,
    // A report of the pack `boot` alone has none.
    #[serde(default)]
    packs: Vec<EarlierPack>,
    walk: EarlierWalk,
}

#[derive(Deserialize)]
struct EarlierGoal {
    target: String,
}

#[derive(Deserialize)]
struct EarlierGuest {
    host: Option<String>,
}

#[derive(Deserialize)]
struct EarlierPack {
    items: Vec<EarlierItem>,
}

#[derive(Deserialize)]
struct EarlierItem {
    rule: String,
    #[serde(flatten)]
    said: Said,
    #[serde(default)]
    unread: Vec<Evidence>,
}

/// What a rule said then, as [`Verdict`] is written.
#[derive(Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
enum Said {
    Ok,
    NotApplicable,
    Wrong { evidence: Vec<Evidence> },
    Unknown,
}

#[derive(Deserialize)]
struct EarlierWalk {
    loader: Vec<Hop>,
    routes: Vec<EarlierRoute>,
    system: Vec<Hop>,
}

#[derive(Deserialize)]
struct EarlierRoute {
    default: bool,
    hops: Vec<Hop>,
}

impl Earlier {
    fn read(text: &str) -> Result<Self, String> {
        let Kind { schema } = serde_json::from_str(text)
            .map_err(|error| format!("it is no report of a check in JSON: {error}"))?;
        let kind = SCHEMA.split('/').next().unwrap_or(SCHEMA);
        if schema.split('/').next() != Some(kind) {
            return Err(format!("it is no report of a check: its schema is {schema:?}"));
        }
        if schema != SCHEMA {
            return Err(format!(
                "it is of another version of refloat: its schema is {schema}, and not {SCHEMA}"
            ));
        }
        let report: Self = serde_json::from_str(text)
            .map_err(|error| format!("it is no whole report of a check, so nothing is compared: {error}"))?;
        if report.items.is_empty() || report.walk.loader.is_empty() {
            let what = if report.items.is_empty() { "rule" } else { "hop of the boot walk" };
            return Err(format!(
                "it is no whole report of a check, so nothing is compared: there is no {what} in it"
            ));
        }
        Ok(report)
    }

    /// What every rule said, of whatever pack.
    fn items(&self) -> impl Iterator<Item = &EarlierItem> {
        self.items.iter().chain(self.packs.iter().flat_map(|pack| &pack.items))
    }

    /// Its findings, each once.
    fn found(&self) -> Vec<Changed> {
        let one = |item: &EarlierItem| {
            let evidence = match &item.said {
                Said::Wrong { evidence } => evidence.as_slice(),
                Said::Ok | Said::NotApplicable | Said::Unknown => &[],
            };
            let all = evidence.iter().chain(&item.unread);
            all.map(|it| Changed::new(&item.rule, it)).collect::<Vec<_>>()
        };
        distinct(self.items().flat_map(one).collect())
    }

    /// The hops of an unattended start.
    fn hops(&self) -> impl Iterator<Item = &Hop> {
        let EarlierWalk { loader, routes, system } = &self.walk;
        let route = routes.iter().find(|route| route.default).map_or(&[][..], |route| &route.hops);
        loader.iter().chain(route).chain(system)
    }
}

impl Drift {
    /// Compares a report with an earlier one, `check --json` or the report `json`.
    ///
    /// # Errors
    /// In words: the text is no such report, lacks a part of one, or is of another version or for another target.
    pub fn of(earlier: &str, report: &Report) -> Result<Self, String> {
        let old = Earlier::read(earlier)?;
        if old.goal.target != report.goal.target.id {
            return Err(format!("it is for {:?}, and not for {}", old.goal.target, report.goal.target.id));
        }
        let (mut before, now) = (old.found(), told(report));
        // What is not asked any more is not gone. What was not asked then is new, as far as anybody knows.
        before.retain(|it| report.items().any(|item| item.rule == it.rule));
        let mut new_rules: Vec<String> = now.iter().map(|it| it.rule.clone()).collect();
        new_rules.dedup();
        new_rules.retain(|rule| !old.items().any(|item| item.rule == *rule));
        let minus = |a: &[Changed], b: &[Changed]| a.iter().filter(|it| !b.contains(it)).cloned().collect();
        let arrived = old.hops().all(Hop::is_reached);
        let (was, is) = (gathered(old.hops()), gathered(report.check.walk.hops()));
        Ok(Self {
            since: old.image,
            host: old.guest.host,
            was_ready: old.ready,
            stops_anew: arrived && !report.check.walk.arrives(),
            appeared: minus(&now, &before),
            new_rules,
            gone: minus(&before, &now),
            boot: changed_hops(&was, &is),
        })
    }

    /// Whether this finding is of a rule that the earlier report did not ask, in words; empty if it did.
    pub fn why_new(&self, found: &Changed) -> &'static str {
        if self.new_rules.contains(&found.rule) { " (new rule, not in the baseline)" } else { "" }
    }

    /// Whether this rule found something in a place where it had found nothing then.
    pub fn is_new(&self, rule: &str) -> bool {
        let was_there = |it: &Changed| self.gone.iter().any(|old| old.rule == rule && old.place == it.place);
        self.appeared.iter().any(|it| it.rule == rule && !was_there(it))
    }

    /// What the machine was called then, if it is called something else now.
    pub fn other_host(&self, report: &Report) -> Option<&str> {
        let (was, is) = (self.host.as_deref()?, report.guest.host.as_deref()?);
        (was != is).then_some(was)
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.appeared.is_empty() && self.gone.is_empty() && self.boot.is_empty()
    }
}

/// The findings of this report, each once.
fn told(report: &Report) -> Vec<Changed> {
    let one = |item: &Item, it: &Evidence| Changed::new(item.rule, it);
    let all = report
        .items()
        .flat_map(|item| {
            let evidence = match &item.verdict {
                Verdict::Wrong { evidence, .. } => evidence.as_slice(),
                _ => &[],
            };
            evidence.iter().chain(&item.unread).map(|it| one(item, it)).collect::<Vec<_>>()
        })
        .collect();
    distinct(all)
}

fn distinct(mut all: Vec<Changed>) -> Vec<Changed> {
    all.sort();
    all.dedup();
    all
}

/// What each kind of hop is, in the order of the kinds' names.
type Hops = BTreeMap<String, Vec<String>>;

fn shown(hop: &Hop) -> (String, String) {
    let outcome = if hop.is_reached() { "reached" } else { "stops" };
    (hop.kind.to_string(), format!("{}: {}: {outcome}", hop.place, hop.what))
}

fn gathered<'a>(all: impl Iterator<Item = &'a Hop>) -> Hops {
    let mut hops = Hops::new();
    for (kind, text) in all.map(shown) {
        hops.entry(kind).or_default().push(text);
    }
    hops
}

fn changed_hops(was: &Hops, is: &Hops) -> Vec<ChangedHop> {
    let mut kinds: Vec<&String> = was.keys().chain(is.keys()).collect();
    kinds.sort();
    kinds.dedup();
    let of = |hops: &Hops, kind: &String| hops.get(kind).cloned().unwrap_or_default();
    let differs = |kind: &&String| of(was, kind) != of(is, kind);
    let one = |kind: &String| {
        let (was, is) = (of(was, kind), of(is, kind));
        let only = |a: &[String], b: &[String]| a.iter().filter(|it| !b.contains(it)).cloned().collect();
        ChangedHop { kind: kind.clone(), was: only(&was, &is), is: only(&is, &was) }
    };
    kinds.into_iter().filter(differs).map(one).collect()
}

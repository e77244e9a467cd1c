//! What changed since an earlier report: findings that are new, those that are gone, and what boots by other
//! files than before.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

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
    /// Findings that are gone.
    pub gone: Vec<Changed>,
    /// Hops of the boot that are others.
    pub boot: Vec<ChangedHop>,
}

impl Drift {
    /// Compares a report with an earlier one, `check --json` or the report `json`.
    ///
    /// # Errors
    /// In words: the text is no such report, or one of another version or for another target.
    pub fn of(earlier: &str, report: &Report) -> Result<Self, String> {
        let old: Value = serde_json::from_str(earlier).map_err(|error| format!("it is no JSON: {error}"))?;
        let schema = old.get("schema").and_then(Value::as_str).unwrap_or_default();
        let kind = SCHEMA.split('/').next().unwrap_or(SCHEMA);
        if schema.split('/').next() != Some(kind) {
            return Err(format!("it is no report of a check: its schema is {schema:?}"));
        }
        if schema != SCHEMA {
            return Err(format!(
                "it is of another version of refloat: its schema is {schema}, and not {SCHEMA}"
            ));
        }
        let target = old.get("goal").map(|goal| text(goal, "target")).unwrap_or_default();
        if target != report.goal.target.id {
            return Err(format!("it is for {target:?}, and not for {}", report.goal.target.id));
        }
        let (mut before, mut now) = (found(&old), told(report));
        // Compared is what both asked: a pack that one of them left out found nothing new.
        let (asked, was_asked): (Vec<&str>, Vec<&str>) = (
            report.items().map(|item| item.rule).collect(),
            items(&old).map(|item| text(item, "rule")).collect(),
        );
        before.retain(|it| asked.contains(&it.rule.as_str()));
        now.retain(|it| was_asked.contains(&it.rule.as_str()));
        let minus = |a: &[Changed], b: &[Changed]| a.iter().filter(|it| !b.contains(it)).cloned().collect();
        let (was, is) = (old_hops(&old), hops(report));
        let arrived = was.values().flatten().all(|hop| hop.ends_with("reached")) && !was.is_empty();
        Ok(Self {
            since: text(&old, "image").to_owned(),
            host: old["guest"]["host"].as_str().map(str::to_owned),
            was_ready: old.get("ready").and_then(Value::as_bool).unwrap_or(false),
            stops_anew: arrived && !report.check.walk.arrives(),
            appeared: minus(&now, &before),
            gone: minus(&before, &now),
            boot: changed_hops(&was, &is),
        })
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

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The findings of this report, each once.
fn told(report: &Report) -> Vec<Changed> {
    let one = |item: &Item, it: &Evidence| Changed::new(item.rule, it);
    let mut all: Vec<Changed> = report
        .items()
        .flat_map(|item| {
            let evidence = match &item.verdict {
                Verdict::Wrong { evidence, .. } => evidence.as_slice(),
                _ => &[],
            };
            evidence.iter().chain(&item.unread).map(|it| one(item, it)).collect::<Vec<_>>()
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// What every rule of an earlier report said, of whatever pack.
fn items(old: &Value) -> impl Iterator<Item = &Value> {
    let packs = list(old, "packs").iter().flat_map(|pack| list(pack, "items"));
    list(old, "items").iter().chain(packs)
}

/// The findings of an earlier one.
fn found(old: &Value) -> Vec<Changed> {
    let mut all: Vec<Changed> = items(old)
        .flat_map(|item| {
            let rule = text(item, "rule");
            let evidence = list(item, "evidence").iter().chain(list(item, "unread"));
            evidence.filter_map(move |it| {
                let it: Evidence = serde_json::from_value(it.clone()).ok()?;
                Some(Changed::new(rule, &it))
            })
        })
        .collect();
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

fn hops(report: &Report) -> Hops {
    gathered(report.check.walk.hops().map(shown))
}

fn gathered(all: impl Iterator<Item = (String, String)>) -> Hops {
    let mut hops = Hops::new();
    for (kind, text) in all {
        hops.entry(kind).or_default().push(text);
    }
    hops
}

fn old_hops(old: &Value) -> Hops {
    let walk = old.get("walk").unwrap_or(&Value::Null);
    let default = list(walk, "routes").iter().find(|route| route["default"] == Value::Bool(true));
    let route = default.map_or(&[][..], |route| list(route, "hops"));
    let all = list(walk, "loader").iter().chain(route).chain(list(walk, "system"));
    gathered(all.filter_map(|hop| Some(shown(&serde_json::from_value(hop.clone()).ok()?))))
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

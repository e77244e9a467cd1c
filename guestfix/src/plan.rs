//! What would change, as data.
//!
//! [`check`] and [`plan`] do the same work: run every rule, stage every fix, and prove on the staged guest that each
//! fix satisfies its rule and breaks no other. `check` hands back the findings, `plan` the edits too. Neither writes.
//!
//! Both are functions of the guest, the goal and the version of refloat alone: no clock, no chance.

mod diff;
mod space;

use serde::{Deserialize, Serialize};

use crate::edit::{Content, Step, hex, sha256};
use crate::error::chain;
use crate::path::split_str;
use crate::report::Page;
use crate::rule::{Evidence, Goal, RuleMeta};
use crate::{Edit, Error, Finding, Fixed, Phase, Result, Rule, Severity, Stage, View, rules};

/// The schema of a plan file.
pub const SCHEMA: &str = "refloat.plan/1";

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The rule's id.
    pub rule: &'static str,
    /// What must be true.
    pub title: &'static str,
    /// When it runs.
    pub phase: Phase,
    /// How bad it is when it is not so.
    pub severity: Severity,
    /// What it found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What a rule found, and what can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// All is well.
    Ok,
    /// The rule says nothing about this guest.
    NotApplicable {
        /// Why it does not.
        why: &'static str,
    },
    /// A fault.
    Wrong {
        /// What shows it.
        evidence: Vec<Evidence>,
        /// What can be done.
        #[serde(flatten)]
        remedy: Remedy,
    },
}

/// What can be done about a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "remedy", rename_all = "kebab-case")]
pub enum Remedy {
    /// A plan fixes it.
    Fix,
    /// The user must do it.
    ByHand {
        /// What to do.
        what: String,
    },
}

/// What every rule says of a guest. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// One for each rule, by phase.
    pub items: Vec<Item>,
    /// Volumes too small for the fixes, in words; a plan is refused while there is one.
    pub shortages: Vec<String>,
}

impl Check {
    /// Whether nothing stands in the way of a start as the guest is now.
    pub fn ready(&self) -> bool {
        self.faults(Severity::Blocker).next().is_none()
    }

    /// Whether nothing will once a plan is applied.
    pub fn fixable(&self) -> bool {
        self.shortages.is_empty()
            && self.faults(Severity::Blocker).all(|(_, _, remedy)| *remedy == Remedy::Fix)
    }

    /// The faults of one severity.
    pub fn faults(&self, severity: Severity) -> impl Iterator<Item = (&Item, &[Evidence], &Remedy)> {
        self.items.iter().filter(move |item| item.severity == severity).filter_map(|item| {
            match &item.verdict {
                Verdict::Wrong { evidence, remedy } => Some((item, evidence.as_slice(), remedy)),
                Verdict::Ok | Verdict::NotApplicable { .. } => None,
            }
        })
    }
}

/// Which image a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Where it was, for people; another path is no other image.
    pub path: String,
    /// Size of the disk in bytes.
    pub size: u64,
    /// A digest that tells it from other images.
    pub sha256: String,
}

/// A fault that a plan leaves to the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// The rule's id.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// What shows it.
    pub evidence: Vec<Evidence>,
    /// What to do.
    pub what: String,
}

/// A plan in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Steps.
    pub edits: usize,
    /// Bytes of new content, copies included.
    pub bytes: u64,
}

/// Every change to a guest, with what each replaces: self-contained, and for one image only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of refloat that made it.
    pub refloat: String,
    /// The image it is for.
    pub source: Identity,
    /// What the user asked for.
    pub goal: Goal,
    /// The time that everything written gets, in seconds since 1970: the newest one of the files and directories that
    /// change, so that it derives from the image and is not before what it replaces.
    pub time: i64,
    /// The changes, in the order in which they are made.
    pub steps: Vec<Step>,
    /// The faults that stay.
    pub by_hand: Vec<ByHand>,
    /// In numbers.
    pub totals: Totals,
}

impl Plan {
    /// Whether nothing will stand in the way of a start once this plan is applied.
    pub fn ready(&self) -> bool {
        self.by_hand.iter().all(|fault| fault.severity != Severity::Blocker)
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What goes before the disk, where that is part of the plan: the result is larger than the image then, and all in it moves.
    pub fn head(&self) -> Option<&[u8]> {
        self.steps.iter().find_map(|step| match &step.edit {
            Edit::Wrap { head, .. } => Some(head.as_slice()),
            _ => None,
        })
    }

    /// The plan file: JSON, one line end.
    ///
    /// # Errors
    /// None in practice: `Refused` if it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let json = serde_json::to_string_pretty(self);
        Ok(json.map_err(|error| Error::Refused(format!("the plan is no JSON: {error}")))? + "\n")
    }

    /// Reads a plan file.
    ///
    /// # Errors
    /// `Refused` if it is none, or one of another schema.
    pub fn from_json(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Header {
            schema: String,
        }
        let refused = |error: serde_json::Error| Error::Refused(format!("this is not a plan: {error}"));
        let header: Header = serde_json::from_str(text).map_err(refused)?;
        if header.schema != SCHEMA {
            let what = format!("the plan has the schema {:?}; this refloat reads {SCHEMA:?}", header.schema);
            return Err(Error::Refused(what));
        }
        serde_json::from_str(text).map_err(refused)
    }

    /// SHA-256 of the plan file: names the plan in an undo file.
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json).
    pub fn digest(&self) -> Result<String> {
        Ok(sha256(self.to_json()?.as_bytes()))
    }

    /// Every change as a unified diff, or in words where it is not text; `view` is the guest the plan was made for.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub fn diff(&self, view: &dyn View) -> Result<Page> {
        diff::render(&self.steps, view)
    }
}

/// What every rule says of the guest. Fixes are staged to know which faults can be fixed; nothing is written.
///
/// # Errors
/// If the guest cannot be read; `Unsatisfied` if a fix does not do what it is for.
pub fn check(view: &dyn View, goal: &Goal) -> Result<Check> {
    check_with(rules::ALL, view, goal)
}

/// [`check`] with other rules than the built-in ones.
///
/// # Errors
/// As [`check`].
pub fn check_with(rules: &[&dyn Rule], view: &dyn View, goal: &Goal) -> Result<Check> {
    let (items, steps) = examine(rules, view, goal)?;
    let shortages = space::shortages(&steps, view)?;
    Ok(Check { items, shortages })
}

/// What to change so that every rule is satisfied that can be.
///
/// # Errors
/// As [`check`]; `Refused` if a volume has not enough space for the changes.
pub fn plan(view: &dyn View, identity: &Identity, goal: &Goal) -> Result<Plan> {
    plan_with(rules::ALL, view, identity, goal)
}

/// [`plan`] with other rules than the built-in ones.
///
/// # Errors
/// As [`plan`].
pub fn plan_with(rules: &[&dyn Rule], view: &dyn View, identity: &Identity, goal: &Goal) -> Result<Plan> {
    let (items, steps) = examine(rules, view, goal)?;
    space::require(&steps, view)?;
    let by_hand = items.into_iter().filter_map(|item| match item.verdict {
        Verdict::Wrong { evidence, remedy: Remedy::ByHand { what } } => {
            Some(ByHand { rule: item.rule.to_owned(), severity: item.severity, evidence, what })
        }
        _ => None,
    });
    Ok(Plan {
        schema: SCHEMA.to_owned(),
        refloat: env!("CARGO_PKG_VERSION").to_owned(),
        source: identity.clone(),
        goal: goal.clone(),
        time: newest_time(&steps, view)?,
        by_hand: by_hand.collect(),
        totals: Totals { edits: steps.len(), bytes: content_sizes(&steps, view)? },
        steps,
    })
}

/// Runs every rule, stages every fix, and proves the result on the staged guest.
fn examine(rules: &[&dyn Rule], view: &dyn View, goal: &Goal) -> Result<(Vec<Item>, Vec<Step>)> {
    let mut rules = rules.to_vec();
    rules.sort_by_key(|rule| rule.meta().phase);
    let mut stage = Stage::new(view, goal);
    let mut judged = Vec::new();
    for rule in &rules {
        judged.push(judge(*rule, &mut stage)?);
    }
    for (rule, verdict) in rules.iter().zip(&mut judged) {
        match judge(*rule, &mut stage)? {
            Verdict::Wrong { evidence, remedy: Remedy::Fix } => {
                let mended = fix(*rule, &mut stage)?;
                match verdict {
                    Verdict::Wrong { remedy, .. } => *remedy = mended,
                    // A fault that only our own edits brought counts if it stays.
                    _ if mended != Remedy::Fix => *verdict = Verdict::Wrong { evidence, remedy: mended },
                    _ => {}
                }
            }
            // Cannot be judged.
            by_hand @ Verdict::Wrong { .. } => *verdict = by_hand,
            // Was well, or an earlier fix has mended it.
            Verdict::Ok | Verdict::NotApplicable { .. } => {}
        }
    }
    for (rule, verdict) in rules.iter().zip(&judged) {
        if !matches!(verdict, Verdict::Wrong { remedy: Remedy::ByHand { .. }, .. }) {
            satisfied(*rule, &mut stage)?;
        }
    }
    let item = |(rule, verdict): (&&dyn Rule, Verdict)| {
        let RuleMeta { id, title, phase, severity, .. } = *rule.meta();
        Item { rule: id, title, phase, severity, verdict }
    };
    Ok((rules.iter().zip(judged).map(item).collect(), stage.steps()?))
}

/// What a rule finds in the staged guest. A file that cannot be read for what it should be is a finding as well: one bad
/// file must not hide what else is wrong.
fn judge(rule: &dyn Rule, stage: &mut Stage<'_>) -> Result<Verdict> {
    match rule.detect(&stage.guest()?) {
        Ok(Finding::Ok) => Ok(Verdict::Ok),
        Ok(Finding::NotApplicable(why)) => Ok(Verdict::NotApplicable { why }),
        Ok(Finding::Wrong { evidence }) => Ok(Verdict::Wrong { evidence, remedy: Remedy::Fix }),
        Err(error) => {
            let (place, what) = by_hand(error)?;
            let evidence = vec![Evidence::new(place, format!("cannot be judged: {what}"))];
            let what = "mend or remove it, then check again".to_owned();
            Ok(Verdict::Wrong { evidence, remedy: Remedy::ByHand { what } })
        }
    }
}

/// Stages the fix of one rule, all of it or nothing.
fn fix(rule: &dyn Rule, stage: &mut Stage<'_>) -> Result<Remedy> {
    let start = stage.checkpoint();
    stage.set_rule(rule.meta().id);
    let what = match rule.fix(stage) {
        Ok(Fixed::Staged) => {
            satisfied(rule, stage)?;
            return Ok(Remedy::Fix);
        }
        Ok(Fixed::ByHand(what)) => what,
        Err(error) => {
            let (place, what) = by_hand(error)?;
            if place.is_empty() { what } else { format!("{place}: {what}") }
        }
    };
    stage.roll_back(start);
    Ok(Remedy::ByHand { what })
}

fn satisfied(rule: &dyn Rule, stage: &mut Stage<'_>) -> Result<()> {
    match rule.detect(&stage.guest()?)? {
        Finding::Ok | Finding::NotApplicable(_) => Ok(()),
        Finding::Wrong { evidence } => Err(unsatisfied(rule, &evidence)),
    }
}

pub(crate) fn unsatisfied(rule: &dyn Rule, evidence: &[Evidence]) -> Error {
    let what = evidence.iter().map(|evidence| format!("{}: {}", evidence.place, evidence.what));
    Error::Unsatisfied { rule: rule.meta().id, what: what.collect::<Vec<_>>().join("; ") }
}

/// The place and text of an error about one file that a person can mend; other errors stay errors.
fn by_hand(error: Error) -> Result<(String, String)> {
    match error {
        Error::Malformed { path, what } | Error::TooLarge { path, what } => Ok((path, what)),
        Error::Initramfs { path, source } => Ok((path, chain(&source))),
        Error::Refused(what) => Ok((String::new(), what)),
        error => Err(error),
    }
}

/// The size of the content that a file gets.
fn content_size(content: &Content, view: &dyn View) -> Result<u64> {
    Ok(match content {
        Content::Text(text) => text.len() as u64,
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::Edited { size, .. } => *size,
        Content::CopyOf(path) => view.stat(path)?.map_or(0, |metadata| metadata.size),
    })
}

fn content_sizes(steps: &[Step], view: &dyn View) -> Result<u64> {
    let sizes = steps.iter().map(|step| match &step.edit {
        Edit::PutFile { content, .. } => content_size(content, view),
        Edit::PutBytes { content, .. } => Ok(content.len() as u64),
        Edit::Wrap { head, .. } => Ok(head.len() as u64),
        Edit::ReplayJournal { .. } | Edit::PutLink { .. } | Edit::Remove { .. } => Ok(0),
    });
    sizes.sum()
}

/// The guest path that an edit is about.
fn path_of(edit: &Edit) -> Option<&str> {
    match edit {
        Edit::PutFile { path, .. } | Edit::PutLink { path, .. } | Edit::Remove { path, .. } => Some(path),
        Edit::Wrap { .. } | Edit::ReplayJournal { .. } | Edit::PutBytes { .. } => None,
    }
}

/// The newest modification time of what changes and of the directories it stands in, between 1980 (where FAT begins) and
/// 2106 (where 32 bits end).
fn newest_time(steps: &[Step], view: &dyn View) -> Result<i64> {
    let mut newest = 315_532_800;
    for path in steps.iter().filter_map(|step| path_of(&step.edit)) {
        let dir = split_str(path).map_or("/", |(dir, _)| dir);
        for path in [path, dir] {
            if let Some(metadata) = view.lstat(path)? {
                newest = newest.max(metadata.mtime.seconds);
            }
        }
    }
    Ok(newest.min(i64::from(u32::MAX)))
}

impl Identity {
    /// The identity of a disk; see [`libdisk::identity`] for what it covers. The befores of a plan cover the rest.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(path: &str, disk: &libdisk::block::Disk) -> Result<Self> {
        Ok(Self::new(path, disk.size(), &libdisk::identity(disk)?))
    }

    /// The identity of a disk of `size` bytes whose [`libdisk::identity`] is known.
    pub fn new(path: &str, size: u64, digest: &[u8; 32]) -> Self {
        Self { path: path.to_owned(), size, sha256: hex(digest) }
    }
}

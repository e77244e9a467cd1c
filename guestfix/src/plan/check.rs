//! What every rule says of a guest, and which faults can be fixed.

use serde::Serialize;

use super::{diff, space};
use crate::bootwalk::{Walk, walk};
use crate::edit::Step;
use crate::facts::Facts;
use crate::instance::Hardware;
use crate::report::{Page, Suitability};
use crate::rule::{Evidence, Goal, RuleMeta};
use crate::rules::packs::{BOOT, RulePack};
use crate::unread::{Noting, distinct};
use crate::{Error, Finding, Fixed, Guest, Phase, Result, Rule, Severity, Stage, View, rules};

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Item {
    /// The rule's id.
    pub rule: &'static str,
    /// What must be true.
    pub title: &'static str,
    /// When it runs.
    pub phase: Phase,
    /// How bad it is when it is not so, or when nobody can tell.
    pub severity: Severity,
    /// What it found.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What it looked at and could not read, and why; never empty if the verdict is
    /// [`Unknown`](Verdict::Unknown), always if it is `Ok`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Evidence>,
}

/// What a rule found, and what can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Nobody can tell.
    Unknown,
}

/// What can be done about a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// One for each rule, by phase.
    pub items: Vec<Item>,
    /// Volumes too small for the fixes, in words; a plan is refused while there is one.
    pub shortages: Vec<String>,
    /// The boot walk over the guest as it is.
    pub walk: Walk,
    /// The same with the fixes; `None` if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub walk_after_fix: Option<Walk>,
    /// What other packs of rules say; none of it is about whether the machine starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<Assessed>,
    /// What the walk over the guest as it is looked at and could not read.
    #[serde(skip)]
    pub unread: Vec<Evidence>,
    /// What the fixes change, which a plan carries.
    #[serde(skip)]
    pub steps: Vec<Step>,
    /// What is known of the guest as it is, which `inspect` tells.
    #[serde(skip)]
    pub facts: Facts,
}

/// What a pack beside `boot` says of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Assessed {
    /// "azure-vm".
    pub pack: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The day of its data.
    pub date: &'static str,
    /// Its verdict, in Azure's words.
    pub verdict: Suitability,
    /// How many of its rules say what.
    pub count: Count,
    /// One for each of its rules.
    pub items: Vec<Item>,
}

impl Assessed {
    /// The verdict of what these rules say.
    fn new(pack: &RulePack, items: Vec<Item>) -> Self {
        let any = |severity: Severity, unknown: bool| {
            items.iter().filter(|item| item.severity == severity).any(|item| match item.verdict {
                Verdict::Wrong { .. } => !unknown,
                Verdict::Unknown => unknown,
                Verdict::Ok | Verdict::NotApplicable { .. } => false,
            })
        };
        let verdict = match () {
            () if any(Severity::Blocker, false) => Suitability::NotReady,
            () if any(Severity::Blocker, true) => Suitability::ReadinessUnknown,
            () if any(Severity::Warning, false) || any(Severity::Warning, true) => {
                Suitability::ConditionallyReady
            }
            () => Suitability::Ready,
        };
        let count = Count::of(&items);
        Self { pack: pack.id, version: pack.version, date: pack.date, verdict, count, items }
    }
}

impl Count {
    /// Of these.
    pub fn of(items: &[Item]) -> Self {
        let mut count = Self::default();
        for item in items {
            *match item.verdict {
                Verdict::Ok => &mut count.ok,
                Verdict::NotApplicable { .. } => &mut count.not_applicable,
                Verdict::Wrong { .. } => &mut count.wrong,
                Verdict::Unknown => &mut count.unknown,
            } += 1;
        }
        count
    }
}

/// How many rules say what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Count {
    /// All is well.
    pub ok: usize,
    /// A fault, whatever its severity.
    pub wrong: usize,
    /// Nobody can tell.
    pub unknown: usize,
    /// They say nothing about this guest.
    pub not_applicable: usize,
}

impl Check {
    /// Whether every rule that can stand in the way of a start, and applies, says that all is well as the
    /// guest is now, and the boot walk comes to the login.
    pub fn ready(&self) -> bool {
        self.walk.arrives() && self.rules_are_content()
    }

    /// The same by the rules alone.
    pub(crate) fn rules_are_content(&self) -> bool {
        self.blockers().all(|item| {
            matches!(item.verdict, Verdict::Ok | Verdict::NotApplicable { .. }) && item.unread.is_empty()
        })
    }

    /// Whether every one will once a plan is applied, and the walk over what it makes comes to the login.
    pub fn fixable(&self) -> bool {
        self.after_fix().arrives() && self.rules_are_fixable()
    }

    /// The same by the rules alone.
    pub(crate) fn rules_are_fixable(&self) -> bool {
        let well = |verdict: &Verdict| match verdict {
            Verdict::Ok | Verdict::NotApplicable { .. } | Verdict::Wrong { remedy: Remedy::Fix, .. } => true,
            Verdict::Wrong { remedy: Remedy::ByHand { .. }, .. } | Verdict::Unknown => false,
        };
        self.shortages.is_empty() && self.blockers().all(|item| well(&item.verdict) && item.unread.is_empty())
    }

    /// Every change of the fixes, each by itself, as [`Plan::diff`](super::Plan::diff) shows it; `view` is the
    /// guest that was checked.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub fn changes(&self, view: &dyn View) -> Result<Vec<Page>> {
        self.steps.iter().map(|step| diff::one(step, view)).collect()
    }

    /// The boot walk over the guest with the fixes.
    pub fn after_fix(&self) -> &Walk {
        self.walk_after_fix.as_ref().unwrap_or(&self.walk)
    }

    fn blockers(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.severity == Severity::Blocker)
    }

    /// The faults of one severity.
    pub fn faults(&self, severity: Severity) -> impl Iterator<Item = (&Item, &[Evidence], &Remedy)> {
        self.items.iter().filter(move |item| item.severity == severity).filter_map(|item| {
            match &item.verdict {
                Verdict::Wrong { evidence, remedy } => Some((item, evidence.as_slice(), remedy)),
                Verdict::Ok | Verdict::NotApplicable { .. } | Verdict::Unknown => None,
            }
        })
    }

    /// The rules that could not read all that they had to look at, those that found a fault all the same
    /// among them.
    pub fn unknown(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| !item.unread.is_empty())
    }

    /// How many rules say what; each counts once.
    pub fn count(&self) -> Count {
        Count::of(&self.items)
    }
}

/// What every rule says of the guest. Fixes are staged to know which faults can be fixed; nothing is written.
///
/// # Errors
/// If the device fails; `Unsatisfied` if a fix does not do what it is for. A file that cannot be read is no
/// error: the rules that look at it cannot tell, and say so.
pub fn check(view: &dyn View, goal: &Goal) -> Result<Check> {
    check_with(rules::ALL, view, goal)
}

/// [`check`] with other rules than the built-in ones.
///
/// # Errors
/// As [`check`].
pub fn check_with(rules: &[&Rule], view: &dyn View, goal: &Goal) -> Result<Check> {
    examined(rules, view, goal, &[], Hardware::default())
}

/// [`check`], with what other packs of rules say of the guest as it is.
///
/// # Errors
/// As [`check`].
pub fn assess(
    view: &dyn View,
    goal: &Goal,
    packs: &[&'static RulePack],
    hardware: Hardware<'_>,
) -> Result<Check> {
    examined(rules::ALL, view, goal, packs, hardware)
}

fn examined(
    rules: &[&Rule],
    view: &dyn View,
    goal: &Goal,
    packs: &[&'static RulePack],
    hardware: Hardware<'_>,
) -> Result<Check> {
    let Examined { items, steps, walk, unread, walk_after_fix, facts, packs } =
        examine(rules, view, goal, packs, hardware)?;
    let shortages = space::shortages(&steps, view)?;
    Ok(Check { items, shortages, walk, walk_after_fix, packs, unread, steps, facts })
}

/// What was found, and what mends it.
pub(super) struct Examined {
    pub(super) items: Vec<Item>,
    pub(super) steps: Vec<Step>,
    pub(super) walk: Walk,
    /// What that walk looked at and could not read.
    pub(super) unread: Vec<Evidence>,
    pub(super) walk_after_fix: Option<Walk>,
    pub(super) facts: Facts,
    pub(super) packs: Vec<Assessed>,
}

/// Runs every rule, stages every fix, and proves the result on the staged guest.
pub(super) fn examine(
    rules: &[&Rule],
    view: &dyn View,
    goal: &Goal,
    packs: &[&'static RulePack],
    hardware: Hardware<'_>,
) -> Result<Examined> {
    let mut rules = rules.to_vec();
    rules.sort_by_key(|rule| rule.meta.phase);
    let noting = Noting::new(view);
    let mut stage = Stage::new(&noting, goal);
    let guest = stage.guest()?;
    let (as_it_is, facts) = (walk(&guest)?, guest.facts.clone());
    let unread = [guest.view.take_unread(), guest.facts.looked_at()].concat();
    let mut assessed = Vec::new();
    for pack in packs.iter().copied().filter(|pack| pack.id != BOOT.id) {
        assessed.push(of_pack(pack, &mut stage, hardware)?);
    }
    let mut judged = Vec::new();
    for rule in &rules {
        judged.push(judge(rule, &mut stage)?);
    }
    for (rule, judged) in rules.iter().zip(&mut judged) {
        let now = judge(rule, &mut stage)?;
        judged.unread = distinct([judged.unread.as_slice(), &now.unread].concat());
        match now.verdict {
            Verdict::Wrong { evidence, .. } => {
                let mended = fix(rule, &mut stage)?;
                match &mut judged.verdict {
                    Verdict::Wrong { remedy, .. } => *remedy = mended,
                    // A fault that only our own edits brought counts if it stays.
                    verdict if mended != Remedy::Fix => {
                        *verdict = Verdict::Wrong { evidence, remedy: mended }
                    }
                    _ => {}
                }
            }
            Verdict::Unknown if !matches!(judged.verdict, Verdict::Wrong { .. }) => {
                judged.verdict = Verdict::Unknown;
            }
            // Was well, or an earlier fix has mended it.
            Verdict::Ok | Verdict::NotApplicable { .. } | Verdict::Unknown => {}
        }
    }
    for (rule, judged) in rules.iter().zip(&judged) {
        if !matches!(judged.verdict, Verdict::Wrong { remedy: Remedy::ByHand { .. }, .. })
            && let Verdict::Wrong { evidence, .. } = judge(rule, &mut stage)?.verdict
        {
            return Err(unsatisfied(rule, &evidence));
        }
    }
    let item = |(rule, judged): (&&Rule, Judged)| {
        let RuleMeta { id, title, phase, severity, .. } = rule.meta;
        Item { rule: id, title, phase, severity, verdict: judged.verdict, unread: judged.unread }
    };
    let items = rules.iter().zip(judged).map(item).collect();
    let steps = stage.steps()?;
    let walk_after_fix = if steps.is_empty() { None } else { Some(walk(&stage.guest()?)?) };
    Ok(Examined { items, steps, walk: as_it_is, unread, walk_after_fix, facts, packs: assessed })
}

/// What a rule says of a guest.
pub(crate) struct Judged {
    /// Every fault of it as if it could be fixed.
    pub(crate) verdict: Verdict,
    /// What it looked at and could not read.
    pub(crate) unread: Vec<Evidence>,
}

/// What the rules of a pack find in the guest as it is; none of them has a fix.
fn of_pack(pack: &RulePack, stage: &mut Stage<'_>, hardware: Hardware<'_>) -> Result<Assessed> {
    let guest = Guest { hardware, ..stage.guest()? };
    let mut items = Vec::new();
    for rule in pack.rules {
        let Judged { verdict, unread } = judge_guest(rule, &guest)?;
        let verdict = match verdict {
            Verdict::Wrong { evidence, .. } => {
                Verdict::Wrong { evidence, remedy: Remedy::ByHand { what: rule.meta.fix.to_owned() } }
            }
            verdict => verdict,
        };
        let RuleMeta { id, title, phase, severity, .. } = rule.meta;
        items.push(Item { rule: id, title, phase, severity, verdict, unread });
    }
    Ok(Assessed::new(pack, items))
}

/// What a rule finds in the staged guest, and what it could not read for that. One bad file must not hide
/// what else is wrong, nor pass for one that is not there.
pub(crate) fn judge(rule: &Rule, stage: &mut Stage<'_>) -> Result<Judged> {
    judge_guest(rule, &stage.guest()?)
}

fn judge_guest(rule: &Rule, guest: &Guest<'_>) -> Result<Judged> {
    // What others looked at.
    guest.facts.looked_at();
    guest.view.take_unread();
    let finding = rule.find(guest);
    let mut unread = [guest.view.take_unread(), guest.facts.looked_at()].concat();
    let verdict = match finding {
        Ok(Finding::Ok) => Verdict::Ok,
        Ok(Finding::NotApplicable(why)) => Verdict::NotApplicable { why },
        Ok(Finding::Wrong { evidence }) => Verdict::Wrong { evidence, remedy: Remedy::Fix },
        Ok(Finding::Unknown { unread: found }) => {
            unread.extend(found);
            Verdict::Unknown
        }
        Err(error) => {
            unread.push(error.unread()?);
            Verdict::Unknown
        }
    };
    let unread = distinct(unread);
    let verdict = match verdict {
        Verdict::Wrong { mut evidence, remedy } => {
            // What is said of a file that cannot be read is not known.
            let is_unread = |path: &str| unread.iter().any(|unread| unread.place.path() == Some(path));
            evidence.retain(|evidence| !evidence.place.path().is_some_and(is_unread));
            if evidence.is_empty() { Verdict::Unknown } else { Verdict::Wrong { evidence, remedy } }
        }
        _ if !unread.is_empty() => Verdict::Unknown,
        verdict => verdict,
    };
    Ok(Judged { verdict, unread })
}

/// Stages the fix of one rule, all of it or nothing.
fn fix(rule: &Rule, stage: &mut Stage<'_>) -> Result<Remedy> {
    let start = stage.checkpoint();
    stage.set_rule(rule.meta.id);
    let what = match rule.mend(stage) {
        Ok(Fixed::Staged) => match judge(rule, stage)? {
            Judged { verdict: Verdict::Wrong { evidence, .. }, unread } if unread.is_empty() => {
                return Err(unsatisfied(rule, &evidence));
            }
            Judged { verdict: Verdict::Wrong { .. }, unread } => {
                let places: Vec<_> = unread.iter().map(|unread| unread.place.to_string()).collect();
                format!("see to it that {} can be read, then check again", places.join(" and "))
            }
            _ => return Ok(Remedy::Fix),
        },
        Ok(Fixed::ByHand(what)) => what,
        Err(Error::Refused(what)) => what,
        Err(error) => error.unread()?.to_string(),
    };
    stage.roll_back(start);
    Ok(Remedy::ByHand { what })
}

pub(crate) fn unsatisfied(rule: &Rule, evidence: &[Evidence]) -> Error {
    let what = evidence.iter().map(ToString::to_string).collect::<Vec<_>>();
    Error::Unsatisfied { rule: rule.meta.id, what: what.join("; ") }
}

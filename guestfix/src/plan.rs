//! What would change, as data.
//!
//! [`check`] and [`plan`] do the same work: run every rule, stage every fix, and prove on the staged guest
//! that each fix satisfies its rule and breaks no other. `check` hands back the findings, `plan` the edits
//! too. Neither writes.
//!
//! Both are functions of the guest, the goal and the version of refloat alone: no clock, no chance.

mod check;
mod diff;
mod space;

use serde::{Deserialize, Serialize};

use self::check::{Examined, examine};
use crate::bootwalk::Chain;
use crate::edit::{Content, Step, hex, sha256_of};
use crate::instance::Hardware;
use crate::path::split_str;
use crate::report::Page;
use crate::rule::{Evidence, Goal};
use crate::{Edit, Error, Result, Rule, Severity, View, rules};

pub use self::check::{Assessed, Check, Count, Item, Remedy, Verdict, assess, check, check_with};
pub(crate) use self::check::{judge, unsatisfied};
pub use self::diff::text_diff;

/// The schema of a plan file.
pub const SCHEMA: &str = "refloat.plan/3";

/// Which disk a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Identity {
    /// Where it was, for people; another path is no other image.
    pub path: String,
    /// Size of the disk in bytes.
    pub size: u64,
    /// A digest that tells it from other disks.
    pub sha256: String,
    /// The device that it was on its machine, where that was known: fstab may name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// A fault that a plan leaves to the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// A rule that cannot tell: what it has to look at cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unknown {
    /// The rule's id.
    pub rule: String,
    /// How bad it would be.
    pub severity: Severity,
    /// What cannot be read, and why.
    pub unread: Vec<Evidence>,
}

/// A plan in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Totals {
    /// Steps.
    pub edits: usize,
    /// Bytes of new content, copies included.
    pub bytes: u64,
}

/// Every change to a guest, with what each replaces: self-contained, and for one image only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// [`SCHEMA`].
    #[cfg_attr(feature = "schema", schemars(extend("const" = SCHEMA)))]
    pub schema: String,
    /// The version of refloat that made it.
    pub refloat: String,
    /// The disks it is for, that which the machine starts from first.
    pub source: Vec<Identity>,
    /// What the user asked for.
    pub goal: Goal,
    /// The time that everything written gets, in seconds since 1970: the newest one of the files and
    /// directories that change, so that it derives from the image and is not before what it replaces.
    pub time: i64,
    /// The changes, in the order in which they are made.
    pub steps: Vec<Step>,
    /// The faults that stay.
    pub by_hand: Vec<ByHand>,
    /// What cannot be told, whatever is changed.
    pub unknown: Vec<Unknown>,
    /// How far a start comes as the guest is.
    pub boot: Chain,
    /// How far it comes once the plan is applied.
    pub boot_after: Chain,
    /// In numbers.
    pub totals: Totals,
}

impl Plan {
    /// Whether nothing will stand in the way of a start once this plan is applied, and the boot walk comes to
    /// the login.
    pub fn ready(&self) -> bool {
        self.boot_after.arrives && !self.leaves_blockers()
    }

    /// Whether it leaves a blocker, or a rule that cannot tell of one.
    pub fn leaves_blockers(&self) -> bool {
        let severities = self.by_hand.iter().map(|fault| fault.severity);
        let mut all = severities.chain(self.unknown.iter().map(|unknown| unknown.severity));
        all.any(|severity| severity == Severity::Blocker)
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What goes before the first disk, where that is part of the plan: the result is larger than the image
    /// then, and all in it moves.
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
            let what = format!(
                "the plan has the schema {:?}, and this refloat reads {SCHEMA:?}: make a new plan",
                header.schema
            );
            return Err(Error::Refused(what));
        }
        let plan: Self = serde_json::from_str(text).map_err(refused)?;
        if plan.source.is_empty() {
            return Err(Error::Refused("the plan names no disk".into()));
        }
        Ok(plan)
    }

    /// SHA-256 of the plan file: names the plan in an undo file.
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json).
    pub fn digest(&self) -> Result<String> {
        let digest = sha256_of(|out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            out.write_all(b"\n").map_err(serde_json::Error::io)
        });
        digest.map_err(|error| Error::Refused(format!("the plan is no JSON: {error}")))
    }

    /// Every change as a unified diff, or in words where it is not text; `view` is the guest the plan was
    /// made for.
    ///
    /// # Errors
    /// If the guest cannot be read.
    pub fn diff(&self, view: &dyn View) -> Result<Page> {
        diff::render(&self.steps, view)
    }
}

/// What to change so that every rule is satisfied that can be; `source` are the guest's disks, the first one
/// first.
///
/// # Errors
/// As [`check`]; `Refused` if a volume has not enough space for the changes.
pub fn plan(view: &dyn View, source: &[Identity], goal: &Goal) -> Result<Plan> {
    plan_with(rules::ALL, view, source, goal)
}

/// [`plan`] with other rules than the built-in ones.
///
/// # Errors
/// As [`plan`].
pub fn plan_with(rules: &[&Rule], view: &dyn View, source: &[Identity], goal: &Goal) -> Result<Plan> {
    let Examined { items, steps, walk, walk_after_fix, .. } =
        examine(rules, view, goal, &[], Hardware::default())?;
    space::require(&steps, view)?;
    let (mut by_hand, mut unknown) = (Vec::new(), Vec::new());
    for Item { rule, severity, verdict, unread, .. } in items {
        let rule = rule.to_owned();
        if !unread.is_empty() {
            unknown.push(Unknown { rule: rule.clone(), severity, unread });
        }
        if let Verdict::Wrong { evidence, remedy: Remedy::ByHand { what } } = verdict {
            by_hand.push(ByHand { rule, severity, evidence, what });
        }
    }
    Ok(Plan {
        schema: SCHEMA.to_owned(),
        refloat: env!("CARGO_PKG_VERSION").to_owned(),
        source: source.to_vec(),
        goal: goal.clone(),
        time: newest_time(&steps, view)?,
        by_hand,
        unknown,
        boot: walk.chain(),
        boot_after: walk_after_fix.unwrap_or(walk).chain(),
        totals: Totals { edits: steps.len(), bytes: content_sizes(&steps, view)? },
        steps,
    })
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

/// The newest modification time of what changes and of the directories it stands in, between 1980 (where FAT
/// begins) and 2106 (where 32 bits end).
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
    /// The identity of a disk; see [`libdisk::identity`] for what it covers. The befores of a plan cover the
    /// rest.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(path: &str, disk: &libdisk::block::Disk) -> Result<Self> {
        Ok(Self::new(path, disk.size(), &libdisk::identity(disk)?))
    }

    /// The identity of a disk of `size` bytes whose [`libdisk::identity`] is known.
    pub fn new(path: &str, size: u64, digest: &[u8; 32]) -> Self {
        Self { path: path.to_owned(), size, sha256: hex(digest), device: None }
    }
}

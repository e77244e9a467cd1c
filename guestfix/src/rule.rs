//! What a rule is: it finds one fault and stages its fix.

use std::fmt;

use crate::facts::{Facts, OsKind};
use crate::instance::Hardware;
use crate::platform::{self, Firmware, Platform, Target};
use crate::{Archives, Result, Stage, View, registry};

pub use crate::place::{Evidence, Place};

/// How to handle cloud-init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CloudInit {
    /// Disabled: the machine keeps its users, host keys and hostname. The default.
    #[default]
    Disable,
    /// Kept, with the data source of the target, and told to keep users, host keys and hostname.
    Azure,
}

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Goal {
    /// Where the guest is to boot.
    #[serde(deserialize_with = "platform::deserialize")]
    pub target: &'static Target,
    /// How to handle cloud-init.
    #[serde(default)]
    pub cloud_init: CloudInit,
    /// Whether a Windows is also to get what Microsoft asks of images and no start needs.
    #[serde(default)]
    pub strict: bool,
}

impl Goal {
    /// To boot there, with the usual policies.
    pub const fn new(target: &'static Target) -> Self {
        Self { target, cloud_init: CloudInit::Disable, strict: false }
    }
}

/// Everything a rule may look at.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    /// The guest's disk and files.
    pub view: &'a dyn View,
    /// What was learned from them.
    pub facts: &'a Facts,
    /// What the user asked for.
    pub goal: &'a Goal,
    /// Initramfs images, parsed once each.
    pub archives: &'a Archives,
    /// What it ran on, where somebody has said so; no fix asks for it.
    pub hardware: Hardware<'a>,
}

/// The order in which rules are run: facts that later phases rely on are settled in earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Phase {
    Replay,
    Layout,
    Drivers,
    Boot,
    Mounts,
    Network,
    Agent,
    Identity,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The machine will not boot, or nobody can reach it.
    Blocker,
    /// It boots, with something broken, slow or wrong.
    Warning,
    /// The user should know.
    Note,
}

/// What a rule is about: its folder in `rules/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pack {
    /// The disk below the files.
    Disk,
    /// The machine that the guest is to run on.
    Target,
    /// Linux guests.
    Linux,
    /// Windows guests.
    Windows,
    /// What Azure's assessment says.
    AzureVm,
    /// What Microsoft's own tool would say.
    AzureMigrateAgent,
}

impl Pack {
    /// As ids of rules begin: "azure-vm".
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Target => "target",
            Self::Linux => "linux",
            Self::Windows => "windows",
            Self::AzureVm => "azure-vm",
            Self::AzureMigrateAgent => "azure-migrate-agent",
        }
    }
}

/// Where a rule is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Source {
    /// The document, or who publishes it: "UEFI 2.10", "Microsoft Learn".
    pub document: &'static str,
    /// The part or page of it; empty for all of it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub clause: &'static str,
    /// When it was published or read: "2026", "2026-09", "2026-11-23"; [`Source::UNREAD`] where nobody looked.
    pub date: &'static str,
}

impl Source {
    /// The date of what nobody looked up for this version.
    pub const UNREAD: &str = "as known in 2026, not looked up";

    /// A part of a document; an empty `clause` means all of it.
    pub const fn new(document: &'static str, clause: &'static str, date: &'static str) -> Self {
        Self { document, clause, date }
    }

    /// A part of a document that nobody looked up for this version: the rule says what is known of it.
    pub const fn unread(document: &'static str, clause: &'static str) -> Self {
        Self::new(document, clause, Self::UNREAD)
    }

    /// Whether it names a document, and a date or that nobody looked.
    #[cfg(test)]
    pub(crate) fn is_whole(&self) -> bool {
        !self.document.is_empty() && (self.date.starts_with("20") || self.date == Self::UNREAD)
    }
}

/// "UEFI 2.10, 5.3.2 GPT Header, 2022".
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { document, clause, date } = self;
        let comma = if clause.is_empty() { "" } else { ", " };
        write!(f, "{document}{comma}{clause}, {date}")
    }
}

/// The guests and targets that a rule is for; a part that is `None` is for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Applies {
    /// The kind of operating system.
    pub system: Option<OsKind>,
    /// The platform that the guest goes to.
    pub platform: Option<&'static Platform>,
    /// What it is to start by there.
    pub firmware: Option<Firmware>,
    /// Whether it is only for who asks for all that Microsoft asks of images.
    pub strict: bool,
}

impl Applies {
    /// To every guest on every target.
    pub const ALWAYS: Self = Self { system: None, platform: None, firmware: None, strict: false };
    /// To every Linux, wherever it goes.
    pub const LINUX: Self = Self { system: Some(OsKind::Linux), ..Self::ALWAYS };

    /// To every Windows, wherever it goes.
    pub const WINDOWS: Self = Self { system: Some(OsKind::Windows), ..Self::ALWAYS };

    /// On this platform only.
    #[must_use]
    pub const fn on(self, platform: &'static Platform) -> Self {
        Self { platform: Some(platform), ..self }
    }

    /// For machines of this firmware only.
    #[must_use]
    pub const fn with(self, firmware: Firmware) -> Self {
        Self { firmware: Some(firmware), ..self }
    }

    /// For who asks for all that Microsoft asks of images only.
    #[must_use]
    pub const fn strict(self) -> Self {
        Self { strict: true, ..self }
    }

    /// Why a rule is not for this guest; `None` if it is. A guest whose system is not known gets the rules of
    /// all systems: what is not known is not ruled out.
    pub fn why_not(&self, guest: &Guest<'_>) -> Option<&'static str> {
        let target = guest.goal.target;
        if self.platform.is_some_and(|platform| platform != target.platform) {
            return Some("the target is another platform");
        }
        match self.firmware {
            Some(Firmware::Uefi) if target.firmware != Firmware::Uefi => {
                return Some("the target starts by BIOS");
            }
            Some(Firmware::Bios) if target.firmware != Firmware::Bios => {
                return Some("the target starts by UEFI");
            }
            _ => {}
        }
        if self.strict && !guest.goal.strict {
            return Some("no start needs it, and --strict was not given");
        }
        let known = guest.facts.os.peek().as_ref().map(|os| os.kind);
        match (self.system, known) {
            (Some(wanted), Some(known)) if wanted != known => Some(match wanted {
                OsKind::Linux => "the guest is not Linux",
                OsKind::Windows => "the guest is not Windows",
            }),
            (Some(OsKind::Windows), None) if !registry::may_be(guest.view) => Some("there is no Windows"),
            _ => None,
        }
    }
}

/// The fixed facts of a rule.
#[derive(Debug, Clone, Copy)]
pub struct RuleMeta {
    /// Stable id: "linux.fstab.device-names".
    pub id: &'static str,
    /// One line: what must be true.
    pub title: &'static str,
    /// What it is about.
    pub pack: Pack,
    /// When it runs.
    pub phase: Phase,
    /// How bad it is when it is not so, or when nobody can tell.
    pub severity: Severity,
    /// Why it matters, one or two sentences for `refloat rules ID`.
    pub cause: &'static str,
    /// What the fix does, one or two sentences; for a rule without a fix, what the user is to do.
    pub fix: &'static str,
    /// Where the rule is from; at least one.
    pub source: &'static [Source],
    /// Which guests and targets it is for.
    pub applies: Applies,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// All is well.
    Ok,
    /// The rule says nothing about this guest; the text says why.
    NotApplicable(&'static str),
    /// A fault, with at least one piece of evidence.
    Wrong {
        /// What shows it; the first is the one for a summary line.
        evidence: Vec<Evidence>,
    },
    /// Nobody can tell: something that the rule has to look at cannot be read.
    Unknown {
        /// Each place that cannot be read, and why; at least one.
        unread: Vec<Evidence>,
    },
}

impl Finding {
    /// `Ok` without evidence, `Wrong` with some.
    pub fn from_evidence(evidence: Vec<Evidence>) -> Self {
        if evidence.is_empty() { Finding::Ok } else { Finding::Wrong { evidence } }
    }

    /// `Unknown` because of one place that cannot be read.
    pub fn unknown(place: impl Into<Place>, why: impl Into<String>) -> Self {
        Finding::Unknown { unread: vec![Evidence::new(place, why)] }
    }
}

/// What a fix did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fixed {
    /// Edits were staged; `detect` on the staged guest must find nothing wrong now.
    Staged,
    /// We do not do this; the text says what the user should do. Nothing was staged.
    ByHand(String),
}

/// One fault: how to find it, how to mend it. Stateless; see `rules/mod.rs` for the table of all.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Id, title, phase, severity, source.
    pub meta: RuleMeta,
    /// Looks for the fault; an error about one file of the guest makes the finding unknown. Runs three
    /// times: to find it, on the staged guest, and on the result after apply.
    pub detect: fn(&Guest<'_>) -> Result<Finding>,
    /// Stages the fix; called only after `detect` said `Wrong`. Without one the user does what `meta.fix`
    /// says.
    pub fix: Option<fn(&mut Stage<'_>) -> Result<Fixed>>,
}

impl Rule {
    /// What the rule finds, where it applies.
    ///
    /// # Errors
    /// As `detect`: if the guest cannot be read.
    pub fn find(&self, guest: &Guest<'_>) -> Result<Finding> {
        match self.meta.applies.why_not(guest) {
            Some(why) => Ok(Finding::NotApplicable(why)),
            None => (self.detect)(guest),
        }
    }

    /// Stages the fix, or says what the user is to do.
    ///
    /// # Errors
    /// If the guest cannot be read, or refuses the change.
    pub fn mend(&self, stage: &mut Stage<'_>) -> Result<Fixed> {
        match self.fix {
            Some(fix) => fix(stage),
            None => Ok(Fixed::ByHand(self.meta.fix.to_owned())),
        }
    }
}

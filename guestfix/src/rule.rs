//! What a rule is: it finds one fault and stages its fix.

use crate::facts::Facts;
use crate::text::bytes;
use crate::{Archives, Result, Stage, View};

/// Where the guest is to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Azure, generation 1: BIOS, an emulated IDE disk for the boot loader, VMBus for the kernel.
    AzureGen1,
    /// Azure, generation 2: UEFI without stored boot entries, VMBus SCSI.
    AzureGen2,
}

/// What is to become of cloud-init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloudInit {
    /// Disabled: the machine keeps its users, host keys and hostname. The default.
    #[default]
    Disable,
    /// Kept, with the Azure datasource, and told to keep users, host keys and hostname.
    Azure,
}

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Goal {
    /// Where the guest is to boot.
    pub target: Target,
    /// What is to become of cloud-init.
    #[serde(default)]
    pub cloud_init: CloudInit,
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
}

/// The order in which rules are run: facts that later phases rely on are settled in earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
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
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The machine will not boot, or nobody can reach it.
    Blocker,
    /// It boots, with something broken, slow or wrong.
    Warning,
    /// The user should know.
    Note,
}

/// The fixed facts of a rule.
#[derive(Debug, Clone, Copy)]
pub struct RuleMeta {
    /// Stable id: "linux.fstab.device-names".
    pub id: &'static str,
    /// One line: what must be true.
    pub title: &'static str,
    /// When it runs.
    pub phase: Phase,
    /// How bad it is when it is not so.
    pub severity: Severity,
    /// Why it matters, one or two sentences for `refloat rules ID`.
    pub cause: &'static str,
    /// What the fix does, one or two sentences.
    pub fix: &'static str,
    /// Where the rule is from: document and date.
    pub source: &'static str,
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// Where: "/etc/fstab:3", "p1", "byte 0x1be".
    pub place: String,
    /// What is there and what is wrong with it, in a few words.
    pub what: String,
}

impl Evidence {
    /// Evidence at a place; bytes of the guest that are not UTF-8 are shown as `\xE9`.
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        let shown = |text: String| bytes::shown(&text).into_owned();
        Self { place: shown(place.into()), what: shown(what.into()) }
    }
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
}

impl Finding {
    /// `Ok` without evidence, `Wrong` with some.
    pub fn from_evidence(evidence: Vec<Evidence>) -> Self {
        if evidence.is_empty() { Finding::Ok } else { Finding::Wrong { evidence } }
    }
}

/// What a fix did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fixed {
    /// Edits were staged; `detect` on the staged guest must now be `Ok` or `NotApplicable`.
    Staged,
    /// We do not do this; the text says what the user should do. Nothing was staged.
    ByHand(String),
}

/// One fault: how to find it, how to mend it. Stateless; see `rules/mod.rs` for the table of all.
pub trait Rule: Sync {
    /// Id, title, phase, severity, source.
    fn meta(&self) -> &'static RuleMeta;

    /// Looks for the fault. Runs three times: to find it, on the staged guest, and on the result after apply.
    ///
    /// # Errors
    /// If the guest cannot be read.
    fn detect(&self, guest: &Guest<'_>) -> Result<Finding>;

    /// Stages the fix; called only after `detect` said `Wrong`.
    ///
    /// # Errors
    /// If the guest cannot be read.
    fn fix(&self, stage: &mut Stage<'_>) -> Result<Fixed>;
}

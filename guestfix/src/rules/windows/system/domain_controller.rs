//! windows.system.domain-controller

use super::super::values::System;
use crate::registry::SYSTEM;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A domain controller, whose copy is another one's twin.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.system.domain-controller",
        title: "it is no domain controller",
        pack: Pack::Windows,
        phase: Phase::Identity,
        severity: Severity::Warning,
        cause: "Two copies of a domain controller that both run, or one that goes back to an old state, \
                damage the domain.",
        fix: "Rather build a new domain controller in Azure and let it replicate. Otherwise stop the old one \
              for good before the copy starts.",
        source: &[Source::new("Microsoft Learn", "Virtualized domain controllers on Azure", "2026")],
        applies: Applies::WINDOWS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let system = System::of(guest)?;
    let key = format!(r"{}\Control\ProductOptions", system.default_set()?);
    let kind = system.hive.text(&key, "ProductType")?.filter(|kind| kind.eq_ignore_ascii_case("LanmanNT"));
    let evidence = |kind| Evidence::new(SYSTEM.place(&key, Some("ProductType")), format!("is {kind}"));
    Ok(Finding::from_evidence(kind.map(evidence).into_iter().collect()))
}

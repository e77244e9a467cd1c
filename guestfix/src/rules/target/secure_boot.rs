//! target.secure-boot

use crate::facts::Family;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A guest whose boot loader Azure's firmware does not trust.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "target.secure-boot",
        title: "the boot loader is signed for the Secure Boot of Azure",
        pack: Pack::Target,
        phase: Phase::Layout,
        severity: Severity::Note,
        cause: "Azure's generation 2 can have Secure Boot, and then starts what Microsoft has signed. The \
                loaders of Amazon Linux are signed by Amazon: with Secure Boot such a machine does not \
                start.",
        fix: "create the machine on Azure with the security type Standard, or with Secure Boot off",
        source: &[
            Source::new("AWS", "AL2023 user guide, UEFI Secure Boot", "2026"),
            Source::new("Microsoft Learn", "Trusted Launch for Azure VMs", "2026"),
        ],
        applies: Applies::ALWAYS,
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    if !guest.goal.target.secure_boot {
        return Ok(Finding::NotApplicable("the target has no Secure Boot"));
    }
    let of_amazon = guest.facts.os.as_ref().filter(|os| os.family == Family::Amazon);
    let evidence = of_amazon.map(|os| {
        Evidence::new(Place::DISK, format!("the loaders of {} are signed by Amazon", os.pretty_name))
    });
    Ok(Finding::from_evidence(evidence.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::azure;
    use crate::rules::testing::Bench;

    #[test]
    fn amazon_linux_does_not_start_with_secure_boot() {
        let amazon = Bench::debian().file("/etc/os-release", "ID=amzn\nPRETTY_NAME=\"Amazon Linux 2023\"\n");
        assert_eq!(amazon.findings(&RULE), [""; 0]);
        let gen2 = amazon.target(&azure::GEN2);
        assert_eq!(gen2.findings(&RULE), ["disk: the loaders of Amazon Linux 2023 are signed by Amazon"]);
        gen2.by_hand(&RULE);
        assert_eq!(Bench::debian().target(&azure::GEN2).findings(&RULE), [""; 0]);
    }
}

//! target.secure-boot

use crate::facts::Family;
use crate::rule::Evidence;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, Target};

/// A guest whose boot loader Azure's firmware does not trust.
pub(in crate::rules) struct SecureBoot;

static META: RuleMeta = RuleMeta {
    id: "target.secure-boot",
    title: "the boot loader is signed for the Secure Boot of Azure",
    phase: Phase::Layout,
    severity: Severity::Note,
    cause: "Azure's generation 2 can have Secure Boot, and then starts what Microsoft has signed. The loaders of Amazon Linux are signed by Amazon: \
            with Secure Boot such a machine does not start.",
    fix: "None: no signature is changed here. Secure Boot is an option of the machine on Azure.",
    source: "AWS, AL2023 user guide, UEFI Secure Boot, 2026; Microsoft Learn, Trusted Launch for Azure VMs, 2026",
};

impl Rule for SecureBoot {
    fn meta(&self) -> &'static RuleMeta {
        &META
    }

    fn detect(&self, guest: &Guest<'_>) -> Result<Finding> {
        if guest.goal.target != Target::AzureGen2 {
            return Ok(Finding::NotApplicable("generation 1 has no Secure Boot"));
        }
        let of_amazon = guest.facts.os.as_ref().filter(|os| os.family == Family::Amazon);
        let evidence = of_amazon.map(|os| {
            Evidence::new("disk", format!("the loaders of {} are signed by Amazon", os.pretty_name))
        });
        Ok(Finding::from_evidence(evidence.into_iter().collect()))
    }

    fn fix(&self, _stage: &mut Stage<'_>) -> Result<Fixed> {
        Ok(Fixed::ByHand(
            "create the machine on Azure with the security type Standard, or with Secure Boot off".into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn amazon_linux_does_not_start_with_secure_boot() {
        let amazon = Bench::debian().file("/etc/os-release", "ID=amzn\nPRETTY_NAME=\"Amazon Linux 2023\"\n");
        assert_eq!(amazon.findings(&SecureBoot), [""; 0]);
        let gen2 = amazon.target(Target::AzureGen2);
        assert_eq!(
            gen2.findings(&SecureBoot),
            ["disk: the loaders of Amazon Linux 2023 are signed by Amazon"]
        );
        gen2.by_hand(&SecureBoot);
        assert_eq!(Bench::debian().target(Target::AzureGen2).findings(&SecureBoot), [""; 0]);
    }
}

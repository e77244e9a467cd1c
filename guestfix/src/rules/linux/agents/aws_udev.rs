//! linux.aws.udev

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::rules::linux::aside;
use crate::rules::linux::udev_rules::{self, OWN, in_force};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// Rules of udev for the devices of EC2.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.aws.udev",
        title: "udev has no rule that is for the devices of EC2 only",
        pack: Pack::Linux,
        phase: Phase::Identity,
        severity: Severity::Warning,
        cause: "amazon-ec2-utils and ec2-net-utils give disks, clocks and network cards of EC2 their names \
                and settings, and run programs for them. Their own 60-cdrom_id.rules keeps udev from seeing \
                a CD-ROM, by which Azure hands a machine its settings.",
        fix: "Packaged rules are masked by a link to /dev/null in /etc/udev/rules.d, rules in /etc are kept \
              aside; the system's own 60-cdrom_id.rules counts again.",
        source: &[
            Source::new("amazonlinux/amazon-ec2-utils and amazon-ec2-net-utils", "", "2026"),
            Source::new("udev(7)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const RULES: &[&str] = &[
    "51-ec2-ena-ptp-device.rules",
    "51-ec2-hvm-devices.rules",
    "51-ec2-xen-vbd-devices.rules",
    "52-ec2-vcpu.rules",
    "53-ec2-network-interfaces.rules",
    "53-ec2-read-ahead-kb.rules",
    "70-ec2-nvme-devices.rules",
    "99-vpc-policy-routes.rules",
];
/// The system has one of this name too, which one in /etc hides.
const CDROM: &str = "60-cdrom_id.rules";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for name in RULES {
        let file = in_force(guest.view, name)?;
        evidence.extend(file.map(|file| Evidence::new(file, "is for devices of EC2")));
    }
    let hidden = hides_cdrom(guest.view)?;
    evidence.extend(hidden.map(|file| Evidence::new(file, "keeps udev from seeing a CD-ROM")));
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    for name in RULES {
        udev_rules::disable(stage, name)?;
    }
    if let Some(file) = hides_cdrom(stage.guest()?.view)? {
        aside::take(stage, &file)?;
    }
    Ok(Fixed::Staged)
}

/// The file in /etc that hides the system's rules for CD-ROMs, if it has no rule in their place.
fn hides_cdrom(view: &dyn View) -> Result<Option<String>> {
    let own = format!("{OWN}/{CDROM}");
    if view.lstat(&own)?.is_none() {
        return Ok(None);
    }
    let text = view.text(&own)?.unwrap_or_default();
    Ok((!text.contains("cdrom_id --")).then_some(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::linux::udev_rules::PACKAGED;
    use crate::rules::testing::Bench;

    #[test]
    fn packaged_rules_are_masked_and_own_ones_kept_aside() {
        let (packaged, own) =
            (format!("{}/70-ec2-nvme-devices.rules", PACKAGED[0]), format!("{OWN}/51-ec2-hvm-devices.rules"));
        let bench = Bench::debian().file(&packaged, "# x\n").file(&own, "# y\n");
        assert_eq!(
            bench.findings(&RULE),
            [format!("{own}: is for devices of EC2"), format!("{packaged}: is for devices of EC2")]
        );
        bench.mended(&RULE, |view| {
            let mask = view.read_link(&format!("{OWN}/70-ec2-nvme-devices.rules")).unwrap();
            assert_eq!(mask.as_deref(), Some("/dev/null"));
            assert!(!view.exists(&own).unwrap());
            assert_eq!(view.text(&format!("{own}.pre-azure")).unwrap().as_deref(), Some("# y\n"));
        });
    }

    #[test]
    fn an_override_that_hides_cd_roms_goes() {
        let own = format!("{OWN}/{CDROM}");
        let hidden = [
            Bench::debian().link(&own, "/dev/null"),
            Bench::debian().file(&own, "# Copyright Amazon\n# no CD-ROM here\n"),
        ];
        for bench in hidden {
            assert_eq!(bench.findings(&RULE), [format!("{own}: keeps udev from seeing a CD-ROM")]);
            bench.mended(&RULE, |view| assert!(view.lstat(&own).unwrap().is_none()));
        }
        let other = Bench::debian().file(&own, "IMPORT{program}=\"cdrom_id --lock-media $devnode\"\n");
        assert_eq!(other.findings(&RULE), [""; 0]);
    }
}

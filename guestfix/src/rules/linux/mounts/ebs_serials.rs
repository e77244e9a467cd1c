//! linux.ebs-serials

use crate::rule::{Applies, Pack, Source};
use crate::rules::linux::linewise;
use crate::text::Line;
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity, View};

/// Rules that know a disk by what EBS calls it.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.ebs-serials",
        title: "neither udev nor multipath know a disk by its serial number of EBS",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Warning,
        cause: "A disk of Azure has another serial number, model and vendor than the EBS volume that it was \
                copied from: links, names and options that are given by those are missing, and multipath \
                takes disks for its own that it was told to leave.",
        fix: "name these disks by UUID, or by their LUN on Azure (/dev/disk/azure/scsi1/lun0)",
        source: &[
            Source::new("multipath.conf(5)", "", "2026-11"),
            Source::new("AWS EC2 user guide", "EBS and NVMe", "2026"),
            Source::new("Microsoft Learn", "Troubleshoot Linux VM device name changes", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: None,
};

/// The beginning of an EBS volume's WWID, its model, PCI vendor, and its serial number.
const MARKS: [&str; 5] =
    ["nvme.1d0f-", "Amazon Elastic Block Store", "Amazon_Elastic_Block_Store", "0x1d0f", "Amazon EC2 NVMe"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let named = |line: &Line<'_>| names_ebs(line).then(|| line.body.trim().to_owned());
    Ok(Finding::from_evidence(linewise::faults(guest.view, &files(guest.view)?, named)?))
}

/// Multipath's configuration and the administrator's own rules; packaged ones are the business of
/// linux.aws.udev.
fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut files = vec!["/etc/multipath.conf".to_owned()];
    files.extend(view.glob("/etc/multipath/conf.d", ".conf")?);
    files
        .extend(view.glob("/etc/udev/rules.d", ".rules")?.into_iter().filter(|file| !file.contains("-ec2-")));
    Ok(files)
}

fn names_ebs(line: &Line<'_>) -> bool {
    let body = line.body.trim_start();
    !body.starts_with(['#', '!']) && MARKS.iter().any(|mark| body.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn lines_that_know_ebs_are_named() {
        let multipath = "blacklist {\n\tdevice {\n\t\tvendor \"NVME\"\n\t\tproduct \"Amazon Elastic Block Store\"\n\t}\n}\n";
        let rule = "/etc/udev/rules.d/99-data.rules";
        let bench = Bench::debian()
            .file("/etc/multipath.conf", multipath)
            .file(rule, "# by serial\nENV{ID_WWN}==\"nvme.1d0f-766f6c30\", SYMLINK+=\"data\"\n");
        let found = bench.findings(&RULE);
        assert_eq!(found[0], "/etc/multipath.conf:4: product \"Amazon Elastic Block Store\"");
        assert!(found.len() == 2 && found[1].starts_with(&format!("{rule}:2: ")), "{found:?}");
        bench.by_hand(&RULE);
        let fine = Bench::debian()
            .file("/etc/multipath.conf", "defaults {\n\tfind_multipaths yes\n}\n# nvme.1d0f-\n")
            .file(
                "/etc/udev/rules.d/70-ec2-nvme-devices.rules",
                "ATTR{model}==\"Amazon Elastic Block Store\"\n",
            );
        assert_eq!(fine.findings(&RULE), [""; 0]);
    }
}

//! linux.lvm.filters

use crate::facts::{Machine, SignatureKind};
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::lvm_conf::{self, Setting};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// LVM that is told to look at the disks of EC2 only.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.lvm.filters",
        title: "LVM looks at the disks of Azure",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Blocker,
        cause: "A filter that accepts /dev/xvd* or /dev/nvme* and rejects all else hides the physical \
                volumes on /dev/sd*: volume groups are not found, and what is on them is not mounted.",
        fix: "Patterns that accept /dev/sd* and /dev/nvme* are put in front of those that there are; the \
              first that matches counts.",
        source: &[
            Source::new("lvm.conf(5)", "filter and global_filter", "2026-11"),
            Source::new("Azure/AzMigrate-Hydration 4337598c", "update_lvm_conf", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const FILES: [&str; 2] = ["/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"];
const FILTERS: [&str; 2] = ["devices/filter", "devices/global_filter"];
/// What is put in front.
const ACCEPT: &[&str] = &["a|^/dev/sd|", "a|^/dev/nvme|"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for file in FILES {
        let text = guest.view.text(file)?.unwrap_or_default();
        for setting in narrow(&text, guest.view.machine()) {
            let what = format!("{} hides the disks of Azure: {}", setting.name, setting.values.join(", "));
            evidence.push(Evidence::new(Place::line(file, setting.line), what));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let machine = stage.guest()?.view.machine().clone();
    for file in FILES {
        stage.edit(file, |text| widened(text, &machine))?;
    }
    Ok(Fixed::Staged)
}

/// The filters that let no disk of Azure through.
pub(in crate::rules) fn narrow(text: &str, machine: &Machine) -> Vec<Setting> {
    let mut settings = lvm_conf::settings(text);
    settings.retain(|setting| FILTERS.contains(&setting.name.as_str()) && hides(&setting.values, machine));
    settings
}

/// The text with all filters wide enough.
pub(in crate::rules) fn widened(text: &str, machine: &Machine) -> String {
    let mut text = text.to_owned();
    // from the end, so that what was found before stays where it is
    for setting in narrow(&text, machine).iter().rev() {
        text = lvm_conf::put_first(&text, setting, ACCEPT);
    }
    text
}

/// Whether a filter hides the physical volumes of this disk; of another one, where this has none.
fn hides(filter: &[String], machine: &Machine) -> bool {
    let volumes = machine.volumes.iter().filter(|volume| volume.kind == Some(SignatureKind::Lvm2));
    let mut disks: Vec<(String, String)> = volumes
        .map(|volume| {
            let number = Some(volume.number).filter(|number| *number != 0);
            let partuuid = volume.partuuid.as_deref().unwrap_or_default();
            let number = number.map(|number| number.to_string()).unwrap_or_default();
            (format!("/dev/sda{number}"), format!("/dev/disk/by-partuuid/{partuuid}"))
        })
        .collect();
    if disks.is_empty() {
        disks.push(("/dev/sdc".into(), "/dev/sdc".into()));
    }
    disks.iter().any(|(name, alias)| !lvm_conf::accepts(filter, &[name, alias]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn filters_for_ec2_are_widened_in_place() {
        let text = "devices {\n\tfilter = [ \"a|^/dev/nvme0n1p2$|\", \"r|.*|\" ] # ours\n\tglobal_filter = [\"r|^/dev/sd.*|\"]\n}\n";
        let bench = Bench::debian().file(FILES[0], text);
        assert_eq!(
            bench.findings(&RULE),
            [
                "/etc/lvm/lvm.conf:2: devices/filter hides the disks of Azure: a|^/dev/nvme0n1p2$|, r|.*|",
                "/etc/lvm/lvm.conf:3: devices/global_filter hides the disks of Azure: r|^/dev/sd.*|"
            ]
        );
        let front = "\"a|^/dev/sd|\", \"a|^/dev/nvme|\", ";
        let expected = text
            .replace("[ \"a|^/dev/nvme0", &format!("[ {front}\"a|^/dev/nvme0"))
            .replace("[\"r|", &format!("[ {front}\"r|"));
        assert_eq!(bench.mended_text(&RULE, FILES[0]), expected);
    }

    #[test]
    fn filters_that_let_the_disk_through_stay() {
        for fine in [
            "devices {\n# filter = [ \"r|.*|\" ]\n}\n",
            "devices { filter = [ \"a|/dev/sd.*|\", \"r|.*|\" ] }\n",
            "devices { filter = [ \"r|/dev/cdrom|\" ] }\n",
            "devices/filter=[\"a|.*|\"]\n",
        ] {
            assert_eq!(Bench::debian().file(FILES[1], fine).findings(&RULE), [""; 0], "{fine}");
        }
        let lvm = Bench::debian()
            .machine(|machine| machine.volumes[1].kind = Some(SignatureKind::Lvm2))
            .file(FILES[0], "devices { filter = [ \"a|^/dev/sda2$|\", \"r|.*|\" ] }\n");
        assert_eq!(lvm.findings(&RULE), [""; 0]);
    }
}

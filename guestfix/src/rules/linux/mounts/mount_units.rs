//! linux.mount-units

use super::fstab;
use super::fstab::Patience;
use crate::facts::Mount;
use crate::inspect::devices;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::rules::linux::{aside, systemd};
use crate::text::fstab::Change;
use crate::text::{append, ini};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// Units of systemd that mount what is not there, or is there under another name.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.mount-units",
        title: "no unit of systemd mounts a disk by its name on EC2",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Warning,
        cause: "A .mount or .swap unit is a line of fstab in another place: with What=/dev/nvme1n1 it waits \
                90 s for a disk that never comes, or takes another one on Azure.",
        fix: "A volume of this disk is named by its UUID; a swap unit, whose file name is its device, \
              becomes a line of fstab. A unit for a disk or a service of AWS is kept aside and no longer \
              started.",
        source: &[
            Source::new("systemd.mount(5)", "", "2026-11"),
            Source::new("systemd.swap(5)", "", "2026-11"),
            Source::new("systemd.automount(5)", "", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const DIR: &str = "/etc/systemd/system";

/// A unit with a fault.
struct Hit {
    file: String,
    line: usize,
    what: String,
    mend: Mend,
}

enum Mend {
    /// `What=` becomes this.
    What(String),
    /// The unit becomes this line of fstab.
    Fstab(String),
    /// The unit goes.
    Aside,
    /// Nobody can tell which volume is meant, or it has no name that holds.
    ByHand(String),
}

impl Mend {
    fn by_hand(&self) -> Option<&str> {
        match self {
            Self::ByHand(what) => Some(what),
            _ => None,
        }
    }
}

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let evidence = |hit: Hit| Evidence::new(Place::line(&hit.file, hit.line), hit.what);
    Ok(Finding::from_evidence(hits(guest)?.into_iter().map(evidence).collect()))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let hits = hits(&stage.guest()?)?;
    if let Some(what) = hits.iter().find_map(|hit| hit.mend.by_hand()) {
        return Ok(Fixed::ByHand(what.to_owned()));
    }
    for hit in hits {
        match hit.mend {
            Mend::What(what) => {
                stage.edit(&hit.file, |text| {
                    ini::edit(text, |entry| (entry.line == hit.line).then(|| what.clone()))
                })?;
            }
            Mend::Fstab(line) => {
                let fstab = stage.guest()?.view.text("/etc/fstab")?.unwrap_or_default();
                stage.put("/etc/fstab", append(&fstab, &line))?;
                put_aside(stage, &hit.file)?;
            }
            Mend::Aside => {
                put_aside(stage, &hit.file)?;
                let automount = hit.file.replace(".mount", ".automount");
                put_aside(stage, &automount)?;
            }
            Mend::ByHand(_) => {}
        }
    }
    Ok(Fixed::Staged)
}

/// Takes a unit away, with the links that start it.
fn put_aside(stage: &mut Stage<'_>, file: &str) -> Result<()> {
    let unit = file.rsplit('/').next().unwrap_or(file);
    systemd::unlink(stage, unit)?;
    aside::take(stage, file)
}

fn hits(guest: &Guest<'_>) -> Result<Vec<Hit>> {
    let (mut out, patience) = (Vec::new(), Patience::of(guest.view)?);
    for (suffix, section) in [(".mount", "Mount"), (".swap", "Swap")] {
        for file in guest.view.glob(DIR, suffix)? {
            let text = guest.view.text(&file)?.unwrap_or_default();
            let entries = ini::entries(&text);
            let get = |key: &str| entries.iter().rfind(|entry| entry.section == section && entry.key == key);
            let Some(what) = get("What") else { continue };
            let value = |key: &str| get(key).map(|entry| entry.value.to_owned()).unwrap_or_default();
            let machine = guest.view.machine();
            let volume = devices::resolve(machine, what.value, devices::root_spec(guest.facts));
            let mount = Mount {
                line: what.line,
                spec: what.value.to_owned(),
                target: if section == "Swap" { "none".into() } else { value("Where") },
                kind: if section == "Swap" { "swap".into() } else { value("Type") },
                options: value("Options"),
                volume: volume.map(|volume| volume.name.clone()),
            };
            let Some((_, fault, change)) = fstab::judge(&mount, machine, &patience) else { continue };
            let mend = match change {
                Some(Change::Spec(spec)) if section == "Swap" => {
                    Mend::Fstab(format!("{spec} none swap sw 0 0"))
                }
                Some(Change::Spec(spec)) => Mend::What(device_path(&spec)),
                Some(Change::CommentOut(_)) => Mend::Aside,
                // a unit is not required unless somebody says so: what may come late may do so
                Some(Change::AddOptions(_) | Change::Options(_)) => continue,
                None => Mend::ByHand(fstab::by_hand(machine, what.value, &format!("{file}:{}", what.line))),
            };
            out.push(Hit { file, line: what.line, what: fault, mend });
        }
    }
    Ok(out)
}

/// The device node that udev makes for a tag.
fn device_path(spec: &str) -> String {
    match spec.split_once('=') {
        Some((tag, value)) => format!("/dev/disk/by-{}/{value}", tag.to_ascii_lowercase()),
        None => spec.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{BOOT_UUID, Bench, ROOT_UUID};

    #[test]
    fn a_volume_of_this_disk_is_named_by_its_uuid() {
        let unit = format!("{DIR}/srv.mount");
        let text = "[Unit]\nDescription=x\n[Mount]\nWhat=/dev/xvda1\nWhere=/srv\nType=ext4\n";
        let bench = Bench::debian().file(&unit, text);
        assert_eq!(
            bench.findings(&RULE),
            [format!("{unit}:4: /srv is mounted from /dev/xvda1, a name that p1 has only on EC2")]
        );
        assert_eq!(
            bench.mended_text(&RULE, &unit),
            text.replace("/dev/xvda1", &format!("/dev/disk/by-uuid/{ROOT_UUID}"))
        );
    }

    #[test]
    fn a_unit_for_another_disk_goes_with_what_starts_it() {
        let wants = format!("{DIR}/local-fs.target.wants/data.automount");
        let bench = Bench::debian()
            .file(&format!("{DIR}/data.mount"), "[Mount]\nWhat=/dev/nvme1n1\nWhere=/data\n")
            .file(&format!("{DIR}/data.automount"), "[Automount]\nWhere=/data\n")
            .link(&wants, &format!("{DIR}/data.automount"));
        bench.mended(&RULE, |view| {
            for gone in [wants.as_str(), &format!("{DIR}/data.mount"), &format!("{DIR}/data.automount")] {
                assert!(view.lstat(gone).unwrap().is_none(), "{gone}");
            }
            assert!(view.exists(&format!("{DIR}/data.mount.pre-azure")).unwrap());
        });
    }

    #[test]
    fn a_unit_for_one_of_the_disks_that_are_here_stays_until_it_is_known_which() {
        let unit = format!("{DIR}/data.mount");
        let text = "[Mount]\nWhat=/dev/nvme1n1\nWhere=/data\n";
        let bench = Bench::debian().with_data_disk().file(&unit, text);
        let found = bench.findings(&RULE);
        assert!(found.len() == 1 && found[0].contains("a name of EC2 that may mean disk2"), "{found:?}");
        let what = bench.by_hand(&RULE);
        assert!(what.contains(&format!("{unit}:2")) && what.contains("disk2 is UUID=da7a"), "{what}");
    }

    #[test]
    fn a_swap_unit_becomes_a_line_of_fstab() {
        let unit = format!("{DIR}/dev-nvme0n1p2.swap");
        let bench = Bench::debian().file(&unit, "[Swap]\nWhat=/dev/nvme0n1p2\n");
        bench.mended(&RULE, |view| {
            assert!(!view.exists(&unit).unwrap());
            let fstab = view.text("/etc/fstab").unwrap().unwrap();
            assert!(fstab.ends_with(&format!("\nUUID={BOOT_UUID} none swap sw 0 0\n")), "{fstab}");
        });
    }

    #[test]
    fn units_that_name_no_disk_of_ec2_stay() {
        let bench = Bench::debian()
            .file(&format!("{DIR}/a.mount"), "[Mount]\nWhat=tmpfs\nWhere=/a\nType=tmpfs\n")
            .file(&format!("{DIR}/b.mount"), "[Mount]\nWhat=/dev/disk/by-label/data\nWhere=/b\n")
            .file(&format!("{DIR}/c.swap"), "[Swap]\nWhat=/swapfile\n");
        assert_eq!(bench.findings(&RULE), [""; 0]);
    }
}

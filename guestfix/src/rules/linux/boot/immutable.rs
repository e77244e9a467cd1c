//! linux.immutable

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A system whose files are not its own to change.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.immutable",
        title: "the system is one that is changed by its files",
        pack: Pack::Linux,
        phase: Phase::Layout,
        severity: Severity::Blocker,
        cause: "Some systems are images that are replaced as a whole: what is edited in them is checked and \
                refused, or gone after the next update.",
        fix: "None: such a system is set up anew on Azure from its own image for Azure, and its data moved.",
        source: &[
            Source::new("Microsoft Learn", "Flatcar Container Linux on Azure", "2026"),
            Source::new("ostree", "bootc, Bottlerocket, Talos and MicroOS documentation", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

/// What a system is known by, its name, and what to do.
struct Known {
    /// `ID` of os-release.
    ids: &'static [&'static str],
    /// A path that only it has.
    paths: &'static [&'static str],
    /// What the name of one of its partitions begins with.
    partlabel: Option<&'static str>,
    name: &'static str,
    advice: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        ids: &["flatcar", "coreos"],
        paths: &["/usr/share/flatcar"],
        partlabel: Some("USR-A"),
        name: "Flatcar Container Linux",
        advice: "deploy Flatcar's own image for Azure with the same Ignition configuration (flatcar.oem.id=azure), and move the data",
    },
    Known {
        ids: &["bottlerocket"],
        paths: &[],
        partlabel: Some("BOTTLEROCKET-"),
        name: "Bottlerocket",
        advice: "Bottlerocket is made for AWS: run its containers on another system",
    },
    Known {
        ids: &["talos"],
        paths: &["/usr/share/talos"],
        partlabel: None,
        name: "Talos Linux",
        advice: "deploy Talos' own image for Azure with the same machine configuration",
    },
    Known {
        ids: &["nixos"],
        paths: &["/nix/var/nix/profiles/system"],
        partlabel: None,
        name: "NixOS",
        advice: "add <nixpkgs/nixos/modules/virtualisation/azure-common.nix> to the configuration in the running machine, rebuild, and take \
                 a new snapshot",
    },
    Known {
        ids: &["opensuse-microos", "sle-micro", "sl-micro"],
        paths: &["/usr/lib/systemd/system/transactional-update.service"],
        partlabel: None,
        name: "a system of transactional-update",
        advice: "deploy its own image for Azure, or add the drivers by transactional-update in the running machine, and take a new snapshot",
    },
    Known {
        ids: &[],
        paths: &["/ostree/deploy", "/sysroot/ostree", "/ostree/repo"],
        partlabel: None,
        name: "an ostree system",
        advice: "add the drivers in the running machine (rpm-ostree initramfs --enable --arg=--add-drivers --arg=DRIVERS; \
                 rpm-ostree kargs for the rest), and take a new snapshot",
    },
];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let found = known(guest)?;
    Ok(Finding::from_evidence(
        found.map(|(place, known)| Evidence::new(place, known.name)).into_iter().collect(),
    ))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let found = known(&stage.guest()?)?;
    Ok(Fixed::ByHand(found.map(|(_, known)| known.advice.to_owned()).unwrap_or_default()))
}

/// Where the first of these shows, and which it is.
fn known(guest: &Guest<'_>) -> Result<Option<(String, &'static Known)>> {
    for known in KNOWN {
        if guest.facts.os.as_ref().is_some_and(|os| known.ids.contains(&os.id.as_str())) {
            return Ok(Some(("/etc/os-release".into(), known)));
        }
        for path in known.paths {
            if guest.view.exists(path)? {
                return Ok(Some(((*path).to_owned(), known)));
            }
        }
        let labelled = guest.view.machine().volumes.iter().find(|volume| {
            let label = volume.partlabel.as_deref().unwrap_or_default();
            known.partlabel.is_some_and(|start| label.starts_with(start))
        });
        if let Some(volume) = labelled {
            return Ok(Some((volume.name.clone(), known)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn systems_that_are_images_are_named() {
        for (bench, place, name) in [
            (
                Bench::debian().file("/etc/os-release", "ID=flatcar\n"),
                "/etc/os-release",
                "Flatcar Container Linux",
            ),
            (
                Bench::debian()
                    .machine(|machine| machine.volumes[0].partlabel = Some("BOTTLEROCKET-ROOT-A".into())),
                "p1",
                "Bottlerocket",
            ),
            (Bench::debian().file("/etc/os-release", "ID=talos\n"), "/etc/os-release", "Talos Linux"),
            (Bench::debian().file("/ostree/deploy/fedora/var", ""), "/ostree/deploy", "an ostree system"),
            (
                Bench::debian().file("/etc/os-release", "ID=\"sle-micro\"\nID_LIKE=\"suse\"\n"),
                "/etc/os-release",
                "a system of transactional-update",
            ),
        ] {
            assert_eq!(bench.findings(&RULE), [format!("{place}: {name}")]);
            assert!(bench.by_hand(&RULE).len() > 20);
        }
    }
}

//! linux.kernel.accelerated-networking

use crate::platform::azure;
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A kernel without drivers for the cards that accelerated networking passes through.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.kernel.accelerated-networking",
        title: "the kernel drives the cards of accelerated networking",
        pack: Pack::Linux,
        phase: Phase::Drivers,
        severity: Severity::Note,
        cause: "Which card a machine gets depends on the host: ConnectX-3 (mlx4), ConnectX-4 and 5 (mlx5) \
                or Microsoft's own (mana), and it may be another after each start. Without the driver all \
                traffic goes by the virtual card, which works and is slower.",
        fix: "if the network has to be fast, install a kernel that has the drivers (on Debian \
              linux-image-cloud-amd64)",
        source: &[
            Source::new(
                "Microsoft Learn",
                "How Accelerated Networking works in Linux, and Microsoft Azure Network Adapter",
                "2026",
            ),
            Source::new("Linux", "drivers/net/ethernet", "2026-11"),
        ],
        applies: Applies::LINUX.on(&azure::AZURE),
    },
    detect,
    fix: None,
};

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let Some(kernel) = guest.facts.default_kernel().filter(|kernel| kernel.modules.is_some()) else {
        return Ok(Finding::NotApplicable("it is not known which kernel boots"));
    };
    let drivers = &guest.goal.target.platform.drivers;
    if !kernel.has(drivers.bus) || !kernel.has(drivers.pci) {
        return Ok(Finding::NotApplicable("the kernel does not see such a card"));
    }
    let absent: Vec<&str> = drivers.cards.iter().copied().filter(|name| !kernel.has(name)).collect();
    let evidence = (!absent.is_empty()).then(|| {
        let place = kernel.modules.clone().unwrap_or_default();
        let drivers = if absent.len() == 1 { "driver" } else { "drivers" };
        Evidence::new(place, format!("{} lacks the {drivers} {}", kernel.version, absent.join(", ")))
    });
    Ok(Finding::from_evidence(evidence.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn cards_without_a_driver_are_named() {
        let dep = "/lib/modules/6.1.0-50-amd64/modules.dep";
        let bus = "kernel/drivers/hv/hv_vmbus.ko:\nkernel/drivers/pci/controller/pci-hyperv.ko:\n";
        let mellanox = "kernel/drivers/net/ethernet/mellanox/mlx4/mlx4_core.ko:\nkernel/drivers/net/ethernet/mellanox/mlx5/core/mlx5_core.ko:\n";
        let mana = "kernel/drivers/net/ethernet/microsoft/mana/mana.ko:\n";
        let place = "/lib/modules/6.1.0-50-amd64: 6.1.0-50-amd64 lacks the";
        for (modules, expected) in [
            (bus.to_owned(), vec![format!("{place} drivers mlx4_core, mlx5_core, mana")]),
            (format!("{bus}{mellanox}"), vec![format!("{place} driver mana")]),
            (format!("{bus}{mellanox}{mana}"), vec![]),
            (mana.to_owned(), vec![]),
        ] {
            let bench = Bench::debian().file(dep, &modules);
            assert_eq!(bench.findings(&RULE), expected);
        }
        Bench::debian().file(dep, bus).by_hand(&RULE);
    }
}

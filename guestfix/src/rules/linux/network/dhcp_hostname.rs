//! linux.network.dhcp-hostname

use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::shell_assign;
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage};

/// A SUSE system that is called what DHCP calls it.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.network.dhcp-hostname",
        title: "DHCP gives the machine no other name",
        pack: Pack::Linux,
        phase: Phase::Network,
        severity: Severity::Note,
        cause: "With DHCLIENT_SET_HOSTNAME the name that a DHCP server sends takes the place of the \
                machine's own. Azure's server sends one.",
        fix: "DHCLIENT_SET_HOSTNAME becomes \"no\".",
        source: &[
            Source::new("Microsoft Learn", "Prepare a SLES VM for Azure", "2026-09"),
            Source::new("SUSE", "/etc/sysconfig/network/dhcp", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const FILES: [&str; 2] = ["/etc/sysconfig/network/dhcp", "/etc/sysconfig/network/ifcfg-eth0"];
const KEY: &str = "DHCLIENT_SET_HOSTNAME";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut evidence = Vec::new();
    for file in FILES {
        let text = guest.view.text(file)?.unwrap_or_default();
        for one in shell_assign::assignments(&text) {
            if takes(&one) {
                evidence.push(Evidence::new(
                    Place::line(file, one.line),
                    format!("{KEY}={}: DHCP names the machine", one.value),
                ));
            }
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    for file in FILES {
        stage.edit(file, |text| shell_assign::edit(text, |one| takes(one).then(|| "no".to_owned())))?;
    }
    Ok(Fixed::Staged)
}

fn takes(one: &shell_assign::Assignment<'_>) -> bool {
    one.key == KEY && one.value == "yes"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn the_machine_keeps_its_name() {
        let text = "# x\nDHCLIENT_SET_HOSTNAME=\"yes\"\nDHCLIENT_MODIFY_RESOLV_CONF=\"yes\"\n";
        let bench = Bench::debian().file(FILES[0], text);
        assert_eq!(bench.findings(&RULE), [format!("{}:2: {KEY}=yes: DHCP names the machine", FILES[0])]);
        let mended = bench.mended_text(&RULE, FILES[0]);
        assert_eq!(mended, text.replacen("yes", "no", 1));
        assert_eq!(Bench::debian().file(FILES[0], mended).findings(&RULE), [""; 0]);
    }
}

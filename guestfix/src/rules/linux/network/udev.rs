//! udev: rules that give a card its name by its address.

use crate::rule::{Evidence, Place};
use crate::rules::linux::aside;
use crate::rules::linux::udev_rules::{self, OWN};
use crate::text::lines;
use crate::{Result, Stage, View};

/// Rules that write the rules above anew at each boot.
const GENERATORS: [&str; 2] = ["75-persistent-net-generator.rules", "85-persistent-net-cloud-init.rules"];

pub(super) fn faults(view: &dyn View) -> Result<Vec<Evidence>> {
    let mut out = Vec::new();
    for (file, line) in naming(view)? {
        out.push(Evidence::new(Place::line(&file, line), "names a network card by its address"));
    }
    for name in GENERATORS {
        let file = udev_rules::in_force(view, name)?;
        out.extend(file.map(|file| Evidence::new(file, "pins the names of network cards at each boot")));
    }
    Ok(out)
}

pub(super) fn mend(stage: &mut Stage<'_>) -> Result<()> {
    for (file, _) in naming(stage.guest()?.view)? {
        aside::take(stage, &file)?;
    }
    for name in GENERATORS {
        udev_rules::disable(stage, name)?;
    }
    Ok(())
}

/// Files of the administrator with a line that names a card by its address, and the first such line.
fn naming(view: &dyn View) -> Result<Vec<(String, usize)>> {
    let mut out = Vec::new();
    for file in view.glob(OWN, ".rules")? {
        if GENERATORS.iter().any(|name| file.ends_with(name)) {
            continue;
        }
        let text = view.text(&file)?.unwrap_or_default();
        let names = |body: &str| {
            !body.trim_start().starts_with('#')
                && body.contains("ATTR{address}==")
                && body.contains("NAME=\"")
                && body.contains("\"net\"")
        };
        let hit = lines(&text).find(|line| names(line.body));
        out.extend(hit.map(|line| (file.clone(), line.number)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use crate::rules::linux::network;
    use crate::rules::linux::udev_rules::PACKAGED;
    use crate::rules::testing::Bench;

    #[test]
    fn names_by_address_go_and_their_generator_is_masked() {
        let rules = "/etc/udev/rules.d/70-persistent-net.rules";
        let bench = Bench::debian()
            .file(rules, "# x\nSUBSYSTEM==\"net\", ATTR{address}==\"0a:ff\", NAME=\"eth0\"\n")
            .file("/usr/lib/udev/rules.d/75-persistent-net-generator.rules", "# x\n");
        assert_eq!(
            bench.findings(&network::RULE),
            [
                format!("{rules}:2: names a network card by its address"),
                format!(
                    "{}/75-persistent-net-generator.rules: pins the names of network cards at each boot",
                    PACKAGED[0]
                ),
                "/etc/network/interfaces: no stanza is for eth1".to_owned(),
            ]
        );
        bench.mended(&network::RULE, |view| {
            assert!(!view.exists(rules).unwrap() && view.exists(&format!("{rules}.pre-azure")).unwrap());
            let mask = view.read_link("/etc/udev/rules.d/75-persistent-net-generator.rules").unwrap();
            assert_eq!(mask.as_deref(), Some("/dev/null"));
        });
        let comments = Bench::debian().file(rules, "# nothing\n");
        assert_eq!(comments.findings(&network::RULE), [""; 0]);
    }
}

//! Services of systemd that the boot cannot do without: the unit, and the programs that it starts.

use super::{Hop, HopKind, MenuEntry};
use crate::systemd::{self, Unit};
use crate::text::cmdline;
use crate::{Result, View};

/// Why a service does not do its work, and where that is seen: its unit is missing or masked, or has nothing
/// to start, or what it starts is not there or not whole. `None` if nothing is wrong with it.
pub(super) fn fault(view: &dyn View, name: &str, arch: Option<&str>) -> Result<Option<(String, String)>> {
    let found = Unit::find(view, name)?;
    let Unit::There { path, .. } = &found else { return Ok(found.fault(name)) };
    Ok(systemd::cannot_run(view, name, path, arch)?.map(|why| (path.clone(), why)))
}

/// The hop at a unit that is needed and that the command line keeps from being started (systemd(1),
/// "systemd.mask").
pub(super) fn masked(kind: HopKind, entry: Option<&MenuEntry>, needed: impl Fn(&str) -> bool) -> Option<Hop> {
    let entry = entry?;
    let unit = cmdline::values(&entry.cmdline, "systemd.mask").into_iter().find(|unit| needed(unit))?;
    let why = format!("systemd.mask={unit} on the command line keeps it from being started");
    Some(Hop::blocked(kind, &entry.place, unit, why))
}

#[cfg(test)]
mod tests {
    use super::super::testing::debian;
    use super::*;
    use crate::elf::testing::library;
    use crate::rules::testing::Bench;

    const UNIT: &str = "/lib/systemd/system/x.service";

    fn wrong(bench: &Bench) -> Option<String> {
        bench.guest(|guest| fault(guest.view, "x.service", None).unwrap().map(|(_, why)| why))
    }

    #[test]
    fn a_service_needs_its_unit_and_its_programs() {
        let with = |command: &str| debian().file(UNIT, format!("[Service]\nExecStart={command}\n"));
        for command in
            ["/sbin/agetty %I", "-/sbin/agetty", "@/sbin/agetty x", "!!agetty", "\"/sbin/agetty\" x"]
        {
            assert_eq!(wrong(&with(command)), None, "{command}");
        }
        for (bench, why) in [
            (debian(), "x.service is not there"),
            (debian().link("/etc/systemd/system/x.service", "/dev/null"), "x.service is masked"),
            (debian().file(UNIT, "[Service]\n"), "x.service has no ExecStart="),
            (with("/usr/bin/gone"), "x.service is to start it, and /usr/bin/gone is not there"),
            (with("-/usr/bin/gone"), "x.service is to start it, and /usr/bin/gone is not there"),
            (with("gone"), "x.service is to start it, and gone is not installed"),
            (
                with("/sbin/agetty").program("/sbin/agetty", ""),
                "x.service is to start it, and /sbin/agetty is empty",
            ),
        ] {
            assert_eq!(wrong(&bench).as_deref(), Some(why));
        }
    }

    /// A masked network.target, and others like it: most units only come after it in the order.
    #[test]
    fn what_a_service_requires_is_not_masked() {
        let masked = |unit: &str| {
            debian()
                .file("/lib/systemd/system/network.target", "[Unit]\n")
                .link("/etc/systemd/system/network.target", "/dev/null")
                .file(UNIT, format!("[Unit]\n{unit}\n[Service]\nExecStart=/sbin/agetty\n"))
        };
        let after = "After=network.target\nWants=network.target\nRequires=basic.target sys-%i.device";
        assert_eq!(wrong(&masked(after)), None);
        let why = "x.service requires network.target, which is masked";
        for key in ["Requires", "Requisite", "BindsTo"] {
            let needs = masked(&format!("{key}=basic.target network.target"));
            assert_eq!(wrong(&needs).as_deref(), Some(why), "{key}");
        }
        let drop_in =
            masked("").file("/etc/systemd/system/x.service.d/a.conf", "[Unit]\nRequires=network.target\n");
        assert_eq!(wrong(&drop_in).as_deref(), Some(why));
    }

    #[test]
    fn a_drop_in_counts() {
        let unit = debian().file(UNIT, "[Service]\nExecStart=/usr/bin/gone\n");
        let mended = "[Service]\nExecStart=\nExecStart=/usr/bin/own\n";
        let bench = unit.file("/etc/systemd/system/x.service.d/site.conf", mended);
        assert!(wrong(&bench).unwrap().ends_with("/usr/bin/own is not there"));
        assert_eq!(wrong(&bench.program("/usr/bin/own", library(&[]))), None);
    }
}

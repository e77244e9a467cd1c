//! Services of systemd that the boot cannot do without: the unit, and the programs that it starts.

use super::{Hop, HopKind, MenuEntry};
use crate::systemd::Unit;
use crate::systemd::needs::{Fault, Start};
use crate::text::cmdline;
use crate::{Result, View};

/// Why a unit does not do its work: it is missing or masked, or has nothing to start, or what it starts is
/// not there or not whole, or a line keeps it from being started. `None` if nothing is wrong with it.
pub(super) fn fault(
    view: &dyn View,
    name: &str,
    arguments: &str,
    arch: Option<&str>,
) -> Result<Option<Fault>> {
    let found = Unit::find(view, name)?;
    let Unit::There { path, .. } = &found else {
        return Ok(found.fault(name).map(|(place, why)| Fault::sure(&place, why)));
    };
    Start { view, arguments: Some(arguments), arch }.fault(name, path)
}

/// The hop at what a faulty unit is needed for.
pub(super) fn hop(kind: HopKind, what: &str, fault: Fault) -> Hop {
    match fault.is_sure {
        true => Hop::blocked(kind, fault.place, what, fault.why),
        false => Hop::unknown(kind, fault.place, what, fault.why),
    }
}

/// The hop at a unit that is needed and that the command line keeps from being started (systemd(1),
/// "systemd.mask").
pub(super) fn masked(kind: HopKind, entry: Option<&MenuEntry>, needed: impl Fn(&str) -> bool) -> Option<Hop> {
    let entry = entry?;
    let mut masked = cmdline::values(&entry.cmdline, "systemd.mask").into_iter();
    // A name without a suffix is a service's.
    let is_needed = |unit: &str| needed(unit) || !unit.contains('.') && needed(&format!("{unit}.service"));
    let unit = masked.find(|unit| is_needed(unit))?;
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
        bench.guest(|guest| fault(guest.view, "x.service", "quiet", None).unwrap().map(|fault| fault.why))
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
        let after = "After=network.target\nWants=network.target\nRequires=sysinit.target sys-%i.device";
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
    fn each_directive_of_a_drop_in_is_judged() {
        let with = |folder: &str, lines: &str| {
            let unit = debian().file(UNIT, "[Service]\nExecStart=/sbin/agetty\n");
            unit.file(&format!("/etc/systemd/system/{folder}.d/a.conf"), lines)
        };
        for line in [
            "[Unit]\nConditionPathExists=/nope",
            "[Unit]\nConditionPathExists=!/etc/passwd",
            "[Unit]\nConditionPathExists=/sys/module/ena",
            "[Unit]\nConditionVirtualization=amazon",
            "[Unit]\nAssertVirtualization=xen",
            "[Unit]\nConditionVirtualization=|xen\nConditionVirtualization=|amazon",
            "[Unit]\nConditionKernelCommandLine=ec2",
            "[Unit]\nRequires=gone.service",
            "[Unit]\nBindsTo=dev-nvme1n1.device",
            "[Unit]\nRequires=dev-nvme1n1.device",
            "[Service]\nExecStartPre=/bin/false",
            "[Service]\nExecStartPre=/usr/bin/gone",
            "[Service]\nExecStartPre=/sbin/agetty",
            "[Service]\nExecStartPost=/bin/false",
            "[Service]\nUser=sshd",
            "[Service]\nSupplementaryGroups=ghost",
            "[Service]\nWorkingDirectory=/nope",
            "[Service]\nLimitNPROC=1",
            "[Service]\nMemoryMax=1M",
            "[Service]\nExecStart=\nExecStart=/bin/true",
            "[Service]\nUser=ghost",
            "[Service]\nGroup=ghost",
            "[Service]\nEnvironmentFile=/etc/gone",
            "[Service]\nIPAddressDeny=any",
            "[Service]\nPrivateNetwork=yes",
            "[Service]\nRootDirectory=/nope",
        ] {
            for folder in ["x.service", "service"] {
                assert!(wrong(&with(folder, line)).is_some(), "{folder}: {line}");
            }
        }
        for line in [
            "[Unit]\nConditionPathExists=/etc/passwd",
            "[Unit]\nConditionVirtualization=amazon\nConditionVirtualization=",
            "[Unit]\nConditionVirtualization=|xen\nConditionVirtualization=|microsoft",
            "[Unit]\nConditionVirtualization=!container",
            "[Unit]\nConditionKernelCommandLine=!ec2",
            "[Unit]\nAfter=gone.service\nWants=gone.service",
            "[Service]\nExecStartPre=-/bin/false",
            "[Unit]\nRequiresMountsFor=/nope/x",
            "[Service]\nDynamicUser=yes\nUser=ghost",
            "[Service]\nUser=root\nRestart=always\nLimitNOFILE=65536\nNice=3\nMemoryMax=2G",
            "[Service]\nWorkingDirectory=-/nope",
            "[Unit]\nConflicts=shutdown.target\nFailureAction=reboot",
            "[Service]\nEnvironmentFile=-/etc/gone\nPrivateNetwork=no",
        ] {
            assert_eq!(wrong(&with("x.service", line)), None, "{line}");
        }
    }

    #[test]
    fn what_is_said_of_its_slices_counts() {
        let unit = |lines: &str| debian().file(UNIT, format!("[Service]\nExecStart=/sbin/agetty\n{lines}"));
        let slice = |bench: Bench, name: &str, line: &str| {
            bench.file(&format!("/etc/systemd/system/{name}"), format!("[Slice]\n{line}\n"))
        };
        for (lines, name, line) in [
            ("", "system.slice.d/a.conf", "IPAddressDeny=any"),
            ("", "-.slice.d/a.conf", "IPAddressDeny=any"),
            ("", "slice.d/a.conf", "MemoryMax=1M"),
            ("Slice=a-b.slice", "a.slice", "MemoryMax=1M"),
            ("Slice=a-b.slice", "a-b.slice", "TasksMax=1"),
        ] {
            let found = wrong(&slice(unit(lines), name, line));
            assert!(found.as_ref().is_some_and(|why| why.ends_with(line)), "{name} {line}: {found:?}");
        }
        for (lines, name, line) in [
            ("", "system.slice.d/a.conf", "MemoryMax=2G\nCPUWeight=50"),
            ("", "user.slice.d/a.conf", "MemoryMax=1M"),
            ("", "a.slice", "MemoryMax=1M"),
            ("Slice=a.slice", "system.slice.d/a.conf", "IPAddressDeny=any"),
        ] {
            assert_eq!(wrong(&slice(unit(lines), name, line)), None, "{name} {line}");
        }
    }

    #[test]
    fn a_copy_of_a_packaged_unit_is_judged_by_what_differs() {
        let unit =
            "[Unit]\nConditionSecurity=x\n[Service]\nExecStart=/sbin/agetty\nMemoryDenyWriteExecute=yes\n";
        let copy = |text: &str| debian().file(UNIT, unit).file("/etc/systemd/system/x.service", text);
        assert_eq!(wrong(&copy(unit)), None);
        assert_eq!(wrong(&copy(&format!("{unit}Restart=always\n"))), None);
        let why = wrong(&copy(&format!("{unit}ProtectProc=invisible\n"))).unwrap();
        assert!(why.ends_with("does its work with ProtectProc=invisible"), "{why}");
    }

    #[test]
    fn what_a_unit_requires_is_judged_as_it_is() {
        let with = |other: &str| {
            debian()
                .file(UNIT, "[Unit]\nRequires=y.service\n[Service]\nExecStart=/sbin/agetty\n")
                .file("/lib/systemd/system/y.service", other)
        };
        for fine in [
            "[Service]\nType=oneshot\nExecStart=/sbin/agetty\n",
            "[Unit]\nConditionVirtualization=xen\n[Service]\nExecStart=/bin/gone\n",
            "[Unit]\nRequires=x.service\n[Service]\nExecStart=/sbin/agetty\n",
        ] {
            assert_eq!(wrong(&with(fine)), None, "{fine}");
        }
        for wrong_one in [
            "[Unit]\nAssertVirtualization=xen\n[Service]\nExecStart=/sbin/agetty\n",
            "[Service]\nExecStart=/bin/gone\n",
            "[Unit]\nBindsTo=dev-xvdf.device\n[Service]\nExecStart=/sbin/agetty\n",
        ] {
            let why = wrong(&with(wrong_one)).unwrap();
            assert!(why.starts_with("x.service requires y.service, which fails: "), "{why}");
        }
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

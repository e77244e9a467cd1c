//! Units that start along with the system, beside those that it needs, and that end it or keep it from its
//! logins. Those of packages are taken to be sound; the administrator's are judged.

mod cloud_init;
mod harm;
mod manager;
pub(super) mod tmpfiles;

use self::harm::Harm;
use super::{sshd, sysctl};
use crate::runs::When;
use crate::script::Script;
use crate::services::{self, RC_LOCAL};
use crate::systemd::conditions::{self, Verdict};
use crate::systemd::needs::{Directive, Fault, Start, base, directives, is_quick, program};
use crate::systemd::started::{self, GATES, Started};
use crate::systemd::{self, Pulled, Unit};
use crate::{Result, View, packaged, runs};

/// What configures the network.
pub(super) const MANAGERS: &[&str] = &[
    "NetworkManager.service",
    "network.service",
    "networking.service",
    "systemd-networkd.service",
    "wicked.service",
];

/// The first unit that ends the start, or of which nobody can tell whether it does.
pub(super) fn fault(start: &Start<'_>) -> Result<Option<Fault>> {
    let view = start.view;
    for script in RC_LOCAL {
        let is_run = view.stat(script)?.is_some_and(|node| node.mode & 0o111 != 0);
        let harm = if is_run { harm::of_all(view, &Script::of(view, script)?)? } else { None };
        if let Some(Harm { command, what, is_sure }) = harm {
            let why = format!("it is run at the end of the start, and {what}: {command}");
            return Ok(Some(Fault { place: (*script).to_owned(), why, is_sure }));
        }
    }
    // A snapshot's blocks are paid for: less of it is looked at.
    if !view.machine().remote {
        for part in [manager::fault, sysctl::fault, tmpfiles::fault, of_runs, cloud_init::fault] {
            if let Some(fault) = part(view)? {
                return Ok(Some(fault));
            }
        }
    }
    for Started { pulled, own, is_late } in started::all(view, start.arguments.unwrap_or_default())? {
        let name = &pulled.name;
        if !is_late && systemd::is_end(name) {
            let place = format!("{}/{}.wants/{name}", systemd::OWN, pulled.by.join(" "));
            return Ok(Some(Fault::sure(&place, format!("{name} is started, and ends the system"))));
        }
        let Some(own) = own.filter(|_| !name.ends_with(".timer")) else { continue };
        let found = match is_late {
            true => later(start, &pulled, &own)?,
            false => of_unit(start, &pulled, &own)?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What cron, udev and the hooks of cards run, and that cuts the machine off.
fn of_runs(view: &dyn View) -> Result<Option<Fault>> {
    for run in runs::beside_units(view)? {
        let Some(Harm { command, what, is_sure }) = harm::of_all(view, &Script::of_text(&run.text))? else {
            continue;
        };
        let ends = what == harm::ENDS;
        let (who, counts, is_sure) = match run.when {
            When::Start => ("it is run at each start", true, is_sure),
            // The network's own hop tells what it does to the card.
            When::Card => ("it is run when a card comes up", ends || what == harm::STOPS, is_sure),
            When::Clock { is_often: true } => ("it is run every few minutes", true, is_sure),
            // A restart now and then is the administrator's wish; what stops at night may start in the morning.
            When::Clock { is_often: false } => ("it is run by the clock", !ends, false),
        };
        if counts && !packaged::is_of_package(view, &run.file)? {
            return Ok(Some(Fault {
                place: run.place(1),
                why: format!("{who}, and it {what}: {command}"),
                is_sure,
            }));
        }
    }
    Ok(None)
}

/// What a unit that a timer starts at other times does for good.
fn later(start: &Start<'_>, pulled: &Pulled, path: &str) -> Result<Option<Fault>> {
    let (view, name) = (start.view, pulled.name.as_str());
    for line in directives(view, name, path)?.iter().filter(|line| line.is_own) {
        if !line.key.starts_with("ExecStart") {
            continue;
        }
        let harm = harm::of_all(view, &Script::of(view, &line.value)?)?;
        if let Some(harm) = harm.filter(|harm| harm.what != harm::ENDS) {
            let why =
                format!("{} starts {name}, and it {}: {}", pulled.by.join(", "), harm.what, harm.command);
            return Ok(Some(Fault { place: line.file.clone(), why, is_sure: false }));
        }
    }
    Ok(None)
}

fn of_unit(start: &Start<'_>, pulled: &Pulled, path: &str) -> Result<Option<Fault>> {
    let (view, name) = (start.view, pulled.name.as_str());
    let all = directives(view, name, path)?;
    let doubtful = match conditions::judge(start, &all, "Condition")? {
        Verdict::Fails(_) => return Ok(None),
        Verdict::Unknown(line) => Some(format!("; whether {}={} holds cannot be told", line.key, line.value)),
        Verdict::Holds => None,
    };
    let doubted = |fault: Fault| match &doubtful {
        Some(doubt) => Fault { why: format!("{}{doubt}", fault.why), is_sure: false, ..fault },
        None => fault,
    };
    if let Some(fault) = ends(start, name, &all)? {
        return Ok(Some(doubted(fault)));
    }
    for line in all.iter().filter(|line| line.key == "Conflicts" && line.is_own) {
        for unit in line.value.split_whitespace() {
            let is_needed = GATES.contains(&unit)
                || (sshd::UNITS.contains(&unit) || MANAGERS.contains(&unit))
                    && services::is_started(view, unit)?;
            if is_needed {
                let why = format!("{name} is started, and stops {unit} (Conflicts=)");
                return Ok(Some(doubted(Fault::sure(&line.file, why))));
            }
        }
    }
    if pulled.is_required
        && let Some(fault) = start.fault(name, path)?
    {
        let why = format!("{} requires {name}: {}", pulled.by.join(", "), fault.why);
        return Ok(Some(Fault { why, ..fault }));
    }
    let failing = all.iter().find(|line| line.key == "ExecStart" && base(program(&line.value)) == "false");
    if let Some(line) = failing.filter(|_| pulled.is_required) {
        let why =
            format!("{} requires {name}, which fails: {}={}", pulled.by.join(", "), line.key, line.value);
        return Ok(Some(doubted(Fault::sure(&line.file, why))));
    }
    waits(start, pulled, &all)
}

/// Why what the logins come after may wait for this unit for ever.
fn waits(start: &Start<'_>, pulled: &Pulled, all: &[Directive]) -> Result<Option<Fault>> {
    let named = |key: &str| {
        let lines = all.iter().filter(|line| line.key == key);
        lines.flat_map(|line| line.value.split_whitespace()).collect::<Vec<_>>()
    };
    let is_gate = |unit: &&str| {
        sshd::UNITS.contains(unit)
            || GATES.contains(unit)
            || MANAGERS.contains(unit)
            || unit.contains("getty@")
    };
    // A target comes after what it pulls in.
    let by = pulled.by.iter().map(String::as_str).find(|by| GATES.contains(by));
    let gate = match named("Before").into_iter().find(is_gate).or(by) {
        None => follower(start.view, &pulled.name)?,
        gate => gate,
    };
    let Some(gate) = gate else { return Ok(None) };
    let has_end = |line: &Directive| {
        matches!(line.key.as_str(), "TimeoutStartSec" | "TimeoutSec")
            && !matches!(line.value.as_str(), "0" | "infinity")
    };
    let kind = named("Type").last().copied().unwrap_or("simple");
    if kind != "oneshot" || all.iter().any(has_end) {
        return Ok(None);
    }
    for line in all.iter().filter(|line| line.key.starts_with("ExecStart") && !is_quick(&line.value)) {
        if Script::of(start.view, &line.value)?.waits() {
            let why = format!(
                "nobody can tell whether {} ends, and {gate} waits for it: {}={}",
                pulled.name, line.key, line.value
            );
            return Ok(Some(Fault::unsure(&line.file, why)));
        }
    }
    Ok(None)
}

/// What the logins come after and that the administrator has put behind a unit.
fn follower(view: &dyn View, unit: &str) -> Result<Option<&'static str>> {
    for gate in sshd::UNITS.iter().chain(GATES).chain(MANAGERS) {
        let Unit::There { name, path } = Unit::find(view, gate)? else { continue };
        let all = directives(view, &name, &path)?;
        let mut after = all.iter().filter(|line| line.is_own && line.key == "After");
        if after.any(|line| line.value.split_whitespace().any(|other| other == unit)) {
            return Ok(Some(gate));
        }
    }
    Ok(None)
}

/// Why a unit ends the system once it is started.
fn ends(start: &Start<'_>, name: &str, all: &[Directive]) -> Result<Option<Fault>> {
    let is_oneshot = all.iter().any(|line| line.key == "Type" && line.value == "oneshot")
        || all.iter().any(|line| line.key == "ExecStart" && is_quick(&line.value));
    let mut is_failing = None;
    for line in all.iter().filter(|line| line.is_own) {
        let Directive { file, key, value, .. } = line;
        let names_end = value.split_whitespace().any(systemd::is_end);
        let is_end = match key.as_str() {
            "Requires" | "Wants" | "BindsTo" | "Upholds" => names_end,
            "OnSuccess" => names_end && is_oneshot,
            "SuccessAction" => value != "none" && is_oneshot,
            "FailureAction" if value != "none" => {
                if is_failing.is_none() {
                    is_failing = Some(fails(start, name, all)?);
                }
                is_failing == Some(true)
            }
            "OnFailure" if names_end => fails(start, name, all)?,
            key if key.starts_with("ExecStart") => {
                if let Some(Harm { command, what, is_sure }) =
                    harm::of_all(start.view, &Script::of(start.view, value)?)?
                {
                    let why = format!("{name} is started, and {what}: {key}={value}");
                    let why = if value.contains(&command) { why } else { format!("{why}: {command}") };
                    return Ok(Some(Fault { place: file.clone(), why, is_sure }));
                }
                false
            }
            _ => false,
        };
        if is_end {
            let why = format!("{name} is started, and ends the system: {key}={value}");
            return Ok(Some(Fault::sure(file, why)));
        }
    }
    Ok(None)
}

/// Whether a unit surely fails.
fn fails(start: &Start<'_>, name: &str, all: &[Directive]) -> Result<bool> {
    let is_false = |line: &Directive| {
        line.key.starts_with("ExecStart")
            && base(program(&line.value)) == "false"
            && !line.value.starts_with('-')
    };
    if all.iter().any(is_false) {
        return Ok(true);
    }
    let Unit::There { path, .. } = Unit::find(start.view, name)? else { return Ok(false) };
    Ok(start.fault(name, &path)?.is_some_and(|fault| fault.is_sure))
}

#[cfg(test)]
mod tests {
    use super::super::testing::debian;
    use super::*;
    use crate::rules::testing::Bench;

    fn wrong(bench: &Bench) -> Option<Fault> {
        bench.guest(|guest| fault(&Start { view: guest.view, arguments: Some("quiet"), arch: None }).unwrap())
    }

    fn unit(target: &str, lines: &str) -> Bench {
        debian()
            .file("/etc/systemd/system/own.service", lines)
            .link(&format!("/etc/systemd/system/{target}/own.service"), "../own.service")
    }

    const WANTS: &str = "multi-user.target.wants";

    #[test]
    fn what_ends_the_system_is_seen() {
        assert_eq!(wrong(&debian()), None);
        for (target, lines) in [
            (WANTS, "[Service]\nType=oneshot\nExecStart=/sbin/poweroff\n"),
            (WANTS, "[Service]\nExecStart=-/usr/bin/systemctl --no-block reboot\n"),
            (WANTS, "[Service]\nExecStart=/bin/sh -c 'sleep 9; shutdown -h now'\n"),
            (WANTS, "[Unit]\nSuccessAction=poweroff\n[Service]\nExecStart=/bin/true\n"),
            (WANTS, "[Unit]\nFailureAction=reboot-force\n[Service]\nExecStart=/bin/false\n"),
            (WANTS, "[Unit]\nFailureAction=reboot-force\n[Service]\nExecStart=/opt/gone\n"),
            (WANTS, "[Unit]\nConflicts=ssh.service\n[Service]\nExecStart=/sbin/agetty\n"),
            (WANTS, "[Unit]\nWants=poweroff.target\n[Service]\nExecStart=/sbin/agetty\n"),
            ("sysinit.target.requires", "[Service]\nType=oneshot\nExecStart=/bin/false\n"),
        ] {
            assert!(wrong(&unit(target, lines)).is_some_and(|fault| fault.is_sure), "{lines}");
        }
        for lines in [
            "[Service]\nExecStart=/usr/local/bin/app\n",
            "[Service]\nExecStart=/usr/local/bin/app init reboot\n",
            "[Unit]\nFailureAction=reboot\n[Service]\nExecStart=/sbin/agetty\n",
            "[Unit]\nSuccessAction=poweroff\n[Service]\nExecStart=/sbin/agetty\n",
            "[Unit]\nConflicts=shutdown.target getty@tty1.service\n[Service]\nExecStart=/sbin/agetty\n",
            "[Unit]\nConditionVirtualization=amazon\n[Service]\nExecStart=/sbin/poweroff\n",
        ] {
            assert_eq!(wrong(&unit(WANTS, lines)), None, "{lines}");
        }
        let perhaps = "[Unit]\nConditionPathExists=/run/x\n[Service]\nExecStart=/sbin/poweroff\n";
        assert!(wrong(&unit(WANTS, perhaps)).is_some_and(|fault| !fault.is_sure));
        for lines in [
            "[Service]\nType=oneshot\nExecStart=/bin/systemctl stop ssh.service\n",
            "[Service]\nType=oneshot\nExecStart=/sbin/ip link set eth0 down\n",
        ] {
            assert!(wrong(&unit(WANTS, lines)).is_some_and(|fault| fault.is_sure), "{lines}");
        }
        let script = |text: &str| {
            unit(WANTS, "[Service]\nExecStart=/usr/local/sbin/x\n").program("/usr/local/sbin/x", text)
        };
        assert!(wrong(&script("#!/bin/sh\necho x\nreboot\n")).is_some());
        assert_eq!(wrong(&script("#!/bin/sh\nif [ -e /run/x ]; then\n  reboot\nfi\n")), None);
        let target = debian().link("/etc/systemd/system/multi-user.target.wants/reboot.target", "/lib/x");
        assert!(wrong(&target).is_some());
        let by_line = debian()
            .file("/etc/systemd/system/multi-user.target.d/a.conf", "[Unit]\nWants=first.service\n")
            .file(
                "/etc/systemd/system/first.service",
                "[Unit]\nWants=own.service\n[Service]\nExecStart=/bin/sh\n",
            )
            .file("/etc/systemd/system/own.service", "[Service]\nExecStart=/sbin/halt -p\n");
        assert!(wrong(&by_line).is_some_and(|fault| fault.why.starts_with("own.service is started")));
        let rc_local = |text: &str| debian().program("/etc/rc.local", text);
        assert!(wrong(&rc_local("#!/bin/sh -e\nshutdown -h now\nexit 0\n")).is_some());
        assert_eq!(wrong(&rc_local("#!/bin/sh -e\nexit 0\nshutdown -h now\n")), None);
    }

    #[test]
    fn a_timer_that_ends_the_system_soon_is_seen() {
        let timer = unit(WANTS, "[Service]\nExecStart=/sbin/reboot\n")
            .without("/etc/systemd/system/multi-user.target.wants/own.service")
            .link("/etc/systemd/system/timers.target.wants/own.timer", "../own.timer");
        let with =
            |line: &str| timer.clone().file("/etc/systemd/system/own.timer", format!("[Timer]\n{line}\n"));
        for soon in ["OnBootSec=10", "OnStartupSec=5min"] {
            assert!(wrong(&with(soon)).is_some(), "{soon}");
        }
        for late in ["OnCalendar=Sun", "OnBootSec=1week", "OnUnitActiveSec=10"] {
            assert_eq!(wrong(&with(late)), None, "{late}");
        }
    }

    #[test]
    fn what_systemd_is_told_and_what_is_run_at_a_start_is_judged() {
        let found = |path: &str, text: &str| wrong(&debian().file(path, text)).map(|fault| fault.is_sure);
        let conf = "/etc/systemd/system.conf.d/a.conf";
        for (line, sure) in [
            ("DefaultTimeoutStartSec=1ms", Some(true)),
            ("DefaultTimeoutStartSec=2s", Some(false)),
            ("DefaultTimeoutStartSec=30s", None),
            ("DefaultTimeoutStartSec=infinity", None),
            ("DefaultTimeoutStopSec=1s", None),
            ("DefaultEnvironment=LD_LIBRARY_PATH=/etc", Some(false)),
            ("DefaultEnvironment=LD_LIBRARY_PATH=/nope \"A=b\"", None),
            ("DefaultLimitNOFILE=3", Some(false)),
            ("DefaultLimitNOFILE=1024:524288", None),
            ("#DefaultTimeoutStartSec=1ms", None),
        ] {
            assert_eq!(found(conf, &format!("[Manager]\n{line}\n")), sure, "{line}");
        }
        let generator = |text: &str| wrong(&debian().program("/etc/systemd/system-generators/g", text));
        for text in ["#!/bin/sh\ncp /opt/x.service $1\n", "\u{7f}ELF", "#!/bin/sh\necho x > $1/x.service\n"] {
            assert_eq!(generator(text).map(|fault| fault.is_sure), Some(false), "{text}");
        }
        for text in
            ["#!/bin/sh\nexit 0\n", "#!/bin/sh\n# none\n", "#!/bin/sh\necho none\nexit 0\ncp /opt/x $1\n"]
        {
            assert_eq!(generator(text), None, "{text}");
        }
        let sysctl = "/etc/sysctl.d/z.conf";
        for (text, sure) in [
            ("vm.overcommit_memory=2\nvm.overcommit_ratio=0\n", Some(false)),
            ("vm/overcommit_memory = 2\nvm/overcommit_kbytes = 100\n", Some(false)),
            ("kernel.threads-max=20\n", Some(false)),
            ("-kernel.pid_max = 400\n", Some(false)),
            ("net.ipv4.conf.all.arp_ignore=8\n", Some(false)),
            ("vm.overcommit_memory=2\nvm.overcommit_ratio=80\n", None),
            ("vm.overcommit_ratio=0\nvm.overcommit_memory=1\n", None),
            ("kernel.threads-max=20\nkernel.threads-max=200000\n", None),
            ("kernel.pid_max=4194304\nfs.file-max=1000000\nnet.ipv4.conf.all.arp_ignore=1\n", None),
        ] {
            assert_eq!(found(sysctl, text), sure, "{text}");
        }
        for (line, sure) in [
            ("R! /etc/ssh", Some(true)),
            ("r! /etc/ssh/sshd_config", Some(true)),
            ("r /etc/ssh/ssh_host_*_key - - - -", Some(true)),
            ("D /etc/ssh 0755 root root -", Some(true)),
            ("r! /etc/ssh", None),
            ("R! /var/tmp/x", None),
            ("d /run/app 0755 app app -", None),
            ("R! /etc/ssh/*.bak", None),
            ("f+ /etc/nologin 0644 root root - closed", Some(true)),
            ("C /etc/nologin - - - - /opt/nologin", Some(true)),
            ("f /run/nologin", None),
            ("z /etc/ssh/ssh_host_*_key 0644 root root -", Some(true)),
            ("Z! /etc/ssh 0755", Some(true)),
            ("z /etc/ssh/ssh_host_*_key 0600", None),
            ("z /etc/ssh/*.pub 0644", None),
            ("Z /etc/ssh ~0644", None),
        ] {
            assert_eq!(found("/etc/tmpfiles.d/a.conf", &format!("{line}\n")), sure, "{line}");
        }
        let cron =
            debian().file("/lib/systemd/system/cron.service", "[Service]\nExecStart=/usr/sbin/cron\n").link(
                "/etc/systemd/system/multi-user.target.wants/cron.service",
                "/lib/systemd/system/cron.service",
            );
        for (file, line, is_fine) in [
            ("/etc/cron.d/x", "@reboot root /sbin/poweroff", false),
            ("/var/spool/cron/crontabs/root", "@reboot sleep 10; ip link set eth0 down", false),
            ("/var/spool/cron/crontabs/root", "*/2 * * * * /sbin/ip link set dev eth0 down", false),
            ("/etc/cron.d/x", "* * * * * root systemctl stop ssh", false),
            ("/etc/cron.d/x", "0 3 * * * root systemctl stop ssh", false),
            ("/etc/cron.d/x", "*/10 * * * * root /sbin/reboot", false),
            ("/etc/cron.d/x", "*/10 * * * * root ip route del default", false),
            ("/etc/cron.d/x", "0 4 * * * root systemctl stop ssh; tar c /x; systemctl start ssh", true),
            ("/var/spool/cron/crontabs/bob", "* * * * * /sbin/reboot", true),
            ("/etc/cron.d/x", "@reboot root /usr/local/bin/app", true),
            ("/etc/cron.d/x", "0 4 * * 0 root /sbin/reboot", true),
        ] {
            assert_eq!(wrong(&cron.clone().file(file, format!("{line}\n"))).is_none(), is_fine, "{line}");
        }
        assert_eq!(found("/etc/cron.d/x", "@reboot root /sbin/poweroff\n"), None, "cron is not started");
        let unit = "/lib/systemd/system/cloud-init.service";
        let cloud = debian()
            .file(unit, "[Service]\nExecStart=/usr/bin/cloud-init\n")
            .link("/etc/systemd/system/cloud-init.target.wants/cloud-init.service", unit);
        for (text, is_fine) in [
            ("bootcmd:\n - [ poweroff, -f ]\n", false),
            ("runcmd:\n  - ls\n  - systemctl stop ssh\n", false),
            ("power_state:\n  mode: poweroff\n  condition: true\n", false),
            ("power_state:\n  mode: reboot\n", true),
            ("runcmd:\n  - [systemctl, restart, ssh]\n", true),
        ] {
            let bench = cloud.clone().file("/etc/cloud/cloud.cfg.d/99.cfg", text);
            assert_eq!(wrong(&bench).is_none(), is_fine, "{text}");
            assert_eq!(wrong(&bench.file("/etc/cloud/cloud-init.disabled", "")), None, "{text}");
        }
    }

    #[test]
    fn a_script_that_waits_before_a_door_may_never_end() {
        let with = |unit_lines: &str, service: &str, text: &str| {
            let lines =
                format!("[Unit]\n{unit_lines}\n[Service]\n{service}\nExecStart=/usr/local/bin/wait\n");
            wrong(&unit(WANTS, &lines).program("/usr/local/bin/wait", text))
        };
        let metadata = "#!/bin/sh\nuntil curl -s http://169.254.169.254/latest/meta-data; do sleep 1; done\n";
        for before in ["Before=ssh.service", "Before=network-pre.target sysinit.target"] {
            assert!(with(before, "Type=oneshot", metadata).is_some_and(|fault| !fault.is_sure), "{before}");
        }
        assert_eq!(with("", "Type=oneshot", metadata), None, "nothing waits for it");
        let lines = "[Service]\nType=oneshot\nExecStart=/usr/local/bin/wait\n";
        let behind = unit(WANTS, lines)
            .program("/usr/local/bin/wait", metadata)
            .file("/etc/systemd/system/ssh.service.d/a.conf", "[Unit]\nAfter=own.service\n");
        assert!(wrong(&behind).is_some_and(|fault| fault.why.contains("ssh.service waits for it")));
        assert_eq!(with("Before=ssh.service", "Type=simple", metadata), None);
        assert_eq!(with("Before=ssh.service", "Type=oneshot\nTimeoutStartSec=30", metadata), None);
        let firewall = "#!/bin/sh\niptables -A INPUT -i lo -j ACCEPT\n";
        assert_eq!(with("Before=network-pre.target", "Type=oneshot", firewall), None);
        let sleeps =
            "[Unit]\nBefore=sysinit.target\n[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n";
        assert!(wrong(&unit("sysinit.target.wants", sleeps)).is_some());
    }
}

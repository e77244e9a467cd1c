//! linux.aws.time

use crate::platform::aws::CLOCK;
use crate::rule::{Applies, Pack, Source};
use crate::rules::linux::linewise;
use crate::text::{Line, append, comment_out, ini, lines, rewrite};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// A clock that follows AWS.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.aws.time",
        title: "the clock follows a source that is there on Azure",
        pack: Pack::Linux,
        phase: Phase::Agent,
        severity: Severity::Warning,
        cause: "EC2 has the clock of its host at a link-local address, ptp_ena that of its network card. On Azure \
                neither answers, and a clock that drifts breaks TLS and Kerberos in the end.",
        fix: "Lines that name them become comments. chrony gets the clock of the Azure host, \
              /dev/ptp_hyperv, where the kernel has it; where no source is left, public servers are added.",
        source: &[
            Source::new("Microsoft Learn", "Time sync for Linux VMs in Azure", "2026"),
            Source::new("AWS EC2 user guide", "Amazon Time Sync Service", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: Some(fix),
};

const WHY: &str = "a clock of AWS";
const REFCLOCK: &str = "refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2";
const POOL: &str = "pool pool.ntp.org iburst";
const UDEV_RULE: &str = "/etc/udev/rules.d/99-ptp_hyperv.rules";
const UDEV_TEXT: &str = "# for Azure (refloat): a stable name for the clock of the host\n\
                         SUBSYSTEM==\"ptp\", ATTR{clock_name}==\"hyperv\", SYMLINK+=\"ptp_hyperv\"\n";
const CHRONY: [&str; 2] = ["/etc/chrony/chrony.conf", "/etc/chrony.conf"];
const NTP: [&str; 2] = ["/etc/ntp.conf", "/etc/ntpsec/ntp.conf"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let of_aws = |line: &Line<'_>| is_of_aws(line).then(|| format!("{}: a clock of AWS", line.body.trim()));
    Ok(Finding::from_evidence(linewise::faults(guest.view, &files(guest.view)?, of_aws)?))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let kernel = guest.facts.default_kernel().or(guest.facts.kernels.first());
    let host_clock = kernel.is_some_and(|kernel| kernel.has(guest.goal.target.platform.drivers.clock));
    let (mut chrony, mut ntp) = (Vec::new(), Vec::new());
    for file in files(guest.view)? {
        if stage.edit(&file, without_aws)? {
            let of = |mains: &[&str]| {
                mains.contains(&file.as_str()) || (file.contains("chrony") && mains == CHRONY)
            };
            chrony.extend(of(&CHRONY).then(|| file.clone()));
            ntp.extend(of(&NTP).then(|| file.clone()));
        }
    }
    if !chrony.is_empty() {
        mend_chrony(stage, host_clock)?;
    }
    for file in ntp {
        stage.edit(&file, |text| if has_source(text) { text.to_owned() } else { append(text, POOL) })?;
    }
    Ok(Fixed::Staged)
}

/// Gives chrony a source: the host's clock if the kernel has it, public servers if nothing else is left.
fn mend_chrony(stage: &mut Stage<'_>, host_clock: bool) -> Result<()> {
    let view = stage.guest()?.view;
    let mut all = String::new();
    for file in files(view)?.iter().filter(|file| file.contains("chrony")) {
        all.push_str(&view.text(file)?.unwrap_or_default());
        all.push('\n');
    }
    let mut named = false;
    for rules in ["/usr/lib/udev/rules.d/50-udev-default.rules", UDEV_RULE] {
        named |= view.text(rules)?.is_some_and(|text| text.contains("ptp_hyperv"));
    }
    let has = |directive: &str| lines(&all).any(|line| line.words().next() == Some(directive));
    let mut added = Vec::new();
    if host_clock && !all.contains("/dev/ptp_hyperv") {
        added.push(REFCLOCK);
    }
    if !host_clock && !has_source(&all) {
        added.push(POOL);
    }
    if !has("makestep") {
        added.push("makestep 1.0 -1");
    }
    for main in CHRONY {
        if !added.is_empty()
            && stage
                .edit(main, |text| append(text, &format!("# for Azure (refloat)\n{}", added.join("\n"))))?
        {
            break;
        }
    }
    if host_clock && !named {
        stage.put(UDEV_RULE, UDEV_TEXT)?;
    }
    Ok(())
}

/// The files that name time sources, those there are.
fn files(view: &dyn View) -> Result<Vec<String>> {
    let mut out: Vec<String> = Vec::new();
    for main in CHRONY.iter().chain(&NTP).chain(&["/etc/systemd/timesyncd.conf"]) {
        if view.exists(main)? {
            out.push((*main).to_owned());
        }
    }
    for (dir, suffix) in [
        ("/etc/chrony/conf.d", ".conf"),
        ("/etc/chrony/sources.d", ".sources"),
        ("/etc/chrony.d", ".conf"),
        ("/etc/chrony.d", ".sources"),
        ("/etc/systemd/timesyncd.conf.d", ".conf"),
    ] {
        out.extend(view.glob(dir, suffix)?);
    }
    Ok(out)
}

fn is_of_aws(line: &Line<'_>) -> bool {
    let body = line.body.trim_start();
    !body.starts_with(['#', ';', '!', '%'])
        && (CLOCK.iter().any(|address| body.contains(address))
            || (body.starts_with("refclock") && body.contains("ptp_ena")))
}

fn without_aws(text: &str) -> String {
    let others = |value: &str| {
        value.split_whitespace().filter(|server| !CLOCK.contains(server)).collect::<Vec<_>>().join(" ")
    };
    let time: Vec<usize> =
        ini::entries(text).iter().filter(|entry| entry.section == "Time").map(|entry| entry.line).collect();
    rewrite(text, |line| {
        if !is_of_aws(line) {
            return None;
        }
        // timesyncd.conf has all its servers on one line
        let kept = line
            .body
            .split_once('=')
            .filter(|_| time.contains(&line.number))
            .map(|(key, value)| (key, others(value)));
        Some(match kept {
            Some((key, kept)) if !kept.is_empty() => format!("{key}={kept}"),
            _ => comment_out(line.body, WHY),
        })
    })
}

fn has_source(text: &str) -> bool {
    lines(text).any(|line| matches!(line.words().next(), Some("server" | "pool" | "peer" | "refclock")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn chrony_follows_the_host_where_the_kernel_can() {
        let text = "server 169.254.169.123 prefer iburst\ndriftfile /var/lib/chrony/drift\nmakestep 1 3\n";
        let bench = Bench::debian().file("/etc/chrony/chrony.conf", text);
        assert_eq!(
            bench.findings(&RULE),
            ["/etc/chrony/chrony.conf:1: server 169.254.169.123 prefer iburst: a clock of AWS"]
        );
        bench.mended(&RULE, |view| {
            let new = view.text("/etc/chrony/chrony.conf").unwrap().unwrap();
            assert_eq!(new, format!("# refloat: a clock of AWS: {text}# for Azure (refloat)\n{REFCLOCK}\n"));
            assert_eq!(view.text(UDEV_RULE).unwrap().as_deref(), Some(UDEV_TEXT));
        });
    }

    #[test]
    fn without_a_host_clock_public_servers_are_asked() {
        let bench = Bench::debian()
            .file("/lib/modules/6.1.0-50-amd64/modules.dep", "")
            .file("/etc/chrony.conf", "server 169.254.169.123\n")
            .file("/etc/ntp.conf", "server 169.254.169.123 iburst\nserver 0.pool.ntp.org\n");
        bench.mended(&RULE, |view| {
            let chrony = view.text("/etc/chrony.conf").unwrap().unwrap();
            assert!(chrony.contains(POOL) && !chrony.contains("refclock"), "{chrony}");
            let ntp = view.text("/etc/ntp.conf").unwrap().unwrap();
            assert_eq!(
                ntp,
                "# refloat: a clock of AWS: server 169.254.169.123 iburst\nserver 0.pool.ntp.org\n"
            );
            assert!(view.text(UDEV_RULE).unwrap().is_none());
        });
    }

    #[test]
    fn timesyncd_keeps_its_other_servers() {
        let path = "/etc/systemd/timesyncd.conf.d/ec2.conf";
        let text =
            Bench::debian().file(path, "[Time]\nNTP=169.254.169.123 ntp.example\n").mended_text(&RULE, path);
        assert_eq!(text, "[Time]\nNTP=ntp.example\n");
        let text = Bench::debian().file(path, "[Time]\nNTP=169.254.169.123\n").mended_text(&RULE, path);
        assert_eq!(text, "[Time]\n# refloat: a clock of AWS: NTP=169.254.169.123\n");
    }

    #[test]
    fn a_file_of_sources_is_mended_and_the_main_one_gets_the_clock() {
        let bench = Bench::debian()
            .file("/etc/chrony/chrony.conf", "pool 2.debian.pool.ntp.org iburst\nmakestep 1 3\n")
            .file("/etc/chrony/sources.d/aws.sources", "server 169.254.169.123\n");
        let text = bench.mended_text(&RULE, "/etc/chrony/chrony.conf");
        assert!(text.contains(REFCLOCK) && text.starts_with("pool 2.debian"), "{text}");
    }
}

//! What the lines of a serial console mean: how far the machine came, and where it stopped for good.
//!
//! Pure: lines in, verdict out. The texts are in [`markers`].

use std::time::Duration;

use guestfix::bootwalk::HopKind;
use guestfix::symptoms::{ANYWHERE, GRUB, NO_ROOT, Symptom, grub_error};
use serde::Serialize;

use crate::markers::{self, MILESTONES, NO_LOGIN, UP, WAITS_FOR_EVER};

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// It asked for a login.
    Login,
    /// It stopped, and would never go on by itself.
    Stopped {
        /// At which hop.
        hop: HopKind,
        /// What that means.
        why: &'static str,
        /// The line of the console that says so.
        evidence: String,
    },
    /// Nobody can tell.
    Unknown {
        /// At which hop it stopped, if that is all that can be told.
        #[serde(skip_serializing_if = "Option::is_none")]
        hop: Option<HopKind>,
        /// Why not.
        why: String,
    },
}

/// Prompts have no line end; only these are looked for in a line that may go on.
const PROMPTS: &[&str] = &[
    "grub rescue>",
    "Enter username:",
    "(initramfs)",
    "dracut:/#",
    "Give root password",
    "Press Enter for maintenance",
    "Please unlock disk",
    "nter passphrase for",
    "Enter runlevel:",
];

/// A failure, as far as the console tells it.
#[derive(Debug)]
struct Cause {
    worth: u8,
    hop: HopKind,
    why: &'static str,
    evidence: String,
}

/// Reads a console, line by line.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    reached: Vec<HopKind>,
    best: Option<Cause>,
    stopped: bool,
    /// systemd speaks, and it is the initramfs'.
    in_initramfs: bool,
    /// The line that shows all services started.
    up: Option<String>,
    /// How the machine calls itself.
    host: Option<String>,
    last: String,
    waited_for: Vec<String>,
}

impl Reading {
    /// Takes a whole line; the hops it shows for the first time.
    pub(crate) fn line(&mut self, line: &str) -> Vec<HopKind> {
        let line = line.trim();
        self.initramfs_or_system(line);
        self.waiting(line);
        match grub_error(line) {
            Some(said) if !self.has(HopKind::Kernel) => self.grub(said, line),
            _ => {
                let anywhere = ANYWHERE.iter().flat_map(|table| shown(table, line));
                anywhere.for_each(|(symptom, last)| self.fail(symptom, last, line));
            }
        }
        if line.contains("Warning: /dev/") && line.ends_with("does not exist") {
            self.blame(HopKind::Root, 3, NO_ROOT, line);
        }
        if !self.in_initramfs && UP.iter().any(|text| line.contains(text)) {
            self.up = Some(line.to_owned());
        }
        self.host = host_named(line).map(str::to_owned).or(self.host.take());
        line.clone_into(&mut self.last);
        self.hops(line).into_iter().filter(|hop| self.reach(*hop)).collect()
    }

    /// Takes a line that has not ended, when nothing came for a moment: it is a prompt.
    pub(crate) fn prompt(&mut self, line: &str) -> Vec<HopKind> {
        if is_login(line.trim()) || PROMPTS.iter().any(|prompt| line.contains(prompt)) {
            return self.line(line);
        }
        Vec::new()
    }

    /// Whether what comes now cannot change the verdict.
    pub(crate) fn is_final(&self) -> bool {
        self.stopped || self.has(HopKind::Login)
    }

    /// The last hop, in the order of things, that was reached.
    pub(crate) fn reached(&self) -> Option<HopKind> {
        self.reached.iter().copied().max()
    }

    /// The devices that systemd waited for, each once.
    pub(crate) fn waited_for(&self) -> &[String] {
        &self.waited_for
    }

    /// After how long a silence nothing will come any more. systemd's longest wait is 90 s, and it shows
    /// that one; GRUB waits 10 s for a key after what it could not do.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(match self.reached() {
            _ if self.up.is_some() => 90,
            reached if reached < Some(HopKind::Kernel) && self.best.is_some() => 60,
            reached if reached < Some(HopKind::Kernel) => 180,
            _ => 240,
        })
    }

    /// The verdict, if the machine said enough. One that ended (`gone`) without a prompt has stopped where it
    /// was.
    pub(crate) fn verdict(&self, gone: bool) -> Option<Verdict> {
        if self.has(HopKind::Login) {
            return Some(Verdict::Login);
        }
        match (&self.best, self.reached()) {
            (Some(cause), _) if self.stopped || gone => Some(cause.verdict()),
            (None, Some(reached)) if gone => Some(Verdict::Stopped {
                // A loader that hands over is done.
                hop: if reached == HopKind::Menu { HopKind::Kernel } else { reached },
                why: "the machine reset itself or powered off",
                evidence: format!("nothing follows after: {reached}"),
            }),
            _ => None,
        }
    }

    /// What it means that the machine fell silent, where that can be told.
    pub(crate) fn silent(&self) -> Option<Verdict> {
        if let Some(verdict) = self.verdict(false) {
            return Some(verdict);
        }
        let stopped = |hop, why, evidence: &str| Verdict::Stopped { hop, why, evidence: evidence.to_owned() };
        match (&self.up, &self.best) {
            (Some(up), _) => Some(stopped(HopKind::Login, NO_LOGIN, up)),
            (None, Some(cause)) if !self.has(HopKind::Init) => Some(cause.verdict()),
            (None, None) if self.last.starts_with("GRUB loading") => {
                Some(stopped(HopKind::Loader, markers::CORE, &self.last))
            }
            _ => None,
        }
    }

    fn has(&self, hop: HopKind) -> bool {
        self.reached.contains(&hop)
    }

    /// The initramfs' systemd says what that of the root says, so whose words these are must be known.
    fn initramfs_or_system(&mut self, line: &str) {
        let welcome = line.starts_with("Welcome to ") && line.ends_with('!');
        let initramfs = line.contains("nitramfs)") || line.contains(" dracut-");
        if line.contains("Running in init") || welcome && initramfs {
            self.in_initramfs = true;
        }
        if welcome && !initramfs && !line.contains("GRUB") {
            self.reach(HopKind::Init);
        }
    }

    /// The hops that a line shows to be reached.
    fn hops(&self, line: &str) -> Vec<HopKind> {
        let shown = MILESTONES.iter().filter(|(_, text)| line.contains(text)).map(|(hop, _)| *hop);
        let shown = shown.filter(|hop| *hop <= HopKind::Root || !self.in_initramfs);
        // The first systemd of two is that of the initramfs, before there is a root.
        let root = self.has(HopKind::Root) || !self.has(HopKind::Initramfs);
        let init = line.contains("running in system mode") && root;
        let login = is_login(line) || self.is_own_login(line);
        shown.chain(init.then_some(HopKind::Init)).chain(login.then_some(HopKind::Login)).collect()
    }

    /// The prompt of the machine whose name is known; whatever comes behind it before it falls silent.
    fn is_own_login(&self, line: &str) -> bool {
        let behind = self.host.as_deref().and_then(|host| line.strip_prefix(host));
        behind.is_some_and(|behind| behind.starts_with(" login: "))
    }

    /// Whether this is the first time. What the boot got past explains nothing any more; but a loader and an
    /// initramfs that have started may yet lack a part.
    fn reach(&mut self, hop: HopKind) -> bool {
        if self.has(hop) {
            return false;
        }
        self.reached.push(hop);
        if hop == HopKind::Init {
            self.in_initramfs = false;
        }
        let goes_on = matches!(hop, HopKind::Loader | HopKind::Initramfs);
        // From the target on the order is systemd's.
        let past = |at: HopKind| at < hop.min(HopKind::Target) || at == hop && !goes_on;
        if !self.stopped && self.best.as_ref().is_some_and(|cause| past(cause.hop)) {
            self.best = None;
        }
        true
    }

    fn fail(&mut self, symptom: &Symptom, last: bool, line: &str) {
        // Words of loaders mean nothing in the mouths of others.
        if self.has(HopKind::Kernel) && symptom.hop.is_some_and(|hop| hop <= HopKind::Kernel) {
            return;
        }
        let hop = symptom.hop.map_or_else(|| self.here(), |hop| self.seen_from_here(hop));
        self.blame(hop, symptom.worth, symptom.why, line);
        self.stopped |= last;
        if line.contains("grub rescue>") {
            // All that GRUB cannot do before its normal mode is its core image's.
            self.best.iter_mut().for_each(|cause| cause.hop = cause.hop.min(HopKind::Loader));
        }
    }

    /// A message of GRUB's, of which some mean what the file is that they name.
    fn grub(&mut self, said: &str, line: &str) {
        if said.contains("not found") && said.contains("file") || said.contains("premature end of file") {
            if let Some(hop) = kind_of_file(said) {
                self.blame(hop, 3, "GRUB does not find a file, or not all of it", line);
            }
            return;
        }
        for (symptom, last) in shown(GRUB, said) {
            self.fail(symptom, last, line);
        }
    }

    fn blame(&mut self, hop: HopKind, worth: u8, why: &'static str, line: &str) {
        if self.best.as_ref().is_none_or(|cause| worth > cause.worth) {
            self.best = Some(Cause { worth, hop, why, evidence: line.to_owned() });
        }
    }

    /// The hop that the machine is at.
    fn here(&self) -> HopKind {
        match self.reached() {
            None | Some(HopKind::Firmware | HopKind::Loader | HopKind::Menu | HopKind::Kernel) => {
                HopKind::Kernel
            }
            Some(HopKind::Initramfs) => HopKind::Initramfs,
            Some(HopKind::Root) => HopKind::Init,
            Some(_) => HopKind::Target,
        }
    }

    /// The same words mean another hop while the menu or the initramfs is at work.
    fn seen_from_here(&self, at: HopKind) -> HopKind {
        match at {
            HopKind::Loader if self.has(HopKind::Menu) => HopKind::Menu,
            HopKind::Init if self.has(HopKind::Initramfs) && !self.has(HopKind::Root) => HopKind::Initramfs,
            HopKind::Target | HopKind::Mounts if self.in_initramfs => HopKind::Root,
            at => at,
        }
    }

    /// `Job dev-xvdb.device/start running (10s / 1min 30s)`, or `A start job is running for /dev/xvdb (...)`;
    /// a long name has dots in its middle.
    fn waiting(&mut self, line: &str) {
        let job = line.contains("Job dev-") || line.contains("A start job is running for /dev/");
        if job && line.ends_with(" / no limit)") && line.contains(" (4min ") {
            let hop = self.seen_from_here(HopKind::Mounts);
            self.blame(hop, 2, WAITS_FOR_EVER, line);
            self.stopped = true;
        }
        if self.in_initramfs {
            return;
        }
        let named =
            between(line, "A start job is running for ", " (").filter(|name| name.starts_with("/dev/"));
        let unit = between(line, "Job ", ".device/start running").map(|unit| format!("/{}", unescape(unit)));
        // A console is no mount: on a slow host its wait is long, and not in vain.
        let device = named.map(str::to_owned).or(unit).filter(|device| !device.starts_with("/dev/tty"));
        self.waited_for.extend(device.filter(|device| !self.waited_for.contains(device)));
    }
}

impl Cause {
    fn verdict(&self) -> Verdict {
        Verdict::Stopped { hop: self.hop, why: self.why, evidence: self.evidence.clone() }
    }
}

/// The symptoms that a verdict hangs on in a line, each with whether nothing comes after it.
fn shown<'a>(table: &'a [Symptom], line: &'a str) -> impl Iterator<Item = (&'a Symptom, bool)> {
    table.iter().filter_map(move |symptom| {
        let ends = symptom.ends.iter().any(|text| line.contains(text));
        let hints = || symptom.hints.iter().any(|text| line.contains(text));
        (ends || hints()).then_some((symptom, ends))
    })
}

/// Which hop needs a file that GRUB names; `None` for what a boot can do without.
fn kind_of_file(said: &str) -> Option<HopKind> {
    let said = said.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    if has(&["initrd", "initramfs"]) {
        Some(HopKind::Initramfs)
    } else if has(&[".mod'", "-pc/", "-efi/"]) {
        Some(HopKind::Loader)
    } else if has(&[".cfg'", ".conf'", "grubenv"]) {
        Some(HopKind::Menu)
    } else if has(&[".pf2", "/locale/", "/themes/", ".png", ".jpg", ".tga"]) {
        None
    } else {
        Some(HopKind::Kernel)
    }
}

/// `host login:`, perhaps with a message of the kernel, of systemd or of cloud-init behind it. A guest writes
/// much that has these words in it, but never behind one word that may be the name of a machine.
fn is_login(line: &str) -> bool {
    let Some((host, behind)) = line.split_once(" login:") else { return false };
    let name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let host = host == "(none)" || name && !["", "Last", "last"].contains(&host);
    let behind = behind.trim_start();
    host && ["", "[", "Cloud-init", "cloud-init", "ci-info"].iter().any(|start| match *start {
        "" => behind.is_empty(),
        start => behind.starts_with(start),
    })
}

/// The name of the machine: `Hostname set to <host>.` by systemd, or `Debian GNU/Linux 12 host ttyS0`, what
/// agetty writes above its prompt.
fn host_named(line: &str) -> Option<&str> {
    let issue = || line.strip_suffix(" ttyS0")?.rsplit_once(' ').map(|(_, host)| host);
    between(line, "Hostname set to <", ">").or_else(issue).filter(|host| !host.is_empty())
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// The path in the name of a systemd unit: `-` is a slash, `\x2d` a dash (systemd.unit(5), "String
/// escaping").
fn unescape(unit: &str) -> String {
    unit.replace('-', "/").replace("\\x2d", "-")
}

#[cfg(test)]
mod tests {
    use super::HopKind::{Initramfs, Login, Mounts, Root, Target};
    use super::*;
    use crate::boots::{ENDS, STOPS, WAITS};

    fn read(lines: &[&str]) -> Reading {
        let mut reading = Reading::default();
        for line in lines {
            reading.line(line);
        }
        reading
    }

    #[track_caller]
    fn stopped(lines: &[&str]) -> (HopKind, &'static str, String) {
        let reading = read(lines);
        assert!(reading.is_final(), "{reading:?}");
        told(reading.verdict(false))
    }

    #[track_caller]
    fn told(verdict: Option<Verdict>) -> (HopKind, &'static str, String) {
        match verdict {
            Some(Verdict::Stopped { hop, why, evidence }) => (hop, why, evidence),
            other => panic!("{other:?}"),
        }
    }

    /// From the laboratory: Debian 12 out of EC2, unfixed.
    const NO_DRIVERS: &[&str] = &[
        "cSeaBIOS (version 1.16.2-debian-1.16.2-1)",
        "Booting from Hard Disk...",
        "GRUB loading..",
        "Welcome to GRUB!",
        "Loading Linux 6.1.0-50-amd64 ...",
        "[    0.000000] Linux version 6.1.0-50-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1)",
        "[    7.182630] Run /init as init process",
        "Loading, please wait...",
        "Begin: Running /scripts/local-block ... done.",
        "Gave up waiting for root file system device.  Common problems:",
        " - Missing modules (cat /proc/modules; ls /dev)",
        "ALERT!  /dev/xvda1 does not exist.  Dropping to a shell!",
    ];

    #[test]
    fn an_initramfs_without_drivers() {
        let (hop, why, evidence) = stopped(NO_DRIVERS);
        assert_eq!((hop, why), (Root, NO_ROOT));
        assert_eq!(evidence, "ALERT!  /dev/xvda1 does not exist.  Dropping to a shell!");
        assert_eq!(read(NO_DRIVERS).reached(), Some(Initramfs));
    }

    #[test]
    fn a_boot_to_the_login() {
        let reading = read(&[
            "[    0.000000] Linux version 6.1.0-50-amd64",
            "[   12.229864] sd 0:0:0:0: [sda] Attached SCSI disk",
            "[   16.988896] EXT4-fs (sda1): mounted filesystem with ordered data mode. Quota mode: none.",
            "[   20.280906] systemd[1]: systemd 252.39-1~deb12u2 running in system mode (+PAM +AUDIT",
            "[  OK  ] Reached target local-fs.target - Local File Systems.",
            "[ ***  ] Job dev-xvdb.device/start running (42s / 1min 30s)",
            "[  *** ] Job dev-xvdb.device/start running (43s / 1min 30s)",
            "[**    ] Job dev-ttyS0.device/start running (44s / 1min 30s)",
            "[***   ] A start job is running for /dev/ttyS0 (45s / 1min 30s)",
            "[ TIME ] Timed out waiting for device dev-xvdb.device - /dev/xvdb.",
            "[DEPEND] Dependency failed for mnt.mount - /mnt.",
            "ip-192-168-1-10 login: [  108.210319] cloud-init[431]: Cloud-init v. 22.4.2 running 'modules:config'",
        ]);
        assert_eq!(reading.verdict(false), Some(Verdict::Login));
        assert_eq!(reading.waited_for(), ["/dev/xvdb"]);
        assert_eq!(reading.reached(), Some(Login));
    }

    /// From the laboratory: a Debian 12 with an initramfs by dracut, shortened.
    const TWO_SYSTEMDS: &[&str] = &[
        "[    0.000000] Linux version 6.1.0-50-amd64 (debian-kernel@lists.debian.org)",
        "[    9.478275] Run /init as init process",
        "[    9.842446] systemd[1]: systemd 252.39-1~deb12u2 running in system mode (+PAM +AUDIT",
        "[    9.844433] systemd[1]: Running in initrd.",
        "Welcome to Debian GNU/Linux 12 (bookworm) dracut-059-4 (Initramfs)!",
        "[   15.032914] systemd[1]: Queued start job for default target initrd.target.",
        "[   15.322148] systemd[1]: Reached target local-fs.target - Local File Systems.",
        "[ *** ] Job dev-xvda2.device/start running (17s / no limit)",
        "[   72.070296] XFS (sda1): Ending clean mount",
    ];

    const SECOND: &[&str] = &[
        "[  106.341512] systemd[1]: systemd 252.39-1~deb12u2 running in system mode (+PAM +AUDIT",
        "Welcome to Debian GNU/Linux 12 (bookworm)!",
        "[  130.032914] systemd[1]: Queued start job for default target graphical.target.",
        "[  OK  ] Reached target local-fs.target - Local File Systems.",
    ];

    #[test]
    fn the_systemd_of_an_initramfs_is_not_the_systems() {
        let reading = read(TWO_SYSTEMDS);
        assert_eq!(reading.reached(), Some(Root));
        assert!(reading.waited_for().is_empty(), "{reading:?}");
        assert_eq!(read(&[TWO_SYSTEMDS, SECOND].concat()).reached(), Some(Mounts));
        let emergency = ["Timed out waiting for device dev-vg0.device", "Press Enter for maintenance"];
        assert_eq!(stopped(&[&TWO_SYSTEMDS[..6], &emergency].concat()).0, Root);
        assert_eq!(stopped(&[TWO_SYSTEMDS, &SECOND[..3], &emergency].concat()).0, Mounts);
    }

    #[test]
    fn what_the_boot_got_past_explains_nothing() {
        let (hop, _, evidence) =
            stopped(&[&["error: no such device: 24e7baea.", "Booting `Debian'"], NO_DRIVERS].concat());
        assert!(hop == Root && evidence.starts_with("ALERT!"), "{hop}: {evidence}");
        // An fstab entry with nofail, and then somebody who asks for the rescue mode.
        let late = ["[ TIME ] Timed out waiting for device dev-xvdf.device - /dev/xvdf."];
        let (hop, ..) = stopped(
            &[TWO_SYSTEMDS, &SECOND[..3], &late, &SECOND[3..], &["You are in rescue mode."]].concat(),
        );
        assert_eq!(hop, Target);
    }

    #[test]
    fn a_login_prompt_and_what_only_looks_like_one() {
        for prompt in ["ip-192-168-1-10 login: ", "(none) login: ", "localhost.localdomain login: "] {
            assert_eq!(Reading::default().prompt(prompt), [Login], "{prompt}");
        }
        for line in [
            "Last login: Mon Nov 23",
            "[    3.1] systemd-logind: New seat login:",
            "login:",
            " login: ",
            "pam-login:",
            "Ubuntu 22.04 login:",
            "sshd login: failed for root",
            "ip-10 login: incorrect",
            "'host' login: ",
            "| host login: |",
            "[  OK  ] Reached target getty",
        ] {
            assert!(!is_login(line), "{line}");
        }
    }

    #[test]
    fn a_prompt_that_something_is_written_behind() {
        let line = "ip-10 login: <14>Nov 29 03:45:01 cloud-init: #####";
        for named in ["Debian GNU/Linux 12 ip-10 ttyS0", "[  106.5] systemd[1]: Hostname set to <ip-10>."] {
            assert_eq!(read(&[named, line]).verdict(false), Some(Verdict::Login), "{named}");
        }
        for named in ["Debian GNU/Linux 12 ip-1 ttyS0", "ip-10", "[   5.9] 00:03: ttyS0", " ttyS0"] {
            assert_eq!(read(&[named, line]).verdict(false), None, "{named}");
        }
    }

    #[test]
    fn a_mount_that_never_comes_explains_the_emergency() {
        let (hop, why, evidence) = stopped(&[
            "[ TIME ] Timed out waiting for device dev-xvdf.device - /dev/xvdf.",
            "[DEPEND] Dependency failed for data.mount - /data.",
            "You are in emergency mode. After logging in, type \"journalctl -xb\" to view",
        ]);
        assert_eq!((hop, why), (Mounts, "/etc/fstab names a device that is not there"));
        assert!(evidence.contains("dev-xvdf.device"));
    }

    #[track_caller]
    fn is(found: &(HopKind, &str, String), hop: HopKind, evidence: &str, lines: &[&str]) {
        assert!(found.0 == hop && found.2.contains(evidence), "{found:?} for {lines:?}");
    }

    #[test]
    fn every_hop_that_a_boot_stops_at() {
        for (lines, hop, evidence) in STOPS {
            is(&stopped(lines), *hop, evidence, lines);
        }
        for (lines, hop, evidence) in WAITS {
            let reading = read(lines);
            assert!(!reading.is_final() && reading.verdict(false).is_none(), "{lines:?}");
            is(&told(reading.silent()), *hop, evidence, lines);
        }
        for (lines, hop, evidence) in ENDS {
            let reading = read(lines);
            assert!(!reading.is_final() && reading.verdict(false).is_none(), "{lines:?}");
            is(&told(reading.verdict(true)), *hop, evidence, lines);
        }
        assert_eq!(read(&[]).verdict(true), None);
    }

    /// A marker that no boot above shows is one that nobody tried.
    #[test]
    fn every_text_is_in_a_boot() {
        let boots = STOPS.iter().chain(WAITS).chain(ENDS);
        let lines: Vec<&str> = boots.flat_map(|(lines, ..)| *lines).copied().collect();
        for symptom in ANYWHERE.iter().copied().flatten().chain(GRUB) {
            for text in symptom.hints.iter().chain(symptom.ends) {
                assert!(lines.iter().any(|line| line.contains(text)), "{text:?}");
            }
        }
    }

    #[test]
    fn a_silence_without_a_cause_is_no_verdict() {
        for lines in [
            &["SeaBIOS", "Booting from Hard Disk..."][..],
            &["GRUB loading..", "Welcome to GRUB!"],
            &[
                "      Press enter to boot the selected OS, `e' to edit the commands",
                "   The highlighted entry will be executed automatically in 5s.",
            ],
            &["Linux version 6.1"],
            &["Linux version 6.1", "Run /init as init process", "EXT4-fs (sda1): mounted filesystem"],
            TWO_SYSTEMDS,
        ] {
            assert_eq!(read(lines).silent(), None, "{lines:?}");
        }
    }

    #[test]
    fn words_of_loaders_in_the_mouths_of_others_are_not_heard() {
        for line in
            ["app[3]: Boot error", "db: Error 15: File not found", "error: no such device", "x: Missing OS"]
        {
            let reading = read(&["Linux version 6.1", line]);
            assert!(!reading.is_final() && reading.verdict(true).is_some(), "{line}");
            assert!(
                matches!(reading.verdict(true), Some(Verdict::Stopped { evidence, .. }) if evidence != line)
            );
        }
    }

    #[test]
    fn half_a_line_is_no_evidence() {
        let mut reading = Reading::default();
        reading.prompt("ALERT!  /dev/xv");
        assert!(!reading.is_final());
        reading.prompt("(initramfs) ");
        assert!(reading.is_final());
    }
}

//! What the lines of a serial console mean: how far the machine came, and where it stopped for good.
//!
//! Pure: lines in, verdict out. The texts were collected from boots that failed on purpose (Debian, dracut,
//! GRUB, SeaBIOS and OVMF; 2026-11).

use serde::Serialize;

/// How far a machine came, in the order of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The BIOS or UEFI speaks.
    Firmware,
    /// GRUB was loaded.
    Loader,
    /// The kernel started.
    Kernel,
    /// The initramfs' own init runs.
    Initramfs,
    /// The kernel found a disk.
    Disk,
    /// A file system was mounted.
    Root,
    /// systemd runs.
    Systemd,
    /// All local file systems are mounted.
    LocalFs,
    /// The network is set up, as far as the guest can tell.
    Network,
    /// All services were started.
    MultiUser,
    /// It asks who wants to log in.
    Login,
}

impl Step {
    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Loader => "boot loader",
            Self::Kernel => "kernel",
            Self::Initramfs => "initramfs",
            Self::Disk => "disk found",
            Self::Root => "root mounted",
            Self::Systemd => "systemd",
            Self::LocalFs => "local file systems",
            Self::Network => "network",
            Self::MultiUser => "services",
            Self::Login => "login",
        }
    }
}

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// It asked for a login.
    Login,
    /// It stopped, and would never go on by itself.
    Stopped {
        /// In which step.
        step: Step,
        /// What that means.
        why: &'static str,
        /// The line of the console that says so.
        evidence: String,
    },
    /// Nobody can tell.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// Lines that show a step was reached.
const MILESTONES: &[(Step, &str)] = &[
    (Step::Firmware, "SeaBIOS"),
    (Step::Firmware, "BdsDxe: "),
    (Step::Loader, "GRUB loading"),
    (Step::Loader, "Welcome to GRUB"),
    (Step::Loader, "GNU GRUB"),
    (Step::Kernel, "Linux version "),
    (Step::Initramfs, "Run /init as init"),
    (Step::Initramfs, "Loading, please wait"),
    (Step::Initramfs, "dracut-"),
    (Step::Initramfs, "Running in initrd."),
    (Step::Disk, "Attached SCSI disk"),
    (Step::Root, "): mounted filesystem"),
    (Step::Root, ": Ending clean mount"),
    (Step::Root, "BTRFS info (device "),
    (Step::Systemd, "running in system mode"),
    (Step::LocalFs, "Reached target local-fs.target"),
    (Step::LocalFs, "Reached target Local File Systems"),
    (Step::Network, "Reached target network.target"),
    (Step::Network, "Reached target Network."),
    (Step::MultiUser, "Reached target multi-user.target"),
    (Step::MultiUser, "Reached target Multi-User System"),
];

/// What a line of failure tells.
struct Marker {
    /// The line contains this.
    text: &'static str,
    /// Where it fails.
    step: Step,
    /// How well it explains the failure; the best of a boot is shown.
    worth: u8,
    /// Whether nothing comes after it.
    last: bool,
    why: &'static str,
}

const fn cause(text: &'static str, step: Step, worth: u8, why: &'static str) -> Marker {
    Marker { text, step, worth, last: false, why }
}

const fn last(text: &'static str, step: Step, worth: u8, why: &'static str) -> Marker {
    Marker { text, step, worth, last: true, why }
}

const NO_ROOT: &str =
    "the root device is not there: its driver is not in the initramfs, or root= names another device";
const EMERGENCY: &str = "systemd gave up on a mount that /etc/fstab asks for";

const FAILURES: &[Marker] = &[
    last(
        "No bootable device",
        Step::Firmware,
        2,
        "the firmware finds nothing to start: no boot code in the disk's first sector",
    ),
    cause(
        "Boot failed: not a bootable disk",
        Step::Firmware,
        3,
        "the disk has no boot code in its first sector",
    ),
    cause("BdsDxe: failed to load Boot", Step::Firmware, 1, "the firmware cannot start a boot option"),
    last(
        "BdsDxe: No bootable option or device was found",
        Step::Firmware,
        2,
        "the firmware finds no EFI boot loader",
    ),
    last(
        "UEFI Interactive Shell",
        Step::Firmware,
        2,
        "the firmware finds no EFI boot loader (\\EFI\\BOOT\\BOOTX64.EFI)",
    ),
    last("grub rescue>", Step::Loader, 1, "GRUB cannot load its modules"),
    last("Minimal BASH-like line editing", Step::Loader, 1, "GRUB finds no configuration"),
    cause(
        "error: no such device",
        Step::Loader,
        2,
        "GRUB does not find the file system it was told to search for",
    ),
    cause("error: unknown filesystem", Step::Loader, 2, "GRUB cannot read the file system"),
    cause("error: file `", Step::Loader, 3, "GRUB does not find a file"),
    cause("error: you need to load the kernel first", Step::Loader, 1, "GRUB found no kernel"),
    last(
        "Failed to boot both default and fallback entries",
        Step::Loader,
        1,
        "GRUB cannot start the kernel it was told to",
    ),
    cause(
        "VFS: Cannot open root device",
        Step::Root,
        3,
        "the kernel was started without an initramfs that finds the root",
    ),
    last(
        "VFS: Unable to mount root fs",
        Step::Root,
        2,
        "the kernel was started without an initramfs that finds the root",
    ),
    last("Kernel panic - not syncing", Step::Kernel, 1, "the kernel panicked"),
    cause("Gave up waiting for root", Step::Root, 1, NO_ROOT),
    last("ALERT!", Step::Root, 3, NO_ROOT),
    last("(initramfs)", Step::Root, 1, "the initramfs opened its shell"),
    cause(
        "Rebooting automatically due to panic=",
        Step::Root,
        1,
        "the initramfs gave up, and reboots for ever",
    ),
    cause("dracut-initqueue timeout", Step::Root, 2, NO_ROOT),
    cause("Could not boot.", Step::Root, 1, NO_ROOT),
    last("dracut:/#", Step::Root, 1, "the initramfs opened its shell"),
    last("Entering emergency mode. Exit the shell", Step::Root, 1, "the initramfs opened its shell"),
    cause("Timed out waiting for device", Step::LocalFs, 1, "/etc/fstab names a device that is not there"),
    last("You are in emergency mode", Step::LocalFs, 1, EMERGENCY),
    last("Give root password for maintenance", Step::LocalFs, 1, EMERGENCY),
    last("Cannot open access to console, the root account is locked", Step::LocalFs, 1, EMERGENCY),
    last("Press Enter for maintenance", Step::LocalFs, 1, EMERGENCY),
];

/// Prompts have no line end; only these are looked for in a line that may go on.
const PROMPTS: &[&str] =
    &["grub rescue>", "(initramfs)", "dracut:/#", "Give root password", "Press Enter for maintenance"];

/// Reads a console, line by line.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    reached: Vec<Step>,
    best: Option<(u8, Step, &'static str, String)>,
    stopped: bool,
    waited_for: Vec<String>,
}

impl Reading {
    /// Takes a whole line; the steps it shows for the first time.
    pub(crate) fn line(&mut self, line: &str) -> Vec<Step> {
        let line = line.trim();
        self.waiting(line);
        for marker in FAILURES.iter().filter(|marker| line.contains(marker.text)) {
            self.fail(marker, line);
        }
        if line.contains("Warning: /dev/") && line.ends_with("does not exist") {
            self.fail(&cause("", Step::Root, 3, NO_ROOT), line);
        }
        let shown = MILESTONES.iter().filter(|(_, text)| line.contains(text)).map(|(step, _)| *step);
        let shown: Vec<_> = shown.chain(is_login(line).then_some(Step::Login)).collect();
        shown.into_iter().filter(|step| self.reach(*step)).collect()
    }

    /// Takes a line that has not ended, when nothing came for a moment: it is a prompt.
    pub(crate) fn prompt(&mut self, line: &str) -> Vec<Step> {
        if is_login(line.trim()) || PROMPTS.iter().any(|prompt| line.contains(prompt)) {
            return self.line(line);
        }
        Vec::new()
    }

    /// Whether what comes now cannot change the verdict.
    pub(crate) fn is_final(&self) -> bool {
        self.stopped || self.reached.contains(&Step::Login)
    }

    /// The last step, in the order of things, that was reached.
    pub(crate) fn reached(&self) -> Option<Step> {
        self.reached.iter().copied().max()
    }

    /// The devices that systemd waited for, each once.
    pub(crate) fn waited_for(&self) -> &[String] {
        &self.waited_for
    }

    /// The verdict, if the machine said enough. One that ended (`gone`) without a prompt has stopped where it
    /// was.
    pub(crate) fn verdict(&self, gone: bool) -> Option<Verdict> {
        if self.reached.contains(&Step::Login) {
            return Some(Verdict::Login);
        }
        match (&self.best, self.reached()) {
            (Some((_, step, why, evidence)), _) if self.stopped || gone => {
                Some(Verdict::Stopped { step: *step, why, evidence: evidence.clone() })
            }
            (None, Some(step)) if gone => Some(Verdict::Stopped {
                step,
                why: "the machine reset itself or powered off",
                evidence: format!("nothing follows after: {}", step.label()),
            }),
            _ => None,
        }
    }

    fn reach(&mut self, step: Step) -> bool {
        let new = !self.reached.contains(&step);
        if new {
            self.reached.push(step);
        }
        new
    }

    fn fail(&mut self, marker: &Marker, line: &str) {
        self.stopped |= marker.last;
        if self.best.as_ref().is_none_or(|(worth, ..)| marker.worth > *worth) {
            self.best = Some((marker.worth, marker.step, marker.why, line.to_owned()));
        }
    }

    /// `Job dev-xvdb.device/start running (10s / 1min 30s)`, or `A start job is running for /dev/xvdb (...)`.
    fn waiting(&mut self, line: &str) {
        let named =
            between(line, "A start job is running for ", " (").filter(|name| name.starts_with("/dev/"));
        let unit = between(line, "Job ", ".device/start running").map(|unit| format!("/{}", unescape(unit)));
        // A console is no mount: on a slow host its wait is long, and not in vain.
        let device = named.map(str::to_owned).or(unit).filter(|device| !device.starts_with("/dev/tty"));
        self.waited_for.extend(device.filter(|device| !self.waited_for.contains(device)));
    }
}

/// `host login:`, perhaps with a message of the kernel behind it.
fn is_login(line: &str) -> bool {
    let prompt = line.strip_suffix("login:").or_else(|| line.split_once(" login: ").map(|(host, _)| host));
    prompt.map(str::trim_end).is_some_and(|host| !["", "Last"].contains(&host) && !host.contains([' ', '[']))
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
    use super::*;

    fn read(lines: &[&str]) -> Reading {
        let mut reading = Reading::default();
        for line in lines {
            reading.line(line);
        }
        reading
    }

    fn stopped(lines: &[&str]) -> (Step, &'static str, String) {
        let reading = read(lines);
        assert!(reading.is_final(), "{reading:?}");
        match reading.verdict(false) {
            Some(Verdict::Stopped { step, why, evidence }) => (step, why, evidence),
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
        let (step, why, evidence) = stopped(NO_DRIVERS);
        assert_eq!((step, why), (Step::Root, NO_ROOT));
        assert_eq!(evidence, "ALERT!  /dev/xvda1 does not exist.  Dropping to a shell!");
        assert_eq!(read(NO_DRIVERS).reached(), Some(Step::Initramfs));
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
        assert_eq!(reading.reached(), Some(Step::Login));
    }

    #[test]
    fn a_login_prompt_and_what_only_looks_like_one() {
        let mut reading = Reading::default();
        assert_eq!(reading.prompt("ip-192-168-1-10 login: "), [Step::Login]);
        for line in [
            "Last login: Mon Nov 23",
            "[    3.1] systemd-logind: New seat login:",
            "login:",
            "[  OK  ] Reached target getty",
        ] {
            assert!(!is_login(line), "{line}");
        }
    }

    #[test]
    fn a_mount_that_never_comes_explains_the_emergency() {
        let (step, why, evidence) = stopped(&[
            "[ TIME ] Timed out waiting for device dev-xvdf.device - /dev/xvdf.",
            "[DEPEND] Dependency failed for data.mount - /data.",
            "You are in emergency mode. After logging in, type \"journalctl -xb\" to view",
        ]);
        assert_eq!((step, why), (Step::LocalFs, "/etc/fstab names a device that is not there"));
        assert!(evidence.contains("dev-xvdf.device"));
    }

    #[test]
    fn every_loader_and_firmware_failure() {
        let cases: &[(&[&str], Step, &str)] = &[
            (&["Boot failed: not a bootable disk", "No bootable device."], Step::Firmware, "Boot failed"),
            (
                &[
                    "BdsDxe: failed to load Boot0001 \"UEFI QEMU HARDDISK\": Not Found",
                    "UEFI Interactive Shell v2.2",
                ],
                Step::Firmware,
                "UEFI",
            ),
            (
                &["error: file `/boot/grub/i386-pc/normal.mod' not found.", "grub rescue>"],
                Step::Loader,
                "normal.mod",
            ),
            (
                &[
                    "error: file `/boot/vmlinuz-6' not found.",
                    "Failed to boot both default and fallback entries.",
                ],
                Step::Loader,
                "vmlinuz-6",
            ),
            (
                &["GNU GRUB version 2.06", "Minimal BASH-like line editing is supported."],
                Step::Loader,
                "Minimal",
            ),
            (
                &["Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"],
                Step::Root,
                "unknown-block",
            ),
            (&["Kernel panic - not syncing: Attempted to kill init!"], Step::Kernel, "kill init"),
            (
                &[
                    "Warning: /dev/disk/by-uuid/1 does not exist",
                    "Entering emergency mode. Exit the shell to continue.",
                ],
                Step::Root,
                "by-uuid",
            ),
        ];
        for (lines, step, evidence) in cases {
            let found = stopped(lines);
            assert!(found.0 == *step && found.2.contains(evidence), "{found:?} for {lines:?}");
        }
    }

    #[test]
    fn a_machine_that_ends_has_stopped_where_it_was() {
        let reading = read(&[
            "Linux version 6.1",
            "Gave up waiting for root file system device.",
            "Rebooting automatically due to panic= boot argument",
        ]);
        assert!(!reading.is_final() && reading.verdict(false).is_none());
        assert!(matches!(reading.verdict(true), Some(Verdict::Stopped { step: Step::Root, .. })));
        let reading = read(&["Linux version 6.1"]);
        assert!(matches!(reading.verdict(true), Some(Verdict::Stopped { step: Step::Kernel, .. })));
        assert_eq!(read(&[]).verdict(true), None);
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

//! One test boot, from the start of the machine to its verdict.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use libdisk::{Format, block};
use serde::Serialize;

use super::console::Console;
use super::machine::{Devices, Generation, Qemu};
use super::verdict::{Reading, Step, Verdict};
use crate::answer::Help;

/// What to do where there is no QEMU that can.
const NEEDS_QEMU: &str = "test boots need QEMU: Debian packages qemu-system-x86 and ovmf, or --qemu PATH";
/// What to do about a log that cannot be kept.
pub(super) const OTHER_LOG: &str = "name another file with --log";
/// After this long without a word, a line without an end is a prompt.
const PROMPT: Duration = Duration::from_millis(300);
/// After the verdict the machine goes on for this long: what follows often names the cause.
const AFTERWORD: Duration = Duration::from_secs(3);
/// A machine that says nothing for this long will not. systemd's longest wait is 90 s, and it shows that one.
const SILENCE: Duration = Duration::from_secs(240);
/// The same, while only the firmware has spoken: what it starts is seen on the serial console, or hangs.
const FIRMWARE_SILENCE: Duration = Duration::from_secs(90);

/// What to boot, and how.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The image; it is opened for reading only.
    pub(crate) image: PathBuf,
    /// Its format, which QEMU is told: it must never guess.
    pub(crate) format: Format,
    /// The size of the disk in it, in bytes.
    pub(crate) size: u64,
    /// The machine to boot it on.
    pub(crate) generation: Generation,
    /// The QEMU to use instead of `qemu-system-x86_64`.
    pub(crate) qemu: Option<PathBuf>,
    /// Memory in MiB.
    pub(crate) memory: u32,
    /// When to give up.
    pub(crate) timeout: Duration,
    /// Where to keep what the serial console said, byte for byte.
    pub(crate) log: PathBuf,
}

/// A step, and when it was reached.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Milestone {
    /// The step.
    pub(crate) step: Step,
    /// Seconds after the start of the machine, to a tenth.
    pub(crate) seconds: f64,
}

/// What a test boot found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    /// How it ended.
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    /// The last step reached.
    pub(crate) reached: Option<Step>,
    /// When each step was reached first.
    pub(crate) milestones: Vec<Milestone>,
    /// Devices in `/etc/fstab` that systemd waited for in vain: the machine boots, slowly.
    pub(crate) waited_for: Vec<String>,
    /// Through which devices the guest saw its disk.
    pub(crate) devices: Devices,
    /// What executed it.
    pub(crate) accelerator: &'static str,
    /// The seconds it took in all.
    pub(crate) seconds: f64,
    /// The serial console's log.
    pub(crate) log: PathBuf,
}

/// Boots the machine and reads its serial console until the verdict is final, it falls silent, or the time is over.
/// `on_step` is told of every step when it is reached. The image does not change.
///
/// # Errors
/// When QEMU or its firmware is missing, or refuses the image; or the log cannot be written.
pub(crate) fn run(request: &Request, mut on_step: impl FnMut(Milestone)) -> Result<Outcome> {
    let qemu = Qemu::find(request.qemu.as_deref()).help(NEEDS_QEMU)?;
    let log = request.log.display();
    let mut file = block::open_sidecar(&request.log, block::mode_like(&request.image)?).help(OTHER_LOG)?;
    file.set_len(0).with_context(|| log.to_string()).help(OTHER_LOG)?;
    let start = Instant::now();
    let mut machine = qemu.start(request).help(NEEDS_QEMU)?;
    let bytes = listen(machine.console()?);

    let mut console = Console::default();
    let mut reading = Reading::default();
    let mut milestones = Vec::new();
    let mut heard = start;
    let mut until = start + request.timeout;
    let mut gone = false;
    while !gone && Instant::now() < until && heard.elapsed() < patience(&reading) {
        let was_final = reading.is_final();
        let mut steps = Vec::new();
        match bytes.recv_timeout(PROMPT) {
            Ok(bytes) => {
                heard = Instant::now();
                file.write_all(&bytes).with_context(|| log.to_string()).help(OTHER_LOG)?;
                console.feed(&bytes, |line| steps.extend(reading.line(line)));
            }
            Err(RecvTimeoutError::Timeout) => steps = reading.prompt(&console.pending()),
            Err(RecvTimeoutError::Disconnected) => gone = true,
        }
        for step in steps {
            let milestone = Milestone { step, seconds: tenths(start) };
            on_step(milestone);
            milestones.push(milestone);
        }
        if reading.is_final() && !was_final {
            until = until.min(Instant::now() + AFTERWORD);
        }
    }
    if gone {
        // The last line may have had no end, and what QEMU itself says matters more than a machine's silence.
        reading.line(&console.pending());
        if let Some(complaint) = machine.complaint() {
            bail!("QEMU ended with {complaint}");
        }
    }
    drop(machine);

    let reached = reading.reached();
    let verdict = reading.verdict(gone).unwrap_or_else(|| {
        let last = reached
            .map_or("nothing was heard".to_owned(), |step| format!("the last step was: {}", step.label()));
        let why = if heard.elapsed() >= patience(&reading) {
            let silence = patience(&reading).as_secs();
            format!("silent for {silence} s; {last}; is a serial console configured?")
        } else {
            format!("not done after {} s; {last}", request.timeout.as_secs())
        };
        Verdict::Unknown { why }
    });
    let devices = qemu.devices(request.generation);
    Ok(Outcome {
        verdict: weigh(verdict, devices),
        reached,
        milestones,
        waited_for: reading.waited_for().to_vec(),
        devices,
        accelerator: qemu.accelerator(),
        seconds: tenths(start),
        log: request.log.clone(),
    })
}

/// A guest with drivers for Hyper-V alone does not find its root on an emulated disk, and is none the worse for it; one
/// that looks for a disk by Amazon's name will find it nowhere.
fn weigh(verdict: Verdict, devices: Devices) -> Verdict {
    match verdict {
        Verdict::Stopped { step: Step::Root, evidence, .. }
            if devices != Devices::VmBus
                && !["/dev/xvd", "/dev/nvme"].iter().any(|name| evidence.contains(name)) =>
        {
            let why = "it did not find its root on an emulated disk, as a guest with drivers for Hyper-V alone would not";
            Verdict::Unknown { why: format!("{why} ({evidence})") }
        }
        verdict => verdict,
    }
}

fn patience(reading: &Reading) -> Duration {
    if reading.reached() <= Some(Step::Firmware) { FIRMWARE_SILENCE } else { SILENCE }
}

fn tenths(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

/// Reads `console` on a thread of its own, which ends with the machine.
fn listen(mut console: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = console.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use testimages::{judge, lab, phony, real};

    use super::*;

    fn request(
        image: &Path,
        generation: Generation,
        qemu: Option<PathBuf>,
    ) -> (Request, tempfile::NamedTempFile) {
        let log = tempfile::NamedTempFile::new().unwrap();
        let request = Request {
            image: image.to_owned(),
            format: Format::Raw,
            size: image.metadata().unwrap().len(),
            generation,
            qemu,
            memory: 1024,
            timeout: Duration::from_secs(500),
            log: log.path().to_owned(),
        };
        (request, log)
    }

    #[track_caller]
    fn stopped(request: &Request) -> (Step, String) {
        let before = judge::sha256(&request.image);
        let outcome = run(request, |_| ()).unwrap();
        assert_eq!(judge::sha256(&request.image), before, "the image changed");
        assert!(request.log.metadata().unwrap().len() > 0);
        match outcome.verdict {
            Verdict::Stopped { step, evidence, .. } => (step, evidence),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_disk_without_boot_code_does_not_leave_the_bios() {
        if judge::need("qemu-system-x86_64").is_none() {
            return;
        }
        // No partition table, so no 0x55AA either.
        let Some(image) = phony::named("bare-ext4-pv").path() else { return };
        let (request, _log) = request(&image, Generation::Gen1, None);
        let (step, evidence) = stopped(&request);
        assert!(step == Step::Firmware && evidence.contains("not a bootable disk"), "{step:?}: {evidence}");
    }

    #[test]
    fn a_disk_without_an_efi_loader_does_not_leave_uefi() {
        if std::env::var_os("REFLOAT_LONG").is_none() {
            return judge::skip("REFLOAT_LONG=1, as a real guest is booted to the same end");
        }
        if judge::need("qemu-system-x86_64").is_none() {
            return;
        }
        if !Path::new("/usr/share/OVMF/OVMF_CODE_4M.fd").exists() {
            return judge::skip("UEFI firmware (Debian package ovmf)");
        }
        let Some(image) = phony::named("debian-gpt-efi").path() else { return };
        let (request, _log) = request(&image, Generation::Gen2, None);
        let (step, _) = stopped(&request);
        assert_eq!(step, Step::Firmware);
    }

    #[test]
    fn a_real_guest_out_of_ec2_does_not_find_its_root_on_hyper_v() {
        if std::env::var_os("REFLOAT_LONG").is_none() {
            return judge::skip("REFLOAT_LONG=1, as the boot takes a minute or two");
        }
        let (Some(image), Some(qemu)) = (real::debian(), lab::qemu()) else { return };
        let (request, _log) = request(&image, Generation::Gen1, Some(qemu));
        let (step, evidence) = stopped(&request);
        assert!(
            step == Step::Root && evidence.contains("ALERT!  /dev/xvda1 does not exist"),
            "{step:?}: {evidence}"
        );
    }

    #[test]
    fn an_emulated_disk_proves_nothing_against_drivers_for_hyper_v_alone() {
        let stopped =
            |evidence: &str| Verdict::Stopped { step: Step::Root, why: "", evidence: evidence.to_owned() };
        let by_uuid = stopped("ALERT!  UUID=24e7baea does not exist.  Dropping to a shell!");
        let by_name = stopped("ALERT!  /dev/xvda1 does not exist.  Dropping to a shell!");
        assert!(matches!(weigh(by_uuid.clone(), Devices::EmulatedIde), Verdict::Unknown { .. }));
        assert_eq!(weigh(by_uuid.clone(), Devices::VmBus), by_uuid);
        assert_eq!(weigh(by_name.clone(), Devices::EmulatedIde), by_name);
    }

    #[test]
    fn a_qemu_that_is_not_there_is_an_error() {
        let (request, _log) =
            request(Path::new("/dev/null"), Generation::Gen1, Some("/nonexistent/qemu".into()));
        assert!(run(&request, |_| ()).unwrap_err().to_string().contains("/nonexistent/qemu"));
    }
}

//! One test boot, from the start of the machine to its verdict.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use guestfix::Target;
use guestfix::bootwalk::HopKind;
use libdisk::Format;
use libdisk::block::{self, Disk};
use serde::{Serialize, Serializer};

use crate::console::Console;
use crate::machine::{Machine, Qemu};
use crate::network::{self, Heard};
use crate::verdict::Reading;
use crate::{Devices, Direct, Error, Network, Result, Verdict, direct};

/// How often the console is asked, and the cancel flag looked at. After this long without a byte, a line
/// without an end is a prompt.
const PROMPT: Duration = Duration::from_millis(300);
/// After the verdict the machine goes on for this long: what follows often names the cause.
const AFTERWORD: Duration = Duration::from_secs(3);
/// How often the screen is looked at while a loader, or what it has started, is silent.
const LOOK: Duration = Duration::from_secs(20);

/// What to boot, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The disks of the machine, that which it starts from first; they are opened for reading only.
    pub disks: Vec<Drive>,
    /// What is started without firmware and boot loader, on a network; `None` starts the disk.
    pub direct: Option<Direct>,
    /// The platform whose machine it is booted on.
    pub target: &'static Target,
    /// The QEMU to use instead of `qemu-system-x86_64`.
    pub qemu: Option<PathBuf>,
    /// Memory in MiB.
    pub memory: u32,
    /// When to give up.
    pub timeout: Duration,
    /// Where to keep what the serial console said, byte for byte.
    pub log: PathBuf,
}

/// A disk of the machine to boot.
#[derive(Clone, Debug)]
pub enum Drive {
    /// An image that QEMU reads.
    File {
        /// The image.
        path: PathBuf,
        /// Its format, which QEMU is told: it must never guess.
        format: &'static Format,
        /// The size of the disk in it, in bytes.
        size: u64,
    },
    /// A disk that we read for QEMU, as far as the guest asks for it.
    Served(Disk),
}

/// A hop of the boot, and when it was reached.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Milestone {
    /// The hop, in the words of the boot walk.
    pub hop: HopKind,
    /// Seconds after the start of the machine, to a tenth.
    pub seconds: f64,
}

/// What started the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Started {
    /// The machine's own boot loader.
    Loader,
    /// QEMU: boot loader and menu were not tried.
    Qemu,
}

/// What a test boot found.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outcome {
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The last hop reached.
    pub reached: Option<HopKind>,
    /// When each hop was reached first, as far as the console shows it.
    pub milestones: Vec<Milestone>,
    /// What started the kernel.
    pub started: Started,
    /// What its network showed, where the machine was started directly and came to its login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Devices in `/etc/fstab` that systemd waited for in vain: the machine boots, slowly.
    pub waited_for: Vec<String>,
    /// Through which devices the guest saw its disk.
    pub devices: Devices,
    /// What executed it.
    pub accelerator: &'static str,
    /// The seconds it took in all.
    pub seconds: f64,
    /// The serial console's log.
    #[serde(serialize_with = "shown")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub log: PathBuf,
}

/// JSON has no place for a path that is not UTF-8.
fn shown<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&block::shown(path))
}

/// Boots the machine and reads its serial console until the verdict is final, it falls silent, or the time is
/// over. `on_hop` is told of every hop when it is reached. The image does not change. Once `cancel` is set,
/// the machine is killed and what it wrote is removed within half a second.
///
/// # Errors
/// When QEMU or its firmware is missing, or refuses the image; when a disk that is served cannot be read; when
/// the log cannot be written; [`Error::Cancelled`].
pub fn run(request: &Request, cancel: &AtomicBool, mut on_hop: impl FnMut(Milestone)) -> Result<Outcome> {
    let qemu = Qemu::find(request.qemu.as_deref())?;
    let mut file = block::open_sidecar(&request.log, mode_of_log(request)?)?;
    file.set_len(0).map_err(Error::log(&request.log))?;
    let start = Instant::now();
    let port = request.direct.is_some().then(network::free_port).transpose()?;
    let mut machine = qemu.start(request, port)?;
    let bytes = listen(machine.console());

    let mut console = Console::default();
    let mut reading = Reading::default();
    let mut milestones = Vec::new();
    let mut silence = Silence::new(&machine);
    let (mut looked, mut kernel_speaks) = (start, false);
    let mut until = start + request.timeout;
    let mut gone = false;
    while !gone && Instant::now() < until && silence.lasts(&machine) < reading.patience() {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        if let Some(error) = machine.unread() {
            return Err(Error::Disk(error));
        }
        let was_final = reading.is_final();
        let mut hops = Vec::new();
        if !kernel_speaks && silence.since.max(looked).elapsed() >= LOOK {
            // A kernel that does not unpack itself says so on the screen alone, and so does a guest without a
            // serial console.
            looked = Instant::now();
            for row in machine.screen(cancel) {
                hops.extend(reading.line(&row));
            }
        }
        match bytes.recv_timeout(PROMPT) {
            Ok(bytes) => {
                silence = Silence::new(&machine);
                file.write_all(&bytes).map_err(Error::log(&request.log))?;
                console.feed(&bytes, |line| hops.extend(reading.line(line)));
                kernel_speaks |= hops.iter().any(|hop| *hop >= HopKind::Kernel);
            }
            Err(RecvTimeoutError::Timeout) => hops.extend(reading.prompt(&console.pending())),
            Err(RecvTimeoutError::Disconnected) => gone = true,
        }
        for hop in hops {
            let milestone = Milestone { hop, seconds: tenths(start) };
            on_hop(milestone);
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
            return Err(Error::Qemu(complaint));
        }
    }
    let silent = !gone && silence.lasts(&machine) >= reading.patience();
    let network = match (&request.direct, port) {
        (Some(direct), Some(port)) if !gone && reading.verdict(false) == Some(Verdict::Login) => {
            let heard = network::ask(port, network::PATIENCE, || {
                for bytes in bytes.try_iter() {
                    file.write_all(&bytes).map_err(Error::log(&request.log))?;
                }
                if cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
            })?;
            Some(told(direct, request.target, heard, tenths(start)))
        }
        _ => None,
    };
    drop(machine);

    let reached = reading.reached();
    let verdict = if silent { reading.silent() } else { reading.verdict(gone) };
    let verdict = verdict.unwrap_or_else(|| {
        let last = reached.map_or("nothing was heard".to_owned(), |hop| format!("the last hop was: {hop}"));
        let why = if gone {
            format!("the machine powered off or reset after {} s; {last}", tenths(start))
        } else if silent {
            let silence = silence.since.elapsed().as_secs();
            format!("silent for {silence} s; {last}; is a serial console configured?")
        } else {
            format!("not done after {} s; {last}", request.timeout.as_secs())
        };
        Verdict::Unknown { hop: None, why }
    });
    let devices = qemu.devices(request.target);
    Ok(Outcome {
        verdict: weigh(verdict, devices),
        reached,
        milestones,
        started: if request.direct.is_some() { Started::Qemu } else { Started::Loader },
        network,
        waited_for: reading.waited_for().to_vec(),
        devices,
        accelerator: qemu.accelerator(),
        seconds: tenths(start),
        log: request.log.clone(),
    })
}

/// How long the machine has said nothing, as far as it could have.
struct Silence {
    since: Instant,
    delayed: Duration,
}

impl Silence {
    fn new(machine: &Machine) -> Self {
        Self { since: Instant::now(), delayed: machine.delayed() }
    }

    /// Without the time that a busy host had no processor for it.
    fn lasts(&self, machine: &Machine) -> Duration {
        self.since.elapsed().saturating_sub(machine.delayed().saturating_sub(self.delayed))
    }
}

/// A guest with drivers for Hyper-V alone does not find its root on an emulated disk, and is none the worse
/// for it; one that looks for a disk by Amazon's name will find it nowhere.
fn weigh(verdict: Verdict, devices: Devices) -> Verdict {
    match verdict {
        Verdict::Stopped { hop: HopKind::Root, evidence, .. }
            if devices != Devices::VmBus
                && !["/dev/xvd", "/dev/nvme"].iter().any(|name| evidence.contains(name)) =>
        {
            let why = "it did not find its root on an emulated disk, as a guest with drivers for Hyper-V alone would not";
            Verdict::Unknown { hop: Some(HopKind::Root), why: format!("{why} ({evidence})") }
        }
        verdict => verdict,
    }
}

fn told(direct: &Direct, target: &Target, heard: Heard, seconds: f64) -> Network {
    let address = heard != Heard::Silence;
    let banner = match heard {
        Heard::Banner(banner) => Some(banner),
        Heard::Closed | Heard::Silence => None,
    };
    let mac = direct::mac(target);
    Network { card: direct.card, mac, address, answered: banner.is_some(), banner, seconds }
}

fn tenths(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

/// Reads `console` on a thread of its own, which ends with the machine.
fn listen(console: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let Some(mut console) = console else { return };
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = console.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}

/// The log may quote any of the disks, so it is for those alone who may read them all.
fn mode_of_log(request: &Request) -> Result<u32> {
    let modes = request.disks.iter().filter_map(|drive| match drive {
        Drive::File { path, .. } => Some(block::mode_like(path)),
        Drive::Served(_) => None,
    });
    let modes = modes.collect::<block::Result<Vec<_>>>()?;
    Ok(modes.into_iter().fold(block::ANY_MODE, |all, mode| all & mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use testimages::{judge, lab, real, synthetic};

    use super::*;
    use guestfix::platform::azure;

    fn request(image: &Path, target: &'static Target, qemu: Option<PathBuf>) -> (Request, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let request = Request {
            disks: vec![Drive::File {
                path: image.to_owned(),
                format: &libdisk::image::raw::FORMAT,
                size: image.metadata().unwrap().len(),
            }],
            direct: None,
            target,
            qemu,
            memory: 1024,
            timeout: Duration::from_secs(500),
            log: folder.path().join("serial.log"),
        };
        (request, folder)
    }

    #[track_caller]
    fn stopped(request: &Request) -> (HopKind, String) {
        let Drive::File { path, .. } = &request.disks[0] else { panic!("no file") };
        let before = judge::sha256(path);
        let outcome = run(request, &AtomicBool::new(false), |_| ()).unwrap();
        assert_eq!(judge::sha256(path), before, "the image changed");
        assert!(request.log.metadata().unwrap().len() > 0);
        match outcome.verdict {
            Verdict::Stopped { hop, evidence, .. } => (hop, evidence),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_disk_without_boot_code_does_not_leave_the_bios() {
        if judge::need("qemu-system-x86_64").is_none() {
            return;
        }
        // No partition table, so no 0x55AA either.
        let Some(image) = synthetic::named("bare-ext4-pv").path() else { return };
        let (request, _folder) = request(&image, &azure::GEN1, None);
        let (hop, evidence) = stopped(&request);
        assert!(hop == HopKind::Firmware && evidence.contains("not a bootable disk"), "{hop}: {evidence}");
    }

    #[test]
    fn a_disk_without_an_efi_loader_does_not_leave_uefi() {
        if !testimages::length::long() {
            return judge::skip("REFLOAT_LONG=1, as a real guest is booted to the same end");
        }
        if judge::need("qemu-system-x86_64").is_none() {
            return;
        }
        if !Path::new("/usr/share/OVMF/OVMF_CODE_4M.fd").exists() {
            return judge::skip("UEFI firmware (Debian package ovmf)");
        }
        let Some(image) = synthetic::named("debian-gpt-efi").path() else { return };
        let (request, _folder) = request(&image, &azure::GEN2, None);
        let (hop, _) = stopped(&request);
        assert_eq!(hop, HopKind::Firmware);
    }

    #[test]
    fn a_real_guest_out_of_ec2_does_not_find_its_root_on_hyper_v() {
        if !testimages::length::long() {
            return judge::skip("REFLOAT_LONG=1, as the boot takes a minute or two");
        }
        let (Some(image), Some(qemu)) = (real::debian(), lab::qemu()) else { return };
        let (request, _folder) = request(&image, &azure::GEN1, Some(qemu));
        let (hop, evidence) = stopped(&request);
        assert!(
            hop == HopKind::Root && evidence.contains("ALERT!  /dev/xvda1 does not exist"),
            "{hop}: {evidence}"
        );
    }

    #[test]
    fn an_emulated_disk_proves_nothing_against_drivers_for_hyper_v_alone() {
        let stopped =
            |evidence: &str| Verdict::Stopped { hop: HopKind::Root, why: "", evidence: evidence.to_owned() };
        let by_uuid = stopped("ALERT!  UUID=24e7baea does not exist.  Dropping to a shell!");
        let by_name = stopped("ALERT!  /dev/xvda1 does not exist.  Dropping to a shell!");
        assert!(matches!(weigh(by_uuid.clone(), Devices::EmulatedIde), Verdict::Unknown { .. }));
        assert_eq!(weigh(by_uuid.clone(), Devices::VmBus), by_uuid);
        assert_eq!(weigh(by_name.clone(), Devices::EmulatedIde), by_name);
    }

    #[test]
    fn a_qemu_that_is_not_there_is_an_error() {
        let (request, _folder) =
            request(Path::new("/dev/null"), &azure::GEN1, Some("/nonexistent/qemu".into()));
        let error = run(&request, &AtomicBool::new(false), |_| ()).unwrap_err();
        assert!(matches!(&error, Error::Start { .. }) && error.to_string().contains("/nonexistent/qemu"));
    }

    /// A program that answers as QEMU does, and whose machine is `machine`, a shell script.
    fn pretender(folder: &Path, machine: &str) -> PathBuf {
        let path = folder.join("qemu");
        let script = format!("#!/bin/sh\ncase \"$*\" in *help*) exit 0;; esac\n{machine}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_cancelled_boot_leaves_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let machine = format!("echo $$ > {}; echo SeaBIOS; exec sleep 100", pid.display());
        let qemu = pretender(folder.path(), &machine);
        let (request, _folder) = request(Path::new("/dev/null"), &azure::GEN1, Some(qemu));
        let (start, cancel) = (Instant::now(), AtomicBool::new(false));
        let error = run(&request, &cancel, |_| cancel.store(true, Ordering::Relaxed)).unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20));
        let pid = std::fs::read_to_string(pid).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "the machine still runs");
    }

    #[test]
    fn a_machine_that_ends_at_once_is_not_told_as_a_timeout() {
        let folder = tempfile::tempdir().unwrap();
        let (quiet, _kept) =
            request(Path::new("/dev/null"), &azure::GEN1, Some(pretender(folder.path(), "exit 0")));
        match run(&quiet, &AtomicBool::new(false), |_| ()).unwrap().verdict {
            Verdict::Unknown { why, .. } => assert!(why.contains("powered off or reset"), "{why}"),
            other => panic!("{other:?}"),
        }
        let complaint = pretender(folder.path(), "echo no such machine >&2; exit 1");
        let (failing, _too) = request(Path::new("/dev/null"), &azure::GEN1, Some(complaint));
        let error = run(&failing, &AtomicBool::new(false), |_| ()).unwrap_err();
        assert!(error.to_string().contains("no such machine"), "{error}");
    }
}

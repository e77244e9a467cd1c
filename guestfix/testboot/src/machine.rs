//! The virtual machine: QEMU with the devices of the target, and none of those that only Amazon has.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use guestfix::Target;
use guestfix::platform::Firmware;
use libdisk::image::vhd;
use libdisk::{Format, block};
use serde::Serialize;
use tempfile::TempDir;

use crate::nbd::Server;
use crate::screen;
use crate::{Drive, Error, Request, Result, Started};

/// Through which devices the guest saw its disk; a verdict is worth no more than they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Devices {
    /// QEMU's PIIX IDE controller.
    EmulatedIde,
    /// QEMU's AHCI controller.
    EmulatedAhci,
    /// Hyper-V's VMBus storage: the laboratory.
    VmBus,
}

impl Devices {
    /// In words, with what they leave unproven.
    pub fn label(self, started: Started) -> String {
        let (devices, and, not) = match self {
            Self::EmulatedIde => ("emulated IDE", "", "the Hyper-V drivers"),
            Self::EmulatedAhci => ("emulated AHCI and UEFI", "", "the Hyper-V drivers"),
            Self::VmBus => ("Hyper-V VMBus storage", " and storage driver", "the network driver"),
        };
        match started {
            Started::Loader => format!("{devices}: proves boot loader, system{and}, not {not}"),
            Started::Qemu => format!("{devices}: proves system{and}, not boot loader and {not}"),
        }
    }
}

/// A QEMU and what it can do.
pub(crate) struct Qemu {
    program: PathBuf,
    vmbus: bool,
    kvm: bool,
}

impl Qemu {
    /// Asks the program, or `qemu-system-x86_64`, for its devices; and whether KVM is to be had.
    pub(crate) fn find(program: Option<&Path>) -> Result<Self> {
        let program = program.map_or_else(|| PathBuf::from("qemu-system-x86_64"), Path::to_owned);
        let mut help = Command::new(&program);
        help.args(DATA).args(["-device", "help"]).stdin(Stdio::null());
        let help = help.output().map_err(Error::start(&program))?;
        if !help.status.success() {
            let said = String::from_utf8_lossy(&help.stderr).trim().to_owned();
            return Err(Error::NotQemu { program, said });
        }
        let vmbus = String::from_utf8_lossy(&help.stdout).contains("\"hv-storvsc\"");
        let kvm = !vmbus && kvm_runs(&program);
        Ok(Self { program, vmbus, kvm })
    }

    /// What executes the guest's instructions, in words.
    pub(crate) fn accelerator(&self) -> &'static str {
        if self.kvm { "KVM" } else { "TCG (emulated instruction by instruction)" }
    }

    /// The devices that a guest for `target` will see. VMBus is for BIOS guests: QEMU's UEFI has no driver
    /// for it.
    pub(crate) fn devices(&self, target: &Target) -> Devices {
        match target.firmware {
            Firmware::Bios if self.vmbus => Devices::VmBus,
            Firmware::Bios => Devices::EmulatedIde,
            Firmware::Uefi => Devices::EmulatedAhci,
        }
    }

    /// Starts the machine; `port` is the one of ours that leads to its port 22, where it is started directly.
    /// Every write of the guest goes to a temporary file that QEMU deletes.
    pub(crate) fn start(&self, request: &Request, port: Option<u16>) -> Result<Machine> {
        let state = TempDir::with_prefix("refloat-boot-").map_err(Error::state(&std::env::temp_dir()))?;
        let mut command = Command::new(&self.program);
        let mut monitor = OsString::from("unix:");
        monitor.push(doubled(&state.path().join(MONITOR)));
        monitor.push(",server=on,wait=off");
        command.args(DATA).args(ALONE.split(' ')).arg("-monitor").arg(monitor).args([
            "-smp",
            "1",
            "-m",
            &request.memory.to_string(),
        ]);
        // Without these two CPU features some kernels fail under TCG.
        let accelerator = if self.kvm { ["kvm", "host"] } else { ["tcg,thread=multi", "max,-la57,-pku"] };
        command.args(["-accel", accelerator[0], "-cpu", accelerator[1]]);
        let mut servers = Vec::new();
        let disks = request.disks.iter().enumerate().map(|(number, drive)| match drive {
            Drive::File { path, format, size } => Ok(Opened::file(path, format, *size)),
            Drive::Served(disk) => {
                let socket = state.path().join(format!("disk{number}"));
                let server = Server::start(disk.clone(), socket.clone()).map_err(Error::state(&socket))?;
                let opened = Opened::served(server.socket());
                servers.push(server);
                Ok(opened)
            }
        });
        let disks = disks.collect::<Result<Vec<_>>>()?;
        let (first, data) = disks.split_first().ok_or(Error::Disks { most: 0, given: 0 })?;
        let devices = self.devices(request.target);
        // The disk that the firmware starts; nothing of it is started where QEMU brings the kernel.
        let boot_disk = if request.direct.is_some() { IDE } else { IDE_BOOT };
        match (&request.direct, port) {
            (Some(direct), Some(port)) => {
                command.args(direct.options()).args(direct.network(request.target, port));
            }
            _ if devices == Devices::VmBus => {
                command.args(["-nic", "none"]);
            }
            _ => {
                command.args(NETWORK.split(' '));
            }
        }
        match devices {
            Devices::VmBus => {
                // As Azure does it: the firmware and GRUB read the IDE disk, and the kernel the same disk by
                // VMBus only, because on Microsoft's machine ata_piix steps aside.
                command.env("HVTCG", "1").env("HVIDE", "1").args(["-machine", "pc"]);
                command.args(["-smbios", MICROSOFT, "-drive"]).arg(first.drive("boot"));
                command.args(["-device", boot_disk]);
                command.args(["-device", "vmbus-bridge", "-device", VMBUS_IDE_CHANNEL]);
                command.arg("-drive").arg(first.drive("disk"));
                command.args(["-device", "scsi-hd,drive=disk,bus=hvs.0"]);
            }
            Devices::EmulatedIde => {
                command.args(["-machine", "pc", "-drive"]).arg(first.drive("boot"));
                command.args(["-device", boot_disk]);
            }
            Devices::EmulatedAhci => {
                let (code, variables) = uefi()?;
                let copy = state.path().join("variables.fd");
                fs::copy(variables, &copy).map_err(Error::state(&copy))?;
                let flash = |file: &Path| format!("if=pflash,format=raw,file={}", file.display());
                command.args([
                    "-machine",
                    "q35",
                    "-drive",
                    &(flash(code) + ",readonly=on"),
                    "-drive",
                    &flash(&copy),
                ]);
                command.arg("-drive").arg(first.drive("boot")).args(["-device", boot_disk]);
            }
        }
        let most = most_data(devices);
        if data.len() > most {
            return Err(Error::Disks { most, given: request.disks.len() });
        }
        for (number, further) in (1..).zip(data) {
            let id = format!("data{number}");
            command.arg("-drive").arg(further.drive(&id)).args(attach(devices, number, &id));
        }
        let mut command = bound_to_us(command);
        tracing::debug!(?command, "starting the machine");
        let errors = state.path().join("errors");
        let said = File::create(&errors).map_err(Error::state(&errors))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said);
        let mut child = command.spawn().map_err(Error::start(&self.program))?;
        let console = child.stdout.take();
        Ok(Machine { console, process: Guard(child), servers, errors, state })
    }
}

/// The command, ended by the kernel when we are, be it by SIGKILL, where `setpriv` is installed (util-linux).
fn bound_to_us(command: Command) -> Command {
    let options = ["--pdeathsig", "KILL", "--"];
    let mut probe = Command::new("setpriv");
    probe.args(options).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        return command;
    }
    let mut bound = Command::new("setpriv");
    bound.args(options).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    bound
}

/// QEMU's own console, in the folder of the machine's state.
const MONITOR: &str = "monitor";

/// Where QEMU's ROMs are, for one that was not installed by the distribution.
const DATA: [&str; 4] = ["-L", "/usr/share/qemu", "-L", "/usr/share/seabios"];

/// Nothing but what is asked for, its serial console on ours, and an end instead of a reset.
const ALONE: &str =
    "-nodefaults -no-user-config -no-reboot -nographic -serial stdio -boot strict=on -device VGA";

/// A card that neither cloud has, on a network that leads nowhere but gives addresses: services that wait for
/// one go on.
const NETWORK: &str = "-netdev user,id=net,restrict=on -device e1000,netdev=net,romfile=";

/// The first disk; on q35 the same name is an AHCI port.
const IDE: &str = "ide-hd,drive=boot,bus=ide.0";

/// The same, as the one that the firmware starts.
const IDE_BOOT: &str = "ide-hd,drive=boot,bus=ide.0,bootindex=0";

/// How a guest knows Hyper-V's virtual machine.
const MICROSOFT: &str = "type=1,manufacturer=Microsoft Corporation,product=Virtual Machine";

/// The VMBus channel that stands for the first IDE controller's disks.
const VMBUS_IDE_CHANNEL: &str = "hv-storvsc,id=hvs,instanceid=00000000-0000-8899-0000-000000000000";

/// The same for the second disk there: the number of the disk is in the second group.
const VMBUS_IDE_SECOND: &str = "hv-storvsc,id=data,instanceid=00000000-0001-8899-0000-000000000000";

/// As many further disks have a place on the machine: PIIX has two IDE channels of two disks, and the
/// laboratory's VMBus the first of them.
fn most_data(devices: Devices) -> usize {
    if devices == Devices::VmBus { 1 } else { 3 }
}

/// The options that give a further disk, the drive `id`, to the guest; `number` counts from 1.
fn attach(devices: Devices, number: usize, id: &str) -> Vec<String> {
    let options =
        |all: &[String]| -> Vec<_> { all.iter().flat_map(|o| ["-device".into(), o.clone()]).collect() };
    match devices {
        Devices::VmBus => {
            options(&[VMBUS_IDE_SECOND.to_owned(), format!("scsi-hd,drive={id},bus=data.0,scsi-id=1")])
        }
        Devices::EmulatedIde => {
            options(&[format!("ide-hd,drive={id},bus=ide.{},unit={}", number / 2, number % 2)])
        }
        Devices::EmulatedAhci => options(&[format!("ide-hd,drive={id},bus=ide.{number}")]),
    }
}

/// The options by which QEMU opens a disk.
struct Opened(OsString);

impl Opened {
    fn file(path: &Path, format: &Format, size: u64) -> Self {
        let format = if *format == vhd::FORMAT {
            // QEMU takes the size of a VHD from its geometry, which is smaller, unless it knows who made it.
            format!("raw,size={size}")
        } else {
            // One that QEMU does not know it refuses.
            format.qemu_name.unwrap_or(format.name).to_owned()
        };
        Self::at(&format!("format={format},file.locking=off,file="), path)
    }

    fn served(socket: &Path) -> Self {
        Self::at("format=raw,file.driver=nbd,file.server.type=unix,file.server.path=", socket)
    }

    /// `options`, of which the last one is a path.
    fn at(options: &str, path: &Path) -> Self {
        let mut all = OsString::from(options);
        all.push(doubled(path));
        Self(all)
    }

    /// The option that opens it as the drive `id`, writes going elsewhere.
    fn drive(&self, id: &str) -> OsString {
        let mut option = OsString::from(format!("if=none,id={id},snapshot=on,"));
        option.push(&self.0);
        option
    }
}

/// A path in an option: a comma ends it unless it is doubled.
fn doubled(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes().iter();
    let bytes = bytes.flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b',' { 2 } else { 1 }));
    OsString::from_vec(bytes.collect())
}

/// Where distributions keep UEFI for virtual machines: the code, and the variables to copy.
const UEFI: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
];

fn uefi() -> Result<(&'static Path, &'static Path)> {
    let mut pairs = UEFI.iter().map(|(code, variables)| (Path::new(code), Path::new(variables)));
    pairs.find(|(code, variables)| code.exists() && variables.exists()).ok_or(Error::NoFirmware)
}

/// Whether KVM really runs guests here. A `/dev/kvm` without processor support emulates them, slower than
/// TCG, and one in a cloud may abort; so a probe must get as far as the firmware's first word.
fn kvm_runs(program: &Path) -> bool {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let able = processor.split_whitespace().any(|flag| flag == "vmx" || flag == "svm");
    if !able || File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return false;
    }
    let mut probe = Command::new(program);
    probe.args(DATA).args([
        "-nodefaults",
        "-machine",
        "pc",
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-m",
        "64",
        "-nographic",
    ]);
    probe.args(["-device", "VGA", "-serial", "stdio", "-monitor", "none"]);
    let Ok(child) = probe.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
        return false;
    };
    let mut machine = Guard(child);
    let Some(mut console) = machine.0.stdout.take() else { return false };
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut bytes = [0; 512];
        while let Ok(count @ 1..) = console.read(&mut bytes) {
            seen.extend_from_slice(&bytes[..count]);
            if String::from_utf8_lossy(&seen).contains("SeaBIOS") {
                let _ = send.send(());
                break;
            }
        }
    });
    receive.recv_timeout(Duration::from_secs(5)).is_ok()
}

/// Ends a process that we started, whatever happens.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running machine; it ends when this is dropped.
pub(crate) struct Machine {
    console: Option<ChildStdout>,
    process: Guard,
    servers: Vec<Server>,
    errors: PathBuf,
    state: TempDir,
}

impl Machine {
    /// The serial console, to be read; `None` if it was taken before.
    pub(crate) fn console(&mut self) -> Option<ChildStdout> {
        self.console.take()
    }

    /// The text on the machine's screen.
    pub(crate) fn screen(&self, cancel: &AtomicBool) -> Vec<String> {
        screen::rows(&self.state.path().join(MONITOR), &self.state.path().join("screen"), cancel)
    }

    /// Why a disk that is served could not be read, if so.
    pub(crate) fn unread(&self) -> Option<block::Error> {
        self.servers.iter().find_map(Server::failure)
    }

    /// How long its processor has waited for one of the host's so far; nothing where the host does not say.
    pub(crate) fn delayed(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.0.id()));
        let tasks = tasks.into_iter().flatten().flatten();
        let delays = tasks.filter_map(|task| delay(&fs::read_to_string(task.path().join("schedstat")).ok()?));
        delays.max().unwrap_or_default()
    }

    /// What QEMU itself complained of, when it ended; waits a moment for the process.
    pub(crate) fn complaint(&mut self) -> Option<String> {
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            if let Ok(Some(status)) = self.process.0.try_wait() {
                let said = fs::read_to_string(&self.errors).unwrap_or_default();
                return (!status.success()).then(|| format!("{status}: {}", said.trim()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

/// The second number of a thread's `schedstat`: how long it could have run and did not, in nanoseconds (Linux,
/// `Documentation/scheduler/sched-stats.rst`).
fn delay(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_says_how_long_it_waited_for_a_processor() {
        assert_eq!(delay("52417 1500000000 3\n"), Some(Duration::from_millis(1500)));
        assert_eq!(delay("52417\n"), None);
        assert_eq!(delay(""), None);
        let own = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        assert!(delay(&own).is_some(), "{own}");
    }
}

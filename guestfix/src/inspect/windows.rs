//! A Windows guest: what its hives and a few files say.

use libdisk::vfs::FsError;
use libdisk::volume::SignatureKind;

use crate::facts::windows::{DriveLetter, RemoteDesktop, Service, StaticAddress, Windows};
use crate::facts::{Agent, Facts, Family, Os, OsKind};
use crate::platform::{TARGETS, aws, azure};
use crate::registry::{self, ControlSets, Opened, SOFTWARE, SYSTEM, Services, filters};
use crate::tree::windows::is_mounted;
use crate::unread::{Known, Noting, distinct};
use crate::{Error, Result, View};

/// What a Windows has and no Linux; names of NTFS are found in whatever case they are written.
const SYSTEM_FOLDER: &str = "/Windows/System32";
/// What a Linux has and no Windows.
const OS_RELEASES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// Where SOFTWARE says which Windows it is.
const VERSION: &str = r"Microsoft\Windows NT\CurrentVersion";
/// The first build that is a Windows 11, whatever its `ProductName` says.
const WINDOWS_11: u32 = 22000;

/// Services that a machine is reached by, or that keep its time.
const REACHED_BY: [&str; 5] = ["Dhcp", "TermService", "mpssvc", "W32Time", "Tcpip"];

/// Whether the guest is a Windows.
///
/// # Errors
/// If the guest cannot be read.
pub(crate) fn is(view: &dyn View) -> Result<bool> {
    for path in OS_RELEASES {
        if view.exists(path)? {
            return Ok(false);
        }
    }
    view.exists(SYSTEM_FOLDER)
}

/// What its hives say, read once.
struct Hives<'a> {
    view: &'a Noting<'a>,
    system: Option<Opened>,
    software: Option<Opened>,
    sets: ControlSets,
    /// The control set that starts.
    set: String,
}

impl<'a> Hives<'a> {
    fn of(view: &'a Noting<'a>) -> Result<Self> {
        let system = view.note(registry::open(view, SYSTEM))?;
        let software = view.note(registry::open(view, SOFTWARE))?;
        for (file, is_there) in [(SYSTEM, system.is_some()), (SOFTWARE, software.is_some())] {
            if !is_there && !view.exists(file.path)? {
                let what = "there is no such file, so nothing is known of what is in it".to_owned();
                view.note(Err::<(), _>(Error::Malformed { path: file.path.to_owned(), what }))?;
            }
        }
        let sets = system.as_ref().map_or(Ok(ControlSets::default()), ControlSets::of);
        let sets = view.note(sets)?;
        let set = sets.default.clone().unwrap_or_default();
        Ok(Self { view, system, software, sets, set })
    }

    /// What `read` says of SYSTEM; nothing where that cannot be read.
    fn system<T: Default>(&self, read: impl FnOnce(&Opened) -> Result<T>) -> Result<T> {
        self.view.note(self.system.as_ref().map_or(Ok(T::default()), read))
    }

    /// The same of SOFTWARE.
    fn software<T: Default>(&self, read: impl FnOnce(&Opened) -> Result<T>) -> Result<T> {
        self.view.note(self.software.as_ref().map_or(Ok(T::default()), read))
    }

    /// A key below `Control` of the set that starts.
    fn control(&self, key: &str) -> String {
        format!(r"{}\Control\{key}", self.set)
    }

    fn version(&self, value: &str) -> Result<Option<String>> {
        self.software(|hive| hive.text(VERSION, value))
    }

    fn build(&self) -> Result<Option<u32>> {
        let text = self.version("CurrentBuildNumber")?;
        let text = if text.is_some() { text } else { self.version("CurrentBuild")? };
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }

    /// "Windows Server 2019 Datacenter".
    fn os(&self) -> Result<Os> {
        let build = self.build()?;
        let name = self.version("ProductName")?.unwrap_or_else(|| "Windows".to_owned());
        let name = match build {
            Some(WINDOWS_11..) => name.replacen("Windows 10", "Windows 11", 1),
            _ => name,
        };
        let environment = self.control(r"Session Manager\Environment");
        let arch = self.system(|hive| hive.text(&environment, "PROCESSOR_ARCHITECTURE"))?;
        Ok(Os {
            kind: OsKind::Windows,
            id: "windows".to_owned(),
            version: build.map(|build| build.to_string()),
            pretty_name: name,
            family: Family::Other,
            arch: match arch.map(|arch| arch.to_ascii_uppercase()).as_deref() {
                Some("AMD64") => Some("x86_64"),
                Some("ARM64") => Some("aarch64"),
                Some("X86") => Some("i386"),
                _ => None,
            },
        })
    }

    fn hostname(&self) -> Result<Option<String>> {
        let key = self.control(r"ComputerName\ComputerName");
        self.system(|hive| hive.text(&key, "ComputerName"))
    }

    fn windows(&self) -> Result<Windows> {
        let view = self.view;
        let control = |key: &str| self.control(key);
        let memory = control(r"Session Manager\Memory Management");
        let state = r"Microsoft\Windows\CurrentVersion\Setup\State";
        let volumes = view.machine().volumes.iter();
        let encrypted = volumes.filter(|volume| volume.kind == Some(SignatureKind::BitLocker));
        let power = control(r"Session Manager\Power");
        let head = view.start("/hiberfil.sys", 4)?.unwrap_or_default();
        let filters = self.system(|hive| filters::of(hive, &self.set))?;
        filters.unread.into_iter().for_each(|(_, what)| view.note_unread(what));
        Ok(Windows {
            edition: self.version("EditionID")?,
            installation: self.version("InstallationType")?,
            build: self.build()?,
            product_type: self.system(|hive| hive.text(&control("ProductOptions"), "ProductType"))?,
            control_sets: self.sets.clone(),
            services: self.services()?,
            filters: filters.all,
            page_files: self.system(|hive| hive.texts(&memory, "PagingFiles"))?.unwrap_or_default(),
            letters: self.letters()?,
            addresses: self.addresses()?,
            remote_desktop: self.remote_desktop()?,
            firewall: self.firewall()?,
            pending: self.pending()?,
            image_state: self.software(|hive| hive.text(state, "ImageState"))?,
            hibernated: head.eq_ignore_ascii_case(b"hibr"),
            fast_startup: self.system(|hive| hive.dword(&power, "HiberbootEnabled"))? == Some(1),
            bitlocker: encrypted.map(|volume| volume.name.clone()).collect(),
            compact: false,
        })
    }

    fn services(&self) -> Result<Vec<Service>> {
        let mut found = Vec::new();
        let names = of_interest();
        for set in &self.sets.all {
            let services = self.system(|hive| Services::of(hive, set))?;
            for service in names.iter().filter_map(|name| services.get(name)) {
                let file = service.file().ok();
                let has_file = match &file {
                    Some(file) => self.view.exists(file)?,
                    None => false,
                };
                found.push(Service {
                    control_set: set.clone(),
                    name: service.name.clone(),
                    start: service.start,
                    overrides: service.overrides.clone(),
                    file,
                    has_file,
                });
            }
            for unread in services.unread.into_iter().filter(|unread| {
                let of_one = |name: &&str| unread.place.to_string().contains(&format!(r"\{name} "));
                names.iter().any(of_one)
            }) {
                self.view.note(Err::<(), _>(Error::Registry { place: unread.place, what: unread.what }))?;
            }
        }
        Ok(found)
    }

    fn letters(&self) -> Result<Vec<DriveLetter>> {
        const KEY: &str = "MountedDevices";
        let mut letters = Vec::new();
        for name in self.system(|hive| hive.values(KEY))? {
            let Some(letter) = name.strip_prefix(r"\DosDevices\").filter(|letter| letter.len() == 2) else {
                continue;
            };
            let data = self.system(|hive| hive.data(KEY, &name))?.unwrap_or_default();
            let mut volumes = self.view.machine().volumes.iter();
            let volume = volumes.find(|volume| is_mounted(volume, &data)).map(|volume| volume.name.clone());
            letters.push(DriveLetter { letter: letter.to_owned(), volume });
        }
        letters.sort_by(|a, b| a.letter.cmp(&b.letter));
        Ok(letters)
    }

    fn addresses(&self) -> Result<Vec<StaticAddress>> {
        let key = format!(r"{}\Services\Tcpip\Parameters\Interfaces", self.set);
        let mut found = Vec::new();
        for interface in self.system(|hive| hive.subkeys(&key))? {
            let key = format!(r"{key}\{interface}");
            if self.system(|hive| hive.dword(&key, "EnableDHCP"))? != Some(0) {
                continue;
            }
            let mut addresses = self.system(|hive| hive.texts(&key, "IPAddress"))?.unwrap_or_default();
            addresses.retain(|address| address != "0.0.0.0");
            if !addresses.is_empty() {
                found.push(StaticAddress { interface, addresses });
            }
        }
        Ok(found)
    }

    fn remote_desktop(&self) -> Result<RemoteDesktop> {
        let key = self.control("Terminal Server");
        let denied = self.system(|hive| hive.dword(&key, "fDenyTSConnections"))?;
        let listener = format!(r"{key}\WinStations\RDP-Tcp");
        let port = self.system(|hive| hive.dword(&listener, "PortNumber"))?;
        Ok(RemoteDesktop { allowed: denied == Some(0), port: port.filter(|port| *port != 3389) })
    }

    fn firewall(&self) -> Result<Vec<String>> {
        let key = format!(r"{}\Services\SharedAccess\Parameters\FirewallPolicy", self.set);
        let mut on = Vec::new();
        for profile in ["DomainProfile", "PublicProfile", "StandardProfile"] {
            if self.system(|hive| hive.dword(&format!(r"{key}\{profile}"), "EnableFirewall"))? == Some(1) {
                on.push(profile.to_owned());
            }
        }
        Ok(on)
    }

    fn pending(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let file = "/Windows/WinSxS/pending.xml";
        if self.view.exists(file)? {
            found.push(file.to_owned());
        }
        for name in ["RebootPending", "PackagesPending"] {
            let key = format!(r"Microsoft\Windows\CurrentVersion\Component Based Servicing\{name}");
            if self.software(|hive| Ok(hive.key(&key)?.is_some()))? {
                found.push(format!(r"SOFTWARE\{key}"));
            }
        }
        Ok(found)
    }

    /// Programs of a cloud, by their services.
    fn agents(&self) -> Result<Vec<Agent>> {
        let services = self.system(|hive| Services::of(hive, &self.set))?;
        let has = |name: &str| services.get(name).is_some();
        Ok([
            (Agent::AmazonSsm, has("AmazonSSMAgent")),
            (Agent::CloudWatch, has("AmazonCloudWatchAgent")),
            (Agent::Ec2Config, has("Ec2Config")),
            (Agent::Ec2Launch, has("Amazon EC2Launch")),
            (Agent::WindowsAzure, azure::WINDOWS_AGENTS.into_iter().any(|(name, _)| has(name))),
        ]
        .into_iter()
        .filter_map(|(agent, is_there)| is_there.then_some(agent))
        .collect())
    }
}

/// The drivers and services that a move is about, by name, each once.
fn of_interest() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    let platforms = TARGETS.iter().flat_map(|target| target.platform.windows.all());
    let ours = aws::windows::DRIVERS
        .into_iter()
        .chain(aws::windows::AGENTS)
        .chain(azure::WINDOWS_AGENTS.map(|(name, _)| name));
    for name in platforms.chain(ours).chain(REACHED_BY) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    names
}

/// The operating system.
///
/// # Errors
/// If the device fails; what cannot be read is noted by `view`.
pub(super) fn os(view: &Noting<'_>) -> Result<Os> {
    Hives::of(view)?.os()
}

/// Everything that is known of a Windows guest; what only a Linux has is not there, and not looked for.
///
/// # Errors
/// As [`gather`](super::gather).
pub(super) fn gather(view: &dyn View) -> Result<Facts> {
    let noting = &Noting::new(view);
    let hives = Hives::of(noting)?;
    // What cannot be read of the hives as a whole is said of each fact.
    let blind = noting.take_unread();
    let mut unread = blind.clone();
    let os = known(noting, &blind, &mut unread, Some(hives.os()?));
    let hostname = known(noting, &blind, &mut unread, hives.hostname()?);
    let agents = known(noting, &blind, &mut unread, hives.agents()?);
    let windows = Windows { compact: noting.note(is_compact(view))?, ..hives.windows()? };
    let windows = known(noting, &blind, &mut unread, Some(windows));
    Ok(Facts { os, hostname, agents, windows, unread: distinct(unread), ..Facts::default() })
}

fn known<T>(
    view: &Noting<'_>,
    blind: &[crate::rule::Evidence],
    unread: &mut Vec<crate::rule::Evidence>,
    fact: T,
) -> Known<T> {
    let known = Known::new(fact, [blind, &view.take_unread()].concat());
    unread.extend_from_slice(known.unread());
    known
}

/// Whether files of the system itself are compressed in a way that only Windows 10 and later read.
fn is_compact(view: &dyn View) -> Result<bool> {
    match view.start("/Windows/explorer.exe", 1) {
        Err(Error::Guest { source, .. }) if matches!(*source, FsError::Unsupported(_)) => Ok(true),
        start => start.map(|_| false),
    }
}

//! What a virtual machine around uploaded disks is to be: one model, whatever prints it.

use thiserror::Error;

use crate::Target;
use crate::facts::OsKind;
use crate::platform::{Firmware, azure};
use crate::rules::packs::day;

/// A machine to be made in Azure, with all that is around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// Its name; other names derive from it.
    pub name: String,
    /// The resource group that it and its disks are in.
    pub group: String,
    /// The region: "westeurope".
    pub location: String,
    /// Its size: "Standard_D2s_v5".
    pub size: String,
    /// The generation that its disk was made for.
    pub target: &'static Target,
    /// What its disk holds.
    pub os: OsKind,
    /// Its disks, that which it starts from first.
    pub disks: Vec<AttachedDisk>,
    /// Where in the region it is.
    pub placement: Placement,
    /// Its network.
    pub network: Network,
    /// How what it starts is checked. The disk must have been made with the same.
    pub security: Security,
    /// How the guest sees its disks.
    pub controller: Controller,
    /// Who pays for the operating system.
    pub licence: Option<Licence>,
    /// The id of the disk encryption set that its disks are encrypted by.
    pub encryption_set: Option<String>,
    /// Whether its host encrypts caches and temporary disks.
    pub encryption_at_host: bool,
    /// What is put on all resources, in this order.
    pub tags: Vec<(String, String)>,
    /// The vault that backs it up.
    pub backup: Option<Backup>,
    /// The id of the maintenance configuration by which Update Manager patches it.
    pub maintenance: Option<String>,
    /// Ports that Defender for Cloud opens on request, and nobody else.
    pub just_in_time: Vec<u16>,
    /// The licence that its SQL Server is run by, if it is to be registered.
    pub sql: Option<SqlLicence>,
    /// The day on which a test machine may be deleted, as 2026-12-24; `None` for the machine itself.
    pub expires: Option<String>,
}

/// A disk that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachedDisk {
    /// By its name, in the machine's resource group.
    Named(String),
    /// By its id.
    Id(String),
}

impl AttachedDisk {
    /// An id begins with a slash.
    pub fn of(text: &str) -> Self {
        if text.starts_with('/') { Self::Id(text.to_owned()) } else { Self::Named(text.to_owned()) }
    }

    /// Its name: the last part of an id.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Id(id) => id.rsplit('/').next().unwrap_or(id),
        }
    }
}

/// Where in a region a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Placement {
    /// Wherever there is room.
    #[default]
    Region,
    /// In an availability zone: "1". Its disks must be there as well.
    Zone(String),
    /// In the availability set of this id.
    Set(String),
}

/// A machine's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The subnet.
    pub subnet: Subnet,
    /// Its private address; `None` for one that Azure chooses.
    pub address: Option<String>,
    /// Whether its card bypasses the host. The size must be able to, and the guest have the driver.
    pub accelerated: bool,
}

/// The subnet of a machine's card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subnet {
    /// One that is there, by its id.
    Existing(String),
    /// One of a virtual network that is made, with these addresses: "10.20.0.0/24".
    New(String),
    /// The same, cut off: nothing goes in or out, and no name is resolved. A test machine must not take
    /// production's place, in its directory, its queues or its DNS.
    Isolated(String),
}

/// How what a machine starts is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// It is not.
    #[default]
    Standard,
    /// By a virtual TPM, and by signatures if `secure_boot`.
    TrustedLaunch {
        /// Whether loader and kernel must be signed.
        secure_boot: bool,
    },
}

impl Security {
    /// As Azure names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::TrustedLaunch { .. } => "TrustedLaunch",
        }
    }
}

/// How a guest sees its disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Controller {
    #[default]
    Scsi,
    Nvme,
}

impl Controller {
    /// As Azure names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scsi => "SCSI",
            Self::Nvme => "NVMe",
        }
    }
}

/// Who pays for an operating system, and how ("Azure Hybrid Benefit", Microsoft Learn, 2026).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Licence {
    /// A subscription of one's own, by Azure Hybrid Benefit.
    RhelByos,
    /// Red Hat's, billed by Azure.
    RhelBase,
    /// A subscription of one's own, by Azure Hybrid Benefit.
    SlesByos,
    /// SUSE's, billed by Azure.
    SlesStandard,
    /// Windows Server, by Azure Hybrid Benefit.
    WindowsServer,
    /// Windows 10 or 11 with multi-tenant hosting rights.
    WindowsClient,
}

impl Licence {
    /// All there are.
    pub const ALL: &[Self] = &[
        Self::RhelByos,
        Self::RhelBase,
        Self::SlesByos,
        Self::SlesStandard,
        Self::WindowsServer,
        Self::WindowsClient,
    ];

    /// As Azure names it in `licenseType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RhelByos => "RHEL_BYOS",
            Self::RhelBase => "RHEL_BASE",
            Self::SlesByos => "SLES_BYOS",
            Self::SlesStandard => "SLES_STANDARD",
            Self::WindowsServer => "Windows_Server",
            Self::WindowsClient => "Windows_Client",
        }
    }

    /// What it is, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::RhelByos => "Red Hat, a subscription of your own",
            Self::RhelBase => "Red Hat, billed by Azure",
            Self::SlesByos => "SUSE, a subscription of your own",
            Self::SlesStandard => "SUSE, billed by Azure",
            Self::WindowsServer => "Windows Server, by Azure Hybrid Benefit",
            Self::WindowsClient => "Windows 10 or 11 with multi-tenant hosting rights",
        }
    }

    fn os(self) -> OsKind {
        match self {
            Self::WindowsServer | Self::WindowsClient => OsKind::Windows,
            _ => OsKind::Linux,
        }
    }
}

/// A vault that backs a machine up: it is in the machine's resource group and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The Recovery Services vault's name.
    pub vault: String,
    /// The name of a policy in it.
    pub policy: String,
}

/// The licence of a SQL Server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlLicence {
    /// Billed by Azure.
    PayAsYouGo,
    /// One's own, by Azure Hybrid Benefit.
    HybridBenefit,
    /// A replica for disaster recovery, free of charge.
    DisasterRecovery,
}

impl SqlLicence {
    /// All there are.
    pub const ALL: &[Self] = &[Self::PayAsYouGo, Self::HybridBenefit, Self::DisasterRecovery];

    /// What it is, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::PayAsYouGo => "Billed by Azure",
            Self::HybridBenefit => "Your own, by Azure Hybrid Benefit",
            Self::DisasterRecovery => "A replica for disaster recovery",
        }
    }

    /// As Azure names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PayAsYouGo => "PAYG",
            Self::HybridBenefit => "AHUB",
            Self::DisasterRecovery => "DR",
        }
    }
}

/// The tag that tells what is of a test machine, and its name.
pub const TEST_TAG: &str = "refloat-test";
/// The tag with the day from which on that may be deleted.
pub const EXPIRES_TAG: &str = "refloat-expires";

/// What cannot be in Azure.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}")]
pub struct Mistake {
    what: String,
    /// What to do instead.
    pub instead: &'static str,
}

fn mistake(what: impl Into<String>, instead: &'static str) -> Result<(), Mistake> {
    Err(Mistake { what: what.into(), instead })
}

/// The longest name of a virtual machine ("Naming rules and restrictions for Azure resources", Microsoft
/// Learn, 2026): its own resource's, for both systems; a host name of Windows has at most 15, and is in the
/// disk already.
const NAME: usize = 64;
/// The most tags of a resource, and the longest name and value of one ("Use tags", Microsoft Learn, 2026).
const TAGS: usize = 50;
const TAG_NAME: usize = 512;
const TAG_VALUE: usize = 256;

/// Whether Azure takes this tag.
pub fn is_tag(name: &str, value: &str) -> bool {
    let fits = (1..=TAG_NAME).contains(&name.len()) && value.len() <= TAG_VALUE;
    fits && !name.contains(['<', '>', '%', '&', '\\', '?', '/'])
}

impl Handover {
    /// Looks for what Azure would refuse, before anything is made.
    ///
    /// # Errors
    /// The first [`Mistake`].
    pub fn check(&self) -> Result<(), Mistake> {
        self.check_names()?;
        if *self.target.platform != azure::AZURE {
            let what = format!("{} is no generation of Azure's virtual machines", self.target.id);
            return mistake(what, "give --for azure-gen1 or azure-gen2");
        }
        if self.disks.is_empty() {
            return mistake("a machine has at least one disk", "name the disk that it starts from");
        }
        for (at, disk) in self.disks.iter().enumerate() {
            if self.disks[..at].contains(disk) {
                let what = format!("the disk {} is attached twice", disk.name());
                return mistake(what, "name each disk once");
            }
        }
        if self.security != Security::Standard && self.target.firmware == Firmware::Bios {
            let what = "trusted launch is for generation 2 alone";
            return mistake(what, "leave it out, or migrate the machine for azure-gen2");
        }
        if self.controller == Controller::Nvme && self.target.firmware == Firmware::Bios {
            return mistake("NVMe disks are for generation 2 alone", "leave the controller out");
        }
        if let Some(licence) = self.licence.filter(|licence| licence.os() != self.os) {
            let what = format!("the licence {} is not one of this operating system", licence.name());
            return mistake(what, "give a licence of the system that is on the disk, or none");
        }
        if let Placement::Zone(zone) = &self.placement
            && !matches!(zone.as_str(), "1" | "2" | "3")
        {
            return mistake(format!("there is no availability zone {zone:?}"), "give 1, 2 or 3");
        }
        if self.expires.as_deref().is_some_and(|text| day(text).is_none()) {
            return mistake("the day of expiry is no day", "give it as 2026-12-24");
        }
        if self.expires.is_some() && !matches!(self.network.subnet, Subnet::Isolated(_)) {
            let what = "a test machine is in a network of its own";
            return mistake(what, "leave the subnet out");
        }
        if self.expires.is_some() && (self.backup.is_some() || self.sql.is_some()) {
            let what = "a test machine is not backed up, nor registered";
            return mistake(what, "leave these options to the machine itself");
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), Mistake> {
        let fine = |name: &str, more: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !name.is_empty()
                && name.len() <= NAME
                && name.chars().all(inner)
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
        if !fine(&self.name, "-_.") {
            let what = format!("{:?} is no name of a virtual machine", self.name);
            return mistake(what, "use up to 64 letters, digits, and . _ - between them");
        }
        if self.group.len() > 90 || self.group.ends_with('.') || !group_is_fine(&self.group) {
            let what = format!("{:?} is no name of a resource group", self.group);
            return mistake(what, "use up to 90 letters, digits, and . _ - ( ), the last one no dot");
        }
        if !self.location.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            let what = format!("{:?} is no region", self.location);
            return mistake(what, "give its short name, as in westeurope; az account list-locations has all");
        }
        if !fine(&self.size, "_-") {
            let what = format!("{:?} is no size of a virtual machine", self.size);
            return mistake(what, "give it as in Standard_D2s_v5; az vm list-skus has all");
        }
        let named = self.disks.iter().filter(|disk| matches!(disk, AttachedDisk::Named(_)));
        if let Some(disk) = named.map(AttachedDisk::name).find(|name| !fine(name, "-_.")) {
            return mistake(
                format!("{disk:?} is no name of a disk"),
                "give the disk's name, or its whole id",
            );
        }
        if self.tags.len() > TAGS {
            return mistake(format!("{} tags are more than {TAGS}", self.tags.len()), "give fewer tags");
        }
        for (at, (name, value)) in self.tags.iter().enumerate() {
            if !is_tag(name, value) {
                return mistake(
                    format!("Azure takes no tag {name:?}={value:?}"),
                    "give it as NAME=VALUE, without < > % & \\ ? / in the name",
                );
            }
            if self.tags[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return mistake(format!("the tag {name:?} is given twice"), "give each tag once");
            }
        }
        Ok(())
    }

    /// The name of a part of it: its card, its network.
    pub fn part(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    /// All tags: those that were given, and what tells a test machine.
    pub fn all_tags(&self) -> Vec<(String, String)> {
        let test = self.expires.iter().flat_map(|day| {
            [(TEST_TAG.to_owned(), self.name.clone()), (EXPIRES_TAG.to_owned(), day.clone())]
        });
        self.tags.iter().cloned().chain(test).collect()
    }
}

fn group_is_fine(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.()".contains(c))
}

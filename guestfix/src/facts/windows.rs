//! What is known of a Windows guest beside what any system has: from its registry, and a few files.

use serde::Serialize;

use crate::registry::ControlSets;
use crate::registry::filters::Filters;

/// A Windows guest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Windows {
    /// `EditionID`: "ServerDatacenter", "Professional".
    pub edition: Option<String>,
    /// `InstallationType`: "Server", "Server Core", "Client".
    pub installation: Option<String>,
    /// `CurrentBuildNumber`: 17763 is Server 2019.
    pub build: Option<u32>,
    /// `ProductType`: "WinNT" a workstation, "ServerNT" a server, "LanmanNT" a domain controller.
    pub product_type: Option<String>,
    /// The control sets. What follows of SYSTEM is of the one that starts, but for services.
    pub control_sets: ControlSets,
    /// Drivers and services that a move from AWS is about, in each control set.
    pub services: Vec<Service>,
    /// Filter drivers of classes of devices, and of devices.
    pub filters: Vec<Filters>,
    /// Where memory is paged to: "?:\pagefile.sys".
    pub page_files: Vec<String>,
    /// Drive letters.
    pub letters: Vec<DriveLetter>,
    /// Network cards that have an address of their own.
    pub addresses: Vec<StaticAddress>,
    /// Remote Desktop.
    pub remote_desktop: RemoteDesktop,
    /// The profiles in which the firewall is on: "DomainProfile", "PublicProfile", "StandardProfile".
    pub firewall: Vec<String>,
    /// What shows that updates wait for a restart.
    pub pending: Vec<String>,
    /// `ImageState`: "IMAGE_STATE_COMPLETE" unless it was generalised.
    pub image_state: Option<String>,
    /// Its memory is in a file: it was hibernated, or shut down in the fast way.
    pub hibernated: bool,
    /// A shutdown is a hibernation of the kernel.
    pub fast_startup: bool,
    /// Volumes that BitLocker encrypts.
    pub bitlocker: Vec<String>,
    /// Its own files are compressed (CompactOS).
    pub compact: bool,
}

impl Windows {
    /// Whether it is a domain controller.
    pub fn is_domain_controller(&self) -> bool {
        self.product_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("LanmanNT"))
    }

    /// Whether it is a server.
    pub fn is_server(&self) -> bool {
        self.product_type.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("WinNT"))
    }
}

/// A driver or service in one control set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Service {
    /// "ControlSet001".
    pub control_set: String,
    /// Its name.
    pub name: String,
    /// When it starts: 0 by the loader, 1 by the kernel, 2 by itself, 3 when it is asked for, 4 never.
    pub start: Option<u32>,
    /// What takes the place of that on some machines: the machine's number, and the start.
    pub overrides: Vec<(String, u32)>,
    /// Its file, if where that is can be told.
    pub file: Option<String>,
    /// Whether the file is there.
    pub has_file: bool,
}

/// A drive letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DriveLetter {
    /// "C:".
    pub letter: String,
    /// The volume of the machine that has it; `None` for one that is not here.
    pub volume: Option<String>,
}

/// A network card with an address of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StaticAddress {
    /// The GUID by which the registry knows the card.
    pub interface: String,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// Remote Desktop.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RemoteDesktop {
    /// Whether connections are taken (`fDenyTSConnections`).
    pub allowed: bool,
    /// Where it listens; `None` for its own port, 3389.
    pub port: Option<u32>,
}

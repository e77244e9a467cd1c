//! What can be typed behind `refloat emit`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use guestfix::handover::model::{Licence, SqlLicence};
use schemars::JsonSchema;
use serde::Serialize;

use super::{GoalArgs, address, file_name, tag};

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EmitFormat {
    /// Bicep
    Bicep,
    /// Terraform, for the provider azurerm
    Terraform,
    /// A template of Azure Resource Manager, as JSON
    Arm,
    /// A shell script for the Azure CLI
    Az,
    /// The cut-over of this machine, step by step, with what it still says of AWS
    Runbook,
}

/// One of the licences that the model has, by Azure's name for it: `RHEL_BYOS` is rhel-byos.
fn licence<T>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    about: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let id = move |licence: T| name(licence).to_lowercase().replace('_', "-");
    let values = all.iter().map(|one| PossibleValue::new(id(*one)).help(about(*one)));
    PossibleValuesParser::new(values).try_map(move |typed| {
        let same = all.iter().copied().find(|one| id(*one) == typed);
        same.ok_or_else(|| format!("there is no licence {typed}"))
    })
}

/// Write the virtual machine around disks that were uploaded, as code: they are attached, never made. Nothing
/// is sent anywhere.
#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    /// What to write
    #[arg(value_name = "FORMAT")]
    pub(crate) format: EmitFormat,
    /// The machine, as it is or as it was migrated
    #[arg(value_parser = address())]
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) goal: GoalArgs,
    /// The virtual machine's name [default: the guest's host name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The resource group of the virtual machine and its disks
    #[arg(long, value_name = "GROUP")]
    pub(crate) resource_group: String,
    /// The region, as in westeurope
    #[arg(long, value_name = "REGION")]
    pub(crate) location: String,
    /// The size, as in Standard_D2s_v5
    #[arg(long)]
    pub(crate) size: String,
    /// The uploaded disk that it starts from, by name or id [default: NAME-os]
    #[arg(long, value_name = "DISK")]
    pub(crate) os_disk: Option<String>,
    /// A further uploaded disk; give it once for each, in their order [default: as migrate names them, OS_DISK-data1 and so
    /// on; NAME-data1 where --os-disk is left out]
    #[arg(long = "data-disk", value_name = "DISK")]
    pub(crate) data_disks: Vec<String>,
    /// The id of the subnet [default: one that is made, and lets nothing in]
    #[arg(long, value_name = "ID")]
    pub(crate) subnet: Option<String>,
    /// The addresses of a subnet that is made [default: 10.20.0.0/24]
    #[arg(long, value_name = "CIDR", conflicts_with = "subnet", value_parser = prefix())]
    pub(crate) address_space: Option<String>,
    /// Its private address [default: one that Azure chooses]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) private_ip: Option<Ipv4Addr>,
    /// Let its card bypass the host; the size must be able to
    #[arg(long)]
    pub(crate) accelerated_networking: bool,
    /// The availability zone, where its disks are: 1, 2 or 3
    #[arg(long, conflicts_with = "availability_set")]
    pub(crate) zone: Option<String>,
    /// The id of an availability set
    #[arg(long, value_name = "ID")]
    pub(crate) availability_set: Option<String>,
    /// Trusted launch, with a virtual TPM; the disk must have been made for it
    #[arg(long)]
    pub(crate) trusted_launch: bool,
    /// Start nothing that is not signed
    #[arg(long, requires = "trusted_launch")]
    pub(crate) secure_boot: bool,
    /// Attach the disks by NVMe; the size must be able to
    #[arg(long)]
    pub(crate) nvme: bool,
    /// Who pays for the operating system: Azure Hybrid Benefit or Azure
    #[arg(long, value_name = "LICENCE", value_parser = licence(Licence::ALL, Licence::name, Licence::about))]
    pub(crate) license_type: Option<Licence>,
    /// The id of the disk encryption set of its disks
    #[arg(long, value_name = "ID")]
    pub(crate) disk_encryption_set: Option<String>,
    /// Let the host encrypt caches and temporary disks
    #[arg(long)]
    pub(crate) encryption_at_host: bool,
    /// A tag of all resources; give it once for each
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    pub(crate) tags: Vec<(String, String)>,
    /// Back it up by this Recovery Services vault of the resource group [default policy: DefaultPolicy]
    #[arg(long, value_name = "VAULT[/POLICY]")]
    pub(crate) backup: Option<String>,
    /// Patch it by this maintenance configuration of Update Manager
    #[arg(long, value_name = "ID")]
    pub(crate) maintenance_configuration: Option<String>,
    /// A port that just-in-time access opens on request; give it once for each
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) just_in_time: Vec<u16>,
    /// Register its SQL Server with this licence
    #[arg(long, value_name = "LICENCE", value_parser = licence(SqlLicence::ALL, SqlLicence::name, SqlLicence::about))]
    pub(crate) sql_license: Option<SqlLicence>,
    /// A test machine, NAME-test, in a network that is cut off from all others
    #[arg(long, requires = "expires")]
    pub(crate) test: bool,
    /// The day from which on the test machine may be deleted
    #[arg(long, value_name = "YYYY-MM-DD", requires = "test")]
    pub(crate) expires: Option<String>,
    /// Write the runbook as HTML [default: by the extension of the output]
    #[arg(long)]
    pub(crate) html: bool,
    /// The file to write [default: standard output]
    #[arg(short, long, value_name = "FILE", value_parser = file_name())]
    pub(crate) output: Option<PathBuf>,
    /// Replace an output that exists
    #[arg(long)]
    pub(crate) force: bool,
}

/// The addresses of a subnet, as 10.20.0.0/24: Azure takes from /2 to /29.
fn prefix() -> impl TypedValueParser<Value = String> {
    const FORM: &str = "give it as 10.20.0.0/24, with a length of 2 to 29 and no bits behind it";
    StringValueParser::new().try_map(|text| {
        let (address, len) = text.split_once('/').ok_or(FORM)?;
        let (address, len): (Ipv4Addr, u32) =
            (address.parse().map_err(|_| FORM)?, len.parse().map_err(|_| FORM)?);
        let fits = (2..=29).contains(&len) && address.to_bits() & (u32::MAX >> len) == 0;
        if fits { Ok(text) } else { Err(FORM) }
    })
}

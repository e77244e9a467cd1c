//! What can be typed behind `refloat convert` and `refloat verify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use libdisk::{FileFormat, ReadBack};
use schemars::JsonSchema;
use serde::Serialize;

use super::{address, file_name};
use crate::managed::ManagedArgs;

/// A format that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OutputFormat {
    /// Fixed VHD, as Azure managed disks take it
    Vhd,
    /// Plain bytes
    Raw,
    /// qcow2, version 3
    Qcow2,
    /// qcow2, compressed by zstd
    #[serde(rename = "compressed-qcow2")]
    CompressedQcow2,
    /// Dynamic VHDX, for Hyper-V
    Vhdx,
    /// Dynamic VHD, which Azure does not take
    #[serde(rename = "dynamic-vhd")]
    DynamicVhd,
}

impl From<OutputFormat> for FileFormat {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Vhd => Self::Vhd,
            OutputFormat::Raw => Self::Raw,
            OutputFormat::Qcow2 => Self::Qcow2,
            OutputFormat::CompressedQcow2 => Self::CompressedQcow2,
            OutputFormat::Vhdx => Self::Vhdx,
            OutputFormat::DynamicVhd => Self::DynamicVhd,
        }
    }
}

impl From<FileFormat> for OutputFormat {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Vhd => Self::Vhd,
            FileFormat::Raw => Self::Raw,
            FileFormat::Qcow2 => Self::Qcow2,
            FileFormat::CompressedQcow2 => Self::CompressedQcow2,
            FileFormat::Vhdx => Self::Vhdx,
            FileFormat::DynamicVhd => Self::DynamicVhd,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Any image
    #[arg(value_parser = address())]
    pub(crate) source: String,
    /// The file or blob to write; the other disks of a machine go beside it, as NAME-data1.vhd and so on
    #[arg(value_name = "OUTPUT", value_parser = file_name())]
    pub(crate) target: PathBuf,
    /// The target already holds this older snapshot of the same volume: fetch only what has changed since;
    /// for a machine of several disks ebs:snap-…,snap-…, in their order
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) since: Option<String>,
    /// Its format [default: by its extension]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<OutputFormat>,
    /// Compress it: short for --format compressed-qcow2
    #[arg(long, conflicts_with = "format")]
    pub(crate) compress: bool,
    /// Replace an output that exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Skip the final fsync: for scratch copies
    #[arg(long)]
    pub(crate) no_sync: bool,
    /// How much to read back of what was sent to Azure
    #[arg(long, value_name = "HOW", default_value = "sample")]
    pub(crate) read_back: ReadBackArg,
    #[command(flatten)]
    pub(crate) managed: ManagedArgs,
}

/// How much is read back of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReadBackArg {
    /// 64 pieces of 4 MiB, chosen by chance
    Sample,
    /// All of it
    All,
}

impl From<ReadBackArg> for ReadBack {
    fn from(read_back: ReadBackArg) -> Self {
        match read_back {
            ReadBackArg::Sample => Self::Sample,
            ReadBackArg::All => Self::All,
        }
    }
}

/// One image: it must be a valid VHD for Azure, with the content that refloat wrote, where it wrote it. Two
/// images: they must have the same content, and the first must be a valid VHD if it is a VHD or is named
/// .vhd. Two machines of several disks are compared disk by disk: --disk names those of the first, --other-disk
/// those of the second.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The image to judge
    #[arg(value_parser = address())]
    pub(crate) image: String,
    /// An image to compare it with
    #[arg(value_parser = address())]
    pub(crate) other: Option<String>,
    /// A further disk of the second machine; give it once for each
    #[arg(long = "other-disk", value_name = "IMAGE", requires = "other", value_parser = address())]
    pub(crate) other_disks: Vec<String>,
}

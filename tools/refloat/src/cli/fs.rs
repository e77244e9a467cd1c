//! What can be typed behind `refloat fs`.

use clap::{Args, Subcommand};
use guestfix::Target;

use super::{address, target};

#[derive(Debug, Args)]
pub(crate) struct FsArgs {
    /// Read files even where a journal cannot be replayed: they may be old
    #[arg(long, global = true)]
    pub(crate) stale: bool,
    #[command(subcommand)]
    pub(crate) verb: FsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FsVerb {
    /// List a directory
    Ls {
        /// IMAGE#/path
        #[arg(value_parser = address())]
        address: String,
    },
    /// Write a file to standard output
    Cat {
        /// IMAGE#/path
        #[arg(value_parser = address())]
        address: String,
    },
    /// Show a file's metadata
    Stat {
        /// IMAGE#/path
        #[arg(value_parser = address())]
        address: String,
    },
    /// Compare two guests' trees, or what they boot by
    Diff {
        /// Compare only what check looks at for this target, from the boot loader to the login: few blocks of a
        /// snapshot
        #[arg(id = "boot", long = "for", value_name = "TARGET", value_parser = target())]
        target: Option<&'static Target>,
        /// IMAGE or IMAGE#/path
        #[arg(value_parser = address())]
        left: String,
        /// IMAGE or IMAGE#/path
        #[arg(value_parser = address())]
        right: String,
        /// A further disk of the second machine; give it once for each
        #[arg(long = "other-disk", value_name = "IMAGE", value_parser = address())]
        other_disks: Vec<String>,
    },
}

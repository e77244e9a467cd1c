//! What Microsoft asks of images and no start needs: for who gives `--strict`.

pub(in crate::rules) mod crash_dumps;
pub(in crate::rules) mod environment;
pub(in crate::rules) mod firewall;
pub(in crate::rules) mod power;
pub(in crate::rules) mod services;
pub(in crate::rules) mod sessions;

use crate::rule::Source;

/// Where all of them are from.
const PREPARE: Source = Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026");

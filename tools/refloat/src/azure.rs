//! Blobs in Azure: the signatures that open them, and how they are asked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use libdisk::cloud::azure::{Options, Signature, SignatureError, Signatures, Tally};
use libdisk::image::{Existing, vhd};
use libdisk::{MachineDisk, Origin, PageBlobDestination, ReadBack, Upload};

use crate::answer::Help;
use crate::cli::Global;
use crate::context::Context;
use crate::help;

/// Where signatures are looked for that were not typed.
const VARIABLE: &str = "REFLOAT_AZURE_SAS";

/// Blobs' URLs, each with the signature that was typed behind it.
pub(crate) type Typed = Vec<(String, Signature)>;

/// What was typed, without the signatures: no verb, no message and no log ever sees them.
pub(crate) fn take(words: impl Iterator<Item = OsString>) -> Result<(Vec<OsString>, Typed), SignatureError> {
    let (mut rest, mut typed) = (Vec::new(), Vec::new());
    for word in words {
        match word.into_string() {
            Ok(text) => {
                let (word, found) = Signatures::split(&text)?;
                rest.push(word.into());
                typed.extend(found);
            }
            // What is not UTF-8 is no address of a blob, and the less a signature.
            Err(word) => rest.push(word),
        }
    }
    Ok((rest, typed))
}

/// How the user wants Azure to be asked.
pub(crate) fn options(global: &Global) -> Result<Options> {
    let typed = Signatures::of_blobs(global.signatures.clone());
    let signatures = match (&global.sas_file, std::env::var(VARIABLE)) {
        (Some(file), _) => typed.and_file(file).help(help::SAS_FILE)?,
        (None, Ok(text)) if !text.is_empty() => typed.and_text(&text, VARIABLE).help(help::SAS_FILE)?,
        _ => typed,
    };
    Ok(Options { signatures, patience: Duration::from_secs(global.azure_patience), ..Options::default() })
}

/// A blob as a destination.
pub(crate) fn destination(
    context: &Context,
    url: &str,
    existing: Existing,
    read_back: ReadBack,
) -> Result<PageBlobDestination> {
    let (url, state) = (url.parse().help(help::BLOB)?, state()?);
    let (options, known_as) = (options(&context.global)?, None);
    Ok(PageBlobDestination { url, options, existing, read_back, state, known_as })
}

/// The folder for the records of transfers.
pub(crate) fn state() -> Result<PathBuf> {
    let state = PageBlobDestination::default_state();
    let state = state.ok_or_else(|| anyhow::anyhow!("there is no folder for the record of the transfer"));
    state.help("set REFLOAT_STATE to a folder, or HOME")
}

/// Whether a disk in Azure is well formed, and the content that it was written with; `None` for one elsewhere.
pub(crate) fn uploaded(disk: &MachineDisk) -> Result<Option<Upload>> {
    let Some(blob) = disk.origin.blob() else { return Ok(None) };
    let name = match disk.origin.managed() {
        Some(_) => disk.origin.to_string(),
        None => blob.url().to_string(),
    };
    let content = PageBlobDestination::content_of(&name, &state()?)?;
    Ok(Some(Upload { form: Some(vhd::check_bytes(&blob.disk())?), content }))
}

/// What was read of blobs.
pub(crate) fn tally<'a>(origins: impl Iterator<Item = &'a Origin>) -> Option<Tally> {
    origins.filter_map(|origin| Some(origin.blob()?.tally())).reduce(Tally::and)
}

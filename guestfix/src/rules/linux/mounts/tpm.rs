//! linux.tpm

use crate::facts::SignatureKind;
use crate::rule::{Applies, Evidence, Pack, Place, Source};
use crate::text::{crypttab, fstab};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// A volume whose key only the machine on EC2 can give.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.tpm",
        title: "no key is sealed by the TPM of the machine on EC2",
        pack: Pack::Linux,
        phase: Phase::Mounts,
        severity: Severity::Warning,
        cause: "A key that NitroTPM sealed is opened by that TPM only, and one that a server of the VPC \
                gives (Tang, KMS) by that server. On Azure the volume stays shut, and the boot waits for a \
                passphrase at the console.",
        fix: "see that a passphrase opens the volume too (cryptsetup luksAddKey in the running machine), \
              and seal it again on Azure",
        source: &[
            Source::new("crypttab(5)", "tpm2-device=", "2026-11"),
            Source::new("clevis(1)", "", "2026-11"),
            Source::new("AWS", "NitroTPM", "2026"),
            Source::new("virt-v2v manual", "TPM", "2026-11"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: None,
};

const PATH: &str = "/etc/crypttab";
/// Options that say where a key is from.
const OPTIONS: [&str; 4] = ["tpm2-device=", "tpm2-pcrs=", "fido2-device=", "pkcs11-uri="];
/// Clevis opens what has a key slot for it, whatever crypttab says.
const CLEVIS: [&str; 2] = ["/usr/bin/clevis-luks-unlock", "/usr/lib/dracut/modules.d/60clevis"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let text = guest.view.text(PATH)?.unwrap_or_default();
    let mut evidence = Vec::new();
    for entry in crypttab::entries(&text) {
        let from = OPTIONS.iter().find(|option| fstab::has_option(entry.options, option));
        let script = || fstab::has_option(entry.options, "keyscript=").then_some(&"keyscript=");
        if let Some(option) = from.or_else(script) {
            let what = format!("{} gets its key by {}", entry.name, option.trim_end_matches('='));
            evidence.push(Evidence::new(Place::line(PATH, entry.line), what));
        }
    }
    if let Some(volume) =
        guest.view.machine().volumes.iter().find(|volume| volume.kind == Some(SignatureKind::Luks))
    {
        for path in CLEVIS {
            if guest.view.exists(path)? {
                evidence.push(Evidence::new(path, format!("may have sealed the key of {}", volume.name)));
                break;
            }
        }
    }
    Ok(Finding::from_evidence(evidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn keys_of_the_machine_on_ec2_are_named() {
        let table = "a UUID=1 none luks,tpm2-device=auto\nb UUID=2 none luks,keyscript=/usr/bin/kms\nc UUID=3 none luks,nofail\n";
        let bench = Bench::debian().file(PATH, table);
        assert_eq!(
            bench.findings(&RULE),
            [
                "/etc/crypttab:1: a gets its key by tpm2-device",
                "/etc/crypttab:2: b gets its key by keyscript"
            ]
        );
        bench.by_hand(&RULE);
        let clevis = Bench::debian().file(CLEVIS[0], "");
        assert_eq!(clevis.findings(&RULE), [""; 0], "nothing is encrypted");
        let sealed = clevis.machine(|machine| machine.volumes[1].kind = Some(SignatureKind::Luks));
        assert_eq!(sealed.findings(&RULE), [format!("{}: may have sealed the key of p2", CLEVIS[0])]);
    }
}

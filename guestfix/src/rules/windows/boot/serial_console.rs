//! windows.boot.serial-console

use hive::bcd::{BOOT_MANAGER, EMS_SETTINGS};

use super::super::values::{Change, System, found, mend};
use super::store;
use crate::rule::{Applies, Pack, Source};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// The console by which a Windows without network is mended.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.boot.serial-console",
        title: "the boot menu and the special administration console are on the serial port",
        pack: Pack::Windows,
        phase: Phase::Boot,
        severity: Severity::Warning,
        cause: "Azure shows the first serial port. Without Emergency Management Services there, nobody sees \
                why Windows does not start, or can mend its network.",
        fix: "The boot configuration gets EMS on the first port with 115200 baud, for the boot manager and \
              for Windows, and a menu of five seconds; the console's services start.",
        source: &[
            Source::new("Microsoft Learn", "Prepare a Windows VHD to upload to Azure", "2026"),
            Source::new("Microsoft Learn", "Azure Serial Console for Windows", "2026"),
        ],
        applies: Applies::WINDOWS,
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for store in store::all(guest)? {
        let number = |number: u64| number.to_le_bytes();
        let wanted: [(&str, u32, &[u8], &str); 5] = [
            (EMS_SETTINGS, 0x1500_0022, &number(1), "EMS is not on the first serial port"),
            (EMS_SETTINGS, 0x1500_0023, &number(115_200), "EMS has not 115200 baud"),
            (BOOT_MANAGER, 0x1600_0020, &[1], "the boot manager is not on the serial port"),
            (BOOT_MANAGER, 0x2600_0020, &[1], "the boot menu is not shown"),
            (BOOT_MANAGER, 0x2500_0004, &number(5), "the boot menu does not wait five seconds"),
        ];
        for (object, element, to, what) in wanted {
            changes.extend(store.set(object, element, to, what)?);
        }
        if let Some(default) = &store.default {
            changes.extend(store.set(default, 0x2600_00b0, &[1], "Windows is not on the serial port")?);
        }
    }
    let system = System::of(guest)?;
    for (name, start) in [("sacdrv", 0), ("sacsvr", 2)] {
        changes.extend(system.starts([name], start)?);
    }
    Ok(changes)
}

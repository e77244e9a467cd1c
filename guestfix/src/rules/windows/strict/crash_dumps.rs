//! windows.strict.crash-dumps

use super::super::values::{Change, System, found, mend, open};
use super::PREPARE;
use crate::registry::SOFTWARE;
use crate::rule::{Applies, Pack};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

const PROGRAMS: &str = r"Microsoft\Windows\Windows Error Reporting\LocalDumps";

/// What is kept of a crash.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.strict.crash-dumps",
        title: "a crash leaves a dump of the kernel's memory, and so does one of a program",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Note,
        cause: "Microsoft's support asks for these dumps, and the serial console can ask for one by an NMI.",
        fix: "CrashControl has a kernel dump in %SystemRoot%\\MEMORY.DMP, by an NMI too, in every control set; \
              programs leave ten full dumps in C:\\CrashDumps. The disk needs room for these.",
        source: &[PREPARE],
        applies: Applies::WINDOWS.strict(),
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let (system, software) = (System::of(guest)?, open(guest, SOFTWARE)?);
    let mut changes = Vec::new();
    for key in system.control("CrashControl") {
        changes.extend(system.dword(&key, "CrashDumpEnabled", 2, "2 is a dump of the kernel's memory")?);
        changes.extend(system.dword(&key, "NMICrashDump", 1, "an NMI makes no dump")?);
        changes.extend(Change::expandable(&system.hive, &key, "DumpFile", r"%SystemRoot%\MEMORY.DMP")?);
    }
    changes.extend(Change::expandable(&software, PROGRAMS, "DumpFolder", r"C:\CrashDumps")?);
    for (value, to) in [("DumpCount", 10), ("DumpType", 2)] {
        changes.extend(Change::number(&software, PROGRAMS, value, to)?);
    }
    Ok(changes)
}

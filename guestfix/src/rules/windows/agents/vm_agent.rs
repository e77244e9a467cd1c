//! windows.agents.vm-agent

use hive::Kind;

use super::super::values::{System, service, start_in_words};
use crate::platform::azure::{AZURE, WINDOWS_AGENTS};
use crate::registry::{DISABLED, SYSTEM, driver_file};
use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Fixed, Guest, Phase, Result, Rule, RuleMeta, Severity, Stage, View};

/// The program by which Azure knows that the machine is up.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.agents.vm-agent",
        title: "the Azure VM agent is installed",
        pack: Pack::Windows,
        phase: Phase::Agent,
        severity: Severity::Note,
        cause: "Without the agent there are no extensions: no reset of passwords, no backup that is \
                consistent, no Azure Monitor. The machine runs.",
        fix: "Give --windows-agent a folder with it, as C:\\WindowsAzure has it on a machine with the agent: its \
              files are put there, and its services into every control set. What only its installer \
              (github.com/Azure/WindowsVMAgent) does is not done: it is not in the list of installed programs. \
              Or install it in the guest, or create the machine with provisionVMAgent=false.",
        source: &[
            Source::new("Microsoft Learn", "Azure Windows VM agent overview", "2026"),
            Source::new("Microsoft Learn", "Install the Azure VM agent in offline mode", "2020-07-06"),
            Source::new("Azure/AzMigrate-Hydration 4337598c", "AddWindowsGuestAgent", "2025-01-03"),
        ],
        applies: Applies::WINDOWS.on(&AZURE),
    },
    detect,
    fix: Some(fix),
};

/// What the agent's programs are run by.
const FRAMEWORKS: &str = "/Windows/Microsoft.NET/Framework64";

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let system = System::of(guest)?;
    let set = system.default_set()?;
    let mut evidence = Vec::new();
    for (name, _) in WINDOWS_AGENTS {
        let key = service(set, name);
        if system.hive.key(&key)?.is_none() {
            evidence.push(Evidence::new(SYSTEM.place(&key, None), "there is no such service"));
            continue;
        }
        let start = system.hive.dword(&key, "Start")?;
        if start == Some(DISABLED) {
            evidence.push(Evidence::new(SYSTEM.place(&key, Some("Start")), start_in_words(start)));
        }
        let program = driver_file(&system.hive, set, name)?;
        if guest.view.stat(&program)?.is_none() {
            evidence
                .push(Evidence::new(program, format!("the service {name} starts it, and it is not there")));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

fn fix(stage: &mut Stage<'_>) -> Result<Fixed> {
    let guest = stage.guest()?;
    let Some(agent) = guest.view.windows_agent().cloned() else {
        return Ok(Fixed::ByHand(RULE.meta.fix.to_owned()));
    };
    if !has_framework(guest.view)? {
        let what =
            "the agent needs .NET Framework 4, which is not there: install that in the guest, and the agent";
        return Ok(Fixed::ByHand(what.to_owned()));
    }
    let sets = System::of(&guest)?.sets.all;
    for (path, content) in agent.files() {
        stage.put_binary(&path, content.clone(), Vec::new())?;
    }
    stage.edit_hive(SYSTEM, |edit| {
        for set in &sets {
            for (name, command) in agent.services() {
                register(edit, &service(set, name), name, &command)?;
            }
        }
        Ok(())
    })?;
    Ok(Fixed::Staged)
}

fn has_framework(view: &dyn View) -> Result<bool> {
    Ok(view.list(FRAMEWORKS)?.iter().any(|name| name.get(..2).is_some_and(|v| v.eq_ignore_ascii_case("v4"))))
}

/// A service that starts by itself, in a process of its own, as the machine's account ("CreateServiceA",
/// Microsoft Learn).
fn register(edit: &mut hive::Edit, key: &str, name: &str, command: &str) -> hive::Result<()> {
    edit.create_key(key)?;
    for (value, number) in [("Type", 0x10_u32), ("Start", 2), ("ErrorControl", 1)] {
        edit.set(key, value, Kind::DWORD, &number.to_le_bytes())?;
    }
    edit.set(key, "ImagePath", Kind::EXPAND_SZ, &hive::text_data(command))?;
    edit.set(key, "DisplayName", Kind::SZ, &hive::text_data(name))?;
    edit.set(key, "ObjectName", Kind::SZ, &hive::text_data("LocalSystem"))
}

//! windows.strict.sessions

use super::super::values::{Change, System, found, mend, open};
use super::PREPARE;
use crate::registry::SOFTWARE;
use crate::rule::{Applies, Pack};
use crate::{Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Where policies about Remote Desktop are.
const POLICY: &str = r"Policies\Microsoft\Windows NT\Terminal Services";
/// What the listener of Remote Desktop is to have.
const LISTENER: [(&str, u32, &str); 5] = [
    ("UserAuthentication", 1, "who comes is not asked for a password first"),
    ("KeepAliveTimeout", 1, "a session that broke is not seen"),
    ("fInheritReconnectSame", 1, "sessions are not taken up as each user has it"),
    ("fReconnectSame", 0, "a session is taken up from the same machine alone"),
    ("MaxInstanceCount", u32::MAX, "the number of sessions is limited"),
];
/// What its policy is to have.
const POLICIES: [(&str, u32); 3] =
    [("KeepAliveEnable", 1), ("KeepAliveInterval", 1), ("fDisableAutoReconnect", 0)];

/// How sessions of Remote Desktop begin, and go on after a break.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "windows.strict.sessions",
        title: "Remote Desktop asks for a password first, and sessions go on after a break",
        pack: Pack::Windows,
        phase: Phase::Network,
        severity: Severity::Note,
        cause: "Microsoft asks for network level authentication, and for sessions that are taken up again \
                after the network was away.",
        fix: "RDP-Tcp has UserAuthentication, KeepAliveTimeout, fInheritReconnectSame, fReconnectSame and \
              MaxInstanceCount as Microsoft asks, in every control set; the policy keeps connections alive. \
              Clients without network level authentication no longer come in.",
        source: &[PREPARE],
        applies: Applies::WINDOWS.strict(),
    },
    detect: |guest| found(guest, wanted),
    fix: Some(|staged| mend(staged, wanted)),
};

fn wanted(guest: &Guest<'_>) -> Result<Vec<Change>> {
    let (system, software) = (System::of(guest)?, open(guest, SOFTWARE)?);
    let mut changes = Vec::new();
    for key in system.control(r"Terminal Server\WinStations\RDP-Tcp") {
        for (value, to, what) in LISTENER {
            changes.extend(system.dword(&key, value, to, what)?);
        }
    }
    for (value, to) in POLICIES {
        changes.extend(Change::number(&software, POLICY, value, to)?);
    }
    Ok(changes)
}

//! Directives that keep no unit from being started and from its work, whoever writes them (systemd.unit(5),
//! systemd.service(5), systemd.socket(5), systemd.exec(5), systemd.kill(5), systemd.resource-control(5)).

/// In any unit.
const UNIT: &[&str] = &[
    "After",
    "AllowIsolate",
    "Before",
    "CollectMode",
    "DefaultDependencies",
    "Description",
    "Documentation",
    "FailureAction",
    "FailureActionExitStatus",
    "IgnoreOnIsolate",
    "JobTimeoutSec",
    "OnFailure",
    "OnFailureJobMode",
    "PartOf",
    "PropagatesReloadTo",
    "RefuseManualStart",
    "RefuseManualStop",
    "ReloadPropagatedFrom",
    "SourcePath",
    "StartLimitAction",
    "StartLimitBurst",
    "StartLimitInterval",
    "StartLimitIntervalSec",
    "SurviveFinalKillSignal",
    "Upholds",
    "Wants",
    "WantsMountsFor",
];

/// In services: how they are started, stopped and watched.
const SERVICE: &[&str] = &[
    "BusName",
    "ExecReload",
    "ExecStop",
    "ExecStopPost",
    "ExitType",
    "FileDescriptorStoreMax",
    "FileDescriptorStorePreserve",
    "FinalKillSignal",
    "GuessMainPID",
    "KillMode",
    "KillSignal",
    "NonBlocking",
    "NotifyAccess",
    "OOMPolicy",
    "PIDFile",
    "ReloadSignal",
    "RemainAfterExit",
    "Restart",
    "RestartForceExitStatus",
    "RestartKillSignal",
    "RestartMaxDelaySec",
    "RestartMode",
    "RestartPreventExitStatus",
    "RestartSec",
    "RestartSteps",
    "SendSIGHUP",
    "SendSIGKILL",
    "Sockets",
    "SuccessExitStatus",
    "TimeoutAbortSec",
    "TimeoutSec",
    "TimeoutStartFailureMode",
    "TimeoutStartSec",
    "TimeoutStopFailureMode",
    "TimeoutStopSec",
    "Type",
    "WatchdogSignal",
];

/// In sockets; the addresses are looked at where the server is.
const SOCKET: &[&str] = &[
    "Accept",
    "Backlog",
    "BindIPv6Only",
    "DeferAcceptSec",
    "FileDescriptorName",
    "FreeBind",
    "IPTOS",
    "IPTTL",
    "KeepAlive",
    "KeepAliveIntervalSec",
    "KeepAliveProbes",
    "KeepAliveTimeSec",
    "ListenStream",
    "MaxConnections",
    "MaxConnectionsPerSource",
    "NoDelay",
    "PollLimitBurst",
    "PollLimitIntervalSec",
    "Priority",
    "ReceiveBuffer",
    "RemoveOnStop",
    "ReusePort",
    "SendBuffer",
    "Service",
    "Symlinks",
    "TCPCongestion",
    "TriggerLimitBurst",
    "TriggerLimitIntervalSec",
];

/// In what starts processes.
const EXEC: &[&str] = &[
    "CPUSchedulingPolicy",
    "CPUSchedulingPriority",
    "CPUSchedulingResetOnFork",
    "CacheDirectory",
    "CacheDirectoryMode",
    "ConfigurationDirectory",
    "ConfigurationDirectoryMode",
    "CoredumpFilter",
    "Environment",
    "EnvironmentFile",
    "IOSchedulingClass",
    "IOSchedulingPriority",
    "ImportCredential",
    "IPAddressAllow",
    "IgnoreSIGPIPE",
    "KeyringMode",
    "LockPersonality",
    "LogExtraFields",
    "LogLevelMax",
    "LogNamespace",
    "LogRateLimitBurst",
    "LogRateLimitIntervalSec",
    "LogsDirectory",
    "LogsDirectoryMode",
    "Nice",
    "OOMScoreAdjust",
    "PassEnvironment",
    "PrivateTmp",
    "ProtectClock",
    "ProtectKernelLogs",
    "RestrictRealtime",
    "RuntimeDirectory",
    "RuntimeDirectoryMode",
    "RuntimeDirectoryPreserve",
    "SetLoginEnvironment",
    "StandardError",
    "StandardInput",
    "StandardOutput",
    "StateDirectory",
    "StateDirectoryMode",
    "SyslogFacility",
    "SyslogIdentifier",
    "SyslogLevel",
    "SyslogLevelPrefix",
    "TTYPath",
    "TTYReset",
    "TTYVHangup",
    "TTYVTDisallocate",
    "TimerSlackNSec",
    "UMask",
    "UnsetEnvironment",
    "UtmpIdentifier",
    "UtmpMode",
    "WorkingDirectory",
];

/// Shares of the machine, which only make a unit slower.
const SHARES: &[&str] = &[
    "AllowedMemoryNodes",
    "BlockIOAccounting",
    "BlockIOWeight",
    "CPUAccounting",
    "CPUQuota",
    "CPUQuotaPeriodSec",
    "CPUShares",
    "CPUWeight",
    "Delegate",
    "IOAccounting",
    "IODeviceLatencyTargetSec",
    "IOWeight",
    "IPAccounting",
    "ManagedOOMMemoryPressure",
    "ManagedOOMPreference",
    "ManagedOOMSwap",
    "MemoryAccounting",
    "MemoryLow",
    "MemoryMin",
    "MemoryPressureWatch",
    "MemorySwapMax",
    "MemoryZSwapMax",
    "Slice",
    "StartupCPUWeight",
    "StartupIOWeight",
    "TasksAccounting",
];

/// What is kept from a unit, and the values by which it still does its work.
const KEPT_FROM: &[(&str, &[&str])] = &[
    ("ProtectControlGroups", YES),
    ("ProtectHome", &["read-only"]),
    ("ProtectHostname", YES),
    ("ProtectSystem", &["yes", "true", "1", "on", "full"]),
    ("RestrictSUIDSGID", YES),
    ("SystemCallArchitectures", &["native"]),
];
/// The same of a server that people log in by: it loads no module, and makes no device.
const KEPT_FROM_SERVERS: &[(&str, &[&str])] =
    &[("PrivateDevices", YES), ("ProtectKernelModules", YES), ("ProtectKernelTunables", YES)];
const YES: &[&str] = &["yes", "true", "1", "on"];
/// What a server that people log in by speaks.
const FAMILIES: [&str; 3] = ["AF_INET", "AF_NETLINK", "AF_UNIX"];

/// Limits that are harmless unless they are small: the least of each that is, in bytes or pieces.
const LIMITS: &[(&str, u64)] = &[
    ("LimitAS", 256 << 20),
    ("LimitCORE", 0),
    ("LimitDATA", 256 << 20),
    ("LimitFSIZE", 256 << 20),
    ("LimitLOCKS", 64),
    ("LimitMEMLOCK", 0),
    ("LimitMSGQUEUE", 0),
    ("LimitNICE", 0),
    ("LimitNOFILE", 256),
    ("LimitNPROC", 256),
    ("LimitRTPRIO", 0),
    ("LimitRTTIME", 1 << 20),
    ("LimitSIGPENDING", 64),
    ("LimitSTACK", 1 << 20),
    ("MemoryHigh", 64 << 20),
    ("MemoryLimit", 64 << 20),
    ("MemoryMax", 64 << 20),
    ("TasksMax", 64),
];

/// Whether a line does no harm to the unit, or is judged elsewhere.
pub(crate) fn is_harmless(unit: &str, key: &str, value: &str) -> bool {
    if let Some((_, least)) = LIMITS.iter().find(|(limit, _)| *limit == key) {
        // of "soft:hard" the lower one counts
        return value.split(':').all(|part| amount(part).is_none_or(|amount| amount >= *least));
    }
    let is_in =
        |list: &[(&str, &[&str])]| list.iter().any(|(of, values)| *of == key && values.contains(&value));
    let has_families = || {
        let families: Vec<&str> = value.split_whitespace().collect();
        key == "RestrictAddressFamilies" && FAMILIES.iter().all(|family| families.contains(family))
    };
    let is_server = ["ssh.", "ssh@", "sshd.", "sshd@"].iter().any(|start| unit.starts_with(start));
    if is_in(KEPT_FROM) || is_server && (is_in(KEPT_FROM_SERVERS) || has_families()) {
        return true;
    }
    let is_off = matches!(value, "no" | "false" | "off" | "0" | "none");
    let is_judged = ["Condition", "Assert", "X-"].iter().any(|start| key.starts_with(start))
        || matches!(key, "Requires" | "Requisite" | "BindsTo" | "RequiresMountsFor" | "ExecStart")
        || matches!(key, "ExecStartPre" | "ExecStartPost" | "ExecCondition" | "DynamicUser");
    // These are not started along with what is needed.
    let is_apart = |unit: &str| {
        ["emergency.", "initrd-", "rescue.", "shutdown.", "umount."]
            .iter()
            .any(|start| unit.starts_with(start))
    };
    let is_shutdown = key == "Conflicts" && value.split_whitespace().all(is_apart);
    is_off
        || is_judged
        || is_shutdown
        || [UNIT, SERVICE, SOCKET, EXEC, SHARES].iter().any(|list| list.contains(&key))
}

/// An amount in bytes or pieces; `None` for "infinity" and a share of what there is.
fn amount(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match value.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::is_harmless;

    #[test]
    fn limits_are_harmless_unless_they_are_small() {
        for (key, value) in [
            ("LimitNOFILE", "65536"),
            ("LimitNOFILE", "1024:infinity"),
            ("LimitCORE", "0"),
            ("MemoryMax", "2G"),
            ("MemoryMax", "infinity"),
            ("MemoryHigh", "80%"),
            ("TasksMax", "4096"),
            ("RestartSec", "5"),
            ("ProtectHome", "no"),
            ("Conflicts", "shutdown.target"),
        ] {
            assert!(is_harmless("networking.service", key, value), "{key}={value}");
        }
        for (key, value) in [
            ("LimitNOFILE", "3"),
            ("LimitNPROC", "0:1024"),
            ("MemoryMax", "1M"),
            ("TasksMax", "1"),
            ("ExecSearchPath", "/opt"),
            ("ListenDatagram", "22"),
            ("MemoryDenyWriteExecute", "yes"),
            ("Conflicts", "x.service"),
            ("RuntimeMaxSec", "60"),
        ] {
            assert!(!is_harmless("ssh.service", key, value), "{key}={value}");
        }
    }

    #[test]
    fn hardening_is_harmless_where_the_unit_needs_nothing_of_what_is_kept_from_it() {
        for (unit, key, value) in [
            ("systemd-networkd.service", "ProtectHome", "read-only"),
            ("ssh.service", "ProtectSystem", "full"),
            ("ssh.service", "ProtectKernelModules", "yes"),
            ("sshd@.service", "RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX AF_NETLINK"),
            ("ssh.service", "SystemCallArchitectures", "native"),
        ] {
            assert!(is_harmless(unit, key, value), "{unit}: {key}={value}");
        }
        for (unit, key, value) in [
            ("ssh.service", "ProtectHome", "yes"),
            ("ssh.service", "ProtectSystem", "strict"),
            ("systemd-modules-load.service", "ProtectKernelModules", "yes"),
            ("systemd-udevd.service", "PrivateDevices", "yes"),
            ("networking.service", "RestrictAddressFamilies", "AF_INET AF_UNIX AF_NETLINK"),
            ("ssh.service", "RestrictAddressFamilies", "AF_UNIX AF_NETLINK"),
            ("ssh.service", "RestrictAddressFamilies", "~AF_INET AF_UNIX AF_NETLINK"),
            ("ssh.service", "SystemCallArchitectures", "x86"),
        ] {
            assert!(!is_harmless(unit, key, value), "{unit}: {key}={value}");
        }
    }
}

//! Every rule: content with a sound guest, not with one that has its fault, and with that again once it is
//! mended. What is expected was written by hand.

use hive::Kind;

use super::testing::{LOADER, Value, by_bios, list, number, windows};
use super::{agents, boot, drivers, network, system};
use crate::registry::testing::{dword, sz};
use crate::registry::{self, BCD_UEFI, SOFTWARE, SYSTEM};
use crate::rule::Pack;
use crate::{Rule, rules};

fn of_system<'a>(path: &'a str, name: &'a str, number: u32) -> Value<'a> {
    (SYSTEM, path, name, Kind::DWORD, dword(number))
}

#[test]
fn all_are_content_with_a_sound_guest() {
    for bench in [windows(&[], &[], &[]), by_bios(windows(&[], &[], &[]))] {
        for rule in rules::ALL.iter().filter(|rule| rule.meta.pack == Pack::Windows) {
            assert_eq!(bench.findings(rule), [""; 0], "{}", rule.meta.id);
            assert_eq!(bench.unread(rule), [""; 0], "{}", rule.meta.id);
        }
    }
}

/// A fault of the registry, and what a rule that mends it says of each place.
type Mended<'a> = (&'a Rule, Vec<Value<'a>>, &'a [&'a str]);

#[test]
fn what_can_be_mended_is_found_in_all_control_sets_and_mended() {
    let hdc = r"*\Control\Class\{4d36e96a-e325-11ce-bfc1-08002be10318}";
    let enumerated = r"*\Enum\PCI\VEN_5853&DEV_0001\3&267A616A&0&18";
    let manager = r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\16000020";
    let safe = format!(r"Objects\{LOADER}\Elements\25000080");
    let recovery = format!(r"Objects\{LOADER}\Elements\16000009");
    let cases: Vec<Mended<'_>> = vec![
        (
            &drivers::boot_start::RULE,
            vec![of_system(r"*\Services\storvsc", "Start", 3)],
            &[
                r"SYSTEM\ControlSet001\Services\storvsc Start: is 3: it starts when it is asked for",
                r"SYSTEM\ControlSet002\Services\storvsc Start: is 3: it starts when it is asked for",
            ],
        ),
        (
            &drivers::boot_start::RULE,
            vec![of_system(r"*\Services\vmbus\StartOverride", "7", 3)],
            &[
                r"SYSTEM\ControlSet001\Services\vmbus\StartOverride 7: is 3: it starts when it is asked for",
                r"SYSTEM\ControlSet002\Services\vmbus\StartOverride 7: is 3: it starts when it is asked for",
            ],
        ),
        (
            &drivers::nvme::RULE,
            vec![of_system(r"ControlSet001\Services\pci\StartOverride", "0", 3)],
            &[r"SYSTEM\ControlSet001\Services\pci\StartOverride 0: is 3: it starts when it is asked for"],
        ),
        (
            &drivers::filters::RULE,
            vec![(SYSTEM, hdc, "UpperFilters", Kind::MULTI_SZ, list(&["XENFILT"]))],
            &[
                r"SYSTEM\ControlSet001\Control\Class\{4d36e96a-e325-11ce-bfc1-08002be10318} UpperFilters: XENFILT is a driver of AWS",
                r"SYSTEM\ControlSet002\Control\Class\{4d36e96a-e325-11ce-bfc1-08002be10318} UpperFilters: XENFILT is a driver of AWS",
            ],
        ),
        (
            &drivers::filters::RULE,
            vec![(SYSTEM, enumerated, "LowerFilters", Kind::MULTI_SZ, list(&["gone", "partmgr"]))],
            &[
                r"SYSTEM\ControlSet001\Enum\PCI\VEN_5853&DEV_0001\3&267A616A&0&18 LowerFilters: gone has no driver",
                r"SYSTEM\ControlSet002\Enum\PCI\VEN_5853&DEV_0001\3&267A616A&0&18 LowerFilters: gone has no driver",
            ],
        ),
        (
            &drivers::aws::RULE,
            vec![
                of_system(r"ControlSet002\Services\xenvbd", "Type", 1),
                of_system(r"ControlSet002\Services\xenvbd", "Start", 0),
            ],
            &[r"SYSTEM\ControlSet002\Services\xenvbd Start: is 0: the loader starts it"],
        ),
        // A driver of AWS under another name.
        (
            &drivers::aws::RULE,
            vec![
                of_system(r"ControlSet001\Services\amzncard", "Type", 1),
                of_system(r"ControlSet001\Services\amzncard", "Start", 3),
                (
                    SYSTEM,
                    r"ControlSet001\Services\amzncard",
                    "ImagePath",
                    Kind::EXPAND_SZ,
                    sz(r"\SystemRoot\System32\drivers\ENA.sys"),
                ),
            ],
            &[r"SYSTEM\ControlSet001\Services\amzncard Start: is 3: it starts when it is asked for"],
        ),
        (
            &drivers::dump_filters::RULE,
            vec![(
                SYSTEM,
                r"ControlSet001\Control\CrashControl",
                "DumpFilters",
                Kind::MULTI_SZ,
                list(&["dumpfve.sys", "xencrsh.sys"]),
            )],
            &[r"SYSTEM\ControlSet001\Control\CrashControl DumpFilters: names xencrsh.sys"],
        ),
        (
            &boot::safe_mode::RULE,
            vec![(BCD_UEFI, &safe, "Element", Kind::BINARY, number(1))],
            &[r"BCD\Objects\{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}\Elements\25000080: safe mode is set"],
        ),
        (
            &boot::recovery::RULE,
            vec![(BCD_UEFI, &recovery, "Element", Kind::BINARY, vec![1])],
            &[
                r"BCD\Objects\{2c3e8c94-0a52-11ee-9c3e-0e7a5c1d2b4f}\Elements\16000009 Element: recovery starts after a failure",
            ],
        ),
        (
            &boot::serial_console::RULE,
            vec![
                (BCD_UEFI, manager, "Element", Kind::BINARY, vec![0]),
                of_system(r"ControlSet002\Services\sacsvr", "Start", 3),
            ],
            &[
                r"BCD\Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\16000020 Element: the boot manager is not on the serial port",
                r"SYSTEM\ControlSet002\Services\sacsvr Start: is 3: it starts when it is asked for",
            ],
        ),
        (
            &boot::fast_startup::RULE,
            vec![of_system(r"ControlSet001\Control\Session Manager\Power", "HiberbootEnabled", 1)],
            &[r"SYSTEM\ControlSet001\Control\Session Manager\Power HiberbootEnabled: is 1"],
        ),
        (
            &network::dhcp::RULE,
            vec![of_system(r"ControlSet002\Services\Dhcp", "Start", 4)],
            &[r"SYSTEM\ControlSet002\Services\Dhcp Start: is 4: it is disabled"],
        ),
        (
            &network::rdp::RULE,
            vec![
                of_system(r"ControlSet001\Control\Terminal Server", "fDenyTSConnections", 1),
                of_system(r"ControlSet001\Control\Terminal Server\WinStations\RDP-Tcp", "LanAdapter", 2),
                (
                    SYSTEM,
                    r"ControlSet001\Control\Terminal Server\WinStations\RDP-Tcp",
                    "SSLCertificateSHA1Hash",
                    Kind::BINARY,
                    vec![1; 20],
                ),
                of_system(r"ControlSet002\Services\TermService", "Start", 4),
            ],
            &[
                r"SYSTEM\ControlSet001\Control\Terminal Server fDenyTSConnections: is 1: connections are refused",
                r"SYSTEM\ControlSet001\Control\Terminal Server\WinStations\RDP-Tcp LanAdapter: is 2: only one card of the old machine is listened on",
                r"SYSTEM\ControlSet001\Control\Terminal Server\WinStations\RDP-Tcp SSLCertificateSHA1Hash: names a certificate of the old machine",
                r"SYSTEM\ControlSet002\Services\TermService Start: is 4: it is disabled",
            ],
        ),
        (
            &network::static_address::RULE,
            vec![
                of_system(r"ControlSet001\Services\Tcpip\Parameters\Interfaces\{1}", "EnableDHCP", 0),
                (
                    SYSTEM,
                    r"ControlSet001\Services\Tcpip\Parameters\Interfaces\{1}",
                    "IPAddress",
                    Kind::MULTI_SZ,
                    list(&["10.0.0.20"]),
                ),
            ],
            &[
                r"SYSTEM\ControlSet001\Services\Tcpip\Parameters\Interfaces\{1} EnableDHCP: is 0, and the address is 10.0.0.20",
            ],
        ),
        (
            &network::routes::RULE,
            vec![
                (
                    SYSTEM,
                    r"ControlSet001\Services\Tcpip\Parameters\PersistentRoutes",
                    "169.254.169.250,255.255.255.255,10.0.0.1,15",
                    Kind::SZ,
                    sz(""),
                ),
                (
                    SYSTEM,
                    r"ControlSet001\Services\Tcpip\Parameters\PersistentRoutes",
                    "10.9.0.0,255.255.0.0,10.0.0.2,1",
                    Kind::SZ,
                    sz(""),
                ),
            ],
            &[
                r"SYSTEM\ControlSet001\Services\Tcpip\Parameters\PersistentRoutes 169.254.169.250,255.255.255.255,10.0.0.1,15: leads to 169.254.169.250, a service of AWS",
            ],
        ),
        (
            &network::search_list::RULE,
            vec![(
                SYSTEM,
                r"ControlSet001\Services\Tcpip\Parameters",
                "SearchList",
                Kind::SZ,
                sz("example.org,eu-west-1.compute.internal"),
            )],
            &[r"SYSTEM\ControlSet001\Services\Tcpip\Parameters SearchList: has eu-west-1.compute.internal"],
        ),
        (
            &agents::aws_agents::RULE,
            vec![of_system(r"ControlSet001\Services\AmazonSSMAgent", "Start", 2)],
            &[r"SYSTEM\ControlSet001\Services\AmazonSSMAgent Start: is 2: it starts by itself"],
        ),
        (
            &agents::activation::RULE,
            vec![(
                SOFTWARE,
                r"Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform",
                "KeyManagementServiceName",
                Kind::SZ,
                sz("169.254.169.251"),
            )],
            &[
                r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform KeyManagementServiceName: is 169.254.169.251, a server of AWS",
                r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform KeyManagementServicePort: goes with 169.254.169.251",
            ],
        ),
        (
            &agents::time::RULE,
            vec![of_system(r"ControlSet002\Control\TimeZoneInformation", "RealTimeIsUniversal", 0)],
            &[
                r"SYSTEM\ControlSet002\Control\TimeZoneInformation RealTimeIsUniversal: is 0: the clock is taken for local time",
            ],
        ),
        (
            &agents::time_source::RULE,
            vec![(
                SYSTEM,
                r"ControlSet001\Services\W32Time\Parameters",
                "NtpServer",
                Kind::SZ,
                sz("169.254.169.123,0x9 ntp.example.org,0x1"),
            )],
            &[
                r"SYSTEM\ControlSet001\Services\W32Time\Parameters NtpServer: is 169.254.169.123,0x9 ntp.example.org,0x1",
            ],
        ),
        (
            &system::san_policy::RULE,
            vec![of_system(r"ControlSet001\Services\partmgr\Parameters", "SanPolicy", 2)],
            &[
                r"SYSTEM\ControlSet001\Services\partmgr\Parameters SanPolicy: is 2: disks on a shared bus stay offline",
            ],
        ),
        (
            &system::services::RULE,
            vec![
                of_system(r"ControlSet001\Services\mpssvc", "Start", 4),
                of_system(r"ControlSet001\Services\Netlogon", "Start", 2),
            ],
            &[r"SYSTEM\ControlSet001\Services\mpssvc Start: is 4: it is disabled"],
        ),
    ];
    for (rule, values, expected) in cases {
        let bench = windows(&values, &[], &[]);
        assert_eq!(bench.findings(rule), expected, "{}", rule.meta.id);
        bench.mended(rule, |_| {});
    }
}

#[test]
fn what_is_mended_keeps_all_else() {
    let key = r"ControlSet001\Services\Tcpip\Parameters\PersistentRoutes";
    let other = "10.9.0.0,255.255.0.0,10.0.0.2,1";
    let bench = windows(
        &[
            (SYSTEM, key, "169.254.169.254,255.255.255.255,10.0.0.1,15", Kind::SZ, sz("")),
            (SYSTEM, key, other, Kind::SZ, sz("")),
        ],
        &[],
        &[],
    );
    bench.mended(&network::routes::RULE, |view| {
        let system = registry::open(view, SYSTEM).unwrap().unwrap();
        assert_eq!(system.values(key).unwrap(), [other]);
    });
    let class = r"ControlSet001\Control\Class\{4d36e97d-e325-11ce-bfc1-08002be10318}";
    let bench =
        windows(&[(SYSTEM, class, "UpperFilters", Kind::MULTI_SZ, list(&["xenfilt", "partmgr"]))], &[], &[]);
    bench.mended(&drivers::filters::RULE, |view| {
        let system = registry::open(view, SYSTEM).unwrap().unwrap();
        assert_eq!(system.texts(class, "UpperFilters").unwrap().unwrap(), ["partmgr"]);
    });
    let rules = r"ControlSet001\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules";
    let off = "v2.30|Action=Allow|Active=FALSE|Dir=In|Protocol=6|LPort=3389|Svc=termservice|";
    let bench = windows(&[(SYSTEM, rules, "RemoteDesktop-UserMode-In-TCP", Kind::SZ, sz(off))], &[], &[]);
    bench.mended(&network::firewall::RULE, |view| {
        let system = registry::open(view, SYSTEM).unwrap().unwrap();
        let on = system.text(rules, "RemoteDesktop-UserMode-In-TCP").unwrap().unwrap();
        assert_eq!(on, "v2.30|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=3389|Svc=termservice|");
    });
}

#[test]
fn a_driver_that_is_still_a_filter_is_not_disabled() {
    let class = r"ControlSet001\Control\Class\{4d36e97d-e325-11ce-bfc1-08002be10318}";
    let bench = windows(
        &[
            of_system(r"ControlSet001\Services\xenfilt", "Type", 1),
            of_system(r"ControlSet001\Services\xenfilt", "Start", 0),
            (SYSTEM, class, "UpperFilters", Kind::MULTI_SZ, list(&["XENFILT"])),
        ],
        &[],
        &[],
    );
    assert!(bench.by_hand(&drivers::aws::RULE).starts_with("take xenfilt out of the filters of"));
}

#[test]
fn what_cannot_be_mended_is_said_with_its_place() {
    let firewall = r"*\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules";
    let block = "v2.30|Action=Block|Active=TRUE|Dir=In|Protocol=6|LPort=3000-4000|";
    let cases: Vec<(&Rule, crate::rules::testing::Bench, &str)> = vec![
        (
            &drivers::present::RULE,
            windows(&[], &[(SYSTEM, r"*\Services\vmbus")], &[]),
            r"SYSTEM\ControlSet001\Services\vmbus: there is no such driver",
        ),
        (
            &drivers::present::RULE,
            windows(&[], &[], &[("/Windows/System32/drivers/storvsc.sys", b"")]),
            "/Windows/System32/drivers/storvsc.sys: is empty",
        ),
        (
            &drivers::present::RULE,
            windows(&[], &[], &[]).without("/Windows/System32/drivers/vmstorfl.sys"),
            "/Windows/System32/drivers/vmstorfl.sys: is missing",
        ),
        (
            &drivers::present::RULE,
            by_bios(windows(&[], &[], &[]).without("/Windows/System32/drivers/ataport.sys")),
            "/Windows/System32/drivers/ataport.sys: is missing",
        ),
        (
            &drivers::stack::RULE,
            windows(&[of_system(r"*\Services\volmgr", "Start", 4)], &[], &[]),
            r"SYSTEM\ControlSet001\Services\volmgr Start: is 4: it is disabled",
        ),
        (
            &boot::hibernation::RULE,
            windows(&[], &[], &[("/hiberfil.sys", b"HIBR....")]),
            "/hiberfil.sys: holds the memory of a machine that sleeps",
        ),
        (
            &network::rdp_port::RULE,
            windows(
                &[of_system(
                    r"ControlSet001\Control\Terminal Server\WinStations\RDP-Tcp",
                    "PortNumber",
                    13389,
                )],
                &[],
                &[],
            ),
            r"SYSTEM\ControlSet001\Control\Terminal Server\WinStations\RDP-Tcp PortNumber: is 13389",
        ),
        (
            &network::rdp_policy::RULE,
            windows(
                &[(
                    SOFTWARE,
                    r"Policies\Microsoft\Windows NT\Terminal Services",
                    "fDenyTSConnections",
                    Kind::DWORD,
                    dword(1),
                )],
                &[],
                &[],
            ),
            r"SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services fDenyTSConnections: is 1: connections are refused",
        ),
        (
            &network::firewall::RULE,
            windows(&[(SYSTEM, firewall, "corporate", Kind::SZ, sz(block))], &[], &[]),
            r"SYSTEM\ControlSet001\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules corporate: the rule blocks the port of Remote Desktop",
        ),
        (
            &network::firewall::RULE,
            windows(&[], &[(SYSTEM, firewall)], &[]),
            r"SYSTEM\ControlSet001\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules RemoteDesktop-UserMode-In-TCP: no rule lets Remote Desktop in",
        ),
        (
            &system::version::RULE,
            windows(
                &[(
                    SOFTWARE,
                    r"Microsoft\Windows NT\CurrentVersion",
                    "CurrentBuildNumber",
                    Kind::SZ,
                    sz("6002"),
                )],
                &[],
                &[],
            ),
            r"SOFTWARE\Microsoft\Windows NT\CurrentVersion CurrentBuildNumber: is 6002: 7601 is the first that Azure takes",
        ),
        (
            &system::version::RULE,
            windows(
                &[(
                    SYSTEM,
                    r"*\Control\Session Manager\Environment",
                    "PROCESSOR_ARCHITECTURE",
                    Kind::SZ,
                    sz("x86"),
                )],
                &[],
                &[],
            ),
            r"SYSTEM\ControlSet001\Control\Session Manager\Environment PROCESSOR_ARCHITECTURE: is x86, and not AMD64",
        ),
        (
            &system::host_devices::RULE,
            windows(
                &[(
                    SOFTWARE,
                    r"Microsoft\Windows NT\CurrentVersion",
                    "CurrentBuildNumber",
                    Kind::SZ,
                    sz("9600"),
                )],
                &[],
                &[],
            ),
            r"SYSTEM\ControlSet001\Enum\ACPI\MSFT1000: is not there",
        ),
        (
            &drivers::database::RULE,
            windows(
                &[(
                    SOFTWARE,
                    r"Microsoft\Windows NT\CurrentVersion",
                    "CurrentBuildNumber",
                    Kind::SZ,
                    sz("9200"),
                )],
                &[],
                &[],
            ),
            r"SYSTEM\DriverDatabase\DriverInfFiles\wvmbus.inf Active: is not there",
        ),
        (
            &system::pending::RULE,
            windows(&[], &[], &[("/Windows/WinSxS/pending.xml", b"<x/>")]),
            "/Windows/WinSxS/pending.xml: lists what the next start is to do",
        ),
        (
            &system::domain_controller::RULE,
            windows(
                &[(SYSTEM, r"*\Control\ProductOptions", "ProductType", Kind::SZ, sz("LanmanNT"))],
                &[],
                &[],
            ),
            r"SYSTEM\ControlSet001\Control\ProductOptions ProductType: is LanmanNT",
        ),
        (
            &system::generalized::RULE,
            windows(&[of_system("Setup", "OOBEInProgress", 1)], &[], &[]),
            r"SYSTEM\Setup OOBEInProgress: is 1",
        ),
        (
            &agents::vm_agent::RULE,
            windows(&[], &[(SYSTEM, r"*\Services\RdAgent")], &[]),
            r"SYSTEM\ControlSet001\Services\RdAgent: there is no such service",
        ),
        (
            &agents::vm_agent::RULE,
            windows(&[of_system(r"*\Services\RdAgent", "Start", 4)], &[], &[]),
            r"SYSTEM\ControlSet001\Services\RdAgent Start: is 4: it is disabled",
        ),
        (
            &agents::vm_agent::RULE,
            windows(&[], &[], &[]).without("/WindowsAzure/Packages/WaAppAgent.exe"),
            "/WindowsAzure/Packages/WaAppAgent.exe: the service RdAgent starts it, and it is not there",
        ),
    ];
    for (rule, bench, expected) in cases {
        assert_eq!(bench.findings(rule).first().map(String::as_str), Some(expected), "{}", rule.meta.id);
    }
}

#[test]
fn the_fallback_loader_is_windows_own_boot_manager() {
    let bench = windows(&[], &[], &[]).without("/System:/EFI/Boot/bootx64.efi");
    assert_eq!(
        bench.findings(&boot::fallback_loader::RULE),
        ["/System:/EFI/Boot/bootx64.efi: there is none"]
    );
    bench.mended(&boot::fallback_loader::RULE, |view| {
        assert_eq!(&*view.read("/System:/EFI/Boot/bootx64.efi").unwrap().unwrap(), b"MZ");
    });
    let neither = bench.without("/System:/EFI/Microsoft/Boot/bootmgfw.efi");
    assert!(neither.by_hand(&boot::fallback_loader::RULE).contains("bcdboot"));
}

#[test]
fn a_policy_that_lets_connections_in_goes_before_the_setting() {
    let policy = r"Policies\Microsoft\Windows NT\Terminal Services";
    let off = of_system(r"*\Control\Terminal Server", "fDenyTSConnections", 1);
    let on = (SOFTWARE, policy, "fDenyTSConnections", Kind::DWORD, dword(0));
    assert_eq!(windows(&[off, on], &[], &[]).findings(&network::rdp::RULE), [""; 0]);
}

#[test]
fn a_rule_for_others_stops_nobody() {
    let rules = r"*\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules";
    for limit in
        ["RA4=203.0.113.0/24", "Profile=Domain", "Profile=Private", "IFType=Wireless", "RA6=fe80::/10"]
    {
        let rule = format!("v2.30|Action=Block|Active=TRUE|Dir=In|Protocol=6|LPort=3389|{limit}|");
        let bench = windows(&[(SYSTEM, rules, "others", Kind::SZ, sz(&rule))], &[], &[]);
        assert_eq!(bench.findings(&network::firewall::RULE), [""; 0], "{limit}");
    }
}

#[test]
fn seven_gets_the_devices_that_it_does_not_know() {
    let seven =
        (SOFTWARE, r"Microsoft\Windows NT\CurrentVersion", "CurrentBuildNumber", Kind::SZ, sz("7601"));
    let bench = windows(&[seven], &[], &[]);
    let found = bench.findings(&drivers::critical_devices::RULE);
    assert_eq!(found.len(), 2 * 6 * 2, "two sets, six devices, driver and class");
    assert_eq!(
        found[0],
        r"SYSTEM\ControlSet001\Control\CriticalDeviceDatabase\ACPI#VMBus Service: is not there, vmbus is needed"
    );
    bench.mended(&drivers::critical_devices::RULE, |_| {});
}

#[test]
fn a_hive_that_is_damaged_or_gone_is_unknown_to_each_rule_that_asks_it() {
    let gone = windows(&[], &[], &[]).without(SYSTEM.path);
    let damaged = windows(&[], &[], &[(SYSTEM.path, b"regf")]);
    for rule in
        [&drivers::boot_start::RULE, &drivers::filters::RULE, &network::rdp::RULE, &system::san_policy::RULE]
    {
        let unread = gone.unread(rule);
        assert_eq!(unread, ["/Windows/System32/config/SYSTEM: this hive is missing"], "{}", rule.meta.id);
        assert_eq!(damaged.unread(rule).len(), 1, "{}", rule.meta.id);
    }
}

//! What the root's init and its services say they cannot do, and Azure about the machine that came up.

use super::{NO_INIT, Symptom, WALK_INIT, at, from_here};
use crate::bootwalk::HopKind::{Init, Login, Mounts, Network, Target};
use crate::rule::Source;

const SYSTEMD: Source = Source::new("systemd", "src/core, units/", "2026-11");
const SYSVINIT: Source = Source::new("sysvinit", "src/init.c", "2026-11");
const INITSCRIPTS: Source = Source::new("initscripts", "network-scripts/ifup-eth", "2026-11");
const DHCLIENT: Source = Source::new("ISC DHCP", "client/dhclient.c", "2026-11");
const CLOUD_INIT: Source = Source::new("cloud-init", "sources/DataSourceEc2.py, cmd/main.py", "2026-11");
const OPENSSH: Source = Source::new("OpenSSH", "sshd.c, servconf.c", "2026-11");
const AZURE: Source = Source::new("Microsoft Learn", "Troubleshoot Azure virtual machines", "2026-11");

const SWITCH: Symptom = at(Init, 4, NO_INIT).see(
    &[],
    WALK_INIT,
    Source::new("klibc, dracut, systemd", "run-init, switch_root", "2026-11"),
);
const FSTAB: Symptom = at(Mounts, 3, "systemd gave up on a mount that /etc/fstab asks for").see(
    &[
        "linux.fstab.device-names",
        "linux.fstab.absent-disks",
        "linux.fstab.instance-store",
        "linux.fstab.network-filesystems",
        "linux.mount-units",
    ],
    "refloat migrate names volumes by UUID, and lets the boot go on without those that are not there; give all \
     disks of the machine with --disk",
    SYSTEMD,
);
const FSCK: Symptom = at(Mounts, 4, "a file system has errors that fsck does not mend by itself").see(
    &["disk.filesystem-state", "linux.fstab.device-names"],
    "run fsck on the machine before the next snapshot, or on a copy of the disk",
    SYSTEMD,
);
const SELINUX: Symptom = at(Init, 3, "SELinux is to be enforced, and its policy cannot be loaded").see(
    &["linux.integrity"],
    "reinstall the policy's package on the machine, or set SELINUX=permissive until it is",
    SYSTEMD,
);
const RESCUE: &str = "set the default target anew on the machine (systemctl set-default multi-user.target)";
const CARD: Symptom = at(Network, 2, "the network's configuration is for the card of EC2").see(
    &["linux.network.mac-pinned", "linux.network.leftovers", "linux.modprobe.blacklist"],
    "refloat migrate lets any card have its address by DHCP, whatever its name and MAC address",
    INITSCRIPTS,
);
const NO_ADDRESS: Symptom = Symptom {
    why: "the network does not come up: no card is there that its configuration means, or DHCP gives nothing",
    source: SYSTEMD,
    ..CARD
};
const DATASOURCE: Symptom =
    at(Network, 1, "cloud-init looks for the metadata of EC2, which Azure does not have").see(
        &["linux.cloud-init"],
        "refloat migrate disables cloud-init, or with --cloud-init azure gives it the datasource of Azure",
        CLOUD_INIT,
    );
const SSHD: Symptom = at(Login, 2, "the SSH server does not start").see(
    &["linux.sshd", "linux.aws.agents"],
    "sshd -t on the machine says what it objects to; refloat check names what it needs and is not there",
    OPENSSH,
);

/// What any line may tell.
pub(super) static TABLE: &[Symptom] = &[
    SWITCH.hints(&[
        "Target filesystem doesn't have requested /",
        "run-init: can't execute",
        "run-init: /",
        "Cannot find init!",
        "switch_root: failed",
        "switch_root: can't execute",
        "Failed to switch root",
        "Failed to start initrd-switch-root.service",
        "Failed to start Switch Root",
        "init: error while loading shared libraries",
        "systemd: error while loading shared libraries",
    ]),
    Symptom { worth: 3, ends: &["No init found. Try passing init="], ..SWITCH },
    from_here(1, "a shell was started in place of the system")
        .see(&[], "take init= and rdinit= out of the menu entry, and see that /sbin/init is whole", SYSTEMD)
        .ends(&["job control turned off", "no job control in this shell"]),
    SELINUX.hints(&[
        "Failed to load SELinux policy",
        "Unable to load SELinux Policy",
        "Failed to initialize SELinux",
    ]),
    Symptom {
        worth: 1,
        why: "SELinux labels all files anew, and then the machine starts again: the first boot takes longer",
        advice: "wait for the second boot",
        tells: &["SELinux targeted policy relabel is required"],
        ..SELINUX
    },
    at(Init, 1, "systemd gave up")
        .see(&[], "read the lines above it: what systemd lacks is a symptom of its own", SYSTEMD)
        .ends(&["Freezing execution", "[!!!!!!]"]),
    at(Target, 3, "the default target cannot be started").see(&[], RESCUE, SYSTEMD).hints(&[
        "Failed to load default target",
        "Failed to start default target",
        "Failed to isolate default target",
        "Falling back to rescue target",
        "Trying to load rescue target",
        "Unit default.target not found",
        "Unit default.target is masked",
    ]),
    at(Target, 3, "init has no run level to start")
        .see(&[], "put /etc/inittab back, with a line id:3:initdefault:", SYSVINIT)
        .ends(&["INIT: No inittab file found", "Enter runlevel:"]),
    at(Target, 2, "the system starts into rescue mode").see(&[], RESCUE, SYSTEMD).ends(&[
        "You are in rescue mode",
        "Welcome to rescue mode",
        "Welcome to Rescue Shell",
    ]),
    Symptom {
        hop: None,
        ..at(Target, 1, "the system shuts itself down")
            .see(&[], "read the lines above it: a unit or a script asked for it", SYSTEMD)
            .hints(&["reboot: Power down", "reboot: Restarting system", "reboot: System halted"])
    },
    Symptom {
        why: "/etc/fstab names a device that is not there",
        hints: &["Timed out waiting for device"],
        tells: &[
            "A start job is running for /dev/xvdf (12s / 1min 30s)",
            "Job dev-xvdf.device/start running",
        ],
        ..FSTAB
    },
    FSCK.hints(&["Failed to start systemd-fsck", "Failed to start File System Check", "RUN fsck MANUALLY"]),
    FSTAB.hints(&["[FAILED] Failed to mount ", "systemd[1]: Failed to mount "]),
    Symptom {
        worth: 2,
        hints: &["Dependency failed for local-fs.target", "Dependency failed for Local File Systems"],
        ..FSTAB
    },
    Symptom { worth: 3, ends: &["An error occurred during the file system check"], ..FSCK },
    Symptom {
        worth: 1,
        why: "a file server of AWS is asked for a file system, and is not reached",
        rules: &["linux.fstab.network-filesystems", "linux.aws.names"],
        tells: &["mount.nfs4: Failed to resolve server", "mount.nfs: Failed to resolve server"],
        ..FSTAB
    },
    Symptom {
        hop: Some(Target),
        worth: 1,
        why: "the system starts into emergency mode",
        ends: &[
            "You are in emergency mode",
            "Welcome to emergency mode",
            "Give root password for maintenance",
            "Cannot open access to console, the root account is locked",
            "Press Enter for maintenance",
        ],
        ..FSTAB
    },
    // The network.
    CARD.tells(&[
        "Device eth0 has different MAC address than expected, ignoring",
        "Device eth0 does not seem to be present, delaying initialization",
        "Cannot find device \"eth0\"",
    ]),
    NO_ADDRESS.tells(&[
        "Failed to start Network Manager Wait Online",
        "Failed to start Wait for Network to be Configured",
        "A start job is running for Wait for Network to be Configured",
        "Failed to start systemd-networkd-wait-online.service",
        "Failed to start NetworkManager-wait-online.service",
        "Failed to start Raise network interfaces",
        "Failed to start LSB: Bring up/down networking",
    ]),
    Symptom { tells: &["No DHCPOFFERS received"], source: DHCLIENT, ..NO_ADDRESS },
    DATASOURCE.tells(&[
        "Giving up on md from",
        "169.254.169.254/2009-04-04/meta-data",
        "No instance datasource found",
    ]),
    // The login.
    at(Login, 2, "what asks for the login cannot be started")
        .see(
            &["linux.serial-login", "linux.grub.serial-console"],
            "refloat migrate enables a login on ttyS0",
            SYSTEMD,
        )
        .hints(&["Failed to start serial-getty@", "Failed to start Serial Getty on", "respawning too fast"]),
    SSHD.tells(&[
        "Failed to start OpenSSH server daemon",
        "Failed to start OpenBSD Secure Shell server",
        "Failed to start OpenSSH Daemon",
        "Failed to start sshd.service",
        "Failed to start ssh.service",
        "no hostkeys available",
        "Missing privilege separation directory",
        "sshd: Bad configuration option",
        "must be owned by root and not group or world-writable",
    ]),
    Symptom { why: "nothing listens on the port of the SSH server", ..SSHD }
        .tells(&["port 22: Connection refused", "Failed to start OpenBSD Secure Shell server socket"]),
    Symptom {
        worth: 1,
        why: "the SSH server answers, and lets nobody in with what it is given",
        advice: "log in as the account whose authorized_keys has the key; refloat check says who can log in",
        tells: &[
            "Permission denied (publickey)",
            "Permission denied (publickey,password)",
            "Permission denied (publickey,gssapi-keyex,gssapi-with-mic)",
            "Permission denied (publickey,gssapi-keyex,gssapi-with-mic,password)",
            "no mutual signature algorithm",
            "Too many authentication failures",
        ],
        ..SSHD
    },
    // What Azure says of a machine that came up.
    at(
        Login,
        2,
        "Azure waits for an agent to say that the machine was made ready, as for one made of an image",
    )
    .see(
        &["linux.agent.installed", "linux.agent.provisioning"],
        "attach the disk (createOption Attach) instead of making an image of it: refloat emit does",
        AZURE,
    )
    .tells(&["OSProvisioningTimedOut", "OS Provisioning for VM did not finish in the allotted time"]),
    at(Login, 1, "the agent of Azure does not answer: extensions, backup and password reset need it")
        .see(&["linux.agent.installed"], "install walinuxagent on the machine", AZURE)
        .tells(&["VMAgentStatusCommunicationError", "VM agent is unable to communicate"]),
];

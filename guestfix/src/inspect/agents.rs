//! Programs of a cloud, and those that keep the time.

use crate::{Result, View};

/// A name and the files by which it is known, any of them.
const AGENTS: &[(&str, &[&str])] = &[
    ("cloud-init", &["/etc/cloud/cloud.cfg", "/usr/bin/cloud-init"]),
    ("amazon-ssm-agent", &["/usr/bin/amazon-ssm-agent", "/snap/amazon-ssm-agent", "/etc/amazon/ssm"]),
    ("ec2-instance-connect", &["/usr/share/ec2-instance-connect", "/opt/aws/bin/eic_run_authorized_keys"]),
    ("amazon-cloudwatch-agent", &["/opt/aws/amazon-cloudwatch-agent"]),
    ("codedeploy-agent", &["/opt/codedeploy-agent"]),
    ("hibagent", &["/usr/bin/hibagent", "/usr/bin/hibinit-agent"]),
    ("walinuxagent", &["/usr/sbin/waagent", "/usr/bin/waagent", "/etc/waagent.conf"]),
    ("chrony", &["/etc/chrony.conf", "/etc/chrony/chrony.conf"]),
    ("ntp", &["/etc/ntp.conf", "/etc/ntpsec/ntp.conf"]),
];

/// The names of what is installed.
pub(super) fn agents(view: &dyn View) -> Result<Vec<&'static str>> {
    let mut out = Vec::new();
    for (name, files) in AGENTS {
        for file in *files {
            if view.lstat(file)?.is_some() {
                out.push(*name);
                break;
            }
        }
    }
    Ok(out)
}

//! Programs of a cloud, and those that keep the time.

use crate::facts::Agent;
use crate::{Result, View};

/// A program and the files by which it is known, any of them.
const AGENTS: &[(Agent, &[&str])] = &[
    (Agent::CloudInit, &["/etc/cloud/cloud.cfg", "/usr/bin/cloud-init"]),
    (Agent::AmazonSsm, &["/usr/bin/amazon-ssm-agent", "/snap/amazon-ssm-agent", "/etc/amazon/ssm"]),
    (Agent::InstanceConnect, &["/usr/share/ec2-instance-connect", "/opt/aws/bin/eic_run_authorized_keys"]),
    (Agent::CloudWatch, &["/opt/aws/amazon-cloudwatch-agent"]),
    (Agent::CodeDeploy, &["/opt/codedeploy-agent"]),
    (Agent::Hibagent, &["/usr/bin/hibagent", "/usr/bin/hibinit-agent"]),
    (Agent::WaLinux, &["/usr/sbin/waagent", "/usr/bin/waagent", "/etc/waagent.conf"]),
    (Agent::Chrony, &["/etc/chrony.conf", "/etc/chrony/chrony.conf"]),
    (Agent::Ntp, &["/etc/ntp.conf", "/etc/ntpsec/ntp.conf"]),
];

/// What is installed.
pub(super) fn agents(view: &dyn View) -> Result<Vec<Agent>> {
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

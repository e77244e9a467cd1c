//! The same as commands of the Azure CLI, in a script for a POSIX shell.

use super::model::{AttachedDisk, Handover, Licence, Placement, Security, Subnet};
use super::resources::NO_RESOLVER;
use crate::facts::OsKind;

/// A command in the making.
struct Command(Vec<String>);

impl Command {
    fn new(words: &str) -> Self {
        Self(words.split(' ').map(str::to_owned).collect())
    }

    #[must_use]
    fn option(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.extend([format!("--{name}"), quoted(&value.into())]);
        self
    }

    #[must_use]
    fn option_if(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.option(name, value),
            None => self,
        }
    }

    /// An option of several values.
    #[must_use]
    fn all(mut self, name: &str, values: impl IntoIterator<Item = String>) -> Self {
        let values: Vec<String> = values.into_iter().map(|value| quoted(&value)).collect();
        if !values.is_empty() {
            self.0.push(format!("--{name}"));
            self.0.extend(values);
        }
        self
    }

    /// A line for each option.
    fn text(self) -> String {
        let mut text = String::new();
        for (at, word) in self.0.iter().enumerate() {
            match at {
                0 => {}
                _ if word.starts_with("--") => text.push_str(" \\\n    "),
                _ => text.push(' '),
            }
            text.push_str(word);
        }
        text + "\n"
    }
}

/// The whole script.
pub fn render(handover: &Handover) -> String {
    let it = handover;
    let group = |command: Command| command.option("resource-group", &it.group);
    let made = |command: Command, name: String| {
        let tags = it.all_tags().into_iter().map(|(name, value)| format!("{name}={value}"));
        group(command).option("name", name).option("location", &it.location).all("tags", tags)
    };
    let mut commands = Vec::new();
    let (new, isolated) = match &it.network.subnet {
        Subnet::Existing(_) => (None, false),
        Subnet::New(prefix) => (Some(prefix), false),
        Subnet::Isolated(prefix) => (Some(prefix), true),
    };
    if let Some(prefix) = new {
        commands.push(made(Command::new("az network nsg create"), it.part("nsg")));
        let directions = [("DenyAllInbound", "Inbound"), ("DenyAllOutbound", "Outbound")];
        for (name, direction) in directions.into_iter().take(if isolated { 2 } else { 1 }) {
            let rule = group(Command::new("az network nsg rule create")).option("nsg-name", it.part("nsg"));
            let rule = rule.option("name", name).option("priority", "4096").option("direction", direction);
            commands.push(
                rule.option("access", "Deny")
                    .option("protocol", "*")
                    .all("destination-port-ranges", ["*".to_owned()]),
            );
        }
        let network = made(Command::new("az network vnet create"), it.part("vnet"));
        let network = network.all("address-prefixes", [prefix.clone()]);
        commands.push(network.all("dns-servers", isolated.then(|| NO_RESOLVER.to_owned())));
        let subnet =
            group(Command::new("az network vnet subnet create")).option("vnet-name", it.part("vnet"));
        let subnet = subnet.option("name", "default").all("address-prefixes", [prefix.clone()]);
        let subnet = subnet.option_if("default-outbound-access", isolated.then_some("false"));
        commands.push(subnet.option("network-security-group", it.part("nsg")));
    }
    let card = made(Command::new("az network nic create"), it.part("nic"));
    let card = match &it.network.subnet {
        Subnet::Existing(id) => card.option("subnet", id),
        _ => card.option("vnet-name", it.part("vnet")).option("subnet", "default"),
    };
    let card = card.option_if("private-ip-address", it.network.address.clone());
    commands.push(card.option("accelerated-networking", it.network.accelerated.to_string()));
    commands.push(machine(it, made(Command::new("az vm create"), it.name.clone())));
    commands.push(group(Command::new("az vm boot-diagnostics enable")).option("name", &it.name));
    if let Some(backup) = &it.backup {
        let command = group(Command::new("az backup protection enable-for-vm"));
        let command = command.option("vault-name", &backup.vault).option("policy-name", &backup.policy);
        commands.push(command.option("vm", &it.name));
    }
    if let Some(configuration) = &it.maintenance {
        let command =
            group(Command::new("az maintenance assignment create")).option("location", &it.location);
        let command = command.option("name", it.part("patching")).option("resource-name", &it.name);
        let command =
            command.option("provider-name", "Microsoft.Compute").option("resource-type", "virtualMachines");
        commands.push(command.option("maintenance-configuration-id", configuration));
    }
    if let Some(licence) = it.sql {
        let command = group(Command::new("az sql vm create")).option("name", &it.name);
        commands.push(command.option("location", &it.location).option("license-type", licence.name()));
    }
    let mut text = format!(
        "#!/bin/sh\n# The virtual machine {}, by refloat {}.\nset -eu\n",
        it.name,
        env!("CARGO_PKG_VERSION")
    );
    for command in commands {
        text += &format!("\n{}", command.text());
    }
    if !it.just_in_time.is_empty() {
        text += "\n# The Azure CLI cannot make a policy of just-in-time access: the template and Bicep do.\n";
    }
    if let Some(day) = &it.expires {
        // Deleting the machine deletes its disks and its card, as they were attached so.
        let delete = [
            group(Command::new("az vm delete")).option("name", &it.name).option("yes", ""),
            group(Command::new("az network vnet delete")).option("name", it.part("vnet")),
            group(Command::new("az network nsg delete")).option("name", it.part("nsg")),
        ];
        text += &format!("\n# When the test is over, on {day} at the latest:\n");
        for command in delete {
            let line = command.text().replace(" \\\n    ", " ").replace("--yes ''", "--yes");
            text += &format!("# {line}");
        }
    }
    text
}

fn machine(it: &Handover, command: Command) -> Command {
    let os = if it.os == OsKind::Windows { "windows" } else { "linux" };
    let disk = |disk: &AttachedDisk| match disk {
        AttachedDisk::Named(name) => name.clone(),
        AttachedDisk::Id(id) => id.clone(),
    };
    let first = it.disks.first().map(disk).unwrap_or_default();
    let delete = if it.expires.is_some() { "Delete" } else { "Detach" };
    let command = command
        .option("size", &it.size)
        .option("os-type", os)
        .option("attach-os-disk", first)
        .all("attach-data-disks", it.disks.iter().skip(1).map(disk))
        .option("os-disk-caching", "ReadWrite")
        .option("os-disk-delete-option", delete)
        .option_if("data-disk-delete-option", (it.disks.len() > 1).then_some(delete))
        .option("disk-controller-type", it.controller.name())
        .option_if("os-disk-encryption-set", it.encryption_set.clone());
    let command = match &it.placement {
        Placement::Region => command,
        Placement::Zone(zone) => command.option("zone", zone),
        Placement::Set(set) => command.option("availability-set", set),
    };
    let command = command.option("nics", it.part("nic")).option("nic-delete-option", "Delete");
    let command = command.option("security-type", it.security.name());
    let command = match it.security {
        Security::Standard => command,
        Security::TrustedLaunch { secure_boot } => {
            command.option("enable-secure-boot", secure_boot.to_string()).option("enable-vtpm", "true")
        }
    };
    let command = command.option_if("encryption-at-host", it.encryption_at_host.then_some("true"));
    command.option_if("license-type", it.licence.map(Licence::name))
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

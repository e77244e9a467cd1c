//! The same as Terraform, for the provider azurerm from 4.55 on: `os_managed_disk_id` is one of its newer
//! arguments.
//!
//! The uploaded disks are data sources. As resources they would be destroyed and made anew.

use super::model::{AttachedDisk, Handover, Placement, Security, Subnet};
use super::resources::NO_RESOLVER;
use crate::facts::OsKind;

/// A value of an argument.
enum Value {
    Text(String),
    /// As it stands: a reference, a number, a truth.
    Bare(String),
    List(Vec<Value>),
}

/// What is in a block.
#[derive(Default)]
struct Body {
    arguments: Vec<(String, Value)>,
    blocks: Vec<(&'static str, Body)>,
    tags: Vec<(String, String)>,
}

impl Body {
    #[must_use]
    fn text(self, name: &str, text: impl Into<String>) -> Self {
        self.value(name, Value::Text(text.into()))
    }

    #[must_use]
    fn text_if(self, name: &str, text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    #[must_use]
    fn bare(self, name: &str, value: impl ToString) -> Self {
        self.value(name, Value::Bare(value.to_string()))
    }

    #[must_use]
    fn value(mut self, name: &str, value: Value) -> Self {
        self.arguments.push((name.to_owned(), value));
        self
    }

    #[must_use]
    fn block(mut self, name: &'static str, body: Body) -> Self {
        self.blocks.push((name, body));
        self
    }

    /// As `terraform fmt` writes it: the equals signs of neighbours are in one column.
    fn write(&self, text: &mut String, indent: usize) {
        let margin = " ".repeat(indent);
        let tags = !self.tags.is_empty();
        let width = self.arguments.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &self.arguments {
            *text += &format!("{margin}{name:<width$} = {}\n", shown(value));
        }
        if tags {
            *text += &format!("{margin}tags = {{\n");
            let width = self.tags.iter().map(|(name, _)| key(name).chars().count()).max().unwrap_or(0);
            for (name, value) in &self.tags {
                *text += &format!("{margin}  {:<width$} = {}\n", key(name), quoted(value));
            }
            *text += &format!("{margin}}}\n");
        }
        for (at, (name, body)) in self.blocks.iter().enumerate() {
            if at > 0 || tags || !self.arguments.is_empty() {
                text.push('\n');
            }
            let empty = body.arguments.is_empty() && body.blocks.is_empty();
            if empty {
                *text += &format!("{margin}{name} {{}}\n");
                continue;
            }
            *text += &format!("{margin}{name} {{\n");
            body.write(text, indent + 2);
            *text += &format!("{margin}}}\n");
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Bare(text) => text.clone(),
        Value::List(values) => {
            format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The name of a tag: an identifier as it is.
fn key(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        && name.starts_with(|c: char| c.is_ascii_alphabetic());
    if plain { name.to_owned() } else { quoted(name) }
}

/// A text in quotes, in which nothing is a template.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '$' | '%' if rest.peek() == Some(&'{') => quoted.extend([c, c]),
            c if c.is_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The file in the making.
struct File<'a> {
    it: &'a Handover,
    text: String,
}

impl File<'_> {
    fn put(&mut self, kind: &str, labels: &[&str], body: &Body) {
        let labels: String = labels.iter().map(|label| format!(" \"{label}\"")).collect();
        self.text += &format!("\n{kind}{labels} {{\n");
        body.write(&mut self.text, 2);
        self.text += "}\n";
    }

    /// A resource's first arguments.
    fn named(&self, name: String) -> Body {
        let body = Body::default().text("name", name).bare("location", "var.location");
        body.text("resource_group_name", &self.it.group)
    }

    fn tagged(&self, body: Body) -> Body {
        Body { tags: self.it.all_tags(), ..body }
    }
}

/// The whole file.
pub fn render(handover: &Handover) -> String {
    let head =
        format!("# The virtual machine {}, by refloat {}.\n", handover.name, env!("CARGO_PKG_VERSION"));
    let mut file = File { it: handover, text: head };
    let provider = "\nterraform {\n  required_providers {\n    azurerm = {\n      source  = \"hashicorp/azurerm\"\n      \
                    version = \">= 4.55\"\n    }\n  }\n}\n";
    file.text += provider;
    for (name, value) in [("location", &handover.location), ("vm_size", &handover.size)] {
        file.put("variable", &[name], &Body::default().bare("type", "string").text("default", value));
    }
    disks(&mut file);
    network(&mut file);
    machine(&mut file);
    data_disks(&mut file);
    afterwards(&mut file);
    file.text
}

/// What a disk is called in the file.
fn label(at: usize) -> String {
    if at == 0 { "os".to_owned() } else { format!("data{at}") }
}

fn disks(file: &mut File<'_>) {
    for (at, disk) in file.it.disks.iter().enumerate() {
        if let AttachedDisk::Named(name) = disk {
            let body = Body::default().text("name", name).text("resource_group_name", &file.it.group);
            file.put("data", &["azurerm_managed_disk", &label(at)], &body);
        }
    }
}

fn disk_id(it: &Handover, at: usize) -> Value {
    match &it.disks[at] {
        AttachedDisk::Named(_) => Value::Bare(format!("data.azurerm_managed_disk.{}.id", label(at))),
        AttachedDisk::Id(id) => Value::Text(id.clone()),
    }
}

fn network(file: &mut File<'_>) {
    let it = file.it;
    let (new, isolated) = match &it.network.subnet {
        Subnet::Existing(_) => (None, false),
        Subnet::New(prefix) => (Some(prefix), false),
        Subnet::Isolated(prefix) => (Some(prefix), true),
    };
    if let Some(prefix) = new {
        let mut guard = file.tagged(file.named(it.part("nsg")));
        let directions = [("DenyAllInbound", "Inbound"), ("DenyAllOutbound", "Outbound")];
        for (name, direction) in directions.into_iter().take(if isolated { 2 } else { 1 }) {
            let rule = Body::default().text("name", name).bare("priority", 4096).text("direction", direction);
            let rule = rule.text("access", "Deny").text("protocol", "*").text("source_address_prefix", "*");
            let rule = rule.text("source_port_range", "*").text("destination_address_prefix", "*");
            guard = guard.block("security_rule", rule.text("destination_port_range", "*"));
        }
        file.put("resource", &["azurerm_network_security_group", "vm"], &guard);
        let prefixes = || Value::List(vec![Value::Text(prefix.clone())]);
        let network = file.named(it.part("vnet")).value("address_space", prefixes());
        let resolver = || Value::List(vec![Value::Text(NO_RESOLVER.to_owned())]);
        let network = if isolated { network.value("dns_servers", resolver()) } else { network };
        let network = file.tagged(network);
        file.put("resource", &["azurerm_virtual_network", "vm"], &network);
        let subnet = Body::default().text("name", "default").text("resource_group_name", &it.group);
        let subnet = subnet.bare("virtual_network_name", "azurerm_virtual_network.vm.name");
        let subnet = subnet.value("address_prefixes", prefixes());
        let subnet = if isolated { subnet.bare("default_outbound_access_enabled", false) } else { subnet };
        file.put("resource", &["azurerm_subnet", "vm"], &subnet);
        let both = Body::default().bare("subnet_id", "azurerm_subnet.vm.id");
        let both = both.bare("network_security_group_id", "azurerm_network_security_group.vm.id");
        file.put("resource", &["azurerm_subnet_network_security_group_association", "vm"], &both);
    }
    let address = Body::default().text("name", "ipconfig");
    let address = match &it.network.subnet {
        Subnet::Existing(id) => address.text("subnet_id", id),
        _ => address.bare("subnet_id", "azurerm_subnet.vm.id"),
    };
    let method = if it.network.address.is_some() { "Static" } else { "Dynamic" };
    let address = address.text("private_ip_address_allocation", method);
    let address = address.text_if("private_ip_address", it.network.address.clone());
    let card = file.named(it.part("nic")).bare("accelerated_networking_enabled", it.network.accelerated);
    let card = file.tagged(card).block("ip_configuration", address);
    file.put("resource", &["azurerm_network_interface", "vm"], &card);
}

/// The resource's type: one for each system.
fn machine_type(it: &Handover) -> &'static str {
    match it.os {
        OsKind::Linux => "azurerm_linux_virtual_machine",
        OsKind::Windows => "azurerm_windows_virtual_machine",
    }
}

fn machine(file: &mut File<'_>) {
    let it = file.it;
    let body = file.named(it.name.clone()).bare("size", "var.vm_size");
    let cards = Value::List(vec![Value::Bare("azurerm_network_interface.vm.id".to_owned())]);
    let body = body.value("network_interface_ids", cards).value("os_managed_disk_id", disk_id(it, 0));
    let body = body.text("disk_controller_type", it.controller.name());
    let body = match &it.placement {
        Placement::Region => body,
        Placement::Zone(zone) => body.text("zone", zone),
        Placement::Set(set) => body.text("availability_set_id", set),
    };
    // The provider derives the security type from these two.
    let body = match it.security {
        Security::Standard => body.bare("secure_boot_enabled", false).bare("vtpm_enabled", false),
        Security::TrustedLaunch { secure_boot } => {
            body.bare("secure_boot_enabled", secure_boot).bare("vtpm_enabled", true)
        }
    };
    let body = if it.encryption_at_host { body.bare("encryption_at_host_enabled", true) } else { body };
    let body = body.text_if("license_type", it.licence.map(|licence| licence.name()));
    let disk = Body::default().text("caching", "ReadWrite");
    let disk = disk.text_if("disk_encryption_set_id", it.encryption_set.clone());
    let body = file.tagged(body).block("os_disk", disk).block("boot_diagnostics", Body::default());
    file.put("resource", &[machine_type(it), "vm"], &body);
}

fn data_disks(file: &mut File<'_>) {
    let it = file.it;
    for at in 1..it.disks.len() {
        let body = Body::default().value("managed_disk_id", disk_id(it, at));
        let body = body.bare("virtual_machine_id", format!("{}.vm.id", machine_type(it)));
        let body = body.bare("lun", at - 1).text("caching", "None");
        file.put("resource", &["azurerm_virtual_machine_data_disk_attachment", &label(at)], &body);
    }
}

fn afterwards(file: &mut File<'_>) {
    let it = file.it;
    let machine = format!("{}.vm.id", machine_type(it));
    if let Some(backup) = &it.backup {
        let policy = Body::default().text("name", &backup.policy).text("recovery_vault_name", &backup.vault);
        let policy = policy.text("resource_group_name", &it.group);
        file.put("data", &["azurerm_backup_policy_vm", "vm"], &policy);
        let body = Body::default().text("resource_group_name", &it.group);
        let body = body.text("recovery_vault_name", &backup.vault).bare("source_vm_id", &machine);
        let body = body.bare("backup_policy_id", "data.azurerm_backup_policy_vm.vm.id");
        file.put("resource", &["azurerm_backup_protected_vm", "vm"], &body);
    }
    if let Some(configuration) = &it.maintenance {
        let body = Body::default().bare("location", "var.location");
        let body =
            body.text("maintenance_configuration_id", configuration).bare("virtual_machine_id", &machine);
        file.put("resource", &["azurerm_maintenance_assignment_virtual_machine", "vm"], &body);
    }
    if let Some(licence) = it.sql {
        let body =
            Body::default().bare("virtual_machine_id", &machine).text("sql_license_type", licence.name());
        file.put("resource", &["azurerm_mssql_virtual_machine", "vm"], &body);
    }
    if !it.just_in_time.is_empty() {
        file.text +=
            "\n# The provider has no resource for just-in-time access: the template and Bicep make it.\n";
    }
}

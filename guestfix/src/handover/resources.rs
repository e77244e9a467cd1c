//! The model as resources of Azure Resource Manager, which templates and Bicep print alike.

use super::model::{AttachedDisk, Handover, Placement, Security, Subnet};
use crate::facts::OsKind;

/// The newest versions of the providers that the schemas of 2026-08 know.
const COMPUTE: &str = "2026-03-01";
const DISKS: &str = "2026-03-02";
const NETWORK: &str = "2025-07-01";
const BACKUP: &str = "2024-10-01";
const MAINTENANCE: &str = "2023-04-01";
const SQL: &str = "2023-10-01";
const SECURITY: &str = "2020-01-01";

/// A name server that nobody is: RFC 5737 keeps these addresses free for documents.
pub(super) const NO_RESOLVER: &str = "192.0.2.53";

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What it is called within the template.
    pub symbol: String,
    /// "Microsoft.Compute/virtualMachines".
    pub kind: &'static str,
    /// The version of its form.
    pub api: &'static str,
    /// Its name, with those of what it is in before it: "vault/fabric".
    pub name: String,
    /// It is there already, and only referred to.
    pub existing: bool,
    /// The resource that it is an extension of.
    pub scope: Option<String>,
    /// All else: location, tags, properties.
    pub body: Vec<(String, Value)>,
}

/// A value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
    /// The parameter of this name.
    Parameter(&'static str),
    /// The id of the resource with this symbol, and what is in it: "/subnets/default".
    Id(String, &'static str),
    /// The id of a policy of a backup vault in the same resource group.
    Policy(String, String),
    /// Several.
    List(Vec<Value>),
    /// Named ones, in this order.
    Object(Vec<(String, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// An object in the making.
#[derive(Debug, Default)]
struct Object(Vec<(String, Value)>);

impl Object {
    #[must_use]
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

impl From<Vec<Value>> for Value {
    fn from(values: Vec<Value>) -> Self {
        Self::List(values)
    }
}

fn object() -> Object {
    Object::default()
}

fn id(id: impl Into<Value>) -> Value {
    object().with("id", id).into()
}

/// The parameters of a template, with their values: a size is one, as schemas list only those of their day.
pub fn parameters(handover: &Handover) -> [(&'static str, &str); 2] {
    [("location", &handover.location), ("vmSize", &handover.size)]
}

/// All resources, each behind those that it refers to.
pub fn resources(handover: &Handover) -> Vec<Resource> {
    let lower = Lower(handover);
    let disks = handover.disks.iter().enumerate().filter_map(|(at, disk)| lower.disk(at, disk));
    let network = lower.network();
    let mut all: Vec<Resource> = disks.chain(network).collect();
    all.push(lower.card());
    all.push(lower.machine());
    all.extend(
        [lower.backup(), lower.maintenance(), lower.just_in_time(), lower.sql()].into_iter().flatten(),
    );
    all
}

/// What a disk is called within a template: the first is the system's.
pub(super) fn disk_symbol(number: usize) -> String {
    if number == 0 { "osDisk".to_owned() } else { format!("dataDisk{number}") }
}

/// The resource with this symbol, or what is in it.
fn of(symbol: &str, within: &'static str) -> Value {
    Value::Id(symbol.to_owned(), within)
}

struct Lower<'a>(&'a Handover);

impl Lower<'_> {
    /// A resource that is made, with what all have.
    fn made(
        &self,
        symbol: &str,
        kind: &'static str,
        api: &'static str,
        name: String,
        body: Object,
    ) -> Resource {
        let tags = self.0.all_tags();
        let tags = tags.iter().map(|(name, value)| (name.clone(), Value::from(value))).collect::<Vec<_>>();
        let head = object().with("location", Value::Parameter("location"));
        let head = head.with_some("tags", (!tags.is_empty()).then_some(Value::Object(tags)));
        let body = [head.0, body.0].concat();
        Resource { symbol: symbol.to_owned(), kind, api, name, existing: false, scope: None, body }
    }

    fn disk(&self, at: usize, disk: &AttachedDisk) -> Option<Resource> {
        let AttachedDisk::Named(name) = disk else { return None };
        let (kind, api) = ("Microsoft.Compute/disks", DISKS);
        let symbol = disk_symbol(at);
        Some(Resource {
            symbol,
            kind,
            api,
            name: name.clone(),
            existing: true,
            scope: None,
            body: Vec::new(),
        })
    }

    /// The virtual network and what guards it, if they are to be made.
    fn network(&self) -> Vec<Resource> {
        let (prefix, isolated) = match &self.0.network.subnet {
            Subnet::Existing(_) => return Vec::new(),
            Subnet::New(prefix) => (prefix, false),
            Subnet::Isolated(prefix) => (prefix, true),
        };
        let mut rules = vec![deny("DenyAllInbound", "Inbound")];
        if isolated {
            rules.push(deny("DenyAllOutbound", "Outbound"));
        }
        let guard = object().with("properties", object().with("securityRules", rules));
        let name = self.0.part("nsg");
        let guard =
            self.made("securityGroup", "Microsoft.Network/networkSecurityGroups", NETWORK, name, guard);
        let subnet = object()
            .with("addressPrefix", prefix)
            // Nothing leaves by an address that Azure lends.
            .with_some("defaultOutboundAccess", isolated.then_some(false))
            .with("networkSecurityGroup", id(of("securityGroup", "")));
        let subnet = object().with("name", "default").with("properties", subnet);
        let resolver = object().with("dnsServers", vec![Value::from(NO_RESOLVER)]);
        let network = object()
            .with("addressSpace", object().with("addressPrefixes", vec![Value::from(prefix)]))
            .with_some("dhcpOptions", isolated.then_some(resolver))
            .with("subnets", vec![subnet.into()]);
        let network = object().with("properties", network);
        let name = self.0.part("vnet");
        vec![guard, self.made("network", "Microsoft.Network/virtualNetworks", NETWORK, name, network)]
    }

    fn card(&self) -> Resource {
        let network = &self.0.network;
        let subnet = match &network.subnet {
            Subnet::Existing(subnet) => Value::from(subnet),
            Subnet::New(_) | Subnet::Isolated(_) => of("network", "/subnets/default"),
        };
        let method = if network.address.is_some() { "Static" } else { "Dynamic" };
        let address = object()
            .with("subnet", id(subnet))
            .with("privateIPAllocationMethod", method)
            .with_some("privateIPAddress", network.address.as_ref());
        let address = object().with("name", "ipconfig").with("properties", address);
        let properties = object()
            .with("enableAcceleratedNetworking", network.accelerated)
            .with("ipConfigurations", vec![address.into()]);
        let body = object().with("properties", properties);
        self.made("card", "Microsoft.Network/networkInterfaces", NETWORK, self.0.part("nic"), body)
    }

    /// The id of a disk.
    fn disk_id(&self, at: usize) -> Value {
        match &self.0.disks[at] {
            AttachedDisk::Named(_) => of(&disk_symbol(at), ""),
            AttachedDisk::Id(id) => Value::from(id),
        }
    }

    fn managed(&self, at: usize) -> Object {
        let set = self.0.encryption_set.as_ref().map(id);
        object().with("id", self.disk_id(at)).with_some("diskEncryptionSet", set)
    }

    fn machine(&self) -> Resource {
        let it = self.0;
        let os = if it.os == OsKind::Windows { "Windows" } else { "Linux" };
        // A test machine's disks go with it; those of the machine itself stay, as they are what was migrated.
        let delete = if it.expires.is_some() { "Delete" } else { "Detach" };
        let first = object()
            .with("osType", os)
            .with("createOption", "Attach")
            .with("caching", "ReadWrite")
            .with("deleteOption", delete)
            .with("managedDisk", self.managed(0));
        let further = |at: usize| -> Value {
            object()
                .with("lun", i64::try_from(at - 1).unwrap_or(i64::MAX))
                .with("createOption", "Attach")
                .with("caching", "None")
                .with("deleteOption", delete)
                .with("managedDisk", self.managed(at))
                .into()
        };
        let further: Vec<Value> = (1..it.disks.len()).map(further).collect();
        let storage = object()
            .with("diskControllerType", it.controller.name())
            .with("osDisk", first)
            .with_some("dataDisks", (!further.is_empty()).then_some(further));
        let checks =
            |secure_boot: bool| object().with("secureBootEnabled", secure_boot).with("vTpmEnabled", true);
        let uefi = match it.security {
            Security::Standard => None,
            Security::TrustedLaunch { secure_boot } => Some(checks(secure_boot)),
        };
        let security = object()
            .with("securityType", it.security.name())
            .with_some("uefiSettings", uefi)
            .with_some("encryptionAtHost", it.encryption_at_host.then_some(true));
        let card =
            object().with("id", of("card", "")).with("properties", object().with("deleteOption", "Delete"));
        let (zones, set) = match &it.placement {
            Placement::Region => (None, None),
            Placement::Zone(zone) => (Some(vec![Value::from(zone)]), None),
            Placement::Set(set) => (None, Some(id(set))),
        };
        let properties = object()
            .with("hardwareProfile", object().with("vmSize", Value::Parameter("vmSize")))
            .with_some("availabilitySet", set)
            .with("storageProfile", storage)
            .with("networkProfile", object().with("networkInterfaces", vec![card.into()]))
            .with("securityProfile", security)
            .with_some("licenseType", it.licence.map(|licence| licence.name()))
            .with("diagnosticsProfile", object().with("bootDiagnostics", object().with("enabled", true)));
        let body = object().with_some("zones", zones).with("properties", properties);
        self.made("machine", "Microsoft.Compute/virtualMachines", COMPUTE, it.name.clone(), body)
    }

    fn backup(&self) -> Option<Resource> {
        let backup = self.0.backup.as_ref()?;
        let item = format!("iaasvmcontainerv2;{};{}", self.0.group, self.0.name);
        let name = format!("{}/Azure/iaasvmcontainer;{item}/vm;{item}", backup.vault);
        let policy = Value::Policy(backup.vault.clone(), backup.policy.clone());
        let properties = object()
            .with("protectedItemType", "Microsoft.Compute/virtualMachines")
            .with("policyId", policy)
            .with("sourceResourceId", of("machine", ""));
        Some(Resource {
            symbol: "backup".to_owned(),
            kind: "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems",
            api: BACKUP,
            name,
            existing: false,
            scope: None,
            body: object().with("properties", properties).0,
        })
    }

    fn maintenance(&self) -> Option<Resource> {
        let configuration = self.0.maintenance.as_ref()?;
        let properties = object().with("maintenanceConfigurationId", configuration);
        Some(Resource {
            symbol: "patching".to_owned(),
            kind: "Microsoft.Maintenance/configurationAssignments",
            api: MAINTENANCE,
            name: self.0.part("patching"),
            existing: false,
            scope: Some("machine".to_owned()),
            body: object().with("location", Value::Parameter("location")).with("properties", properties).0,
        })
    }

    fn just_in_time(&self) -> Option<Resource> {
        if self.0.just_in_time.is_empty() {
            return None;
        }
        let port = |port: &u16| -> Value {
            object()
                .with("number", i64::from(*port))
                .with("protocol", "*")
                .with("allowedSourceAddressPrefix", "*")
                .with("maxRequestAccessDuration", "PT3H")
                .into()
        };
        let ports: Vec<Value> = self.0.just_in_time.iter().map(port).collect();
        let machine = object().with("id", of("machine", "")).with("ports", ports);
        let properties = object().with("virtualMachines", vec![machine.into()]);
        Some(Resource {
            symbol: "justInTime".to_owned(),
            kind: "Microsoft.Security/locations/jitNetworkAccessPolicies",
            api: SECURITY,
            name: format!("{}/{}", self.0.location, self.0.part("jit")),
            existing: false,
            scope: None,
            body: object().with("kind", "Basic").with("properties", properties).0,
        })
    }

    fn sql(&self) -> Option<Resource> {
        let licence = self.0.sql?;
        let properties = object()
            .with("virtualMachineResourceId", of("machine", ""))
            .with("sqlServerLicenseType", licence.name());
        let body = object().with("properties", properties);
        let (kind, name) = ("Microsoft.SqlVirtualMachine/sqlVirtualMachines", self.0.name.clone());
        Some(self.made("sqlServer", kind, SQL, name, body))
    }
}

/// A rule behind all others that lets nothing through.
fn deny(name: &str, direction: &str) -> Value {
    let properties = object()
        .with("priority", 4096)
        .with("direction", direction)
        .with("access", "Deny")
        .with("protocol", "*")
        .with("sourceAddressPrefix", "*")
        .with("sourcePortRange", "*")
        .with("destinationAddressPrefix", "*")
        .with("destinationPortRange", "*");
    object().with("name", name).with("properties", properties).into()
}

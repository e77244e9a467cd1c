//! What a template makes, and what a virtual machine says.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::disks::{Disks, Refusal};

/// What is in a group besides its disks: by kind and name.
#[derive(Debug, Default)]
pub(super) struct Machines {
    made: BTreeMap<(String, String), Value>,
    /// What the serial console shows, one piece more each time it is asked for; the last one stays.
    said: VecDeque<Vec<u8>>,
}

const MACHINE: &str = "Microsoft.Compute/virtualMachines";
const CARD: &str = "Microsoft.Network/networkInterfaces";
const NETWORK: &str = "Microsoft.Network/virtualNetworks";
const GUARD: &str = "Microsoft.Network/networkSecurityGroups";
const KINDS: [&str; 4] = [MACHINE, CARD, NETWORK, GUARD];

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "InvalidTemplate", message)
}

impl Machines {
    pub(super) fn says(&mut self, pieces: &[&[u8]]) {
        self.said = pieces.iter().map(|piece| piece.to_vec()).collect();
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.made.keys().map(|(kind, name)| format!("{kind}/{name}")).collect()
    }

    /// Carries out a template: resources in the order that they depend on each other.
    pub(super) fn deploy(&mut self, group: &str, disks: &mut Disks, body: &Value) -> Result<Value, Refusal> {
        let properties = &body["properties"];
        if properties["mode"] != "Incremental" {
            return Err(invalid("What is there already would be deleted."));
        }
        let template = &properties["template"];
        let parameters = template["parameters"].as_object().cloned().unwrap_or_default();
        let resources = template["resources"].as_array().ok_or_else(|| invalid("There are no resources."))?;
        let mut waiting: Vec<Value> =
            resources.iter().map(|resource| evaluated(resource, group, &parameters)).collect();
        while !waiting.is_empty() {
            let is_ready = |resource: &Value, waiting: &[Value]| {
                let before = resource["dependsOn"].as_array().cloned().unwrap_or_default();
                !waiting.iter().any(|other| before.contains(&id(group, other).into()))
            };
            let at = (0..waiting.len()).find(|at| is_ready(&waiting[*at], &waiting));
            let resource = waiting.remove(at.ok_or_else(|| invalid("A circular dependency was found."))?);
            self.make(group, disks, resource)?;
        }
        Ok(json!({ "properties": { "provisioningState": "Succeeded" } }))
    }

    fn make(&mut self, group: &str, disks: &mut Disks, mut resource: Value) -> Result<(), Refusal> {
        let text = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text("type"), text("name"));
        if !KINDS.contains(&&*kind) || name.is_empty() || text("apiVersion").is_empty() {
            return Err(invalid(&format!("The template resource '{name}' of type '{kind}' is not valid.")));
        }
        if text("location").is_empty() {
            return Err(Refusal::new(400, "LocationRequired", "The location property is required."));
        }
        let missing =
            referred(&resource["properties"]).into_iter().find(|id| !self.is_there(group, disks, id));
        if let Some(id) = missing {
            return Err(Refusal::new(
                404,
                "InvalidResourceReference",
                &format!("Resource {id} was not found."),
            ));
        }
        if kind == MACHINE {
            if resource["properties"]["hardwareProfile"]["vmSize"] == "Standard_None" {
                let message =
                    "The requested VM size Standard_None is not available in location 'westeurope'.";
                return Err(Refusal::new(409, "SkuNotAvailable", message));
            }
            let storage = &resource["properties"]["storageProfile"];
            let first = last(storage["osDisk"]["managedDisk"]["id"].as_str().unwrap_or_default());
            let controller = storage["diskControllerType"].as_str().unwrap_or("SCSI");
            let security = &resource["properties"]["securityProfile"];
            if let Some(message) = disks.mismatch(first, security, controller) {
                return Err(Refusal::new(409, "OperationNotAllowed", message));
            }
            for disk in attached(&resource) {
                match disks.state(&disk) {
                    Some("Unattached") => disks.set_state(&disk, "Attached"),
                    Some("Attached") if self.made.contains_key(&(kind.clone(), name.clone())) => {}
                    state => {
                        let message =
                            format!("Disk {disk} is {state:?} and cannot be attached to VM {name}.");
                        return Err(Refusal::new(409, "ConflictingUserInput", &message));
                    }
                }
            }
        }
        resource["id"] = id(group, &resource).into();
        self.made.insert((kind, name), resource);
        Ok(())
    }

    fn is_there(&self, group: &str, disks: &Disks, wanted: &str) -> bool {
        let made = |resource: &Value| wanted.starts_with(&id(group, resource));
        let disk = wanted.rsplit_once("/Microsoft.Compute/disks/").map(|(_, name)| name);
        disk.is_some_and(|name| disks.state(name).is_some()) || self.made.values().any(made)
    }

    /// All there is with a tag of this name.
    pub(super) fn tagged(&self, tag: &str) -> Vec<Value> {
        let all = self.made.values().filter(|resource| resource["tags"].get(tag).is_some());
        all.map(|resource| {
            let Value::Object(fields) = resource else { return Value::Null };
            let told = ["id", "name", "type", "tags", "location"];
            fields
                .iter()
                .filter(|(name, _)| told.contains(&&***name))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        })
        .collect()
    }

    /// Deletes a resource, and with a machine what is to go with it.
    pub(super) fn delete(
        &mut self,
        group: &str,
        disks: &mut Disks,
        (kind, name): (&str, &str),
    ) -> Result<(), Refusal> {
        let key = (kind.to_owned(), name.to_owned());
        let Some(resource) = self.made.get(&key).cloned() else {
            let message = format!("The Resource '{kind}/{name}' was not found.");
            return Err(Refusal::new(404, "ResourceNotFound", &message));
        };
        let own = id(group, &resource);
        let user = self.made.values().find(|other| {
            id(group, other) != own && referred(&other["properties"]).iter().any(|id| id.starts_with(&own))
        });
        if let Some(user) = user {
            let code = match kind {
                CARD => "NicInUse",
                NETWORK => "InUseSubnetCannotBeDeleted",
                _ => "InUseNetworkSecurityGroupCannotBeDeleted",
            };
            let message = format!("{own} is in use by {}.", id(group, user));
            return Err(Refusal::new(400, code, &message));
        }
        self.made.remove(&key);
        if kind == MACHINE {
            let storage = &resource["properties"]["storageProfile"];
            let further = storage["dataDisks"].as_array().cloned().unwrap_or_default();
            for disk in std::iter::once(&storage["osDisk"]).chain(&further) {
                let name = last(disk["managedDisk"]["id"].as_str().unwrap_or_default());
                match disk["deleteOption"] == "Delete" {
                    true => disks.forget(name),
                    false => disks.set_state(name, "Unattached"),
                }
            }
            for card in
                resource["properties"]["networkProfile"]["networkInterfaces"].as_array().into_iter().flatten()
            {
                if card["properties"]["deleteOption"] == "Delete" {
                    let name = last(card["id"].as_str().unwrap_or_default()).to_owned();
                    self.made.remove(&(CARD.to_owned(), name));
                }
            }
        }
        Ok(())
    }

    /// What a machine has said by now.
    pub(super) fn said(&mut self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(machine) = self.made.get(&(MACHINE.to_owned(), name.to_owned())) else {
            let message = format!("The Resource 'Microsoft.Compute/virtualMachines/{name}' was not found.");
            return Err(Refusal::new(404, "ResourceNotFound", &message));
        };
        if machine["properties"]["diagnosticsProfile"]["bootDiagnostics"]["enabled"] != true {
            return Err(Refusal::new(409, "OperationNotAllowed", "Boot diagnostics is not enabled."));
        }
        let next = if self.said.len() > 1 { self.said.pop_front() } else { self.said.front().cloned() };
        Ok(next)
    }
}

fn id(group: &str, resource: &Value) -> String {
    let text = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
    format!("{group}/providers/{}/{}", text("type"), text("name"))
}

fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}

/// The names of the disks of a machine.
fn attached(machine: &Value) -> Vec<String> {
    let storage = &machine["properties"]["storageProfile"];
    let further = storage["dataDisks"].as_array().cloned().unwrap_or_default();
    let disks = std::iter::once(&storage["osDisk"]).chain(&further);
    disks.filter_map(|disk| Some(last(disk["managedDisk"]["id"].as_str()?).to_owned())).collect()
}

/// All ids of other resources in a value.
fn referred(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("id").and_then(Value::as_str).filter(|id| id.contains("/providers/"));
            let within = fields.values().flat_map(referred);
            own.map(str::to_owned).into_iter().chain(within).collect()
        }
        Value::Array(all) => all.iter().flat_map(referred).collect(),
        _ => Vec::new(),
    }
}

/// A value with its expressions carried out: parameters, ids, and ids with something behind.
fn evaluated(value: &Value, group: &str, parameters: &serde_json::Map<String, Value>) -> Value {
    match value {
        Value::String(text) if text.starts_with('[') && !text.starts_with("[[") => {
            let expression = text.trim_start_matches('[').trim_end_matches(']');
            call(expression, group, parameters).map_or(Value::Null, Value::String)
        }
        Value::Array(all) => all.iter().map(|value| evaluated(value, group, parameters)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), evaluated(value, group, parameters))).collect()
        }
        other => other.clone(),
    }
}

fn call(expression: &str, group: &str, parameters: &serde_json::Map<String, Value>) -> Option<String> {
    if let Some(text) = expression.strip_prefix('\'') {
        return text.strip_suffix('\'').map(str::to_owned);
    }
    let (function, rest) = expression.split_once('(')?;
    let inner = rest.strip_suffix(')')?;
    match function {
        "parameters" => {
            let name = inner.trim_matches('\'');
            Some(parameters.get(name)?["defaultValue"].as_str()?.to_owned())
        }
        "resourceId" => {
            let parts: Vec<&str> = inner.split(", ").map(|part| part.trim_matches('\'')).collect();
            let [kind, name] = parts.as_slice() else { return None };
            Some(format!("{group}/providers/{kind}/{name}"))
        }
        "concat" => {
            let (first, second) = inner.rsplit_once(", ")?;
            Some(call(first, group, parameters)? + &call(second, group, parameters)?)
        }
        _ => None,
    }
}

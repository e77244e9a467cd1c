//! A template of Azure Resource Manager, as JSON ("Understand the structure and syntax of ARM templates",
//! Microsoft Learn, 2026).

use serde_json::{Map, Value as Json, json};

use super::model::Handover;
use super::resources::{Resource, Value, parameters, resources};

/// The whole template.
pub fn render(handover: &Handover) -> String {
    let all = resources(handover);
    let parameters: Map<String, Json> = parameters(handover)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!({ "type": "string", "defaultValue": literal(value) })))
        .collect();
    let made: Vec<Json> = all.iter().filter(|one| !one.existing).map(|one| resource(one, &all)).collect();
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": parameters,
        "resources": made,
    });
    format!("{template:#}\n")
}

fn resource(resource: &Resource, all: &[Resource]) -> Json {
    let mut json = Map::new();
    json.insert("type".into(), resource.kind.into());
    json.insert("apiVersion".into(), resource.api.into());
    json.insert("name".into(), literal(&resource.name).into());
    let mut before = Vec::new();
    resource.body.iter().for_each(|(_, value)| referred(value, &mut before));
    if let Some(scope) = &resource.scope {
        json.insert("scope".into(), format!("[{}]", id(scope, all)).into());
        before.push(scope.clone());
    }
    let is_made = |symbol: &String| all.iter().any(|one| one.symbol == *symbol && !one.existing);
    before.retain(is_made);
    before.sort();
    before.dedup();
    if !before.is_empty() {
        let ids = before.iter().map(|symbol| format!("[{}]", id(symbol, all)));
        json.insert("dependsOn".into(), ids.collect::<Vec<_>>().into());
    }
    for (name, value) in &resource.body {
        json.insert(name.clone(), self::value(value, all));
    }
    Json::Object(json)
}

/// The symbols that a value refers to.
fn referred(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Id(symbol, _) => found.push(symbol.clone()),
        Value::List(values) => values.iter().for_each(|value| referred(value, found)),
        Value::Object(values) => values.iter().for_each(|(_, value)| referred(value, found)),
        Value::Text(_) | Value::Number(_) | Value::Bool(_) | Value::Parameter(_) | Value::Policy(..) => {}
    }
}

fn value(value: &Value, all: &[Resource]) -> Json {
    match value {
        Value::Text(text) => literal(text).into(),
        Value::Number(number) => (*number).into(),
        Value::Bool(yes) => (*yes).into(),
        Value::Parameter(name) => format!("[parameters('{name}')]").into(),
        Value::Id(symbol, "") => format!("[{}]", id(symbol, all)).into(),
        Value::Id(symbol, within) => format!("[concat({}, {})]", id(symbol, all), quoted(within)).into(),
        Value::Policy(vault, policy) => {
            let kind = quoted("Microsoft.RecoveryServices/vaults/backupPolicies");
            format!("[resourceId({kind}, {}, {})]", quoted(vault), quoted(policy)).into()
        }
        Value::List(values) => values.iter().map(|value| self::value(value, all)).collect(),
        Value::Object(values) => {
            let values = values.iter().map(|(name, value)| (name.clone(), self::value(value, all)));
            Json::Object(values.collect())
        }
    }
}

/// The expression of a resource's id.
fn id(symbol: &str, all: &[Resource]) -> String {
    let found = all.iter().find(|one| one.symbol == symbol);
    let Some(Resource { kind, name, .. }) = found else { return quoted(symbol) };
    let names = name.split('/').map(quoted).collect::<Vec<_>>().join(", ");
    format!("resourceId({}, {names})", quoted(kind))
}

/// A text of an expression.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text that is no expression, whatever it begins with.
fn literal(text: &str) -> String {
    if text.starts_with('[') && text.ends_with(']') { format!("[{text}") } else { text.to_owned() }
}

//! `refloat schema`: the JSON Schema of what a verb answers, made of the very types that it writes.

use anyhow::anyhow;
use guestfix::plan::Plan;
use guestfix::report::Report;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::answer::{Answer, Help, Outcome};
use crate::cli::SchemaArgs;
use crate::context::Context;
use crate::document::{Document, Envelope, Failed, Told};
use crate::{
    apply, convert, demo, emit, fleet, forecast, fs, inspect, managed, migrate, present, rules, symptom,
    test_migrate, undo, verify,
};

/// A kind of document, as a reference to its definition.
pub(crate) type Kind = fn(&mut SchemaGenerator) -> Schema;

/// What can be asked for: each verb that answers, with its answers; an error is one of each.
pub(crate) const SCHEMAS: &[(&str, &[Kind])] = &[
    ("apply", &[answer::<apply::Applied>]),
    ("azure", &[answer::<managed::Cleanup>]),
    ("boot", &[answer::<testboot::Outcome>]),
    ("check", &[answer::<Report>]),
    ("convert", &[answer::<convert::Converted>]),
    ("demo", &[answer::<demo::Demo>]),
    ("emit", &[answer::<emit::Emitted>]),
    ("fleet", fleet::ANSWERS),
    ("forecast", &[answer::<forecast::Forecast>]),
    (
        "fs",
        &[answer::<fs::Listing>, answer::<fs::Content>, answer::<fs::Node>, answer::<fs::Differences<'_>>],
    ),
    ("inspect", &[answer::<inspect::Inspection>]),
    ("migrate", &[answer::<migrate::Migrated>]),
    ("plan", &[plan]),
    ("rules", &[answer::<rules::Table>, answer::<symptom::Symptoms>]),
    ("test-migrate", &[answer::<test_migrate::TestMigrated>]),
    ("undo", &[answer::<undo::Undone>]),
    ("verify", &[answer::<verify::Verified>]),
    ("error", &[]),
    ("progress", &[definition::<present::Progressed<'_>>]),
];

fn definition<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// An answer.
pub(crate) fn answer<T: Document + 'static>(generator: &mut SchemaGenerator) -> Schema {
    definition::<Told<'_, Envelope<'_, T>>>(generator)
}

/// A plan, which is the same in its file.
pub(crate) fn plan(generator: &mut SchemaGenerator) -> Schema {
    definition::<Told<'_, Plan>>(generator)
}

/// One of these.
pub(crate) fn any_of(kinds: &[Kind], generator: &mut SchemaGenerator) -> Schema {
    let kinds: Vec<Schema> = kinds.iter().map(|kind| kind(generator)).collect();
    schemars::json_schema!({ "anyOf": kinds })
}

pub(crate) fn run(context: &Context, args: &SchemaArgs) -> Outcome {
    let found = SCHEMAS.iter().find(|(name, _)| *name == args.verb);
    let (name, kinds) = found.ok_or_else(|| anyhow!("there is no schema of {}", args.verb)).help("")?;
    context.out.json(&document(name, kinds))?;
    Ok(Answer::Yes)
}

/// The whole schema.
fn document(name: &str, kinds: &[Kind]) -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    // Progress is no answer, so no error comes in its place.
    let error: &[Kind] = if name == "progress" { &[] } else { &[definition::<Failed<'_>>] };
    let mut schema = any_of(&[kinds, error].concat(), &mut generator);
    let title = match name {
        "error" => "an error of refloat with --json".to_owned(),
        "progress" => "a line of --progress json".to_owned(),
        verb => format!("what refloat {verb} --json answers"),
    };
    let root = schema.ensure_object();
    root.insert("$schema".into(), generator.settings().meta_schema.as_deref().into());
    root.insert("title".into(), title.into());
    root.insert("$defs".into(), Value::Object(generator.take_definitions(true)));
    close(root, false);
    schema.to_value()
}

/// Keywords whose schemas are about the same value: objects that they describe are parts of one.
const IN_PLACE: &[&str] = &["allOf", "anyOf", "oneOf"];
/// Keywords that hold schemas by name.
const BY_NAME: &[&str] = &["properties", "$defs"];

/// Allows no property but those that are named. `part` is a schema that names only some of an object's.
fn close(schema: &mut Map<String, Value>, part: bool) {
    let is_object = schema.contains_key("properties");
    let mut parts = false;
    for (key, value) in schema.iter_mut() {
        match value {
            Value::Array(all) if IN_PLACE.contains(&key.as_str()) => {
                parts = true;
                let objects = all.iter_mut().filter_map(Value::as_object_mut);
                objects.for_each(|schema| close(schema, part || is_object));
            }
            Value::Object(all) if BY_NAME.contains(&key.as_str()) => {
                all.values_mut().filter_map(Value::as_object_mut).for_each(|schema| close(schema, false));
            }
            Value::Object(one) if key == "items" || key == "additionalProperties" => close(one, false),
            _ => {}
        }
    }
    if is_object && !part && !schema.contains_key("additionalProperties") {
        let rest = if parts { "unevaluatedProperties" } else { "additionalProperties" };
        schema.insert(rest.into(), false.into());
    }
}

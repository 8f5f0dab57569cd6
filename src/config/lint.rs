//! Checks a tree against the JSON Schema and finds every fault of form at once: unknown and doubled keys, wrong types,
//! bad values, missing keys, what is not built yet. What the values mean together is not known here.

mod words;

use super::fault::{Fault, Location};
use super::raw::{ByteSize, DURATION, Duration, NOT_AVAILABLE, ONLY, PERCENT, Percent, REFUSED, SIZE};
use super::tree::{Key, Kind, Node, join};
use serde_json::{Map, Value};
use std::collections::HashMap;
use words::{expectation, found, list};

pub(super) use words::suggestion;

/// The schema of what has none.
static NOTHING: Value = Value::Null;

/// The tree as JSON, without what is faulty. `None`: nothing of it is of use.
pub(super) fn check(tree: &Node, schema: &Value, faults: &mut Vec<Fault>) -> Option<Value> {
    Lint { root: schema, faults }.value(tree, schema, "")
}

struct Lint<'s, 'f> {
    root: &'s Value,
    faults: &'f mut Vec<Fault>,
}

impl<'s> Lint<'s, '_> {
    /// `name`: the full name of the key. `None`: faulty, and a fault says so.
    fn value(&mut self, node: &Node, schema: &'s Value, name: &str) -> Option<Value> {
        let schema = resolve(self.root, schema);
        if let Some(alternatives) = alternatives(schema) {
            return self.any_of(node, alternatives, schema, name);
        }
        match &node.kind {
            Kind::Unset => None,
            Kind::Map(entries) if names_type(schema, "object") => Some(self.section(node, entries, schema, name)),
            Kind::Seq(items) if names_type(schema, "array") => self.list(node, items, schema, name),
            _ => {
                let fitting = readings(node).into_iter().find(|value| fits(value, schema));
                if fitting.is_none() {
                    self.refuse(node, schema, name);
                }
                fitting
            }
        }
    }

    /// The first alternative without a fault. If there is none, the one of the node's own kind says what is wrong.
    fn any_of(&mut self, node: &Node, alternatives: &'s [Value], schema: &'s Value, name: &str) -> Option<Value> {
        let mut nearest = None;
        for alternative in alternatives {
            let mut faults = Vec::new();
            let value = Lint { root: self.root, faults: &mut faults }.value(node, alternative, name);
            if faults.is_empty() {
                return value;
            }
            if nearest.is_none() && takes_kind(self.root, alternative, &node.kind) {
                nearest = Some(faults);
            }
        }
        match nearest {
            Some(faults) => self.faults.extend(faults),
            None => self.refuse(node, schema, name),
        }
        None
    }

    fn section(&mut self, node: &Node, entries: &[(Key, Node)], schema: &'s Value, name: &str) -> Value {
        let mut seen: HashMap<&str, Location> = HashMap::new();
        let mut section = Map::new();
        for (key, value) in entries {
            if let Some(first) = seen.get(key.name.as_str()) {
                let message = format!("duplicate key `{}`", key.name);
                self.faults
                    .push(Fault::new(key.at, message).remedy(format!("it stands in line {} already", first.line)));
                continue;
            }
            seen.insert(&key.name, key.at);
            if let Some(value) = self.entry(key, value, schema, name) {
                section.insert(key.name.clone(), value);
            }
        }
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let required = required.as_str().unwrap_or_default();
            if !seen.contains_key(required) {
                self.missing(node, required, schema, name);
            }
        }
        Value::Object(section)
    }

    fn entry(&mut self, key: &Key, node: &Node, schema: &'s Value, name: &str) -> Option<Value> {
        let full = join(name, &key.name);
        let known = schema.get("properties").and_then(Value::as_object);
        let Some(property) = known.and_then(|known| known.get(&key.name)) else {
            return match schema.get("additionalProperties") {
                Some(any @ Value::Object(_)) => self.value(node, any, &full),
                _ => {
                    self.unknown(key, known, name);
                    None
                }
            };
        };
        if property.get(NOT_AVAILABLE).is_some() {
            self.faults
                .push(Fault::new(key.at, format!("`{full}` is not available in this version")).remedy("remove it"));
            return None;
        }
        if let Some(reason) = property.get(REFUSED).and_then(Value::as_str) {
            self.faults.push(Fault::new(key.at, format!("`{full}` {reason}")).remedy("write it in the routes"));
            return None;
        }
        self.value(node, property, &full)
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: &'s Value, name: &str) -> Option<Value> {
        let item_schema = schema.get("items").unwrap_or(&NOTHING);
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        if u64::try_from(items.len()).unwrap_or(u64::MAX) < least {
            self.faults.push(Fault::new(node.at, format!("`{name}` is an empty list")));
            return None;
        }
        let values = items.iter().enumerate().map(|(i, item)| self.value(item, item_schema, &format!("{name}[{i}]")));
        // Every item is looked at before a faulty one is the end of the list.
        let values: Vec<Option<Value>> = values.collect();
        values.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
    }

    fn unknown(&mut self, key: &Key, known: Option<&Map<String, Value>>, name: &str) {
        if key.name.contains("${") {
            // The reader has said so.
            return;
        }
        let section = if name.is_empty() { String::new() } else { format!(" in `{name}`") };
        let fault = Fault::new(key.at, format!("unknown key `{}`{section}", key.name));
        let built = |schema: &Value| schema.get(NOT_AVAILABLE).is_none() && schema.get(REFUSED).is_none();
        let names: Vec<&str> =
            known.into_iter().flatten().filter(|&(_, s)| built(s)).map(|(n, _)| n.as_str()).collect();
        self.faults.push(match suggestion(&key.name, known.into_iter().flatten().map(|(n, _)| n.as_str())) {
            _ if key.name == "<<" => {
                fault.remedy("YAML's merge keys are not read: shared route keys go into `defaults`")
            }
            Some(meant) => fault.remedy(format!("did you mean `{meant}`?")),
            None => fault.remedy(format!("known here: {}", list(&names, "and"))),
        });
    }

    fn missing(&mut self, node: &Node, required: &str, schema: &'s Value, name: &str) {
        let full = join(name, required);
        let property = schema.get("properties").and_then(|known| known.get(required)).unwrap_or(&NOTHING);
        let description = property.get("description").and_then(Value::as_str);
        let property = resolve(self.root, property);
        let expected = expectation(self.root, property);
        let fault = Fault::new(node.at, format!("`{full}` is missing"));
        self.faults.push(match description {
            Some(description) => fault.remedy(format!("`{required}`: {}", description.replace('\n', " "))),
            None => fault.remedy(format!("`{required}` is {expected}")),
        });
    }

    /// A value that does not fit.
    fn refuse(&mut self, node: &Node, schema: &Value, name: &str) {
        if matches!(node.kind, Kind::Unset) {
            return;
        }
        let (expected, found) = (expectation(self.root, schema), found(node));
        let subject = if name.is_empty() { "the configuration".to_owned() } else { format!("`{name}`") };
        let misfit = Fault::new(node.at, format!("{subject} must be {expected}, not {found}"));
        self.faults.push(match &node.kind {
            Kind::Null => Fault::new(node.at, format!("{subject} has no value"))
                .remedy(format!("write {expected}, or remove the key")),
            _ if schema.get(ONLY).is_some() => {
                Fault::new(node.at, format!("{subject}: {found} is not available in this version"))
                    .remedy(format!("available: {expected}"))
            }
            Kind::Number(number) if expected.starts_with("a duration") => {
                misfit.remedy(format!("with its unit: `{number}s`?"))
            }
            Kind::Number(number) if expected.starts_with("a percentage") => {
                misfit.remedy(format!("with its sign: `{number}%`?"))
            }
            Kind::Number(_) | Kind::Bool(_) if expected == "text" => misfit.remedy("write it in quotes"),
            _ => misfit,
        });
    }
}

/// Follows `$ref`.
fn resolve<'s>(root: &'s Value, mut schema: &'s Value) -> &'s Value {
    // Far more than there are.
    for _ in 0..8 {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|path| root.pointer(path.strip_prefix('#')?));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

fn alternatives(schema: &Value) -> Option<&[Value]> {
    schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array).map(Vec::as_slice)
}

/// Whether a schema names this type; one without a type is about a single value.
fn names_type(schema: &Value, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(types)) => types.iter().any(|t| t == name),
        _ => false,
    }
}

/// Whether a schema is about values of this kind, so that its faults say more than that it does not fit.
fn takes_kind(root: &Value, schema: &Value, kind: &Kind) -> bool {
    let schema = resolve(root, schema);
    let by_itself = match kind {
        Kind::Map(_) => names_type(schema, "object"),
        Kind::Seq(_) => names_type(schema, "array"),
        _ => false,
    };
    by_itself || alternatives(schema).unwrap_or_default().iter().any(|choice| takes_kind(root, choice, kind))
}

/// What a value may mean: what comes from a variable may be a text, a number or a truth.
fn readings(node: &Node) -> Vec<Value> {
    match &node.kind {
        Kind::Text { text, replaced } => {
            let typed =
                serde_json::from_str::<Value>(text).ok().filter(|v| *replaced && (v.is_number() || v.is_boolean()));
            std::iter::once(Value::String(text.clone())).chain(typed).collect()
        }
        Kind::Number(number) => vec![Value::Number(number.clone())],
        Kind::Bool(truth) => vec![Value::Bool(*truth)],
        Kind::Null => vec![Value::Null],
        Kind::Seq(items) if items.is_empty() => vec![Value::Array(Vec::new())],
        Kind::Map(_) | Kind::Seq(_) | Kind::Unset => Vec::new(),
    }
}

/// Whether a scalar is what its schema asks for.
fn fits(value: &Value, schema: &Value) -> bool {
    if let Some(only) = schema.get("const") {
        return value == only;
    }
    if let Some(Value::Array(choices)) = schema.get("enum") {
        return choices.contains(value);
    }
    match value {
        Value::String(text) => names_type(schema, "string") && fits_format(text, schema),
        Value::Number(number) => {
            let whole = number.is_u64() || number.is_i64();
            let typed = (whole && names_type(schema, "integer")) || names_type(schema, "number");
            let value = number.as_f64().unwrap_or(f64::NAN);
            let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
            typed
                && bound("minimum").is_none_or(|least| value >= least)
                && bound("maximum").is_none_or(|most| value <= most)
        }
        Value::Bool(_) => names_type(schema, "boolean"),
        Value::Null => names_type(schema, "null"),
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn fits_format(text: &str, schema: &Value) -> bool {
    match schema.get("format").and_then(Value::as_str) {
        Some(DURATION) => text.parse::<Duration>().is_ok(),
        Some(SIZE) => text.parse::<ByteSize>().is_ok(),
        Some(PERCENT) => text.parse::<Percent>().is_ok(),
        _ => true,
    }
}

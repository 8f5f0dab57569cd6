//! What is said of values and of schemas.

use super::{alternatives, resolve};
use crate::config::raw::{DURATION, PERCENT, SIZE};
use crate::config::tree::{Kind, Node};
use serde_json::Value;

/// What a schema asks for: "a whole number from 1", "`strip` or `bypass`".
pub(super) fn expectation(root: &Value, schema: &Value) -> String {
    joined(&expectations(root, schema), "or")
}

fn expectations(root: &Value, schema: &Value) -> Vec<String> {
    let schema = resolve(root, schema);
    if let Some(choices) = alternatives(schema) {
        return choices.iter().flat_map(|choice| expectations(root, choice)).collect();
    }
    match schema.get("enum").and_then(Value::as_array) {
        Some(choices) => choices.iter().map(literal).collect(),
        None => vec![single_expectation(schema)],
    }
}

fn single_expectation(schema: &Value) -> String {
    if let Some(only) = schema.get("const") {
        return literal(only);
    }
    match schema.get("format").and_then(Value::as_str) {
        Some(DURATION) => return "a duration (`250ms`, `10s`, `5m`, `1h`, `30d`)".to_owned(),
        Some(SIZE) => return "a size (`512`, `4KiB`, `256MiB`, `20GiB`)".to_owned(),
        Some(PERCENT) => return "a percentage from `0%` to `99%`".to_owned(),
        _ => {}
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => "text".to_owned(),
        Some("integer" | "number") => format!("a whole number{}", range(schema)),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") => "a list".to_owned(),
        Some("object") => "a section with keys".to_owned(),
        _ => "something else".to_owned(),
    }
}

fn range(schema: &Value) -> String {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" from {least}"),
        (None, Some(most)) => format!(" up to {most}"),
        (None, None) => String::new(),
    }
}

/// What a node holds. What came from a variable may be a secret.
pub(super) fn found(node: &Node) -> String {
    match &node.kind {
        Kind::Text { replaced: true, .. } | Kind::Unset => "what the variable holds".to_owned(),
        Kind::Text { text, .. } => {
            let more = if text.chars().count() > LONG { "..." } else { "" };
            format!("`{}{more}`", text.chars().take(LONG).collect::<String>().escape_debug())
        }
        Kind::Number(number) => format!("the number `{number}`"),
        Kind::Bool(truth) => format!("`{truth}`"),
        Kind::Null => "nothing".to_owned(),
        Kind::Map(_) => "a section".to_owned(),
        Kind::Seq(_) => "a list".to_owned(),
    }
}

/// Longer texts are cut in messages.
const LONG: usize = 60;

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// "`a`, `b` and `c`".
pub(super) fn list(names: &[&str], last: &str) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    joined(&names, last)
}

fn joined(parts: &[String], last: &str) -> String {
    match parts {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// The name that was probably meant.
pub(in crate::config) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (name.chars().count() / 3).clamp(1, 3);
    known.map(|k| (distance(name, k), k)).filter(|(d, _)| *d <= bound).min().map(|(_, k)| k)
}

/// How many letters are added, dropped, replaced or swapped.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

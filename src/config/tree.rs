//! A YAML file as a tree in which every key and value knows its place. What the keys mean is not known here.

use super::fault::{Fault, Location};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter as _, Options, Spanned};
use std::collections::HashMap;
use std::fmt;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) at: Location,
}

/// A mapping's key and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: Location,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// In the order of the file, duplicates included.
    Map(Vec<(Key, Node)>),
    Seq(Vec<Node>),
    Text {
        text: String,
        /// Whether a variable's value is part of it: then it may also be meant as a number, and is not shown.
        replaced: bool,
    },
    Number(Number),
    Bool(bool),
    Null,
    /// `${VAR}` of a variable without a value, which is a fault of its own.
    Unset,
}

impl Node {
    /// A value from the command line.
    pub(super) fn text(text: &str) -> Self {
        Node { kind: Kind::Text { text: text.to_owned(), replaced: false }, at: Location::default() }
    }

    /// A mapping from the command line.
    pub(super) fn map<const N: usize>(entries: [(&str, Node); N]) -> Self {
        let at = Location::default();
        let entries = entries.into_iter().map(|(name, node)| (Key { name: name.to_owned(), at }, node));
        Node { kind: Kind::Map(entries.collect()), at }
    }

    fn entries(&self) -> &[(Key, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    fn entry(&self, name: &str) -> Option<&(Key, Node)> {
        self.entries().iter().find(|(key, _)| key.name == name)
    }
}

/// A value with its full name and place, for messages. Where it is absent, its section stands for its place.
#[derive(Clone, Debug)]
pub(super) struct Spot<'a> {
    node: Option<&'a Node>,
    at: Location,
    pub(super) name: String,
}

impl<'a> Spot<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Spot { node: Some(node), at: node.at, name: String::new() }
    }

    pub(super) fn key(&self, name: &str) -> Spot<'a> {
        let node = self.node.and_then(|node| node.entry(name)).map(|(_, node)| node);
        Spot { node, at: node.map_or(self.at, |node| node.at), name: join(&self.name, name) }
    }

    /// A list's item; where a single value stands for a list, that value.
    pub(super) fn item(&self, index: usize) -> Spot<'a> {
        let Some(Kind::Seq(items)) = self.node.map(|node| &node.kind) else { return self.clone() };
        let node = items.get(index);
        Spot { node, at: node.map_or(self.at, |node| node.at), name: format!("{}[{index}]", self.name) }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.node.is_some_and(|node| node.entry(name).is_some())
    }

    /// The keys, in the order of the file.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.node.map(Node::entries).unwrap_or_default().iter().map(|(key, _)| key.name.as_str())
    }

    pub(super) fn at(&self) -> Location {
        self.at
    }

    /// A fault of this value: its name, and what is wrong with it.
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.at, format!("`{}` {}", self.name, message.into()))
    }

    /// A fault of a key itself, whatever its value.
    pub(super) fn fault_of_key(&self, name: &str, message: &str) -> Fault {
        let at = self.node.and_then(|node| node.entry(name)).map_or(self.at, |(key, _)| key.at);
        Fault::new(at, format!("`{}` {message}", join(&self.name, name)))
    }
}

/// The full name of a key.
pub(super) fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// In front of what comes from a variable, so that it is text however much it looks like a number: a token may.
const REPLACED: char = '\u{1}';
/// Stands for a variable without a value, so that the rest of the file is still read.
const UNSET: char = '\u{2}';
/// So many variables without a value are reported at once.
const MAX_UNSET: usize = 32;
/// Values that aliases may add to a file.
const MAX_ALIASED: usize = 2_000;

const WHERE_REPLACED: &str = "write the value without quotes, on a line of its own: `key: ${VAR}`";

/// Reads a file, with `${VAR}` replaced from `env`. `None`: it cannot be read on, and the last fault says why.
pub(super) fn read(text: &str, env: &HashMap<String, String>, faults: &mut Vec<Fault>) -> Option<Node> {
    let marked = |value: &String| if value.is_empty() { String::new() } else { format!("{REPLACED}{value}") };
    let mut variables: HashMap<String, String> = env.iter().map(|(name, v)| (name.clone(), marked(v))).collect();
    for _ in 0..MAX_UNSET {
        let tree: Result<Node, Error> =
            serde_saphyr::from_str_with_options(text, options().with_properties(variables.clone()));
        match tree {
            Ok(mut tree) => {
                // A file without a key says nothing, but is not wrong.
                if tree.kind == Kind::Null {
                    tree = Node { kind: Kind::Map(Vec::new()), at: Location { line: 1, column: 1 } };
                }
                find_unreplaced(&tree, faults);
                return Some(tree);
            }
            Err(error) => match unset(cause(&error)) {
                Some((name, message)) => {
                    let remedy = format!("set it, or write a default: `${{{name}:-value}}`");
                    faults.push(Fault::new(place_of(&error), message).remedy(remedy));
                    variables.insert(name, UNSET.to_string());
                }
                None => {
                    faults.push(unreadable(&error, text));
                    return None;
                }
            },
        }
    }
    None
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_nodes: 50_000,
            max_depth: 32,
            flow_nesting_limit: 32,
            max_aliases: 200,
            max_anchors: 100,
            max_recorded_anchor_events: 20_000,
            max_total_scalar_bytes: 4 * 1024 * 1024,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_ALIASED,
            max_replay_stack_depth: 8,
        },
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

/// What is left of `${` stood where nothing is replaced; taken literally, it would be a wrong value.
fn find_unreplaced(node: &Node, faults: &mut Vec<Fault>) {
    let message = "`${...}` is replaced only in unquoted, block-style values";
    match &node.kind {
        Kind::Map(entries) => {
            for (key, value) in entries {
                if key.name.contains("${") {
                    faults.push(Fault::new(key.at, format!("{message}, never in keys")));
                }
                find_unreplaced(value, faults);
            }
        }
        Kind::Seq(items) => items.iter().for_each(|item| find_unreplaced(item, faults)),
        Kind::Text { text, replaced: false } if text.contains("${") => {
            faults.push(
                Fault::new(node.at, format!("{message}; this one would be taken literally")).remedy(WHERE_REPLACED),
            );
        }
        _ => {}
    }
}

/// The variable that has no value, if that is what stopped the reader, and what is said of it.
fn unset(error: &Error) -> Option<(String, String)> {
    let (name, what, why) = match error {
        Error::UnresolvedProperty { name, .. } => (name, "is not set", ""),
        Error::PropertyRequiredButUnset { name, message, .. } => (name, "is not set", message.as_str()),
        Error::PropertyRequiredButEmpty { name, message, .. } => (name, "is empty", message.as_str()),
        _ => return None,
    };
    let colon = if why.is_empty() { "" } else { ": " };
    Some((name.clone(), printable(&format!("the environment variable `{name}` {what}{colon}{why}"))))
}

/// A fault that ends the reading.
fn unreadable(error: &Error, text: &str) -> Fault {
    let at = place_of(error);
    let line = at.line.checked_sub(1).and_then(|above| text.lines().nth(above)).unwrap_or_default();
    let message = match cause(error) {
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            format!("aliases (`*name`) repeat too much: they may add {MAX_ALIASED} values to a configuration")
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an alias (`*name`) contains itself".to_owned(),
        Error::Budget { breach, .. } => format!("larger than any configuration is: {breach:?}"),
        Error::NullIntoString { .. } => "a key without a name".to_owned(),
        Error::MultipleDocuments { .. } => "a second YAML document begins: a configuration is one".to_owned(),
        Error::InvalidPropertyName { name, .. } => {
            format!("`{name}` is none of `${{VAR}}`, `${{VAR:-default}}` and `${{VAR:?message}}`")
        }
        other => format!("not YAML: {}", DefaultMessageFormatter.format_message(other)),
    };
    let fault = Fault::new(at, printable(&message));
    if line.contains("${") { fault.remedy(WHERE_REPLACED) } else { fault }
}

/// The error itself, without what serde-saphyr wraps around it.
fn cause(mut error: &Error) -> &Error {
    while let Error::AliasError { error: inner, .. } | Error::WithSnippet { error: inner, .. } = error {
        error = inner;
    }
    error
}

fn place_of(error: &Error) -> Location {
    error.location().map_or(Location { line: 1, column: 1 }, place)
}

fn place(at: serde_saphyr::Location) -> Location {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Location { line: number(at.line()), column: number(at.column()) }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Node { at: site(&spanned), kind: spanned.value })
    }
}

/// Where a value is written; of an alias, where its anchor is.
fn site<T>(spanned: &Spanned<T>) -> Location {
    let defined = place(spanned.defined);
    if defined.line == 0 { place(spanned.referenced) } else { defined }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value::<Node>()?;
            // serde-saphyr replaces in keys as well. They name what is meant here, so that is a fault.
            let replaced = key.value.contains([REPLACED, UNSET]);
            let at = site(&key);
            let name = if replaced { "${...}".to_owned() } else { key.value };
            entries.push((Key { name, at }, value));
        }
        Ok(Kind::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Kind::Seq(items))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Kind, E> {
        if text.contains(UNSET) {
            return Ok(Kind::Unset);
        }
        let replaced = text.contains(REPLACED);
        let text = if replaced { text.replace(REPLACED, "") } else { text.to_owned() };
        Ok(Kind::Text { text, replaced })
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Kind, E> {
        Number::from_f64(value).map(Kind::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }
}

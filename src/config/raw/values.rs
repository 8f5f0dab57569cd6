//! Values with a notation of their own, and marks for what is not built yet.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// `format` of durations in the schema.
pub(crate) const DURATION: &str = "larder-duration";
/// `format` of sizes in the schema.
pub(crate) const SIZE: &str = "larder-size";
/// `format` of percentages in the schema.
pub(crate) const PERCENT: &str = "larder-percent";
/// A key whose capability is not built yet.
pub(crate) const NOT_AVAILABLE: &str = "x-larder-not-available";
/// A key of which the listed values alone are built.
pub(crate) const ONLY: &str = "x-larder-only";
/// A key that does not belong here, with the reason.
pub(crate) const REFUSED: &str = "x-larder-refused";

/// `250ms`, `10s`, `5m`, `1h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Duration(pub(crate) std::time::Duration);

/// Longest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// A hundred years: times of day plus any of these stay far from overflow.
const LONGEST: u64 = 36_525 * 86_400_000;

impl Duration {
    pub(crate) const fn from_secs(seconds: u64) -> Self {
        Duration(std::time::Duration::from_secs(seconds))
    }

    pub(crate) const fn from_millis(millis: u64) -> Self {
        Duration(std::time::Duration::from_millis(millis))
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        measured(text, &DURATION_UNITS)
            .filter(|millis| *millis <= LONGEST)
            .map(Duration::from_millis)
            .ok_or_else(|| format!("`{text}` is not a duration"))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, factor) = largest_unit(millis, &DURATION_UNITS).unwrap_or(("s", 1_000));
        write!(f, "{}{unit}", millis / factor)
    }
}

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> String {
        duration.to_string()
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": DURATION, "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

/// `512`, `4KiB`, `256MiB`, `20GiB`: bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Deserialize, Serialize)]
#[serde(try_from = "Value", into = "String")]
pub(crate) struct ByteSize(pub(crate) u64);

const SIZE_UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

impl ByteSize {
    /// In memory nothing is larger than the address space.
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        measured(text, &SIZE_UNITS).map(ByteSize).ok_or_else(|| format!("`{text}` is not a size"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = largest_unit(self.0, &SIZE_UNITS).unwrap_or(("", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl TryFrom<Value> for ByteSize {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match &value {
            Value::String(text) => text.parse(),
            other => other.as_u64().map(ByteSize).ok_or_else(|| format!("`{other}` is not a size")),
        }
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> String {
        size.to_string()
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "format": SIZE,
            "pattern": "^[0-9]+(KiB|MiB|GiB|TiB)?$",
            "minimum": 0
        })
    }
}

/// `0%` to `99%`: all of it is said without a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Percent(pub(crate) u8);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |n: &&str| (*n == "0" || !n.starts_with('0')) && n.bytes().all(|b| b.is_ascii_digit());
        let number = text.strip_suffix('%').filter(plain);
        let percent = number.and_then(|n| n.parse::<u8>().ok()).filter(|percent| *percent < 100);
        percent.map(Percent).ok_or_else(|| format!("`{text}` is not a percentage"))
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": PERCENT, "pattern": "^(0|[1-9][0-9]?)%$" })
    }
}

/// A number with one of these units, in the smallest of them.
fn measured(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit in which a value is a whole number.
fn largest_unit<'a>(value: u64, units: &[(&'a str, u64)]) -> Option<(&'a str, u64)> {
    units.iter().copied().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor))
}

/// A value, or the word `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Limit<T> {
    Of(T),
    Word(Unlimited),
}

impl<T> Limit<T> {
    pub(crate) const UNLIMITED: Self = Limit::Word(Unlimited::Unlimited);

    pub(crate) fn get(self) -> Option<T> {
        match self {
            Limit::Of(value) => Some(value),
            Limit::Word(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Unlimited {
    Unlimited,
}

/// A number of threads, or the word `auto`: one for each core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Threads {
    Of(NonZeroUsize),
    Word(Auto),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Auto {
    Auto,
}

/// One text, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum OneOrMore {
    One(String),
    #[schemars(extend("minItems" = 1))]
    More(Vec<String>),
}

impl OneOrMore {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(more) => more,
        }
    }
}

/// A place by its name, or `false`: so some tools read YAML's `off`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum AccessOutput {
    Named(String),
    Off(bool),
}

impl Default for AccessOutput {
    fn default() -> Self {
        AccessOutput::Named("stdout".to_owned())
    }
}

impl JsonSchema for AccessOutput {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AccessOutput".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "const": false }] })
    }
}

/// Text, or `null` for none: so a key can be written out with its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct TextOrNull(pub(crate) Option<String>);

impl JsonSchema for TextOrNull {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TextOrNull".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "const": null }] })
    }
}

/// An HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Status(pub(crate) u16);

impl JsonSchema for Status {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 100, "maximum": 599 })
    }
}

/// Marks: a value that was checked against its schema carries nothing more.
macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident: { $($schema:tt)* })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct $name;

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                IgnoredAny::deserialize(deserializer).map(|_| $name)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ $($schema)* })
            }
        }
    )+};
}

marks! {
    /// A key whose capability is not built yet.
    NotAvailable: { "not": {}, "x-larder-not-available": true }
    /// A key that belongs to a route.
    RoutesOnly: { "not": {}, "x-larder-refused": "belongs to a route: it says what one page is" }
    OnlyRoundRobin: { "const": "round_robin", "default": "round_robin", "x-larder-only": true }
    OnlyAutoOrNone: { "enum": ["auto", "none"], "default": "auto", "x-larder-only": true }
}

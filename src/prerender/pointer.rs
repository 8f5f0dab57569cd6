//! From a JSON document to paths: a pointer picks strings, a template makes a path of each.
//!
//! What the document means, and who asks for the paths, is not known here.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// A JSON pointer (RFC 6901) with one more step: `*`, every element of an array and every member of an object. A
/// member that is itself called `*` cannot be named alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `*`
    Every,
    /// A member, or an element by its number: which of them, the document decides (RFC 6901, section 4).
    One(String),
}

/// Why a document yields no strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointerError {
    /// Nothing is where the pointer points. `at`: the longest part of the pointer that exists; empty for the whole
    /// document.
    Nothing { at: String },
    /// What is there is no string. Numbers are none either: which of `1`, `1.0` and `1e0` is in a URL is not ours to
    /// say. `index`: of the match, from 0.
    NotAString { index: usize, is: &'static str },
}

impl std::fmt::Display for PointerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing { at } if at.is_empty() => {
                f.write_str("the pointer matches nothing: the document has no part of it. Compare it with the document")
            }
            Self::Nothing { at } => write!(
                f,
                "the pointer matches nothing: the document has `{at}`, but nothing under it that the next step names. \
                 Compare the pointer with the document"
            ),
            Self::NotAString { index, is } => write!(
                f,
                "match number {index} of the pointer (from 0) is {is}, and has to be a string. Point at a string, or \
                 have the document send one"
            ),
        }
    }
}

impl std::error::Error for PointerError {}

impl Pointer {
    /// # Errors
    /// Says what is wrong with the text, for the one who wrote it.
    pub fn parse(text: &str) -> Result<Pointer, String> {
        if text.is_empty() {
            return Ok(Pointer { steps: Vec::new() });
        }
        let Some(tokens) = text.strip_prefix('/') else {
            return Err(format!("a JSON pointer begins with `/` (or is empty): `/{text}`?"));
        };
        let steps = tokens.split('/').map(step).collect::<Result<_, _>>()?;
        Ok(Pointer { steps })
    }

    /// The strings the pointer points at: elements in their order, members in the order of [`serde_json::Map`]. Where
    /// a `*` is followed by more, elements that do not have it are left out.
    ///
    /// # Errors
    /// If nothing matches, or if anything that matches is no string.
    pub fn select<'v>(&self, document: &'v Value) -> Result<Vec<&'v str>, PointerError> {
        let mut matched = vec![document];
        for (index, step) in self.steps.iter().enumerate() {
            let next: Vec<&Value> = matched.iter().flat_map(|value| step.from(value)).collect();
            if next.is_empty() {
                return Err(PointerError::Nothing { at: self.up_to(index) });
            }
            matched = next;
        }
        let string = |(index, value): (usize, &'v Value)| {
            value.as_str().ok_or(PointerError::NotAString { index, is: kind(value) })
        };
        matched.into_iter().enumerate().map(string).collect()
    }

    fn up_to(&self, step: usize) -> String {
        self.steps[..step].iter().map(|step| format!("/{step}")).collect()
    }
}

impl Step {
    fn from<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Step::Every, Value::Array(elements)) => elements.iter().collect(),
            (Step::Every, Value::Object(members)) => members.values().collect(),
            (Step::One(name), Value::Object(members)) => members.get(name).into_iter().collect(),
            (Step::One(name), Value::Array(elements)) => {
                number(name).and_then(|n| elements.get(n)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Every => f.write_str("*"),
            Step::One(name) => f.write_str(&name.replace('~', "~0").replace('/', "~1")),
        }
    }
}

fn step(token: &str) -> Result<Step, String> {
    if token == "*" {
        return Ok(Step::Every);
    }
    let mut name = String::with_capacity(token.len());
    let mut rest = token.chars();
    while let Some(c) = rest.next() {
        name.push(match c {
            '~' => match rest.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(format!("`~` is written `~0` and `/` is written `~1` in a JSON pointer: `{token}`")),
            },
            c => c,
        });
    }
    Ok(Step::One(name))
}

/// RFC 6901, section 4: no leading zeros, no sign.
fn number(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|b| b.is_ascii_digit());
    let plain = token == "0" || !token.starts_with('0');
    if digits && plain { token.parse().ok() } else { None }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Everything but RFC 3986's unreserved characters (section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path with a gap, `/blog/{}`: the value of the gap is always one segment, or part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: String,
    after: String,
}

impl Template {
    /// # Errors
    /// Says what is wrong with the text, for the one who wrote it.
    pub fn parse(text: &str) -> Result<Template, String> {
        if !text.starts_with('/') || text.starts_with("//") {
            return Err(format!("a template is a path, and begins with one `/`: `{text}`"));
        }
        let gaps: Vec<&str> = text.split("{}").collect();
        let [before, after] = gaps[..] else {
            return Err(format!("a template has `{{}}` exactly once, where the value goes: `{text}`"));
        };
        for part in [before, after] {
            if let Some(c) = part.chars().find(|c| !is_path(*c)) {
                return Err(format!("`{}` cannot be in a path as it is: `{text}`", c.escape_debug()));
            }
            if !is_percent_encoded(part) {
                return Err(format!("`%` is followed by two hexadecimal digits: `{text}`"));
            }
        }
        if text.split('/').any(is_dots) {
            return Err(format!("a template has no `.` and `..` segments: `{text}`"));
        }
        Ok(Template { before: before.to_owned(), after: after.to_owned() })
    }

    /// The path for a value. None where there is no such path: for the empty value, for `.` and `..`, and where value
    /// and template together are a `.` or `..` segment, which a client or an origin would resolve away (RFC 3986,
    /// section 5.2.4).
    pub fn render(&self, value: &str) -> Option<String> {
        let path = format!("{}{}{}", self.before, utf8_percent_encode(value, ENCODED), self.after);
        if matches!(value, "" | "." | "..") || path.split('/').any(is_dots) { None } else { Some(path) }
    }
}

/// RFC 3986, section 3.3: pchar and `/`; `%` is looked at on its own.
fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/%".contains(c)
}

fn is_percent_encoded(part: &str) -> bool {
    part.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

/// `.` and `..`, however written: the URL standard reads `%2e` as a dot here.
fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

#[cfg(test)]
#[path = "tests/pointer.rs"]
mod tests;

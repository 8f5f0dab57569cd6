//! What is written into YAML: quoted texts, durations and comments, none of which can become anything else there,
//! whatever a manifest says.

use std::fmt::Write;

/// A double-quoted scalar in one line, of printable ASCII alone.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' | '\\' => _ = write!(quoted, "\\{c}"),
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            // Larder takes `${` for a variable of the environment.
            '$' if rest.peek() == Some(&'{') => quoted += "\\x24",
            ' '..='~' => quoted.push(c),
            _ if u32::from(c) <= 0xff => _ = write!(quoted, "\\x{:02x}", u32::from(c)),
            _ if u32::from(c) <= 0xffff => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            _ => _ = write!(quoted, "\\U{:08x}", u32::from(c)),
        }
    }
    quoted.push('"');
    quoted
}

/// Some of them, quoted, and how many more there are.
pub(super) fn some_of(texts: &[String], most: usize) -> String {
    let shown: Vec<String> = texts.iter().take(most).map(|text| quote(text)).collect();
    match texts.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// As people write it: `60s`, `2m`, `1h`, `365d`.
pub(super) fn duration(seconds: u64) -> String {
    const UNITS: [(&str, u64, u64); 3] = [("d", 86_400, 86_400), ("h", 3_600, 3_600), ("m", 60, 120)];
    let unit = UNITS.iter().find(|(_, size, least)| seconds >= *least && seconds.is_multiple_of(*size));
    unit.map_or_else(|| format!("{seconds}s"), |(name, size, _)| format!("{}{name}", seconds / size))
}

const WIDTH: usize = 110;

/// Lines of a comment, with so many spaces before each. Those of an item (`- `) stand below its text.
pub(super) fn comment(indent: usize, text: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    let hanging = if text.starts_with("- ") { "  " } else { "" };
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        if !line.is_empty() && indent + line.chars().count() + word.chars().count() + 3 > WIDTH {
            put(&mut out, indent, &line);
            line.clear();
            line += hanging;
        }
        if !line.trim_start().is_empty() {
            line.push(' ');
        }
        // Names are quoted before they get here; a line break that is not in quotes would end the comment.
        line.extend(word.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }));
    }
    put(&mut out, indent, &line);
    out
}

fn put(out: &mut String, indent: usize, line: &str) {
    let space = if line.is_empty() { "" } else { " " };
    let _ = writeln!(out, "{:indent$}#{space}{line}", "");
}

//! Text for people: what a server sends is made safe for a terminal, durations and sizes are rounded, tables aligned,
//! sentences wrapped. Knows nothing of the API.

use std::io::IsTerminal;

/// Columns of a page of text.
const WIDTH: usize = 80;
/// Columns of a fact's name, and the space behind it.
const LABEL: usize = 14;
/// Columns. A longer cell sticks out of its row, and does not push all the others to the right.
const WIDEST: usize = 60;

/// For a terminal. A stored URL is chosen by whoever asked for it; it must not move the cursor, colour what follows or
/// turn it round.
pub fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if rules_terminals(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The same JSON document, for a terminal. JSON itself forbids raw control characters up to U+001F in its
/// strings; the others can stand in strings alone, where an escape means the same.
pub fn safe_json(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    for c in document.trim().chars() {
        if c > ' ' && rules_terminals(c) {
            safe += &format!("\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Control characters, line separators, and what changes the direction of writing.
fn rules_terminals(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Two figures at least, and one unit.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A span of seconds that may lie behind us.
pub fn until(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    format!("{sign}{}", span(seconds.unsigned_abs()))
}

pub fn took(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..10_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => span(millis / 1_000),
    }
}

pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) if bytes < 10 * unit => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}

/// Rows of aligned columns, page after page; a column never becomes narrower.
#[derive(Default)]
pub struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// Cells are safe already.
    pub fn page(&mut self, rows: &[Vec<String>]) -> String {
        for row in rows {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count().min(WIDEST));
            }
        }
        let mut text = String::new();
        for row in rows {
            let cells: String =
                row.iter().zip(&self.widths).map(|(cell, &width)| format!("{cell:<width$}  ")).collect();
            text += cells.trim_end();
            text.push('\n');
        }
        text
    }
}

/// A page in sections. Makes safe what it is given.
pub struct Page {
    text: String,
    /// What begins bold type, and what ends it.
    bold: [&'static str; 2],
}

impl Page {
    pub fn for_stdout() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let bold = if !plain && std::io::stdout().is_terminal() { ["\x1b[1m", "\x1b[0m"] } else { ["", ""] };
        Page { text: String::new(), bold }
    }

    pub fn title(&mut self, text: &str) {
        let [begin, end] = self.bold;
        self.text += &format!("{begin}{}{end}\n", safe(text));
    }

    pub fn section(&mut self, name: &str) {
        self.text.push('\n');
        self.title(name);
    }

    pub fn say(&mut self, sentences: &str) {
        self.wrap("  ", sentences);
    }

    pub fn point(&mut self, sentence: &str) {
        self.wrap("  - ", sentence);
    }

    pub fn fact(&mut self, name: &str, value: &str) {
        self.wrap(&format!("  {name:<LABEL$}"), value);
    }

    pub fn into_text(self) -> String {
        self.text
    }

    /// Further lines begin below the first one's text. A word that is too long for any line has one of its own.
    fn wrap(&mut self, before: &str, text: &str) {
        let indent = before.chars().count();
        let mut line = before.to_owned();
        let mut column = indent;
        for word in safe(text).split_whitespace() {
            let length = word.chars().count();
            if column > indent && column + 1 + length > WIDTH {
                self.text += line.trim_end();
                self.text.push('\n');
                line = " ".repeat(indent);
                column = indent;
            }
            if column > indent {
                line.push(' ');
                column += 1;
            }
            line += word;
            column += length;
        }
        self.text += line.trim_end();
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_rules_a_terminal() {
        assert_eq!(safe("/a\x1b[31m\r\n\u{9b}2J\x7f\u{202e}é"), "/a\\u{1b}[31m\\r\\n\\u{9b}2J\\u{7f}\\u{202e}é");
        assert_eq!(safe_json("{\"a\":\n\"\u{9b}\x7f\u{202e}é\"}\n"), "{\"a\":\n\"\\u009b\\u007f\\u202eé\"}");
    }

    #[test]
    fn durations_and_sizes_have_one_unit() {
        let spans = [(0, "0 s"), (119, "119 s"), (240, "4 min"), (7_200, "2 h"), (172_800, "2 d")];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
        assert_eq!([until(-3), until(3), until(i64::MIN)], ["-3 s", "3 s", "-106751991167300 d"]);
        assert_eq!([took(999), took(1_250), took(61_000)], ["999 ms", "1.2 s", "61 s"]);
        let sizes =
            [(1023, "1023 B"), (1024, "1.0 KiB"), (12_288, "12 KiB"), (5 << 20, "5.0 MiB"), (1 << 40, "1024 GiB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn columns_are_aligned_over_pages_and_a_long_cell_sticks_out() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let mut table = Table::default();
        assert_eq!(table.page(&[row(["url", "a", "b"]), row(["/long", "1", ""])]), "url    a  b\n/long  1\n");
        assert_eq!(table.page(&[row(["/", "2", "x"])]), "/      2  x\n");
        let long = "x".repeat(WIDEST + 9);
        let text = table.page(&[row([&long, "3", "y"]), row(["/", "4", "z"])]);
        assert_eq!(text, format!("{long}  3  y\n/{}  4  z\n", " ".repeat(WIDEST - 1)));
    }

    #[test]
    fn sentences_are_wrapped_below_their_beginning() {
        let mut page = Page { text: String::new(), bold: ["", ""] };
        let word = "x".repeat(30);
        page.fact("name", &[word.as_str(); 3].join(" "));
        page.point(&"y".repeat(WIDTH * 2));
        page.say("");
        let text = page.into_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("  name{}{word} {word}", " ".repeat(LABEL - 4)));
        assert_eq!(lines[1], format!("  {}{word}", " ".repeat(LABEL)));
        assert_eq!(lines[2], format!("  - {}", "y".repeat(WIDTH * 2)));
        assert_eq!(lines[3], "");
    }
}

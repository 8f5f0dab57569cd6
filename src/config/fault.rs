//! What is wrong with a configuration, said so that it can be mended at once: each fault with its place and remedy.

use std::fmt;

/// A place in a configuration file, counted from 1. Line 0 says that there is no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub line: usize,
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub location: Location,
    pub message: String,
    /// What to write instead.
    pub remedy: Option<String>,
}

impl Fault {
    pub(super) fn new(location: Location, message: impl Into<String>) -> Self {
        Fault { location, message: message.into(), remedy: None }
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Everything that is wrong with one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The file's name, as the user gave it.
    pub file: String,
    /// In the order of the file.
    pub faults: Vec<Fault>,
    source: String,
}

/// More faults than anybody reads.
const SHOWN: usize = 100;

impl Faults {
    pub(super) fn new(file: &str, source: &str, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.location);
        Faults { file: file.to_owned(), faults, source: source.to_owned() }
    }

    fn show(&self, fault: &Fault, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Location { line, column } = fault.location;
        if line == 0 {
            writeln!(f, "{}: {}", self.file, fault.message)?;
        } else {
            writeln!(f, "{}:{line}:{column}: {}", self.file, fault.message)?;
        }
        if let Some(text) = line.checked_sub(1).and_then(|above| self.source.lines().nth(above)) {
            let (text, indent) = window(text, column);
            writeln!(f, "  | {text}")?;
            writeln!(f, "  | {:indent$}^", "")?;
        }
        match &fault.remedy {
            Some(remedy) => writeln!(f, "  = {remedy}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        for fault in self.faults.iter().take(SHOWN) {
            self.show(fault, f)?;
        }
        if count > SHOWN {
            writeln!(f, "... and {} more", count - SHOWN)?;
        }
        writeln!(f, "{count} {}; nothing was started", if count == 1 { "fault" } else { "faults" })
    }
}

impl std::error::Error for Faults {}

/// Longer lines are cut around the column.
const WIDTH: usize = 160;

/// The part of a line that is shown, and how far its column is from the left.
fn window(line: &str, column: usize) -> (String, usize) {
    let start = if column > WIDTH { column - WIDTH / 2 } else { 0 };
    let shown = line.chars().skip(start).take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    (shown, column.saturating_sub(start + 1))
}

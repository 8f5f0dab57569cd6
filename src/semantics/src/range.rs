//! Range requests answered from a complete stored body (RFC 9110, 14).

use crate::part::{Cut, Part};
use crate::time::parse_date;
use crate::validation::Validators;
use std::time::Duration;

/// What a Range field asks of a body of known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The field is absent, malformed, or names several ranges: the whole body (RFC 9110, 14.2 allows ignoring it).
    Whole,
    Part(Cut),
    /// 416.
    Unsatisfiable,
}

/// Reads a Range field value against a body of `size` bytes.
pub fn resolve(value: &[u8], size: u64) -> Range {
    let Some(spec) = value.strip_prefix(b"bytes=").and_then(|v| std::str::from_utf8(v).ok()) else {
        return Range::Whole;
    };
    // Several ranges are answered whole (our choice: one part covers what players and downloads ask).
    let Some((first, last)) = spec.trim().split_once('-').filter(|_| !spec.contains(',')) else { return Range::Whole };
    let part = |first: u64, last: u64| {
        let part = Part { first, last, complete: Some(size) };
        Range::Part(Cut { offset: first, length: part.length(), part })
    };
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first, last) {
        ("", suffix) => match number(suffix) {
            None => Range::Whole,
            Some(0) => Range::Unsatisfiable,
            Some(_) if size == 0 => Range::Unsatisfiable,
            Some(n) => part(size - n.min(size), size - 1),
        },
        (first, last) => {
            let Some(first) = number(first) else { return Range::Whole };
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match last {
                None => Range::Whole,
                Some(last) if last < first => Range::Whole,
                Some(_) if first >= size => Range::Unsatisfiable,
                Some(last) => part(first, last.min(size - 1)),
            }
        }
    }
}

/// Whether If-Range lets the Range count (RFC 9110, 13.1.5): a strong match of the tag, or the exact date, which is strong when
/// the answer was made a second later at least (8.8.2.2). `date`: of that answer.
pub fn if_range_holds(if_range: &[u8], validators: Validators<'_>, date: Option<&[u8]>) -> bool {
    if if_range.starts_with(b"\"") {
        return validators.etag == Some(if_range);
    }
    let strong = || {
        let (changed, made) = (parse_date(validators.last_modified?)?, parse_date(date?)?);
        Some(made >= changed.after(Duration::from_secs(1)))
    };
    !if_range.starts_with(b"W/") && validators.last_modified == Some(if_range) && strong() == Some(true)
}

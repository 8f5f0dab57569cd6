//! Paths of pages, as Next.js writes them (`/blog/[slug]`) and as Larder's patterns do (`/blog/{slug}`): in which order
//! they match, and whether two of them match a common path. What is behind a path is not known here.

use std::fmt::Write;

/// In the order in which Next.js tries them: `getSortedRoutes` in its `sorted-routes.js`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    /// As it stands in a URL, in normal form: see `encoded`.
    Literal(String),
    /// `[name]`
    One(String),
    /// `[...name]`
    Rest,
    /// `[[...name]]`
    RestOrNone,
}

/// The derived order is that of matching: a path before what is below it, a literal segment before a dynamic one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(pub(super) Vec<Segment>);

/// What all paths of an app have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    /// `basePath`: empty, or `/docs`.
    pub(super) base: String,
    /// `trailingSlash`
    pub(super) slash: bool,
}

impl Path {
    /// The path of a page: `/blog/[slug]`.
    pub(super) fn of_page(page: &str) -> Path {
        Path(parts(page).map(segment).collect())
    }

    /// The path of one prerendered page, where nothing is dynamic.
    pub(super) fn literal(path: &str) -> Path {
        Path(parts(path).map(|part| Segment::Literal(encoded(part))).collect())
    }

    /// The path of a file, whose name is not encoded.
    pub(super) fn of_file(path: &str) -> Path {
        Path::literal(&path.replace('%', "%25"))
    }

    /// At least what a `source` of redirects, rewrites or a proxy matches: from its first parameter on, everything.
    pub(super) fn at_most(source: &str) -> Path {
        let plain = |part: &&str| !part.contains([':', '(', ')', '*', '+', '?', '{', '}', '\\']);
        let mut segments: Vec<Segment> =
            parts(source).take_while(plain).map(|part| Segment::Literal(encoded(part))).collect();
        if segments.len() < parts(source).count() {
            segments.push(Segment::RestOrNone);
        }
        Path(segments)
    }

    /// Whether all of it is literal.
    pub(super) fn is_static(&self) -> bool {
        self.0.iter().all(|segment| matches!(segment, Segment::Literal(_)))
    }

    /// Whether it ends with `[...name]`.
    pub(super) fn ends_with_rest(&self) -> bool {
        self.0.last() == Some(&Segment::Rest)
    }

    /// Whether it ends with `[...name]` or `[[...name]]`.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.0.last(), Some(Segment::Rest | Segment::RestOrNone))
    }

    /// What is above the last segment.
    pub(super) fn parent(&self) -> Path {
        Path(self.0.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default())
    }

    pub(super) fn below(&self, base: &Path) -> Path {
        Path(base.0.iter().chain(&self.0).cloned().collect())
    }

    pub(super) fn first_literal(&self) -> Option<&str> {
        match self.0.first() {
            Some(Segment::Literal(first)) => Some(first),
            _ => None,
        }
    }

    /// Whether there is a path that both match.
    pub(super) fn overlaps(&self, other: &Path) -> bool {
        common(&self.0, &other.0)
    }

    /// A tag for one page of many: of the captured segment, where there is just one, with the name that stands before.
    pub(super) fn tag(&self) -> Option<String> {
        let names = capture_names(&self.0);
        let mut captures = self.0.iter().enumerate().filter(|(_, segment)| !matches!(segment, Segment::Literal(_)));
        let (Some((at, Segment::One(_))), None) = (captures.next(), captures.next()) else { return None };
        let Some(Segment::Literal(kind)) = self.0[..at].last() else { return None };
        let plain = kind.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let name = names.get(at)?;
        (plain && kind.len() <= LONGEST_TAG).then(|| format!("{kind}:{{{name}}}"))
    }

    /// As a pattern. `below_only`: `[...name]` is not written `**`, which matches the path above too, but `*/**`.
    /// `None`: no route of Larder matches such a path with a window (contract 44).
    pub(super) fn pattern(&self, form: &Form, below_only: bool) -> Option<String> {
        let mut pattern = String::new();
        for base in parts(&form.base) {
            pattern.push('/');
            pattern += &encoded(base);
        }
        let names = capture_names(&self.0);
        for (segment, name) in self.0.iter().zip(&names) {
            match segment {
                Segment::Literal(text) => _ = write!(pattern, "/{text}"),
                Segment::One(_) => _ = write!(pattern, "/{{{name}}}"),
                Segment::Rest if below_only => pattern += "/*/**",
                Segment::Rest | Segment::RestOrNone => pattern += "/**",
            }
        }
        // Next.js takes the slash away again where the last segment looks like a file.
        let is_file = matches!(self.0.last(), Some(Segment::Literal(last)) if last.contains('.'));
        if pattern.is_empty() || (form.slash && !self.is_open() && !is_file) {
            pattern.push('/');
        }
        (!is_ambiguous(&pattern)).then_some(pattern)
    }
}

/// Whether everything that `other` matches is matched by `pattern` too; both are written as Larder's.
pub(super) fn covers(pattern: &str, other: &str) -> bool {
    let (mut mine, mut theirs) = (pattern.split('/').skip(1), other.split('/').skip(1));
    loop {
        let any = |part: &str| part == "*" || part.starts_with('{');
        match (mine.next(), theirs.next()) {
            (Some("**"), _) | (None, None) => return true,
            (None, _) | (_, None | Some("**")) => return false,
            (Some(mine), Some(theirs)) if any(mine) && !theirs.is_empty() => {}
            (Some(mine), Some(theirs)) if mine == theirs => {}
            _ => return false,
        }
    }
}

/// The part of a tag before the captured segment.
const LONGEST_TAG: usize = 64;

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

fn segment(part: &str) -> Segment {
    let inner = |open: &str, close: &str| part.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if inner("[[...", "]]").is_some() {
        Segment::RestOrNone
    } else if inner("[...", "]").is_some() {
        Segment::Rest
    } else if let Some(name) = inner("[", "]") {
        Segment::One(name.to_owned())
    } else {
        Segment::Literal(encoded(part))
    }
}

fn common(mine: &[Segment], theirs: &[Segment]) -> bool {
    match (mine.first(), theirs.first()) {
        (None, None) | (Some(Segment::RestOrNone), _) | (_, Some(Segment::RestOrNone)) => true,
        (None, Some(_)) | (Some(_), None) => false,
        (Some(Segment::Rest), Some(_)) | (Some(_), Some(Segment::Rest)) => true,
        // Sources of redirects match in any case.
        (Some(Segment::Literal(one)), Some(Segment::Literal(other))) if !one.eq_ignore_ascii_case(other) => false,
        _ => common(&mine[1..], &theirs[1..]),
    }
}

/// For each segment the name under which it is captured: letters, digits and `_`, and none twice.
fn capture_names(segments: &[Segment]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for segment in segments {
        let Segment::One(written) = segment else {
            names.push(String::new());
            continue;
        };
        let mut name: String = written.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            name.insert(0, '_');
        }
        while names.contains(&name) {
            name.push('_');
        }
        names.push(name);
    }
    names
}

/// A segment as a URL has it: of what is percent-encoded already, unreserved characters are decoded (RFC 3986, 6.2.2.2);
/// what no URL may have, and what means something in a pattern, is encoded.
fn encoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let (byte, raw) = match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                at += 2;
                (high * 16 + low, false)
            }
            _ => (byte, true),
        };
        at += 1;
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if unreserved || (raw && b"!$&'()+,;=:@".contains(&byte)) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Whether servers disagree on what a path means.
fn is_ambiguous(path: &str) -> bool {
    let strange = [";", "//", "%2F", "%5C"].iter().any(|part| path.contains(part));
    strange || path.split('/').any(|part| matches!(part, "." | ".."))
}

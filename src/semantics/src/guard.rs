//! What a page must look like to be stored (semantics 34). An origin that answers 200 with half a page, with an error
//! page or with something else altogether says nothing of it in its head.
//!
//! It does not know what becomes of an answer that breaks a guard: a failure where a page is stored, else not stored.

use http::StatusCode;

/// One route's guards. Without any, everything passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// A page has at least so many bytes.
    pub min_bytes: usize,
    /// A page is smaller than the one that it replaces by so much at most, in percent; `None`: by any.
    pub max_shrink: Option<u8>,
    /// A page has all of these in it, byte for byte.
    pub must_contain: Vec<String>,
    /// A page has none of these in it.
    pub must_not_contain: Vec<String>,
    /// A page's media type, without parameters.
    pub content_type: Option<String>,
}

/// The guard that an answer breaks. The names are metric labels, and the keys of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// It is smaller than any page of the route.
    MinBytes,
    /// It lost more of what is stored than a page loses from one version to the next.
    MaxShrink,
    /// It lacks what every page has.
    MustContain,
    /// It has what no page has.
    MustNotContain,
    /// It is not of the type that pages are of, or does not say of which it is.
    ContentType,
}

impl Broken {
    pub fn as_str(self) -> &'static str {
        match self {
            Broken::MinBytes => "min_bytes",
            Broken::MaxShrink => "max_shrink",
            Broken::MustContain => "must_contain",
            Broken::MustNotContain => "must_not_contain",
            Broken::ContentType => "content_type",
        }
    }
}

/// At most so many texts each in `must_contain` and in `must_not_contain`: a body is searched once for each.
pub const MAX_TEXTS: usize = 16;
/// At most so many bytes a text.
pub const MAX_TEXT: usize = 1024;

/// Whether answers with this status are guarded. Only 200 is the page itself: a redirect, or the news that the page is
/// gone, looks like no page, and has rules of its own (semantics 28 and 30). A 304 brings no body: what it freshens was
/// judged when it came.
pub fn applies_to(status: StatusCode) -> bool {
    status == StatusCode::OK
}

/// Judges a whole body, without its content coding. `replaces`: the size of the stored page whose place it is to take,
/// in bytes.
///
/// # Errors
/// The first guard that it breaks.
pub fn judge(guard: &Guard, content_type: Option<&[u8]>, body: &[u8], replaces: Option<usize>) -> Result<(), Broken> {
    let media_type = content_type.map(media_type);
    // Who asks with `RSC` gets a part of the page (semantics 46), which has neither its type nor its frame.
    let whole = media_type.is_none_or(|t| !t.eq_ignore_ascii_case(COMPONENT));
    if whole && guard.content_type.as_ref().is_some_and(|wanted| !is_type(media_type, wanted)) {
        return Err(Broken::ContentType);
    }
    if whole && body.len() < guard.min_bytes {
        return Err(Broken::MinBytes);
    }
    if shrank_too_far(guard.max_shrink, replaces, body.len()) {
        return Err(Broken::MaxShrink);
    }
    if whole && !guard.must_contain.iter().all(|text| contains(body, text)) {
        return Err(Broken::MustContain);
    }
    if guard.must_not_contain.iter().any(|text| contains(body, text)) {
        return Err(Broken::MustNotContain);
    }
    Ok(())
}

const COMPONENT: &[u8] = b"text/x-component";

/// A Content-Type without its parameters (RFC 9110, 8.3.1).
fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

/// Types are case-insensitive (RFC 9110, 8.3.1).
fn is_type(media_type: Option<&[u8]>, wanted: &str) -> bool {
    media_type.is_some_and(|t| t.eq_ignore_ascii_case(wanted.as_bytes()))
}

fn shrank_too_far(max_shrink: Option<u8>, before: Option<usize>, now: usize) -> bool {
    let (Some(percent), Some(before)) = (max_shrink, before) else { return false };
    let stays = u64::from(100_u8.saturating_sub(percent));
    (now as u64).saturating_mul(100) < (before as u64).saturating_mul(stays)
}

/// Whether a text stands somewhere in a body. The standard library searches text, in time linear in the body's size
/// whatever is in it. Nothing is missed between the stretches of valid UTF-8: the first byte of a text begins a
/// character wherever it stands, so all of the text lies within one stretch.
fn contains(body: &[u8], text: &str) -> bool {
    body.utf8_chunks().any(|stretch| stretch.valid().contains(text))
}

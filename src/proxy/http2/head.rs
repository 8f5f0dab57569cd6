//! A request head of HTTP/2, judged as strictly as one of HTTP/1 (RFC 9113, 8.2 and 8.3).

use crate::proxy::Limits;
use crate::proxy::head::{Framing, Head, Refusal, bad, check_request, split_target, too_large, too_many_fields};
use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version};
use semantics::Field;

/// A client may make several lines of one Cookie field; elsewhere it is one (RFC 9113, 8.2.3).
pub(super) fn cookies(fields: &HeaderMap) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    (lines.len() > 1).then(|| lines.join(&b"; "[..]))
}

/// `cookies`: what [`cookies`] says. `ended`: nothing comes behind the head.
pub(super) fn request<'b>(
    parts: &'b Parts,
    cookies: Option<&'b [u8]>,
    ended: bool,
    limits: &Limits,
) -> Result<Head<'b>, Refusal> {
    let (method, target) = (parts.method.as_str(), parts.uri.path_and_query().map_or("", |target| target.as_str()));
    check_request(method.as_bytes(), target.as_bytes(), limits)?;
    let (_, path, query) = split_target(method, target)?;
    if !target.starts_with('/') && target != "*" {
        return Err(bad("the request target is not a path"));
    }
    let length: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if length + target.len() > limits.header_bytes {
        return Err(too_large());
    }
    let lines = parts.headers.iter().filter(|(name, _)| cookies.is_none() || **name != COOKIE);
    let mut fields: Vec<Field<'b>> =
        lines.map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes().trim_ascii() }).collect();
    fields.extend(cookies.map(|value| Field { name: "cookie", value }));
    if fields.len() > limits.headers {
        return Err(too_many_fields());
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let mut head = Head::of(method, (authority, path, query), Version::HTTP_2, fields, limits)?;
    match head.framing {
        Framing::None if !ended => head.framing = Framing::Chunked,
        Framing::Length(_) if ended => return Err(bad("the request body is shorter than it says")),
        _ => {}
    }
    Ok(head)
}

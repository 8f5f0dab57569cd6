//! Passed answers in a content coding (RFC 9110, 8.4): what the origin sends as it is and a client takes smaller.

use crate::proxy::site::Handover;
use bytes::Bytes;
use engine::coding::Stream;
use http::{HeaderValue, Method, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use semantics::coding::{self, Accepted};

/// Begins a coding where one is wanted, and says so in the head.
pub(super) fn begin(
    request: &RequestHeader,
    response: &mut ResponseHeader,
    handover: &Handover,
) -> pingora::Result<Option<Stream>> {
    let order = &handover.route.policy.compress;
    // Without a length an answer of HTTP/2 may be over with its head, and nobody is told of an empty body.
    let may_be_over = response.version == Version::HTTP_2 && length(response).is_none();
    if order.is_empty() || may_be_over || !coding::is_codable(response.status, &response.headers, length(response)) {
        return Ok(None);
    }
    let accepted = Accepted::of(request.headers.get_all(header::ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes));
    let Some(coding) = accepted.best(order).filter(|_| request.method != Method::HEAD) else { return Ok(None) };
    // Without it the body goes as it is.
    let Ok(stream) = Stream::new(coding) else { return Ok(None) };
    for name in [header::CONTENT_LENGTH, header::ACCEPT_RANGES].iter().chain(&coding::OF_THE_BYTES) {
        response.remove_header(name);
    }
    response.insert_header(header::CONTENT_ENCODING, coding.as_str())?;
    // Told apart from what the origin made weak.
    let strong = response.headers.get(header::ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"));
    if let Some(weak) = strong.map(|etag| coding::weak(&coding::etag_in(etag.as_bytes(), coding))) {
        response.insert_header(header::ETAG, weak.as_slice())?;
    }
    Ok(Some(stream))
}

/// Says that another client may get it in another coding (RFC 9110, 12.5.5); after all else that is done to its fields.
pub(super) fn vary(response: &mut ResponseHeader, handover: &Handover) -> pingora::Result<()> {
    let coded = response.headers.contains_key(header::CONTENT_ENCODING);
    let codable = || coding::is_codable(response.status, &response.headers, length(response));
    let varies = coding::varies_by_coding(response.headers.get_all(header::VARY).iter().map(HeaderValue::as_bytes));
    if !varies && !handover.route.policy.compress.is_empty() && (coded || codable()) {
        response.append_header(header::VARY, "accept-encoding")?;
    }
    Ok(())
}

fn length(response: &ResponseHeader) -> Option<u64> {
    response.headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.trim().parse().ok())
}

/// What the client took from us, as the origin gave it to us.
pub(super) fn translate(request: &mut RequestHeader) -> pingora::Result<()> {
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        let lines: Vec<&[u8]> = request.headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        if let Some(given) = coding::etags_as_given(&lines.join(&b", "[..])) {
            request.insert_header(name, given.as_slice())?;
        }
    }
    Ok(())
}

/// One piece of the body, and its end.
pub(super) fn piece(stream: &mut Option<Stream>, body: &mut Option<Bytes>, end: bool) -> std::io::Result<()> {
    let Some(coder) = stream else { return Ok(()) };
    let mut coded = match body.take() {
        Some(piece) if !piece.is_empty() => coder.piece(&piece)?,
        _ => Vec::new(),
    };
    if let Some(coder) = end.then(|| stream.take()).flatten() {
        coded.extend(coder.end()?);
    }
    *body = (!coded.is_empty()).then(|| coded.into());
    Ok(())
}

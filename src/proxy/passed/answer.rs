//! What a client of the passed road is told when it ends before the origin has answered.

use super::Passage;
use crate::origin::forwarding::is_framed_plainly;
use crate::proxy::synthetic::Own;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};

/// What a client is told when his request could not be passed.
pub(super) fn own(ctx: &Passage, code: u16) -> Own {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
    let what = ctx.failure.as_ref().map_or("it did not answer as it should", |(_, message)| message);
    let explanation = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "The request body is larger than `limits.body_bytes`.".to_owned(),
        StatusCode::REQUEST_TIMEOUT => "The request body came slower than `limits.body_min_rate`.".to_owned(),
        StatusCode::BAD_REQUEST => "The request body is not framed as its head says.".to_owned(),
        _ => format!("The request could not be passed to its origin: {what}."),
    };
    let remedy = if status.is_client_error() { "Mend the request." } else { "Try again in a moment." };
    let mut own = Own::new(status, explanation, remedy, "failed");
    if let Some(handover) = &ctx.handover {
        own.cache_status = super::cache_status(handover);
    }
    own.retry_after = status.is_server_error().then_some(1);
    own
}

/// Whether the loan refused what it read.
fn is_malformed(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|e| e.kind() == std::io::ErrorKind::InvalidData)
}

/// The status for a client: 0 when he is gone.
pub(super) fn status_of(error: &Error) -> u16 {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, HTTPStatus, ReadError, ReadTimedout, WriteError, WriteTimedout,
    };
    match (error.etype(), error.esource()) {
        (HTTPStatus(code), _) => *code,
        (ReadError, ErrorSource::Downstream) if is_malformed(error) => 400,
        (ConnectTimedout | ReadTimedout | WriteTimedout, ErrorSource::Upstream) => 504,
        (_, ErrorSource::Upstream) => 502,
        (ConnectionClosed | ReadError | WriteError | WriteTimedout, ErrorSource::Downstream) => 0,
        (ReadTimedout, ErrorSource::Downstream) => 408,
        (_, ErrorSource::Downstream) => 400,
        (ConnectTimedout, _) => 504,
        (kind, _) if kind.as_str().starts_with("Connect") || kind.as_str().starts_with("Socket") => 502,
        _ => 500,
    }
}

/// One reading for whoever comes behind us. Lengths that agree, which pingora takes for one, are told as one (RFC 9110, 8.6).
pub(super) fn settle_framing(response: &mut ResponseHeader) -> pingora::Result<()> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        // Who wants another protocol takes another road.
        let why = "the origin switched protocols unasked";
        return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
    }
    if !is_framed_plainly(&response.headers) {
        let why = "the answer has a Transfer-Encoding other than `chunked`";
        return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
    }
    let mut lines = response.headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(line), more) = (lines.next(), lines.next().is_some()) else { return Ok(()) };
    let first = line.as_bytes().split(|b| *b == b',').next().unwrap_or_default().trim_ascii();
    if more || first.len() != line.len() {
        let first = HeaderValue::from_bytes(first).map_err(|_| Error::new(ErrorType::InvalidHTTPHeader))?;
        response.insert_header(header::CONTENT_LENGTH, first)?;
    }
    Ok(())
}

pub(super) async fn write_own(session: &mut Session, own: &Own, json: bool) -> pingora::Result<()> {
    let (head, body) = own.render(json);
    let mut response = ResponseHeader::build(own.status, None)?;
    for line in String::from_utf8_lossy(&head).lines().skip(1) {
        if let Some((name, value)) = line.split_once(": ") {
            response.insert_header(name.to_owned(), value)?;
        }
    }
    session.write_response_header(Box::new(response), false).await?;
    session.write_response_body(Some(Bytes::from(body)), true).await
}

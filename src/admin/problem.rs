//! Answers of the API under /v1: JSON, and problem documents (RFC 9457). Nobody may store either.

use crate::service::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

/// Why a call is not answered as it was meant.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// What is wrong, where, and what to do.
    detail: String,
    members: Map<String, Value>,
    field: Option<(&'static str, &'static str)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem { status, detail: detail.into(), members: Map::new(), field: None }
    }

    /// The request can be read, and what it says is wrong.
    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// With one more member.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &impl Serialize) -> Self {
        // What we answer with can be written as JSON.
        self.members.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// With a header field.
    #[must_use]
    pub(super) fn with_field(self, name: &'static str, value: &'static str) -> Self {
        Problem { field: Some((name, value)), ..self }
    }

    pub(super) fn response(self) -> Response {
        let document = Document {
            kind: "about:blank",
            title: title(self.status),
            status: self.status.as_u16(),
            detail: &self.detail,
            members: &self.members,
        };
        let response = written(self.status, "application/problem+json", &document);
        match self.field {
            Some((name, value)) => response.with(name, value),
            None => response,
        }
    }

    /// Status, detail and header field, for whoever answers in another form.
    pub(super) fn into_parts(self) -> (StatusCode, String, Option<(&'static str, &'static str)>) {
        (self.status, self.detail, self.field)
    }

    #[cfg(test)]
    pub(super) fn told(&self) -> (u16, &str) {
        (self.status.as_u16(), &self.detail)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

/// The names of RFC 9110, 15; the crate `http` has older ones.
fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Content",
        _ => status.canonical_reason().unwrap_or("Error"),
    }
}

/// 200 with this.
pub(super) fn json(value: &impl Serialize) -> Response {
    written(StatusCode::OK, "application/json", value)
}

/// JSON of this kind, which nobody may store.
pub(super) fn written(status: StatusCode, kind: &str, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    Response::new(status, kind, body).with("cache-control", "no-store").with("x-content-type-options", "nosniff")
}

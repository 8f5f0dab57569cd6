//! Larder's own answers: small clear pages, or JSON where the client asks for it. Never stored by anybody.

use http::StatusCode;
use semantics::CacheStatus;

/// What an own answer says.
#[derive(Clone, Debug)]
pub struct Own {
    pub status: StatusCode,
    /// What happened.
    pub explanation: String,
    /// What to do next.
    pub remedy: &'static str,
    pub cache_status: CacheStatus,
    pub retry_after: Option<u64>,
    /// Where to go instead.
    pub location: Option<String>,
}

const PAGE: &str = include_str!("error.html");

impl Own {
    pub fn new(status: StatusCode, explanation: impl Into<String>, remedy: &'static str, detail: &'static str) -> Self {
        let cache_status = CacheStatus::Own { detail };
        Own { status, explanation: explanation.into(), remedy, cache_status, retry_after: None, location: None }
    }

    /// Head and body, ready to be written. The head lacks connection fields and its empty line.
    pub fn render(&self, wants_json: bool) -> (Vec<u8>, Vec<u8>) {
        let (kind, body) = if wants_json {
            let kind = if self.status.is_success() { "application/json" } else { "application/problem+json" };
            (kind, self.json())
        } else {
            ("text/html; charset=utf-8", self.page())
        };
        let reason = self.status.canonical_reason().unwrap_or("Error");
        let mut head = format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncache-control: no-store\r\n",
            self.status.as_u16(),
            body.len()
        )
        .into_bytes();
        if let Some(seconds) = self.retry_after {
            head.extend_from_slice(format!("retry-after: {seconds}\r\n").as_bytes());
        }
        if let Some(location) = &self.location {
            head.extend_from_slice(format!("location: {location}\r\n").as_bytes());
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            head.extend_from_slice(b"allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
        }
        head.extend_from_slice(b"cache-status: ");
        self.cache_status.write(&mut head);
        head.extend_from_slice(b"\r\n");
        (head, body)
    }

    fn page(&self) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or("Error");
        PAGE.replace("{{status}}", self.status.as_str())
            .replace("{{reason}}", reason)
            .replace("{{explanation}}", &escape(&self.explanation))
            .replace("{{remedy}}", &escape(self.remedy))
            .into_bytes()
    }

    /// RFC 9457.
    fn json(&self) -> Vec<u8> {
        serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.explanation,
            "remedy": self.remedy,
        })
        .to_string()
        .into_bytes()
    }
}

/// Whether an Accept field prefers JSON to a page.
pub fn wants_json(accept: Option<&[u8]>) -> bool {
    let accept = accept.and_then(|a| std::str::from_utf8(a).ok()).unwrap_or_default();
    accept.contains("json") && !accept.contains("text/html")
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

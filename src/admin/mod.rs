//! The operator's face: health, readiness, metrics and a plain status page. Knows the engine and the origins by what
//! they tell of themselves; changes nothing.

use crate::origin::Upstream;
use crate::proxy::{Site, escape};
use crate::service::{Request, Response};
use engine::store::Usage;
use http::{Method, StatusCode};
use semantics::{Outcome, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the admin address tells of.
pub struct Admin {
    pub site: Arc<Site>,
    pub origins: Vec<Arc<Upstream>>,
    pub listening: Vec<std::net::SocketAddr>,
    pub ready: AtomicBool,
    pub started: Timestamp,
    pub memory_max: usize,
}

const STATUS: &str = include_str!("status.html");
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

/// Which of its paths an address serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Everything.
    Admin,
    /// `metrics.listen`: metrics, health and readiness.
    Metrics,
}

impl Admin {
    pub fn answer(&self, face: Face, request: &Request) -> Response {
        let known = ["/healthz", "/readyz", "/metrics"].contains(&request.path.as_str())
            || (face == Face::Admin && request.path == "/");
        if !known {
            return Response::text(StatusCode::NOT_FOUND, "Nothing here. Try /, /metrics, /healthz or /readyz.\n");
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            return Response::text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n").with("allow", "GET, HEAD");
        }
        let response = match request.path.as_str() {
            "/healthz" => Response::text(StatusCode::OK, "alive\n"),
            "/readyz" => self.readiness(),
            "/metrics" => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                Response::new(StatusCode::OK, kind, self.site.engine.render_metrics())
            }
            _ => Response::new(StatusCode::OK, "text/html; charset=utf-8", self.status_page())
                .with("content-security-policy", CONTENT_POLICY)
                .with("x-content-type-options", "nosniff"),
        };
        response.with("cache-control", "no-store")
    }

    fn readiness(&self) -> Response {
        if self.site.draining.load(Ordering::Relaxed) {
            return Response::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        if !self.ready.load(Ordering::Relaxed) {
            return Response::text(StatusCode::SERVICE_UNAVAILABLE, "starting\n");
        }
        Response::text(StatusCode::OK, "ready\n")
    }

    fn status_page(&self) -> String {
        let engine = &self.site.engine;
        let routes: Vec<_> = self.site.routes.all().map(|r| r.metrics.clone()).collect();
        let totals = engine.metrics.totals(&routes);
        let count = |outcome: Outcome| totals.requests[outcome as usize];
        let all: u64 = totals.requests.iter().sum();
        let answered = count(Outcome::Hit) + count(Outcome::Stale);
        let Usage { bytes, entries, .. } = engine.usage();
        let listening: Vec<String> = self.listening.iter().map(ToString::to_string).collect();
        let uptime = engine.clock.now().since(self.started).as_secs();
        let values = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("uptime", format!("{} h {} min {} s", uptime / 3600, uptime / 60 % 60, uptime % 60)),
            ("requests", all.to_string()),
            ("hit_ratio", percent(answered, all)),
            ("hits", count(Outcome::Hit).to_string()),
            ("stale", count(Outcome::Stale).to_string()),
            ("misses", count(Outcome::Miss).to_string()),
            ("collapsed", count(Outcome::Collapsed).to_string()),
            ("bypassed", count(Outcome::Bypass).to_string()),
            ("errors", count(Outcome::Error).to_string()),
            ("store_entries", entries.to_string()),
            ("store_bytes", human(bytes)),
            ("store_max", human(self.memory_max)),
            ("refreshes", totals.refreshed.to_string()),
            ("refresh_failures", totals.refresh_failures.to_string()),
            ("failing", totals.failing.to_string()),
            ("origins", self.origin_rows()),
            ("listen", escape(&listening.join(", "))),
        ];
        values.iter().fold(STATUS.to_owned(), |page, (name, value)| page.replace(&format!("{{{{{name}}}}}"), value))
    }

    fn origin_rows(&self) -> String {
        let mut rows = String::new();
        for upstream in &self.origins {
            for (server, up) in upstream.balance.states() {
                let state = if up { "up" } else { "down" };
                rows.push_str(&format!(
                    "<tr><td>{}</td><td>{}</td><td class=\"{state}\">{state}</td></tr>",
                    escape(&upstream.settings.name),
                    escape(&server)
                ));
            }
        }
        rows
    }
}

fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 1000).checked_div(whole).unwrap_or(0);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn human(bytes: usize) -> String {
    const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

//! The operator's face: the API under /v1, its description, health, readiness, metrics and a plain status page. This
//! page finds what is asked for, and who may ask it; what is answered is in the rooms below.

mod auth;
mod body;
mod compat;
mod deployments;
mod entries;
mod explain;
mod moving;
mod problem;
mod query;
mod reload;
mod revalidate;
mod stats;
mod status;
mod versions;
mod warm;

pub use auth::{Scope, Token, Tokens};
pub use compat::Vendor;
pub use reload::{ConfigFault, NotReloaded, Reload, Reloaded};

use crate::origin::Upstream;
use crate::prerender::Prerender;
use crate::proxy::{Current, Site};
use crate::service::{self, Request, Response};
use arc_swap::ArcSwap;
use engine::metrics::Totals;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use problem::Problem;
use semantics::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the admin address tells of.
pub struct Admin {
    pub current: Current,
    /// Reads the configuration again.
    pub reload: Reload,
    pub prerender: Arc<Prerender>,
    pub origins: Vec<Arc<Upstream>>,
    /// Where clients are served.
    pub listening: Vec<SocketAddr>,
    /// Where operators are.
    pub address: SocketAddr,
    pub tokens: Arc<ArcSwap<Tokens>>,
    /// A number of this process: a cursor that another one gave leads nowhere here.
    pub process: u64,
    pub ready: AtomicBool,
    /// Held while metrics are written out.
    pub scraping: tokio::sync::Mutex<()>,
    pub started: Timestamp,
    pub memory_max: usize,
}

const DESCRIPTION: &str = include_str!("openapi.json");
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

/// Which of its paths an address serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Everything.
    Admin,
    /// `metrics.listen`: metrics, health and readiness.
    Metrics,
}

/// What is asked for by somebody who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Open(Open),
    Api(Api),
    /// Entries of another Larder, of so many bytes at most.
    Import {
        at_most: usize,
    },
    Compat(Vendor),
}

impl service::Call for Call {
    fn body_at_most(&self) -> usize {
        match self {
            Call::Import { at_most } => *at_most,
            Call::Open(_) | Call::Api(_) | Call::Compat(_) => service::BODY_AT_MOST,
        }
    }
}

/// Without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    Health,
    Readiness,
    Metrics,
    Status,
    Description,
}

/// Under /v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Revalidate,
    Tags,
    Entries,
    Explain,
    Stats,
    Reload,
    /// Orders pages.
    Warm,
    /// Tells how orders go.
    Prerenders,
    Deployments,
    Activate,
    /// Gives out what is stored.
    Export,
    /// Takes it in.
    Import,
    /// Tells the versions of a page.
    Versions,
    /// The same path, by POST.
    PutBack,
    Unpin,
}

impl Open {
    fn at(face: Face, path: &str) -> Option<Open> {
        match path {
            "/healthz" => Some(Open::Health),
            "/readyz" => Some(Open::Readiness),
            "/metrics" => Some(Open::Metrics),
            "/" if face == Face::Admin => Some(Open::Status),
            "/openapi.json" if face == Face::Admin => Some(Open::Description),
            _ => None,
        }
    }

    /// Whether only pages of this address may ask for it; what watches Larder asks by any name.
    fn is_at_home(self) -> bool {
        matches!(self, Open::Status | Open::Description)
    }
}

impl Api {
    fn at(path: &str) -> Option<Api> {
        match path.strip_prefix("/v1/")? {
            "revalidate" => Some(Api::Revalidate),
            "tags" => Some(Api::Tags),
            "entries" => Some(Api::Entries),
            "explain" => Some(Api::Explain),
            "stats" => Some(Api::Stats),
            "reload" => Some(Api::Reload),
            "warm" => Some(Api::Warm),
            "prerenders" => Some(Api::Prerenders),
            "deployments" => Some(Api::Deployments),
            "export" => Some(Api::Export),
            "import" => Some(Api::Import),
            "versions" => Some(Api::Versions),
            "versions/unpin" => Some(Api::Unpin),
            other => {
                let id = other.strip_prefix("deployments/")?.strip_suffix("/activate")?;
                (!id.is_empty() && !id.contains('/')).then_some(Api::Activate)
            }
        }
    }

    /// A GET that changes nothing; all others are POST.
    fn only_reads(self) -> bool {
        match self {
            Api::Entries
            | Api::Explain
            | Api::Stats
            | Api::Prerenders
            | Api::Deployments
            | Api::Versions
            | Api::Export => true,
            Api::Revalidate
            | Api::Tags
            | Api::Reload
            | Api::Warm
            | Api::Activate
            | Api::PutBack
            | Api::Unpin
            | Api::Import => false,
        }
    }

    /// What this path is with a method.
    ///
    /// # Errors
    /// The methods that it takes.
    fn by(self, method: &Method) -> Result<Api, &'static str> {
        let (reads, writes) = (method == Method::GET || method == Method::HEAD, method == Method::POST);
        match self {
            Api::Versions if writes => Ok(Api::PutBack),
            Api::Versions if !reads => Err("GET, HEAD, POST"),
            call if call.only_reads() && !reads => Err("GET, HEAD"),
            call if !call.only_reads() && !writes => Err("POST"),
            call => Ok(call),
        }
    }
}

impl Admin {
    /// Judges a request by its head.
    ///
    /// # Errors
    /// What it is refused with.
    pub fn admit(&self, face: Face, request: &Request) -> Result<Call, Response> {
        let path = request.path.as_str();
        if face == Face::Admin && (path == "/v1" || path.starts_with("/v1/")) {
            return match self.admit_to_api(request) {
                Ok(Api::Import) => Ok(Call::Import { at_most: self.site().engine.largest_frame() }),
                Ok(call) => Ok(Call::Api(call)),
                Err(problem) => Err(problem.response()),
            };
        }
        if face == Face::Admin
            && let Some(vendor) = Vendor::at(path)
            && self.tokens.load().serve(vendor)
        {
            return compat::admit(self, vendor, request).map(|()| Call::Compat(vendor));
        }
        let Some(open) = Open::at(face, path) else {
            return Err(Response::text(StatusCode::NOT_FOUND, "Nothing here. Try /, /metrics, /healthz or /readyz.\n"));
        };
        if open.is_at_home() {
            auth::at_home(self.address, &request.fields).map_err(Problem::response)?;
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            let refusal = Response::text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
            return Err(refusal.with("allow", "GET, HEAD"));
        }
        Ok(Call::Open(open))
    }

    fn admit_to_api(&self, request: &Request) -> Result<Api, Problem> {
        auth::at_home(self.address, &request.fields)?;
        let scope = self.tokens.load().scope_of(&request.fields).ok_or_else(|| {
            let detail = "no token that is known: send `Authorization: Bearer TOKEN` with `admin.token`, or with the one \
                          that was printed at the start";
            Problem::new(StatusCode::UNAUTHORIZED, detail).with_field("www-authenticate", "Bearer")
        })?;
        let call = Api::at(&request.path).ok_or_else(|| {
            let path = query::shortened(&request.path, 100);
            Problem::new(StatusCode::NOT_FOUND, format!("there is no `{path}`: /openapi.json describes what there is"))
        })?;
        let call = call.by(&request.method).map_err(|allow| {
            let detail = format!("`{}` takes {allow} alone", request.path);
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).with_field("allow", allow)
        })?;
        if !scope.allows(call) {
            let detail = format!("a token of scope `{}` may not do this: use one that may", scope.as_str());
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        if call == Api::Import {
            takes(request, "application/octet-stream", "frames of an archive")?;
        } else if !call.only_reads() {
            takes_json(request)?;
        }
        Ok(call)
    }

    /// Answers a request that was admitted.
    pub async fn answer(&self, call: Call, request: &Request) -> Response {
        match call {
            Call::Open(open) => self.open(open).await.with("cache-control", "no-store"),
            Call::Api(api) => self.api(api, request).await.unwrap_or_else(Problem::response),
            Call::Import { .. } => moving::import(self, request).await.unwrap_or_else(Problem::response),
            Call::Compat(vendor) => compat::answer(self, vendor, request),
        }
    }

    async fn api(&self, call: Api, request: &Request) -> Result<Response, Problem> {
        match call {
            Api::Revalidate => revalidate::revalidate(self, request).await,
            Api::Tags => revalidate::add_tags(self, request),
            Api::Entries => entries::entries(self, request).await,
            Api::Explain => explain::explain(self, request).await,
            Api::Stats => stats::stats(self, request),
            Api::Reload => reload::reload(self, request).await,
            Api::Warm => warm::order(self, request),
            Api::Prerenders => warm::report(self, request),
            Api::Deployments => deployments::list(self, request).await,
            Api::Activate => deployments::activate(self, request).await,
            Api::Export => moving::export(self, request).await,
            Api::Import => moving::import(self, request).await,
            Api::Versions => versions::list(self, request).await,
            Api::PutBack => versions::put_back(self, request).await,
            Api::Unpin => versions::unpin(self, request).await,
        }
    }

    async fn open(&self, call: Open) -> Response {
        match call {
            Open::Health => Response::text(StatusCode::OK, "alive\n"),
            Open::Readiness => self.readiness(),
            Open::Metrics => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                Response::new(StatusCode::OK, kind, self.metrics().await)
            }
            Open::Status => Response::new(StatusCode::OK, "text/html; charset=utf-8", status::page(self))
                .with("content-security-policy", CONTENT_POLICY)
                .with("x-content-type-options", "nosniff"),
            Open::Description => {
                Response::new(StatusCode::OK, "application/json", DESCRIPTION).with("x-content-type-options", "nosniff")
            }
        }
    }

    /// One scrape at a time, and off the workers: those serve visitors.
    async fn metrics(&self) -> String {
        let _turn = self.scraping.lock().await;
        let engine = self.site().engine.clone();
        tokio::task::spawn_blocking(move || engine.render_metrics()).await.unwrap_or_default()
    }

    fn readiness(&self) -> Response {
        if self.site().draining.load(Ordering::Relaxed) {
            return Response::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        if !self.ready.load(Ordering::Relaxed) {
            return Response::text(StatusCode::SERVICE_UNAVAILABLE, "starting\n");
        }
        Response::text(StatusCode::OK, "ready\n")
    }

    /// As it is configured at present.
    fn site(&self) -> Arc<Site> {
        self.current.load_full()
    }

    fn totals(&self) -> Totals {
        let routes: Vec<_> = self.site().routes.all().map(|r| r.metrics.clone()).collect();
        self.site().engine.metrics.totals(&routes)
    }

    fn uptime(&self) -> Duration {
        self.site().engine.clock.now().since(self.started)
    }
}

fn takes_json(request: &Request) -> Result<(), Problem> {
    takes(request, "application/json", "JSON")
}

/// A body is of this kind, whether it says so or nothing.
fn takes(request: &Request, wanted: &str, what: &str) -> Result<(), Problem> {
    let Some(kind) = request.fields.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = kind.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(wanted.as_bytes()) {
        return Ok(());
    }
    let detail = format!("the body must be {what}: send `Content-Type: {wanted}`, or none");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

#[cfg(test)]
mod tests;

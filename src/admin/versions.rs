//! `/v1/versions`: the good versions of a page (`history`), and one of them put in the place of a bad one.

use super::Admin;
use super::body;
use super::explain::{Asked, stored_elsewhere};
use super::problem::{Problem, json};
use super::query::{Query, shortened};
use crate::proxy::{self, Site, UnknownHost};
use crate::service::{Request, Response};
use engine::{NotPutBack, NotUnpinned, Version};
use http::StatusCode;
use semantics::time::http_date;
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct Told {
    url: String,
    /// So many are kept.
    history: u16,
    versions: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    generated: String,
    age_s: u64,
    status: u16,
    bytes: u64,
    current: bool,
    pinned: bool,
}

impl Shown {
    fn of(version: &Version) -> Self {
        Shown {
            id: name(version.id),
            generated: http_date(version.generated),
            age_s: version.age.as_secs(),
            status: version.status,
            bytes: version.bytes,
            current: version.current,
            pinned: version.pinned,
        }
    }
}

/// What is served from now on.
#[derive(Serialize)]
struct Served {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    pinned: bool,
    /// Told only where it is not: a restart would undo it.
    #[serde(skip_serializing_if = "std::clone::Clone::clone")]
    durable: bool,
}

/// The body of `POST /v1/versions`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutBack {
    url: String,
    /// Fields of the visit, where the page varies.
    #[serde(default)]
    headers: Vec<String>,
    id: String,
    #[serde(default)]
    pin: bool,
}

/// The body of `POST /v1/versions/unpin`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unpin {
    url: String,
    #[serde(default)]
    headers: Vec<String>,
}

pub(super) async fn list(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    let asked = Asked::read(request.query.as_deref())?;
    let (site, fields) = (admin.site(), asked.fields());
    needs_disk(&site)?;
    let visit = visit(&asked, &fields);
    let url = url(&site, &visit)?;
    let (versions, history) = site.versions(&visit).await.map_err(|UnknownHost| unknown_host())?;
    if versions.is_empty() {
        return Err(nothing_stored(admin, &asked, &url).await);
    }
    Ok(json(&Told { url, history, versions: versions.iter().map(Shown::of).collect() }))
}

pub(super) async fn put_back(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let order: PutBack = body::read(request)?;
    let id = id(&order.id)?;
    let asked = Asked::of(&order.url, &order.headers)?;
    let (site, fields) = (admin.site(), asked.fields());
    needs_disk(&site)?;
    let visit = visit(&asked, &fields);
    let url = url(&site, &visit)?;
    let done = site.put_back(&visit, id, order.pin).await.map_err(|UnknownHost| unknown_host())?;
    let done = match done {
        Ok(done) => done,
        Err(NotPutBack::NothingStored) => return Err(nothing_stored(admin, &asked, &url).await),
        Err(NotPutBack::Unknown(there)) => return Err(unknown(&url, id, &there)),
        Err(NotPutBack::NoRoom) => return Err(no_room()),
    };
    tracing::info!(%url, version = %name(id), pinned = order.pin, "an older version of a page is served again");
    Ok(json(&Served { url, id: Some(name(id)), pinned: order.pin, durable: done.durable }))
}

pub(super) async fn unpin(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let order: Unpin = body::read(request)?;
    let asked = Asked::of(&order.url, &order.headers)?;
    let (site, fields) = (admin.site(), asked.fields());
    needs_disk(&site)?;
    let visit = visit(&asked, &fields);
    let url = url(&site, &visit)?;
    let done = site.unpin(&visit).await.map_err(|UnknownHost| unknown_host())?;
    let durable = match done {
        Ok(durable) => durable,
        Err(NotUnpinned::NothingStored) => return Err(nothing_stored(admin, &asked, &url).await),
        Err(NotUnpinned::NoRoom) => return Err(no_room()),
        Err(NotUnpinned::NotPinned) => {
            let detail = format!("`{}` is not pinned: it is regenerated as any other page", shortened(&url, 200));
            return Err(Problem::new(StatusCode::CONFLICT, detail).with("url", &url));
        }
    };
    tracing::info!(%url, "a page is not pinned any more");
    Ok(json(&Served { url, id: None, pinned: false, durable }))
}

fn visit<'a>(asked: &'a Asked, fields: &'a [semantics::Field<'a>]) -> proxy::Asked<'a> {
    proxy::Asked {
        scheme: asked.scheme,
        host: asked.host.as_deref(),
        path: &asked.path,
        query: asked.query.as_deref(),
        fields,
    }
}

/// As it is stored: on the host that counts.
fn url(site: &Site, asked: &proxy::Asked<'_>) -> Result<String, Problem> {
    let of = site.with_visit(asked, |visit| {
        let query = visit.query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}://{}{}{query}", visit.request.scheme.as_str(), visit.request.host, visit.request.path)
    });
    of.map_err(|UnknownHost| unknown_host())
}

fn needs_disk(site: &Site) -> Result<(), Problem> {
    if site.engine.keeps_versions() {
        return Ok(());
    }
    let detail = "versions are kept on the disk, and there is no `store.disk`: configure one, for example `store: { disk: { \
                  path: /var/lib/larder } }`, and `history: 3` on the route";
    Err(Problem::new(StatusCode::CONFLICT, detail))
}

fn unknown_host() -> Problem {
    Problem::unprocessable("`url` has a host that is none of `hosts`: visitors get 421 for it")
}

/// Without `hosts` a path alone may mean another host than visitors do.
async fn nothing_stored(admin: &Admin, asked: &Asked, url: &str) -> Problem {
    let mut detail = format!("nothing is stored for `{}`: `GET /v1/explain` says why", shortened(url, 200));
    if asked.host.is_none()
        && admin.site().hosts.sites.is_empty()
        && let Some(elsewhere) = stored_elsewhere(admin, asked).await
    {
        detail = format!("{detail}. {elsewhere}");
    }
    Problem::new(StatusCode::NOT_FOUND, detail).with("url", &url)
}

fn no_room() -> Problem {
    let detail = "the disk store takes nothing now: it is off (`larder_store_up` is 0), or less is free than \
                  `store.disk.min_free`. Nothing was changed; make room, or repair the disk, and try again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

fn unknown(url: &str, id: u64, there: &[u64]) -> Problem {
    let there: Vec<String> = there.iter().map(|id| name(*id)).collect();
    let detail =
        format!("there is no version `{}` of `{}`: there are {}", name(id), shortened(url, 200), there.join(", "));
    Problem::new(StatusCode::NOT_FOUND, detail).with("url", &url).with("versions", &there)
}

fn name(id: u64) -> String {
    format!("{id:016x}")
}

fn id(text: &str) -> Result<u64, Problem> {
    let digits =
        (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    u64::from_str_radix(text, 16).ok().filter(|_| digits).ok_or_else(|| {
        let text = shortened(text, 60);
        Problem::unprocessable(format!(
            "`id` is one that `GET /v1/versions` lists, 16 hexadecimal digits, not `{text}`"
        ))
    })
}

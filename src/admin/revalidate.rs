//! What operators order: `POST /v1/revalidate` invalidates and, where wanted, regenerates at once; `POST /v1/tags` adds
//! tags to a page.

use super::Admin;
use super::body::{self, check_tag};
use super::problem::{Problem, json};
use super::query::Query;
use crate::proxy::{self, RegenerateError, Site};
use crate::service::{Request, Response};
use engine::invalidate::{Invalidation, Mode, NotKept, TagsRefused, Target};
use engine::store::StoredResponse;
use engine::{Invalidated, Regenerated, TagsAdded};
use http::StatusCode;
use semantics::{Forward, Scheme, key, page, tags};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Selectors of one call.
pub(super) const SELECTORS_AT_MOST: usize = 1000;
/// Paths that one call regenerates.
const REGENERATED_AT_MOST: usize = 16;
/// Of a path that is stored for many hosts, so many are regenerated: each is a render.
const HOSTS_AT_MOST: usize = 16;
/// So many stored responses are looked at to find them.
const LOOKED_AT: usize = 1000;

/// The body of `POST /v1/revalidate`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    paths: Vec<String>,
    prefixes: Vec<String>,
    tags: Vec<String>,
    routes: Vec<String>,
    host: Option<String>,
    hard: bool,
    validate: bool,
    regenerate: bool,
    count: bool,
}

#[derive(Serialize)]
struct Done {
    epoch: u64,
    /// Told only where it is not: the disk refuses it, and a restart would undo it.
    #[serde(skip_serializing_if = "std::clone::Clone::clone")]
    durable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regenerated: Option<Vec<Rendered>>,
}

#[derive(Serialize)]
struct Rendered {
    url: String,
    status: u16,
    took_ms: u64,
}

#[derive(Serialize)]
struct NotRendered {
    url: String,
    reason: String,
}

/// Another process keeps the invalidations of this store.
pub(super) fn not_kept(error: &NotKept) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}; nothing changed here"))
}

pub(super) async fn revalidate(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let asked: Asked = body::read(request)?;
    asked.check()?;
    let site = admin.site();
    let host = body::host(&site, asked.host.as_deref())?;
    let all = asked.invalidations(host.as_deref())?;
    let engine = &site.engine;
    // What is invalidated hard is not there any more after it; everything else must not wait for the count.
    let before = if asked.count && asked.hard { Some(engine.count_matching(&all).await) } else { None };
    let Invalidated { epoch, durable } = site.invalidate(&all).map_err(|error| not_kept(&error))?;
    let matched = match before {
        None if asked.count => Some(engine.count_matching(&all).await),
        before => before,
    };
    if !asked.regenerate {
        return Ok(json(&Done { epoch, durable, matched, regenerated: None }));
    }
    let (regenerated, failed) = regenerate(&site, &asked.paths, host.as_deref()).await;
    if failed.is_empty() {
        return Ok(json(&Done { epoch, durable, matched, regenerated: Some(regenerated) }));
    }
    let detail = format!(
        "{} of {} pages could not be regenerated, see `failed`; they are invalidated, and stay as they were",
        failed.len(),
        failed.len() + regenerated.len()
    );
    let problem = Problem::new(StatusCode::BAD_GATEWAY, detail).with("epoch", &epoch);
    let problem = problem.with("regenerated", &regenerated).with("failed", &failed);
    let problem = if durable { problem } else { problem.with("durable", &durable) };
    Err(match matched {
        Some(matched) => problem.with("matched", &matched),
        None => problem,
    })
}

impl Asked {
    /// What serde does not check: how many there are, and what goes together.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let selectors = self.paths.len() + self.prefixes.len() + self.tags.len() + self.routes.len();
        if selectors == 0 {
            let detail = "nothing is selected: give `paths`, `prefixes`, `tags` or `routes`; `{\"prefixes\": [\"/\"]}` is everything";
            return Err(Problem::unprocessable(detail));
        }
        if selectors > SELECTORS_AT_MOST {
            let detail =
                format!("{selectors} selectors, of which a call takes {SELECTORS_AT_MOST}: send them in parts");
            return Err(Problem::unprocessable(detail));
        }
        if self.hard && self.validate {
            let detail = "`hard` and `validate` do not go together: after the one the old page is gone, after the other it \
                          is kept for an origin that fails";
            return Err(Problem::unprocessable(detail));
        }
        if self.regenerate && self.paths.len() < selectors {
            let detail =
                "`regenerate` renders exact `paths` alone: send prefixes, tags and routes in a call without it";
            return Err(Problem::unprocessable(detail));
        }
        if self.regenerate && self.paths.len() > REGENERATED_AT_MOST {
            let detail = format!(
                "`regenerate` takes {REGENERATED_AT_MOST} paths a call, not {}: send them in parts",
                self.paths.len()
            );
            return Err(Problem::unprocessable(detail));
        }
        Ok(())
    }

    pub(super) fn invalidations(&self, host: Option<&str>) -> Result<Vec<Invalidation>, Problem> {
        let mode = match (self.hard, self.validate) {
            (true, _) => Mode::Hard,
            (false, true) => Mode::Validate,
            (false, false) => Mode::Soft,
        };
        let mut targets = Vec::new();
        for (i, path) in self.paths.iter().enumerate() {
            targets.push(Target::Path(body::path(path, &format!("paths[{i}]"))?));
        }
        for (i, prefix) in self.prefixes.iter().enumerate() {
            targets.push(Target::Prefix(body::path(prefix, &format!("prefixes[{i}]"))?));
        }
        for (i, tag) in self.tags.iter().enumerate() {
            check_tag(tag, &format!("tags[{i}]"))?;
            targets.push(Target::Tag(tag.clone()));
        }
        targets.extend(self.routes.iter().cloned().map(Target::Route));
        let each = |target| Invalidation { target, host: host.map(str::to_owned), mode };
        Ok(targets.into_iter().map(each).collect())
    }
}

/// A page to be rendered: for a path alone, where it is not known for whom.
struct Place {
    scheme: Scheme,
    host: Option<String>,
    path: String,
}

/// Renders each path at once, for every host that it is stored for, and says how it went for each.
async fn regenerate(site: &Arc<Site>, paths: &[String], host: Option<&str>) -> (Vec<Rendered>, Vec<NotRendered>) {
    let mut tasks = Vec::new();
    for path in paths {
        for place in places(site, path, host).await {
            let url = url(site, &place);
            // A task of its own: a render survives the client who ordered it.
            tasks.push((url, tokio::spawn(render(site.clone(), place))));
        }
    }
    let (mut regenerated, mut failed) = (Vec::new(), Vec::new());
    for (url, task) in tasks {
        match task.await {
            Ok(Ok(Regenerated { response, took })) => regenerated.push(Rendered {
                url,
                status: response.head.status().as_u16(),
                took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            }),
            Ok(Err(error)) => failed.push(NotRendered { url, reason: reason(&error) }),
            Err(_) => failed.push(NotRendered { url, reason: "Larder itself stumbled: its log says more".to_owned() }),
        }
    }
    (regenerated, failed)
}

/// For whom a path is stored: those are the pages that visitors get. Stored for nobody, it is the site's first host.
async fn places(site: &Site, path: &str, host: Option<&str>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for stored in site.engine.stored_at(host, path, LOOKED_AT).await {
        let Some((scheme, host, path)) = stored_for(&stored) else { continue };
        let known = |p: &Place| p.scheme == scheme && p.host.as_deref() == Some(&*host) && p.path == path;
        if places.len() < HOSTS_AT_MOST && !places.iter().any(known) {
            places.push(Place { scheme, host: Some(host), path });
        }
    }
    if places.is_empty() {
        let scheme = site.trust.usual_scheme();
        places.push(Place { scheme, host: host.map(str::to_owned), path: page::as_sent(path) });
    }
    places
}

/// Scheme, host and path of a stored response: the path as visitors spell it, which is part of its key.
fn stored_for(stored: &StoredResponse) -> Option<(Scheme, String, String)> {
    let key = key::read(&stored.key, !stored.variant.is_empty())?;
    let scheme = if key.scheme == Scheme::Https.as_str() { Scheme::Https } else { Scheme::Http };
    Some((scheme, key.host, key.path))
}

fn asked_for(place: &Place) -> proxy::Asked<'_> {
    proxy::Asked { scheme: place.scheme, host: place.host.as_deref(), path: &place.path, query: None, fields: &[] }
}

fn url(site: &Site, place: &Place) -> String {
    let named = site.with_visit(&asked_for(place), |visit| visit.request.host.to_owned());
    let host = named.ok().or_else(|| place.host.clone()).unwrap_or_default();
    format!("{}://{host}{}", place.scheme.as_str(), place.path)
}

async fn render(site: Arc<Site>, place: Place) -> Result<Regenerated, RegenerateError> {
    site.regenerate(&asked_for(&place)).await
}

fn reason(error: &RegenerateError) -> String {
    match error {
        RegenerateError::UnknownHost => "the host is none of `hosts`: visitors get 421 for it".to_owned(),
        RegenerateError::TooManyHosts => {
            "64 hosts hold pages already, and more may not without a list of `hosts`".to_owned()
        }
        RegenerateError::Passed(Forward::Bypass) => {
            "its route sends every request to the origin as it came (`bypass`): there is nothing to regenerate"
                .to_owned()
        }
        RegenerateError::Passed(why) => format!("requests for it are passed to the origin ({})", why.as_str()),
        RegenerateError::Failed(failed) => failed.message.clone(),
    }
}

/// The body of `POST /v1/tags`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tagging {
    path: String,
    tags: Vec<String>,
    #[serde(default)]
    host: Option<String>,
}

#[derive(Serialize)]
struct Tagged {
    tags: Vec<String>,
    /// Told only where it is not: a restart would undo it.
    #[serde(skip_serializing_if = "std::clone::Clone::clone")]
    durable: bool,
}

pub(super) fn add_tags(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.query.as_deref())?.end(&[])?;
    let asked: Tagging = body::read(request)?;
    let path = body::path(&asked.path, "path")?;
    if asked.tags.is_empty() || asked.tags.len() > tags::MAX_TAGS {
        let detail = format!("`tags` has {} tags: a call adds 1 to {}", asked.tags.len(), tags::MAX_TAGS);
        return Err(Problem::unprocessable(detail));
    }
    for (i, tag) in asked.tags.iter().enumerate() {
        check_tag(tag, &format!("tags[{i}]"))?;
    }
    let site = admin.site();
    let host = body::host(&site, asked.host.as_deref())?;
    let added = site.engine.add_tags(host.as_deref(), &path, &asked.tags);
    let TagsAdded { tags, durable } = added.map_err(|refused| match refused {
        TagsRefused::TooManyOnPath => Problem::unprocessable(format!(
            "with these, `{path}` would have more than {} tags that were posted: tag what several pages share instead",
            tags::MAX_TAGS
        )),
        TagsRefused::TooManyPaths => Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "100,000 paths have posted tags already, and more are not kept: send tags with the pages, as `Cache-Tag`",
        ),
        TagsRefused::HeldElsewhere => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "another process holds the journal of `store.disk.path`: post tags to that one",
        ),
    })?;
    Ok(json(&Tagged { tags, durable }))
}

//! `larder explain`: what a visit to a URL would get now, and why, as a page of text.

use super::entries::{Entry, Past};
use super::text::{Page, size, span, took, until};
use super::{ASK, Admin, Connection, Failure, finish, print, print_json};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// A whole URL, or a path of the first of `hosts`.
    url: String,
    /// A field that the visitor sends: 'Accept-Language: de'. May be repeated.
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Deserialize)]
struct Explanation {
    url: String,
    summary: String,
    route: Route,
    key: Key,
    stored: Option<Entry>,
    variants: Variants,
    decision: Decision,
    advice: Vec<String>,
    tags: Vec<String>,
    invalidated: Option<Invalidated>,
    regenerations: Vec<Past>,
    verdict: Option<Verdict>,
    back_off: Option<BackOff>,
    origin: Origin,
    in_flight: bool,
}

#[derive(Deserialize)]
struct Route {
    name: String,
    kind: String,
    revalidate: String,
}

#[derive(Deserialize)]
struct Key {
    deployment: String,
    scheme: String,
    host: String,
    path: String,
    query: Option<String>,
    fields: BTreeMap<String, Option<String>>,
    dropped_query: Vec<String>,
}

#[derive(Deserialize)]
struct Variants {
    nominated: Vec<String>,
    stored: u64,
}

#[derive(Deserialize)]
struct Decision {
    action: String,
    cache_status: String,
    why: Vec<String>,
}

#[derive(Deserialize)]
struct Invalidated {
    mode: String,
    by: String,
    epoch: u64,
}

#[derive(Deserialize)]
struct Verdict {
    reason: String,
    for_s: u64,
    explanation: String,
}

#[derive(Deserialize)]
struct BackOff {
    for_s: u64,
    reason: String,
}

#[derive(Deserialize)]
struct Origin {
    name: String,
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    server: String,
    state: String,
}

impl ExplainArgs {
    /// Asks, prints, and tells how it ended.
    pub fn run(&self) -> ExitCode {
        finish(self.explain())
    }

    fn explain(&self) -> Result<(), Failure> {
        let admin = Admin::at(&self.connection, ASK)?;
        let mut query = vec![("url", self.url.as_str())];
        query.extend(self.headers.iter().map(|header| ("header", header.as_str())));
        let answer = admin.get("/v1/explain", &query)?;
        let explanation: Explanation = admin.success(&answer)?;
        if self.connection.json { print_json(&answer) } else { print(&explanation.page()) }
    }
}

impl Explanation {
    fn page(&self) -> String {
        let mut page = Page::for_stdout();
        page.title(&self.url);
        page.say(&self.summary);
        self.tell_route(&mut page);
        page.section("Key");
        self.key.tell(&mut page);
        page.section("Stored");
        self.tell_stored(&mut page);
        page.section("Decision");
        page.fact("action", &self.decision.action);
        page.fact("Cache-Status", &self.decision.cache_status);
        for reason in &self.decision.why {
            page.point(reason);
        }
        self.tell_obstacles(&mut page);
        if !self.advice.is_empty() {
            page.section("Advice");
            self.advice.iter().for_each(|advice| page.point(advice));
        }
        if !self.regenerations.is_empty() {
            page.section("Last regenerations");
            self.regenerations.iter().for_each(|past| page.point(&past.told()));
        }
        page.into_text()
    }

    fn tell_route(&self, page: &mut Page) {
        page.section("Route");
        let Route { name, kind, revalidate } = &self.route;
        page.fact("name", name);
        page.fact("kind", kind);
        page.fact("revalidate", revalidate);
        let servers: Vec<String> = self.origin.servers.iter().map(|s| format!("{} is {}", s.server, s.state)).collect();
        page.fact("origin", &format!("{} ({})", self.origin.name, servers.join(", ")));
        if !self.tags.is_empty() {
            page.fact("tags", &self.tags.join(", "));
        }
    }

    fn tell_stored(&self, page: &mut Page) {
        match &self.stored {
            Some(entry) => entry.tell(page),
            None => page.say("Nothing for such a visit."),
        }
        if !self.variants.nominated.is_empty() {
            page.fact("nominated", &self.variants.nominated.join(", "));
        }
        page.fact("variants", &self.variants.stored.to_string());
        if let Some(Invalidated { mode, by, epoch }) = &self.invalidated {
            page.fact("invalidated", &format!("{mode}, by {by} (epoch {epoch})"));
        }
        if self.in_flight {
            page.fact("in flight", "the origin is being asked for it now");
        }
    }

    fn tell_obstacles(&self, page: &mut Page) {
        if let Some(Verdict { reason, for_s, explanation }) = &self.verdict {
            page.section("Verdict");
            page.say(&format!("{explanation} ({reason}; remembered for another {})", span(*for_s)));
        }
        if let Some(BackOff { for_s, reason }) = &self.back_off {
            page.section("Back-off");
            page.say(&format!("The last regeneration failed ({reason}); none is tried for another {}.", span(*for_s)));
        }
    }
}

impl Key {
    fn tell(&self, page: &mut Page) {
        page.fact("deployment", &self.deployment);
        page.fact("scheme", &self.scheme);
        page.fact("host", &self.host);
        page.fact("path", &self.path);
        page.fact("query", self.query.as_deref().unwrap_or("(none)"));
        if !self.dropped_query.is_empty() {
            page.fact("not in it", &format!("query: {}", self.dropped_query.join(", ")));
        }
        if !self.fields.is_empty() {
            page.fact("fields", &fields(&self.fields));
        }
    }
}

impl Entry {
    fn tell(&self, page: &mut Page) {
        page.fact("status", &self.status.to_string());
        page.fact("state", &self.state());
        page.fact("age", &span(self.age_s));
        page.fact("ttl", &self.ttl_s.map_or_else(|| "never ends".to_owned(), until));
        page.fact("expires in", &self.expires_in_s.map_or_else(|| "never".to_owned(), until));
        page.fact("size", &size(self.bytes));
        page.fact("tier", &self.tier);
        page.fact("deployment", &self.deployment);
        if !self.variant.is_empty() {
            page.fact("variant", &fields(&self.variant));
        }
        if !self.tags.is_empty() {
            page.fact("tags", &self.tags.join(", "));
        }
        if let Some(past) = &self.last_refresh {
            page.fact("last refresh", &past.told());
        }
    }
}

impl Past {
    fn told(&self) -> String {
        format!("{} ago: {}, {}, in {}", span(self.ago_s), self.cause, self.outcome, took(self.took_ms))
    }
}

fn fields(fields: &BTreeMap<String, Option<String>>) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{name}: {}", value.as_deref().unwrap_or("(absent)")));
    fields.collect::<Vec<String>>().join("; ")
}

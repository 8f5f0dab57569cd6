//! `GET /v1/entries`: what is stored, page by page.

use super::Admin;
use super::body::{check_tag, path};
use super::problem::{Problem, json};
use super::query::{Query, shortened};
use crate::service::{Request, Response};
use engine::history::Past;
use engine::inspect::{Filter, Listed, State};
use engine::store::KeyHash;
use semantics::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

const LIMIT: usize = 100;
const LIMIT_AT_MOST: usize = 1000;

#[derive(Serialize)]
struct Entries {
    entries: Vec<Entry>,
    cursor: Option<String>,
}

/// A stored response, as the API tells of it.
#[derive(Serialize)]
pub(super) struct Entry {
    url: String,
    variant: BTreeMap<String, Option<String>>,
    status: u16,
    state: &'static str,
    age_s: u64,
    /// `null`: fresh for ever.
    ttl_s: Option<i64>,
    /// `null`: may always be served stale.
    expires_in_s: Option<i64>,
    bytes: usize,
    pub(super) tags: Vec<String>,
    deployment: String,
    tier: &'static str,
    pinned: bool,
    last_refresh: Regeneration,
}

/// One fill that ended.
#[derive(Serialize)]
pub(super) struct Regeneration {
    ago_s: u64,
    cause: &'static str,
    outcome: &'static str,
    took_ms: u64,
}

impl Entry {
    pub(super) fn of(listed: Listed, now: Timestamp) -> Self {
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        Entry {
            url: listed.key.url(),
            variant: listed.variant.into_iter().map(|(name, value)| (name, value.map(text))).collect(),
            status: listed.status,
            state: listed.state.as_str(),
            age_s: listed.age.as_secs(),
            ttl_s: listed.ttl,
            expires_in_s: listed.expires_in,
            bytes: listed.bytes,
            tags: listed.tags,
            deployment: listed.key.deployment,
            tier: listed.tier.as_str(),
            pinned: listed.pinned,
            last_refresh: Regeneration::of(&listed.last_refresh, now),
        }
    }
}

impl Regeneration {
    pub(super) fn of(past: &Past, now: Timestamp) -> Self {
        Regeneration {
            ago_s: now.since(past.at).as_secs(),
            cause: past.cause.as_str(),
            outcome: past.outcome,
            took_ms: u64::try_from(past.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

pub(super) async fn entries(admin: &Admin, request: &Request) -> Result<Response, Problem> {
    let asked = Asked::read(request.query.as_deref(), admin.process)?;
    let engine = &admin.site().engine;
    let listing = engine.entries(&asked.filter, asked.after, asked.limit).await;
    let now = engine.clock.now();
    Ok(json(&Entries {
        entries: listing.entries.into_iter().map(|listed| Entry::of(listed, now)).collect(),
        cursor: listing.next.map(|next| cursor(admin.process, next)),
    }))
}

/// What the query asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) filter: Filter,
    pub(super) after: Option<KeyHash>,
    pub(super) limit: usize,
}

impl Asked {
    pub(super) fn read(query: Option<&str>, process: u64) -> Result<Self, Problem> {
        let mut query = Query::parse(query)?;
        let prefix = query.take("prefix")?.map(|text| path(&text, "prefix")).transpose()?;
        let tag = query.take("tag")?;
        if let Some(tag) = &tag {
            check_tag(tag, "tag")?;
        }
        let state = query.take("state")?.map(|text| state(&text)).transpose()?;
        let limit = query.take("limit")?.map_or(Ok(LIMIT), |text| limit(&text))?;
        let after = query.take("cursor")?.map(|text| behind(&text, process)).transpose()?;
        query.end(&["prefix", "tag", "state", "limit", "cursor"])?;
        Ok(Asked { filter: Filter { prefix, tag, state }, after, limit })
    }
}

fn state(text: &str) -> Result<State, Problem> {
    State::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
        let text = shortened(text, 60);
        Problem::unprocessable(format!("`state` must be `fresh`, `stale` or `expired`, not `{text}`"))
    })
}

fn limit(text: &str) -> Result<usize, Problem> {
    whole(text, LIMIT_AT_MOST)
}

/// A whole number of entries.
///
/// # Errors
/// It is none.
pub(super) fn whole(text: &str, most: usize) -> Result<usize, Problem> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let limit = text.parse::<usize>().ok().filter(|limit| digits && (1..=most).contains(limit));
    limit.ok_or_else(|| {
        let text = shortened(text, 60);
        Problem::unprocessable(format!("`limit` must be a whole number from 1 to {most}, not `{text}`"))
    })
}

/// Where a next page begins. Hashes are seeded anew in each process, so it says which one it is of.
pub(super) fn cursor(process: u64, after: KeyHash) -> String {
    format!("{process:016x}{after:032x}")
}

fn behind(cursor: &str, process: u64) -> Result<KeyHash, Problem> {
    read_cursor(cursor, process).ok_or_else(|| {
        Problem::unprocessable(
            "`cursor` is none that this process gave, which may have begun anew: start again without `cursor`",
        )
    })
}

/// What [`cursor`] wrote; `None`: it is of somebody else, or none.
pub(super) fn read_cursor(cursor: &str, giver: u64) -> Option<KeyHash> {
    let well_formed = cursor.len() == 48 && cursor.bytes().all(|b| b.is_ascii_hexdigit());
    let (of, after) = cursor.split_at_checked(16).filter(|_| well_formed)?;
    let of_this = u64::from_str_radix(of, 16) == Ok(giver);
    KeyHash::from_str_radix(after, 16).ok().filter(|_| of_this)
}

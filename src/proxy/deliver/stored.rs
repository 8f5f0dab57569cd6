//! Stored responses to clients: whole, a part, 304, and in the coding that a client asks for.

use super::{Client, Sent, put};
use bytes::Bytes;
use engine::store::{BodyReader, Head, InCoding, StoredResponse};
use engine::{Engine, Served};
use http::StatusCode;
use semantics::coding::{Accepted, Coding, etag_in};
use semantics::part::{Cut, OF_THE_CONTENT};
use semantics::range::{self, Range};
use semantics::validation::{Validators, not_modified};
use semantics::{CacheStatus, Facts, Method, Outcome, Request, Timestamp};
use std::io::{self, Write};

/// A stored response, and what a client asked of it.
pub(in crate::proxy) struct Delivery<'d> {
    pub(in crate::proxy) request: &'d Request<'d>,
    pub(in crate::proxy) facts: &'d Facts<'d>,
    pub(in crate::proxy) served: &'d Served,
    pub(in crate::proxy) now: Timestamp,
    /// The codings that its route makes, the best first.
    pub(in crate::proxy) codings: &'d [Coding],
    /// The one that was chosen.
    pub(in crate::proxy) coded: Option<&'d InCoding>,
}

/// Fields of a page that a 416 has nothing to do with: a cache that believed them would keep it in the page's place.
const OF_THE_PAGE: [&str; 7] =
    ["cache-control", "cdn-cache-control", "etag", "expires", "last-modified", "pragma", "set-cookie"];

/// In which coding somebody gets a stored response.
pub(in crate::proxy) enum Chosen<'s> {
    AsItIs,
    Coded(&'s InCoding),
    /// He does not take the body as it is, and the coding is not made yet.
    AtOnce(Coding),
}

impl<'s> Chosen<'s> {
    /// What was not there when it was asked for is nobody's to make yet: a crawler asks for everything once.
    pub(in crate::proxy) fn of(
        engine: &Engine,
        request: &Request<'_>,
        facts: &Facts<'_>,
        served: &'s Served,
        codings: &[Coding],
    ) -> Self {
        // Parts are parts of the body as it is.
        if !facts.accept_encoding || facts.range.is_some() {
            return Chosen::AsItIs;
        }
        let accepted = Accepted::of(request.fields_named("accept-encoding"));
        let response = &served.response;
        let confirmed = matches!(served.status, CacheStatus::Forwarded { status: Some(304), .. });
        if (confirmed || matches!(served.status.outcome(), Outcome::Hit | Outcome::Stale))
            && let Some(coded) =
                engine.coding(response, accepted, codings).and_then(|coding| response.coded.get(coding))
        {
            return Chosen::Coded(coded);
        }
        let at_once = accepted.best(codings).filter(|_| accepted.refuses_identity() && request.method == Method::Get);
        match at_once.filter(|_| response.coded.is_codable(&response.head, &response.body)) {
            Some(coding) => Chosen::AtOnce(coding),
            None => Chosen::AsItIs,
        }
    }
}

impl Client<'_> {
    /// A stored response. `file`: its body, where that is not held in memory.
    pub(in crate::proxy) async fn stored(
        &mut self,
        delivery: &Delivery<'_>,
        tail: &mut Vec<u8>,
        mut file: Option<BodyReader>,
    ) -> io::Result<Sent> {
        let Delivery { request, facts, served, now, .. } = *delivery;
        let response = &served.response;
        tail.clear();
        if matches!(served.status, CacheStatus::Hit { .. } | CacheStatus::StaleAfter { .. })
            || !response.windows.age_at_generation.is_zero()
        {
            write!(tail, "age: {}\r\n", response.windows.age(now).as_secs())?;
        }
        self.end_head(&served.status, tail);
        let status = response.head.status();
        if status == StatusCode::OK
            && facts.conditional()
            && let Some(etag) = delivery.confirmed()
        {
            return self.not_modified(&response.head, etag.as_deref(), tail).await;
        }
        let of_page = status == StatusCode::OK && facts.range.is_some();
        if (of_page || status == StatusCode::PARTIAL_CONTENT)
            && let Some(sent) = self.part(request, facts, served, tail, &mut file).await?
        {
            return Ok(sent);
        }
        let whole = request.method != Method::Head;
        let (head, body) = match delivery.coded {
            Some(coded) => (&coded.wire, Some(&coded.body)),
            None => (response.head.wire(), response.body.held()),
        };
        let file = file.filter(|_| whole);
        self.answer(head, tail, body.filter(|_| whole).unwrap_or(&Bytes::new()), file.is_some()).await?;
        if let Some(file) = file {
            self.file(file).await?;
        }
        Ok(Sent { status: status.as_u16() })
    }

    /// 304 with the fields that a 200 would have had and that matter to a cache (RFC 9110, 15.4.5).
    async fn not_modified(&mut self, head: &Head, etag: Option<&[u8]>, tail: &[u8]) -> io::Result<Sent> {
        const KEPT: [&str; 7] =
            ["cache-control", "content-location", "date", "etag", "expires", "last-modified", "vary"];
        let mut lines = b"HTTP/1.1 304 Not Modified\r\n".to_vec();
        for (name, value) in head.fields().filter(|(n, _)| KEPT.contains(n)) {
            put(&mut lines, name, etag.filter(|_| name == "etag").unwrap_or(value));
        }
        self.answer(&lines.into(), tail, &Bytes::new(), false).await?;
        Ok(Sent { status: 304 })
    }

    /// 206 or 416; `None` when the Range does not count (RFC 9110, 14.2).
    async fn part(
        &mut self,
        request: &Request<'_>,
        facts: &Facts<'_>,
        served: &Served,
        tail: &[u8],
        file: &mut Option<BodyReader>,
    ) -> io::Result<Option<Sent>> {
        let response = &served.response;
        let date = response.head.field("date");
        let holds = facts.if_range.is_none_or(|value| range::if_range_holds(value, response.validators(), date));
        let range = facts.range.filter(|_| holds && request.method == Method::Get);
        let size = response.body.len();
        let (line, kind, content_range, cut) = match range.map_or(Range::Whole, |range| resolved(response, range)) {
            Range::Whole => return Ok(None),
            Range::Part(cut) => ("206 Partial Content", 206, cut.part.to_string(), Some(cut)),
            Range::Unsatisfiable => ("416 Range Not Satisfiable", 416, format!("bytes */{size}"), None),
        };
        let held = cut.and_then(|cut| Some(slice(response.body.held()?, cut)));
        let (body, length) = (held.unwrap_or_default(), cut.map_or(0, |cut| cut.length));
        let mut lines = format!("HTTP/1.1 {line}\r\n").into_bytes();
        let of_all = |name: &str| {
            name == "content-length"
                || name == "content-range"
                || OF_THE_CONTENT.iter().any(|n| n == name)
                || cut.is_none() && OF_THE_PAGE.contains(&name)
        };
        for (name, value) in response.head.fields().filter(|(name, _)| !of_all(name)) {
            put(&mut lines, name, value);
        }
        put(&mut lines, "content-length", length.to_string().as_bytes());
        put(&mut lines, "content-range", content_range.as_bytes());
        let of_file = cut.and_then(|cut| Some((file.take()?, cut)));
        self.answer(&lines.into(), tail, &body, of_file.is_some()).await?;
        if let Some((mut file, cut)) = of_file {
            file.part(cut.offset, cut.offset + cut.length - 1);
            self.file(file).await?;
        }
        Ok(Some(Sent { status: kind }))
    }

    /// A body as it comes from the disk. One that is damaged breaks the answer off: never a clean wrong one.
    async fn file(&mut self, mut file: BodyReader) -> io::Result<()> {
        while let Some(chunk) = file.chunk().await? {
            self.piece(&chunk).await?;
        }
        self.end(false).await
    }
}

impl Delivery<'_> {
    /// Whether he has it already, and the entity tag of what he has, where that is in a coding. Any form counts that he would
    /// take now: it is the same page.
    fn confirmed(&self) -> Option<Option<Vec<u8>>> {
        let Delivery { request, facts, served, .. } = *self;
        let response = &served.response;
        let validators = response.validators();
        if not_modified(request, validators) {
            return Some(None);
        }
        let accepted = Accepted::of(request.fields_named("accept-encoding"));
        let etag = validators.etag.filter(|_| facts.if_none_match && facts.accept_encoding)?;
        let taken = self.codings.iter().filter(|coding| accepted.takes(**coding));
        taken
            .map(|coding| etag_in(etag, *coding))
            .find(|etag| not_modified(request, Validators { etag: Some(etag), last_modified: None }))
            .map(Some)
    }
}

/// What a range takes of a stored response, a part or all of it.
fn resolved(response: &StoredResponse, range: &[u8]) -> Range {
    let size = response.body.len();
    if response.head.status() != StatusCode::PARTIAL_CONTENT {
        return range::resolve(range, size);
    }
    // It was looked up by what it holds.
    response.cut(range).map_or(Range::Whole, Range::Part)
}

fn slice(body: &Bytes, cut: Cut) -> Bytes {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(body.len());
    body.slice(at(cut.offset)..at(cut.offset.saturating_add(cut.length)))
}

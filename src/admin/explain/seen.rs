//! One visit as it would go now: its decision, and the sentences about it.

use super::reasons::{passed_because, personal_parts};
use super::words::{Words, failure, not_storable, sentence, span};
use crate::admin::stats::OriginState;
use engine::Visit;
use engine::guard::Known;
use engine::inspect::{Inspection, InvalidatedBy};
use engine::invalidate::Mode;
use semantics::policy::{QueryRule, Revalidate};
use semantics::storability::NotStorable;
use semantics::{CacheStatus, Decision, Forward, Timestamp, decision};

/// What is known of a visit.
pub(super) struct Seen<'a> {
    pub(super) visit: &'a Visit<'a>,
    pub(super) inspection: &'a Inspection,
    pub(super) decision: Decision,
    pub(super) origin: &'a OriginState,
    /// Query parameters that are not keyed.
    pub(super) dropped: &'a [String],
    /// A route whose pattern matches, and that such a path does not get.
    pub(super) skipped: Option<&'a str>,
    pub(super) unmatched: bool,
}

/// What becomes of a visit: the decision on what is stored, after what is remembered of the key and of the visitor.
pub(super) fn decide(visit: &Visit<'_>, inspection: &Inspection) -> Decision {
    if let Err(why) = decision::admit(visit.request, visit.facts, &visit.route.policy) {
        return Decision::Bypass(why);
    }
    let nothing = inspection.stored.is_none();
    match inspection.decision {
        // His own request finds out whether there is a page for everybody.
        Decision::Fetch(_) if nothing && inspection.personal && !visit.route.policy.is_isr() => {
            Decision::Bypass(Forward::Request)
        }
        decided => decided,
    }
}

impl Seen<'_> {
    pub(super) fn action(&self) -> &'static str {
        match self.decision {
            Decision::Reuse { .. } => "reuse",
            Decision::ReuseAndRefresh { .. } => "reuse-and-refresh",
            Decision::Validate => "validate",
            Decision::Fetch(_) => "fetch",
            Decision::Bypass(_) => "pass",
            Decision::Unsatisfiable => "unsatisfiable",
        }
    }

    /// What Cache-Status would say of the answer, as far as it can be known before there is one.
    pub(super) fn cache_status(&self) -> CacheStatus {
        let (why, waits) = match self.decision {
            Decision::Reuse { ttl, failing } => return CacheStatus::Hit { ttl, failing },
            Decision::ReuseAndRefresh { ttl } => return CacheStatus::Hit { ttl, failing: false },
            Decision::Unsatisfiable => return CacheStatus::Own { detail: "only-if-cached" },
            Decision::Validate => (Forward::Stale, true),
            Decision::Fetch(why) => (why, true),
            Decision::Bypass(why) => (why, false),
        };
        let failed = self.just_failed().filter(|_| waits);
        let status = failed.and_then(|failed| failed.failure.status());
        let collapsed = failed.is_some() || (waits && self.inspection.in_flight);
        CacheStatus::Forwarded { why, status, stored: false, collapsed }
    }

    /// A failure that is everybody's for the moment.
    fn just_failed(&self) -> Option<&engine::Failed> {
        match &self.inspection.verdict {
            Some(Known::Failed(failed)) => Some(failed),
            _ => None,
        }
    }

    /// Why nothing is stored, as far as it binds this visit.
    fn not_stored_because(&self) -> Option<NotStorable> {
        match &self.inspection.verdict {
            Some(Known::NotStorable { reason, .. }) => self.inspection.stored.is_none().then_some(*reason),
            _ => None,
        }
    }

    pub(super) fn summary(&self) -> String {
        let age = self.inspection.stored.as_ref().map_or(0, |stored| stored.age.as_secs());
        let (age, flies) = (span(age), self.inspection.in_flight);
        match self.decision {
            Decision::Reuse { failing: false, .. } => {
                format!("A visitor gets the stored page, {age} old, and the origin hears nothing. {}", self.freshness())
            }
            Decision::Reuse { failing: true, .. } => {
                format!("A visitor gets the stored page, {age} old: it stands in for the origin, which fails.")
            }
            Decision::ReuseAndRefresh { .. } if flies => {
                format!("A visitor gets the stored page, {age} old, while it is regenerated.")
            }
            Decision::ReuseAndRefresh { .. } => {
                format!("The next visitor gets the stored page, {age} old, at once; behind him it is regenerated.")
            }
            Decision::Validate | Decision::Fetch(_) if self.just_failed().is_some() => {
                "The origin has failed a moment ago: for a second everybody who asks gets the same failure.".to_owned()
            }
            Decision::Validate => {
                "What is stored may not be served as it is: the next visitor waits for the origin.".to_owned()
            }
            Decision::Fetch(_) if flies => {
                "It is being fetched right now: a visitor waits for the same answer as everybody else.".to_owned()
            }
            Decision::Fetch(Forward::VaryMiss) => {
                "The page is stored, but not in the variant that this visit asks for: it waits for a fill.".to_owned()
            }
            Decision::Fetch(_) => {
                "Nothing is stored: the next visitor waits for a fill, and all who come meanwhile share it.".to_owned()
            }
            Decision::Bypass(_) => {
                "The visit goes to the origin as it came, and what comes back is this visitor's alone.".to_owned()
            }
            Decision::Unsatisfiable => "The visitor gets 504: he wants a stored answer, and there is none.".to_owned(),
        }
    }

    fn is_pinned(&self) -> bool {
        self.inspection.stored.as_ref().is_some_and(|stored| stored.pinned)
    }

    fn freshness(&self) -> String {
        if self.is_pinned() {
            return "It is pinned to this version until somebody unpins it.".to_owned();
        }
        match self.inspection.stored.as_ref().and_then(|stored| stored.ttl) {
            Some(ttl) => format!("It stays fresh for another {}.", span(ttl.max(0).unsigned_abs())),
            None => "It stays fresh until it is invalidated.".to_owned(),
        }
    }

    /// One sentence for each rule that had a say.
    pub(super) fn why(&self) -> Vec<String> {
        let mut why = vec![self.routed()];
        why.extend(self.skipped.map(|name| {
            format!(
                "The pattern of the route `{name}` matches too, but a route with a window of its own gets no path that \
                 servers disagree on (`//`, `.` and `..`, `%2f`, `%5c`, `\\`, `;`), and of a framework's own folder \
                 (`/_next/...`) only what its pattern spells out."
            )
        }));
        why.extend(self.keyed());
        why.push(self.decided());
        why.extend(self.inspection.invalidated.as_ref().map(invalidated));
        why.extend(self.personal());
        why.extend(self.not_stored_because().map(|reason| not_storable(reason).why));
        why.extend(self.just_failed().map(|failed| sentence(&failure(failed.failure).why)));
        if let Some((_, last)) = &self.inspection.failing {
            let what = failure(*last).why;
            why.push(format!("The last regeneration failed: {what}. What is stored stays as it was."));
        }
        if self.is_origin_down() {
            let name = &self.origin.name;
            why.push(format!("No server of the origin `{name}` answers at present: each is asked once a second."));
        }
        why
    }

    fn routed(&self) -> String {
        let route = self.visit.route;
        let name = &route.name;
        match route.policy.revalidate {
            _ if self.unmatched => {
                "No route matches: what the origin's header fields say counts, as in any cache (RFC 9111).".to_owned()
            }
            _ if route.policy.bypass => format!("The route `{name}` is the first that matches."),
            Revalidate::Origin => {
                format!("The route `{name}` is the first that matches: what the origin's header fields say counts.")
            }
            Revalidate::Every(window) => format!(
                "The route `{name}` is the first that matches: a page is fresh for {}, whatever the origin's header \
                 fields say.",
                span(window.as_secs())
            ),
            Revalidate::Never => {
                format!("The route `{name}` is the first that matches: a page is fresh until it is invalidated.")
            }
        }
    }

    fn keyed(&self) -> Option<String> {
        let names: Vec<String> = self.dropped.iter().map(|name| format!("`{name}`")).collect();
        let names = (!names.is_empty()).then(|| names.join(", "))?;
        Some(match &self.visit.route.policy.query {
            QueryRule::All => return None,
            QueryRule::AllButTracking => {
                format!("Of the query, {names} is left out: that says where visitors come from, and changes no page.")
            }
            QueryRule::Only(keyed) if keyed.is_empty() => {
                format!("Of the query, {names} is left out: the route keys no parameter, and the origin gets none.")
            }
            QueryRule::Only(keyed) => {
                let keyed: Vec<String> = keyed.iter().map(|name| format!("`{name}`")).collect();
                format!("Of the query, {names} is left out: the route keys {} alone.", keyed.join(", "))
            }
        })
    }

    fn decided(&self) -> String {
        let isr = self.visit.route.policy.is_isr();
        let said = match self.decision {
            Decision::Reuse { .. } if self.is_pinned() => {
                "An operator has pinned it to an older version (`larder versions`): nothing short of a hard invalidation \
                 replaces it, and it is not regenerated."
            }
            Decision::Reuse { failing: false, .. } if isr => {
                "Its window is not over: until then the store answers, and the origin is not asked."
            }
            Decision::Reuse { failing: false, .. } => {
                "The lifetime that the origin gave it is not over: it may be used again without asking (RFC 9111, 4.2)."
            }
            Decision::Reuse { failing: true, .. } => {
                "Its time is over, but the origin fails, and nothing forbids a stored page to stand in (RFC 9111, \
                 4.2.4; `stale_if_error`)."
            }
            Decision::ReuseAndRefresh { .. } if self.inspection.invalidated.is_some() => {
                "It is stale because it was invalidated: the first visit starts one regeneration, and until that is \
                 through the stored page answers."
            }
            Decision::ReuseAndRefresh { .. } if isr => {
                "It is stale: the first visit starts one regeneration, and until that is through the stored page \
                 answers (`expire` says for how long)."
            }
            Decision::ReuseAndRefresh { .. } => {
                "It is stale, and may be served so while one regeneration runs (`stale-while-revalidate`, RFC 5861, 3)."
            }
            Decision::Validate => {
                "It is stale or was written to, and may not be served so (RFC 9111, 4.2.4 and 4.4): the origin is asked \
                 whether it is still good, and 304 renews it (RFC 9111, 4.3)."
            }
            Decision::Fetch(Forward::VaryMiss) => {
                "Its answers vary (RFC 9111, 4.1), and none that is stored fits the fields of this visit."
            }
            Decision::Fetch(_) => "Nothing is stored under its key, so the origin is asked, once for all who wait.",
            Decision::Bypass(why) => return self.passed(why),
            Decision::Unsatisfiable => {
                "It has `Cache-Control: only-if-cached`: the origin may not be asked (RFC 9111, 5.2.1.7)."
            }
        };
        said.to_owned()
    }

    fn passed(&self, why: Forward) -> String {
        let Visit { request, facts, route, .. } = self.visit;
        if let Some(Words { why, .. }) = passed_because(request, facts, &route.policy, &route.name) {
            return why;
        }
        match why {
            Forward::Request if facts.range.is_some() => {
                "It asks for a part (`Range`) of something that is not stored: that part is the origin's to cut out."
            }
            Forward::Request => {
                "Nothing is stored yet, and the visit is personal: it goes to the origin as it came, and if the head \
                 of its answer says that the page may be shared, one fill for everybody starts."
            }
            Forward::Miss => "It is remembered that this page is not stored, so nobody waits for anybody else.",
            _ => "It is no visit that the cache may answer.",
        }
        .to_owned()
    }

    fn personal(&self) -> Option<String> {
        let admitted = !matches!(self.decision, Decision::Bypass(Forward::Bypass | Forward::Method));
        if !self.inspection.personal || !admitted {
            return None;
        }
        let policy = &self.visit.route.policy;
        let parts = personal_parts(self.visit.request, policy, &self.inspection.nominated).join(", ");
        let then = if self.inspection.stored.is_some() {
            "what is stored was given to nobody in particular, and everybody gets it"
        } else if policy.is_isr() {
            "the fill goes without that, and if its answer may not be stored, this visit is passed as it came"
        } else {
            "what the origin answers to it is never stored for others"
        };
        Some(format!("The visit is personal by {parts}: {then}."))
    }

    fn is_origin_down(&self) -> bool {
        !self.origin.servers.is_empty() && self.origin.servers.iter().all(|server| server.state == "down")
    }

    /// What would make it cacheable, or better.
    pub(super) fn advice(&self) -> Vec<String> {
        let Visit { request, facts, route, .. } = self.visit;
        let mut advice = Vec::new();
        advice.extend(passed_because(request, facts, &route.policy, &route.name).map(|words| words.advice));
        advice.extend(self.not_stored_because().map(|reason| not_storable(reason).advice));
        advice.extend(self.just_failed().map(|failed| failure(failed.failure).advice));
        advice.extend(self.inspection.failing.as_ref().map(|(_, last)| failure(*last).advice));
        if self.is_pinned() {
            advice.push("`larder versions URL --unpin` lets it be regenerated again.".to_owned());
        }
        if self.is_origin_down() {
            advice.push(format!("Start or mend the servers of the origin `{}`.", self.origin.name));
        }
        if self.decision == Decision::Bypass(Forward::Request) && facts.range.is_none() {
            advice.push(
                "Where that cookie or field does not change the page, say so: `ignore_cookies` on the route, or \
                 `forward_headers`; where it does, list it under `key`."
                    .to_owned(),
            );
        }
        if matches!(route.policy.query, QueryRule::Only(_)) && !self.dropped.is_empty() {
            let names = self.dropped.join(", ");
            advice.push(format!("If the page depends on it, list it on the route: `key: {{ query: [{names}] }}`."));
        }
        if self.decision == Decision::Validate && !route.policy.is_isr() && self.inspection.invalidated.is_none() {
            advice.push(
                "With `stale-while-revalidate` in the origin's Cache-Control visitors would not wait.".to_owned(),
            );
        }
        if self.is_unknown() {
            advice.push("Visit it once and ask again: the head of the answer says whether it is stored.".to_owned());
        }
        advice
    }

    /// Nothing was ever heard of the page.
    fn is_unknown(&self) -> bool {
        let Inspection { stored, verdict, past, in_flight, .. } = self.inspection;
        let waits = matches!(self.decision, Decision::Fetch(_) | Decision::Bypass(Forward::Request));
        waits && stored.is_none() && verdict.is_none() && past.is_empty() && !in_flight
    }
}

fn invalidated(by: &InvalidatedBy) -> String {
    let InvalidatedBy { mode, by, epoch } = by;
    match mode {
        Mode::Soft => {
            format!("It was invalidated by {by} (soft, epoch {epoch}): it is stale, and its next visit renews it.")
        }
        Mode::Validate => format!(
            "It is to be validated because of {by} (epoch {epoch}): a request that changes it succeeded (RFC 9875, 3)."
        ),
        Mode::Hard => format!("It was invalidated by {by} (hard, epoch {epoch}): it counts as not stored."),
    }
}

/// Of what is remembered of a key with nothing stored: its name, until when, and what it means.
pub(super) fn remembered(known: &Known) -> (&'static str, Timestamp, String) {
    match known {
        Known::NotStorable { reason, until, .. } => (reason.as_str(), *until, not_storable(*reason).why),
        Known::Failed(failed) => (failed.failure.as_str(), failed.until, sentence(&failed.message)),
    }
}

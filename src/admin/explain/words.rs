//! What a value of the engine means, in sentences for people: the reason, the rule behind it with its section where a
//! standard decides, and what would change it.

use semantics::guard::Broken;
use semantics::settlement::Failure;
use semantics::storability::NotStorable;

/// A reason and its remedy, each a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) struct Words {
    pub(in crate::admin) why: String,
    pub(in crate::admin) advice: String,
}

fn words(why: &str, advice: &str) -> Words {
    Words { why: why.to_owned(), advice: advice.to_owned() }
}

/// Why an answer is not stored.
pub(in crate::admin) fn not_storable(reason: NotStorable) -> Words {
    words(why_not_stored(reason), how_to_store(reason))
}

fn why_not_stored(reason: NotStorable) -> &'static str {
    match reason {
        NotStorable::NoStore => {
            "The origin sends `no-store`, which forbids every cache to keep the answer (RFC 9111, 5.2.2.5)."
        }
        NotStorable::Private => {
            "The origin sends `private`: the answer is for one visitor, and no shared cache may keep it (RFC 9111, \
             5.2.2.7)."
        }
        NotStorable::Authorization => {
            "It was asked for with `Authorization`, and the answer does not say that it is for others too (RFC 9111, 3.5)."
        }
        NotStorable::SetCookie => {
            "The answer sets a cookie, and this route does not strip cookies: one visitor's session must not become \
             everybody's. RFC 9111, 7.3 leaves that to the cache, and Larder does not store such answers."
        }
        NotStorable::VaryUnmatchable => {
            "The answer has `Vary: *`, or varies on more than 16 request fields: of no later request can be said that \
             it would get the same (RFC 9111, 4.1)."
        }
        NotStorable::VaryPersonal => {
            "The answer varies on Cookie, Authorization or User-Agent, and the route does not key them: nearly every \
             visitor would get a copy of his own."
        }
        NotStorable::NoLifetime => {
            "The answer has neither a lifetime (`s-maxage`, `max-age`, `Expires`) nor a validator (`ETag`, \
             `Last-Modified`), so it could never be used again. RFC 9111, 4.2.2 lets a cache guess; Larder does not."
        }
        NotStorable::Status => {
            "Answers with this status are not kept: pages are 200, 203, 300, 301, 308, 404, 410 and 451, and 302, 303 \
             and 307 where the origin gives them a lifetime of their own (RFC 9111, 3 leaves the choice to the cache)."
        }
        NotStorable::Partial => {
            "The answer is 206, a part of the page, and a part is never kept for the whole (RFC 9111, 3.3)."
        }
        NotStorable::TooLarge => {
            "The body is larger than `store.memory.max_object`: it is handed through while it comes."
        }
        NotStorable::CloseDelimited => {
            "The body ended with its connection, so that nobody can tell whether it was whole (RFC 9112, 8)."
        }
        NotStorable::HostLimit => "More hosts are asked for than may hold entries while the configuration lists none.",
        NotStorable::ComponentWithoutRsc => {
            "The origin sent a React Server Component (`text/x-component`) to a request without `RSC`: kept, it would \
             reach browsers that wait for a page."
        }
        NotStorable::Encoded => {
            "The body has a content coding that Larder cannot undo, and it would reach clients that did not ask for it \
             (RFC 9110, 12.5.3)."
        }
        NotStorable::NotAdmitted => {
            "Fewer requests than `admit_after` of the route have asked for the page within 10 minutes: what is asked for \
             once is not kept."
        }
        NotStorable::Guard => {
            "The answer breaks a guard of its route (`guard`): it goes to those who asked, and is not kept."
        }
    }
}

fn how_to_store(reason: NotStorable) -> &'static str {
    match reason {
        NotStorable::NoStore => {
            "Have the origin send `Cache-Control: s-maxage=60, stale-while-revalidate=600` for this page; or, if it is \
             everybody's whatever the origin says, give it a route with `revalidate` and `override_origin: true`."
        }
        NotStorable::Private => {
            "If the page is the same for everybody, have the origin say `public` instead, or give the page a route \
             with `revalidate` and `override_origin: true`."
        }
        NotStorable::Authorization => {
            "If the answer is the same for everybody, have the origin send `public`, or `s-maxage` with a lifetime."
        }
        NotStorable::SetCookie => {
            "Do not set the cookie on this page; or, if nobody needs it there, say `set_cookie: strip` on its route."
        }
        NotStorable::VaryUnmatchable => {
            "Name in `Vary` the one or two request fields that change the page, and no others."
        }
        NotStorable::VaryPersonal => {
            "If the page does not depend on that field, take it out of `Vary`; if it depends on one cookie, list that \
             under `key: { cookies: [...] }` of its route, else list the field under `key: { headers: [...] }`."
        }
        NotStorable::NoLifetime => {
            "Have the origin send `Cache-Control: s-maxage=60, stale-while-revalidate=600`, or give the page a route \
             with `revalidate: 60s`, which counts whatever the origin sends."
        }
        NotStorable::Status => {
            "A temporary redirect is kept with `Cache-Control: s-maxage=60` of its own; with any other status there is \
             nothing to be kept until the origin has a page here."
        }
        NotStorable::Partial => {
            "Ask for the page once without `Range`; and have the origin answer 206 to requests with `Range` alone."
        }
        NotStorable::TooLarge => "Raise `store: { memory: { max_object: ... } }` if such bodies are asked for often.",
        NotStorable::CloseDelimited => "Have the origin send `Content-Length` or `Transfer-Encoding: chunked`.",
        NotStorable::HostLimit => "List the names of your sites under `hosts`: others are then refused.",
        NotStorable::ComponentWithoutRsc => {
            "Look for what mixes the two up between Larder and the framework: another cache, or a rewrite that drops \
             `RSC`."
        }
        NotStorable::Encoded => {
            "Have the origin obey `Accept-Encoding: identity`, or encode by gzip, br, zstd or deflate alone."
        }
        NotStorable::NotAdmitted => {
            "It is stored when it is asked for often enough; lower `admit_after` of the route to have it stored sooner."
        }
        NotStorable::Guard => {
            "Compare what the origin sends with `guard` on the route: either the page is broken, or the guard is too \
             strict for it."
        }
    }
}

/// How an attempt to fetch or to regenerate failed.
pub(in crate::admin) fn failure(failure: Failure) -> Words {
    match failure {
        Failure::Connect => words(
            "the origin could not be reached: its name, the connection or TLS failed",
            "Look whether the origin runs and listens where the configuration says.",
        ),
        Failure::Timeout => words(
            "the origin did not answer in time",
            "Find out what keeps the origin busy, or allow it more under `timeouts` of the origin.",
        ),
        Failure::Truncated => words(
            "the origin broke its answer off before it was whole (RFC 9112, 8)",
            "Look into the origin's log: it, or a proxy in between, ends connections in the middle of answers.",
        ),
        Failure::Malformed => words(
            "what came back is not HTTP",
            "Look whether the origin's port is the one for plain HTTP/1.1, and not for TLS.",
        ),
        Failure::Status(status) => status_failed(status),
        Failure::Uncacheable(reason) => {
            let Words { why, advice } = not_storable(reason);
            Words { why: format!("the answer that came back may not be stored any more: {}", clause(&why)), advice }
        }
        Failure::Empty => words(
            "the origin answered with an empty body where there was a page",
            "Look into the origin's log: a page that has become empty is nearly always an error there.",
        ),
        Failure::CloseDelimited => words(
            "the new body ended with its connection, so that it may have been cut off (RFC 9112, 8)",
            "Have the origin send `Content-Length` or `Transfer-Encoding: chunked` on this page.",
        ),
        Failure::RedirectLoop => words(
            "the origin redirects the page to itself",
            "The origin takes Larder's request for one by another scheme or host: look at what it makes of \
             X-Forwarded-Proto and X-Forwarded-Host, and at `host` of the origin.",
        ),
        Failure::UnmatchedNotModified => words(
            "the origin answered 304 for something that it was not asked about (RFC 9111, 4.3.4)",
            "Look at how the origin compares If-None-Match with its ETag; some other cache may answer in its place.",
        ),
        Failure::TooLarge => words(
            "the new body is larger than `store.memory.max_object`",
            "Raise `store: { memory: { max_object: ... } }`, or find out why the page has grown.",
        ),
        Failure::Guard(guard) => guard_broken(guard),
        Failure::NotFoundStorm(status) => words(
            &format!(
                "the origin answered {status} for ten pages of the route or more within a minute: something else answers \
                 in the application's place"
            ),
            "Look whether the application runs, and what is between it and Larder. If the pages are really gone, \
             invalidate them with `hard`.",
        ),
        Failure::Budget => words(
            "the origin was not asked: the route has had its renders of this minute (`renders_per_minute`)",
            "Raise `renders_per_minute` of the route if the origin can bear more, or find out who asks for so many pages.",
        ),
        Failure::Shed => words(
            "the origin was not asked: too many wait for it already, or its circuit breaker is open",
            "Give the origin more under `renders` or `refreshes` if it can bear more; else it needs help itself.",
        ),
        Failure::Internal => words("Larder itself stumbled over it", "Larder's log says more; please report it."),
    }
}

fn guard_broken(guard: Broken) -> Words {
    let (why, advice) = match guard {
        Broken::MinBytes => (
            "the new version is smaller than any page of the route (`guard.min_bytes`)",
            "Look whether the page is whole; if it is, lower `min_bytes`.",
        ),
        Broken::MaxShrink => (
            "the new version has lost more than a page does from one version to the next (`guard.max_shrink`)",
            "Look at what is missing; if that was meant, invalidate the page with `hard`, and it starts anew.",
        ),
        Broken::MustContain => (
            "the new version lacks what every page of the route has in it (`guard.must_contain`)",
            "Look whether the page is whole; if it is, take out of `must_contain` what pages need not have.",
        ),
        Broken::MustNotContain => (
            "the new version has something in it that no page of the route has (`guard.must_not_contain`)",
            "Look into the origin's log: the page most likely says that something went wrong.",
        ),
        Broken::ContentType => (
            "the new version is of another type than pages of the route are (`guard.content_type`)",
            "Look at the Content-Type that the origin sends for this page.",
        ),
    };
    words(why, advice)
}

fn status_failed(status: u16) -> Words {
    match status {
        500.. => words(
            &format!("the origin answered {status}, an error of its own"),
            "Look into the origin's log for this page.",
        ),
        401 | 403 | 407 => words(
            &format!("the origin answered {status}: it wants a login, and for an hour of that a public page is kept"),
            "If the page is not public any more, invalidate it with `hard`; if it is, let Larder's requests in.",
        ),
        408 | 425 | 429 => words(
            &format!("the origin answered {status}: it has too much to do"),
            "Lower `refreshes: { max_concurrent: ... }` of the origin, or raise its limit for requests of Larder's.",
        ),
        404 | 410 => words(
            &format!("the origin answered {status}, which does not replace this page (`keep_on`)"),
            "If the page is really gone, take the status out of `keep_on`, or invalidate it with `hard`.",
        ),
        400..=499 => words(
            &format!("the origin answered {status}: it does not like the request that Larder sends for this page"),
            "Ask the origin for the page without cookies: so does Larder.",
        ),
        300..=399 => words(
            &format!("the origin answered {status}, a redirect without a lifetime of its own in the place of a page"),
            "If the redirect is meant, have the origin send it with `Cache-Control: s-maxage=60`; a login page \
             instead of a public one is an error at the origin.",
        ),
        _ => words(
            &format!("the origin answered {status}, which is no page"),
            "Look at why the origin answers so to a GET.",
        ),
    }
}

/// A sentence as a part of another.
fn clause(sentence: &str) -> String {
    let mut letters = sentence.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// A clause as a sentence.
pub(in crate::admin) fn sentence(clause: &str) -> String {
    let mut letters = clause.trim_end_matches('.').chars();
    let text: String = letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    format!("{text}.")
}

/// A span for people, in its largest whole unit: `57 s`, `4 min`, `2 h`, `3 days`.
pub(in crate::admin) fn span(seconds: u64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

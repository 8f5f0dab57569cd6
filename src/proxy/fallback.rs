//! Pages that are not generated yet (semantics 25 and 26): 404 for what is on no list, and the shell that stands for a
//! page while it is generated.

use super::lookup::Asked;
use super::site::Site;
use super::synthetic::Own;
use bytes::{Bytes, BytesMut};
use engine::store::Head;
use engine::{Answer, Visit};
use http::StatusCode;
use semantics::policy::Fallback;
use semantics::{CacheStatus, crawler, page};

/// What is done about a page that is not stored.
pub(super) enum Instead {
    /// Nothing: he waits for it.
    Wait,
    NotFound(Own),
    Shell(Shell),
}

/// A page that stands for another.
pub(super) struct Shell {
    pub(super) head: Head,
    pub(super) body: Bytes,
}

/// What stands for a page that is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn<'v> {
    /// 404: it is on no list of its route.
    NotListed,
    /// The page at this path.
    Shell(&'v str),
}

impl Site {
    /// What a visitor gets in the place of a page that he would have to wait for. With a shell, its generation is started.
    pub(super) async fn instead(&self, visit: &Visit<'_>) -> Instead {
        match self.stand_in(visit) {
            None => Instead::Wait,
            Some(StandIn::NotListed) => Instead::NotFound(not_found()),
            Some(StandIn::Shell(path)) => {
                self.engine.start(visit);
                self.shell(visit, path).await.map_or(Instead::Wait, Instead::Shell)
            }
        }
    }

    /// What a visitor would get in the place of a page that is not stored; `None`: he waits for it.
    pub fn stand_in<'v>(&self, visit: &Visit<'v>) -> Option<StandIn<'v>> {
        match &visit.route.policy.fallback {
            Fallback::NotFound if self.is_unlisted(visit) && !self.engine.is_stored(visit) => Some(StandIn::NotListed),
            Fallback::Shell(path) if takes_a_shell(visit, path) && self.engine.is_unknown(visit) => {
                Some(StandIn::Shell(path))
            }
            Fallback::Blocking | Fallback::NotFound | Fallback::Shell(_) => None,
        }
    }

    fn is_unlisted(&self, visit: &Visit<'_>) -> bool {
        let Some(listed) = self.lists.of(&visit.route.name) else { return false };
        !listed.has(self.listed_under(visit.request.host), visit.request.path)
    }

    /// The host under which pages are listed: without `hosts` a list is for all of them.
    pub fn listed_under<'h>(&self, host: &'h str) -> &'h str {
        if self.hosts.sites.is_empty() { "" } else { host }
    }

    /// The shell, from the cache like any page; `None` when there is none to be had.
    async fn shell(&self, visit: &Visit<'_>, path: &str) -> Option<Shell> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let asked = Asked { scheme: visit.request.scheme, host: Some(visit.request.host), path, query, fields: &[] };
        let shell = whole(self.visit(&asked).await.ok()?).await.filter(|shell| shell.head.status() == StatusCode::OK);
        if shell.is_none() && visit.route.may_log(self.engine.clock.now()) {
            tracing::warn!(route = %visit.route.name, shell = path, "the shell cannot be had, or may not be stored: visitors wait for the page itself");
        }
        shell
    }
}

/// Crawlers would index the shell, and a script that asks for a page's data cannot show it.
fn takes_a_shell(visit: &Visit<'_>, shell: &str) -> bool {
    let request = visit.request;
    let data = visit.facts.rsc || visit.facts.keyed_group || page::pages_of(request.path).len() > 1;
    let crawler = request.field("user-agent").is_some_and(crawler::is_crawler);
    let itself = request.path == shell.split('?').next().unwrap_or(shell);
    !data && !crawler && !itself && visit.facts.range.is_none() && !visit.facts.only_if_cached
}

/// A shell, in bytes: it is held as a whole.
const SHELL_AT_MOST: usize = 4 << 20;

/// An answer, when all of it is there.
async fn whole(answer: Answer) -> Option<Shell> {
    match answer {
        Answer::Served(served) => {
            // A shell that is too large to be held is none.
            let body = served.response.body.held()?.clone();
            Some(Shell { head: served.response.head.clone(), body })
        }
        // What is not to be stored would be fetched for every visitor.
        Answer::Stream { status: CacheStatus::Forwarded { stored: false, collapsed: false, .. }, .. } => None,
        Answer::Stream { opened, mut watcher, .. } => {
            let mut body = BytesMut::new();
            while let Some(chunk) = watcher.chunk().await.ok()? {
                body.extend_from_slice(&chunk);
                if body.len() > SHELL_AT_MOST {
                    return None;
                }
            }
            Some(Shell { head: opened.head.clone(), body: body.freeze() })
        }
        Answer::Failed { .. } | Answer::Pass(..) | Answer::Unsatisfiable => None,
    }
}

fn not_found() -> Own {
    Own::new(
        StatusCode::NOT_FOUND,
        "There is no such page.",
        "Check the address: this part of the site has the pages of its list, and no others.",
        "not-listed",
    )
}

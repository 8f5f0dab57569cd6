//! A look at the cache from the side, as a visit would find it: for operators, and for what an unsafe method leaves behind.

use super::site::Site;
use engine::inspect::Below;
use engine::invalidate::{Invalidation, NotKept};
use engine::{
    Answer, Failed, Invalidated, NotPutBack, NotUnpinned, Prerendered, PutBack, Regenerated, Route, Step, Unless,
    Version, Visit,
};
use semantics::{Facts, Field, Forward, Method, Request, Scheme, decision};
use std::borrow::Cow;
use std::sync::Arc;

/// A GET that is only thought of.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub scheme: Scheme,
    /// `None`: the site's first host; without `hosts` the only one that visitors ask for, or else the origin's.
    pub host: Option<&'a str>,
    /// As a client would send it.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub fields: &'a [Field<'a>],
}

/// The host is none of ours (`hosts`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownHost;

/// Why a page was not regenerated.
#[derive(Clone, Debug)]
pub enum RegenerateError {
    UnknownHost,
    /// Without `hosts`, so many hold entries already that no further one may.
    TooManyHosts,
    /// Requests for it do not go through the cache.
    Passed(Forward),
    Failed(Arc<Failed>),
}

struct Looked<'a> {
    request: Request<'a>,
    facts: Facts<'a>,
    route: &'a Arc<Route>,
    query: Option<Cow<'a, str>>,
    key: Vec<u8>,
    hash: engine::store::KeyHash,
}

impl Looked<'_> {
    fn visit(&self) -> Visit<'_> {
        Visit {
            request: &self.request,
            facts: &self.facts,
            route: self.route,
            query: self.query.as_deref(),
            key: &self.key,
            hash: self.hash,
        }
    }
}

impl Site {
    /// Calls `then` with the visit that this request would be.
    ///
    /// # Errors
    /// The host is none of ours.
    pub fn with_visit<T>(&self, asked: &Asked<'_>, then: impl FnOnce(&Visit<'_>) -> T) -> Result<T, UnknownHost> {
        let host = self.host_of(asked).ok_or(UnknownHost)?;
        Ok(then(&self.look_up(&host, asked).visit()))
    }

    /// Brings what is stored for this request into memory.
    pub(super) async fn recall(&self, asked: &Asked<'_>) {
        let Some(host) = self.host_of(asked) else { return };
        let looked = self.look_up(&host, asked);
        self.engine.recall(&looked.visit()).await;
    }

    /// What lies on the disk for this request, for a look at it.
    pub async fn below(&self, asked: &Asked<'_>) -> Below {
        let Some(host) = self.host_of(asked) else { return Below::default() };
        let looked = self.look_up(&host, asked);
        self.engine.below(&looked.visit()).await
    }

    /// The versions of what is stored for this request, and how many its route keeps.
    ///
    /// # Errors
    /// The host is none of ours.
    pub async fn versions(&self, asked: &Asked<'_>) -> Result<(Vec<Version>, u16), UnknownHost> {
        let host = self.host_of(asked).ok_or(UnknownHost)?;
        let looked = self.look_up(&host, asked);
        Ok((self.engine.versions(&looked.visit()).await, looked.route.policy.history))
    }

    /// Puts one of them back: see [`engine::Engine::put_back`].
    ///
    /// # Errors
    /// The host is none of ours; inside of that, there is no such version.
    pub async fn put_back(
        &self,
        asked: &Asked<'_>,
        id: u64,
        pin: bool,
    ) -> Result<Result<PutBack, NotPutBack>, UnknownHost> {
        let host = self.host_of(asked).ok_or(UnknownHost)?;
        let looked = self.look_up(&host, asked);
        Ok(self.engine.put_back(&looked.visit(), id, pin).await)
    }

    /// Unpins what is stored for this request: see [`engine::Engine::unpin`].
    ///
    /// # Errors
    /// The host is none of ours; inside of that, it is not pinned.
    pub async fn unpin(&self, asked: &Asked<'_>) -> Result<Result<bool, NotUnpinned>, UnknownHost> {
        let host = self.host_of(asked).ok_or(UnknownHost)?;
        let looked = self.look_up(&host, asked);
        Ok(self.engine.unpin(&looked.visit()).await)
    }

    /// Renders a page now, and returns when it is stored.
    ///
    /// # Errors
    /// Why it could not be; what is stored stays.
    pub async fn regenerate(&self, asked: &Asked<'_>) -> Result<Regenerated, RegenerateError> {
        let host = self.host_of(asked).ok_or(RegenerateError::UnknownHost)?;
        let looked = self.look_up(&host, asked);
        decision::admit(&looked.request, &looked.facts, &looked.route.policy).map_err(RegenerateError::Passed)?;
        if self.hosts.sites.is_empty() && !self.known_hosts.admit(&host, self.engine.clock.now()) {
            return Err(RegenerateError::TooManyHosts);
        }
        self.engine.regenerate(&looked.visit()).await.map_err(RegenerateError::Failed)
    }

    /// Answers a visit that no client makes: what one would get.
    ///
    /// # Errors
    /// The host is none of ours.
    pub(super) async fn visit(&self, asked: &Asked<'_>) -> Result<Answer, UnknownHost> {
        let host = self.host_of(asked).ok_or(UnknownHost)?;
        let looked = self.look_up(&host, asked);
        if let Err(why) = decision::admit(&looked.request, &looked.facts, &looked.route.policy) {
            return Ok(Answer::Pass(why, None));
        }
        let visit = looked.visit();
        Ok(match self.engine.begin(&visit, self.engine.clock.now()) {
            Step::Serve(served) => Answer::Served(served),
            Step::Pass(why) => Answer::Pass(why, None),
            Step::Unsatisfiable => Answer::Unsatisfiable,
            Step::Wait => {
                self.engine.recall(&visit).await;
                self.engine.answer(&visit).await
            }
        })
    }

    /// Generates a page before anybody asks for it. `host` is one of [`Site::homes`]; `deployment`: whose page, where it is not
    /// that of the one that is served.
    pub async fn prerender(&self, asked: &Asked<'_>, unless: Unless, deployment: Option<&str>) -> Prerendered {
        let Some(host) = self.host_of(asked) else { return Prerendered::NotStored("unknown-host") };
        let mut looked = self.look_up(&host, asked);
        if let Some(deployment) = deployment {
            (looked.hash, looked.key) = self.engine.rekeyed(&looked.key, deployment);
        }
        if decision::admit(&looked.request, &looked.facts, &looked.route.policy).is_err() {
            return Prerendered::NotStored("bypass");
        }
        let done = self.engine.prerender(&looked.visit(), unless).await;
        if self.hosts.sites.is_empty() && matches!(done, Prerendered::Stored { .. }) {
            self.shared.note(&looked.route.name);
        }
        done
    }

    /// Invalidates. Without `hosts` pages that are stored for every host are those of each.
    ///
    /// # Errors
    /// It could not be kept, and nothing was invalidated.
    pub fn invalidate(&self, all: &[Invalidation]) -> Result<Invalidated, NotKept> {
        let mut all = all.to_vec();
        if self.hosts.sites.is_empty() && self.shared.any() {
            let named: Vec<Invalidation> = all.iter().filter(|one| one.host.is_some()).cloned().collect();
            for authority in &self.hosts.authorities {
                let for_all = |one: &Invalidation| Invalidation { host: Some(authority.clone()), ..one.clone() };
                all.extend(named.iter().map(for_all));
            }
        }
        self.engine.invalidate(&all)
    }

    /// Pages of this route may be stored for every host since before a restart.
    pub fn may_be_shared(&self, route: &Arc<str>) {
        if self.engine.outlives_restarts() {
            self.shared.note(route);
        }
    }

    /// Whether visitors ask for this host, without `hosts`.
    pub fn is_known(&self, host: &str) -> bool {
        self.known_hosts.has(host)
    }

    fn host_of<'a>(&'a self, asked: &'a Asked<'_>) -> Option<Cow<'a, str>> {
        if asked.host.is_none()
            && self.hosts.sites.is_empty()
            && let Some(only) = self.known_hosts.only()
        {
            return Some(Cow::Owned(only));
        }
        let first = || self.hosts.sites.first().and_then(|site| site.first()).map(String::as_str);
        self.hosts.canonical(asked.host.or_else(first), asked.scheme)
    }

    fn look_up<'a>(&'a self, host: &'a str, asked: &'a Asked<'a>) -> Looked<'a> {
        let Asked { scheme, path, query, fields, .. } = *asked;
        let request = Request { method: Method::Get, scheme, host, path, query, fields };
        let facts = Facts::of(fields);
        let route = self.routes.find("GET", host, path);
        let query = self.engine.query(&request, &facts, route);
        let mut key = Vec::new();
        let hash = self.engine.key(&request, &facts, &route.policy, query.as_deref(), &mut key);
        Looked { request, facts, route, query, key, hash }
    }
}

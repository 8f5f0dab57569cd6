//! A GET as the engine is asked about it: the request, and everything that a visit borrows of it.

use engine::store::KeyHash;
use engine::{Engine, Route, Visit, keyed_query};
use semantics::{Facts, Field, Method, Request, Scheme};
use std::borrow::Cow;
use std::sync::Arc;

/// Whom a request is for that has no field `host`.
pub const HOST: &str = "example.test";

pub struct Asking<'a> {
    pub request: Request<'a>,
    pub facts: Facts<'a>,
    pub route: &'a Arc<Route>,
    query: Option<Cow<'a, str>>,
    key: Vec<u8>,
    hash: KeyHash,
}

impl<'a> Asking<'a> {
    pub fn new(engine: &Engine, route: &'a Arc<Route>, target: &'a str, fields: &'a [Field<'a>]) -> Self {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let named = fields.iter().find(|f| f.is("host")).and_then(|f| std::str::from_utf8(f.value).ok());
        let host = named.unwrap_or(HOST);
        let request = Request { method: Method::Get, scheme: Scheme::Http, host, path, query, fields };
        let facts = Facts::of(fields);
        let query = keyed_query(&request, &facts, &route.policy);
        let mut key = Vec::new();
        let hash = engine.key(&request, &facts, &route.policy, query.as_deref(), &mut key);
        Asking { request, facts, route, query, key, hash }
    }
}

impl Asking<'_> {
    pub fn visit(&self) -> Visit<'_> {
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

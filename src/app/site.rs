//! From a configuration to what connections need to know, at the start and at every reload.

use super::storage::Storage;
use crate::access::AccessLog;
use crate::admin::{Scope, Token, Tokens, Vendor};
use crate::config::{self, Config};
use crate::origin::forwarding::Identity;
use crate::origin::{self, Client, Concurrency};
use crate::prerender::Plan;
use crate::proxy::{Hosts, KnownHosts, Matcher, PassedGate, Routes, Site, TagTemplate, Trust, tags_of};
use engine::gate::GateSettings;
use engine::{Clock, DeploymentSettings, Engine, Metrics, OriginSettings, Route};
use semantics::policy::Fallback;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What requests that match no route are called.
pub(super) const UNMATCHED: &str = "unmatched";

/// What is there once, whatever is reloaded.
pub(super) struct Foundations {
    pub(super) client: Arc<Client>,
    pub(super) identity: Identity,
    pub(super) access: AccessLog,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) storage: Storage,
}

pub(super) fn first(config: &Config, foundations: Foundations) -> Site {
    let Foundations { client, identity, access, clock, metrics, storage } = foundations;
    let settings = engine::Settings {
        deployment: config.deployment.id.clone(),
        store: storage.store,
        origins: config.origins.iter().map(origin_settings).collect(),
        seed: storage.seed,
        journal: storage.journal,
    };
    Site {
        routes: routes(config, &metrics),
        hosts: hosts(config),
        trust: trust(config),
        limits: config.limits,
        may_purge: config.admin.purge_from.clone(),
        engine: Engine::new(settings, client, metrics, clock),
        identity,
        gate: PassedGate::new(config.origins.iter().map(|o| &o.passed)),
        draining: Arc::new(AtomicBool::new(false)),
        known_hosts: Arc::new(KnownHosts::default()),
        lists: Arc::default(),
        shared: Arc::default(),
        access,
    }
}

fn trust(config: &Config) -> Trust {
    let tls = config.listeners.iter().any(|listener| listener.tls.is_some());
    Trust { proxies: config.trusted_proxies.clone(), tls }
}

/// The same site by another configuration. What is stored, and what runs, stays.
pub(super) fn next(config: &Config, before: &Site) -> Site {
    Site {
        routes: routes(config, &before.engine.metrics),
        hosts: hosts(config),
        trust: trust(config),
        limits: config.limits,
        may_purge: config.admin.purge_from.clone(),
        ..before.clone()
    }
}

fn routes(config: &Config, metrics: &Metrics) -> Routes {
    let routes = config.routes.iter().map(|r| {
        let route = Route::new(&r.name, r.policy.clone(), r.origin, metrics);
        (r.matcher.clone(), Arc::new(tagged(route, &r.matcher, &r.tags)))
    });
    let unmatched = Route::new(UNMATCHED, config.unmatched.clone(), 0, metrics);
    Routes {
        routes: routes.collect(),
        unmatched: Arc::new(tagged(unmatched, &Matcher::default(), &config.unmatched_tags)),
    }
}

pub(super) fn deployment(config: &Config) -> DeploymentSettings {
    let config::Deployment { id, keep, bridge } = config.deployment.clone();
    DeploymentSettings { id, keep, bridge }
}

/// The routes that have pages to generate before anybody asks.
pub(super) fn plans(config: &Config) -> Vec<Plan> {
    let plan = |route: &config::RouteConfig| {
        let settings = route.prerender.clone()?;
        let closed = route.policy.fallback == Fallback::NotFound;
        let matching = format!("{:?} {:?} {:?}", route.matcher, config.hosts, config.trusted_proxies);
        Some(Plan { route: Arc::from(route.name.as_str()), settings, closed, matching })
    };
    config.routes.iter().filter_map(plan).collect()
}

fn tagged(route: Route, matcher: &Matcher, templates: &[TagTemplate]) -> Route {
    if templates.is_empty() {
        return route;
    }
    let (matcher, templates) = (matcher.clone(), templates.to_vec());
    route.tagged(Box::new(move |path| tags_of(&matcher, &templates, path)))
}

fn hosts(config: &Config) -> Hosts {
    let authority = |origin: &origin::Settings| origin.servers.first().map(origin::ServerSettings::authority);
    let authorities = config.origins.iter().map(|origin| authority(origin).unwrap_or_default());
    Hosts { sites: config.hosts.clone(), authorities: authorities.collect() }
}

fn origin_settings(origin: &origin::Settings) -> OriginSettings {
    let gate = |c: Concurrency| GateSettings { max_concurrent: c.max_concurrent, queue: c.queue };
    OriginSettings {
        name: Arc::from(origin.name.as_str()),
        renders: gate(origin.renders),
        refreshes: gate(origin.refreshes),
        total: origin.timeouts.total,
        between_bytes: origin.timeouts.between_bytes,
        passed_idle: origin.passed.idle,
    }
}

/// The token that may do everything, whoever made it, those that may do less, and whose calls they may be sent in.
pub(super) fn tokens(settings: &config::Admin, generated: Option<&str>) -> Tokens {
    let full = settings.token.as_deref().or(generated);
    let full = full.map(|token| Token { secret: token.to_owned(), scope: Scope::Full });
    let lesser = settings.tokens.iter().map(|scoped| {
        let scope = match scoped.scope {
            config::Scope::Revalidate => Scope::Revalidate,
            config::Scope::Read => Scope::Read,
        };
        Token { secret: scoped.token.clone(), scope }
    });
    let compat = settings.compat.iter().map(|product| match product {
        config::Compat::Fastly => Vendor::Fastly,
        config::Compat::Cloudflare => Vendor::Cloudflare,
    });
    Tokens::new(full.into_iter().chain(lesser).collect(), compat.collect())
}

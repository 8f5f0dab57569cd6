//! Composition: from a configuration to a running Larder, and from a signal to its end.

use crate::access::{self, AccessLog};
use crate::admin::{Admin, Call, Face, Scope, Token, Tokens};
use crate::config::{self, Config};
use crate::origin::forwarding::Identity;
use crate::origin::{self, Client, Concurrency};
use crate::proxy::{
    Hosts, KnownHosts, Listener, Matcher, Passed, PassedGate, Routes, Site, TagTemplate, Trust, bind, tags_of,
};
use crate::service;
use engine::guard::GateSettings;
use engine::{Clock, Engine, Metrics, OriginSettings, Route};
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What keeps Larder from starting: a port that is taken, say.
#[derive(Debug)]
pub struct CannotRun(pub String);

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CannotRun {}

/// A running Larder.
pub struct App {
    listener: Arc<Listener>,
    admin: Arc<Admin>,
    generated_token: Option<String>,
    shutdown: watch::Sender<bool>,
    drain: std::time::Duration,
}

impl App {
    /// Binds every address, then starts. Nothing runs if one of them cannot be had.
    ///
    /// # Errors
    /// Names the address and what the system says of it.
    pub async fn start(config: Config) -> Result<App, CannotRun> {
        let fronts = config.listeners.iter().map(|a| listen(*a, "listen")).collect::<Result<Vec<_>, _>>()?;
        let admin_socket = listen(config.admin.listen, "admin.listen")?;
        let metrics_socket = config.metrics_listen.map(|a| listen(a, "metrics.listen")).transpose()?;
        let listening: Vec<SocketAddr> = fronts.iter().filter_map(|s| s.local_addr().ok()).collect();

        let generated_token = config.admin.token.is_none().then(random_token).transpose()?;
        let seed = seed();
        let clock = Clock::system();
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let access = access_log(&config.access, &clock, &metrics)?;
        let identity = Identity::new(seed);
        let client = Arc::new(Client::new(&config.origins, identity.clone(), &clock, &metrics).await);
        let site = Arc::new(site(&config, &client, identity, access, clock, metrics, seed));
        let admin = Arc::new(Admin {
            site: site.clone(),
            origins: client.origins().to_vec(),
            listening,
            address: admin_socket.local_addr().unwrap_or(config.admin.listen),
            tokens: tokens(&config.admin, generated_token.as_deref()),
            process: u64::from_ne_bytes(random()?),
            ready: AtomicBool::new(false),
            started: site.engine.clock.now(),
            memory_max: config.store.max_size,
        });
        serve_admin(&admin, admin_socket, Face::Admin);
        if let Some(socket) = metrics_socket {
            serve_admin(&admin, socket, Face::Metrics);
        }
        let (shutdown, watch) = watch::channel(false);
        // One retry is ours to decide (fail_to_connect); pingora's own default is 16.
        let conf = Arc::new(ServerConf { max_retries: 2, ..ServerConf::default() });
        let proxy = Arc::new(http_proxy(&conf, Passed::new(site.clone(), client.origins().to_vec())));
        let listener = Listener::start(site, proxy, watch, fronts);
        admin.ready.store(true, Ordering::Relaxed);
        Ok(App { listener, admin, generated_token, shutdown, drain: config.drain })
    }

    /// Where clients are served.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.admin.listening
    }

    /// The admin token that was made because the configuration has none.
    pub fn generated_token(&self) -> Option<&str> {
        self.generated_token.as_deref()
    }

    /// Stops accepting, lets running requests end, and returns as soon as none is left.
    pub async fn stop(&self) {
        let _ = self.shutdown.send(true);
        self.listener.drain(self.drain).await;
    }

    /// Opens the access log's file anew, after it was moved away.
    pub fn reopen_logs(&self) {
        self.admin.site.access.reopen();
    }
}

impl Drop for App {
    /// However Larder leaves: what was logged is written, if that takes no longer than a moment.
    fn drop(&mut self) {
        self.admin.site.access.flush();
    }
}

fn access_log(settings: &access::Settings, clock: &Clock, metrics: &Metrics) -> Result<AccessLog, CannotRun> {
    AccessLog::start(settings, clock.clone(), metrics.access_log_dropped.clone()).map_err(|error| {
        let where_to = match &settings.output {
            access::Output::File(path) => path.display().to_string(),
            access::Output::Off | access::Output::Stdout => "stdout".to_owned(),
        };
        CannotRun(format!(
            "cannot write the access log to {where_to} (`logging.access.output`): {error}; make its directory and let \
             Larder write there, or choose another file"
        ))
    })
}

fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, CannotRun> {
    bind(address).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another process listens there: stop it, or choose another port",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need the right to bind them",
            std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "check the address",
        };
        CannotRun(format!("cannot listen on {address} (`{key}`): {error}; {hint}"))
    })
}

fn site(
    config: &Config,
    client: &Arc<Client>,
    identity: Identity,
    access: AccessLog,
    clock: Clock,
    metrics: Arc<Metrics>,
    seed: u64,
) -> Site {
    let settings = engine::Settings {
        deployment: "default".to_owned(),
        store: config.store,
        origins: config.origins.iter().map(origin_settings).collect(),
        seed,
        keeper: Box::new(engine::invalidate::Volatile),
    };
    let routes = config.routes.iter().map(|r| {
        let route = Route::new(&r.name, r.policy.clone(), r.origin, &metrics);
        (r.matcher.clone(), Arc::new(tagged(route, &r.matcher, &r.tags)))
    });
    let routes = Routes {
        routes: routes.collect(),
        unmatched: Arc::new(tagged(
            Route::new("unmatched", config.unmatched.clone(), 0, &metrics),
            &Matcher::default(),
            &config.unmatched_tags,
        )),
    };
    let fallback = config.origins.first().and_then(|o| o.servers.first()).map(origin::ServerSettings::authority);
    Site {
        engine: Engine::new(settings, client.clone(), metrics, clock),
        routes,
        hosts: Hosts { sites: config.hosts.clone(), fallback: fallback.unwrap_or_default() },
        trust: Trust { proxies: config.trusted_proxies.clone() },
        limits: config.limits,
        identity,
        gate: PassedGate::new(config.origins.iter().map(|o| &o.passed)),
        draining: AtomicBool::new(false),
        known_hosts: KnownHosts::default(),
        may_purge: config.admin.purge_from.clone(),
        access,
    }
}

fn tagged(route: Route, matcher: &Matcher, templates: &[TagTemplate]) -> Route {
    if templates.is_empty() {
        return route;
    }
    let (matcher, templates) = (matcher.clone(), templates.to_vec());
    route.tagged(Box::new(move |path| tags_of(&matcher, &templates, path)))
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

fn serve_admin(admin: &Arc<Admin>, socket: TcpListener, face: Face) {
    let (gate, desk) = (admin.clone(), admin.clone());
    let admit = move |request: &service::Request| gate.admit(face, request);
    let answer = move |call: Call, request: service::Request| {
        let admin = desk.clone();
        async move { admin.answer(call, &request).await }
    };
    tokio::spawn(service::run(socket, admit, answer));
}

/// The token that may do everything, whoever made it, and those that may do less.
fn tokens(settings: &config::Admin, generated: Option<&str>) -> Tokens {
    let full = settings.token.as_deref().or(generated);
    let full = full.map(|token| Token { secret: token.to_owned(), scope: Scope::Full });
    let lesser = settings.tokens.iter().map(|scoped| {
        let scope = match scoped.scope {
            config::Scope::Revalidate => Scope::Revalidate,
            config::Scope::Read => Scope::Read,
        };
        Token { secret: scoped.token.clone(), scope }
    });
    Tokens::new(full.into_iter().chain(lesser).collect())
}

/// 32 hexadecimal digits.
fn random_token() -> Result<String, CannotRun> {
    Ok(format!("{:032x}", u128::from_ne_bytes(random()?)))
}

/// From the system.
fn random<const N: usize>() -> Result<[u8; N], CannotRun> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        CannotRun(format!("the system gives no random bytes, which the admin API needs to be safe: {error}"))
    })?;
    Ok(bytes)
}

/// Random enough that nobody outside can guess it: the standard library seeds its hashers from the system.
fn seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

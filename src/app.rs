//! Composition: from a configuration to a running Larder, and from a signal to its end.

use crate::admin::{Admin, Face};
use crate::config::Config;
use crate::origin::forwarding::Identity;
use crate::origin::{self, Client, Concurrency};
use crate::proxy::{Hosts, KnownHosts, Listener, Passed, PassedGate, Routes, Site, Trust, bind};
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

        let seed = seed();
        let clock = Clock::system();
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let identity = Identity::new(seed);
        let client = Arc::new(Client::new(&config.origins, identity.clone(), &clock, &metrics).await);
        let site = Arc::new(site(&config, &client, identity, clock, metrics, seed));
        let admin = Arc::new(Admin {
            site: site.clone(),
            origins: client.origins().to_vec(),
            listening,
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
        Ok(App { listener, admin, shutdown, drain: config.drain })
    }

    /// Where clients are served.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.admin.listening
    }

    /// Stops accepting, lets running requests end, and returns as soon as none is left.
    pub async fn stop(&self) {
        let _ = self.shutdown.send(true);
        self.listener.drain(self.drain).await;
    }
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
    clock: Clock,
    metrics: Arc<Metrics>,
    seed: u64,
) -> Site {
    let settings = engine::Settings {
        deployment: "default".to_owned(),
        store: config.store,
        origins: config.origins.iter().map(origin_settings).collect(),
        seed,
    };
    let routes = config.routes.iter().map(|r| {
        let route = Route::new(&r.name, r.policy.clone(), r.origin, &metrics);
        (r.matcher.clone(), Arc::new(route))
    });
    let routes = Routes {
        routes: routes.collect(),
        unmatched: Arc::new(Route::new("unmatched", config.unmatched.clone(), 0, &metrics)),
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
    }
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
    let admin = admin.clone();
    tokio::spawn(service::run(socket, move |request| {
        let admin = admin.clone();
        async move { admin.answer(face, &request) }
    }));
}

/// Random enough that nobody outside can guess it: the standard library seeds its hashers from the system.
fn seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

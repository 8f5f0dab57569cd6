//! Composition: from a configuration to a running Larder, and from a signal to its end.

mod reload;
mod site;
mod storage;

use crate::access::{self, AccessLog};
use crate::admin::{Admin, Call, Face};
use crate::config::{self, Config};
use crate::origin::Client;
use crate::origin::forwarding::Identity;
use crate::prerender::Prerender;
use crate::proxy::{Entrance, Listener, Passed, bind};
use crate::service;
use crate::tls::{self, Certificates};
use arc_swap::ArcSwap;
use engine::{Clock, Metrics};
use parking_lot::Mutex;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use reload::Reloading;
use site::Foundations;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::path::Path;
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
    reloading: Arc<Reloading>,
    shutdown: watch::Sender<bool>,
}

impl App {
    /// Binds every address, then starts. Nothing runs if one of them cannot be had. `file`: what a reload reads.
    ///
    /// # Errors
    /// Names the address and what the system says of it.
    pub async fn start(config: Config, file: Option<&Path>) -> Result<App, CannotRun> {
        let clock = Clock::system();
        let (entrances, certificates) = entrances(&config.listeners, &clock)?;
        let admin_socket = listen(config.admin.listen, "admin.listen")?;
        let metrics_socket = config.metrics_listen.map(|a| listen(a, "metrics.listen")).transpose()?;
        let listening: Vec<SocketAddr> = entrances.iter().filter_map(|e| e.socket.local_addr().ok()).collect();

        let generated_token = config.admin.token.is_none().then(random_token).transpose()?;
        let seed = seed();
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let access = access_log(&config.access, &clock, &metrics)?;
        let process = u64::from_ne_bytes(random()?);
        let storage = storage::open(&config, &clock, seed, process)?;
        let bad_frames = storage.bad_frames;
        let identity = Identity::new(seed);
        let client = Arc::new(Client::new(&config.origins, identity.clone(), &clock, &metrics).await);
        let (origins, memory_max, started) = (client.origins().to_vec(), config.store.max_size, clock.now());
        let address = admin_socket.local_addr().unwrap_or(config.admin.listen);
        let tokens = Arc::new(ArcSwap::from_pointee(site::tokens(&config.admin, generated_token.as_deref())));
        let origin = client.clone();
        let foundations = Foundations { client, identity, access, clock, metrics, storage };
        let current = Arc::new(ArcSwap::from_pointee(site::first(&config, foundations)));
        let engine = current.load().engine.clone();
        if let Err(error) = engine.configure(&site::deployment(&config)) {
            tracing::warn!(%error, "`deployment.id` counts when the other process has left");
        }
        engine.count_bad_frames(bad_frames);
        let prerender = Arc::new(Prerender::new(current.clone(), origin, listening.clone()));
        let plans = site::plans(&config);
        let reloading = Arc::new(Reloading {
            prerender: prerender.clone(),
            file: file.map(Path::to_owned),
            current: current.clone(),
            tokens: tokens.clone(),
            generated: generated_token,
            runtime: tokio::runtime::Handle::current(),
            running: Mutex::new(config),
            turn: Mutex::default(),
        });
        let reload = reloading.clone();
        let admin = Arc::new(Admin {
            current: current.clone(),
            reload: Box::new(move || reload.reload()),
            prerender: prerender.clone(),
            origins: origins.clone(),
            listening,
            address,
            tokens,
            process,
            ready: AtomicBool::new(false),
            scraping: tokio::sync::Mutex::default(),
            started,
            memory_max,
        });
        serve_admin(&admin, admin_socket, Face::Admin);
        if let Some(socket) = metrics_socket {
            serve_admin(&admin, socket, Face::Metrics);
        }
        let (shutdown, watch) = watch::channel(false);
        // One retry is ours to decide (fail_to_connect); pingora's own default is 16.
        let conf = Arc::new(ServerConf { max_retries: 2, ..ServerConf::default() });
        let proxy = Arc::new(http_proxy(&conf, Passed::new(origins.clone())));
        let listener = Listener::start(current, proxy, origins, watch, entrances, certificates);
        engine.start_storing().map_err(|error| CannotRun(format!("cannot start the disk store's threads: {error}")))?;
        prerender.plan(plans);
        admin.ready.store(true, Ordering::Relaxed);
        Ok(App { listener, admin, reloading, shutdown })
    }

    /// Where clients are served.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.admin.listening
    }

    /// The admin token that was made because the configuration has none.
    pub fn generated_token(&self) -> Option<&str> {
        self.reloading.generated.as_deref()
    }

    /// Stops accepting, lets running requests end, and returns as soon as none is left.
    pub async fn stop(&self) {
        let _ = self.shutdown.send(true);
        self.reloading.prerender.stop();
        self.listener.drain(self.reloading.drain()).await;
        let engine = self.admin.current.load().engine.clone();
        let _ = tokio::task::spawn_blocking(move || engine.leave()).await;
    }

    /// Reads the configuration again. What came of it is logged and counted.
    pub fn reload(&self) {
        // Not waited for: a signal to leave may come meanwhile.
        let reloading = self.reloading.clone();
        tokio::task::spawn_blocking(move || reloading.reload());
    }

    /// Opens the access log's file anew, after it was moved away.
    pub fn reopen_logs(&self) {
        self.admin.current.load().access.reopen();
    }
}

impl Drop for App {
    /// However Larder leaves: what was logged is written, if that takes no longer than a moment.
    fn drop(&mut self) {
        self.admin.current.load().access.flush();
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

/// Every address that clients come to, and the certificates that are shown there.
fn entrances(
    listeners: &[config::Listener],
    clock: &Clock,
) -> Result<(Vec<Entrance>, Vec<Arc<Certificates>>), CannotRun> {
    let (mut entrances, mut certificates) = (Vec::new(), Vec::new());
    for config::Listener { address, tls, redirect, h2c } in listeners {
        let acceptor = match tls {
            None => None,
            Some(settings) => {
                let cannot = |error: tls::Unusable| CannotRun(error.to_string());
                let read = Certificates::read(settings, clock.now()).map_err(cannot)?;
                certificates.push(read.clone());
                Some(tls::server(settings, read).map_err(cannot)?.into())
            }
        };
        entrances.push(Entrance { socket: listen(*address, "listen")?, tls: acceptor, redirect: *redirect, h2c: *h2c });
    }
    Ok((entrances, certificates))
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

fn serve_admin(admin: &Arc<Admin>, socket: TcpListener, face: Face) {
    let (gate, desk) = (admin.clone(), admin.clone());
    let admit = move |request: &service::Request| gate.admit(face, request);
    let answer = move |call: Call, request: service::Request| {
        let admin = desk.clone();
        async move { admin.answer(call, &request).await }
    };
    tokio::spawn(service::run(socket, admit, answer));
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

//! Listeners: accept, count, and close what has waited too long. Bound before anything else starts, so that a port in
//! use is an error with nothing half begun.

use super::conn::Conn;
use super::door::{Door, Visitor};
use super::front;
use super::http2;
use super::registry::{BUSY, Registry, Ticket, Watched};
use super::tunnel::Tunnels;
use super::{Current, Passed};
use crate::origin::Upstream;
use crate::tls::{self, Certificates};
use bytes::Bytes;
use parking_lot::Mutex;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// Connections that the kernel may hold for us until they are accepted.
const BACKLOG: u32 = 4096;

/// Binds an address.
///
/// # Errors
/// As the system says: the port is taken, the address is not ours, or the rights are missing.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A socket that takes connections, and what is spoken there.
pub struct Entrance {
    pub socket: TcpListener,
    pub tls: Option<TlsAcceptor>,
    /// Who comes without TLS is sent to this port, with it.
    pub redirect: Option<u16>,
    /// HTTP/2 may be spoken without TLS.
    pub h2c: bool,
}

/// Everything that listens.
pub struct Listener {
    registry: Arc<Registry>,
    door: Arc<Door>,
    accepting: Mutex<Vec<AbortHandle>>,
    next_id: AtomicU64,
    /// Connections at a time: `limits.connections`, or what the process's descriptors allow.
    most: usize,
}

/// How often certificates are looked at.
const LOOKED_AFTER: Duration = Duration::from_secs(1);

/// Descriptors that clients may not take: for the origin, the admin address and files.
const RESERVED: usize = 256;

/// The soft limit on open files, where the system tells it.
fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|l| l.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn affordable(wanted: usize) -> usize {
    let Some(limit) = descriptors() else { return wanted };
    // Of a very small limit, half.
    let most = limit.saturating_sub(RESERVED).max(limit / 2);
    if most < wanted {
        tracing::warn!(
            open_files = limit,
            connections = most,
            "`limits.connections` is {wanted}, but this process may open only so many files: raise its limit (ulimit -n, LimitNOFILE)"
        );
    }
    wanted.min(most)
}

impl Listener {
    pub fn start(
        site: Current,
        proxy: Arc<HttpProxy<Passed>>,
        origins: Vec<Arc<Upstream>>,
        shutdown: ShutdownWatch,
        entrances: Vec<Entrance>,
        certificates: Vec<Arc<Certificates>>,
    ) -> Arc<Self> {
        let most = affordable(site.load().limits.connections);
        let gauge = site.load().engine.metrics.connections.clone();
        let door = Door { site, proxy, tunnels: Tunnels::new(origins), shutdown };
        let registry = Arc::new(Registry { open: Mutex::default(), by_ip: Mutex::default(), gauge });
        let listener = Arc::new(Listener {
            registry,
            door: Arc::new(door),
            accepting: Mutex::default(),
            next_id: AtomicU64::new(0),
            most,
        });
        for entrance in entrances {
            let task = tokio::spawn(listener.clone().accept(Arc::new(entrance)));
            listener.accepting.lock().push(task.abort_handle());
        }
        if !certificates.is_empty() {
            let task = tokio::spawn(listener.clone().look_after(certificates));
            listener.accepting.lock().push(task.abort_handle());
        }
        let reaper = tokio::spawn(listener.clone().reap());
        listener.accepting.lock().push(reaper.abort_handle());
        listener
    }

    async fn accept(self: Arc<Self>, entrance: Arc<Entrance>) {
        loop {
            match entrance.socket.accept().await {
                Ok((stream, peer)) => self.admit(&entrance, stream, peer),
                Err(error) if is_this_connections(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: others must end first. A pause, so as not to spin.
                    tracing::warn!(%error, "connections cannot be accepted for a moment");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Certificates that change are read anew.
    async fn look_after(self: Arc<Self>, certificates: Vec<Arc<Certificates>>) {
        let certificates: Arc<[_]> = certificates.into();
        loop {
            tokio::time::sleep(LOOKED_AFTER).await;
            let (certificates, now) = (certificates.clone(), self.door.site.load().engine.clock.now());
            let look = move || certificates.iter().for_each(|one| one.refresh(now));
            let _ = tokio::task::spawn_blocking(look).await;
        }
    }

    fn admit(self: &Arc<Self>, entrance: &Arc<Entrance>, stream: TcpStream, peer: SocketAddr) {
        let site = self.door.site.load();
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let Some(counted) = self.count(peer.ip()) else { return };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let first = site.engine.clock.now().after(site.limits.idle_timeout);
        let watched = Arc::new(Watched { deadline: AtomicU64::new(first.as_micros()) });
        let ticket = Ticket { registry: self.registry.clone(), watched: watched.clone(), id, counted };
        self.registry.gauge.inc();
        // A hit is one write: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        let mut open = self.registry.open.lock();
        if open.len() >= self.most {
            drop(open);
            return;
        }
        let door = self.door.clone();
        let task = if entrance.tls.is_some() {
            tokio::spawn(secure(door, entrance.clone(), stream, peer, ticket))
        } else {
            let visitor = Visitor { peer, redirect: entrance.redirect };
            tokio::spawn(front::serve(door, Conn::Plain(stream), visitor, ticket, entrance.h2c))
        };
        open.insert(id, (watched, task.abort_handle()));
    }

    /// Counts a connection against its address's limit: `None` when it is one too many.
    fn count(&self, ip: IpAddr) -> Option<Option<IpAddr>> {
        let site = self.door.site.load();
        let Some(most) = site.limits.connections_per_ip else { return Some(None) };
        if site.trust.of(ip) {
            return Some(None);
        }
        let mut by_ip = self.registry.by_ip.lock();
        let n = by_ip.entry(ip).or_default();
        if *n >= most {
            return None;
        }
        *n += 1;
        Some(Some(ip))
    }

    /// Closes idle connections whose time has come.
    async fn reap(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.door.site.load().engine.clock.now().as_micros();
            self.close_where(|deadline| deadline < now);
        }
    }

    fn close_where(&self, overdue: impl Fn(u64) -> bool) {
        let closing: Vec<AbortHandle> = {
            let open = self.registry.open.lock();
            let due = open.values().filter(|(w, _)| overdue(w.deadline.load(Ordering::Relaxed)));
            due.map(|(_, task)| task.clone()).collect()
        };
        for task in closing {
            task.abort();
        }
    }

    /// Stops accepting, closes what is idle, and waits until nothing is open or the time is over.
    pub async fn drain(&self, at_most: Duration) {
        self.door.site.load().draining.store(true, Ordering::Relaxed);
        for task in self.accepting.lock().drain(..) {
            task.abort();
        }
        let finished = async {
            while !self.registry.open.lock().is_empty() {
                self.close_where(|deadline| deadline != BUSY);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(at_most, finished).await.is_err() {
            tracing::warn!("requests were still running at the end of `shutdown.drain`; they are cut off");
        }
    }
}

/// Shakes hands, in the time that a head may take, and serves what comes then.
async fn secure(door: Arc<Door>, entrance: Arc<Entrance>, stream: TcpStream, peer: SocketAddr, ticket: Ticket) {
    let Some(acceptor) = &entrance.tls else { return };
    let (patience, metrics) = {
        let site = door.site.load();
        (site.limits.header_timeout, site.engine.metrics.clone())
    };
    ticket.busy();
    let stream = match tokio::time::timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            metrics.handshake("failed");
            tracing::debug!(%error, "a client and Larder did not agree on TLS");
            return;
        }
        Err(_) => return metrics.handshake("too-slow"),
    };
    metrics.handshake("success");
    let http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2);
    let (conn, visitor) = (Conn::secure(stream), Visitor { peer, redirect: None });
    if http2 {
        Box::pin(http2::serve(door, conn, Bytes::new(), visitor, ticket)).await;
    } else {
        front::serve(door, conn, visitor, ticket, false).await;
    }
}

/// Errors of accept(2) that say something about one connection, not about us.
fn is_this_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

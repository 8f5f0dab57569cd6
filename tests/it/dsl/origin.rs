//! A scripted origin: raw HTTP/1.1 in the test's own process. It remembers every request as it came, and misbehaves in
//! all the ways that origins do.

use super::reply::{Act, Reply, Told, play};
use super::{Buffered, Lines, bound, in_time, joined, reserve, split_head};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub path: String,
    pub lines: Lines,
    pub body: Vec<u8>,
    pub at: Instant,
    /// 1 for the first request on its connection.
    pub nth: usize,
}

impl Seen {
    /// A field's value, several lines joined.
    pub fn field(&self, name: &str) -> Option<String> {
        joined(&self.lines, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether this occurs anywhere in it.
    fn mentions(&self, marker: &str) -> bool {
        let lines = self.lines.iter().any(|(name, value)| name.contains(marker) || value.contains(marker));
        lines || self.target.contains(marker) || self.method.contains(marker) || self.text().contains(marker)
    }

    /// How many lines there are of this field.
    fn count(&self, name: &str) -> usize {
        self.lines.iter().filter(|(n, _)| n == name).count()
    }
}

type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

struct Shared {
    scripts: Mutex<HashMap<String, Script>>,
    otherwise: Mutex<Option<Script>>,
    /// Paths whose requests are answered before their bodies are read.
    early: Mutex<HashSet<String>>,
    seen: Mutex<Vec<Seen>>,
    /// Told at every request.
    news: watch::Sender<()>,
    connections: Mutex<Vec<JoinHandle<()>>>,
    accepted: AtomicUsize,
    busy: AtomicUsize,
    peak: AtomicUsize,
}

/// A request that is not answered yet.
pub(super) struct Busy<'a>(&'a Shared);

impl<'a> Busy<'a> {
    fn new(shared: &'a Shared) -> Self {
        let now = shared.busy.fetch_add(1, Ordering::SeqCst) + 1;
        shared.peak.fetch_max(now, Ordering::SeqCst);
        Busy(shared)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Keeps an answer back until it is dropped or told.
pub struct Hold(watch::Sender<bool>);

impl Hold {
    pub fn release(self) {
        self.0.send_replace(true);
    }
}

/// A body in the test's hand. Dropped without an end, it is cut off.
pub struct Tap(mpsc::UnboundedSender<Told>);

impl Tap {
    pub fn send(&self, text: &str) {
        let _ = self.0.send(Told::Bytes(text.as_bytes().to_vec()));
    }

    pub fn end(self) {
        let _ = self.0.send(Told::End);
    }
}

/// An answer in the making; it counts from the end of the statement.
pub struct Page<'o> {
    origin: &'o Origin,
    path: String,
    reply: Option<Reply>,
}

impl Page<'_> {
    fn edit(mut self, edit: impl FnOnce(Reply) -> Reply) -> Self {
        self.reply = self.reply.take().map(edit);
        self
    }

    pub fn status(self, status: u16) -> Self {
        self.edit(|reply| reply.status(status))
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.edit(|reply| reply.header(name, value))
    }

    pub fn cache_control(self, value: &str) -> Self {
        self.edit(|reply| reply.cache_control(value))
    }

    pub fn etag(self, tag: &str) -> Self {
        self.edit(|reply| reply.etag(tag))
    }

    pub fn chunked(self) -> Self {
        self.edit(Reply::chunked)
    }

    /// Every answer waits until the hold is released.
    pub fn held(self) -> Hold {
        let (sender, receiver) = watch::channel(false);
        drop(self.edit(|reply| reply.held(receiver)));
        Hold(sender)
    }

    /// The body comes from the test, chunk by chunk, and once.
    pub fn tapped(self) -> Tap {
        let (sender, receiver) = mpsc::unbounded_channel();
        drop(self.edit(|reply| reply.act(Act::Tapped(Arc::new(Mutex::new(Some(receiver)))))));
        Tap(sender)
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            self.origin.answers(&self.path, reply);
        }
    }
}

pub struct Origin {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: Mutex<Option<JoinHandle<()>>>,
    _port: TcpSocket,
}

impl Origin {
    pub async fn start() -> Origin {
        let (port, address) = reserve();
        let shared = Shared {
            scripts: Mutex::default(),
            otherwise: Mutex::default(),
            early: Mutex::default(),
            seen: Mutex::default(),
            news: watch::Sender::new(()),
            connections: Mutex::default(),
            accepted: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        };
        let origin = Origin { shared: Arc::new(shared), address, listening: Mutex::default(), _port: port };
        origin.up();
        origin
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Listens, again after [`Origin::down`].
    pub fn up(&self) {
        let listener = bound(self.address).and_then(|socket| socket.listen(1024)).unwrap();
        let task = tokio::spawn(accept(self.shared.clone(), listener));
        *self.listening.lock().unwrap() = Some(task);
    }

    /// Refuses connections, and closes those that are open.
    pub async fn down(&self) {
        let listening = self.listening.lock().unwrap().take();
        if let Some(task) = listening {
            task.abort();
            let _ = task.await;
        }
        let connections: Vec<JoinHandle<()>> = self.shared.connections.lock().unwrap().drain(..).collect();
        for task in connections {
            task.abort();
            let _ = task.await;
        }
    }

    pub fn page(&self, path: &str, body: &str) -> Page<'_> {
        Page { origin: self, path: path.to_owned(), reply: Some(Reply::ok(body)) }
    }

    /// Answers a path always in the same way.
    pub fn answers(&self, path: &str, reply: Reply) {
        self.dynamic(path, move |_| reply.clone());
    }

    /// Answers a path as its requests ask.
    pub fn dynamic(&self, path: &str, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.shared.early.lock().unwrap().remove(path);
        self.shared.scripts.lock().unwrap().insert(path.to_owned(), Arc::new(script));
    }

    /// The nth request for this path, from 1 on.
    pub fn each(&self, path: &str, script: impl Fn(usize) -> Reply + Send + Sync + 'static) {
        let asked = AtomicUsize::new(0);
        self.dynamic(path, move |_| script(asked.fetch_add(1, Ordering::Relaxed) + 1));
    }

    /// Answers every path, instead of what was said of some of them before.
    pub fn everything(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.shared.scripts.lock().unwrap().clear();
        *self.shared.otherwise.lock().unwrap() = Some(Arc::new(script));
    }

    /// Sends the bodies of requests back while they arrive.
    pub fn echo(&self, path: &str) {
        self.answers(path, Reply::acting(Act::Echo));
        self.shared.early.lock().unwrap().insert(path.to_owned());
    }

    /// Every request for a path, in order.
    pub fn requests(&self, path: &str) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// The last request for a path.
    pub fn last(&self, path: &str) -> Seen {
        self.requests(path).pop().unwrap_or_else(|| panic!("nobody asked the origin for {path}"))
    }

    pub fn count(&self, path: &str) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|seen| seen.path == path).count()
    }

    /// Requests in all.
    pub fn total(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// Connections in all.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// The most requests that waited for their answers at the same time.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    /// Waits until a path was asked for so many times.
    pub async fn asked(&self, path: &str, times: usize) {
        let mut news = self.shared.news.subscribe();
        let arrival = async {
            while self.count(path) < times {
                let _ = news.changed().await;
            }
        };
        in_time(&format!("the origin is asked {times} times for {path}"), arrival).await;
    }

    /// Whether any request had this in it.
    pub fn heard(&self, marker: &str) -> bool {
        self.shared.seen.lock().unwrap().iter().any(|seen| seen.mentions(marker))
    }

    /// Every request had one Host, and at most one framing field with one meaning.
    #[track_caller]
    pub fn assert_canonical(&self) {
        for seen in self.shared.seen.lock().unwrap().iter() {
            assert_eq!(seen.count("host"), 1, "{seen:#?}");
            assert!(seen.count("content-length") + seen.count("transfer-encoding") <= 1, "{seen:#?}");
            if let Some(length) = seen.field("content-length") {
                assert_eq!(length.parse::<u64>().map(|n| n.to_string()).as_ref(), Ok(&length), "{seen:#?}");
            }
            if let Some(coding) = seen.field("transfer-encoding") {
                assert_eq!(coding, "chunked", "{seen:#?}");
            }
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        let task = tokio::spawn(connection(shared.clone(), stream));
        shared.connections.lock().unwrap().push(task);
    }
}

/// Serves a connection. What breaks off is the tests' business.
async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let mut io = Buffered::new(stream);
    let mut nth = 0;
    while let Ok(Some(head)) = io.head().await {
        nth += 1;
        if !matches!(exchange(&shared, &mut io, &head, nth).await, Ok(true)) {
            return;
        }
    }
}

/// `true`: the connection stays.
async fn exchange(shared: &Shared, io: &mut Buffered, head: &str, nth: usize) -> io::Result<bool> {
    let (first, lines) = split_head(head);
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let mut seen = Seen { method, target, path, lines, body: Vec::new(), at: Instant::now(), nth };
    let early = shared.early.lock().unwrap().contains(&seen.path);
    if seen.field("expect").is_some() {
        io.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    if !early {
        seen.body = whole_body(io, &seen).await?;
    }
    let busy = Busy::new(shared);
    shared.seen.lock().unwrap().push(seen.clone());
    shared.news.send_replace(());
    let script = shared.scripts.lock().unwrap().get(&seen.path).cloned();
    let script = script.or_else(|| shared.otherwise.lock().unwrap().clone());
    let reply = script.map_or_else(|| Reply::ok("no such page").status(404), |script| script(&seen));
    let mut reply = reply.to(&seen);
    sleep(reply.delay).await;
    if let Some(held) = &mut reply.held {
        let _ = held.wait_for(|released| *released).await;
    }
    play(reply, io, &seen, busy).await
}

async fn whole_body(io: &mut Buffered, seen: &Seen) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if seen.field("transfer-encoding").is_some() {
        while let Some(part) = io.chunk().await? {
            body.extend(part);
        }
    } else if let Some(length) = seen.field("content-length") {
        let length = length.parse().map_err(|_| io::Error::other(length.clone()))?;
        body = io.exactly(length).await?;
    }
    Ok(body)
}

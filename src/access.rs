//! The access log: one line for each request, in JSON or in the combined format.
//!
//! Lines wait in bounded buffers, one for each thread, and a thread of their own writes them: an output that is read
//! too slowly, or that has no room, costs lines and never a request. Those of one thread keep their order; those of
//! different threads may be a tenth of a second apart. What a request is, and who is believed about it, is not known
//! here.

mod format;
mod writer;

use engine::Clock;
use format::Second;
use http::Version;
use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;
use semantics::{Outcome, Timestamp};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use writer::Writer;

/// What the lines look like, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub format: Format,
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    /// nginx's and Apache's.
    Combined,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Off,
    Stdout,
    /// Appended to; created where it is missing.
    File(PathBuf),
}

/// One request and its answer. What is not known is empty. The bytes may be anything: they are escaped.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When the answer ended.
    pub time: Timestamp,
    pub remote: IpAddr,
    pub method: &'a [u8],
    pub host: &'a [u8],
    pub path: &'a [u8],
    /// Without `?`; none where `path` holds the whole target.
    pub query: Option<&'a [u8]>,
    /// `HTTP/1.1`, say.
    pub proto: &'static str,
    pub status: u16,
    /// Of the body, as far as it was sent.
    pub bytes: u64,
    /// From the request's head to the end of the answer.
    pub took: Duration,
    pub cache: Outcome,
    pub route: &'a str,
    pub user_agent: &'a [u8],
    pub referer: &'a [u8],
}

/// As other servers' logs call it.
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// Where requests are noted down. Cheap to clone; when the last clone is gone, the rest is written and the writer ends.
#[derive(Clone)]
pub struct AccessLog(Option<Arc<Queue>>);

/// So long may [`AccessLog::flush`] take: a reader that has stopped does not keep Larder from leaving.
const FLUSH_AT_MOST: Duration = Duration::from_secs(1);

impl AccessLog {
    /// Opens the output and starts its writer. The lines that nobody will read are counted in `dropped`.
    ///
    /// # Errors
    /// As the system says: the file cannot be opened, or there is no thread to be had.
    pub fn start(settings: &Settings, clock: Clock, dropped: Counter) -> io::Result<AccessLog> {
        let Some(output) = writer::open(&settings.output)? else { return Ok(AccessLog(None)) };
        let queue = Arc::new(Queue::new(settings.format, dropped));
        let writer = Writer::new(queue.clone(), output, clock);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run())?;
        Ok(AccessLog(Some(queue)))
    }

    /// Notes a request down, or counts it as dropped when there is no room. Waits for no output.
    pub fn log<'a>(&self, line: impl FnOnce() -> Line<'a>) {
        if let Some(queue) = &self.0 {
            queue.push(&line());
        }
    }

    /// Returns when everything that was logged before is written, after a second at the latest.
    pub fn flush(&self) {
        let Some(queue) = &self.0 else { return };
        let mut orders = queue.orders.lock();
        orders.asked += 1;
        let mine = orders.asked;
        queue.news.notify_all();
        queue.news.wait_while_for(&mut orders, |orders| orders.answered < mine, FLUSH_AT_MOST);
    }

    /// Opens a file anew, after it was moved away to be archived.
    pub fn reopen(&self) {
        if let Some(queue) = &self.0 {
            queue.orders.lock().reopen = true;
            queue.news.notify_all();
        }
    }
}

/// More than threads that serve clients, usually: then no two of them share a buffer.
const BUFFERS: usize = 64;
/// What one buffer holds, in bytes; its last line may go beyond.
const BUFFER_AT_MOST: usize = 1 << 20;
/// From here on the writer is not given its usual pause.
const FILLING_UP: usize = BUFFER_AT_MOST / 2;
/// How long lines are collected, to be written together.
const PAUSE: Duration = Duration::from_millis(100);

/// Lines on their way to the writer.
struct Queue {
    format: Format,
    buffers: [Mutex<Buffer>; BUFFERS],
    orders: Mutex<Orders>,
    news: Condvar,
    dropped: Counter,
}

/// Apart from its neighbours, so that threads do not fight over a line of their caches.
#[derive(Default)]
#[repr(align(64))]
struct Buffer {
    lines: Vec<u8>,
    second: Second,
}

/// What the writer is asked for.
#[derive(Clone, Copy, Default)]
struct Orders {
    /// A buffer is filling up.
    hurry: bool,
    reopen: bool,
    /// How often it was asked to write everything, and which of these it has done.
    asked: u64,
    answered: u64,
}

thread_local! {
    /// Threads in the order in which they first log.
    static NUMBER: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

impl Queue {
    fn new(format: Format, dropped: Counter) -> Self {
        Queue {
            format,
            buffers: std::array::from_fn(|_| Mutex::default()),
            orders: Mutex::default(),
            news: Condvar::new(),
            dropped,
        }
    }

    fn push(&self, line: &Line<'_>) {
        let mut buffer = self.buffers[NUMBER.with(|number| *number) % BUFFERS].lock();
        let before = buffer.lines.len();
        if before >= BUFFER_AT_MOST {
            drop(buffer);
            self.dropped.inc();
            return;
        }
        let Buffer { lines, second } = &mut *buffer;
        format::write(lines, self.format, line, second);
        let after = lines.len();
        drop(buffer);
        if before < FILLING_UP && after >= FILLING_UP {
            self.orders.lock().hurry = true;
            self.news.notify_all();
        }
    }

    /// Waits for orders, or until it is time to write.
    fn next_orders(&self) -> Orders {
        let mut orders = self.orders.lock();
        let none = |orders: &mut Orders| !orders.hurry && !orders.reopen && orders.answered == orders.asked;
        self.news.wait_while_for(&mut orders, none, PAUSE);
        let taken = *orders;
        orders.hurry = false;
        orders.reopen = false;
        taken
    }

    fn carried_out(&self, orders: Orders) {
        self.orders.lock().answered = orders.asked;
        self.news.notify_all();
    }
}

#[cfg(test)]
mod tests;

//! Makes content codings in the background: the first answers never wait for one. What is stored stays as it is; a coding is
//! made when a visitor asks for it of a page that is stored, once, at a level that a single answer could not afford.

mod stream;

pub use stream::Stream;

use crate::store::{InCoding, KeyHasher, Memory, Slot, StoredResponse};
use crate::{Engine, Metrics};
use bytes::Bytes;
use parking_lot::Mutex;
use semantics::coding::{Accepted, Coding};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use tokio::sync::Semaphore;

/// So many orders wait at most; further ones are made when somebody asks again.
const ORDERS: usize = 1024;
/// Larger bodies are coded with less effort, in bytes: the best levels take a second for every few hundred KiB.
const BEST_UP_TO: usize = 256 * 1024;
/// Bodies that do not become this much smaller, in percent, stay as they are.
const LEAST_GAIN: usize = 5;

type Order = (Weak<StoredResponse>, Coding);

/// So many are coded at once for one visitor each; the threads are those that wait for the disk, too.
const AT_ONCE: usize = 2;

/// Orders on their way to the thread that carries them out, and places for what is coded at once.
pub(crate) struct Coder {
    orders: Mutex<Option<SyncSender<Order>>>,
    at_once: Arc<Semaphore>,
}

impl Default for Coder {
    fn default() -> Self {
        Coder { orders: Mutex::default(), at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Engine {
    /// The coding for this visitor of a stored response, where it is made; where not, it is ordered.
    pub fn coding(&self, response: &Arc<StoredResponse>, accepted: Accepted, order: &[Coding]) -> Option<Coding> {
        let coding = accepted.best(order)?;
        if !response.coded.is_codable(&response.head, &response.body) {
            return None;
        }
        if response.coded.get(coding).is_some() {
            return Some(coding);
        }
        if response.coded.is_first_order(coding) {
            self.order(response, coding);
        }
        // Another one that he takes may be there.
        order.iter().copied().find(|other| accepted.takes(*other) && response.coded.get(*other).is_some())
    }

    /// A page that is asked for in some coding is so in its next version, too.
    pub(crate) fn code_again(&self, before: &StoredResponse, after: &Arc<StoredResponse>) {
        let wanted = Coding::ALL.into_iter().filter(|coding| before.coded.get(*coding).is_some());
        for coding in wanted.filter(|coding| after.coded.get(*coding).is_none()) {
            if after.coded.is_codable(&after.head, &after.body) && after.coded.is_first_order(coding) {
                self.order(after, coding);
            }
        }
    }

    /// The same for a visitor who does not take the body as it is: made at once, for him alone. `None`: too many are being made
    /// already, and he gets it as it is (RFC 9110, 12.5.3).
    pub async fn coded_at_once(&self, response: &Arc<StoredResponse>, coding: Coding) -> Option<InCoding> {
        let body = response.body.held()?.clone();
        let place = self.coder.at_once.clone().try_acquire_owned().ok()?;
        let cheaply = move || {
            let mut stream = Stream::new(coding)?;
            let mut made = stream.piece(&body)?;
            made.extend(stream.end()?);
            drop(place);
            io::Result::Ok(made)
        };
        let made = tokio::task::spawn_blocking(cheaply).await.ok()?.ok()?;
        Some(InCoding::for_one(&response.head, coding, made.into()))
    }

    fn order(&self, response: &Arc<StoredResponse>, coding: Coding) {
        let mut orders = self.coder.orders.lock();
        if orders.is_none() {
            *orders = self.start_coder();
        }
        let sent = orders.as_ref().map(|orders| orders.try_send((Arc::downgrade(response), coding)));
        if !matches!(sent, Some(Ok(()))) {
            response.coded.cancel(coding);
        }
        if matches!(sent, Some(Err(TrySendError::Disconnected(_)))) {
            *orders = None;
        }
    }

    fn start_coder(&self) -> Option<SyncSender<Order>> {
        let (sender, orders) = sync_channel(ORDERS);
        let (memory, hasher, metrics) = (self.store.memory().clone(), self.hasher, self.metrics.clone());
        let coder = std::thread::Builder::new().name("coder".to_owned());
        match coder.spawn(move || carry_out(&orders, &memory, hasher, &metrics)) {
            Ok(_) => Some(sender),
            Err(error) => {
                tracing::warn!(%error, "no thread for content codings: pages are served as they are");
                None
            }
        }
    }
}

fn carry_out(orders: &Receiver<Order>, memory: &Memory, hasher: KeyHasher, metrics: &Metrics) {
    // Visitors come first: this thread alone gives way to every other.
    let _ = rustix::process::nice(19);
    while let Ok((response, coding)) = orders.recv() {
        // What was replaced or evicted meanwhile is nobody's any more.
        let Some(response) = response.upgrade() else { continue };
        let Some(body) = response.body.held() else { continue };
        let made = match encode(coding, body) {
            Ok(made) => Some(made).filter(|made| made.len() < body.len() - body.len() * LEAST_GAIN / 100),
            Err(error) => {
                tracing::warn!(%error, coding = coding.as_str(), "a page could not be coded: it is served as it is");
                None
            }
        };
        metrics.store.coded(coding.as_str(), body.len(), made.as_ref().map_or(body.len(), Vec::len));
        let (made, hash) = (made.map(Bytes::from), hasher.hash(&response.key));
        response.coded.put(&response.head, coding, made.clone());
        memory.grew(hash, &response);
        // A page that is validated on every visit has the same body under another head by now.
        if let Some(Slot::Response(now)) = memory.peek(hash, &response.key)
            && !Arc::ptr_eq(&now, &response)
            && now.body.held().is_some_and(|other| std::ptr::eq(&raw const **other, &raw const **body))
        {
            now.coded.put(&now.head, coding, made);
            memory.grew(hash, &now);
        }
    }
}

/// A body in a coding, as small as it gets in reasonable time.
fn encode(coding: Coding, body: &[u8]) -> io::Result<Vec<u8>> {
    let small = body.len() <= BEST_UP_TO;
    match coding {
        Coding::Zstd => zstd::bulk::compress(body, if small { 19 } else { 12 }),
        Coding::Brotli => {
            let quality = if small { 11 } else { 9 };
            let mut out = Vec::with_capacity(body.len() / 3);
            let mut coder = brotli::CompressorWriter::new(&mut out, 16 * 1024, quality, 22);
            coder.write_all(body)?;
            drop(coder);
            Ok(out)
        }
        Coding::Gzip => {
            let out = Vec::with_capacity(body.len() / 3);
            let mut coder = flate2::write::GzEncoder::new(out, flate2::Compression::best());
            coder.write_all(body)?;
            coder.finish()
        }
    }
}

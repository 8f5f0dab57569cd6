//! The pages of a simulated site, and the moods of its origin.

use super::Rng;
use super::ledger::{Ledger, Sent};
use crate::support::{Act, Reply, Time, answer, millis};
use engine::origin::{Kind, OriginRequest};
use parking_lot::Mutex;
use semantics::settlement::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub const MAX_OBJECT: usize = 4_000;

#[derive(Clone, Debug)]
pub struct Page {
    pub path: String,
    pub isr: bool,
    pub window: Duration,
    /// How long after its generation it may be served stale.
    pub stale_for: Duration,
    pub never_stale: bool,
    /// By Accept-Language.
    pub varies: bool,
    /// How many of a hundred answers to nobody in particular are private.
    private: u64,
}

impl Page {
    /// A handful of pages of all kinds.
    pub fn some(rng: &mut Rng, may_vary: bool) -> Vec<Page> {
        let count = 3 + rng.below(5);
        (0..count).map(|n| Page::one(rng, n, may_vary)).collect()
    }

    fn one(rng: &mut Rng, n: u64, may_vary: bool) -> Page {
        let isr = rng.chance(50);
        let window = Duration::from_secs(if isr { 1 + rng.below(10) } else { rng.below(10) });
        let never_stale = !isr && rng.chance(20);
        let more = Duration::from_secs(rng.below(30));
        Page {
            path: format!("/{}{n}/", if isr { "isr" } else { "page" }),
            isr,
            window,
            stale_for: if never_stale { Duration::ZERO } else { window + more },
            never_stale,
            varies: may_vary && rng.chance(30),
            private: if rng.chance(30) { 10 + rng.below(60) } else { 0 },
        }
    }

    fn cache_control(&self) -> String {
        let window = self.window.as_secs();
        if self.isr {
            "public".to_owned()
        } else if self.never_stale {
            format!("s-maxage={window}, must-revalidate")
        } else {
            let more = self.stale_for.saturating_sub(self.window).as_secs();
            format!("s-maxage={window}, stale-while-revalidate={more}")
        }
    }
}

pub struct Moods {
    rng: Mutex<Rng>,
    ledger: Arc<Mutex<Ledger>>,
    time: Time,
    calm: AtomicBool,
}

impl Moods {
    pub fn new(seed: u64, ledger: Arc<Mutex<Ledger>>, time: Time) -> Self {
        Moods { rng: Mutex::new(Rng(seed)), ledger, time, calm: AtomicBool::new(false) }
    }

    /// From now on everything succeeds, and at once.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub fn act(&self, page: &Page, request: &OriginRequest) -> Act {
        let mut rng = self.rng.lock();
        if self.calm.load(Ordering::Relaxed) {
            return self.generation(page, request, &mut rng, false).into();
        }
        // Visitors' own requests are not the engine's to bound.
        if request.kind != Kind::Pass && rng.chance(25) {
            self.ledger.lock().trouble.insert(page.path.clone(), self.time.sync());
            return self.trouble(page, request, &mut rng);
        }
        let delay = match rng.below(10) {
            0..=5 => Duration::ZERO,
            6..=8 => millis(rng.below(400)),
            _ => millis(rng.below(2_000)),
        };
        if let Some(reply) = self.not_modified(page, request, &mut rng) {
            return reply.delay(delay).into();
        }
        let private = rng.chance(page.private);
        if private {
            // On an ISR route, that is a failure of its regeneration.
            self.ledger.lock().trouble.insert(page.path.clone(), self.time.sync());
        }
        self.generation(page, request, &mut rng, private).delay(delay).into()
    }

    fn trouble(&self, page: &Page, request: &OriginRequest, rng: &mut Rng) -> Act {
        match rng.below(12) {
            0..=2 => answer(503, &[("cache-control", "s-maxage=60")], "sorry").into(),
            3 | 4 => Act::Fail(Failure::Connect),
            5 | 6 => self.generation(page, request, rng, false).truncated(20).into(),
            7 => self.generation(page, request, rng, false).stalls(20).into(),
            8 => Act::Hang,
            9 => answer(304, &[("etag", "\"unheard of\"")], "").into(),
            10 => answer(204, &[], "").into(),
            _ => {
                let large = self.reply(page, request, rng, 200, false, MAX_OBJECT * 2);
                if rng.chance(50) { large.uncounted().into() } else { large.chunked().uncounted().into() }
            }
        }
    }

    /// 304, where the request asks for it.
    fn not_modified(&self, page: &Page, request: &OriginRequest, rng: &mut Rng) -> Option<Reply> {
        let tag = request.fields.iter().find(|(name, _)| name.as_str() == "if-none-match")?.1.to_str().ok()?;
        let generation = tag.trim_matches(['"', 'g']).parse::<usize>().ok()?;
        if !rng.chance(50) {
            return None;
        }
        let ledger = self.ledger.clone();
        let reply = answer(304, &[("etag", tag), ("cache-control", page.cache_control().as_str())], "");
        Some(reply.when_done(Arc::new(move |at| ledger.lock().sent[generation].good = Some(at))))
    }

    fn generation(&self, page: &Page, request: &OriginRequest, rng: &mut Rng, private: bool) -> Reply {
        let calm = self.calm.load(Ordering::Relaxed);
        let status = if !calm && rng.chance(5) { 404 } else { 200 };
        let filler = rng.index(1_500);
        let reply = self.reply(page, request, rng, status, private, filler);
        let reply = if rng.chance(50) { reply.chunked() } else { reply };
        if calm { reply } else { reply.pieces(1 + rng.index(3), millis(rng.below(100))) }
    }

    /// A new generation, noted in the ledger. What carries a session is made for its owner, whatever it says.
    fn reply(
        &self,
        page: &Page,
        request: &OriginRequest,
        rng: &mut Rng,
        status: u16,
        private: bool,
        filler: usize,
    ) -> Reply {
        let field = |name: &str| {
            let found = request.fields.iter().find(|(n, _)| n.as_str() == name);
            found.and_then(|(_, value)| value.to_str().ok()).map(str::to_owned)
        };
        let owner = field("cookie").and_then(|cookie| cookie.strip_prefix("session=").map(str::to_owned));
        let language = field("accept-language").filter(|_| page.varies);
        let private = private || (owner.is_some() && rng.chance(50));
        let mut ledger = self.ledger.lock();
        let generation = ledger.sent.len();
        let body = format!("gen={generation};for={owner:?};in={language:?};at={};{}", page.path, "x".repeat(filler));
        ledger.sent.push(Sent {
            path: page.path.clone(),
            body: body.clone(),
            language,
            owner,
            private,
            delivered: 0,
            good: None,
        });
        drop(ledger);
        let cache_control = if private { "private".to_owned() } else { page.cache_control() };
        let mut reply = answer(status, &[("cache-control", cache_control.as_str())], body);
        reply = reply.field("etag", &format!("\"g{generation}\""));
        if page.varies {
            reply = reply.field("vary", "Accept-Language");
        }
        if private {
            // It is handed through: from its head on it holds no place.
            reply = reply.uncounted();
        }
        let ledger = self.ledger.clone();
        reply.when_done(Arc::new(move |at| ledger.lock().sent[generation].good = Some(at)))
    }
}

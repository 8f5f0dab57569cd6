//! A model of an origin at which every request waits for its answer. It answers with what it had when it was asked.

use crate::ledger::Ledger;
use bytes::Bytes;
use engine::Clock;
use engine::origin::{Body, BoxFuture, Origin, OriginError, OriginRequest, OriginResponse};
use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use semantics::settlement::Failure;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a request gets.
#[derive(Clone, Copy, Debug, Hash)]
pub enum Reply {
    Whole,
    /// A head and a body, whose end comes later.
    Begun,
    NotModified,
    Sorry,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, Hash)]
pub enum End {
    Whole,
    Broken,
}

struct Open {
    page: usize,
    fetch: usize,
    /// Whether it names what the origin had when it was asked.
    confirms: bool,
    waits: Waits,
}

enum Waits {
    Head(oneshot::Sender<Head>),
    End(oneshot::Sender<End>),
}

enum Head {
    Page(Option<oneshot::Receiver<End>>),
    NotModified,
    Sorry,
}

pub struct Desk {
    clock: Clock,
    ledger: Arc<Mutex<Ledger>>,
    open: Mutex<Vec<Open>>,
    /// What the answers say of their freshness.
    cache_control: Mutex<&'static str>,
}

impl Desk {
    pub fn new(clock: Clock, ledger: Arc<Mutex<Ledger>>) -> Self {
        Desk { clock, ledger, open: Mutex::default(), cache_control: Mutex::default() }
    }

    /// For the next interleaving.
    pub fn says(&self, cache_control: &'static str) {
        *self.cache_control.lock() = cache_control;
    }

    /// Of every open request in the order of coming: `None` while its body is on its way, else whether a 304 would do.
    pub fn open(&self) -> Vec<Option<bool>> {
        let confirms = |open: &Open| matches!(open.waits, Waits::Head(_)).then_some(open.confirms);
        self.open.lock().iter().map(confirms).collect()
    }

    /// Answers the request at that place; it waits for a head.
    pub fn answer(&self, place: usize, reply: Reply) {
        let mut all = self.open.lock();
        let open = all.remove(place);
        let Waits::Head(head) = open.waits else { panic!("its head is there already") };
        let (mut ledger, now) = (self.ledger.lock(), self.clock.now());
        let answer = match reply {
            Reply::Whole => Head::Page(None),
            Reply::Begun => {
                let (sender, end) = oneshot::channel();
                all.insert(place, Open { waits: Waits::End(sender), ..open });
                Head::Page(Some(end))
            }
            Reply::NotModified => Head::NotModified,
            Reply::Sorry => Head::Sorry,
        };
        match reply {
            Reply::Whole | Reply::NotModified => ledger.stored(open.page, open.fetch, now),
            Reply::Sorry => ledger.failed(open.page, open.fetch, now),
            Reply::Begun => {}
        }
        // Nobody may wait any more.
        let _ = head.send(answer);
    }

    /// Ends the body of the request at that place.
    pub fn end(&self, place: usize, end: End) {
        let open = self.open.lock().remove(place);
        let Waits::End(sender) = open.waits else { panic!("it waits for its head") };
        let now = self.clock.now();
        match end {
            End::Whole => self.ledger.lock().stored(open.page, open.fetch, now),
            End::Broken => self.ledger.lock().failed(open.page, open.fetch, now),
        }
        let _ = sender.send(end);
    }

    /// Answers everybody, and as well as it can.
    pub fn serve_all(&self) {
        while let Some(next) = self.open().first() {
            match next {
                Some(_) => self.answer(0, Reply::Whole),
                None => self.end(0, End::Whole),
            }
        }
    }

    fn receive(&self, request: &OriginRequest) -> (u64, oneshot::Receiver<Head>) {
        let page = usize::from(request.target.ends_with('b'));
        let validator = request.fields.iter().find(|(n, _)| *n == http::header::IF_NONE_MATCH);
        let validator = validator.and_then(|(_, value)| value.to_str().ok()?.trim_matches('"').parse().ok());
        let (version, fetch) = self.ledger.lock().fetch(page, validator, self.clock.now());
        let (sender, head) = oneshot::channel();
        let confirms = validator == Some(version);
        self.open.lock().push(Open { page, fetch, confirms, waits: Waits::Head(sender) });
        (version, head)
    }

    /// Every page has a tag of its own, and one of its interleaving.
    fn page(&self, version: u64, target: &str, end: Option<oneshot::Receiver<End>>) -> OriginResponse {
        let mut parts = target.rsplit('/');
        let (page, interleaving) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let fields = [
            ("cache-control", (*self.cache_control.lock()).to_owned()),
            ("etag", format!("\"{version}\"")),
            ("cache-tag", format!("t{interleaving}, t{interleaving}{page}")),
        ];
        response(200, &fields, Sheet { text: Some(Bytes::from(version.to_string())), end })
    }
}

fn response(status: u16, fields: &[(&'static str, String)], body: Sheet) -> OriginResponse {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.insert(*name, HeaderValue::try_from(value.as_str()).unwrap());
    }
    OriginResponse {
        status: StatusCode::from_u16(status).unwrap(),
        fields: map,
        length: None,
        close_delimited: false,
        server: None,
        body: Box::new(body),
    }
}

impl Origin for Desk {
    fn fetch(&self, request: OriginRequest) -> BoxFuture<'_, Result<OriginResponse, OriginError>> {
        Box::pin(async move {
            let (version, head) = self.receive(&request);
            match head.await {
                Ok(Head::Page(end)) => Ok(self.page(version, &request.target, end)),
                Ok(Head::NotModified) => {
                    Ok(response(304, &[("etag", format!("\"{version}\""))], Sheet { text: None, end: None }))
                }
                Ok(Head::Sorry) => {
                    Ok(response(500, &[], Sheet { text: Some(Bytes::from_static(b"sorry")), end: None }))
                }
                Err(_) => Err(OriginError { failure: Failure::Connect, message: "nobody is there".to_owned() }),
            }
        })
    }
}

/// A body of one piece.
struct Sheet {
    text: Option<Bytes>,
    end: Option<oneshot::Receiver<End>>,
}

impl Body for Sheet {
    fn chunk(&mut self, _patience: Duration) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        Box::pin(async move {
            if let Some(text) = self.text.take() {
                return Ok(Some(text));
            }
            let Some(end) = self.end.take() else { return Ok(None) };
            match end.await {
                Ok(End::Whole) => Ok(None),
                _ => Err(OriginError { failure: Failure::Truncated, message: "it broke off".to_owned() }),
            }
        })
    }
}

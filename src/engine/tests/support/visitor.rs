//! A visitor: asks as the proxy would on his behalf, reads to the end, and tells what he saw.

use super::World;
use super::asking::{Asking, HOST};
use super::time::Time;
use bytes::Bytes;
use engine::flight::Watcher;
use engine::origin::{Kind, Origin, OriginRequest};
use engine::store::{Head, StoredResponse};
use engine::{Answer, Probe, Step};
use http::{HeaderName, HeaderValue};
use semantics::settlement::Failure;
use semantics::{CacheStatus, Field, Forward, Outcome, Scheme, Timestamp, decision};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nobody waits longer than this, in virtual time.
const PATIENCE: Duration = Duration::from_secs(600);

/// By what a visitor was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Stored,
    Streamed,
    Failed,
    /// His own request was handed through.
    Passed,
    /// The same, and its answer decided for others.
    Probed,
    Unsatisfiable,
}

/// What a visitor saw.
#[derive(Clone, Debug)]
pub struct Seen {
    pub how: How,
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
    pub said: CacheStatus,
    pub cache_status: String,
    pub outcome: Outcome,
    /// The answer broke off.
    pub broken: Option<Failure>,
    pub stored: Option<Arc<StoredResponse>>,
    /// When it was decided how he is answered.
    pub at: Timestamp,
}

impl Seen {
    fn new(how: How, status: u16, said: CacheStatus, at: Timestamp) -> Seen {
        let mut text = Vec::new();
        said.write(&mut text);
        Seen {
            how,
            status,
            fields: Vec::new(),
            body: String::new(),
            said,
            cache_status: String::from_utf8(text).unwrap(),
            outcome: said.outcome(),
            broken: None,
            stored: None,
            at,
        }
    }

    fn with(mut self, head: &Head, body: &[u8]) -> Seen {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.fields = head.fields().map(|(n, v)| (n.to_owned(), text(v))).collect();
        self.body = text(body);
        self
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A whole success with this body.
    #[track_caller]
    pub fn is(&self, body: &str) -> &Seen {
        assert_eq!((self.status, self.body.as_str(), self.broken), (200, body, None), "{}", self.cache_status);
        self
    }

    #[track_caller]
    pub fn was(&self, outcome: Outcome) -> &Seen {
        assert_eq!(self.outcome, outcome, "{}", self.cache_status);
        self
    }

    #[track_caller]
    pub fn by(&self, how: How) -> &Seen {
        assert_eq!(self.how, how, "{}", self.cache_status);
        self
    }
}

/// A visitor in the middle of a body.
pub struct Reading {
    pub status: CacheStatus,
    watcher: Watcher,
    time: Time,
}

impl Reading {
    /// The next piece, if it is there already.
    pub async fn ready(&mut self) -> Option<String> {
        match timeout(Duration::ZERO, self.watcher.chunk()).await {
            Ok(Ok(Some(piece))) => Some(String::from_utf8_lossy(&piece).into_owned()),
            _ => None,
        }
    }

    /// Everything up to the end.
    pub async fn rest(mut self) -> Result<String, Failure> {
        let mut body = Vec::new();
        while let Some(piece) = self.time.during(self.watcher.chunk()).await? {
            body.extend_from_slice(&piece);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// Everybody's answers.
pub async fn all(visits: Vec<JoinHandle<Seen>>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for visit in visits {
        seen.push(visit.await.unwrap());
    }
    seen
}

type Fields = Vec<(String, String)>;

pub(super) fn owned(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

pub(super) fn lines(fields: &[(String, String)]) -> Vec<Field<'_>> {
    fields.iter().map(|(n, v)| Field { name: n, value: v.as_bytes() }).collect()
}

impl World {
    pub async fn visit(&self, target: &str, fields: &[(&str, &str)]) -> Seen {
        self.clone().go(target.to_owned(), owned(fields)).await
    }

    /// A visit that goes on by itself.
    pub fn start(&self, target: &str, fields: &[(&str, &str)]) -> JoinHandle<Seen> {
        tokio::spawn(self.clone().go(target.to_owned(), owned(fields)))
    }

    pub fn start_many(&self, count: usize, target: &str) -> Vec<JoinHandle<Seen>> {
        (0..count).map(|_| self.start(target, &[])).collect()
    }

    /// A visitor who is answered by a body on its way, and has read none of it.
    pub async fn open(&self, target: &str) -> Reading {
        match self.ask(target, &[]).await {
            Answer::Stream { watcher, status, .. } => Reading { status, watcher, time: self.time.clone() },
            _ => panic!("{target} is not answered by a body on its way"),
        }
    }

    pub async fn go(self, target: String, fields: Fields) -> Seen {
        let visit = async {
            let answer = self.ask(&target, &fields).await;
            self.read(&target, &fields, answer).await
        };
        match timeout(PATIENCE, visit).await {
            Ok(seen) => seen,
            Err(_) => panic!("{target} was never answered"),
        }
    }

    async fn ask(&self, target: &str, fields: &[(String, String)]) -> Answer {
        let now = self.time.sync();
        let lines = lines(fields);
        let asking = self.asking(target, &lines);
        if let Err(why) = decision::admit(&asking.request, &asking.facts, &asking.route.policy) {
            return Answer::Pass(why, None);
        }
        let visit = asking.visit();
        let step = match self.engine.begin(&visit, now) {
            Step::Wait if self.engine.recall(&visit).await => self.engine.begin(&visit, now),
            step => step,
        };
        match step {
            Step::Serve(served) => Answer::Served(served),
            Step::Pass(why) => Answer::Pass(why, None),
            Step::Unsatisfiable => Answer::Unsatisfiable,
            Step::Wait => self.engine.answer(&visit).await,
        }
    }

    pub(super) fn asking<'a>(&'a self, target: &'a str, fields: &'a [Field<'a>]) -> Asking<'a> {
        Asking::new(&self.engine, self.route(target), target, fields)
    }

    async fn read(&self, target: &str, fields: &[(String, String)], answer: Answer) -> Seen {
        let at = self.time.sync();
        match answer {
            Answer::Served(served) => {
                let head = &served.response.head;
                let mut seen = Seen::new(How::Stored, head.status().as_u16(), served.status, at);
                seen = seen.with(head, served.response.body.held().expect("held"));
                seen.stored = Some(served.response);
                seen
            }
            Answer::Stream { opened, mut watcher, status } => {
                let (body, broken) = read_along(&mut watcher).await;
                let mut seen = Seen::new(How::Streamed, opened.head.status().as_u16(), status, at);
                seen = seen.with(&opened.head, &body);
                seen.broken = broken;
                seen
            }
            Answer::Failed { failed, status } => match &failed.answer {
                Some((head, body)) => Seen::new(How::Failed, head.status().as_u16(), status, at).with(head, body),
                None => {
                    let mut seen = Seen::new(How::Failed, failed.failure.gateway_status().as_u16(), status, at);
                    seen.body.clone_from(&failed.message);
                    seen
                }
            },
            Answer::Pass(why, probe) => self.pass(target, fields, why, probe, at).await,
            Answer::Unsatisfiable => {
                Seen::new(How::Unsatisfiable, 504, CacheStatus::Own { detail: "only-if-cached" }, at)
            }
        }
    }

    /// Hands his own request through, as the proxy does on the passed road.
    async fn pass(
        &self,
        target: &str,
        fields: &[(String, String)],
        why: Forward,
        mut probe: Option<Probe>,
        at: Timestamp,
    ) -> Seen {
        let how = if probe.is_some() { How::Probed } else { How::Passed };
        let said = CacheStatus::Forwarded { why, status: None, stored: false, collapsed: false };
        let line = |(n, v): &(String, String)| {
            (HeaderName::try_from(n.as_str()).unwrap(), HeaderValue::try_from(v.as_str()).unwrap())
        };
        let request = OriginRequest {
            origin: 0,
            kind: Kind::Pass,
            host: fields.iter().find(|(n, _)| n == "host").map_or(HOST, |(_, v)| v.as_str()).to_owned(),
            scheme: Scheme::Http,
            target: target.to_owned(),
            fields: fields.iter().map(line).collect(),
            server: None,
            early: None,
            unknown_codings: false,
        };
        let mut response = match self.origin.fetch(request).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(probe) = &mut probe {
                    probe.failed(error.failure, &error.message);
                }
                let mut seen = Seen::new(how, 502, said, at);
                seen.broken = Some(error.failure);
                return seen;
            }
        };
        if let Some(probe) = &mut probe {
            probe.verdict(response.status, &response.fields);
        }
        let mut seen = Seen::new(how, response.status.as_u16(), said, at);
        let text = |v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        seen.fields = response.fields.iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect();
        let mut body = Vec::new();
        seen.broken = loop {
            match response.body.chunk(PATIENCE).await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break None,
                Err(error) => break Some(error.failure),
            }
        };
        seen.body = String::from_utf8_lossy(&body).into_owned();
        seen
    }
}

async fn read_along(watcher: &mut Watcher) -> (Bytes, Option<Failure>) {
    let mut body = Vec::new();
    loop {
        match watcher.chunk().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return (Bytes::from(body), None),
            Err(failure) => return (Bytes::from(body), Some(failure)),
        }
    }
}

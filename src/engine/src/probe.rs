//! A personal visitor's own request, on its way to the origin as he sent it, finds out whether the page may be shared
//! (semantics 3). Others for that key wait for the verdict.

use crate::Visit;
use crate::failed::Failed;
use crate::fill::{self, Job};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use semantics::settlement::Failure;
use semantics::storability::{self, NotStorable, Verdict};

/// Must be told how the request went. Dropped without a word, whoever waits starts over.
pub struct Probe {
    job: Option<Box<Job>>,
    /// His fields: the canonical fill carries those that Vary turns out to nominate.
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Probe {
    pub(crate) fn new(job: Job, visit: &Visit<'_>) -> Self {
        let fields = visit
            .request
            .fields
            .iter()
            .filter_map(|f| Some((HeaderName::try_from(f.name).ok()?, HeaderValue::from_bytes(f.value).ok()?)));
        Probe { job: Some(Box::new(job)), fields: fields.collect() }
    }

    /// The head of his answer has come. If it may be stored, one canonical fill starts; his own answer is his alone.
    pub fn verdict(&mut self, status: StatusCode, fields: &HeaderMap) {
        let Some(job) = self.job.take() else { return };
        let now = job.engine.clock.now();
        match storability::verdict(status) {
            // His own conditional was met: that says nothing of the page. Whoever waits starts over.
            Verdict::NotModified => return,
            Verdict::Sick => return job.his_failure(),
            _ => {}
        }
        match storability::judge(status, fields, &job.route.policy, now, false) {
            // Nobody said that it is everybody's: the page is for whoever asks without anything of his own.
            Ok(_) if !job.route.policy.is_isr() && !storability::is_shared(fields, now) => {
                job.not_storable_for_visitor(NotStorable::NoLifetime);
            }
            Ok(nominated) => {
                let named = self.fields.drain(..).filter(|(n, _)| nominated.iter().any(|w| w == n.as_str()));
                fill::spawn(job.carrying(named.collect()));
            }
            Err(reason) => job.not_storable_for_visitor(reason),
        }
    }

    /// It never came to an answer.
    pub fn failed(&mut self, failure: Failure, message: &str) {
        let Some(job) = self.job.take() else { return };
        match failure {
            // The origin could not be reached: it would be no different for anybody else.
            Failure::Connect => {
                let now = job.engine.clock.now();
                job.fail(Failed::plain(failure, message, now));
            }
            _ => job.his_failure(),
        }
    }
}

//! Where an answer is stored: at its key, at a variant's, or at the key that all deployments share.

use super::Job;
use crate::history::Cause;
use crate::origin::OriginResponse;
use crate::store::{KeyHash, Slot, VarySpec, Written};
use http::{HeaderMap, HeaderValue};
use semantics::freshness::Governing;
use semantics::vary::{self, Vary};
use semantics::{Field, Method, Request, key};
use std::sync::Arc;

/// Where a response is stored.
pub(super) struct Placed {
    pub(super) key: Box<[u8]>,
    pub(super) hash: KeyHash,
    pub(super) variant: Vec<(String, Option<Vec<u8>>)>,
    /// Stands at the primary key when the response varies.
    pub(super) spec: Option<Arc<VarySpec>>,
    /// Others with the same nominated fields find their variants already: nothing stored becomes unreachable by this one.
    pub(super) settled: bool,
}

impl Job {
    /// The place of a response with these nominated fields: the primary key, or a variant's. A URL's nominated fields
    /// only grow: varying on more than one response asks for is always right (RFC 9111, 4.1), and never ambiguous.
    ///
    /// What is stored stays reachable until the new response is whole: only where nothing is, visitors are told at once.
    pub(super) fn place(&mut self, nominated: &[String], fields: &HeaderMap) -> Placed {
        self.move_home(fields);
        let slot = self.engine.store.peek(self.primary, &self.key);
        let known = match &slot {
            Some(Slot::Varies(spec)) => Some(spec.clone()),
            Some(Slot::Response(_)) => None,
            None => self.remembered(),
        };
        let mut names = known.as_ref().map(|s| s.names.clone()).unwrap_or_default();
        names.extend(nominated.iter().cloned());
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            let (key, hash) = (self.key.clone(), self.primary);
            return Placed { key, hash, variant: Vec::new(), spec: None, settled: true };
        }
        let variant = self.sent_values(&names);
        let mut key = Vec::new();
        key::write_variant(&mut key, &self.key, &variant);
        let hash = self.engine.hasher.hash(&key);
        let unchanged = known.filter(|s| s.names == names);
        let settled = unchanged.is_some() || (slot.is_none() && self.is_admitted());
        let spec = unchanged.unwrap_or_else(|| Arc::new(self.new_spec(names)));
        if settled && self.stored.is_none() {
            // First the flight can be found at the variant, then visitors are sent there.
            self.lead.also(hash);
            if slot.is_none() {
                self.engine.store.put(self.primary, Slot::Varies(spec.clone()), self.engine.clock.now());
            }
        }
        Placed { key: key.into_boxed_slice(), hash, variant, spec: Some(spec), settled }
    }

    /// What said how the URL varies when this fill began, if nobody has written to it since: it was put out of memory meanwhile.
    fn remembered(&self) -> Option<Arc<VarySpec>> {
        let (spec, seen) = self.spec.as_ref().filter(|(spec, _)| spec.key == self.key)?;
        let writes = &self.engine.writes;
        (!writes.any_since(self.primary, *seen, writes.writer())).then(|| spec.clone())
    }

    /// Of variants that may still be stored from before nobody knows what was written to their URL: they are to be validated.
    fn new_spec(&self, names: Vec<String>) -> VarySpec {
        let spec = VarySpec::new(self.key.clone(), names, self.began);
        self.lead.comes_after_write(self.requested);
        VarySpec { written: Written::since(self.requested), ..spec }
    }

    /// Answers that never change are keyed without the deployment: visitors who still have pages of an older one ask for its
    /// assets when the origin has forgotten them (semantics 43 and 54).
    fn move_home(&mut self, fields: &HeaderMap) {
        let immutable = !self.route.policy.is_isr() && Governing::of(fields).cache_control.immutable;
        let deployment = if immutable { "" } else { self.deployment.as_str() };
        let mut home = Vec::with_capacity(self.key.len());
        if key::of_deployment(&mut home, &self.key, deployment).is_none() || *home == *self.key {
            return;
        }
        self.key = home.into_boxed_slice();
        self.primary = self.engine.hasher.hash(&self.key);
        self.lead.also(self.primary);
    }

    /// Whether enough have asked for a page that is not stored yet (`admit_after`). Nobody needs to ask for what operators
    /// order.
    pub(super) fn is_admitted(&self) -> bool {
        let after = self.route.policy.admit_after;
        let new = self.stored.is_none() && self.cause == Cause::Miss;
        !new || after <= 1 || self.engine.admission.requests(self.primary, self.engine.clock.now()) >= after
    }

    /// Makes a stored variant findable. Where its URL has begun to vary further since its place was chosen, it has another one.
    pub(super) fn publish(&mut self, placed: Placed, nominated: &[String], fields: &HeaderMap) -> Placed {
        let outdated = |known: &VarySpec| {
            let names = placed.spec.as_ref().map_or(&[][..], |spec| &spec.names);
            !known.names.iter().all(|name| names.contains(name))
        };
        let known = self.known_spec();
        let mut placed = if known.as_deref().is_some_and(outdated) { self.place(nominated, fields) } else { placed };
        let Some(chosen) = &placed.spec else { return placed };
        // Two first answers at a time found out the same.
        let same = known.as_ref().filter(|known| known.names == chosen.names);
        let spec = same.unwrap_or(chosen).clone();
        self.engine.publish_variant(self.primary, known.as_deref(), &spec, (placed.hash, &placed.key));
        placed.spec = Some(spec);
        placed
    }

    /// What is known to select among the responses at this URL.
    fn known_spec(&self) -> Option<Arc<VarySpec>> {
        match self.engine.store.peek(self.primary, &self.key) {
            Some(Slot::Varies(spec)) => Some(spec),
            _ => None,
        }
    }

    /// The fields that an answer nominates, as this fill sent them: who sent others would have got another answer.
    pub(super) fn nominated_by(&self, response: &OriginResponse) -> Vec<(String, Option<Vec<u8>>)> {
        let lines = response.fields.get_all(http::header::VARY).into_iter().map(HeaderValue::as_bytes);
        match vary::parse(lines, &self.route.policy) {
            Vary::Fields(names) => self.sent_values(&names),
            Vary::Unmatchable | Vary::Personal(_) => Vec::new(),
        }
    }

    /// The nominated fields as this fill sent them.
    fn sent_values(&self, names: &[String]) -> Vec<(String, Option<Vec<u8>>)> {
        let fields: Vec<Field<'_>> =
            self.request.fields.iter().map(|(n, v)| Field { name: n.as_str(), value: v.as_bytes() }).collect();
        let request = Request {
            method: Method::Get,
            scheme: self.request.scheme,
            host: &self.request.host,
            path: &self.request.target,
            query: None,
            fields: &fields,
        };
        vary::nominated(names, &request, &self.route.policy)
    }
}

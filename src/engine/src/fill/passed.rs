//! A passed answer in the place of a fill's (see [`crate::gather`]).

use super::{Job, Storable, deployment_for};
use crate::flight::Landing;
use crate::history::Cause;
use crate::origin::{BoxFuture, OriginError, OriginRequest, OriginResponse};
use crate::store::KeyHash;
use crate::{Engine, Route};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use semantics::freshness::Times;
use semantics::settlement::Settlement;
use std::sync::Arc;
use std::time::Duration;

impl Job {
    /// A fill whose answer is there already. `request`: what it would have asked; `began`: the epoch in which it was asked
    /// for. `None`: another fill of that key is on its way.
    pub(crate) fn of_passed(
        engine: &Arc<Engine>,
        route: &Arc<Route>,
        request: OriginRequest,
        (primary, key): (KeyHash, Box<[u8]>),
        began: u64,
    ) -> Option<Job> {
        let lead = engine.flights.lead(primary)?;
        Some(Job {
            engine: engine.clone(),
            route: route.clone(),
            lead,
            request,
            deployment: deployment_for(engine, &key),
            key,
            primary,
            hash: primary,
            rsc: false,
            stored: None,
            spec: None,
            claimed: false,
            cause: Cause::Miss,
            stormy: None,
            asked_again: false,
            began,
            requested: engine.clock.now(),
        })
    }

    /// Stores it, if it may be.
    pub(crate) fn take_in(mut self, status: StatusCode, fields: HeaderMap, body: Bytes, times: Times) {
        let length = Some(body.len() as u64);
        let nothing = Box::new(Nothing);
        let response = OriginResponse { status, fields, length, close_delimited: false, server: None, body: nothing };
        self.requested = times.requested;
        if let Settlement::Store { nominated } = self.settle(&response, &times) {
            let placed = self.place(&nominated, &response.fields);
            let tags = self.tags(&response.fields);
            let storable = Storable { response, nominated, tags, times };
            // It renews nothing: whatever was stored had not been validated.
            let _ = self.commit(&storable, placed, body, None);
        }
        // Whoever has joined looks again, and finds what is stored now.
        self.lead.land(Landing::Abandoned);
    }
}

/// The body has been read.
struct Nothing;

impl crate::origin::Body for Nothing {
    fn chunk(&mut self, _patience: Duration) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        Box::pin(async { Ok(None) })
    }
}

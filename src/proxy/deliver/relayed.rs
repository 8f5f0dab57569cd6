//! An answer that nobody keeps, on its way from a fill to the visitor whose it is: in a content coding, as what is passed.

use bytes::Bytes;
use engine::coding::Stream;
use engine::flight::Opened;
use engine::store::Made;
use semantics::coding::{self, Accepted, Coding};
use semantics::{CacheStatus, Method, Request};

/// Its head, and what codes its body.
pub(super) struct Relayed {
    pub(super) wire: Bytes,
    pub(super) coder: Stream,
}

impl Relayed {
    /// `None`: it goes as it is.
    pub(super) fn of(
        request: &Request<'_>,
        opened: &Opened,
        status: &CacheStatus,
        codings: &[Coding],
    ) -> Option<Relayed> {
        let his = matches!(status, CacheStatus::Forwarded { stored: false, collapsed: false, .. });
        if !his || request.method == Method::Head || codings.is_empty() {
            return None;
        }
        let coding = Accepted::of(request.fields_named("accept-encoding")).best(codings)?;
        if !coding::is_codable(opened.head.status(), &opened.head.origin_fields(), opened.length) {
            return None;
        }
        // Without a coder the body goes as it is.
        let coder = Stream::new(coding).ok()?;
        Some(Relayed { wire: opened.head.in_coding(coding, Made::OnItsWay), coder })
    }
}

//! The engine's behaviour as its callers see it, in virtual time, against a model of an origin. The numbers in the
//! comments are the items of semantics.md.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

mod support;

#[path = "engine/admission.rs"]
mod admission;
#[path = "engine/ahead.rs"]
mod ahead;
#[path = "engine/codings.rs"]
mod codings;
#[path = "engine/failures.rs"]
mod failures;
#[path = "engine/fills.rs"]
mod fills;
#[path = "engine/first_failures.rs"]
mod first_failures;
#[path = "engine/guards.rs"]
mod guards;
#[path = "engine/honesty.rs"]
mod honesty;
#[path = "engine/inspection.rs"]
mod inspection;
#[path = "engine/invalidation.rs"]
mod invalidation;
#[path = "engine/limits.rs"]
mod limits;
#[path = "engine/listing.rs"]
mod listing;
#[path = "engine/memory.rs"]
mod memory;
#[path = "engine/orders.rs"]
mod orders;
#[path = "engine/overtaken.rs"]
mod overtaken;
#[path = "engine/personal.rs"]
mod personal;
#[path = "engine/prerender.rs"]
mod prerender;
#[path = "engine/probes.rs"]
mod probes;
#[path = "engine/records.rs"]
mod records;
#[path = "engine/selection.rs"]
mod selection;
#[path = "engine/spaces.rs"]
mod spaces;
#[path = "engine/storms.rs"]
mod storms;
#[path = "engine/tags.rs"]
mod tags;
#[path = "engine/validation.rs"]
mod validation;
#[path = "engine/variants.rs"]
mod variants;
#[path = "engine/versions.rs"]
mod versions;
#[path = "engine/writes.rs"]
mod writes;

//! A reload: the file is read again, and all that can change while Larder runs changes at once, or nothing does.

use super::site;
use crate::admin::{ConfigFault, NotReloaded, Reloaded, Tokens};
use crate::config::{self, Config, Faults};
use crate::proxy::Current;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a reload needs to know, and what it changes.
pub(super) struct Reloading {
    /// `None`: Larder was started without a file.
    pub(super) file: Option<PathBuf>,
    pub(super) current: Current,
    pub(super) tokens: Arc<ArcSwap<Tokens>>,
    /// The token that was made at the start. It stays.
    pub(super) generated: Option<String>,
    /// What is in force. One reload at a time.
    pub(super) running: Mutex<Config>,
}

impl Reloading {
    /// How long requests may take to end when Larder leaves.
    pub(super) fn drain(&self) -> Duration {
        self.running.lock().drain
    }

    pub(super) fn reload(&self) -> Result<Reloaded, NotReloaded> {
        let result = self.try_reload();
        let (outcome, metrics) = (outcome(&result), &self.current.load().engine.metrics);
        metrics.reloaded(outcome);
        match &result {
            Ok(Reloaded { changed }) => tracing::info!(changed = changed.join(", "), "configuration reloaded"),
            Err(error) => tracing::error!(%error, "not reloaded: the old configuration stays in force"),
        }
        result
    }

    fn try_reload(&self) -> Result<Reloaded, NotReloaded> {
        let mut running = self.running.lock();
        let file = self.file.as_ref().ok_or(NotReloaded::NoFile)?;
        let new = config::load(file).map_err(faulty)?;
        let fixed = different(&fixed(&running), &fixed(&new));
        if !fixed.is_empty() {
            return Err(NotReloaded::NeedsRestart(fixed));
        }
        let changed = different(&free(&running), &free(&new));
        self.tokens.store(Arc::new(site::tokens(&new.admin, self.generated.as_deref())));
        self.current.store(Arc::new(site::next(&new, &self.current.load())));
        *running = new;
        Ok(Reloaded { changed })
    }
}

fn outcome(result: &Result<Reloaded, NotReloaded>) -> &'static str {
    match result {
        Ok(_) => "success",
        Err(NotReloaded::NoFile) => "no-file",
        Err(NotReloaded::Faulty { .. }) => "faulty",
        Err(NotReloaded::NeedsRestart(_)) => "needs-restart",
    }
}

fn faulty(faults: Faults) -> NotReloaded {
    let all = faults.faults.into_iter().map(|fault| ConfigFault {
        line: fault.location.line,
        column: fault.location.column,
        message: fault.message,
        remedy: fault.remedy,
    });
    NotReloaded::Faulty { file: faults.file, faults: all.collect() }
}

/// A part of a configuration by its name, written out: two that are written alike are alike.
type Section = (&'static str, String);

fn section(name: &'static str, value: &dyn Debug) -> Section {
    (name, format!("{value:?}"))
}

/// What is laid down when Larder starts.
fn fixed(config: &Config) -> Vec<Section> {
    vec![
        section("listen", &config.listeners),
        section("admin.listen", &config.admin.listen),
        section("metrics.listen", &config.metrics_listen),
        section("server.threads", &config.threads),
        section("server.limits.connections", &config.limits.connections),
        section("logging", &config.logging),
        section("logging.access", &config.access),
        section("origins", &config.origins),
        section("store", &config.store),
        // Whether there is one: the one that was made at the start is told once.
        section("admin.token", &config.admin.token.is_some()),
    ]
}

/// What may change.
fn free(config: &Config) -> Vec<Section> {
    let admin = (&config.admin.token, &config.admin.tokens, &config.admin.purge_from);
    vec![
        section("routes", &config.routes),
        section("defaults", &(&config.unmatched, &config.unmatched_tags)),
        section("hosts", &config.hosts),
        section("server.trusted_proxies", &config.trusted_proxies),
        section("server.limits", &config.limits),
        section("server.shutdown", &config.drain),
        section("admin", &admin),
    ]
}

fn different(before: &[Section], after: &[Section]) -> Vec<&'static str> {
    before.iter().zip(after).filter(|(a, b)| a != b).map(|((name, _), _)| *name).collect()
}

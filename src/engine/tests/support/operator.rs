//! What operators do to a world, what they see of it, and what a visitor who writes leaves behind.

use super::World;
use super::visitor::{lines, owned};
use engine::inspect::{Below, Inspection, Listed};
use engine::invalidate::{Invalidation, Mode, Target};
use engine::{Failed, NotPutBack, NotUnpinned, Prerendered, PutBack, Regenerated, Unless, Version};
use std::sync::Arc;
use tokio::task::JoinHandle;

pub fn at(path: &str) -> Target {
    Target::Path(path.to_owned())
}

pub fn under(prefix: &str) -> Target {
    Target::Prefix(prefix.to_owned())
}

pub fn routed(route: &str) -> Target {
    Target::Route(route.to_owned())
}

pub fn tagged(tag: &str) -> Target {
    Target::Tag(tag.to_owned())
}

/// On every host.
pub fn soft(target: Target) -> Invalidation {
    Invalidation { target, host: None, mode: Mode::Soft }
}

/// On every host.
pub fn hard(target: Target) -> Invalidation {
    Invalidation { target, host: None, mode: Mode::Hard }
}

type Ordered = Result<Regenerated, Arc<Failed>>;

impl World {
    /// Invalidates, and returns the epoch.
    pub fn invalidate(&self, all: &[Invalidation]) -> u64 {
        self.time.sync();
        self.engine.invalidate(all).unwrap().epoch
    }

    pub fn soft(&self, target: Target) -> u64 {
        self.invalidate(&[soft(target)])
    }

    pub fn hard(&self, target: Target) -> u64 {
        self.invalidate(&[hard(target)])
    }

    pub async fn versions(&self, target: &str) -> Vec<Version> {
        self.time.sync();
        self.engine.versions(&self.asking(target, &[]).visit()).await
    }

    pub async fn put_back(&self, target: &str, id: u64, pin: bool) -> Result<PutBack, NotPutBack> {
        self.time.sync();
        self.engine.put_back(&self.asking(target, &[]).visit(), id, pin).await
    }

    /// Serves what is served for ever.
    pub async fn pin(&self, target: &str) {
        let id = self.versions(target).await[0].id;
        self.put_back(target, id, true).await.unwrap();
    }

    pub async fn unpin(&self, target: &str) -> Result<bool, NotUnpinned> {
        self.time.sync();
        self.engine.unpin(&self.asking(target, &[]).visit()).await
    }

    pub async fn regenerate(&self, target: &str, fields: &[(&str, &str)]) -> Ordered {
        self.time.sync();
        let fields = owned(fields);
        let lines = lines(&fields);
        let asking = self.asking(target, &lines);
        let visit = asking.visit();
        self.engine.regenerate(&visit).await
    }

    /// An ordered regeneration that goes on by itself.
    pub fn order(&self, target: &str) -> JoinHandle<Ordered> {
        let (world, target) = (self.clone(), target.to_owned());
        tokio::spawn(async move { world.regenerate(&target, &[]).await })
    }

    pub async fn prerender(&self, target: &str, unless: Unless) -> Prerendered {
        self.time.sync();
        self.engine.prerender(&self.asking(target, &[]).visit(), unless).await
    }

    /// A prerender that goes on by itself.
    pub fn order_prerender(&self, target: &str) -> JoinHandle<Prerendered> {
        let (world, target) = (self.clone(), target.to_owned());
        tokio::spawn(async move { world.prerender(&target, Unless::Stored).await })
    }

    pub fn inspect(&self, target: &str, fields: &[(&str, &str)]) -> Inspection {
        let now = self.time.sync();
        let fields = owned(fields);
        let lines = lines(&fields);
        self.engine.inspect(&self.asking(target, &lines).visit(), now, &Below::default())
    }

    /// What is stored there, and is found by whoever sends these fields.
    pub fn listed(&self, target: &str, fields: &[(&str, &str)]) -> Listed {
        self.inspect(target, fields).stored.unwrap()
    }

    /// What says how a URL varies is put out of memory, as where there is little of it; its variants stay.
    pub fn forget_how_it_varies(&self, target: &str) {
        self.memory.remove(self.asking(target, &[]).visit().hash);
    }

    /// An unsafe method succeeds on this URL, and its answer names these groups.
    pub fn wrote(&self, target: &str, groups: &[&str]) {
        self.time.sync();
        let groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        let asking = self.asking(target, &[]);
        self.engine.unsafe_method_succeeded(&asking.visit(), &groups, engine::Writer::default());
    }

    /// The value of one series, written as in the exposition; 0 where there is none.
    pub fn metric(&self, series: &str) -> u64 {
        let text = self.engine.render_metrics();
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(value).unwrap_or_default()
    }
}

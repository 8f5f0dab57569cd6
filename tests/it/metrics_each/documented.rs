//! What is exposed is what docs/metrics.md says: every metric, its labels, and the words that they may have.

use super::{config, order, stale};
use crate::disk::{Folder, settled};
use crate::dsl::{Authority, Edge, Origin, Raw, Reply, Snapshot, reserve, until};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const DOCS: &str = include_str!("../../../docs/metrics.md");

/// Labels whose values are no words of Larder's: names from the configuration, statuses, a version.
const FREE: [&str; 5] = ["route", "origin", "server", "status", "version"];

/// One row of the table: names, labels, and whatever else it spells.
struct Row {
    names: Vec<&'static str>,
    labels: BTreeSet<&'static str>,
    words: Vec<&'static str>,
    text: &'static str,
}

fn spelled(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

fn rows() -> Vec<Row> {
    let lines = DOCS.lines().filter(|line| line.starts_with("| `larder_"));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.split('|').collect();
        let [_, names, labels, text, _] = cells[..] else { panic!("not three columns: {line}") };
        Row {
            names: spelled(names).collect(),
            labels: spelled(labels).collect(),
            words: spelled(text).collect(),
            text: text.trim(),
        }
    });
    rows.collect()
}

impl Row {
    /// Whether a series of this name belongs here. A histogram has several.
    fn is_of(&self, series: &str) -> bool {
        let parts = ["", "_bucket", "_count", "_sum"];
        self.names.iter().any(|name| parts.iter().any(|part| series.strip_suffix(*part) == Some(*name)))
    }

    /// Whether it spells a word, itself or in a row that it refers to.
    fn knows(&self, word: &str, rows: &[Row]) -> bool {
        let referred = |row: &&Row| row.names.iter().any(|name| self.words.contains(name));
        self.words.contains(&word) || rows.iter().filter(referred).any(|row| row.words.contains(&word))
    }

    fn kind(&self, name: &str) -> &'static str {
        if name.ends_with("_total") {
            "counter"
        } else if name.ends_with("_info") {
            "info"
        } else if self.text.starts_with("histogram") {
            "histogram"
        } else {
            "gauge"
        }
    }
}

/// Every series has the labels that are documented, and of those whose words are fixed, documented words.
pub(super) fn check(seen: &Snapshot) {
    let rows = rows();
    for series in seen.series() {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let row = rows.iter().find(|row| row.is_of(name));
        let row = row.unwrap_or_else(|| panic!("`{name}` has no row in docs/metrics.md"));
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
        let labels: BTreeMap<&str, &str> = labels.filter(|(label, _)| *label != "le").collect();
        let names: BTreeSet<&str> = labels.keys().copied().collect();
        assert_eq!(names, row.labels, "the labels of {series}, and those that docs/metrics.md says");
        for (label, word) in labels.into_iter().filter(|(label, _)| !FREE.contains(label)) {
            assert!(row.knows(word, &rows), "docs/metrics.md does not say that `{label}` of `{name}` may be `{word}`");
        }
    }
}

/// What HELP and TYPE call a metric.
fn family(name: &str) -> &str {
    name.strip_suffix("_total").or_else(|| name.strip_suffix("_info")).unwrap_or(name)
}

/// A family is not told of before it has counted something: here something of everything happens.
async fn eventful() -> String {
    let (origin, folder) = (Origin::start().await, Folder::new());
    let disk = format!("store: {{ disk: {{ path: {}, sync: 100ms, min_free: 0% }} }}\n", folder.path().display());
    let more = ["defaults: { guard: { must_contain: [good] } }\n", &disk].concat();
    origin.answers("/p/old", Reply::ok("good").cache_control("s-maxage=60"));
    let long = "good words ".repeat(100);
    origin.answers("/p/long", Reply::ok(long).header("Content-Type", "text/plain").cache_control("s-maxage=60"));
    let [cert, key] = Authority::new().issue(&["site.test"]).files();
    let (_port, secure) = reserve();
    let certificates = format!("[{{ cert: {}, key: {} }}]", cert.path(), key.path());
    let listeners = format!(
        "server: {{ listeners: [{{ address: '{{listen}}' }}, {{ address: '{secure}', tls: {{ certificates: {certificates} }} }}] }}\n"
    );
    let config = |more: &str| config(more).replace("listen: {listen}\n", &listeners);
    let edge = Edge::with_config(&origin, &config(&more)).await;
    edge.stored("/p/old").await;
    settled(&edge, 1.0).await;
    drop(edge);
    for file in folder.files() {
        std::fs::write(file, "no page").unwrap();
    }
    let edge = Edge::with_config(&origin, &config(&more)).await;
    edge.get("/p/old").await.is("good");
    origin.page("/p/mine", "x").cache_control("private");
    edge.get("/p/mine").await.is("x");
    origin.answers("/p/a", stale("good").header("Cache-Groups", "not a list of strings"));
    edge.get("/p/a").await.is("good");
    origin.answers("/p/a", stale("bad"));
    edge.get("/p/a").await.is("good");
    order(&edge, "/v1/revalidate", &json!({"tags": ["t"]})).await;
    until("a page is coded", async || {
        let coded = edge.get("/p/long").header("Accept-Encoding", "gzip").await;
        coded.field("content-encoding").is_some()
    })
    .await;
    Raw::open(secure).await.send("no TLS").await.closed().await;
    edge.larder.signal("HUP");
    edge.metric_reaches("larder_config_reloads_total", 1.0).await;
    edge.metric_reaches("larder_refresh_failures_total", 1.0).await;
    edge.admin_get("/metrics").await.text()
}

#[tokio::test]
async fn every_documented_metric_is_exposed_with_its_type_and_a_help_and_no_other_is() {
    let text = eventful().await;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let exposed: BTreeMap<&str, &str> = types.collect();
    let rows = rows();
    let documented = rows.iter().flat_map(|row| row.names.iter().map(move |name| (family(name), row.kind(name))));
    assert_eq!(exposed, documented.collect::<BTreeMap<&str, &str>>());
    for family in exposed.keys() {
        let start = format!("# HELP {family} ");
        let helps: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(&start)).collect();
        assert!(helps.len() == 1 && helps[0].contains(' '), "help for {family}: {helps:?}");
    }
    let build = format!("\nlarder_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&build), "{text}");
    assert!(text.ends_with("# EOF\n"), "OpenMetrics ends so");
    assert!(!text.contains("\"/p"), "labels are routes, never paths: {text}");
}

//! All series at one moment, and what has moved between two.

use super::{Edge, LOOK_AGAIN, PATIENCE};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::{Instant, sleep};

/// Series, and by how much each moves. One that is named twice moves by the sum.
pub type Moves = Vec<(String, f64)>;

/// More, by whatever amount.
pub const UP: f64 = f64::INFINITY;
/// Less, by whatever amount.
pub const DOWN: f64 = f64::NEG_INFINITY;

/// Every series with its value, named as in `larder_requests_total{route=pages,cache=hit,status=200}`.
#[derive(Clone, Debug)]
pub struct Snapshot(BTreeMap<String, f64>);

impl Snapshot {
    fn of(metrics: &str) -> Snapshot {
        let series = metrics.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.replace('"', ""), value.parse::<f64>().unwrap())
        });
        Snapshot(series.collect())
    }

    /// A series that is not there yet has counted nothing.
    pub fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }

    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What has moved since, and by how much. Of a histogram that counted something, its count alone: how long things
    /// take is chance.
    fn since<'s>(&'s self, before: &'s Snapshot) -> BTreeMap<&'s str, f64> {
        let all: BTreeSet<&str> = self.series().chain(before.series()).collect();
        let moved = all.into_iter().map(|series| (series, self.get(series) - before.get(series)));
        let moved: BTreeMap<&str, f64> = moved.filter(|(_, by)| *by != 0.0).collect();
        let counted = |series: &&str| count_of(series).is_some_and(|count| moved.contains_key(count.as_str()));
        let chance: BTreeSet<&str> = moved.keys().copied().filter(counted).collect();
        moved.into_iter().filter(|(series, _)| !chance.contains(series)).collect()
    }
}

/// The count of the histogram of which this is a bucket or the sum.
fn count_of(series: &str) -> Option<String> {
    let (name, labels) = series.split_once('{')?;
    let name = name.strip_suffix("_bucket").or_else(|| name.strip_suffix("_sum"))?;
    let labels: Vec<&str> = labels.trim_end_matches('}').split(',').filter(|label| !label.starts_with("le=")).collect();
    Some(format!("{name}_count{{{}}}", labels.join(",")))
}

fn is_as(moved: &BTreeMap<&str, f64>, expected: &BTreeMap<String, f64>) -> bool {
    let fits = |by: f64, wanted: f64| if wanted.is_infinite() { by * wanted > 0.0 } else { by == wanted };
    let met = |series: &str, wanted: f64| moved.get(series).is_some_and(|by| fits(*by, wanted));
    moved.len() == expected.len() && expected.iter().all(|(series, wanted)| met(series, *wanted))
}

impl Edge {
    /// All series now. To look moves none of them.
    pub async fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.admin_get("/metrics").await.status(200).text())
    }

    /// Waits until exactly this has moved and nothing else, at two looks in a row, and returns what was seen then.
    pub async fn until_moved(&self, before: &Snapshot, moves: Moves) -> Snapshot {
        let mut expected: BTreeMap<String, f64> = BTreeMap::new();
        for (series, by) in moves {
            *expected.entry(series).or_default() += by;
        }
        let (deadline, mut looks) = (Instant::now() + PATIENCE, 0);
        loop {
            let now = self.snapshot().await;
            let moved = now.since(before);
            looks = if is_as(&moved, &expected) { looks + 1 } else { 0 };
            if looks == 2 {
                return now;
            }
            assert!(Instant::now() < deadline, "this has moved: {moved:#?}\nand this should have: {expected:#?}");
            sleep(LOOK_AGAIN).await;
        }
    }
}

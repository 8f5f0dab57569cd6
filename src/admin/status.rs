//! The status page: the figures of this process for people, without a script.

use super::Admin;
use crate::proxy::escape;
use engine::store::Usage;
use semantics::Outcome;

const STATUS: &str = include_str!("status.html");

pub(super) fn page(admin: &Admin) -> String {
    let engine = &admin.site().engine;
    let totals = admin.totals();
    let count = |outcome: Outcome| totals.requests[outcome as usize];
    let all: u64 = totals.requests.iter().sum();
    let answered = count(Outcome::Hit) + count(Outcome::Stale);
    let Usage { bytes, entries, .. } = engine.usage();
    let listening: Vec<String> = admin.listening.iter().map(ToString::to_string).collect();
    let uptime = admin.uptime().as_secs();
    let values = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("uptime", format!("{} h {} min {} s", uptime / 3600, uptime / 60 % 60, uptime % 60)),
        ("requests", all.to_string()),
        ("hit_ratio", percent(answered, all)),
        ("hits", count(Outcome::Hit).to_string()),
        ("stale", count(Outcome::Stale).to_string()),
        ("misses", count(Outcome::Miss).to_string()),
        ("collapsed", count(Outcome::Collapsed).to_string()),
        ("bypassed", count(Outcome::Bypass).to_string()),
        ("errors", count(Outcome::Error).to_string()),
        ("store_entries", entries.to_string()),
        ("store_bytes", human(bytes)),
        ("store_max", human(admin.memory_max)),
        ("refreshes", totals.refreshed.to_string()),
        ("refresh_failures", totals.refresh_failures.to_string()),
        ("failing", totals.failing.to_string()),
        ("origins", origin_rows(admin)),
        ("listen", escape(&listening.join(", "))),
    ];
    values.iter().fold(STATUS.to_owned(), |page, (name, value)| page.replace(&format!("{{{{{name}}}}}"), value))
}

fn origin_rows(admin: &Admin) -> String {
    let mut rows = String::new();
    for upstream in &admin.origins {
        for (server, up) in upstream.balance.states() {
            let state = if up { "up" } else { "down" };
            rows.push_str(&format!(
                "<tr><td>{}</td><td>{}</td><td class=\"{state}\">{state}</td></tr>",
                escape(&upstream.settings.name),
                escape(&server)
            ));
        }
    }
    rows
}

fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 1000).checked_div(whole).unwrap_or(0);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn human(bytes: usize) -> String {
    const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

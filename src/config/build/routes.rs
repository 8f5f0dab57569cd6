//! The route table.

use super::policy::{check, policy};
use super::prerender;
use crate::config::RouteConfig;
use crate::config::address::host_and_port;
use crate::config::fault::{Fault, Location};
use crate::config::lint::suggestion;
use crate::config::raw::{self, Match, RevalidateWord, Root, Route};
use crate::config::tree::Spot;
use crate::proxy::{Matcher, Pattern};
use semantics::policy::Revalidate;
use std::collections::HashMap;
use std::time::Duration;

/// What the metrics call the requests that match no route.
const UNMATCHED: &str = "unmatched";
/// Routes' names are labels of metrics.
const LONGEST_NAME: usize = 200;

/// `origins`: their names. `sites`: the hosts that are served.
pub(super) fn routes(
    root: &Root,
    file: &Spot<'_>,
    origins: &[&str],
    sites: &[Vec<String>],
    faults: &mut Vec<Fault>,
) -> Vec<RouteConfig> {
    let section = file.key("routes");
    let mut names: HashMap<String, Location> = HashMap::new();
    let mut routes = Vec::new();
    for (i, route) in root.routes.iter().enumerate() {
        let spot = section.item(i);
        let name = name(route, &spot, faults);
        if let Some(first) = names.insert(name.clone(), spot.at()) {
            let fault = spot.key("name").fault(format!("is `{name}`, as it is in line {} already", first.line));
            faults.push(fault.remedy("routes are told apart by their names: give each its own"));
        }
        let revalidate = revalidate(route, &spot, faults);
        check(&route.keys, &spot, faults);
        check_together(route, revalidate, &spot, faults);
        let mut policy = policy(&route.keys, revalidate, root);
        policy.fallback = prerender::fallback(route, revalidate, &spot, faults);
        let matcher = matcher(route, sites, &spot.key("match"), faults);
        let prerender = prerender::of_route(route, &matcher, &spot, faults);
        let origin = origin(route, origins, &spot.key("origin"), faults);
        let tags = super::tags::of_route(&route.keys, &matcher, &spot, faults);
        routes.push(RouteConfig { name, matcher, origin, policy, tags, prerender });
    }
    check_reachable(&routes, &section, faults);
    routes
}

fn name(route: &Route, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> String {
    let Some(name) = &route.name else {
        return patterns(&route.matches).first().cloned().unwrap_or_default();
    };
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains(char::is_control) {
        faults.push(spot.key("name").fault(format!("is not a name: `{}`", name.escape_debug())));
    }
    if name == UNMATCHED {
        faults.push(spot.key("name").fault("is what requests are called that match no route: choose another"));
    }
    name.clone()
}

fn revalidate(route: &Route, spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Revalidate {
    match route.revalidate {
        None | Some(raw::Revalidate::Word(RevalidateWord::Origin)) => Revalidate::Origin,
        Some(raw::Revalidate::Word(RevalidateWord::Never)) => Revalidate::Never,
        Some(raw::Revalidate::Every(window)) => {
            if window.0 < Duration::from_secs(1) || window.0.subsec_nanos() != 0 {
                let fault =
                    spot.key("revalidate").fault(format!("must be whole seconds, at least `1s`, not `{window}`"));
                faults.push(fault);
            }
            Revalidate::Every(window.0)
        }
    }
}

/// Keys that do not go together.
fn check_together(route: &Route, revalidate: Revalidate, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    if spot.has("revalidate") && route.revalidate.is_none() {
        // Its window is faulty, and may have been meant to make it an ISR route.
        return;
    }
    if route.keys.bypass == Some(true) && spot.has("revalidate") {
        let fault =
            spot.fault_of_key("revalidate", "cannot be had with `bypass: true`, which asks the origin every time");
        faults.push(if spot.has("bypass") {
            fault.remedy("remove one of them")
        } else {
            fault.remedy("`bypass: true` is from `defaults`: write `bypass: false` here")
        });
    }
    if revalidate == Revalidate::Origin {
        let useless =
            [("expire", route.keys.expire.is_some()), ("override_origin", route.keys.override_origin == Some(true))];
        for (key, _) in useless.into_iter().filter(|(key, given)| *given && spot.has(key)) {
            let fault = spot.fault_of_key(key, "is for ISR routes, and this route goes by the origin's headers");
            faults.push(fault.remedy("give the route a `revalidate`, or remove the key"));
        }
    }
    if let (Revalidate::Every(window), Some(expire)) = (revalidate, route.keys.expire)
        && expire.0 < window
    {
        let key = if spot.has("expire") { "expire" } else { "revalidate" };
        let window = raw::Duration(window);
        let message = format!("does not fit: `expire` ({expire}) is shorter than `revalidate` ({window})");
        faults.push(spot.key(key).fault(message));
    }
}

fn patterns(matches: &Match) -> &[String] {
    match matches {
        Match::Paths(paths) => paths.as_slice(),
        Match::Full(full) => full.path.as_slice(),
    }
}

fn matcher(route: &Route, sites: &[Vec<String>], spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Matcher {
    let mut matcher = Matcher::default();
    let place = match &route.matches {
        Match::Paths(_) => spot.clone(),
        Match::Full(_) => spot.key("path"),
    };
    for (i, text) in patterns(&route.matches).iter().enumerate() {
        match Pattern::parse(text) {
            Ok(pattern) => matcher.patterns.push(pattern),
            Err(why) => faults.push(place.item(i).fault(why)),
        }
    }
    let Match::Full(full) = &route.matches else { return matcher };
    let place = spot.key("host");
    for (i, host) in full.host.iter().flat_map(|hosts| hosts.as_slice()).enumerate() {
        matcher.hosts.extend(names_of(host, sites, &place.item(i), faults));
    }
    let place = spot.key("methods");
    for (i, method) in full.methods.iter().flatten().enumerate() {
        check_method(method, &place.item(i), faults);
        matcher.methods.push(method.clone());
    }
    matcher
}

/// A host under all the names of its site, since requests are told apart by the first of them.
fn names_of(host: &str, sites: &[Vec<String>], spot: &Spot<'_>, faults: &mut Vec<Fault>) -> Vec<String> {
    let host = host.to_ascii_lowercase();
    if host_and_port(&host).is_none() {
        faults.push(spot.fault(format!("is not a host: `{}`", host.escape_debug())));
    } else if let Some(site) = sites.iter().find(|site| site.contains(&host)) {
        return site.clone();
    } else if !sites.is_empty() {
        let fault = spot.fault(format!("is `{host}`, which is in no list of `hosts`"));
        faults.push(fault.remedy("the route could never match: add the host there"));
    }
    vec![host]
}

fn check_method(method: &str, spot: &Spot<'_>, faults: &mut Vec<Fault>) {
    if !super::is_token(method) {
        faults.push(spot.fault(format!("is not a method: `{}`", method.escape_debug())));
    } else if method.bytes().any(|b| b.is_ascii_lowercase()) {
        let fault = spot.fault(format!("is `{method}`, and methods are case-sensitive"));
        faults.push(fault.remedy(format!("write `{}`", method.to_ascii_uppercase())));
    }
}

/// The place of a route's origin; the first where it names none.
fn origin(route: &Route, origins: &[&str], spot: &Spot<'_>, faults: &mut Vec<Fault>) -> usize {
    let Some(name) = &route.origin else { return 0 };
    let place = origins.iter().position(|origin| origin == name);
    if place.is_none() {
        let fault = spot.fault(format!("names no origin: `{}`", name.escape_debug()));
        faults.push(match suggestion(name, origins.iter().copied()) {
            Some(meant) => fault.remedy(format!("did you mean `{meant}`?")),
            None => fault.remedy(format!("there is `{}`", origins.join("`, `"))),
        });
    }
    place.unwrap_or(0)
}

/// A route below one that matches all that it matches is a mistake: most often in the order.
fn check_reachable(routes: &[RouteConfig], section: &Spot<'_>, faults: &mut Vec<Fault>) {
    for (i, route) in routes.iter().enumerate() {
        let hidden_by = routes[..i].iter().position(|above| hides(above, route));
        if let Some(above) = hidden_by {
            let line = section.item(above).at().line;
            let (name, other) = (&route.name, &routes[above].name);
            let message =
                format!("route `{name}` can never match: `{other}` (line {line}) matches everything that it matches");
            faults.push(Fault::new(section.item(i).key("match").at(), message).remedy("move it above"));
        }
    }
}

/// An ISR route leaves the folders of frameworks to others, unless it spells them out.
fn hides(above: &RouteConfig, below: &RouteConfig) -> bool {
    let leaves_internals = above.policy.is_isr() && !above.matcher.spells_internals();
    above.matcher.covers(&below.matcher) && !(leaves_internals && below.matcher.spells_internals())
}

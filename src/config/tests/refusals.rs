use super::*;

#[test]
fn faults_are_reported_all_at_once_each_with_its_place_and_remedy() {
    let text = "listen: 127.0.0.1:8080\norgin: http://127.0.0.1:3000\n\
                server:\n  threads: many\n  limits:\n    headers: 0\n\
                routes:\n  - match: /a/*\n    revalidate: 60\n    expire: 1d\n    expire: 2d\n  - name: b\n    \
                revalidate: 1s\n";
    let expected = [
        "2:1: unknown key `orgin` (did you mean `origin`?)",
        "4:12: `server.threads` must be a whole number from 1 or `auto`, not `many`",
        "6:14: `server.limits.headers` must be a whole number from 1 to 256, not the number `0`",
        "9:17: `routes[0].revalidate` must be a duration (`250ms`, `10s`, `5m`, `1h`, `30d`), `never` or `origin`, \
         not the number `60` (with its unit: `60s`?)",
        "11:5: duplicate key `expire` (it stands in line 10 already)",
    ];
    let faults = wrong(text);
    assert_eq!(faults[..5], expected);
    assert!(faults[5].starts_with("12:5: `routes[1].match` is missing (`match`: A path's pattern"), "{}", faults[5]);
    assert_eq!(faults.len(), 6);
}

#[test]
fn a_fault_shows_its_line_and_points_at_it() {
    let told = read("listen: 127.0.0.1:8080\norigin: [web]\n").unwrap_err().to_string();
    let expected = "larder.yaml:2:9: `origin` must be text, not a list\n  | origin: [web]\n  |         ^\n\
                    1 fault; nothing was started\n";
    assert_eq!(told, expected);
}

#[test]
fn faults_of_form_and_of_meaning_come_together() {
    let faults = wrong_with("lisen: x\nadmin: { listen: nowhere }\nroutes:\n  - { match: /a, origin: ap }\n");
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(faults[1].contains("`admin.listen` is not an address to listen on: `nowhere`"));
    assert!(faults[2].contains("`routes[0].origin` names no origin: `ap` (did you mean `app`?)"));
}

#[test]
fn nothing_but_a_faulty_section_does_not_make_up_further_faults() {
    assert_eq!(wrong("lissten: 127.0.0.1:80\norigin: http://web\n").len(), 1);
    assert_eq!(wrong("listen: 127.0.0.1:80\norigins: { app: http://web }\n").len(), 1);
}

#[test]
fn what_is_not_built_yet_is_refused_never_ignored() {
    let faults = wrong_with("store: { redis: { url: redis://x } }\n");
    assert!(faults.len() == 1 && faults[0].contains("not available in this version"), "{faults:#?}");
    for key in ["balance: consistent_hash", "health_check: { path: /healthz }"] {
        let text = format!("listen: 127.0.0.1:80\norigins: {{ app: {{ servers: [{{ url: http://web }}], {key} }} }}\n");
        let faults = wrong(&text);
        assert!(faults.len() == 1 && faults[0].contains("not available in this version"), "{key}: {faults:#?}");
    }
}

#[test]
fn keys_of_routes_that_are_not_built_yet_are_refused() {
    let faults = wrong_with("routes:\n  - { match: /a, revalidate: 60s, preset: nextjs }\n");
    assert!(faults.len() == 1 && faults[0].contains("not available in this version"), "{faults:#?}");
}

#[test]
fn what_is_not_built_yet_may_be_written_as_it_is() {
    with(
        "profile: isr\nadmin: { tokens: [], compat: [] }\nlogging: { access: { format: json, output: false } }\n\
          draft: { secret: null }\nroutes:\n  - { match: /a, revalidate: 60s, refresh_ahead: false, admit_after: 1, \
          renders_per_minute: unlimited, history: 1, fallback: blocking, preset: auto }\n  \
          - { match: /b, preset: none }\n",
    );
}

#[test]
fn what_makes_one_page_one_page_does_not_belong_into_the_defaults() {
    for key in ["revalidate: 60s", "prerender: {}", "fallback: blocking", "match: /a", "name: a", "origin: app"] {
        assert_one_fault(&format!("defaults: {{ {key} }}\n"), "3:13", "belongs to a route");
    }
}

#[test]
fn values_that_do_not_fit_are_refused_where_they_stand() {
    for (lines, place, words) in [
        ("admin: { token: 12345 }", "3:17", "must be text, not the number `12345` (write it in quotes)"),
        ("admin: { token: }", "3", "`admin.token` has no value"),
        ("metrics: 9901", "3:10", "must be a section with keys, not the number `9901`"),
        ("store: { memory: { max_size: 1GB } }", "3:30", "must be a size"),
        ("server: { shutdown: { drain: 10 } }", "3:30", "with its unit: `10s`?"),
        ("logging: { access: { format: xml } }", "3:30", "must be `json` or `combined`, not `xml`"),
        ("logging: { access: { output: 3 } }", "3:30", "must be text or `false`, not the number `3`"),
        ("logging: { level: warning }", "3:19", "must be `error`, `warn`, `info`, `debug` or `trace`, not `warning`"),
        ("hosts: [www.example.com]", "3:9", "`hosts[0]` must be a list, not `www.example.com`"),
        ("defaults: { bypass: yes }", "3:21", "must be `true` or `false`, not `yes`"),
        (
            "routes: [{ match: /a, keep_on: [99] }]",
            "3:33",
            "`routes[0].keep_on[0]` must be a whole number from 100 to 599",
        ),
        ("routes: [{ match: [] }]", "3:19", "is an empty list"),
        (
            "routes: [{ match: { path: /a, hots: x } }]",
            "3:31",
            "unknown key `hots` in `routes[0].match` (did you mean `host`?)",
        ),
        ("routes: [{ match: /a, set_cookie: keep }]", "3:35", "must be `strip` or `bypass`, not `keep`"),
        ("<<: {}", "3:1", "shared route keys go into `defaults`"),
    ] {
        assert_one_fault(&format!("{lines}\n"), place, words);
    }
}

#[test]
fn values_that_mean_nothing_are_refused_where_they_stand() {
    for (lines, place, words) in [
        (
            "hosts: [[a.example], [b.example, A.example]]",
            "3:34",
            "is `a.example` again, which stands in line 3 already",
        ),
        ("hosts: [[a_b, 'x y']]", "3:15", "is not a host: `x y`"),
        ("hosts: [[]]", "3:9", "is an empty list"),
        ("server: { trusted_proxies: [10.0.0.0/33] }", "3:29", "is not a network"),
        ("server: { limits: { header_timeout: 0s } }", "3:37", "must be longer than nothing"),
        ("server: { limits: { header_bytes: 10 } }", "3:35", "must be at least 1KiB, not 10"),
        ("admin: { listen: 0.0.0.0:9900 }", "3:18", "refuses to start (set `admin.token`"),
        ("logging: { access: { output: stderr } }", "3:30", "is neither `stdout` nor `off`: `stderr`"),
        ("admin: { token: 'a b' }", "3:17", "visible ASCII"),
        ("admin: { listen: 127.0.0.1:8080 }", "3:18", "takes 127.0.0.1:8080, which `listen` (line 1) takes already"),
        ("metrics: { listen: ':8080' }", "3:20", "which `listen` (line 1) takes already"),
        ("store: { memory: { max_size: 4MiB } }", "3:30", "`max_object` (8MiB) is larger than `max_size` (4MiB)"),
        ("draft: { cookies: ['a b'] }", "3:20", "is not a cookie's name"),
        ("defaults: { ignore_cookies: ['a*b'] }", "3:30", "is not a cookie's name"),
        ("defaults: { response_headers: { 'X Y': a } }", "3:33", "is not a name of a header field"),
        ("defaults: { response_headers: { Content-Length: '1' } }", "3:33", "belongs to the connection"),
        ("defaults: { response_headers: { X-Y: \"a\\nb\" } }", "3:38", "is not a value of a header field"),
        ("defaults: { browser_cache_control: \"\\u00e9\" }", "3:36", "is not a value of a header field"),
        ("routes: [{ match: a }]", "3:19", "`routes[0].match` must begin with `/`"),
        ("routes: [{ match: [/a, /b//c] }]", "3:24", "`routes[0].match[1]` may not contain `//`"),
        ("routes: [{ match: { path: /a, methods: [get] } }]", "3:41", "(write `GET`)"),
        ("routes: [{ match: { path: /a, host: 'x y' } }]", "3:37", "is not a host"),
        ("routes: [{ match: /a, revalidate: 500ms }]", "3:35", "whole seconds, at least `1s`, not `500ms`"),
        ("routes: [{ match: /a, revalidate: 1500ms }]", "3:35", "whole seconds"),
        (
            "routes: [{ match: /a, revalidate: 1h, expire: 1m }]",
            "3:47",
            "`expire` (1m) is shorter than `revalidate` (1h)",
        ),
        ("routes: [{ match: /a, revalidate: 1h, bypass: true }]", "3:23", "(remove one of them)"),
        ("routes: [{ match: /a, expire: 1d }]", "3:23", "is for ISR routes"),
        ("routes: [{ match: /a, override_origin: true }]", "3:23", "is for ISR routes"),
        ("routes: [{ match: /a, key: { headers: ['x y'] } }]", "3:40", "is not a name of a header field"),
        ("routes: [{ match: /a, name: unmatched }]", "3:29", "choose another"),
        ("routes: [{ match: /a, name: x }, { match: /b, name: x }]", "3:53", "is `x`, as it is in line 3 already"),
    ] {
        assert_one_fault(&format!("{lines}\n"), place, words);
    }
}

#[test]
fn an_origin_is_a_server_and_nothing_more() {
    for (url, words) in [
        ("ftp://web", "must begin with `http://` or `https://` (write `http://web`)"),
        ("web:3000", "has no scheme (write `http://web:3000`)"),
        ("http://web/app", "must end with the host or the port (write `http://web`)"),
        ("http://web?x=1", "must end with the host or the port"),
        ("http://me:secret@web", "carries a user or a password"),
        ("http://web:0", "has no valid host and port"),
        ("http://web:+80", "has no valid host and port"),
        ("http://", "has no valid host and port"),
        ("http://[::1", "has no valid host and port"),
        ("http://300.1.1.1", "has no valid host and port"),
    ] {
        let faults = wrong(&format!("listen: 127.0.0.1:80\norigin: '{url}'\n"));
        assert!(
            faults.len() == 1 && faults[0].starts_with("2:9: `origin` ") && faults[0].contains(words),
            "{url}: {faults:#?}"
        );
    }
}

#[test]
fn what_is_necessary_is_asked_for_once() {
    let both = "listen: 127.0.0.1:80\nserver: { listeners: [{ address: ':81' }] }\norigin: http://a\n\
                origins: { b: { servers: [{ url: http://b }] } }\n";
    let faults = wrong(both);
    assert!(faults[0].starts_with("1:1: `listen` and `server.listeners` are both given"), "{faults:#?}");
    assert!(faults[1].starts_with("3:1: `origin` and `origins` are both given"), "{faults:#?}");
    let neither = wrong("# nothing\n");
    assert!(neither[0].contains("nothing to listen on") && neither[1].contains("no origin"), "{neither:#?}");
    let empty = wrong("origin: http://a\nserver: { listeners: [] }\n");
    assert!(empty.len() == 1 && empty[0].contains("nothing to listen on"), "{empty:#?}");
}

#[test]
fn a_route_that_can_never_match_is_refused() {
    assert_one_fault(
        "routes:\n  - name: a\n    match: /blog/**\n    revalidate: 60s\n  - name: b\n    match: /blog/{slug}\n",
        "8:12",
        "route `b` can never match: `a` (line 4) matches everything that it matches (move it above)",
    );
    assert_eq!(wrong_with("routes: [{ match: /**, revalidate: 60s }, { match: /api/**, bypass: true }]\n").len(), 1);
    with("routes: [{ match: '/blog/{slug}' }, { match: /blog/** }]\n");
    with("routes: [{ match: { path: /a, methods: [GET] } }, { match: /a, name: rest }]\n");
    with("routes: [{ match: /**, revalidate: 60s }, { match: /_next/static/**, bypass: true }]\n");
}

#[test]
fn aliases_that_multiply_a_file_are_refused() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (this, last) in ["b", "c", "d", "e", "f", "g"].into_iter().zip(["a", "b", "c", "d", "e", "f"]) {
        let aliases = vec![format!("*{last}"); 9].join(", ");
        bomb.push_str(&format!("{this}: &{this} [{aliases}]\n"));
    }
    let faults = wrong(&bomb);
    assert!(faults.len() == 1 && faults[0].contains("aliases (`*name`) repeat too much"), "{faults:#?}");
}

#[test]
fn aliases_in_reason_are_read() {
    let config = with("defaults: { keep_on: &statuses [404, 410] }\nroutes:\n  - { match: /a, keep_on: *statuses }\n");
    assert_eq!(config.routes[0].policy.keep_on, [404, 410]);
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    for (text, place) in [("listen: [\n", ""), ("listen: a\n  b: c\n", "2:"), ("a: b\n---\nc: d\n", "")] {
        let faults = wrong(text);
        assert!(faults.len() == 1 && faults[0].starts_with(place), "{text:?}: {faults:#?}");
    }
    let deep = format!("listen: {}{}\n", "[".repeat(40), "]".repeat(40));
    assert_eq!(wrong(&deep).len(), 1);
}

#[test]
fn a_file_that_is_too_large_or_not_text_or_not_there_is_refused() {
    let folder = std::env::temp_dir().join(format!("larder-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("larder.yaml");
    std::fs::write(&file, vec![b'#'; 10_485_760]).unwrap();
    let large = load(&file).unwrap_err().to_string();
    std::fs::write(&file, b"listen: 127.0.0.1:80\nno: \xff\n").unwrap();
    let binary = load(&file).unwrap_err().to_string();
    std::fs::remove_dir_all(&folder).unwrap();
    let absent = load(&file).unwrap_err().to_string();
    assert!(large.contains("is 10485760 bytes; a configuration is at most 1 MiB"), "{large}");
    assert!(binary.contains("larder.yaml:2:5: not UTF-8 from here on"), "{binary}");
    assert!(absent.contains("cannot be read: "), "{absent}");
}

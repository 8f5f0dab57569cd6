//! TLS towards clients and origins (RFC 8446, 6066 and 9525).

use crate::dsl::Raw;
use crate::dsl::{
    ALL_VERSIONS, Authority, Edge, HOST, Issued, Larder, Origin, Reply, Request, Scratch, reserve, shown, spoken, until,
};
use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FRESH: &str = "s-maxage=60";

/// Larder with a TLS listener, and one more.
struct Secure {
    edge: Edge,
    authority: Arc<Authority>,
    /// Certificate and key of the first and the second name.
    files: Vec<[Scratch; 2]>,
}

impl Secure {
    async fn new(origin: &Origin, more: &str) -> Secure {
        let authority = Arc::new(Authority::new());
        let files: Vec<_> = [&["site.test"][..], &["other.test", "*.wild.test"]]
            .iter()
            .map(|names| authority.issue(names).files())
            .collect();
        let edge = Edge::with_config(origin, &config(&files, more)).await;
        Secure { edge, authority, files }
    }

    /// Where plain requests go to reach it over TLS.
    async fn door(&self) -> SocketAddr {
        self.authority.door_to(self.edge.listen, "site.test").await
    }

    /// `None`: the client refuses it.
    async fn shown_to_whoever(&self, name: &str) -> Option<CertificateDer<'static>> {
        self.authority.handshake(self.edge.listen, name, ALL_VERSIONS).await.ok().map(|stream| shown(&stream))
    }

    async fn shown_to(&self, name: &str) -> CertificateDer<'static> {
        let stream = self.authority.handshake(self.edge.listen, name, ALL_VERSIONS).await;
        shown(&stream.unwrap_or_else(|error| panic!("{name}: {error}")))
    }
}

fn config(files: &[[Scratch; 2]], more: &str) -> String {
    let pairs: Vec<String> =
        files.iter().map(|[cert, key]| format!("{{ cert: {}, key: {} }}", cert.path(), key.path())).collect();
    format!(
        "server:\n  listeners:\n    - address: {{listen}}\n      tls: {{ certificates: [{}]{more} }}\n\
         origin: {{origin}}\nadmin:\n  listen: {{admin}}\n",
        pairs.join(", ")
    )
}

fn certificate(of: &[Scratch; 2]) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(of[0].path()).unwrap()
}

fn replace(files: &[Scratch; 2], with: &Issued) {
    for (file, text) in files.iter().zip([&with.cert, &with.key]) {
        // As certificate managers do it: beside, and renamed.
        let beside = format!("{}.new", file.path());
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, file.path()).unwrap();
    }
}

#[tokio::test]
async fn pages_are_served_over_tls_and_are_the_sites_https_pages() {
    let origin = Origin::start().await;
    origin.page("/p", "secure").cache_control(FRESH);
    let secure = Secure::new(&origin, "").await;
    let door = secure.door().await;
    Request::new(door, "GET", "/p").await.status(200).is("secure").cache_status("fwd=uri-miss");
    until("it is stored", async || Request::new(door, "GET", "/p").await.is_hit()).await;
    assert_eq!(origin.last("/p").field("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(origin.last("/p").field("x-forwarded-port").as_deref(), Some("443"));
    // Many on one connection.
    let mut client = Raw::open(door).await;
    for _ in 0..50 {
        client.send(format!("GET /p HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.response().await.is("secure");
    }
    assert_eq!(origin.count("/p"), 1);
    assert!(secure.edge.metric("larder_tls_handshakes_total{outcome=\"success\"}").await >= 3.0);
}

#[tokio::test]
async fn bodies_pass_over_tls_both_ways() {
    let origin = Origin::start().await;
    let large = "0123456789abcdef".repeat(256 * 1024);
    origin.page("/large", &large).cache_control(FRESH);
    origin.dynamic("/echo", |seen| Reply::ok(seen.body.clone()));
    origin.answers("/socket", Reply::upgrade().status(101));
    let secure = Secure::new(&origin, "").await;
    let door = secure.door().await;
    for _ in 0..3 {
        assert!(Request::new(door, "GET", "/large").await.status(200).body == large.as_bytes());
    }
    let back = Request::new(door, "POST", "/echo").body(large.clone()).await;
    assert!(back.status(200).body == large.as_bytes());
    let mut client = Raw::open(door).await;
    let head = "GET /socket HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.send(head).await.head().await.status(101);
    for message in ["hello", "bye"] {
        client.send(message).await.through(message).await;
    }
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let origin = Origin::start().await;
    let secure = Secure::new(&origin, "").await;
    let (first, second) = (certificate(&secure.files[0]), certificate(&secure.files[1]));
    assert_eq!(secure.shown_to("site.test").await, first);
    assert_eq!(secure.shown_to("OTHER.test").await, second);
    assert_eq!(secure.shown_to("any.wild.test").await, second);
    // A wildcard stands for one label, and not for none; whoever asks for another name is shown the first one.
    for name in ["wild.test", "a.b.wild.test", "unknown.test"] {
        let refused = secure.authority.handshake(secure.edge.listen, name, ALL_VERSIONS).await.unwrap_err();
        assert!(refused.to_string().contains("not valid for name"), "{name}: {refused}");
    }
}

#[tokio::test]
async fn a_changed_certificate_is_shown_without_a_restart_and_open_connections_stay() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(FRESH);
    let secure = Secure::new(&origin, "").await;
    let door = secure.door().await;
    let mut open = Raw::open(door).await;
    let ask = format!("GET /p HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    open.send(&ask).await.response().await.status(200);
    let new = secure.authority.issue(&["site.test"]);
    replace(&secure.files[0], &new);
    let wanted = certificate(&secure.files[0]);
    until("the new one is shown", async || secure.shown_to("site.test").await == wanted).await;
    open.send(&ask).await.response().await.status(200);
    assert_eq!(secure.shown_to("other.test").await, certificate(&secure.files[1]));
}

#[tokio::test]
async fn what_cannot_be_used_leaves_the_old_certificate_in_its_place() {
    let origin = Origin::start().await;
    let secure = Secure::new(&origin, "").await;
    let (good, good_key) = (certificate(&secure.files[0]), std::fs::read_to_string(secure.files[0][1].path()).unwrap());
    let other = secure.authority.issue(&["site.test"]);
    let bad = [
        ("not together", Issued { cert: other.cert.clone(), key: good_key }),
        ("no certificate", Issued { cert: "rubbish".to_owned(), key: other.key.clone() }),
        ("cannot be read as a private key", Issued { cert: other.cert.clone(), key: "rubbish".to_owned() }),
        ("has expired", secure.authority.issue_for(&["site.test"], 2020, 2021)),
        ("is not valid yet", secure.authority.issue_for(&["site.test"], 2080, 2090)),
    ];
    let mut told = 0;
    for (what, issued) in bad {
        replace(&secure.files[0], &issued);
        until(&format!("it is told: {what}"), async || {
            let lines = secure.edge.larder.stderr().matches("stays in use").count();
            let more = lines > told;
            told = told.max(lines);
            more
        })
        .await;
        assert_eq!(secure.shown_to("site.test").await, good, "{what}");
    }
    // Whoever opened it would wait for ever.
    let path = secure.files[0][0].path();
    std::fs::remove_file(path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    until("a pipe is told of", async || secure.edge.larder.stderr().contains("is not a file")).await;
    std::fs::remove_file(path).unwrap();
    replace(&secure.files[0], &other);
    let wanted = certificate(&secure.files[0]);
    until("the good one is shown", async || secure.shown_to("site.test").await == wanted).await;
}

#[tokio::test]
async fn older_versions_are_refused_where_the_configuration_says_so() {
    let origin = Origin::start().await;
    let old = &[&rustls::version::TLS12][..];
    let both = Secure::new(&origin, "").await;
    let stream = both.authority.handshake(both.edge.listen, "site.test", old).await.unwrap();
    assert_eq!(spoken(&stream), ProtocolVersion::TLSv1_2);
    let stream = both.authority.handshake(both.edge.listen, "site.test", ALL_VERSIONS).await.unwrap();
    assert_eq!(spoken(&stream), ProtocolVersion::TLSv1_3);
    let new = Secure::new(&origin, ", min_version: '1.3'").await;
    assert!(new.authority.handshake(new.edge.listen, "site.test", old).await.is_err());
    new.authority.handshake(new.edge.listen, "site.test", ALL_VERSIONS).await.unwrap();
}

#[tokio::test]
async fn who_does_not_speak_tls_there_gets_nothing() {
    let origin = Origin::start().await;
    let secure = Secure::new(&origin, "").await;
    let mut client = secure.edge.raw().await;
    let said = client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.closed().await;
    assert!(!said.contains("HTTP/1.1"), "{said}");
    secure.edge.metric_reaches("larder_tls_handshakes_total{outcome=\"failed\"}", 1.0).await;
    assert_eq!(origin.total(), 0);
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up() {
    let origin = Origin::start().await;
    let authority = Authority::new();
    let files = [authority.issue(&["site.test"]).files()];
    let config = config(&files, "").replace("server:\n", "server:\n  limits: { header_timeout: 300ms }\n");
    let edge = Edge::with_config(&origin, &config).await;
    let mut client = edge.raw().await;
    client.send([22, 3, 1, 2, 0, 1]).await.closed().await;
    edge.metric_reaches("larder_tls_handshakes_total{outcome=\"too-slow\"}", 1.0).await;
}

#[tokio::test]
async fn visitors_without_tls_are_sent_to_the_same_url_with_it() {
    let origin = Origin::start().await;
    let authority = Authority::new();
    let files = [authority.issue(&["site.test"]).files()];
    let (_port, plain) = reserve();
    let listener = format!("server:\n  listeners:\n    - {{ address: '{plain}', redirect_to_https: true }}\n");
    let yaml = config(&files, "").replace("server:\n  listeners:\n", &listener);
    let edge = Edge::with_config(&origin, &yaml).await;
    let port = edge.listen.port();
    for (method, target) in [("GET", "/a/b?c=d&e=%20"), ("HEAD", "/"), ("POST", "/form")] {
        let answer = Request::new(plain, method, target).host(HOST).await;
        answer
            .status(308)
            .header("Location", &format!("https://{HOST}:{port}{target}"))
            .header("Cache-Control", "no-store");
    }
    let with_port = Request::new(plain, "GET", "/").host(&format!("{HOST}:{}", plain.port())).await;
    with_port.status(308).header("Location", &format!("https://{HOST}:{port}/"));
    assert_eq!(origin.total(), 0);
}

#[tokio::test]
async fn who_came_by_https_to_the_proxy_in_front_is_not_sent_away() {
    let origin = Origin::start().await;
    origin.page("/p", "x").cache_control(FRESH);
    let yaml = "server:\n  trusted_proxies: [127.0.0.1/32]\n  listeners: [{ address: '{listen}', redirect_to_https: true }]\n\
                origin: {origin}\nadmin:\n  listen: {admin}\n";
    let edge = Edge::with_config(&origin, yaml).await;
    edge.get("/p").header("X-Forwarded-Proto", "https").await.status(200).is("x");
    edge.get("/p")
        .header("Forwarded", "for=10.0.0.1;proto=http, for=10.0.0.2;Proto=\"https\"")
        .await
        .status(200)
        .is("x");
    edge.get("/p").header("Forwarded", "for=10.0.0.1;proto=http").await.status(308);
    let away = edge.get("/p").header("X-Forwarded-Proto", "http").await;
    away.status(308).header("Location", &format!("https://{HOST}/p"));
}

#[tokio::test]
async fn who_names_no_host_is_not_sent_to_the_origins() {
    let origin = Origin::start().await;
    let yaml = "server: { listeners: [{ address: '{listen}', redirect_to_https: true }] }\n\
                origin: {origin}\nadmin:\n  listen: {admin}\n";
    let edge = Edge::with_config(&origin, yaml).await;
    for head in ["GET / HTTP/1.0\r\n\r\n".to_owned(), format!("OPTIONS * HTTP/1.1\r\nHost: {HOST}\r\n\r\n")] {
        edge.raw().await.send(head).await.response().await.status(400).no_header("Location");
    }
    assert_eq!(origin.total(), 0);
}

#[tokio::test]
async fn a_certificate_whose_time_comes_is_shown_then() {
    let origin = Origin::start().await;
    let secure = Secure::new(&origin, "").await;
    let soon = secure.authority.issue_in(&["site.test"], std::time::Duration::from_secs(3));
    replace(&secure.files[0], &soon);
    until("it is told", async || secure.edge.larder.stderr().contains("is not valid yet")).await;
    let wanted = certificate(&secure.files[0]);
    until("it is shown", async || secure.shown_to_whoever("site.test").await == Some(wanted.clone())).await;
}

#[tokio::test]
async fn pages_that_are_generated_before_anybody_asks_are_those_of_visitors_over_tls() {
    let origin = Origin::start().await;
    origin.page("/made", "ahead").cache_control(FRESH);
    let authority = Arc::new(Authority::new());
    let files = [authority.issue(&["site.test"]).files()];
    let routes =
        "hosts: [[site.test]]\nroutes:\n  - { match: /made, revalidate: 60s, prerender: { paths: [/made] } }\n";
    let edge = Edge::with_config(&origin, &[&config(&files, ""), routes].concat()).await;
    origin.asked("/made", 1).await;
    let door = authority.door_to(edge.listen, "site.test").await;
    until("it is a hit", async || Request::new(door, "GET", "/made").await.is_hit()).await;
    assert_eq!(origin.count("/made"), 1);
    assert_eq!(origin.last("/made").field("x-forwarded-proto").as_deref(), Some("https"));
}

#[tokio::test]
async fn a_client_that_leaves_over_tls_is_missed_at_once() {
    let origin = Origin::start().await;
    let events =
        origin.page("/events", "").header("Content-Type", "text/event-stream").cache_control("no-cache").tapped();
    let secure = Secure::new(&origin, "").await;
    let mut stream = secure.authority.handshake(secure.edge.listen, "site.test", ALL_VERSIONS).await.unwrap();
    let head = format!("GET /events HTTP/1.1\r\nHost: {HOST}\r\nCookie: a=1\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    events.send("data: 1\n\n");
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    // Its request has ended, although the origin says nothing more.
    let left = "larder_origin_requests_total{kind=\"pass\",outcome=\"client-gone\"}";
    secure.edge.metric_reaches(left, 1.0).await;
    drop(events);
}

#[tokio::test]
async fn certificates_that_cannot_be_used_keep_larder_from_starting_and_check_says_so() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["site.test"]).files(), authority.issue(&["site.test"]).files());
    for (cert, key, words) in [
        (one[0].path(), other[1].path(), "do not go together"),
        ("/nowhere/cert.pem", one[1].path(), "`/nowhere/cert.pem` cannot be read"),
        (one[1].path(), one[1].path(), "holds no certificate"),
    ] {
        let yaml = format!(
            "server: {{ listeners: [{{ address: 127.0.0.1:0, tls: {{ certificates: [{{ cert: {cert}, key: {key} }}] }} }}] }}\n\
             origin: http://127.0.0.1:1\nadmin: {{ listen: 127.0.0.1:0 }}\n"
        );
        let file = Scratch::file("larder.yaml", &yaml);
        for (arguments, code) in [(["check", file.path(), ""], 1), (["serve", "--config", file.path()], 2)] {
            let mut larder = Larder::run(arguments.iter().filter(|a| !a.is_empty()));
            assert_eq!(larder.exit().await, code, "{}", larder.stderr());
            assert!(larder.stderr().contains(words), "{}", larder.stderr());
        }
    }
}

/// A configuration whose origin is asked over TLS, as `localhost`.
fn by_https(port: u16) -> String {
    format!(
        "listen: {{listen}}\nadmin:\n  listen: {{admin}}\norigins:\n  app:\n    servers: [{{ url: 'https://localhost:{port}' }}]\n    \
         timeouts: {{ first_byte: 5s }}\n"
    )
}

#[tokio::test]
async fn origins_are_asked_over_tls() {
    let origin = Origin::start().await;
    origin.page("/p", "from behind").cache_control(FRESH);
    origin.dynamic("/echo", |seen| Reply::ok(seen.body.clone()));
    origin.answers("/socket", Reply::upgrade().status(101));
    let authority = Authority::new();
    let plain: SocketAddr = origin.url().trim_start_matches("http://").parse().unwrap();
    let port = authority.issue(&["localhost"]).in_front_of(plain).await.port();
    let edge = Edge::trusting(authority.path(), &origin, &by_https(port)).await;
    edge.get("/p").await.status(200).is("from behind");
    edge.stored("/p").await;
    edge.post("/echo", "both ways").await.status(200).is("both ways");
    let mut client = edge.raw().await;
    let head = "GET /socket HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.send(head).await.head().await.status(101);
    client.send("hello").await.through("hello").await;
}

#[tokio::test]
async fn an_origin_that_cannot_prove_who_it_is_is_told_nothing() {
    let origin = Origin::start().await;
    origin.page("/p", "secret").cache_control(FRESH);
    let plain: SocketAddr = origin.url().trim_start_matches("http://").parse().unwrap();
    let (trusted, stranger) = (Authority::new(), Authority::new());
    for issued in [
        trusted.issue(&["example.test"]),
        stranger.issue(&["localhost"]),
        trusted.issue_for(&["localhost"], 2020, 2021),
    ] {
        let port = issued.in_front_of(plain).await.port();
        let edge = Edge::trusting(trusted.path(), &origin, &by_https(port)).await;
        edge.get("/p").await.status(502);
        edge.post("/p", "secret").await.status(502);
        let head = "GET /p HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        edge.raw().await.send(head).await.response().await.status(502);
    }
    assert_eq!(origin.total(), 0);
}

//! The command line: what is said of a wrong configuration, exit codes, signals, and the demo (interface, "Command
//! line").

use crate::dsl::{Edge, Larder, Origin, PLAIN, Reply, Request, Scratch, bound, ms, reserve, until};
use std::net::SocketAddr;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// Runs to the end: exit code, stdout, stderr.
async fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut larder = Larder::run(arguments);
    let code = larder.exit().await;
    (code, larder.stdout(), larder.stderr())
}

/// What `check` says of a file.
async fn check(yaml: &str) -> (i32, String) {
    let file = Scratch::file("larder.yaml", yaml);
    let (code, out, err) = run(&["check", file.path()]).await;
    (code, out + &err)
}

const MINIMAL: &str = "listen: 127.0.0.1:8080\norigin: http://127.0.0.1:3000\n";

#[tokio::test]
async fn check_finds_nothing_wrong_with_a_good_file() {
    let (code, said) = check(MINIMAL).await;
    assert_eq!(code, 0, "{said}");
    let routes = "routes:\n  - { name: post, match: \"/blog/{slug}\", revalidate: 60s }\n";
    let (code, said) = check(&[MINIMAL, routes].concat()).await;
    assert_eq!(code, 0, "{said}");
}

#[tokio::test]
async fn check_names_every_fault_with_its_place_and_its_line() {
    let yaml = "listen: 127.0.0.1:8080\n\
                origin: http://127.0.0.1:3000\n\
                lisen: 3\n\
                routes:\n\
                \x20 - name: a\n\
                \x20   match: /a\n\
                \x20   revalidate: 10 parsecs\n\
                server:\n\
                \x20 limits:\n\
                \x20   headers: many\n";
    let (code, said) = check(yaml).await;
    assert_eq!(code, 1, "{said}");
    for part in [
        "larder.yaml:3:1:",
        "lisen: 3",
        "larder.yaml:7:17:",
        "10 parsecs",
        "larder.yaml:10:14:",
        "headers: many",
        "3 faults",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
}

#[tokio::test]
async fn check_refuses_what_cannot_be_meant() {
    for (yaml, words) in [
        ("listen: 127.0.0.1:8081\n", vec!["larder.yaml:3:1:", "duplicate"]),
        ("origins: { app: { servers: [{ url: http://127.0.0.1:1 }] } }\n", vec!["larder.yaml:", "origin"]),
        ("routes:\n  - { match: /a, revalidate: 500ms }\n", vec!["larder.yaml:4:", "revalidate"]),
        ("routes:\n  - { match: /a, revalidate: 60 }\n", vec!["larder.yaml:4:", "60"]),
        ("routes:\n  - { match: /**, revalidate: 60s }\n  - { match: /a, bypass: true }\n", vec!["larder.yaml:5:"]),
        ("routes:\n  - { match: /a, revalidate: 60s, origin: nobody }\n", vec!["larder.yaml:4:", "nobody"]),
        ("routes:\n  - { match: blog, revalidate: 60s }\n", vec!["larder.yaml:4:", "blog"]),
        ("store: { memory: { max_size: huge } }\n", vec!["larder.yaml:3:", "huge"]),
        ("server: { trusted_proxies: [everybody] }\n", vec!["larder.yaml:3:", "everybody"]),
        ("admin: { listen: 0.0.0.0:9900 }\n", vec!["larder.yaml:3:", "token"]),
        ("logging:\n  level: ${LARDER_IT_UNSET:?say how much}\n", vec!["larder.yaml:4:", "say how much"]),
        ("hosts: [[a b]]\n", vec!["larder.yaml:3:", "a b"]),
        ("routes: [\n", vec!["larder.yaml:"]),
        ("\tlisten: x\n", vec!["larder.yaml:"]),
    ] {
        let (code, said) = check(&[MINIMAL, yaml].concat()).await;
        assert_eq!(code, 1, "{yaml}{said}");
        for word in words {
            assert!(said.contains(word), "no `{word}` said of\n{yaml}but\n{said}");
        }
    }
    for (yaml, word) in [
        ("listen: 127.0.0.1:8080\norigin: ftp://127.0.0.1\n", "ftp"),
        ("listen: 127.0.0.1:8080\norigin: not a url\n", "not a url"),
        ("listen: somewhere\norigin: http://127.0.0.1:3000\n", "somewhere"),
        ("listen: 127.0.0.1:8080\n", "origin"),
        ("", "origin"),
        ("just text\n", "larder.yaml:1:1"),
    ] {
        let (code, said) = check(yaml).await;
        assert!(code == 1 && said.contains(word), "{code}: no `{word}` said of\n{yaml}but\n{said}");
    }
}

#[tokio::test]
async fn keys_of_later_versions_are_refused_and_never_ignored() {
    for yaml in ["store: { redis: { url: redis://127.0.0.1 } }\n", "routes:\n  - { match: /a, preset: nextjs }\n"] {
        let (code, said) = check(&[MINIMAL, yaml].concat()).await;
        assert_eq!(code, 1, "{yaml}{said}");
        assert!(said.contains("larder.yaml:") && said.contains("not available in this version"), "{yaml}{said}");
    }
}

#[tokio::test]
async fn hostile_files_end_quickly_with_a_clear_error() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let last = n - 1;
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{last}"); 10].join(", "));
    }
    let many = (0..200_000).map(|n| format!("  - {{ name: r{n}, match: /p{n}, revalidate: 60s }}\n"));
    let large = [MINIMAL, "routes:\n", &many.collect::<String>()].concat();
    assert!(large.len() > 10_000_000);
    let deep = [MINIMAL, "hosts: ", &"[".repeat(100_000), "\n"].concat();
    let noise: String = (0..2000u32).filter_map(|n| char::from_u32(n * 37 % 0xd000)).collect();
    for (what, yaml) in [("aliases", bomb), ("10 MB", large), ("depth", deep), ("noise", noise)] {
        let begun = Instant::now();
        let (code, said) = check(&yaml).await;
        assert_eq!(code, 1, "{what}: {said:.1000}");
        assert!(said.contains("larder.yaml"), "{what}: {said:.1000}");
        assert!(said.len() < 200_000 && begun.elapsed() < ms(15_000), "{what}: {} bytes", said.len());
    }
}

#[tokio::test]
async fn a_missing_file_is_the_users_mistake() {
    for command in [&["check", "/nowhere/larder.yaml"][..], &["serve", "--config", "/nowhere/larder.yaml"]] {
        let (code, _, said) = run(command).await;
        assert!(code == 1 && said.contains("/nowhere/larder.yaml"), "{code}: {said}");
    }
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_refused() {
    let file = Scratch::file("larder.yaml", MINIMAL);
    for (arguments, word) in [
        (vec!["frobnicate"], "frobnicate"),
        (vec!["serve"], "--config"),
        (vec!["serve", "--config", file.path(), "--origin", "http://127.0.0.1:1"], "--origin"),
        (vec!["serve", "--origin", "ftp://127.0.0.1"], "http://"),
        (vec!["serve", "--origin", "http://127.0.0.1:1", "--listen", "nowhere"], "nowhere"),
        (vec!["serve", "--frobnicate"], "--frobnicate"),
    ] {
        let (code, _, said) = run(&arguments).await;
        assert!(code == 1 && said.contains(word), "{arguments:?}: {code}, {said}");
    }
    let (code, said, _) = run(&["--help"]).await;
    assert!(code == 0 && said.contains("serve") && said.contains("check"), "{said}");
    let (code, said, _) = run(&["--version"]).await;
    assert!(code == 0 && said.contains(env!("CARGO_PKG_VERSION")), "{said}");
}

#[tokio::test]
async fn commands_of_later_versions_are_named_as_such() {
    let commands: [&[&str]; 3] = [&["doctor"], &["top"], &["serve", "--upgrade", "--origin", "http://127.0.0.1:1"]];
    for command in commands {
        let (code, _, said) = run(command).await;
        assert!(code == 1 && said.contains("not available in this version"), "{command:?}: {code}, {said}");
    }
}

#[tokio::test]
async fn schema_is_a_json_schema_of_the_configuration() {
    let (code, out, _) = run(&["schema"]).await;
    assert_eq!(code, 0);
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    for key in ["listen", "origin", "origins", "server", "routes", "store", "admin"] {
        assert!(schema["properties"][key].is_object(), "no `{key}` in the schema");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_and_exits_2() {
    let (socket, taken) = reserve();
    let _listener = socket.listen(1).unwrap();
    let (_port, free) = reserve();
    let (taken, free) = (taken.to_string(), free.to_string());
    for (listen, admin) in [(&taken, &free), (&free, &taken)] {
        let (code, _, said) =
            run(&["serve", "--origin", "http://127.0.0.1:1", "--listen", listen, "--admin", admin]).await;
        assert!(code == 2 && said.contains(&taken), "{code}: {said}");
    }
}

#[tokio::test]
async fn serve_does_not_start_on_a_faulty_configuration() {
    let (_port, listen) = reserve();
    let file = Scratch::file("larder.yaml", &format!("listen: {listen}\norigin: http://127.0.0.1:1\nnonsense: 1\n"));
    let (code, _, said) = run(&["serve", "--config", file.path()]).await;
    assert!(code == 1 && said.contains("larder.yaml:3:1:"), "{code}: {said}");
}

#[tokio::test]
async fn an_origin_whose_name_does_not_resolve_yet_is_no_reason_not_to_start() {
    let edge = Edge::in_front_of("http://no-such-host.invalid:3000").await;
    edge.get("/p").await.status(502).header("Cache-Control", "no-store");
    let passed = edge.post("/p", "x").await;
    assert!((502..=503).contains(&passed.code), "{passed:?}");
    edge.admin_get("/readyz").await.status(200);
}

/// Nobody listens any more.
async fn shut(address: SocketAddr) {
    until("the door is shut", async || TcpStream::connect(address).await.is_err()).await;
}

#[tokio::test]
async fn sigterm_lets_a_running_request_end() {
    let origin = Origin::start().await;
    let hold = origin.page("/slow", "done").cache_control("s-maxage=60").held();
    let mut edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    client.send("GET /slow HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.asked("/slow", 1).await;
    edge.larder.signal("TERM");
    shut(edge.listen).await;
    edge.admin_get("/readyz").await.status(503);
    edge.admin_get("/healthz").await.status(200);
    hold.release();
    client.response().await.status(200).is("done");
    assert_eq!(edge.larder.exit().await, 0);
}

#[tokio::test]
async fn sigterm_ends_an_idle_larder_at_once() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control("s-maxage=60");
    for signal in ["TERM", "INT"] {
        let mut edge = Edge::start(&origin).await;
        let mut idle = edge.raw().await;
        idle.send("GET /p HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
        idle.response().await.is("page");
        let begun = Instant::now();
        edge.larder.signal(signal);
        assert_eq!(edge.larder.exit().await, 0, "{signal}");
        assert!(begun.elapsed() < ms(3000), "{signal}: it took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_second_sigterm_waits_for_nobody() {
    let origin = Origin::start().await;
    origin.answers("/never", Reply::hang());
    let mut edge = Edge::start(&origin).await;
    let mut client = edge.raw().await;
    client.send("POST /never HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\n\r\nx").await;
    origin.asked("/never", 1).await;
    edge.larder.signal("TERM");
    shut(edge.listen).await;
    edge.larder.signal("TERM");
    assert!(timeout(ms(4000), edge.larder.exit()).await.is_ok(), "it waits all the same");
}

#[tokio::test]
async fn the_drain_has_an_end() {
    let origin = Origin::start().await;
    origin.answers("/never", Reply::hang());
    let mut edge = Edge::with_config(&origin, &[PLAIN, "server:\n  shutdown: { drain: 1s }\n"].concat()).await;
    let mut client = edge.raw().await;
    client.send("GET /never HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    origin.asked("/never", 1).await;
    let begun = Instant::now();
    edge.larder.signal("TERM");
    assert_eq!(edge.larder.exit().await, 0);
    assert!(begun.elapsed() >= ms(900) && begun.elapsed() < ms(5000), "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn sighup_without_a_file_does_not_end_it() {
    let origin = Origin::start().await;
    origin.page("/p", "page").cache_control("s-maxage=60");
    let edge = Edge::start(&origin).await;
    edge.larder.signal("HUP");
    until("it says so", async || edge.larder.stderr().contains("without a configuration file")).await;
    edge.get("/p").await.is("page");
}

/// Three free ports in a row.
fn three_ports() -> (u16, [TcpSocket; 3]) {
    for _ in 0..100 {
        let (first, address) = reserve();
        let beside = |n: u16| bound(SocketAddr::new(address.ip(), address.port().checked_add(n)?)).ok();
        if let (Some(second), Some(third)) = (beside(1), beside(2)) {
            return (address.port(), [first, second, third]);
        }
    }
    panic!("no three free ports in a row");
}

#[tokio::test]
async fn the_demo_prints_three_addresses_and_serves_them() {
    let (port, _ports) = three_ports();
    let mut demo = Larder::run(["demo", "--port", &port.to_string()]);
    let addresses: Vec<String> = (port..port + 3).map(|port| format!("http://127.0.0.1:{port}")).collect();
    until("it prints its addresses", async || {
        let said = demo.stdout();
        addresses.iter().all(|address| said.contains(address))
    })
    .await;
    let ask = |beside: u16, method: &str, path: &str| {
        let address = SocketAddr::from(([127, 0, 0, 1], port + beside));
        Request::new(address, method, path).host(&address.to_string())
    };
    let home = ask(0, "GET", "/").await;
    home.status(200).header_has("Content-Type", "text/html").cache_status("fwd=uri-miss");
    assert!(home.took >= ms(700), "its origin takes its time");
    until("the page is kept", async || ask(0, "GET", "/").await.is_hit()).await;
    ask(2, "POST", "/_demo/break").await.status(200);
    ask(2, "GET", "/").await.status(500);
    ask(0, "GET", "/").await.status(200).at_once();
    ask(1, "GET", "/").await.status(200).header_has("Content-Type", "text/html");
    demo.signal("INT");
    assert_eq!(demo.exit().await, 0);
}

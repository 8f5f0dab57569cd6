//! What the commands say when it goes wrong: nobody there, not Larder, no token, a refusal; and how they exit.

use super::{GUARDED, TOKEN, as_json, ask, command, explanation, finish, guarded, impostor, paged, problem, run, url};
use crate::dsl::{Edge, Origin, Reply, reserve};

/// One call of each command.
const CALLS: [&[&str]; 6] = [
    &["revalidate", "/p"],
    &["entries"],
    &["explain", "/p"],
    &["versions", "/p"],
    &["deployments"],
    &["deployments", "activate", "b"],
];

#[tokio::test]
async fn the_address_may_lack_its_scheme_and_come_from_the_environment() {
    let origin = Origin::start().await;
    let (edge, admin) = guarded(&origin).await;
    let bare = edge.admin.to_string();
    ask(&bare, TOKEN, &["entries"]).await.fine();
    ask(&format!("{admin}/"), TOKEN, &["entries"]).await.fine();
    let mut from_environment = command(&["revalidate", "/p"]);
    from_environment.env("LARDER_ADMIN", &bare).env("LARDER_ADMIN_TOKEN", TOKEN);
    // Somebody else's proxy is no place for a token.
    from_environment.env("http_proxy", "http://127.0.0.1:1").env("ALL_PROXY", "http://127.0.0.1:1");
    finish(from_environment).await.fine();
}

#[tokio::test]
async fn what_is_no_address_is_the_users_mistake() {
    for address in
        ["", "not a url", "ftp://127.0.0.1:9900", "http://", "http://:9900", "127.0.0.1:99999", "http://127.0.0.1:1/x"]
    {
        ask(address, TOKEN, &["entries"])
            .await
            .fails(1, &[&format!("`{address}`"), "http://127.0.0.1:9900", "--admin"]);
    }
    ask("https://127.0.0.1:9900", TOKEN, &["entries"]).await.fails(1, &["http://127.0.0.1:9900", "TLS"]);
    ask("http://127.0.0.1:9900", "to\nken", &["entries"]).await.fails(1, &["--token", "admin.token"]);
}

#[tokio::test]
async fn where_nobody_listens_the_address_is_named() {
    let (_port, address) = reserve();
    let admin = url(address);
    for call in CALLS {
        let ran = ask(&admin, TOKEN, call).await;
        ran.fails(2, &[&admin, "--admin", "LARDER_ADMIN"]);
        assert_eq!(ran.out, "");
    }
}

#[tokio::test]
async fn what_is_not_larder_is_told_so() {
    let html = |body: &str| Reply::ok(body).header("Content-Type", "text/html");
    let somebody = Origin::start().await;
    for reply in [
        html("<!doctype html><title>Welcome</title>"),
        html("no such page").status(404),
        html("who are you").status(401),
        Reply::ok("{\"hello\":\"world\"}").header("Content-Type", "application/json"),
        Reply::ok("").status(302).header("Location", "/elsewhere"),
        Reply::raw("SSH-2.0-OpenSSH_9.2\r\n"),
        Reply::close(),
        Reply::reset(),
    ] {
        somebody.everything(move |_| reply.clone());
        for call in CALLS {
            for json in [&[] as &[&str], &["--json"]] {
                let ran = ask(&somebody.url(), TOKEN, &[call, json].concat()).await;
                ran.fails(2, &[&somebody.url(), "--admin", "LARDER_ADMIN"]);
                assert_eq!(ran.out, "");
            }
        }
    }
    assert_eq!(somebody.count("/elsewhere"), 0, "the token goes nowhere else");
}

#[tokio::test]
async fn without_the_right_token_it_is_said_where_that_is() {
    let origin = Origin::start().await;
    let (edge, admin) = guarded(&origin).await;
    for call in CALLS {
        let none = run(&[call, &["--admin", &admin]].concat()).await;
        none.fails(1, &[&admin, "--token", "LARDER_ADMIN_TOKEN", "admin.token", "prints"]);
        ask(&admin, "", call).await.fails(1, &["wants a token"]);
        ask(&admin, "wrong", call).await.fails(1, &[&admin, "--token", "admin.token"]);
    }
    assert!(!edge.larder.stderr().contains("wrong"), "tokens are not logged");
}

#[tokio::test]
async fn a_token_of_too_small_a_scope_is_told_what_it_lacks() {
    let origin = Origin::start().await;
    let tokens = "  tokens:\n    - { token: a-token-that-reads-0123456789abcdef, scope: read }\n    \
                  - { token: a-token-that-writes-0123456789abcde, scope: revalidate }\n";
    let edge = Edge::with_config(&origin, &[GUARDED, tokens].concat()).await;
    let admin = url(edge.admin);
    let (reads, writes) = ("a-token-that-reads-0123456789abcdef", "a-token-that-writes-0123456789abcde");
    ask(&admin, reads, &["entries"]).await.fine();
    ask(&admin, reads, &["explain", "/p"]).await.fine();
    ask(&admin, reads, &["revalidate", "/p"]).await.fails(1, &[&admin, "scope", "admin.token"]);
    ask(&admin, writes, &["revalidate", "/p"]).await.fine();
    ask(&admin, writes, &["entries"]).await.fails(1, &[&admin, "scope", "admin.token"]);
}

#[tokio::test]
async fn a_refusal_comes_with_its_reason() {
    let origin = Origin::start().await;
    let (_edge, admin) = guarded(&origin).await;
    ask(&admin, TOKEN, &["revalidate", "no-slash"]).await.fails(1, &["paths[0]"]);
    ask(&admin, TOKEN, &["explain", "ftp://site.test/"]).await.fails(1, &["url"]);
    ask(&admin, TOKEN, &["revalidate", "--prefix", "/a", "--regenerate"]).await.fails(1, &["regenerate"]);

    for (status, code, words) in [
        (404, 1, ["/v1/entries", "older"]),
        (422, 1, ["refuses", "the reason"]),
        (413, 1, ["refuses", "the reason"]),
        (503, 2, ["503", "the reason"]),
        (501, 2, ["501", "the reason"]),
    ] {
        let api = impostor(move |_| problem(status, "the reason")).await;
        let ran = ask(&api.url(), TOKEN, &["entries", "--json"]).await;
        ran.fails(code, &words);
        assert_eq!(ran.out, "", "{status}");
    }
}

#[tokio::test]
async fn arguments_that_say_nothing_are_refused_before_anybody_is_asked() {
    for (arguments, words) in [
        (vec!["revalidate"], vec!["PATH", "--prefix", "--tag", "--route"]),
        (vec!["revalidate", "--hard"], vec!["--prefix /"]),
        (vec!["explain"], vec!["URL"]),
        (vec!["entries", "--state", "rotten"], vec!["rotten", "expired"]),
        (vec!["entries", "--limit", "many"], vec!["--limit"]),
    ] {
        run(&arguments).await.fails(1, &words);
    }
    for call in CALLS {
        let help = run(&[call[0], "--help"]).await.fine();
        assert!(help.contains("--admin") && help.contains("LARDER_ADMIN_TOKEN") && help.contains("--json"), "{help}");
    }
}

#[tokio::test]
async fn who_reads_no_further_causes_no_panic() {
    let api = impostor(paged).await;
    let explained = impostor(|_| as_json(&explanation())).await;
    for (api, arguments) in
        [(&api, vec!["entries"]), (&api, vec!["entries", "--json"]), (&explained, vec!["explain", "/p"])]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = command(&[&arguments[..], &["--admin", &api.url()]].concat());
        command.stdout(writer);
        drop(reader);
        let ran = finish(command).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
    }
}

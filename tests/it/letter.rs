//! What RFC 9110 and 9111 ask of a shared cache and a gateway beside what the public suite looks at.

use crate::dsl::{BytesOrigin, Edge, HOST, Origin, Reply, until};

const CONFIG: &str = "listen: {listen}\norigin: {origin}\nadmin: { listen: {admin} }\nprofile: rfc9111\n\
                      logging: { access: { output: off } }\n";
const FRESH: &str = "max-age=600";

async fn larder(origin: &Origin) -> Edge {
    Edge::with_config(origin, CONFIG).await
}

/// RFC 9111, 3.5.
#[tokio::test]
async fn what_somebodys_credentials_bring_renews_nothing_for_others() {
    for stale in ["max-age=5", "max-age=5, stale-while-revalidate=600"] {
        let origin = Origin::start().await;
        origin.dynamic("/p", move |seen| match seen.field("authorization") {
            None => Reply::ok("everybody's").header("ETag", "\"a\"").cache_control(stale).header("Age", "10"),
            Some(_) if seen.field("if-none-match").is_some() => {
                Reply::ok("").status(304).header("ETag", "\"a\"").cache_control(FRESH).header("Set-Cookie", "s=alice")
            }
            Some(_) => Reply::ok("alice's").cache_control("private"),
        });
        let edge = larder(&origin).await;
        edge.get("/p").await.is("everybody's");
        until("it is stored", async || !edge.get("/p").await.field("cache-status").unwrap().contains("uri-miss")).await;
        for _ in 0..5 {
            edge.get("/p").header("Authorization", "Bearer alice").await.status(200);
            edge.get("/p").await.is("everybody's").no_header("Set-Cookie");
        }
    }
}

/// RFC 9111, 4.1.
#[tokio::test]
async fn a_304_that_begins_to_vary_renews_the_page_for_nobody_else() {
    let origin = Origin::start().await;
    origin.page("/p", "alike").header("ETag", "\"a\"").cache_control("max-age=5").header("Age", "10");
    let edge = larder(&origin).await;
    edge.get("/p").await.is("alike");
    origin.dynamic("/p", |seen| {
        let colour = seen.field("x-colour").unwrap_or_default();
        let reply = Reply::ok(colour).header("ETag", "\"a\"").cache_control(FRESH).header("Vary", "X-Colour");
        if seen.field("if-none-match").is_some() { reply.status(304) } else { reply }
    });
    until("it varies", async || edge.get("/p").header("X-Colour", "red").await.text() == "red").await;
    edge.get("/p").header("X-Colour", "blue").await.is("blue");
}

/// RFC 9111, 4.1: what a fill has of its visitor selects.
#[tokio::test]
async fn a_page_that_varies_with_anything_that_is_sent_is_for_who_sends_the_same() {
    let origin = Origin::start().await;
    for name in ["Next-Router-Prefetch", "Next-Url", "Cache-Control", "User-Agent", "Cookie"] {
        let path = format!("/{}", name.to_ascii_lowercase());
        origin.dynamic(&path, move |seen| {
            Reply::ok(seen.field(name).unwrap_or_default()).cache_control(FRESH).header("Vary", name)
        });
    }
    let edge = larder(&origin).await;
    for name in ["Next-Router-Prefetch", "Next-Url", "Cache-Control", "User-Agent", "Cookie"] {
        let path = format!("/{}", name.to_ascii_lowercase());
        // A comma is not always between the members of a list.
        let lists = name.starts_with('N') || name.starts_with("Cache");
        let values = if lists { ["one", "two", "three"] } else { ["M/5 (like, it)", "M/5 (like,it)", "other"] };
        for value in values {
            for _ in 0..2 {
                edge.get(&path).header(name, value).await.is(value);
            }
        }
    }
    until("who has no User-Agent has a variant", async || edge.get("/user-agent").await.is_hit()).await;
}

/// RFC 9111, 2: the key is the target.
#[tokio::test]
async fn no_parameter_is_taken_out_of_a_target() {
    let origin = Origin::start().await;
    origin.dynamic("/p", |seen| Reply::ok(seen.target.clone()).cache_control(FRESH));
    let edge = larder(&origin).await;
    for target in ["/p", "/p?gclid=7", "/p?utm_source=a&b=1&gclid=3"] {
        edge.stored(target).await.is(target);
    }
}

/// RFC 5861, 4; RFC 9111, 5.2.2.10.
#[tokio::test]
async fn a_page_answers_for_a_failing_origin_for_as_long_as_it_says() {
    let origin = Origin::start().await;
    let cases = [
        ("/no", "s-maxage=5, stale-if-error=2", 500),
        ("/not-now", "s-maxage=5, stale-while-revalidate=2", 500),
        ("/never", "max-age=5, stale-if-error=0", 500),
        ("/yes", "s-maxage=5, stale-if-error=600", 200),
        ("/as-ever", "max-age=5", 200),
    ];
    for (path, says, _) in cases {
        origin.page(path, "old").cache_control(says).header("Age", "10").header("ETag", "\"a\"");
    }
    let edge = larder(&origin).await;
    for (path, says, expected) in cases {
        let kept = async || edge.get(path).await.field("cache-status").unwrap().contains("fwd=stale");
        until("it is stored", kept).await;
        origin.page(path, "sorry").status(500);
        edge.get(path).await;
        let answer =
            edge.first(path, "the fill before has ended", |a| !a.field("cache-status").unwrap().contains("200"));
        assert_eq!(answer.await.code, expected, "{says}");
    }
}

/// RFC 9110, 7.6.1.
#[tokio::test]
async fn what_connection_names_goes_no_further() {
    let origin = Origin::start().await;
    for path in ["/fill", "/passed"] {
        origin.page(path, "page").cache_control(FRESH);
    }
    let edge = larder(&origin).await;
    for (method, path) in [("GET", "/fill"), ("DELETE", "/passed")] {
        let asked = edge.ask(method, path).header("Connection", "X-Debug, Authorization, TE");
        let asked = asked.header("X-Debug", "1").header("Authorization", "Basic eDp5").header("TE", "trailers");
        asked.header("Proxy-Authorization", "Basic eDp5").header("X-Other", "1").await.is("page");
        let seen = origin.last(path);
        for name in ["x-debug", "authorization", "te", "proxy-authorization"] {
            assert_eq!(seen.field(name), None, "{method} {name}");
        }
        assert!(["host", "x-other", "x-forwarded-proto"].iter().all(|name| seen.field(name).is_some()), "{seen:?}");
    }
    edge.get("/fill").header("Authorization", "Basic eDp5").await.is("page").cache_status("hit");
}

async fn in_front_of(origin: &BytesOrigin, profile: &str) -> Edge {
    let url = format!("http://{}", origin.address);
    let config = CONFIG.replace("{origin}", &url).replace("profile: rfc9111", profile);
    Edge::with_config(&Origin::start().await, &config).await
}

/// RFC 9110, 15.2 and 10.1.1.
#[tokio::test]
async fn http_1_0_hears_of_nothing_but_the_answer() {
    let words = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    let origin = BytesOrigin::start(move |_| vec![words.into()]).await;
    let edge = in_front_of(&origin, "profile: isr").await;
    let mut client = edge.raw().await;
    let head = format!("POST /p HTTP/1.0\r\nHost: {HOST}\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n");
    client.send(head).await.response_to("POST").await.status(200).is("done");
}

/// RFC 9110, 8.6; RFC 9112, 2.3 and 6.1.
#[tokio::test]
async fn what_is_passed_is_framed_as_we_speak() {
    let origin = BytesOrigin::start(|target| {
        vec![match target {
            "/length" => "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n".into(),
            "/chunked" => "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            _ => "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".into(),
        }]
    })
    .await;
    let edge = in_front_of(&origin, "profile: isr").await;
    for path in ["/length", "/chunked"] {
        let answer = edge.ask("DELETE", path).await;
        answer.status(204).no_header("Content-Length").no_header("Transfer-Encoding");
    }
    let mut client = edge.raw().await;
    client.send(format!("DELETE /old HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
    assert!(client.closed().await.starts_with("HTTP/1.1 200"));
}

/// RFC 9110, 8.4; RFC 9111, 5.2.2.6; RFC 9530.
#[tokio::test]
async fn a_coding_that_is_undone_takes_along_what_was_said_of_it() {
    const DIGESTS: [&str; 3] = ["Content-MD5", "Content-Digest", "Repr-Digest"];
    let origin = Origin::start().await;
    let gzipped = |text: &str| {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut coder, text.as_bytes()).unwrap();
        let reply = Reply::ok(coder.finish().unwrap()).header("Content-Encoding", "gzip");
        DIGESTS.iter().fold(reply, |reply, name| reply.header(name, "of the coded"))
    };
    origin.answers("/p", gzipped("page").cache_control("s-maxage=600"));
    origin.answers("/kept", gzipped("page").cache_control("s-maxage=600, no-transform"));
    origin.answers("/empty", Reply::ok("").status(301).header("Location", "/p").header("Content-Encoding", "gzip"));
    let edge = Edge::start(&origin).await;
    edge.get("/p").await;
    let page = edge.stored("/p").await;
    page.is("page").no_header("Content-Encoding");
    for name in DIGESTS {
        page.no_header(name);
    }
    let kept = edge.get("/kept").header("Accept-Encoding", "gzip").await;
    kept.header("Content-Encoding", "gzip").header("Content-MD5", "of the coded");
    edge.get("/empty").await.status(301);
}

/// RFC 9110, 15.5.17: a cache behind us must not take it for the page.
#[tokio::test]
async fn a_416_says_nothing_of_the_page_but_its_length() {
    let origin = Origin::start().await;
    origin
        .page("/p", "page")
        .cache_control(FRESH)
        .header("ETag", "\"a\"")
        .header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    let edge = larder(&origin).await;
    edge.stored("/p").await;
    let answer = edge.get("/p").header("Range", "bytes=100-").await;
    answer.status(416).header("Content-Range", "bytes */4");
    for name in ["Cache-Control", "ETag", "Last-Modified"] {
        answer.no_header(name);
    }
}

//! `profile: rfc9111`: a page of which the beginning is stored is asked for its rest, and joined only where that is sure
//! (RFC 9111, 3.3 and 3.4).

use crate::dsl::{Origin, Reply, until};
use crate::gathered::{ALPHABET, FRESH, TAG, file, is_stored, larder, ranged, serve, slice};

#[tokio::test]
async fn a_part_has_no_digest_of_other_bytes() {
    let origin = Origin::start().await;
    origin.dynamic("/file", |seen| {
        let reply = file(seen.field("range").as_deref()).header("Content-Digest", "sha-256=:x:");
        reply.header("Content-MD5", "x").header("Repr-Digest", "sha-256=:y:")
    });
    let edge = larder(&origin).await;
    is_stored("0-9", || ranged(&edge, "/file", "0-9")).await;
    let inner = ranged(&edge, "/file", "2-4").await;
    inner.is("cde").no_header("Content-Digest").no_header("Content-MD5").header("Repr-Digest", "sha-256=:y:");
    let whole = edge.get("/file").await;
    whole.is(ALPHABET).no_header("Content-Digest").no_header("Content-MD5").header("Repr-Digest", "sha-256=:y:");
    edge.stored("/file").await.is(ALPHABET);
    ranged(&edge, "/file", "2-4").await.is("cde").no_header("Content-Digest").cache_status("hit; ttl=");
}

#[tokio::test]
async fn a_page_whose_beginning_is_stored_is_asked_for_the_rest() {
    let origin = Origin::start().await;
    serve(&origin, "/file");
    let edge = larder(&origin).await;
    is_stored("0-9", || ranged(&edge, "/file", "0-9")).await;
    let whole = edge.get("/file").await;
    whole.status(200).is(ALPHABET).no_header("Content-Range").header("Content-Length", "26").header("ETag", TAG);
    let rest = origin.last("/file");
    assert_eq!(rest.field("range").as_deref(), Some("bytes=10-"));
    assert_eq!(rest.field("if-range").as_deref(), Some(TAG));
    let asked = origin.count("/file");
    edge.stored("/file").await.status(200).is(ALPHABET).header("Content-Length", "26");
    assert_eq!(origin.count("/file"), asked);
}

#[tokio::test]
async fn a_rest_that_does_not_fit_is_never_joined() {
    let rest =
        |content_range: &str| Reply::ok("rest").status(206).header("Content-Range", content_range).cache_control(FRESH);
    let cases: [(&str, Reply); 10] = [
        ("/refused", Reply::ok("no").status(403)),
        ("/sick", Reply::ok("no").status(500).cache_control(FRESH)),
        ("/gone", Reply::ok("no").status(404).cache_control(FRESH)),
        ("/changed", slice(10, 25).header("ETag", "\"two\"")),
        ("/no-tag", slice(10, 25)),
        ("/weak", slice(10, 25).header("ETag", "W/\"one\"")),
        ("/elsewhere", slice(12, 25).header("ETag", TAG)),
        ("/not-all", slice(10, 20).header("ETag", TAG)),
        ("/another-length", rest("bytes 10-13/14").header("ETag", TAG)),
        ("/416", Reply::ok("").status(416).header("Content-Range", "bytes */5")),
    ];
    let origin = Origin::start().await;
    for (path, reply) in cases.clone() {
        origin.dynamic(path, move |seen| match seen.field("range").as_deref() {
            Some("bytes=10-") => reply.clone(),
            Some(_) => slice(0, 9).header("ETag", TAG),
            None => Reply::ok("anew").cache_control(FRESH),
        });
    }
    let edge = larder(&origin).await;
    for (path, _) in cases {
        is_stored(path, || ranged(&edge, path, "0-9")).await;
        edge.get(path).await.status(200).is("anew");
        let ranges: Vec<_> = origin.requests(path).iter().rev().take(2).map(|seen| seen.field("range")).collect();
        assert_eq!(ranges, [None, Some("bytes=10-".to_owned())], "{path}");
        edge.stored(path).await.is("anew");
    }
}

#[tokio::test]
async fn a_rest_that_breaks_off_breaks_the_answer_off() {
    let origin = Origin::start().await;
    origin.dynamic("/file", |seen| match seen.field("range").as_deref() {
        Some("bytes=10-") => slice(10, 25).header("ETag", TAG).short(3),
        range => file(range),
    });
    origin.dynamic("/chunks", |seen| match seen.field("range").as_deref() {
        // Fewer than its Content-Range says, and a proper end.
        Some("bytes=10-") => {
            let fields = "HTTP/1.1 206 Partial\r\nContent-Range: bytes 10-25/26\r\nETag: \"one\"\r\nCache-Control: max-age=600\r\n";
            Reply::raw(&format!("{fields}Transfer-Encoding: chunked\r\n\r\n3\r\nklm\r\n0\r\n\r\n"))
        }
        range => file(range),
    });
    let edge = larder(&origin).await;
    for path in ["/file", "/chunks"] {
        is_stored(path, || ranged(&edge, path, "0-9")).await;
        let broken = edge.get(path).send().await;
        assert!(broken.as_ref().map_or(true, |answer| !answer.whole || answer.code == 502), "{path}: {broken:?}");
        // The failure is everybody's for a second; then all is as it was.
        until("the part is passed again", async || {
            let part = ranged(&edge, path, "0-9").send().await;
            part.is_ok_and(|part| part.code == 206 && part.text() == "abcdefghij")
        })
        .await;
    }
}

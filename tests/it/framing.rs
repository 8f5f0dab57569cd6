//! How the bodies of origins' answers are framed (RFC 9112, 6.3): with one reading, or not at all.

use crate::dsl::{BytesOrigin, Edge, Origin, Response};

const FRESH: &str = "Cache-Control: s-maxage=60\r\n";

async fn edge(origin: &BytesOrigin) -> Edge {
    let yaml = format!(
        "listen: '{{listen}}'\norigins: {{ app: {{ servers: [{{ url: 'http://{}' }}], timeouts: {{ between_bytes: 1s }} }} }}\n\
         admin: {{ listen: '{{admin}}' }}\n",
        origin.address
    );
    Edge::with_config(&Origin::start().await, &yaml).await
}

/// By both roads.
async fn both(edge: &Edge, path: &str) -> [Result<Response, String>; 2] {
    [edge.get(path).send().await, edge.ask("DELETE", path).send().await]
}

#[tokio::test]
async fn answers_with_two_readings_reach_nobody() {
    let chunked = "2\r\nok\r\n0\r\n\r\n";
    let cases = [
        ("two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n", "okk"),
        ("two lengths in a line", "Content-Length: 2, 3\r\n", "okk"),
        ("a negative length", "Content-Length: -1\r\n", "ok"),
        ("a length with a sign", "Content-Length: +2\r\n", "ok"),
        ("a hexadecimal length", "Content-Length: 0x2\r\n", "ok"),
        ("a length that no machine has", "Content-Length: 99999999999999999999999\r\n", "ok"),
        ("an unknown coding", "Transfer-Encoding: gzip\r\n", "ok"),
        ("chunks that were chunked", "Transfer-Encoding: chunked, chunked\r\n", chunked),
        ("chunked, and something behind it", "Transfer-Encoding: chunked, identity\r\n", chunked),
    ];
    for (what, framing, body) in cases {
        let answer = format!("HTTP/1.1 200 OK\r\n{FRESH}{framing}\r\n{body}");
        let origin = BytesOrigin::start(move |_| vec![answer.clone().into()]).await;
        let edge = edge(&origin).await;
        for answer in both(&edge, "/").await {
            assert!(answer.as_ref().is_ok_and(|answer| answer.code == 502), "{what}: {answer:?}");
        }
    }
}

/// In chunks, or with its length.
fn has_one_reading(answer: &Response) {
    answer.status(200).is("ok");
    let framing = (answer.field("content-length"), answer.field("transfer-encoding"));
    let framing = (framing.0.as_deref(), framing.1.as_deref());
    assert!(matches!(framing, (Some("2"), None) | (None, Some("chunked"))), "{framing:?}");
}

/// Chunked overrides a length, which is not sent on (RFC 9112, 6.3): the lengths here are lies.
#[tokio::test]
async fn of_two_framings_the_chunks_count() {
    for framing in
        ["Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 9\r\n"]
    {
        let answer = format!("HTTP/1.1 200 OK\r\n{FRESH}{framing}\r\n2\r\nok\r\n0\r\n\r\n");
        let origin = BytesOrigin::start(move |_| vec![answer.clone().into()]).await;
        let edge = edge(&origin).await;
        for answer in both(&edge, "/").await {
            has_one_reading(&answer.unwrap());
        }
    }
}

#[tokio::test]
async fn what_comes_behind_a_body_is_nobodys_answer() {
    let origin = BytesOrigin::start(|target| {
        let more = "HTTP/1.1 200 OK\r\nCache-Control: s-maxage=60\r\nContent-Length: 6\r\n\r\nstolen";
        let length = target.len();
        vec![format!("HTTP/1.1 200 OK\r\n{FRESH}Content-Length: {length}\r\n\r\n{target}{more}").into()]
    })
    .await;
    let edge = edge(&origin).await;
    for n in 0..20 {
        let path = format!("/{n}");
        for answer in both(&edge, &path).await {
            answer.unwrap().status(200).is(&path);
        }
    }
}

#[tokio::test]
async fn lengths_that_agree_are_one() {
    for framing in ["Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length: 2, 2\r\n"] {
        let origin =
            BytesOrigin::start(move |_| vec![format!("HTTP/1.1 200 OK\r\n{FRESH}{framing}\r\nok").into()]).await;
        let edge = edge(&origin).await;
        for answer in both(&edge, "/").await {
            has_one_reading(&answer.unwrap());
        }
    }
}

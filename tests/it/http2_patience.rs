//! How long clients of HTTP/2 may take, and how much they may ask at once.

use crate::dsl::{Edge, HOST, Http2, Origin, Raw, in_time, ms, of, until};
use crate::http2::{FRESH, edge};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_limits_are_told_and_hold() {
    let origin = Origin::start().await;
    let hold = origin.page("/slow", "slow").held();
    let edge = edge(&origin).await;
    let mut stream = TcpStream::connect(edge.listen).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    in_time("the settings", stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS come first");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).await.unwrap();
    let told = |id: u8| {
        let one =
            settings.chunks(6).find(|one| one[1] == id).map(|one| u32::from_be_bytes([one[2], one[3], one[4], one[5]]));
        one.unwrap_or(u32::MAX)
    };
    assert_eq!((told(3), told(6)), (100, 64 * 1024), "streams, and bytes of fields");
    drop(hold);
}

#[tokio::test]
async fn requests_that_are_reset_at_once_do_not_pile_up() {
    let origin = Origin::start().await;
    origin.page("/fine", "fine").cache_control(FRESH);
    let hold = origin.page("/slow", "slow").cache_control("private").held();
    let edge = edge(&origin).await;
    let mut abuser = TcpStream::connect(edge.listen).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for n in 0..5000_u32 {
        let stream = (2 * n + 1).to_be_bytes();
        let path = format!("/slow?{n}");
        // GET, http, a path and a host (RFC 7541, 6), and a reset.
        let length = |of: &[u8]| u8::try_from(of.len()).unwrap();
        let fields =
            [&[0x82, 0x86, 0x04, length(path.as_bytes())][..], path.as_bytes(), &[0x41, 9], HOST.as_bytes()].concat();
        bytes.extend(
            [&[0, 0, length(&fields), 1, 5][..], &stream, &fields, &[0, 0, 4, 3, 0], &stream, &[0, 0, 0, 8]].concat(),
        );
    }
    let _ = abuser.write_all(&bytes).await;
    let mut said = Vec::new();
    let _ = in_time("an end of it", abuser.read_to_end(&mut said)).await;
    let calm = said.windows(9).position(|frame| frame[3] == 7 && frame[4] == 0);
    assert_eq!(calm.map(|at| said[at + 16]), Some(11), "ENHANCE_YOUR_CALM (RFC 9113, 7)");
    assert!(origin.total() <= 256, "{} requests reached the origin", origin.total());
    Http2::plain(edge.listen).await.get("/fine").await.status(200).is("fine");
    drop(hold);
}

#[tokio::test]
async fn a_client_that_waits_for_nothing_is_sent_away_and_one_that_waits_is_not() {
    let origin = Origin::start().await;
    let hold = origin.page("/slow", "slow").held();
    origin.page("/p", "x").cache_control(FRESH);
    let edge = edge(&origin).await;
    let idle = Http2::plain(edge.listen).await;
    idle.get("/p").await.status(200);
    let busy = Http2::plain(edge.listen).await;
    let waiting = busy.begin(of("GET", "/slow"), true).await;
    let mut idle = idle;
    idle.is_ended().await;
    hold.release();
    waiting.response().await.unwrap().is("slow");
    busy.get("/p").await.is("x");
}

#[tokio::test]
async fn a_preface_that_does_not_come_holds_nothing_open() {
    let origin = Origin::start().await;
    origin.page("/", "short").cache_control(FRESH);
    let edge = edge(&origin).await;
    for sent in ["P", "PRI * HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = Raw::open(edge.listen).await;
        client.send(sent).await;
        assert!(client.closed_within(ms(10_000)).await.is_some(), "{sent:?}");
    }
    // Shorter than the preface, and a request.
    let mut client = Raw::open(edge.listen).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await.response().await.status(200).is("short");
    edge.get("/").await.status(200).is("short");
}

#[tokio::test]
async fn without_h2c_the_preface_is_an_unknown_version() {
    let origin = Origin::start().await;
    let edge = Edge::start(&origin).await;
    let mut client = Raw::open(edge.listen).await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.response().await.status(505);
    // Nor behind another request.
    let edge = crate::http2::edge(&origin).await;
    let mut client = Raw::open(edge.listen).await;
    client.send(format!("GET /x HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.response().await.status(404);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.response().await.status(505);
}

#[tokio::test]
async fn leaving_larder_waits_for_who_still_reads() {
    let origin = Origin::start().await;
    let page = "x".repeat(60_000);
    origin.page("/p", &page).cache_control(FRESH);
    let mut edge = edge(&origin).await;
    edge.stored("/p").await;
    // Windows that take everything, and a socket that takes nothing for a while.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(edge.listen).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff".to_vec();
    bytes.extend(b"\0\0\x04\x08\0\0\0\0\0\x70\0\0\0");
    let fields = [&[0x82, 0x86, 0x04, 2][..], b"/p", &[0x41, 9], HOST.as_bytes()].concat();
    for n in 0..90_u8 {
        let stream = [0, 0, 0, 2 * n + 1];
        bytes.extend([&[0, 0, u8::try_from(fields.len()).unwrap(), 1, 5][..], &stream, &fields].concat());
    }
    stream.write_all(&bytes).await.unwrap();
    until("all are on their way", async || {
        edge.metric("larder_requests_total{cache=\"hit\"}").await >= 90.0
            || edge.metric("larder_requests_total").await >= 20.0
    })
    .await;
    edge.larder.signal("TERM");
    until("it takes no more", async || TcpStream::connect(edge.listen).await.is_err()).await;
    let since = tokio::time::Instant::now();
    until("he has paused", async || since.elapsed() > ms(2500)).await;
    let (mut read, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    while !whole_streams(&read).len().eq(&90) {
        let n = in_time("more", stream.read(&mut buffer)).await.unwrap();
        assert!(n > 0, "cut off after {} of 90 pages", whole_streams(&read).len());
        read.extend_from_slice(&buffer[..n]);
    }
    drop(stream);
    assert_eq!(edge.larder.exit().await, 0);
}

/// The streams whose end is there.
fn whole_streams(mut bytes: &[u8]) -> std::collections::HashSet<u32> {
    let mut whole = std::collections::HashSet::new();
    while let [a, b, c, kind, flags, stream @ ..] = bytes {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let Some(id) = stream.first_chunk::<4>() else { break };
        if bytes.len() < 9 + length {
            break;
        }
        if *kind < 2 && flags & 1 != 0 {
            whole.insert(u32::from_be_bytes(*id));
        }
        bytes = &bytes[9 + length..];
    }
    whole
}

#[tokio::test]
async fn leaving_larder_answers_what_it_has_taken() {
    let origin = Origin::start().await;
    let hold = origin.page("/slow", "slow").held();
    let mut edge = edge(&origin).await;
    let client = Http2::plain(edge.listen).await;
    let waiting = client.begin(of("GET", "/slow"), true).await;
    origin.asked("/slow", 1).await;
    edge.larder.signal("TERM");
    until("it takes no more", async || TcpStream::connect(edge.listen).await.is_err()).await;
    hold.release();
    waiting.response().await.unwrap().status(200).is("slow");
    client.ended().await.unwrap();
    assert_eq!(edge.larder.exit().await, 0);
}

#[tokio::test]
async fn a_reader_who_takes_nothing_is_given_up_and_one_who_takes_his_time_is_not() {
    let origin = Origin::start().await;
    let page = "x".repeat(60_000);
    origin.page("/p", &page).cache_control(FRESH);
    let edge = edge(&origin).await;
    edge.stored("/p").await;
    let (mut builder, tcp) = (h2::client::Builder::new(), TcpStream::connect(edge.listen).await.unwrap());
    let (requests, connection) = builder.initial_window_size(1000).handshake::<_, Bytes>(tcp).await.unwrap();
    tokio::spawn(connection);
    let ask = async || {
        let mut requests = requests.clone().ready().await.unwrap();
        let (answer, _) = requests.send_request(of("GET", "/p").body(()).unwrap(), true).unwrap();
        in_time("an answer", answer).await.unwrap().into_body()
    };
    let (mut unread, mut slow) = (ask().await, ask().await);
    let (mut read, mut given_up) = (0, false);
    // A piece at a time; each makes room for the next.
    while let Some(piece) = in_time("a piece", slow.data()).await {
        let piece = piece.unwrap();
        read += piece.len();
        slow.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(read, page.len());
    while let Some(piece) = in_time("an end", unread.data()).await {
        given_up = piece.is_err();
        if given_up {
            break;
        }
    }
    assert!(given_up, "10 s without a byte are too many");
}

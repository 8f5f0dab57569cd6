//! An origin that trusts nobody: it takes down whatever a proxy may not send, and answers with any bytes.

use crate::dsl::latin;
use crate::strict::{self, End, Request};
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What comes back for a request.
#[derive(Clone, Debug)]
pub struct Answer {
    pub bytes: Vec<u8>,
    /// The connection stays open behind it.
    pub keep: bool,
}

type Respond = Box<dyn Fn(&Request) -> Answer + Send + Sync>;

struct Shared {
    respond: Respond,
    paths: Mutex<HashSet<String>>,
    faults: Mutex<Vec<String>>,
    connections: Mutex<Vec<JoinHandle<()>>>,
}

pub struct Recorder {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl Recorder {
    pub async fn start(respond: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Recorder {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            respond: Box::new(respond),
            paths: Mutex::default(),
            faults: Mutex::default(),
            connections: Mutex::default(),
        });
        let listening = tokio::spawn(accept(shared.clone(), listener));
        Recorder { shared, address, listening }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every path that was asked for.
    pub fn paths(&self) -> HashSet<String> {
        self.shared.paths.lock().unwrap().clone()
    }

    /// What no proxy may send.
    pub fn faults(&self) -> Vec<String> {
        self.shared.faults.lock().unwrap().clone()
    }

    /// Goes away, with every connection.
    pub async fn close(self) {
        self.listening.abort();
        let _ = self.listening.await;
        let connections: Vec<JoinHandle<()>> = self.shared.connections.lock().unwrap().drain(..).collect();
        for connection in connections {
            connection.abort();
            let _ = connection.await;
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = tokio::spawn(serve(shared.clone(), stream));
        shared.connections.lock().unwrap().push(connection);
    }
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut held: Vec<u8> = Vec::new();
    loop {
        let reading = strict::request(&held);
        let begun = reading.request.is_some();
        // Also of a request that breaks off in its body.
        if let Some(request) = &reading.request {
            shared.take_down(request, &held);
        }
        match (reading.request, reading.end) {
            (Some(request), End::At(end)) => {
                drop(held.drain(..end));
                let answer = (shared.respond)(&request);
                if stream.write_all(&answer.bytes).await.is_err() || !answer.keep {
                    return;
                }
            }
            (_, End::Bad(why)) => return shared.fault(why, &held),
            _ => match stream.read_buf(&mut held).await {
                Ok(n) if n > 0 => {}
                Ok(_) if !begun && !held.is_empty() => return shared.fault("bytes that are no request", &held),
                _ => return,
            },
        }
    }
}

impl Shared {
    /// By now it has at most one framing field, a plain length, and lines that end in CRLF.
    fn take_down(&self, request: &Request, held: &[u8]) {
        let values = |name: &str| -> Vec<&str> {
            request.fields.iter().filter(|(n, _)| n.as_str() == name).map(|(_, value)| value.as_str()).collect()
        };
        if values("host").len() != 1 {
            self.fault("not exactly one Host", held);
        }
        // Nobody else knows the name that Larder gives itself.
        if !values("via").iter().any(|via| via.contains("larder-")) {
            self.fault("a request that Larder did not write", held);
        }
        self.paths.lock().unwrap().insert(request.path.clone());
    }

    fn fault(&self, what: &str, held: &[u8]) {
        let excerpt: String = latin(held).chars().take(400).collect();
        self.faults.lock().unwrap().push(format!("{what}: {excerpt:?}"));
    }
}

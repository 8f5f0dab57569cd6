//! An origin whose answers are bytes, and whose connections stay open behind them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What is said to one request: at once, and when it may be. Between the parts it waits for a permit.
pub type Words = Arc<dyn Fn(&str) -> Vec<Vec<u8>> + Send + Sync>;

pub struct BytesOrigin {
    pub address: SocketAddr,
    /// One for each part behind the first.
    pub may_go_on: Arc<Semaphore>,
    asked: Arc<AtomicUsize>,
}

impl BytesOrigin {
    /// `words`: for a target.
    pub async fn start(words: impl Fn(&str) -> Vec<Vec<u8>> + Send + Sync + 'static) -> BytesOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (may_go_on, asked) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
        let address = listener.local_addr().unwrap();
        let origin = BytesOrigin { address, may_go_on: may_go_on.clone(), asked: asked.clone() };
        let words: Words = Arc::new(words);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, words.clone(), may_go_on.clone(), asked.clone()));
            }
        });
        origin
    }

    /// Requests so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn talk(mut stream: TcpStream, words: Words, may_go_on: Arc<Semaphore>, asked: Arc<AtomicUsize>) -> Option<()> {
    let mut seen = Vec::new();
    loop {
        while !seen.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut seen).await.ok()? == 0 {
                return None;
            }
        }
        let target = String::from_utf8_lossy(&seen).split(' ').nth(1)?.to_owned();
        seen.clear();
        asked.fetch_add(1, Ordering::SeqCst);
        for (n, part) in words(&target).into_iter().enumerate() {
            if n > 0 {
                may_go_on.acquire().await.ok()?.forget();
            }
            stream.write_all(&part).await.ok()?;
        }
    }
}

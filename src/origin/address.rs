//! Names to addresses, resolved by us: every address of both families, asked again every 30 s, the last good answer
//! kept (design 8). pingora's own resolution blocks, panics on failure and takes the first address.

use parking_lot::RwLock;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Until a name resolves for the first time.
const ASK_SOON: Duration = Duration::from_secs(1);

/// The addresses of one server.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    known: Arc<RwLock<Vec<SocketAddr>>>,
}

impl Addresses {
    /// Resolves once, and starts the task that keeps the answer fresh. A literal address needs neither.
    pub(super) async fn resolve(host: &str, port: u16) -> Self {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Addresses { known: Arc::new(RwLock::new(vec![SocketAddr::new(ip, port)])) };
        }
        let known = Arc::new(RwLock::new(Vec::new()));
        let (name, addresses) = (host.to_owned(), Addresses { known: known.clone() });
        if !look_up(&name, port, &known).await {
            tracing::warn!(host = %name, "the origin's name does not resolve yet; it is asked again every second");
        }
        // A weak handle: when the origin is gone, so is the task.
        let known = Arc::downgrade(&known);
        tokio::spawn(async move {
            while let Some(slot) = known.upgrade() {
                let unknown = slot.read().is_empty();
                drop(slot);
                tokio::time::sleep(if unknown { ASK_SOON } else { ASK_AGAIN }).await;
                let Some(slot) = known.upgrade() else { return };
                look_up(&name, port, &slot).await;
            }
        });
        addresses
    }

    pub(super) fn all(&self) -> Vec<SocketAddr> {
        self.known.read().clone()
    }
}

async fn look_up(host: &str, port: u16, known: &RwLock<Vec<SocketAddr>>) -> bool {
    match tokio::net::lookup_host((host, port)).await {
        Ok(found) => {
            let mut found: Vec<SocketAddr> = found.collect();
            found.dedup();
            if !found.is_empty() && *known.read() != found {
                *known.write() = found;
            }
        }
        Err(error) => tracing::debug!(%host, %error, "name resolution failed; the last good addresses stay"),
    }
    !known.read().is_empty()
}

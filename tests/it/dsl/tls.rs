//! TLS around the other words: an authority, what it issues, and plain addresses behind which somebody speaks TLS.

use super::Scratch;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub const ALL_VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Who issues certificates, and is trusted or not.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: Scratch,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = Scratch::file("authority.pem", &issuer.pem());
        Authority { issuer, file }
    }

    /// Where its own certificate is.
    pub fn path(&self) -> &str {
        self.file.path()
    }

    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_for(names, 2020, 2090)
    }

    /// Valid from the first day of one year to that of another.
    pub fn issue_for(&self, names: &[&str], from: i32, until: i32) -> Issued {
        self.issued(names, |params| {
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        })
    }

    fn issued(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { cert, key: key.serialize_pem() }
    }

    /// Valid after that time.
    #[allow(clippy::disallowed_methods, reason = "certificates go by the time of day")]
    pub fn issue_in(&self, names: &[&str], span: Duration) -> Issued {
        self.issued(names, |params| params.not_before = (SystemTime::now() + span).into())
    }

    /// A handshake with whoever listens there, by that name.
    pub async fn handshake(
        &self,
        to: SocketAddr,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> io::Result<TlsStream<TcpStream>> {
        self.handshake_for(to, name, versions, &[]).await
    }

    /// The same, with what the client would speak inside, the best first (RFC 7301).
    pub async fn handshake_for(
        &self,
        to: SocketAddr,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        inside: &[&str],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = inside.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tcp = TcpStream::connect(to).await?;
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    /// A plain address whose connections reach the other one over TLS, by that name.
    pub async fn door_to(self: &Arc<Self>, to: SocketAddr, name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = self.clone();
        tokio::spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let authority = authority.clone();
                tokio::spawn(async move {
                    let mut secure = authority.handshake(to, name, ALL_VERSIONS).await?;
                    copy_bidirectional(&mut plain, &mut secure).await
                });
            }
        });
        address
    }
}

impl Issued {
    /// Its two files.
    pub fn files(&self) -> [Scratch; 2] {
        [Scratch::file("cert.pem", &self.cert), Scratch::file("key.pem", &self.key)]
    }

    /// Speaks TLS, and one of these inside (RFC 7301), where any is named.
    pub fn acceptor(&self, inside: &[&str]) -> TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = inside.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A TLS address whose connections reach the plain one.
    pub async fn in_front_of(&self, to: SocketAddr) -> SocketAddr {
        let acceptor = self.acceptor(&[]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((secure, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut secure = acceptor.accept(secure).await?;
                    let mut plain = TcpStream::connect(to).await?;
                    copy_bidirectional(&mut secure, &mut plain).await
                });
            }
        });
        address
    }
}

/// What a server showed: its certificate, in PEM's inner form.
pub fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// What is spoken inside; empty where nothing was agreed on.
pub fn inside(stream: &TlsStream<TcpStream>) -> String {
    String::from_utf8_lossy(stream.get_ref().1.alpn_protocol().unwrap_or_default()).into_owned()
}

pub fn spoken(stream: &TlsStream<TcpStream>) -> ProtocolVersion {
    stream.get_ref().1.protocol_version().unwrap()
}

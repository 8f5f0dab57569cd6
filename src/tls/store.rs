//! The certificates of a listener, and how they are chosen and changed.

use super::certificate::{Certificate, Validity};
use super::{Files, Settings, Unusable};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use semantics::Timestamp;
use std::collections::HashMap;
use std::fs::Metadata;
use std::sync::Arc;
use std::time::SystemTime;

/// What connections that begin now are shown.
#[derive(Debug)]
pub struct Certificates {
    files: Vec<Files>,
    table: ArcSwap<Table>,
    looks: Mutex<Looks>,
}

/// How the files were.
#[derive(Debug)]
struct Looks {
    /// When they were last judged for good.
    seen: Vec<Stamps>,
    /// When it was told that their time has not come.
    waiting: Vec<Stamps>,
}

/// Of a certificate and its key; `None`: it is not there.
type Stamps = [Option<Stamp>; 2];

#[derive(Debug)]
struct Table {
    all: Vec<Arc<Certificate>>,
    /// Places in `all`.
    by_name: HashMap<String, usize>,
}

/// By which a file is known to be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Certificates {
    /// Reads them all. One that is not valid at present is used all the same, and told of: to serve nobody would be worse.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn read(settings: &Settings, now: Timestamp) -> Result<Arc<Self>, Unusable> {
        let files = settings.certificates.clone();
        let seen: Vec<Stamps> = files.iter().map(stamps).collect();
        let waiting = vec![[None, None]; files.len()];
        let mut all = Vec::new();
        for files in &files {
            let certificate = Certificate::read(files)?;
            if certificate.validity(now) != Validity::Now {
                let (cert, what) = (files.cert.display(), told(certificate.validity(now)));
                tracing::warn!("the certificate `{cert}` {what}: browsers will not accept it");
            }
            all.push(Arc::new(certificate));
        }
        Ok(Arc::new(Certificates {
            files,
            table: ArcSwap::from_pointee(Table::of(all)),
            looks: Mutex::new(Looks { seen, waiting }),
        }))
    }

    /// Reads anew what has changed since the last look. Connections that are open are not touched; a certificate that cannot
    /// be used, or is not valid at present, leaves the old one where it is.
    pub fn refresh(&self, now: Timestamp) {
        let mut looks = self.looks.lock();
        let Looks { seen, waiting } = &mut *looks;
        let before = self.table.load();
        let mut all = before.all.clone();
        let mut changed = false;
        for (at, files) in self.files.iter().enumerate() {
            let stamps = stamps(files);
            if stamps == seen[at] {
                continue;
            }
            let cert = files.cert.display();
            match Certificate::read(files) {
                Ok(new) if new.validity(now) == Validity::Now => {
                    tracing::info!("the certificate `{cert}` is read anew");
                    all[at] = Arc::new(new);
                    changed = true;
                }
                // It is looked at again: its time will come.
                Ok(new) if new.validity(now) == Validity::NotYet => {
                    if waiting[at] != stamps {
                        tracing::error!(
                            "the certificate `{cert}` is not valid yet: the one before stays in use until it is"
                        );
                        waiting[at] = stamps;
                    }
                    continue;
                }
                Ok(new) => {
                    let what = told(new.validity(now));
                    tracing::error!("the certificate `{cert}` {what}: the one before stays in use");
                }
                Err(error) => tracing::error!("{error}: the certificate before stays in use"),
            }
            seen[at] = stamps;
        }
        if changed {
            self.table.store(Arc::new(Table::of(all)));
        }
    }
}

fn told(validity: Validity) -> &'static str {
    match validity {
        Validity::Now => "is valid",
        Validity::NotYet => "is not valid yet",
        Validity::Expired => "has expired",
    }
}

fn stamps(files: &Files) -> Stamps {
    [&files.cert, &files.key].map(|path| {
        let stamp = |meta: Metadata| Stamp { modified: meta.modified().ok(), length: meta.len() };
        std::fs::metadata(path).ok().map(stamp)
    })
}

impl Table {
    fn of(all: Vec<Arc<Certificate>>) -> Self {
        let mut by_name = HashMap::new();
        for (at, certificate) in all.iter().enumerate() {
            for name in &certificate.names {
                // Of two for the same name, the first.
                by_name.entry(name.clone()).or_insert(at);
            }
        }
        Table { all, by_name }
    }

    /// A certificate for exactly this name, else for any name beside it, else the first one.
    fn find(&self, name: Option<&str>) -> Option<&Arc<Certificate>> {
        let exact = name.and_then(|name| self.by_name.get(name));
        let beside = || {
            let (_, parent) = name?.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        };
        self.all.get(*exact.or_else(beside).unwrap_or(&0))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        self.table.load().find(name.as_deref()).map(|certificate| certificate.key.clone())
    }
}

//! One certificate: read, and judged before it is used.

use super::{Files, Unusable};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use semantics::Timestamp;
use std::path::Path;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate that fits its key.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// Lower case; `*.` for any one label.
    pub(super) names: Vec<String>,
    /// Seconds since 1970: from when, and until when.
    valid: (i64, i64),
}

/// When it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    Now,
    NotYet,
    Expired,
}

impl Certificate {
    pub(super) fn read(files: &Files) -> Result<Certificate, Unusable> {
        let cert = files.cert.display();
        for path in [&files.cert, &files.key] {
            // Of a pipe nobody knows when it ends, and whoever opens it may wait for ever.
            if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
                return Err(Unusable(format!("`{}` is not a file", path.display())));
            }
        }
        let chain = chain(&files.cert)?;
        let first = chain.first().ok_or_else(|| Unusable(format!("`{cert}` holds no certificate (PEM)")))?;
        let (names, valid) = facts(first).map_err(|what| Unusable(format!("`{cert}` {what}")))?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| Unusable(format!("`{}` cannot be read as a private key: {error}", files.key.display())))?;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| Unusable(format!("`{}` and `{cert}` do not go together: {error}", files.key.display())))?;
        Ok(Certificate { key: Arc::new(key), names, valid })
    }

    pub(super) fn validity(&self, now: Timestamp) -> Validity {
        let now = i64::try_from(now.as_micros() / 1_000_000).unwrap_or(i64::MAX);
        let (from, until) = self.valid;
        if now < from {
            Validity::NotYet
        } else if now > until {
            Validity::Expired
        } else {
            Validity::Now
        }
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let unreadable = |error: &dyn std::fmt::Display| Unusable(format!("`{}` cannot be read: {error}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
    certificates.collect::<Result<_, _>>().map_err(|error| unreadable(&error))
}

/// The names that it is for, and when it is valid. Names come from the alternative names alone (RFC 9525, 6.3).
fn facts(certificate: &CertificateDer<'_>) -> Result<(Vec<String>, (i64, i64)), String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| format!("is no certificate: {error}"))?;
    let validity = parsed.validity();
    let valid = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let alternative = parsed.subject_alternative_name().map_err(|error| format!("has broken names: {error}"))?;
    let names = alternative.map_or_else(Vec::new, |names| {
        let names = names.value.general_names.iter();
        names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect()
    });
    Ok((names, valid))
}

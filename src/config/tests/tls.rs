//! TLS, towards clients and origins.

use super::*;

fn listeners(lines: &str) -> String {
    format!("origin: http://web\nserver:\n  listeners:\n{lines}")
}

#[test]
fn a_listener_has_certificates_and_a_least_version() {
    let text = listeners(
        "    - address: ':443'\n      tls: { certificates: [{ cert: a.pem, key: a.key }, { cert: /b.pem, key: /b.key }], \
         min_version: '1.3' }\n    - address: ':80'\n      redirect_to_https: true\n",
    );
    let config = read(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!((tls.certificates.len(), tls.min_version), (2, crate::tls::Version::Tls13));
    assert_eq!(tls.certificates[1].key, PathBuf::from("/b.key"));
    assert_eq!((config.listeners[1].tls.is_none(), config.listeners[1].redirect), (true, Some(443)));
}

#[test]
fn the_redirect_goes_to_the_port_of_the_tls_listener() {
    let tls = "    - { address: ':8443', tls: { certificates: [{ cert: a, key: b }] } }\n";
    let config = read(&listeners(&format!("    - {{ address: ':80', redirect_to_https: true }}\n{tls}"))).unwrap();
    assert_eq!(config.listeners[0].redirect, Some(8443));
    assert_eq!(config.listeners[1].tls.as_ref().unwrap().min_version, crate::tls::Version::Tls12);
}

#[test]
fn http_2_without_tls_is_spoken_where_it_is_asked_for() {
    let config = read(&listeners("    - { address: ':80', h2c: true }\n    - address: ':81'\n")).unwrap();
    assert_eq!((config.listeners[0].h2c, config.listeners[1].h2c), (true, false));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (lines, words) in [
        ("    - { address: ':443', tls: { certificates: [] } }\n", "is an empty list"),
        ("    - { address: ':443', tls: {} }\n", "certificates"),
        ("    - { address: ':443', tls: { certificates: [{ cert: a.pem }] } }\n", "key"),
        ("    - { address: ':443', tls: { certificates: [{ cert: '', key: a }] } }\n", "is empty"),
        (
            "    - { address: ':443', tls: { certificates: [{ cert: a, key: b }], min_version: '1.1' } }\n",
            "`1.2` or `1.3`",
        ),
        (
            "    - { address: ':443', tls: { certificates: [{ cert: a, key: b }] }, redirect_to_https: true }\n",
            "is for a listener without `tls`",
        ),
        (
            "    - { address: ':443', tls: { certificates: [{ cert: a, key: b }] }, h2c: true }\n",
            "clients choose HTTP/2 by themselves",
        ),
    ] {
        let faults = wrong(&listeners(lines));
        assert!(faults.len() == 1 && faults[0].contains(words), "{lines}{faults:#?}");
    }
}

#[test]
fn origins_may_speak_tls_by_a_name_and_not_by_an_address() {
    let config = read("listen: ':80'\norigin: https://app.example\n").unwrap();
    let server = &config.origins[0].servers[0];
    assert_eq!((server.host.as_str(), server.port, server.tls), ("app.example", 443, true));
    assert_eq!(server.authority(), "app.example");
    for url in ["https://10.0.0.1", "https://[::1]:8443"] {
        let faults = wrong(&format!("listen: ':80'\norigin: '{url}'\n"));
        assert!(faults.len() == 1 && faults[0].contains("with an IP address"), "{faults:#?}");
    }
}

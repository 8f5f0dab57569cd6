use crate::admin::entries::{Asked, cursor};
use crate::admin::explain;
use crate::admin::query::Query;
use engine::inspect::State;
use http::Method;
use semantics::Scheme;

/// What is wrong with a query whose parameters are `a`, once, and `b`, repeated.
fn wrong(text: &str) -> String {
    let read = || {
        let mut query = Query::parse(Some(text))?;
        query.take("a")?;
        query.take_all("b");
        query.end(&["a", "b"])
    };
    let problem = read().expect_err(text);
    assert_eq!(problem.told().0, 422, "{text}");
    problem.told().1.to_owned()
}

#[test]
fn values_are_decoded() {
    for (text, a, b) in [
        ("", None, vec![]),
        ("a=1", Some("1"), vec![]),
        ("a", Some(""), vec![]),
        ("a=", Some(""), vec![]),
        ("a=x=y", Some("x=y"), vec![]),
        ("b=2&a=1&b=3", Some("1"), vec!["2", "3"]),
        ("&&a=1&", Some("1"), vec![]),
        ("%61=%2Fp%3Fq%26r", Some("/p?q&r"), vec![]),
        ("a=x+y%2Bz", Some("x y+z"), vec![]),
        ("a=%C3%BC%e2%82%ac", Some("ü€"), vec![]),
        ("a=%00%0a", Some("\0\n"), vec![]),
    ] {
        let mut query = Query::parse(Some(text)).unwrap();
        assert_eq!(query.take("a").unwrap().as_deref(), a, "{text}");
        assert_eq!(query.take_all("b"), b, "{text}");
        assert!(query.end(&["a", "b"]).is_ok(), "{text}");
    }
    assert!(Query::parse(None).unwrap().end(&[]).is_ok());
}

#[test]
fn what_is_unknown_repeated_or_malformed_is_named() {
    for (text, words) in [
        ("c=1", vec!["`c`", "`a`, `b`"]),
        ("a=1&A=1", vec!["`A`"]),
        ("a%20=1", vec!["`a `"]),
        ("=1", vec!["``"]),
        ("a=1&a=1", vec!["`a`", "2 times"]),
        ("a=1&%61=2&a=3", vec!["`a`", "3 times"]),
        ("a=%", vec!["`a`", "percent"]),
        ("a=%4", vec!["`a`", "percent"]),
        ("a=%zz", vec!["`a`", "percent"]),
        ("a=%+4", vec!["`a`", "percent"]),
        ("a=%ff", vec!["`a`", "UTF-8"]),
        ("%ff=1", vec!["%ff"]),
    ] {
        let said = wrong(text);
        for word in words {
            assert!(said.contains(word), "no `{word}` said of `{text}`: {said}");
        }
    }
    let said = wrong(&format!("{}=1", "ü".repeat(100_000)));
    assert!(said.len() < 300, "{} bytes", said.len());
}

const PROCESS: u64 = 0xfeed;

fn entries(query: &str) -> Result<Asked, String> {
    Asked::read(Some(query), PROCESS).map_err(|problem| {
        assert_eq!(problem.told().0, 422, "{query}");
        problem.told().1.to_owned()
    })
}

#[test]
fn a_list_is_asked_for_by_filters_a_limit_and_a_cursor() {
    let all = entries("").unwrap();
    assert_eq!((all.filter.prefix, all.filter.tag, all.filter.state), (None, None, None));
    assert_eq!((all.limit, all.after), (100, None));
    let some = entries(&format!("prefix=/%C3%BC&tag=post:1&state=stale&limit=1000&cursor={}", cursor(PROCESS, 7)));
    let some = some.unwrap();
    assert_eq!(some.filter.prefix.as_deref(), Some("/%C3%BC"), "in normal form");
    assert_eq!((some.filter.tag.as_deref(), some.filter.state), (Some("post:1"), Some(State::Stale)));
    assert_eq!((some.limit, some.after), (1000, Some(7)));
    assert_eq!(entries(&format!("cursor={}", cursor(PROCESS, u128::MAX))).unwrap().after, Some(u128::MAX));
}

#[test]
fn a_list_is_not_asked_for_by_anything_else() {
    let (foreign, own) = (cursor(PROCESS + 1, 7), cursor(PROCESS, 7));
    let of = |cursor: &str| format!("cursor={cursor}");
    let (foreign, short, signed) = (of(&foreign), of(&own[1..]), of(&format!("%2B{}", &own[1..])));
    let wide = of(&"ü".repeat(24));
    for (query, word) in [
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("limit=-1", "`-1`"),
        ("limit=%2B1", "`+1`"),
        ("limit=1.0", "`1.0`"),
        ("limit=", "``"),
        ("limit=99999999999999999999999", "1 to 1000"),
        ("limit=1&limit=1", "`limit`"),
        ("state=rotten", "`rotten`"),
        ("state=", "`fresh`, `stale` or `expired`"),
        ("prefix=", "begin with `/`"),
        ("prefix=p", "begin with `/`"),
        ("prefix=/p?q=1", "`?`"),
        ("tag=", "`tag` is empty"),
        ("tag=%0a", "control characters"),
        ("tags=a", "`tags`"),
        ("cursor=", "start again without `cursor`"),
        ("cursor=nonsense", "start again without `cursor`"),
        (foreign.as_str(), "start again without `cursor`"),
        (short.as_str(), "start again without `cursor`"),
        (signed.as_str(), "start again without `cursor`"),
        (wide.as_str(), "start again without `cursor`"),
    ] {
        let said = entries(query).expect_err(query);
        assert!(said.contains(word), "no `{word}` said of `{query}`: {said}");
    }
}

/// Scheme, host, path and query of a visit.
fn visit(url: &str) -> (Scheme, Option<String>, String, Option<String>) {
    let asked = explain::Asked::read(Some(&format!("url={url}"))).unwrap();
    (asked.scheme, asked.host, asked.path, asked.query)
}

#[test]
fn a_visit_is_a_url_or_a_path() {
    let expected = |scheme, host: Option<&str>, path: &str, query: Option<&str>| {
        (scheme, host.map(str::to_owned), path.to_owned(), query.map(str::to_owned))
    };
    for (url, scheme, host, path, query) in [
        ("/", Scheme::Http, None, "/", None),
        ("/p%3Fa=1%26b=2", Scheme::Http, None, "/p", Some("a=1&b=2")),
        ("/p%3F", Scheme::Http, None, "/p", Some("")),
        ("//p", Scheme::Http, None, "//p", None),
        ("http://site.test/p", Scheme::Http, Some("site.test"), "/p", None),
        ("HTTPS://Site.test:8443", Scheme::Https, Some("Site.test:8443"), "/", None),
        ("https://[::1]:80%3Fq", Scheme::Https, Some("[::1]:80"), "/", Some("q")),
        ("/%C3%BC%20%25", Scheme::Http, None, "/%C3%BC%20%", None),
        ("/%252F%2522%00", Scheme::Http, None, "/%2F%22%00", None),
    ] {
        assert_eq!(visit(url), expected(scheme, host, path, query), "{url}");
    }
}

#[test]
fn a_visit_has_fields_and_a_method() {
    let asked =
        explain::Asked::read(Some("url=/&header=Accept:%20de&header=X-A:&method=HEAD&header=HOST:a.test")).unwrap();
    let fields: Vec<(&str, &[u8])> = asked.fields().iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(fields, [("Accept", &b"de"[..]), ("X-A", &b""[..]), ("HOST", &b"a.test"[..])]);
    assert_eq!((asked.method, asked.host.as_deref()), (Method::HEAD, Some("a.test")));
    let asked = explain::Asked::read(Some("url=http://b.test/&header=Host:a.test")).unwrap();
    assert_eq!((asked.method, asked.host.as_deref()), (Method::GET, Some("b.test")), "the URL counts");
}

#[test]
fn what_is_no_visit_is_refused() {
    let long = format!("url=/{}", "a".repeat(8192));
    for (query, word) in [
        ("", "`url` is missing"),
        ("method=GET", "`url` is missing"),
        ("url=", "`url` must be"),
        ("url=p", "`url` must be"),
        ("url=ftp://site.test/", "`url` must be"),
        ("url=http:/site.test/", "`url` must be"),
        ("url=http://", "no host"),
        ("url=http:///p", "no host"),
        ("url=http://a@b/", "no host"),
        ("url=http://a%20b/", "no host"),
        ("url=/p%23q", "fragment"),
        ("url=/&url=/", "`url`"),
        ("url=/&method=POST", "`POST`"),
        ("url=/&method=get", "`get`"),
        ("url=/&header=nonsense", "`nonsense`"),
        ("url=/&header=:x", "`:x`"),
        ("url=/&header=a%20b:x", "`header`"),
        ("url=/&header=a:%0d%0ab:c", "`header`"),
        ("url=/&header=a:%C3%BC", "`header`"),
        ("url=/&headers=a:b", "`headers`"),
        (long.as_str(), "8192"),
    ] {
        let problem = explain::Asked::read(Some(query)).expect_err(query);
        let (status, said) = problem.told();
        assert!(status == 422 && said.contains(word), "no `{word}` said of `{query:.100}`: {said}");
    }
}

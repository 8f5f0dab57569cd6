use super::*;

#[test]
fn more_tokens_may_do_less() {
    let admin = with(
        "admin:\n  token: all\n  tokens: [{ token: cms, scope: revalidate }, { token: watch, scope: read }]\n  \
         purge_method: { allow: [127.0.0.1/32, \"10.0.0.0/8\", \"::1\"] }\n",
    )
    .admin;
    let scoped = |token: &str, scope| ScopedToken { token: token.to_owned(), scope };
    assert_eq!(admin.token.as_deref(), Some("all"));
    assert_eq!(admin.tokens, [scoped("cms", Scope::Revalidate), scoped("watch", Scope::Read)]);
    assert_eq!(admin.purge_from, ["127.0.0.1/32", "10.0.0.0/8", "::1"].map(|net| net.parse::<IpNet>().unwrap()));
}

#[test]
fn other_products_calls_are_answered_where_they_are_listed() {
    assert_eq!(with("").admin.compat, []);
    assert_eq!(with("admin: { compat: [cloudflare, fastly] }\n").admin.compat, [Compat::Cloudflare, Compat::Fastly]);
    assert_one_fault("admin: { compat: [akamai] }\n", "3:19", "must be `fastly` or `cloudflare`, not `akamai`");
}

#[test]
fn without_them_there_is_one_token_at_most_and_nobody_purges_by_method() {
    let admin = with("").admin;
    assert_eq!((admin.token, admin.tokens, admin.purge_from), (None, Vec::new(), Vec::new()));
}

#[test]
fn a_token_is_some_visible_ascii_and_stands_once() {
    for (lines, place, words) in [
        ("admin: { token: \"\" }", "3:17", "`admin.token` must be visible ASCII"),
        ("admin: { token: \"a b\" }", "3:17", "`admin.token` must be visible ASCII"),
        ("admin: { tokens: [{ token: \"\", scope: read }] }", "3:28", "`admin.tokens[0].token` must be visible"),
        ("admin: { tokens: [{ token: \"a\\tb\", scope: read }] }", "3:28", "must be visible ASCII without spaces"),
        ("admin: { tokens: [{ token: \"ü\", scope: read }] }", "3:28", "must be visible ASCII without spaces"),
        (
            "admin: { token: one, tokens: [{ token: one, scope: read }] }",
            "3:40",
            "`admin.tokens[0].token` is the same as `admin.token`",
        ),
        (
            "admin: { tokens: [{ token: one, scope: read }, { token: one, scope: revalidate }] }",
            "3:57",
            "`admin.tokens[1].token` is the same as `admin.tokens[0].token`",
        ),
        ("admin: { tokens: [{ token: one, scope: write }] }", "3:40", "must be `revalidate` or `read`, not `write`"),
        ("admin: { tokens: [{ token: one }] }", "3", "`admin.tokens[0].scope` is missing"),
        ("admin: { tokens: [{ scope: read }] }", "3", "`admin.tokens[0].token` is missing"),
        ("admin: { purge_method: { allow: [everybody] } }", "3:34", "is not a network: `everybody`"),
        ("admin: { purge_method: {} }", "3", "`admin.purge_method.allow` is missing"),
    ] {
        assert_one_fault(&format!("{lines}\n"), place, words);
    }
}

#[test]
fn a_lesser_token_does_not_open_the_network() {
    let lines = "admin: { listen: \":9900\", tokens: [{ token: cms, scope: revalidate }] }\n";
    assert_one_fault(lines, "3:18", "without a token it refuses to start");
}

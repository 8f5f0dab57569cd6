use super::*;

fn read_with(lines: &str, env: &[(&str, &str)]) -> Result<Config, Faults> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    parse(&format!("{START}{lines}"), "larder.yaml", &env)
}

#[test]
fn variables_are_replaced_by_their_values_or_defaults() {
    let lines = "admin:\n  token: ${TOKEN}\n  listen: ${HOST:-127.0.0.1}:${PORT}\n\
                 server:\n  threads: ${THREADS}\n  limits:\n    connections: ${MANY:-7}\n\
                 store:\n  memory:\n    max_size: ${SIZE:?how much memory}\n\
                 defaults:\n  bypass: ${BYPASS}\n";
    let env = [("TOKEN", "s3cret"), ("PORT", "9911"), ("THREADS", "2"), ("SIZE", "64MiB"), ("BYPASS", "true")];
    let config = read_with(lines, &env).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.admin.token.as_deref(), Some("s3cret"));
    assert_eq!(config.admin.listen, address("127.0.0.1:9911"));
    assert_eq!((config.threads, config.limits.connections, config.store.max_size), (2, 7, 64 << 20));
    assert!(config.unmatched.bypass);
}

#[test]
fn a_token_stays_as_it_is_however_much_it_looks_like_a_number() {
    for token in ["0123", "12345678", "1e999", "true", "null", "0x1F", "1_000", "~", "a${b}"] {
        let config =
            read_with("admin:\n  token: ${TOKEN}\n", &[("TOKEN", token)]).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(config.admin.token.as_deref(), Some(token));
    }
}

#[test]
fn variables_without_a_value_are_reported_all_at_once() {
    let lines = "admin:\n  token: ${TOKEN}\n  listen: ${ADDRESS:?where the operator is}\nlisen: x\n";
    let faults = read_with(lines, &[("ADDRESS", "")]).unwrap_err().to_string();
    for words in [
        "larder.yaml:4:10: the environment variable `TOKEN` is not set\n",
        "  = set it, or write a default: `${TOKEN:-value}`\n",
        "larder.yaml:5:11: the environment variable `ADDRESS` is empty: where the operator is\n",
        "larder.yaml:6:1: unknown key `lisen`\n",
        "3 faults",
    ] {
        assert!(faults.contains(words), "{words:?} in\n{faults}");
    }
}

#[test]
fn a_variable_that_holds_the_wrong_thing_is_not_shown() {
    let faults = read_with("server:\n  threads: ${THREADS}\n", &[("THREADS", "s3cret")]).unwrap_err().to_string();
    assert!(
        faults.contains("`server.threads` must be a whole number from 1 or `auto`, not what the variable holds"),
        "{faults}"
    );
    assert!(!faults.contains("s3cret"), "{faults}");
}

#[test]
fn what_is_not_replaced_is_refused_and_never_taken_literally() {
    for lines in
        ["admin:\n  token: \"${TOKEN}\"\n", "admin:\n  token: '${TOKEN}'\n", "admin: { token: \"a${TOKEN}\" }\n"]
    {
        let faults = read_with(lines, &[("TOKEN", "t")]).unwrap_err();
        assert_eq!(faults.faults.len(), 1, "{faults}");
        assert!(faults.to_string().contains("`${...}` is replaced only in unquoted, block-style values"), "{faults}");
    }
    let faults = read_with("admin: { token: ${TOKEN} }\n", &[("TOKEN", "t")]).unwrap_err().to_string();
    assert!(faults.contains("larder.yaml:3:") && faults.contains("on a line of its own: `key: ${VAR}`"), "{faults}");
    let faults = read_with("${TOKEN}: x\n", &[("TOKEN", "s3cret")]).unwrap_err();
    assert_eq!(faults.faults.len(), 1, "{faults}");
    assert!(faults.to_string().contains("never in keys") && !faults.to_string().contains("s3cret"), "{faults}");
}

//! Weights in lists of what a client would like (RFC 9110, 12.4.2).

/// `name;q=0.5`: the name, and its weight in thousandths.
pub(crate) fn weighted(one: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = one.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let Some(weight) = parts.next() else { return Some((name, 1000)) };
    let digits = weight.strip_prefix(b"q=").or_else(|| weight.strip_prefix(b"Q="))?;
    Some((name, thousandths(digits)?))
}

/// `0`, `1`, `0.5`, `1.000` (RFC 9110, 12.4.2).
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, rest) = text.split_first()?;
    let fraction = match rest {
        [] => rest,
        [b'.', fraction @ ..] if fraction.len() <= 3 => fraction,
        _ => return None,
    };
    let digit = |b: &u8| b.is_ascii_digit().then(|| u16::from(b - b'0'));
    let mut value = 0;
    for place in 0..3 {
        value = value * 10 + fraction.get(place).map_or(Some(0), digit)?;
    }
    match whole {
        b'0' => Some(value),
        b'1' if value == 0 => Some(1000),
        _ => None,
    }
}

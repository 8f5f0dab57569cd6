//! Query parameters, strictly: what is unknown, repeated or malformed is refused by name, so that a typing error never
//! asks for something else.

use super::problem::Problem;

/// The parameters of a call that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `name=value&...`, percent-encoded, with `+` for a space as forms send it.
    ///
    /// # Errors
    /// Names the parameter that cannot be decoded.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let read = |pair: &str| -> Result<(String, String), Problem> {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text| {
                decoded(text).ok_or_else(|| {
                    Problem::unprocessable(format!(
                        "the query parameter `{}` is not percent-encoded UTF-8: write a `%` as `%25`",
                        shortened(name, 60)
                    ))
                })
            };
            Ok((decode(name)?, decode(value)?))
        };
        pairs.map(read).collect::<Result<_, _>>().map(Query)
    }

    /// Takes a parameter that may stand once.
    ///
    /// # Errors
    /// It stands more than once.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.take_all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            n => Err(Problem::unprocessable(format!("the query parameter `{name}` stands {n} times: write it once"))),
        }
    }

    /// Takes a parameter that may be repeated, in order.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<String> {
        let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0).into_iter().partition(|(n, _)| n == name);
        self.0 = left;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Names a parameter that nobody took; `known` are those that there are.
    pub(super) fn end(self, known: &[&str]) -> Result<(), Problem> {
        let Some((name, _)) = self.0.first() else { return Ok(()) };
        let name = shortened(name, 60);
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        Err(Problem::unprocessable(match known.as_slice() {
            [] => format!("the query parameter `{name}` is not known: there is none here"),
            known => format!("the query parameter `{name}` is not known: there are {}", known.join(", ")),
        }))
    }
}

/// At most so many characters of a text, for a message.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = tail.split_at_checked(2)?;
                rest = after;
                (hex(digits[0])? << 4) | hex(digits[1])?
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

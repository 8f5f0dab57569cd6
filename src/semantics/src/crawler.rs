//! Who reads pages for others (semantics 26): search engines, and what shows a preview of a link.
//!
//! It is told by the User-Agent that crawlers give of their own will. Who hides gets what visitors get.

/// Parts of names, in lower case, that no browser has.
const NAMES: [&[u8]; 18] = [
    b"bot",
    b"crawl",
    b"spider",
    b"slurp",
    b"facebookexternalhit",
    b"facebot",
    b"embedly",
    b"quora link preview",
    b"bingpreview",
    b"google-inspectiontool",
    b"google-structured-data",
    b"mediapartners-google",
    b"apis-google",
    b"ia_archiver",
    b"whatsapp",
    b"vkshare",
    b"w3c_validator",
    b"skypeuripreview",
];

/// Whether a User-Agent is a crawler's.
pub fn is_crawler(user_agent: &[u8]) -> bool {
    let agent = user_agent.to_ascii_lowercase();
    NAMES.iter().any(|name| agent.windows(name.len()).any(|part| part == *name))
}

#[cfg(test)]
mod tests {
    use super::is_crawler;

    #[test]
    fn crawlers_are_told_from_browsers_by_their_names() {
        for agent in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "facebookexternalhit/1.1",
            "Mozilla/5.0 (compatible; Yahoo! Slurp)",
            "WhatsApp/2.23.20.0",
            "Twitterbot/1.0",
        ] {
            assert!(is_crawler(agent.as_bytes()), "{agent}");
        }
        for agent in [
            "",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148 Safari/604.1",
            "curl/8.5.0",
        ] {
            assert!(!is_crawler(agent.as_bytes()), "{agent}");
        }
    }
}

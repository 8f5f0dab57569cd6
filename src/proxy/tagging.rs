//! Tags that a route gives its pages: `blog`, `post:{slug}`.

use super::pattern::{Matcher, Pattern};
use percent_encoding::percent_decode_str;

/// A tag with places for what the route's pattern captures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Captured(String),
}

impl TagTemplate {
    /// # Errors
    /// Says what is wrong with the template.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("may not contain control characters".to_owned());
        }
        if text.chars().count() > semantics::tags::MAX_TAG {
            return Err(format!("is longer than {} characters", semantics::tags::MAX_TAG));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else {
                return Err("has a `{` without its `}`".to_owned());
            };
            if name.is_empty() || name.contains('{') {
                return Err(format!("has `{{{name}}}`, which is no name of a captured segment"));
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Captured(name.to_owned()));
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(TagTemplate(parts))
    }

    /// The names that a pattern must capture.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Captured(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    fn render(&self, pattern: &Pattern, path: &str) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Captured(name) => pattern.capture(path, name).map(decoded).unwrap_or_default(),
        });
        parts.collect()
    }
}

/// The tags of the page at `path`, which the matcher matches.
pub fn tags_of(matcher: &Matcher, templates: &[TagTemplate], path: &str) -> Vec<String> {
    let any = Pattern::default();
    let pattern = matcher.patterns.iter().find(|p| p.matches(path)).unwrap_or(&any);
    templates.iter().map(|template| template.render(pattern, path)).collect()
}

/// As people write it: `caf%C3%A9` is `café`. What is no text stays encoded.
fn decoded(segment: &str) -> String {
    match percent_decode_str(segment).decode_utf8() {
        Ok(text) if !text.chars().any(char::is_control) => text.into_owned(),
        _ => segment.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{TagTemplate, tags_of};
    use crate::proxy::{Matcher, Pattern};

    fn tags(patterns: &[&str], templates: &[&str], path: &str) -> Vec<String> {
        let patterns = patterns.iter().map(|p| Pattern::parse(p).unwrap()).collect();
        let templates: Vec<_> = templates.iter().map(|t| TagTemplate::parse(t).unwrap()).collect();
        tags_of(&Matcher { patterns, ..Matcher::default() }, &templates, path)
    }

    #[test]
    fn captured_segments_are_put_in() {
        assert_eq!(tags(&["/blog/{slug}"], &["blog", "post:{slug}"], "/blog/hello"), ["blog", "post:hello"]);
        assert_eq!(tags(&["/{lang}/blog/{slug}/**"], &["{lang}-{slug}"], "/de/blog/x/y/z"), ["de-x"]);
    }

    #[test]
    fn of_several_patterns_the_one_that_matches_counts() {
        assert_eq!(tags(&["/p/{id}", "/product/x/{id}"], &["p:{id}"], "/product/x/7"), ["p:7"]);
    }

    #[test]
    fn what_is_encoded_in_a_path_is_written_out_in_a_tag() {
        assert_eq!(tags(&["/{x}"], &["t:{x}"], "/caf%C3%A9%20au%20lait"), ["t:café au lait"]);
        assert_eq!(tags(&["/{x}"], &["t:{x}"], "/%FF"), ["t:%FF"]);
        assert_eq!(tags(&["/{x}"], &["t:{x}"], "/a%0Ab"), ["t:a%0Ab"]);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["", "a{", "{}", "a{b{c}}", "a\nb", &"x".repeat(257)] {
            assert!(TagTemplate::parse(text).is_err(), "{text}");
        }
    }
}

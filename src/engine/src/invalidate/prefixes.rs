//! Records by prefix: of a path, all recorded prefixes are found in as many steps as there are, and not by comparing each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

/// Values by prefix, each for one scope (a host, or none).
pub(super) struct Prefixes<V> {
    map: BTreeMap<Vec<u8>, V>,
    /// Of all keys.
    bytes: usize,
}

impl<V> Default for Prefixes<V> {
    fn default() -> Self {
        Prefixes { map: BTreeMap::new(), bytes: 0 }
    }
}

/// A host has no line feed: it ends the scope, and no scope is another's prefix.
fn scoped(scope: &str, prefix: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(scope.len() + 1 + prefix.len());
    key.extend_from_slice(scope.as_bytes());
    key.push(b'\n');
    key.extend_from_slice(prefix.as_bytes());
    key
}

impl<V> Prefixes<V> {
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Bytes of all recorded prefixes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn entry(&mut self, scope: &str, prefix: &str) -> Entry<'_, Vec<u8>, V> {
        let entry = self.map.entry(scoped(scope, prefix));
        if let Entry::Vacant(place) = &entry {
            self.bytes += place.key().len();
        }
        entry
    }

    /// Under a key of [`Prefixes::iter`].
    pub(super) fn insert(&mut self, key: Vec<u8>, value: V) {
        let length = key.len();
        if self.map.insert(key, value).is_none() {
            self.bytes += length;
        }
    }

    /// Keys are opaque: scope and prefix in one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &V)> {
        self.map.iter()
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool) {
        let bytes = &mut self.bytes;
        self.map.retain(|key, value| {
            let stays = keep(value);
            *bytes -= if stays { 0 } else { key.len() };
            stays
        });
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.map.values()
    }

    /// Every recorded prefix of `path` in this scope, the longest first.
    pub(super) fn each_of(&self, scope: &str, path: &str, mut found: impl FnMut(&str, &V)) {
        if self.map.is_empty() {
            return;
        }
        let text = scoped(scope, path);
        let least = scope.len() + 1;
        let mut bound = Bound::Included(&text[..]);
        while let Some((key, value)) = self.map.range::<[u8], _>((Bound::Unbounded, bound)).next_back() {
            let common = key.iter().zip(&text).take_while(|(a, b)| a == b).count();
            if common < least {
                return;
            }
            if common == key.len() {
                found(std::str::from_utf8(&key[least..]).unwrap_or_default(), value);
                bound = Bound::Excluded(&text[..common]);
            } else {
                // What is longer than the common part, and a prefix, would have stood between the two.
                bound = Bound::Included(&text[..common]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Prefixes;

    fn with(all: &[(&str, &str)]) -> Prefixes<usize> {
        let mut prefixes = Prefixes::default();
        for (n, (scope, prefix)) in all.iter().enumerate() {
            *prefixes.entry(scope, prefix).or_insert(n) = n;
        }
        prefixes
    }

    fn of(prefixes: &Prefixes<usize>, scope: &str, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        prefixes.each_of(scope, path, |prefix, _| found.push(prefix.to_owned()));
        found
    }

    #[test]
    fn all_prefixes_of_a_path_are_found_and_no_others() {
        let all = ["/", "/a", "/a/", "/a/b", "/a/bc", "/a/c", "/ab", "/b", "/a/b/c/d"].map(|p| ("", p));
        let prefixes = with(&all);
        assert_eq!(of(&prefixes, "", "/a/b/c"), ["/a/b", "/a/", "/a", "/"]);
        assert_eq!(of(&prefixes, "", "/abc"), ["/ab", "/a", "/"]);
        assert_eq!(of(&prefixes, "", "/zzz"), ["/"]);
        assert_eq!(of(&prefixes, "host", "/a/b/c"), Vec::<String>::new());
    }

    #[test]
    fn a_scope_is_its_own() {
        let prefixes = with(&[("x.com", "/a"), ("", "/a/b"), ("x.com:1", "/a")]);
        assert_eq!(of(&prefixes, "x.com", "/a/b"), ["/a"]);
        assert_eq!(of(&prefixes, "", "/a/b"), ["/a/b"]);
    }

    #[test]
    fn it_agrees_with_comparing_each() {
        let alphabet = ["/", "a", "b", "/a", "ab"];
        let mut seed = 1_u64;
        let mut draw = |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap_or_default() % n
        };
        for _ in 0..500 {
            let mut text = |most: usize| {
                let parts = 1 + draw(most);
                (0..parts).map(|_| alphabet[draw(alphabet.len())]).collect::<String>()
            };
            let all: Vec<String> = (0..20).map(|_| text(5)).collect();
            let prefixes = with(&all.iter().map(|p| ("", p.as_str())).collect::<Vec<_>>());
            let path = text(12);
            let mut wanted: Vec<String> = all.into_iter().filter(|p| path.starts_with(p.as_str())).collect();
            wanted.sort_by_key(|p| std::cmp::Reverse(p.len()));
            wanted.dedup();
            assert_eq!(of(&prefixes, "", &path), wanted, "{path}");
        }
    }
}

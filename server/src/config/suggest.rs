//! What somebody meant by a key that does not exist.

/// The message for an unknown key, with the nearest known one or, with none near, all of them.
pub(super) fn unknown(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(near) => format!("unknown key, did you mean {near}?"),
        None if known.is_empty() => "unknown key".to_owned(),
        None => format!("unknown key; the keys here are {}", known.join(", ")),
    }
}

fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    // A key is short; a long one is no slip of the fingers, and the distance is quadratic.
    if key.len() > 64 {
        return None;
    }
    let key = plain(key);
    known
        .iter()
        .map(|known| (distance(&key, &plain(known)), *known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// `max_body`, `max-body` and `maxBody` are the same mistake-free word.
fn plain(key: &str) -> Vec<char> {
    key.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Letters to put in, take out, replace or swap with a neighbour to come from one to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    // Three rows of the usual table: the one being filled and the two above it.
    let mut above = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + usize::from(!same));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(above[j - 2] + 1);
            }
        }
        above = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["listen", "maxBody", "requestTimeout", "drain"];

    #[test]
    fn near_keys() {
        for (key, near) in [
            ("lisetn", Some("listen")),
            ("max_body", Some("maxBody")),
            ("maxbody", Some("maxBody")),
            ("requestTimeuot", Some("requestTimeout")),
            ("darin", Some("drain")),
            ("timeout", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(key, &KEYS), near, "{key}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), &KEYS), None);
    }

    #[test]
    fn messages() {
        assert_eq!(unknown("lisen", &KEYS), "unknown key, did you mean listen?");
        assert_eq!(unknown("port", &["listen", "drain"]), "unknown key; the keys here are listen, drain");
        assert_eq!(unknown("port", &[]), "unknown key");
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 1)]
        {
            let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
            assert_eq!(distance(&a, &b), expected);
        }
    }
}

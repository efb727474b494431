//! Metrics in Prometheus' text form, taken apart.

use std::collections::BTreeMap;

/// One line: a name, its labels, and a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name; a histogram's lines end in `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Everything of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The samples in their order.
    pub samples: Vec<Sample>,
    /// The metrics that were declared, and their kinds.
    pub kinds: BTreeMap<String, String>,
}

impl Scrape {
    /// Takes the text apart, and ends the test where it is no such text.
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a name and a kind");
                let twice = scrape.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(twice, None, "{name} is declared twice");
            } else if !line.starts_with('#') {
                scrape.samples.push(sample(line));
            }
        }
        scrape
    }

    /// The sum of all samples of a metric that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).map(|sample| sample.value).sum()
    }

    /// The samples of a metric that have these labels, among others.
    pub fn find<'s>(&'s self, name: &'s str, labels: &'s [(&str, &str)]) -> impl Iterator<Item = &'s Sample> {
        let fits = move |sample: &&Sample| {
            let has = |(key, value): &(&str, &str)| sample.labels.get(*key).is_some_and(|got| got == value);
            sample.name == name && labels.iter().all(has)
        };
        self.samples.iter().filter(fits)
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a series and a value");
    let value = value.parse().expect("a number");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').expect("labels in braces");
    let pair = |pair: &str| {
        let (key, value) = pair.split_once("=\"").expect("a label");
        (key.to_owned(), value.to_owned())
    };
    // Values of ours hold neither quotes nor commas after them.
    let labels =
        labels.strip_suffix('"').map_or_else(Default::default, |labels| labels.split("\",").map(pair).collect());
    Sample { name: name.to_owned(), labels, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let scrape = Scrape::parse("# TYPE a counter\na{y=\"\",x=\"1\"} 2\na{x=\"2\"} 3\n\nb 0.5\n");
        assert_eq!(scrape.sum("a", &[]).to_bits(), 5.0_f64.to_bits());
        assert_eq!(scrape.sum("a", &[("y", "")]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(scrape.find("b", &[]).count(), 1);
        assert_eq!(scrape.kinds["a"], "counter");
    }
}

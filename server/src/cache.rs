//! Answers that are kept: what a version has answered once it answers again without a run.
//!
//! By [`Fingerprint`], in which the version's digest is, and its device and precision: no version ever answers for
//! another, nor for itself elsewhere, and one that is promoted keeps what it has answered as canary. The least useful go
//! first (`TinyLFU`), by their bytes.

use moka::sync::Cache;
use perch_models::fingerprint::Fingerprint;
use perch_models::run::Answer;

/// What an entry takes beside its answer.
const ENTRY: usize = 128;
/// Larger inputs are not looked up: hashing them would hold the reactor, and they seldom come twice.
pub const MOST_INPUT: usize = 64 << 10;

/// `server.responseCache`.
pub struct ResponseCache {
    answers: Cache<Fingerprint, Answer>,
}

impl ResponseCache {
    /// A cache of at most `most` bytes; none of 0.
    #[must_use]
    pub fn new(most: usize) -> Option<Self> {
        let weigh = |_: &Fingerprint, answer: &Answer| u32::try_from(answer.bytes() + ENTRY).unwrap_or(u32::MAX);
        let build = || Cache::builder().max_capacity(most as u64).weigher(weigh).build();
        (most > 0).then(|| Self { answers: build() })
    }

    /// What was answered to this input.
    #[must_use]
    pub fn get(&self, input: &Fingerprint) -> Option<Answer> {
        self.answers.get(input)
    }

    /// Keeps an answer, unless it holds a NaN or an infinity: the next one may be better.
    pub fn put(&self, input: Fingerprint, answer: &Answer) {
        if answer.is_finite() {
            self.answers.insert(input, answer.detached());
        }
    }

    /// Does what is due: evicted answers are dropped here, not on the reactors alone.
    pub fn tidy(&self) {
        self.answers.run_pending_tasks();
    }

    /// Bytes and answers that are kept, about.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        (self.answers.weighted_size(), self.answers.entry_count())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use perch_models::tensor::{Column, Data, Shape, Tensor};

    use super::*;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::new(Shape::from_slice(&[values.len()]), Data::F32(values.to_vec())).expect("it fits")
    }

    fn answer(values: &[f32], rows: std::ops::Range<usize>) -> Answer {
        let columns = [Column::Tensor(tensor(values))].into();
        Answer { columns, rows, queued: Duration::from_secs(1), executed: Duration::from_secs(1) }
    }

    fn input(of: &[f32]) -> Fingerprint {
        Fingerprint::of_tensors("sha256:aa", &[tensor(of)])
    }

    #[test]
    fn only_an_answers_own_rows_are_kept() {
        let cache = ResponseCache::new(1 << 20).expect("a cache");
        cache.put(input(&[7.0]), &answer(&[1.0, 2.0, 3.0, 4.0], 1..3));
        let kept = cache.get(&input(&[7.0])).expect("kept");
        assert_eq!(kept.columns[0], Column::Tensor(tensor(&[2.0, 3.0])));
        assert_eq!((kept.rows, kept.queued, kept.executed), (0..2, Duration::ZERO, Duration::ZERO));
        assert!(cache.get(&input(&[8.0])).is_none());
    }

    #[test]
    fn what_is_not_a_number_is_not_kept() {
        let cache = ResponseCache::new(1 << 20).expect("a cache");
        cache.put(input(&[7.0]), &answer(&[1.0, f32::NAN], 0..2));
        assert!(cache.get(&input(&[7.0])).is_none());
        cache.put(input(&[7.0]), &answer(&[1.0, f32::NAN], 0..1));
        assert!(cache.get(&input(&[7.0])).is_some(), "a neighbour's NaN is not its own");
    }

    #[test]
    fn it_stays_within_its_bytes() {
        assert!(ResponseCache::new(0).is_none());
        let cache = ResponseCache::new(64 << 10).expect("a cache");
        for i in 0..1000_u16 {
            cache.put(input(&[f32::from(i)]), &answer(&[0.0; 256], 0..256));
        }
        cache.tidy();
        let (bytes, entries) = cache.size();
        assert!(bytes <= 64 << 10 && (20..60).contains(&entries), "{bytes} bytes, {entries} answers");
    }
}

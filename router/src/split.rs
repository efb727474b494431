//! Which track a request goes to.

use std::{
    hash::Hasher,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};
use siphasher::{sip::SipHasher13, sip128::Hasher128};

use crate::{num::mix, track::Track, weight::Weight};

/// 2^64 divided by the golden ratio, odd. Multiples of the golden ratio spread over the circle as evenly as any
/// sequence can (Weyl; Knuth, TAOCP 3, 6.4): every prefix holds nearly the exact share, and no period of a client
/// coincides with it.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// How requests are divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Split {
    /// Evenly: within five requests of the exact share after any number up to a million.
    #[default]
    Balanced,
    /// Each request by a coin of its own.
    Random,
    /// By the request's key: the same key goes to the same track, on every replica.
    Hash,
}

/// Divides one rollout's requests. Shared by all threads of a replica.
#[derive(Debug)]
pub struct Splitter {
    split: Split,
    counter: AtomicU64,
    sticky: SipHasher13,
}

impl Splitter {
    /// A splitter for the rollout `rollout_id`. `phase` is where this replica's counter starts: a random number, so
    /// that replicas do not send their first requests to the canary in step. It has no part in the hash.
    #[must_use]
    pub fn new(split: Split, rollout_id: &str, phase: u64) -> Self {
        Self { split, counter: AtomicU64::new(phase), sticky: keyed(rollout_id) }
    }

    /// The track of the next request. A request without a key is divided as by [`Split::Balanced`] where keys are
    /// asked for.
    pub fn pick(&self, weight: Weight, key: Option<&[u8]>) -> Track {
        let point = match (self.split, key) {
            (Split::Hash, Some(key)) => self.sticky.hash(key),
            (Split::Balanced | Split::Hash, _) => self.advance(),
            (Split::Random, _) => mix(self.advance()),
        };
        if weight.covers(point) { Track::Canary } else { Track::Stable }
    }

    /// Relaxed: only the set of numbers given out matters, not which thread got which.
    fn advance(&self) -> u64 {
        self.counter.fetch_add(GOLDEN, Relaxed)
    }
}

/// The hash of one rollout: `SipHash-1-3` under a key that is itself the 128-bit hash of the rollout's id, so that each
/// rollout draws other keys first.
///
/// It decides the same on every replica, in every process and version: `SipHash` is fixed by its paper and by test
/// vectors, takes a key by nature, and the crate is small, without dependencies, and known from rustc. (The standard
/// library's hasher may change with any release; xxhash-rust has a licence that deny.toml does not allow.)
fn keyed(rollout_id: &str) -> SipHasher13 {
    let mut hasher = siphasher::sip128::SipHasher13::new_with_keys(0x7065_7263_6820_726F, 0x6C6C_6F75_7420_7631);
    hasher.write(rollout_id.as_bytes());
    let key = hasher.finish128();
    SipHasher13::new_with_keys(key.h1, key.h2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERCENT: [f64; 3] = [1.0, 10.0, 50.0];

    fn splitter(split: Split, phase: u64) -> Splitter {
        Splitter::new(split, "fraud/sha256:aa/1", phase)
    }

    fn canary(splitter: &Splitter, weight: Weight, key: Option<&[u8]>) -> bool {
        splitter.pick(weight, key) == Track::Canary
    }

    #[test]
    fn balanced_is_exact_within_five_at_every_prefix() {
        for (percent, phase) in PERCENT.into_iter().zip([0, 0x1234_5678_9ABC_DEF0, u64::MAX / 3]) {
            let weight = Weight::from_percent(percent).unwrap();
            let (splitter, mut count) = (splitter(Split::Balanced, phase), 0);
            for n in 1..=1_000_000 {
                count += i64::from(canary(&splitter, weight, None)) * 10_000;
                let off = count - n * i64::from(weight.ten_thousandths());
                assert!(off.abs() <= 5 * 10_000, "{percent} %: off by {off}/10000 after {n}");
            }
        }
    }

    #[test]
    fn balanced_does_not_alias_with_periodic_clients() {
        // Of every class of requests that comes each `period`-th time, the canary gets its share (worst: 28 in 1,000,
        // where smooth weighted round-robin gives a class everything or nothing).
        for percent in PERCENT {
            let weight = Weight::from_percent(percent).unwrap();
            for period in 2..=100_u32 {
                let (splitter, mut counts) = (splitter(Split::Balanced, 7), vec![0_u32; period as usize]);
                for _ in 0..1000 {
                    counts.iter_mut().for_each(|count| *count += u32::from(canary(&splitter, weight, None)));
                }
                for count in counts {
                    let off = f64::from(count) - 10.0 * percent;
                    assert!(off.abs() <= 30.0, "{percent} %, period {period}: {count} of 1000");
                }
            }
        }
    }

    #[test]
    fn nothing_is_never_and_everything_is_always() {
        for split in [Split::Balanced, Split::Random, Split::Hash] {
            for key in [None, Some(&b"key"[..])] {
                let splitter = splitter(split, 99);
                assert!((0..10_000).all(|_| !canary(&splitter, Weight::ZERO, key)));
                assert!((0..10_000).all(|_| canary(&splitter, Weight::FULL, key)));
            }
        }
    }

    #[test]
    fn random_holds_its_share_and_is_not_balanced() {
        let weight = Weight::from_percent(10.0).unwrap();
        let splitter = splitter(Split::Random, 1);
        let counts: Vec<u32> =
            (0..100).map(|_| (0..1000).map(|_| u32::from(canary(&splitter, weight, None))).sum()).collect();
        let total: u32 = counts.iter().sum();
        assert!((9_700..10_300).contains(&total), "{total}");
        assert!(counts.iter().any(|&count| count.abs_diff(100) > 10));
    }

    #[test]
    fn replicas_agree_and_keys_stay_while_the_weight_grows() {
        let (one, two) = (splitter(Split::Hash, 1), splitter(Split::Hash, 2));
        let mut inside = 0;
        for key in (0..10_000).map(|key: u32| key.to_string()) {
            let mut was = false;
            for count in (0..=10_000).step_by(250) {
                let weight = Weight::from_ten_thousandths(count).unwrap();
                let is = canary(&one, weight, Some(key.as_bytes()));
                assert_eq!(is, canary(&two, weight, Some(key.as_bytes())));
                assert!(is || !was, "{key} left the canary at {weight} %");
                was = is;
            }
            inside += u32::from(canary(&one, Weight::from_percent(10.0).unwrap(), Some(key.as_bytes())));
        }
        assert!((900..1_100).contains(&inside), "{inside}");
    }

    #[test]
    fn the_hash_is_the_same_in_every_version() {
        // Never change these: replicas of two versions stand beside each other during an upgrade.
        let points = ["", "a", "user-1", "user-2"].map(|key| keyed("fraud/sha256:aa/1").hash(key.as_bytes()));
        let known = [
            5_077_005_489_770_829_477,
            14_949_015_778_476_066_663,
            5_984_800_420_288_893_328,
            2_572_104_388_251_885_351,
        ];
        assert_eq!(points, known);
        assert_ne!(keyed("fraud/sha256:aa/1").hash(b"a"), keyed("fraud/sha256:aa/2").hash(b"a"));
    }

    #[test]
    fn threads_share_the_counter() {
        let (splitter, weight) = (splitter(Split::Balanced, 5), Weight::from_percent(10.0).unwrap());
        let count: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..25_000).map(|_| u32::from(canary(&splitter, weight, None))).sum::<u32>()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(count.abs_diff(10_000) <= 5, "{count}");
    }
}

//! Encoding texts: a few on the reactor, many beside it, on several threads at once.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use perch_models::text::{Sequence, TextModel};

use super::{TextAsk, cost};
use crate::error::{ApiError, Kind};
use crate::serving::Serving;

/// What one thread's part of a large request costs.
const PART: usize = 32 << 10;

/// The tokens of a request's texts, in order.
///
/// # Errors
/// The first text that cannot be encoded, with its place where there are several.
pub async fn encode(serving: &Serving, model: &Arc<TextModel>, ask: &Arc<TextAsk>) -> Result<Vec<Sequence>, ApiError> {
    let costs = cost::inputs(model.config(), ask.options.prompt.as_deref(), &ask.inputs);
    let total = costs.iter().fold(0, |total: usize, cost| total.saturating_add(*cost));
    if total <= cost::SMALL {
        return (0..ask.inputs.len()).map(|i| one(model, ask, i)).collect();
    }
    let wanted = Wanted::default();
    let encoding: Vec<_> = parts(&costs, total.div_ceil(PART).min(serving.cores))
        .into_iter()
        .map(|range| {
            let (model, ask, end) = (model.clone(), ask.clone(), wanted.end.clone());
            serving.lifecycle.spawn_blocking(move || part(range, &end, |i| one(&model, &ask, i)))
        })
        .collect();
    let mut sequences = Vec::with_capacity(ask.inputs.len());
    for part in encoding {
        sequences.extend(part.await.unwrap_or_else(|_| Err(ApiError::new(Kind::Internal, "encoding failed")))?);
    }
    Ok(sequences)
}

/// Which texts somebody still waits for; none once this is dropped, which happens when the client has gone, too.
struct Wanted {
    /// Texts from here on are not: one before them has failed.
    end: Arc<AtomicUsize>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { end: Arc::new(AtomicUsize::new(usize::MAX)) }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.end.store(0, Ordering::Relaxed);
    }
}

/// Cuts texts of these costs into at most `count` ranges that cost about as much.
fn parts(costs: &[usize], count: usize) -> Vec<Range<usize>> {
    let total = costs.iter().fold(0, |total: usize, cost| total.saturating_add(*cost));
    let most = total.div_ceil(count.max(1)).max(1);
    let (mut parts, mut start, mut sum) = (Vec::new(), 0, 0_usize);
    for (i, cost) in costs.iter().enumerate() {
        sum = sum.saturating_add(*cost);
        if sum >= most {
            parts.push(start..i + 1);
            (start, sum) = (i + 1, 0);
        }
    }
    if start < costs.len() {
        parts.push(start..costs.len());
    }
    parts
}

/// Encodes the texts of `range` up to the first one that fails or that lies behind `end`. What fails moves the end to
/// itself: texts before it go on, since one of them may be the first that fails.
fn part<T>(
    range: Range<usize>,
    end: &AtomicUsize,
    encode: impl Fn(usize) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let wanted = range.take_while(|i| *i < end.load(Ordering::Relaxed));
    let encode = |i| {
        encode(i).inspect_err(|_| {
            end.fetch_min(i, Ordering::Relaxed);
        })
    };
    wanted.map(encode).collect()
}

fn one(model: &TextModel, ask: &TextAsk, i: usize) -> Result<Sequence, ApiError> {
    let encoded = model.encode(ask.inputs[i].borrowed(), &ask.options.borrowed());
    encoded.map_err(|error| ask.named.error(i, ask.inputs.len(), error))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn texts_are_shared_out_by_what_they_cost() {
        assert_eq!(parts(&[10, 10, 10, 10], 2), [0..2, 2..4]);
        assert_eq!(parts(&[40, 1, 1, 1], 2), [0..1, 1..4]);
        for costs in [&[1, 1, 1, 40][..], &[5], &[0, 0], &[usize::MAX, usize::MAX]] {
            assert!(parts(costs, 2).len() <= 2, "{costs:?}");
        }
        for count in 1..9 {
            let parts = parts(&[3, 9, 1, 7, 7, 0, 30, 2], count);
            let all: Vec<usize> = parts.iter().cloned().flatten().collect();
            assert_eq!(all, (0..8).collect::<Vec<_>>());
            assert!(parts.len() <= count, "{parts:?} for {count}");
        }
    }

    #[test]
    fn what_follows_a_failure_is_not_encoded_and_what_precedes_it_is() {
        let (end, seen) = (AtomicUsize::new(usize::MAX), RefCell::new(Vec::new()));
        let encode = |i: usize| {
            seen.borrow_mut().push(i);
            if i == 5 || i == 2 { Err(ApiError::new(Kind::EmptyInput, i.to_string())) } else { Ok(i) }
        };
        assert_eq!(part(4..8, &end, encode).expect_err("the sixth").message, "5");
        assert_eq!(part(8..12, &end, encode), Ok(vec![]), "nobody looks at these any more");
        assert_eq!(part(0..4, &end, encode).expect_err("the third").message, "2");
        assert_eq!(part(4..8, &end, encode), Ok(vec![]));
        assert_eq!(*seen.borrow(), [4, 5, 0, 1, 2]);
    }

    #[test]
    fn nothing_is_encoded_for_a_client_that_has_gone() {
        let wanted = Wanted::default();
        let end = wanted.end.clone();
        let dropped = RefCell::new(Some(wanted));
        let encode = |i: usize| {
            if i == 1 {
                dropped.take();
            }
            Ok(i)
        };
        assert_eq!(part(0..8, &end, encode), Ok(vec![0, 1]));
    }
}

//! What is done with one vector: conversion to `f32`, the Euclidean norm, fewer dimensions, scores.

use std::borrow::Cow;

use crate::tensor::Data;

use super::error::TextError;

/// Summed apart, so that one sum does not wait for the other.
const LANES: usize = 8;

/// What comes out of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The logits themselves.
    Identity,
    /// Each between 0 and 1, by itself.
    Sigmoid,
    /// Together 1.
    Softmax,
}

impl Activation {
    /// Turns `logits` into scores, in place. Infinities and NaN come out as they would in `PyTorch`.
    pub fn apply(self, logits: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Sigmoid => logits.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
            Self::Softmax => {
                // The largest is taken off: the exponential of anything else could overflow.
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                logits.iter_mut().for_each(|x| *x = (*x - largest).exp());
                let sum: f32 = logits.iter().sum();
                logits.iter_mut().for_each(|x| *x /= sum);
            }
        }
    }
}

/// Scales `vector` to Euclidean norm 1. The zero vector, and one that holds a NaN or an infinity, stay as they are.
pub fn normalise(vector: &mut [f32]) {
    // In f64 the squares of no f32 overflow or vanish. No mul_add: without the instruction it is a function.
    let squares = |values: &[f32], sums: &mut [f64; LANES]| {
        for (sum, value) in sums.iter_mut().zip(values) {
            let value = f64::from(*value);
            *sum += value * value;
        }
    };
    let mut sums = [0.0; LANES];
    let chunks = vector.chunks_exact(LANES);
    squares(chunks.remainder(), &mut sums);
    chunks.for_each(|chunk| squares(chunk, &mut sums));
    let norm = sums.iter().sum::<f64>().sqrt();
    if norm > 0.0 && norm.is_finite() {
        let scale = 1.0 / norm;
        #[expect(clippy::cast_possible_truncation, reason = "between -1 and 1")]
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
    }
}

/// Keeps the first `dimensions` of `vector`, as models trained with Matryoshka representation learning allow
/// (Kusupati et al., 2022). What is left is to be normalised again.
///
/// # Errors
/// When there are fewer, or none is to be kept.
pub fn shorten(vector: &mut Vec<f32>, dimensions: usize) -> Result<(), TextError> {
    check_dimensions(dimensions, vector.len())?;
    vector.truncate(dimensions);
    Ok(())
}

/// # Errors
/// When `asked` is not between 1 and `has`.
pub(super) const fn check_dimensions(asked: usize, has: usize) -> Result<(), TextError> {
    if asked == 0 || asked > has { Err(TextError::Dimensions { asked, has }) } else { Ok(()) }
}

/// The floats `from..to` of `data` as `f32`; borrowed where that is what they are. None where they are not floats, or
/// not there.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "answers are f32")]
pub fn floats(data: &Data, from: usize, to: usize) -> Option<Cow<'_, [f32]>> {
    Some(match data {
        Data::F32(values) => Cow::Borrowed(values.get(from..to)?),
        Data::F16(values) => Cow::Owned(values.get(from..to)?.iter().map(|value| value.to_f32()).collect()),
        Data::F64(values) => Cow::Owned(values.get(from..to)?.iter().map(|value| *value as f32).collect()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use half::f16;
    use proptest::prelude::*;

    use super::*;

    fn norm(vector: &[f32]) -> f64 {
        vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn scores_are_what_their_names_say() {
        let mut scores = vec![0.0, 800.0, -800.0];
        Activation::Sigmoid.apply(&mut scores);
        assert_eq!(scores, [0.5, 1.0, 0.0]);
        let mut scores = vec![1000.0, 1000.0];
        Activation::Softmax.apply(&mut scores);
        assert_eq!(scores, [0.5, 0.5]);
        // numpy: exp([1, 2, 3]) / sum(exp([1, 2, 3]))
        let mut scores = vec![1.0, 2.0, 3.0];
        Activation::Softmax.apply(&mut scores);
        for (score, expected) in scores.iter().zip([0.090_030_57, 0.244_728_47, 0.665_240_94]) {
            assert!((score - expected).abs() < 1e-6, "{scores:?}");
        }
        Activation::Softmax.apply(&mut []);
        let mut scores = vec![-3.0];
        Activation::Identity.apply(&mut scores);
        assert_eq!(scores, [-3.0]);
    }

    #[test]
    fn what_has_no_direction_stays() {
        for vector in [vec![], vec![0.0; 11], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
            let mut same = vector.clone();
            normalise(&mut same);
            let bits = |vector: &[f32]| vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&same), bits(&vector));
        }
    }

    #[test]
    fn dimensions_beyond_the_models_are_refused() {
        let mut vector = vec![1.0, 2.0, 3.0];
        let error = shorten(&mut vector, 4).expect_err("3").to_string();
        assert_eq!(error, "`dimensions` must be between 1 and 3. Given: 4");
        assert!(shorten(&mut vector, 0).is_err());
        assert_eq!(shorten(&mut vector, 3), Ok(()));
        assert_eq!(shorten(&mut vector, 1), Ok(()));
        assert_eq!(vector, [1.0]);
    }

    #[test]
    fn every_float_becomes_f32() {
        let expected = Some(Cow::Owned(vec![1.5, -2.0]));
        assert_eq!(floats(&Data::F32(vec![9.0, 1.5, -2.0]), 1, 3), expected);
        assert_eq!(floats(&Data::F64(vec![9.0, 1.5, -2.0]), 1, 3), expected);
        assert_eq!(floats(&Data::F16([9.0, 1.5, -2.0].map(f16::from_f32).into()), 1, 3), expected);
        assert_eq!(floats(&Data::I64(vec![1, 2, 3]), 1, 3), None);
        assert_eq!(floats(&Data::F32(vec![1.0]), 1, 3), None);
    }

    proptest! {
        #[test]
        fn the_norm_becomes_one(mut vector in prop::collection::vec(-1e30_f32..1e30, 1..70), scale in -40_i32..9) {
            vector.iter_mut().for_each(|x| *x *= 10_f32.powi(scale));
            let before = vector.clone();
            normalise(&mut vector);
            if norm(&before) > 0.0 {
                prop_assert!((norm(&vector) - 1.0).abs() < 1e-6, "{}", norm(&vector));
            } else {
                prop_assert_eq!(vector, before);
            }
        }

        #[test]
        fn softmax_adds_up(mut logits in prop::collection::vec(-100_f32..100.0, 1..20)) {
            Activation::Softmax.apply(&mut logits);
            prop_assert!((logits.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            prop_assert!(logits.iter().all(|score| (0.0..=1.0).contains(score)));
        }
    }
}

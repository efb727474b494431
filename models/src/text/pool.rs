//! From the vectors of a text's tokens to one vector.
//!
//! Source of the formulas: `sentence_transformers`, module `Pooling`. There they are written over a padded batch and
//! its mask; here over the tokens that count and nothing else, which is the same.

/// How the vectors of the tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The first token's.
    Cls,
    /// The largest of each dimension.
    Max,
    /// The mean.
    Mean,
    /// The sum, divided by the square root of the number of tokens.
    MeanSqrtLen,
    /// The mean, the n-th token weighing n.
    WeightedMean,
    /// The last token's.
    LastToken,
}

impl Mode {
    /// All, in the order in which they are joined where a model uses several.
    pub const ALL: [Self; 6] =
        [Self::Cls, Self::Max, Self::Mean, Self::MeanSqrtLen, Self::WeightedMean, Self::LastToken];

    /// The name in `pooling_mode`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cls => "cls",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::MeanSqrtLen => "mean_sqrt_len_tokens",
            Self::WeightedMean => "weightedmean",
            Self::LastToken => "lasttoken",
        }
    }

    /// The older flag in a Pooling module's `config.json`.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Cls => "pooling_mode_cls_token",
            Self::Max => "pooling_mode_max_tokens",
            Self::Mean => "pooling_mode_mean_tokens",
            Self::MeanSqrtLen => "pooling_mode_mean_sqrt_len_tokens",
            Self::WeightedMean => "pooling_mode_weightedmean_tokens",
            Self::LastToken => "pooling_mode_lasttoken",
        }
    }
}

/// Appends one vector to `out`: that of `tokens`, whose shape is `[length, dim]`, row-major and without padding, of
/// which the first `skip` (a prompt that is not pooled) do not count. At least the last token counts.
///
/// Several modes give their vectors one after the other. Nothing is appended where there is no token.
///
/// 128 tokens of 384 dimensions take 3 µs.
pub fn pool(tokens: &[f32], dim: usize, skip: usize, modes: &[Mode], out: &mut Vec<f32>) {
    let length = tokens.len().checked_div(dim).unwrap_or(0);
    let skip = skip.min(length.saturating_sub(1));
    let counted = tokens.get(skip * dim..length * dim).unwrap_or_default();
    if counted.is_empty() {
        return;
    }
    for mode in modes {
        one(counted, dim, skip, *mode, out);
    }
}

fn one(tokens: &[f32], dim: usize, skip: usize, mode: Mode, out: &mut Vec<f32>) {
    let from = out.len();
    let mut rows = tokens.chunks_exact(dim);
    let count = float(rows.len());
    match mode {
        Mode::Cls => out.extend_from_slice(rows.next().unwrap_or_default()),
        Mode::LastToken => out.extend_from_slice(rows.next_back().unwrap_or_default()),
        Mode::Max => {
            out.extend_from_slice(rows.next().unwrap_or_default());
            let largest = out.get_mut(from..).unwrap_or_default();
            rows.for_each(|row| largest.iter_mut().zip(row).for_each(|(largest, x)| *largest = largest.max(*x)));
        }
        Mode::Mean => scaled_sum(tokens, dim, 1.0 / count, out),
        Mode::MeanSqrtLen => scaled_sum(tokens, dim, 1.0 / count.sqrt(), out),
        Mode::WeightedMean => {
            out.resize(from + dim, 0.0);
            let sum = out.get_mut(from..).unwrap_or_default();
            let mut total = 0.0;
            for (i, row) in rows.enumerate() {
                // A prompt that is not pooled still counts as places.
                let weight = float(skip + i + 1);
                total += weight;
                sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
            }
            sum.iter_mut().for_each(|sum| *sum /= total);
        }
    }
}

/// Appends the sum of all rows, each dimension times `scale`.
fn scaled_sum(tokens: &[f32], dim: usize, scale: f32, out: &mut Vec<f32>) {
    let from = out.len();
    out.resize(from + dim, 0.0);
    let sum = out.get_mut(from..).unwrap_or_default();
    // Four rows a turn: the sums are read and written a quarter as often.
    let mut fours = tokens.chunks_exact(4 * dim);
    for four in &mut fours {
        let (ab, cd) = four.split_at(2 * dim);
        let ((a, b), (c, d)) = (ab.split_at(dim), cd.split_at(dim));
        for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum += (a + b) + (c + d);
        }
    }
    for row in fours.remainder().chunks_exact(dim) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    sum.iter_mut().for_each(|sum| *sum *= scale);
}

#[expect(clippy::cast_precision_loss, reason = "numbers of tokens are far below 2^24")]
const fn float(count: usize) -> f32 {
    count as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three tokens of two dimensions.
    const TOKENS: [f32; 6] = [1.0, -1.0, 2.0, 4.0, 6.0, 0.0];

    fn pooled(tokens: &[f32], dim: usize, skip: usize, modes: &[Mode]) -> Vec<f32> {
        let mut out = vec![9.0];
        pool(tokens, dim, skip, modes, &mut out);
        assert_eq!(out.drain(..1).collect::<Vec<_>>(), [9.0], "what was there stays");
        out
    }

    #[test]
    fn each_mode_is_what_sentence_transformers_computes() {
        let root = 3_f32.sqrt();
        for (mode, expected) in [
            (Mode::Cls, [1.0, -1.0]),
            (Mode::Max, [6.0, 4.0]),
            (Mode::Mean, [3.0, 1.0]),
            (Mode::MeanSqrtLen, [9.0 / root, 3.0 / root]),
            (Mode::WeightedMean, [(1.0 + 4.0 + 18.0) / 6.0, (-1.0 + 8.0) / 6.0]),
            (Mode::LastToken, [6.0, 0.0]),
        ] {
            let got = pooled(&TOKENS, 2, 0, &[mode]);
            assert!(got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-6), "{mode:?}: {got:?}");
        }
        assert_eq!(pooled(&TOKENS, 2, 0, &[Mode::Cls, Mode::LastToken]), [1.0, -1.0, 6.0, 0.0]);
    }

    #[test]
    fn a_prompt_that_is_not_pooled_is_skipped() {
        assert_eq!(pooled(&TOKENS, 2, 1, &[Mode::Mean]), [4.0, 2.0]);
        assert_eq!(pooled(&TOKENS, 2, 1, &[Mode::Cls]), [2.0, 4.0]);
        assert_eq!(pooled(&TOKENS, 2, 1, &[Mode::WeightedMean]), [(4.0 + 18.0) / 5.0, 8.0 / 5.0]);
        assert_eq!(pooled(&TOKENS, 2, 99, &[Mode::Mean]), [6.0, 0.0], "one token is left");
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(pooled(&[], 2, 0, &Mode::ALL).is_empty());
        assert!(pooled(&[], 0, 0, &Mode::ALL).is_empty());
        assert!(pooled(&TOKENS, 0, 0, &Mode::ALL).is_empty());
        assert!(pooled(&TOKENS, 2, 0, &[]).is_empty());
    }

    /// As `sentence_transformers` writes it: over padded tokens and their mask.
    fn masked_mean(padded: &[f32], mask: &[f32], dim: usize) -> Vec<f64> {
        let total: f64 = mask.iter().map(|m| f64::from(*m)).sum::<f64>().max(1e-9);
        let sum = |d: usize| -> f64 {
            mask.iter().enumerate().map(|(t, m)| f64::from(*m) * f64::from(padded[t * dim + d])).sum()
        };
        (0..dim).map(|d| sum(d) / total).collect()
    }

    proptest! {
        #[test]
        fn pooling_of_padded_is_pooling_of_unpadded(
            length in 1_usize..20, padding in 0_usize..10, dim in 1_usize..20, seed in any::<u64>(),
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let padded: Vec<f32> = (0..(length + padding) * dim).map(|_| random.f32() - 0.5).collect();
            let mask: Vec<f32> = (0..length + padding).map(|t| if t < length { 1.0 } else { 0.0 }).collect();
            let got = pooled(&padded[..length * dim], dim, 0, &[Mode::Mean]);
            let expected = masked_mean(&padded, &mask, dim);
            prop_assert!(got.iter().zip(&expected).all(|(got, expected)| (f64::from(*got) - expected).abs() < 1e-5));
        }

        #[test]
        fn every_mode_gives_its_dimensions(length in 1_usize..9, dim in 1_usize..9, skip in 0_usize..12) {
            let tokens = vec![0.5; length * dim];
            prop_assert_eq!(pooled(&tokens, dim, skip, &Mode::ALL).len(), dim * Mode::ALL.len());
        }
    }
}

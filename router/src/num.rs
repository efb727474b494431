//! Numbers that every judge needs.

/// A count as a float. Exact below 2^53, and no count here comes near.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// `ln(Σ exp(x))`, with the largest term taken out so that nothing overflows. Minus infinity for nothing at all.
pub(crate) fn log_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.map(|term| (term - largest).exp()).sum::<f64>().ln()
}

/// `SplitMix64`'s finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014; the constants
/// are Stafford's variant 13): a counter that advances by the golden ratio comes out as a random number.
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Logarithms as they are stored: JSON has no word for that of nothing, and `null` stands for it.
pub(crate) mod logarithms {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer, const N: usize>(values: &[f64; N], serializer: S) -> Result<S::Ok, S::Error> {
        values.map(|value| value.is_finite().then_some(value)).as_slice().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[f64; N], D::Error> {
        let values: Vec<Option<f64>> = Vec::deserialize(deserializer)?;
        let values: Vec<f64> = values.into_iter().map(|value| value.unwrap_or(f64::NEG_INFINITY)).collect();
        let count = values.len();
        values.try_into().map_err(|_| D::Error::custom(format!("expected {N} logarithms, got {count}")))
    }
}

/// A ratio as it is stored: anything to nothing is infinite, for which JSON has no word. `null` stands for it.
pub(crate) mod ratio {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde takes")]
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_logarithms() {
        let sum = log_sum_exp([2.0_f64.ln(), 3.0_f64.ln()].into_iter());
        assert!((sum - 5.0_f64.ln()).abs() < 1e-15);
        assert!((log_sum_exp([1e5, 1e5].into_iter()) - (1e5 + 2.0_f64.ln())).abs() < 1e-9);
        for none in [log_sum_exp(std::iter::empty()), log_sum_exp([f64::NEG_INFINITY; 3].into_iter())] {
            assert!(none.is_infinite() && none < 0.0);
        }
    }

    #[test]
    fn mix_is_splitmix64() {
        // The first output for seed 0, as published with xoshiro.
        assert_eq!(mix(0x9E37_79B9_7F4A_7C15), 0xE220_A839_7B1D_CDAF);
    }
}

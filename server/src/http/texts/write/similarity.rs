//! How alike texts are.

use perch_models::json::write_floats;
use perch_models::run::Answer;

use super::floats;
use crate::error::ApiError;

/// The cosine between the first text and each of the others: `[f32]`. Their vectors have norm 1.
pub fn similarity(answers: &[Answer]) -> Result<Vec<u8>, ApiError> {
    let Some((first, others)) = answers.split_first() else { return Ok(b"[]".to_vec()) };
    let (source, _) = floats(first)?;
    let cosine = |answer| {
        let (values, _) = floats(answer)?;
        Ok(source.iter().zip(values).map(|(a, b)| a * b).sum::<f32>())
    };
    let cosines: Vec<f32> = others.iter().map(cosine).collect::<Result<_, ApiError>>()?;
    let mut out = Vec::with_capacity(16 * others.len());
    write_floats(&mut out, &cosines, &[cosines.len()]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;

    #[test]
    fn each_is_compared_with_the_first() {
        let vectors = [[0.6, 0.8], [0.6, 0.8], [-0.8, 0.6], [0.0, 1.0]].map(|vector| answer(&[1, 2], &vector));
        let written = similarity(&vectors).expect("written");
        let read: Vec<f32> = serde_json::from_slice(&written).expect("floats");
        assert_eq!(read.len(), 3);
        for (got, expected) in read.iter().zip([1.0, 0.0, 0.8]) {
            assert!((got - expected).abs() < 1e-6, "{read:?}");
        }
    }
}

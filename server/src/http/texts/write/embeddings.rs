//! Vectors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use perch_models::json::{write_floats, write_string};
use perch_models::run::Answer;

use super::{array, floats, number};
use crate::error::ApiError;

/// What one float takes as text, about.
const FLOAT: usize = 14;
/// The most that is set aside for floats before they are written: larger answers grow as they come.
const MOST_ROOM: usize = 64 << 20;

/// A buffer with room for what stands around the floats, and for so many bytes of them.
fn room(around: usize, floats: usize) -> Vec<u8> {
    Vec::with_capacity(around + floats.min(MOST_ROOM))
}

/// The vector of each text: `[[f32]]`.
pub fn embeddings(answers: &[Answer]) -> Result<Vec<u8>, ApiError> {
    let mut out = room(16, FLOAT * super::count(answers));
    array(&mut out, answers, |out, answer| {
        let (values, _) = floats(answer)?;
        write_floats(out, values, &[values.len()]);
        Ok(())
    })?;
    Ok(out)
}

/// The vectors of each text's tokens: `[[[f32]]]`.
pub fn token_embeddings(answers: &[Answer]) -> Result<Vec<u8>, ApiError> {
    let mut out = room(16, FLOAT * super::count(answers));
    array(&mut out, answers, |out, answer| {
        let (values, shape) = floats(answer)?;
        write_floats(out, values, shape);
        Ok(())
    })?;
    Ok(out)
}

/// `{"object":"list","data":[{"object":"embedding","index","embedding"}],"model","usage"}`.
pub fn openai(answers: &[Answer], model: &str, tokens: usize, base64: bool) -> Result<Vec<u8>, ApiError> {
    let each = if base64 { 6 } else { FLOAT };
    let mut out = room(128 + 64 * answers.len(), each * super::count(answers));
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":");
    array(&mut out, answers.iter().enumerate(), |out, (i, answer)| {
        out.extend_from_slice(b"{\"object\":\"embedding\",\"index\":");
        number(out, i);
        out.extend_from_slice(b",\"embedding\":");
        let (values, _) = floats(answer)?;
        if base64 {
            write_base64(out, values);
        } else {
            write_floats(out, values, &[values.len()]);
        }
        out.push(b'}');
        Ok(())
    })?;
    out.extend_from_slice(b",\"model\":");
    write_string(&mut out, model);
    out.extend_from_slice(b",\"usage\":{\"prompt_tokens\":");
    number(&mut out, tokens);
    out.extend_from_slice(b",\"total_tokens\":");
    number(&mut out, tokens);
    out.extend_from_slice(b"}}");
    Ok(out)
}

/// The floats' bytes, the lowest first, as base64 in quotes.
fn write_base64(out: &mut Vec<u8>, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn text(written: Result<Vec<u8>, ApiError>) -> String {
        String::from_utf8(written.expect("written")).expect("utf-8")
    }

    /// As clients read it.
    fn decoded(text: &str) -> Vec<f32> {
        let bytes = STANDARD.decode(text).expect("base64");
        bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect()
    }

    #[test]
    fn not_all_the_room_of_a_huge_answer_is_set_aside() {
        assert!(room(16, 1300).capacity() >= 1316);
        assert!(room(16, usize::MAX).capacity() < 2 * MOST_ROOM);
    }

    #[test]
    fn vectors_are_nested_even_for_one_text() {
        assert_eq!(text(embeddings(&[answer(&[1, 2], &[0.5, -1.0])])), "[[0.5000000000,-1.0]]");
        let two = [answer(&[1, 2], &[0.5, -1.0]), answer(&[1, 2], &[1.0, 2.0])];
        assert_eq!(text(embeddings(&two)), "[[0.5000000000,-1.0],[1.0,2.0]]");
        let tokens = [answer(&[1, 2], &[0.5, -1.0]), answer(&[2, 2], &[1.0, 2.0, 3.0, 4.0])];
        assert_eq!(text(token_embeddings(&tokens)), "[[[0.5000000000,-1.0]],[[1.0,2.0],[3.0,4.0]]]");
    }

    #[test]
    fn openais_answer_has_every_field() {
        let expected = concat!(
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5000000000,-1.0]},"#,
            r#"{"object":"embedding","index":1,"embedding":[1.0,2.0]}],"model":"m\"x","#,
            r#""usage":{"prompt_tokens":7,"total_tokens":7}}"#
        );
        let two = [answer(&[1, 2], &[0.5, -1.0]), answer(&[1, 2], &[1.0, 2.0])];
        assert_eq!(text(openai(&two, "m\"x", 7, false)), expected);
        // Python: base64.b64encode(numpy.array([0.5, -1.0], "<f4").tobytes())
        let written = text(openai(&two[..1], "m", 3, true));
        assert!(written.contains(r#""embedding":"AAAAPwAAgL8="}"#), "{written}");
    }

    proptest! {
        #[test]
        fn vectors_come_back_as_they_were(values in proptest::collection::vec(-1e30_f32..1e30, 1..50)) {
            let answers = [answer(&[1, values.len()], &values)];
            let read: Value = serde_json::from_str(&text(openai(&answers, "m", 1, true))).expect("JSON");
            prop_assert_eq!(&decoded(read["data"][0]["embedding"].as_str().expect("a string")), &values);
            let read: Vec<Vec<f32>> = serde_json::from_str(&text(embeddings(&answers))).expect("JSON");
            prop_assert_eq!(&read[0], &values);
        }
    }
}

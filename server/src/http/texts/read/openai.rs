//! `/v1/embeddings`.

use perch_models::text::{Finish, TextOptions, Want};

use super::Result;
use super::inputs::inputs;
use super::value::{body, missing};
use crate::texts::{Named, TextAsk};

/// A request for embeddings.
pub struct Embeddings {
    /// What is run.
    pub ask: TextAsk,
    /// Whether vectors are written as base64 of little-endian floats.
    pub base64: bool,
}

/// `{input: str|[str]|[int]|[[int]], model?, encoding_format?, dimensions?, user?}`.
pub fn embeddings(json: &[u8]) -> Result<Embeddings> {
    let (mut model, mut texts, mut dimensions, mut base64) = (None, None, None, false);
    body(json, |name, value| {
        match name {
            "model" => model = value.optional_string()?,
            "input" => texts = Some(inputs(value)?),
            "dimensions" => dimensions = value.count()?,
            "encoding_format" => {
                let known = |word: &str| match word {
                    "float" => Some(false),
                    "base64" => Some(true),
                    _ => None,
                };
                base64 = value.word("\"float\" or \"base64\"", known)?.unwrap_or(false);
            }
            _ => value.skip()?,
        }
        Ok(())
    })?;
    let inputs = texts.ok_or_else(|| missing("input"))?;
    let want = Want::Embedding(Finish { normalise: true, dimensions });
    let ask = TextAsk { model, inputs, options: TextOptions::default(), want, named: Named::Input };
    Ok(Embeddings { ask, base64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use perch_models::text::TextInput;

    #[test]
    fn what_the_python_client_sends_is_read() {
        let json = br#"{"model":"minilm","input":["a","b"],"user":"u","dimensions":8,"encoding_format":"base64"}"#;
        let request = embeddings(json).expect("well formed");
        assert!(request.base64);
        assert_eq!(request.ask.named, Named::Input);
        assert_eq!(request.ask.model.as_deref(), Some("minilm"));
        assert_eq!(request.ask.inputs.len(), 2);
        assert_eq!(request.ask.want, Want::Embedding(Finish { normalise: true, dimensions: Some(8) }));
        let request = embeddings(br#"{"input": [[1, 2], [3]], "model": "minilm"}"#).expect("well formed");
        assert!(!request.base64);
        assert_eq!(request.ask.inputs, [TextInput::Ids(vec![1, 2]), TextInput::Ids(vec![3])]);
    }

    #[test]
    fn errors_name_the_field() {
        for (json, message) in [
            (r#"{"inputs": "a"}"#, "input: expected it, but it is missing"),
            (r#"{"input": []}"#, "`input` cannot be empty"),
            (r#"{"input": ["a", 1]}"#, "input[1]: expected a string or an array of token ids, got a number"),
            (
                r#"{"input": "a", "encoding_format": "hex"}"#,
                "encoding_format: expected \"float\" or \"base64\", got \"hex\"",
            ),
        ] {
            assert_eq!(embeddings(json.as_bytes()).map(|_| ()).expect_err(json).message, message);
        }
    }
}

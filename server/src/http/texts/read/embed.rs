//! `/embed` and `/embed_all`.

use perch_models::text::{Finish, TextInput, TextOptions, Want};

use super::Result;
use super::inputs::inputs;
use super::options;
use super::value::{body, missing};
use crate::texts::{Named, TextAsk};

/// `{inputs, truncate?, truncation_direction?, prompt_name?, normalize?, dimensions?, model?}`.
pub fn embed(json: &[u8]) -> Result<TextAsk> {
    let (fields, finish) = read(json)?;
    fields.ask(Want::Embedding(finish))
}

/// The same without `normalize` and `dimensions`: vectors of tokens are given as they are.
pub fn embed_all(json: &[u8]) -> Result<TextAsk> {
    read(json)?.0.ask(Want::Tokens)
}

#[derive(Default)]
struct Fields {
    model: Option<String>,
    inputs: Option<Vec<TextInput>>,
    options: TextOptions,
}

impl Fields {
    fn ask(self, want: Want) -> Result<TextAsk> {
        let Self { model, inputs, options } = self;
        let inputs = inputs.ok_or_else(|| missing("inputs"))?;
        Ok(TextAsk { model, inputs, options, want, named: Named::Inputs })
    }
}

fn read(json: &[u8]) -> Result<(Fields, Finish)> {
    let (mut fields, mut finish) = (Fields::default(), Finish::default());
    body(json, |name, value| {
        match name {
            "model" => fields.model = value.optional_string()?,
            "inputs" => fields.inputs = Some(inputs(value)?),
            "normalize" => finish.normalise = value.flag(true)?,
            "dimensions" => finish.dimensions = value.count()?,
            _ => options::take(&mut fields.options, name, value)?,
        }
        Ok(())
    })?;
    Ok((fields, finish))
}

#[cfg(test)]
mod tests {
    use super::*;
    use perch_models::text::Direction;

    fn message(json: &str) -> String {
        embed(json.as_bytes()).map(|_| ()).expect_err(json).message
    }

    #[test]
    fn what_is_left_out_means_what_tei_means_by_it() {
        let ask = embed(br#"{"inputs": "a"}"#).expect("well formed");
        assert_eq!(ask.inputs, [TextInput::Text("a".into())]);
        assert_eq!((ask.model, ask.options), (None, TextOptions::default()));
        assert_eq!(ask.want, Want::Embedding(Finish { normalise: true, dimensions: None }));
    }

    #[test]
    fn every_field_is_read_and_null_is_nothing() {
        let json = br#"{"truncate": true, "truncation_direction": "Left", "prompt_name": "query", "normalize": false,
            "dimensions": 64, "model": "minilm", "inputs": ["a"], "encoding_format": "float", "more": [{"a": 1}]}"#;
        let ask = embed(json).expect("well formed");
        let options = TextOptions { truncate: true, direction: Some(Direction::Left), prompt: Some("query".into()) };
        assert_eq!((ask.model.as_deref(), ask.options), (Some("minilm"), options));
        assert_eq!(ask.want, Want::Embedding(Finish { normalise: false, dimensions: Some(64) }));
        let json = br#"{"inputs": "a", "truncate": null, "truncation_direction": null, "prompt_name": null,
            "normalize": null, "dimensions": null, "model": null}"#;
        let ask = embed(json).expect("well formed");
        assert_eq!(
            (ask.model, ask.options, ask.want),
            (None, TextOptions::default(), Want::Embedding(Finish::default()))
        );
        assert!(embed(br#"{"inputs": "a", "truncation_direction": "right"}"#).is_ok());
        assert_eq!(embed_all(br#"{"inputs": "a", "normalize": true}"#).expect("well formed").want, Want::Tokens);
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(message("{}"), "inputs: expected it, but it is missing");
        assert_eq!(message("[]"), "the body: expected an object, got an array");
        assert_eq!(message(r#"{"inputs": "a", "truncate": 1}"#), "truncate: expected a boolean, got a number");
        assert_eq!(message(r#"{"inputs": "a", "model": 1}"#), "model: expected a string or null, got a number");
        let up = r#"{"inputs": "a", "truncation_direction": "up"}"#;
        assert_eq!(message(up), "truncation_direction: expected \"left\" or \"right\", got \"up\"");
        assert_eq!(message(r#"{"inputs": "a", "dimensions": -1}"#), "dimensions: expected a whole number, got -1");
        assert!(message(r#"{"inputs": "a""#).starts_with("malformed JSON at line 1"));
        assert!(message("").starts_with("malformed JSON at line 1"));
        assert!(message(r#"{"inputs": "a"} x"#).contains("trailing characters"));
    }
}

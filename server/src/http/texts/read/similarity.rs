//! `/similarity`.

use perch_models::text::{Finish, TextInput, TextOptions, Want};

use super::options;
use super::value::{body, missing};
use super::{MOST_INPUTS, Result};
use crate::texts::{Named, TextAsk};

/// The source is one of the texts, too.
const MOST_SENTENCES: usize = MOST_INPUTS - 1;

/// `{inputs: {source_sentence, sentences}, parameters?: {truncate?, truncation_direction?, prompt_name?}, model?}`: the
/// source comes first in what is run.
pub fn similarity(json: &[u8]) -> Result<TextAsk> {
    let (mut model, mut source, mut sentences) = (None, None, None);
    let mut options = TextOptions::default();
    let mut given = false;
    body(json, |name, value| {
        match name {
            "model" => model = value.optional_string()?,
            "inputs" => {
                given = true;
                value.object(|name, value| {
                    match name {
                        "source_sentence" => source = Some(value.string()?),
                        "sentences" => sentences = Some(value.strings_of("an array of strings", MOST_SENTENCES)?),
                        _ => value.skip()?,
                    }
                    Ok(())
                })?;
            }
            "parameters" if value.peek != jiter::Peek::Null => {
                value.object(|name, value| options::take(&mut options, name, value))?;
            }
            _ => value.skip()?,
        }
        Ok(())
    })?;
    if !given {
        return Err(missing("inputs"));
    }
    let source: String = source.ok_or_else(|| missing("inputs.source_sentence"))?;
    let sentences: Vec<String> = sentences.ok_or_else(|| missing("inputs.sentences"))?;
    let inputs = std::iter::once(source).chain(sentences).map(TextInput::Text).collect();
    let want = Want::Embedding(Finish::default());
    Ok(TextAsk { model, inputs, options, want, named: Named::Sentences })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_source_comes_first() {
        let json =
            br#"{"inputs": {"sentences": ["a", "b"], "source_sentence": "s"}, "parameters": {"truncate": true}}"#;
        let ask = similarity(json).expect("well formed");
        assert_eq!(ask.inputs, ["s", "a", "b"].map(|text| TextInput::Text(text.into())));
        assert!(ask.options.truncate);
        assert_eq!(ask.named, Named::Sentences);
        // As huggingface_hub sends it.
        let json = br#"{"inputs": {"source_sentence": "s", "sentences": ["a"]}, "parameters": {}}"#;
        assert_eq!(similarity(json).expect("well formed").options, TextOptions::default());
    }

    #[test]
    fn the_source_is_counted() {
        let json = |sentences: usize| {
            let sentences = vec!["\"a\""; sentences].join(",");
            format!("{{\"inputs\": {{\"source_sentence\": \"s\", \"sentences\": [{sentences}]}}}}")
        };
        assert_eq!(similarity(json(2047).as_bytes()).expect("as many as may be").inputs.len(), MOST_INPUTS);
        let error = similarity(json(2048).as_bytes()).expect_err("one more");
        let message = "inputs.sentences: expected at most 2047 texts, got more";
        assert_eq!((error.kind, error.message.as_str()), (Kind::TooManyInputs, message));
    }

    #[test]
    fn errors_name_the_field() {
        for (json, message) in [
            ("{}", "inputs: expected it, but it is missing"),
            (r#"{"inputs": {}}"#, "inputs.source_sentence: expected it, but it is missing"),
            (r#"{"inputs": {"source_sentence": "s"}}"#, "inputs.sentences: expected it, but it is missing"),
            (r#"{"inputs": {"source_sentence": "s", "sentences": []}}"#, "`inputs.sentences` cannot be empty"),
            (r#"{"inputs": {"sentences": ["a", {}]}}"#, "inputs.sentences[1]: expected a string, got an object"),
            (r#"{"inputs": "a"}"#, "inputs: expected an object, got a string"),
            (r#"{"parameters": {"truncate": "yes"}}"#, "parameters.truncate: expected a boolean, got a string"),
        ] {
            assert_eq!(similarity(json.as_bytes()).map(|_| ()).expect_err(json).message, message);
        }
    }
}

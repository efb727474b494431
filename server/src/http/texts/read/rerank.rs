//! `/rerank`.

use std::sync::Arc;

use perch_models::text::{TextInput, TextOptions, Want};

use super::Result;
use super::options;
use super::value::{body, missing};
use crate::texts::{Named, TextAsk};

/// A request for ranks.
pub struct Rerank {
    /// The query with each text.
    pub ask: TextAsk,
    /// The texts, where they are to be given back.
    pub texts: Option<Vec<String>>,
}

/// `{query, texts, raw_scores?, return_text?, truncate?, truncation_direction?, model?}`.
pub fn rerank(json: &[u8]) -> Result<Rerank> {
    let (mut model, mut query, mut texts) = (None, None, None);
    let (mut raw, mut back, mut options) = (false, false, TextOptions::default());
    body(json, |name, value| {
        match name {
            "model" => model = value.optional_string()?,
            "query" => query = Some(value.string()?.into()),
            "texts" => texts = Some(value.strings("an array of strings")?),
            "raw_scores" => raw = value.flag(false)?,
            "return_text" => back = value.flag(false)?,
            // A prompt belongs to one text.
            "prompt_name" => value.skip()?,
            _ => options::take(&mut options, name, value)?,
        }
        Ok(())
    })?;
    let query: Arc<str> = query.ok_or_else(|| missing("query"))?;
    let texts: Vec<String> = texts.ok_or_else(|| missing("texts"))?;
    let given_back = back.then(|| texts.clone());
    let inputs = texts.into_iter().map(|text| TextInput::Pair(query.clone(), text)).collect();
    let ask = TextAsk { model, inputs, options, want: Want::Scores { raw }, named: Named::Texts };
    Ok(Rerank { ask, texts: given_back })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_query_goes_with_each_text() {
        let json = br#"{"query": "q", "texts": ["a", "b"], "raw_scores": true, "truncate": true}"#;
        let request = rerank(json).expect("well formed");
        let pair = |text: &str| TextInput::Pair("q".into(), text.into());
        assert_eq!(request.ask.inputs, [pair("a"), pair("b")]);
        assert_eq!((request.ask.want, request.ask.options.truncate), (Want::Scores { raw: true }, true));
        assert_eq!((request.texts, request.ask.named), (None, Named::Texts));
        let json = br#"{"query": "q", "texts": ["a"], "return_text": true}"#;
        assert_eq!(rerank(json).expect("well formed").texts, Some(vec!["a".to_owned()]));
    }

    #[test]
    fn all_texts_share_one_query() {
        let texts = vec!["\"a\""; 2048].join(",");
        let json = format!("{{\"query\": \"{}\", \"texts\": [{texts}]}}", "q".repeat(1 << 20));
        let inputs = rerank(json.as_bytes()).expect("well formed").ask.inputs;
        let query = |input: &TextInput| match input {
            TextInput::Pair(query, _) => query.clone(),
            input => panic!("{input:?} is no pair"),
        };
        assert_eq!(inputs.len(), 2048);
        assert!(inputs.iter().all(|input| Arc::ptr_eq(&query(input), &query(&inputs[0]))));
    }

    #[test]
    fn errors_name_the_field() {
        for (json, kind, message) in [
            (r#"{"texts": ["a"]}"#, Kind::InvalidInput, "query: expected it, but it is missing"),
            (r#"{"query": "q"}"#, Kind::InvalidInput, "texts: expected it, but it is missing"),
            (r#"{"query": "q", "texts": []}"#, Kind::EmptyInput, "`texts` cannot be empty"),
            (
                r#"{"query": "q", "texts": "a"}"#,
                Kind::InvalidInput,
                "texts: expected an array of strings, got a string",
            ),
            (r#"{"query": "q", "texts": ["a", 1]}"#, Kind::InvalidInput, "texts[1]: expected a string, got a number"),
            (r#"{"query": ["q"]}"#, Kind::InvalidInput, "query: expected a string, got an array"),
        ] {
            let error = rerank(json.as_bytes()).map(|_| ()).expect_err(json);
            assert_eq!((error.kind, error.message.as_str()), (kind, message));
        }
    }
}

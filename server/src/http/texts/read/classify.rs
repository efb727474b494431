//! Texts at `/predict`, for classifiers.
//!
//! A string is one text and `[string, string]` one pair, as in TEI; several are arrays in an array.

use jiter::Peek;
use perch_models::text::{TextInput, TextOptions, Want};

use super::Result;
use super::options;
use super::value::{Value, body, empty, missing};
use crate::error::ApiError;
use crate::texts::{Named, TextAsk};

/// Texts stand in no more arrays than this.
const FORMS: usize = 2;

/// A request for labels.
pub struct Classify {
    /// What is run.
    pub ask: TextAsk,
    /// Whether there were several texts, or an array of one: the answer then is an array of answers.
    pub batch: bool,
}

/// `{inputs, truncate?, truncation_direction?, raw_scores?, prompt_name?, model?}`.
pub fn classify(json: &[u8]) -> Result<Classify> {
    let (mut model, mut read, mut raw, mut options) = (None, None, false, TextOptions::default());
    body(json, |name, value| {
        match name {
            "model" => model = value.optional_string()?,
            "inputs" => read = Some(inputs(value)?),
            "raw_scores" => raw = value.flag(false)?,
            _ => options::take(&mut options, name, value)?,
        }
        Ok(())
    })?;
    let (inputs, batch) = read.ok_or_else(|| missing("inputs"))?;
    let want = Want::Scores { raw };
    Ok(Classify { ask: TextAsk { model, inputs, options, want, named: Named::Inputs }, batch })
}

fn inputs(value: Value<'_, '_>) -> Result<(Vec<TextInput>, bool)> {
    if value.peek == Peek::String {
        return Ok((vec![TextInput::Text(value.string()?)], false));
    }
    let place = value.place();
    let mut texts = Vec::new();
    let many = value.list("a string, two strings, or an array of arrays of strings", |item| match item.peek {
        Peek::String if texts.len() == 2 => {
            Err(item.expected("nothing more, since two strings are a pair (several texts are [[\"…\"], [\"…\"]])"))
        }
        Peek::String => {
            texts.push(item.string()?);
            Ok(None)
        }
        _ if !texts.is_empty() => Err(item.expected("a string")),
        _ => sequence(item).map(Some),
    })?;
    if texts.is_empty() {
        return Ok((many.into_iter().flatten().collect(), true));
    }
    if many.iter().any(Option::is_some) {
        let message = format!("{place}: expected strings or arrays of strings, got both");
        return Err(ApiError::new(crate::error::Kind::InvalidInput, message));
    }
    Ok((vec![one(texts, &place)?], false))
}

/// One text, or a pair.
fn sequence(value: Value<'_, '_>) -> Result<TextInput> {
    let place = value.place();
    let mut texts = Vec::new();
    value.array("an array of one or two strings", |item| {
        if texts.len() == 2 {
            return Err(item.expected("nothing more than two strings"));
        }
        texts.push(item.string()?);
        Ok(())
    })?;
    one(texts, &place)
}

fn one(texts: Vec<String>, place: &str) -> Result<TextInput> {
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next()) {
        (Some(text), None) => Ok(TextInput::Text(text)),
        (Some(first), Some(second)) => Ok(TextInput::Pair(first.into(), second)),
        (None, _) => Err(empty(place)),
    }
}

/// Whether `inputs` of a body begins like texts, and the model that it names: tensors never hold strings there for a
/// model that takes texts.
#[must_use]
pub fn looks_like_texts(json: &[u8]) -> Option<Option<String>> {
    let (mut model, mut texts) = (None, false);
    // Whatever is wrong elsewhere is said by whoever reads it whole.
    let _ = body(json, |name, value| {
        match name {
            "model" if value.peek == Peek::String => model = Some(value.string()?),
            "inputs" => texts = begins_with_text(value, FORMS)?,
            _ => value.skip()?,
        }
        Ok(())
    });
    texts.then_some(model)
}

/// Whether a string is the first of what `value` holds, in at most so many arrays: what is deeper is skipped, since
/// whoever sends brackets alone chooses how many.
fn begins_with_text(value: Value<'_, '_>, arrays: usize) -> Result<bool> {
    if value.peek != Peek::Array || arrays == 0 {
        let text = value.peek == Peek::String;
        return value.skip().map(|()| text);
    }
    let (mut first, mut found) = (true, false);
    value.array("", |item| {
        if std::mem::take(&mut first) && item.peek == Peek::Array {
            found = begins_with_text(item, arrays - 1)?;
            return Ok(());
        }
        found |= item.peek == Peek::String;
        item.skip()
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<(Vec<TextInput>, bool)> {
        classify(format!("{{\"inputs\": {json}}}").as_bytes()).map(|request| (request.ask.inputs, request.batch))
    }

    fn text(text: &str) -> TextInput {
        TextInput::Text(text.into())
    }

    fn pair(first: &str, second: &str) -> TextInput {
        TextInput::Pair(first.into(), second.into())
    }

    #[test]
    fn the_forms_of_tei_are_read() {
        assert_eq!(read(r#""a""#), Ok((vec![text("a")], false)));
        assert_eq!(read(r#"["a"]"#), Ok((vec![text("a")], false)));
        assert_eq!(read(r#"["a", "b"]"#), Ok((vec![pair("a", "b")], false)));
        assert_eq!(read(r#"[["a"], ["b", "c"]]"#), Ok((vec![text("a"), pair("b", "c")], true)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (json, message) in [
            (
                r#"["a", "b", "c"]"#,
                "inputs[2]: expected nothing more, since two strings are a pair (several texts are [[\"…\"], \
                 [\"…\"]]), got a string",
            ),
            (r#"["a", ["b"]]"#, "inputs[1]: expected a string, got an array"),
            (r#"[["a"], "b"]"#, "inputs: expected strings or arrays of strings, got both"),
            (r#"[["a"], [1]]"#, "inputs[1][0]: expected a string, got a number"),
            (r#"[["a", "b", "c"]]"#, "inputs[0][2]: expected nothing more than two strings, got a string"),
            (r#"[["a"], []]"#, "`inputs[1]` cannot be empty"),
            ("[]", "`inputs` cannot be empty"),
            ("3", "inputs: expected a string, two strings, or an array of arrays of strings, got a number"),
        ] {
            assert_eq!(read(json).expect_err(json).message, message);
        }
    }

    #[test]
    fn texts_are_told_from_tensors() {
        for json in [r#"{"inputs": "a"}"#, r#"{"inputs": ["a"]}"#, r#"{"truncate": true, "inputs": [["a"], [1]]}"#] {
            assert_eq!(looks_like_texts(json.as_bytes()), Some(None), "{json}");
        }
        assert_eq!(looks_like_texts(br#"{"inputs": "a", "model": "m"}"#), Some(Some("m".to_owned())));
        for json in [
            r#"{"instances": ["a"]}"#,
            r#"{"inputs": [[1, 2]]}"#,
            r#"{"inputs": [{"name": "x"}]}"#,
            r#"{"inputs": {"x": ["a"]}}"#,
            r#"{"inputs": []}"#,
            r#"{"inputs": [[["a"]]]}"#,
            "[]",
            "",
        ] {
            assert_eq!(looks_like_texts(json.as_bytes()), None, "{json}");
        }
    }
}

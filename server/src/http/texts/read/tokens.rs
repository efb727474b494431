//! `/tokenize` and `/decode`.

use jiter::Peek;

use super::inputs::ids;
use super::value::{Value, body, empty, missing, too_many};
use super::{MOST_INPUTS, Result};

/// A request for tokens.
#[derive(Debug, PartialEq, Eq)]
pub struct Tokenize {
    /// The model, when named.
    pub model: Option<String>,
    /// The texts.
    pub texts: Vec<String>,
    /// Whether special tokens are added.
    pub special: bool,
    /// The prompt to put before each, by name.
    pub prompt: Option<String>,
}

/// A request for the text of tokens.
#[derive(Debug, PartialEq, Eq)]
pub struct Decode {
    /// The model, when named.
    pub model: Option<String>,
    /// The tokens of each text.
    pub ids: Vec<Vec<u32>>,
    /// Whether special tokens are left out.
    pub skip_special: bool,
}

/// `{inputs: str|[str], add_special_tokens?, prompt_name?, model?}`.
pub fn tokenize(json: &[u8]) -> Result<Tokenize> {
    let mut texts = None;
    let mut request = Tokenize { model: None, texts: Vec::new(), special: true, prompt: None };
    body(json, |name, value| {
        match name {
            "model" => request.model = value.optional_string()?,
            "inputs" if value.peek == Peek::String => texts = Some(vec![value.string()?]),
            "inputs" => texts = Some(value.strings("a string or an array of strings")?),
            "add_special_tokens" => request.special = value.flag(true)?,
            "prompt_name" => request.prompt = value.optional_string()?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(Tokenize { texts: texts.ok_or_else(|| missing("inputs"))?, ..request })
}

/// `{ids: [int]|[[int]], skip_special_tokens?, model?}`.
pub fn decode(json: &[u8]) -> Result<Decode> {
    let mut lists = None;
    let mut request = Decode { model: None, ids: Vec::new(), skip_special: true };
    body(json, |name, value| {
        match name {
            "model" => request.model = value.optional_string()?,
            "ids" => lists = Some(one_or_many(value)?),
            "skip_special_tokens" => request.skip_special = value.flag(true)?,
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(Decode { ids: lists.ok_or_else(|| missing("ids"))?, ..request })
}

fn one_or_many(value: Value<'_, '_>) -> Result<Vec<Vec<u32>>> {
    let place = value.place();
    let (mut one, mut many) = (Vec::new(), Vec::new());
    value.array("an array of token ids, or an array of these", |item| {
        match item.peek {
            Peek::Array if one.is_empty() && many.len() == MOST_INPUTS => return Err(too_many(&place, MOST_INPUTS)),
            Peek::Array if one.is_empty() => many.push(ids(item)?),
            _ if many.is_empty() => one.push(item.id()?),
            _ => return Err(item.expected("an array of token ids")),
        }
        Ok(())
    })?;
    match (one.is_empty(), many.is_empty()) {
        (true, true) => Err(empty(&place)),
        (false, _) => Ok(vec![one]),
        (true, false) => Ok(many),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_or_many() {
        let one = tokenize(br#"{"inputs": "a"}"#).expect("well formed");
        assert_eq!(one, Tokenize { model: None, texts: vec!["a".into()], special: true, prompt: None });
        let json = br#"{"inputs": ["a", "b"], "add_special_tokens": false, "prompt_name": "query", "model": "m"}"#;
        let texts = vec!["a".into(), "b".into()];
        let many = Tokenize { model: Some("m".into()), texts, special: false, prompt: Some("query".into()) };
        assert_eq!(tokenize(json), Ok(many));
    }

    #[test]
    fn ids_are_one_or_many() {
        let one = decode(br#"{"ids": [1, 2]}"#).expect("well formed");
        assert_eq!(one, Decode { model: None, ids: vec![vec![1, 2]], skip_special: true });
        let many = decode(br#"{"ids": [[1, 2], [3]], "skip_special_tokens": false}"#).expect("well formed");
        assert_eq!((many.ids, many.skip_special), (vec![vec![1, 2], vec![3]], false));
    }

    #[test]
    fn errors_name_the_place() {
        for (json, message) in [
            (r#"{"ids": "a"}"#, "ids: expected an array of token ids, or an array of these, got a string"),
            (r#"{"ids": [1, [2]]}"#, "ids[1]: expected a token id, got an array"),
            (r#"{"ids": [[1], 2]}"#, "ids[1]: expected an array of token ids, got a number"),
            (r#"{"ids": [[1], ["a"]]}"#, "ids[1][0]: expected a token id, got a string"),
            (r#"{"ids": []}"#, "`ids` cannot be empty"),
            ("{}", "ids: expected it, but it is missing"),
        ] {
            assert_eq!(decode(json.as_bytes()).expect_err(json).message, message);
        }
        let numbers = tokenize(br#"{"inputs": [1, 2]}"#).expect_err("no texts");
        assert_eq!(numbers.message, "inputs[0]: expected a string, got a number");
    }
}

//! `inputs` of `/embed`, `input` of `/v1/embeddings`: one text, one text's tokens, or an array of these.

use jiter::Peek;
use perch_models::text::TextInput;

use super::value::{Value, empty, too_many};
use super::{MOST_INPUTS, Result};

/// One text or many; an array of numbers is one text.
pub fn inputs(value: Value<'_, '_>) -> Result<Vec<TextInput>> {
    if value.peek == Peek::String {
        return Ok(vec![TextInput::Text(value.string()?)]);
    }
    let place = value.place();
    let (mut texts, mut ids) = (Vec::new(), Vec::new());
    value.array("a string, an array of token ids, or an array of these", |item| {
        match item.peek {
            peek if peek.is_num() && texts.is_empty() => ids.push(item.id()?),
            _ if !ids.is_empty() => return Err(item.expected("a token id")),
            Peek::String | Peek::Array if texts.len() == MOST_INPUTS => return Err(too_many(&place, MOST_INPUTS)),
            Peek::String => texts.push(TextInput::Text(item.string()?)),
            Peek::Array => texts.push(TextInput::Ids(self::ids(item)?)),
            _ => return Err(item.expected("a string or an array of token ids")),
        }
        Ok(())
    })?;
    match (texts.is_empty(), ids.is_empty()) {
        (true, true) => Err(empty(&place)),
        (true, false) => Ok(vec![TextInput::Ids(ids)]),
        (false, _) => Ok(texts),
    }
}

/// The tokens of one text.
pub fn ids(value: Value<'_, '_>) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    value.array("an array of token ids", |item| {
        ids.push(item.id()?);
        Ok(())
    })?;
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::super::value::body;
    use super::*;
    use crate::error::Kind;

    fn read(json: &str) -> Result<Vec<TextInput>> {
        let mut read = Vec::new();
        body(format!("{{\"inputs\": {json}}}").as_bytes(), |_, value| {
            read = inputs(value)?;
            Ok(())
        })?;
        Ok(read)
    }

    fn text(text: &str) -> TextInput {
        TextInput::Text(text.into())
    }

    #[test]
    fn all_forms_are_read() {
        assert_eq!(read(r#""a\nü""#), Ok(vec![text("a\nü")]));
        assert_eq!(read(r#"["a", "b"]"#), Ok(vec![text("a"), text("b")]));
        assert_eq!(read("[101, 7592, 102]"), Ok(vec![TextInput::Ids(vec![101, 7592, 102])]));
        assert_eq!(read(r#"[[1, 2], "a", [3]]"#), {
            Ok(vec![TextInput::Ids(vec![1, 2]), text("a"), TextInput::Ids(vec![3])])
        });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (json, message) in [
            ("3", "inputs: expected a string, an array of token ids, or an array of these, got a number"),
            ("null", "inputs: expected a string, an array of token ids, or an array of these, got null"),
            (r#"["a", "b", "c", 4]"#, "inputs[3]: expected a string or an array of token ids, got a number"),
            (r#"[{"a": 1}]"#, "inputs[0]: expected a string or an array of token ids, got an object"),
            (r#"[1, "a"]"#, "inputs[1]: expected a token id, got a string"),
            ("[1, -2]", "inputs[1]: expected a token id, got -2"),
            ("[1, 2.5]", "inputs[1]: expected a token id, got 2.5"),
            ("[4294967296]", "inputs[0]: expected a token id, got 4294967296"),
            (r#"["a", [1, null]]"#, "inputs[1][1]: expected a token id, got null"),
            (r#"["a" "b"]"#, "malformed JSON at line 1, column 17: expected `,` or `]`"),
        ] {
            let error = read(json).expect_err(json);
            assert_eq!((error.kind, error.message.as_str()), (Kind::InvalidInput, message));
        }
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        let error = read("[]").expect_err("nothing");
        assert_eq!((error.kind, error.message.as_str()), (Kind::EmptyInput, "`inputs` cannot be empty"));
        let many = format!("[{}\"a\"]", "\"a\",".repeat(MOST_INPUTS));
        let error = read(&many).expect_err("too much");
        let message = "inputs: expected at most 2048 texts, got more";
        assert_eq!((error.kind, error.message.as_str()), (Kind::TooManyInputs, message));
        let tokens = format!("[{}1]", "1,".repeat(MOST_INPUTS));
        assert!(read(&tokens).is_ok(), "the tokens of one text are not counted");
    }
}

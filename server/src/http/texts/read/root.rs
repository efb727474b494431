//! `POST /`, which serves whatever the model does: this tells what was sent, for somebody else to read it.

use jiter::Peek;

use super::Result;
use super::value::body;

/// What a request is by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `query` and `texts`.
    Rerank,
    /// `inputs` is an object.
    Similarity,
    /// Else: the model's task decides.
    Texts,
}

/// What is known of a request before it is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Root {
    /// The model, when named.
    pub model: Option<String>,
    /// Its form.
    pub form: Form,
}

/// Looks at a request.
pub fn root(json: &[u8]) -> Result<Root> {
    let mut root = Root { model: None, form: Form::Texts };
    body(json, |name, value| {
        match (name, value.peek) {
            ("model", _) => root.model = value.optional_string()?,
            ("query" | "texts", _) => {
                root.form = Form::Rerank;
                value.skip()?;
            }
            ("inputs", Peek::Object) => {
                root.form = Form::Similarity;
                value.skip()?;
            }
            _ => value.skip()?,
        }
        Ok(())
    })?;
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_tells_what_is_asked() {
        let form = |json: &str| root(json.as_bytes()).map(|root| root.form);
        assert_eq!(form(r#"{"inputs": "a"}"#), Ok(Form::Texts));
        assert_eq!(form(r#"{"inputs": [["a"]], "parameters": {}}"#), Ok(Form::Texts));
        assert_eq!(form(r#"{"inputs": {"source_sentence": "a", "sentences": ["b"]}}"#), Ok(Form::Similarity));
        assert_eq!(form(r#"{"query": "q", "texts": ["a"]}"#), Ok(Form::Rerank));
        assert_eq!(root(br#"{"model": "m"}"#).map(|root| root.model), Ok(Some("m".to_owned())));
        assert!(root(b"{").is_err());
    }
}

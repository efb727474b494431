//! How protocols call the texts of a request, for what is said of one of them.

use perch_models::text::TextError;

use crate::error::ApiError;

/// Where the texts of a request stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Named {
    /// In `inputs`, as in most of TEI's requests.
    #[default]
    Inputs,
    /// In `input`, as in `OpenAI`'s.
    Input,
    /// In `texts`, each with the query.
    Texts,
    /// In `inputs.sentences`, behind `inputs.source_sentence`.
    Sentences,
}

impl Named {
    /// What is wrong with text `i` of so many, in the words of its protocol.
    #[must_use]
    pub fn error(self, i: usize, texts: usize, error: TextError) -> ApiError {
        let error = self.worded(error.into());
        let place = match self {
            Self::Inputs | Self::Input if texts == 1 => return error,
            Self::Inputs => format!("inputs[{i}]"),
            Self::Input => format!("input[{i}]"),
            Self::Texts => format!("texts[{i}]"),
            Self::Sentences => match i.checked_sub(1) {
                Some(i) => format!("inputs.sentences[{i}]"),
                None => "inputs.source_sentence".to_owned(),
            },
        };
        error.of(&place)
    }

    /// Errors of texts are worded as TEI words them, which calls all texts `inputs`.
    fn worded(self, error: ApiError) -> ApiError {
        match (self, error.message.strip_prefix("`inputs`")) {
            (Self::Input, Some(rest)) => ApiError { message: format!("`input`{rest}"), ..error },
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_text_is_called_as_its_protocol_calls_it() {
        for (named, i, texts, message) in [
            (Named::Inputs, 0, 1, "`inputs` cannot be empty"),
            (Named::Inputs, 1, 2, "inputs[1]: `inputs` cannot be empty"),
            (Named::Input, 0, 1, "`input` cannot be empty"),
            (Named::Input, 1, 2, "input[1]: `input` cannot be empty"),
            (Named::Texts, 0, 1, "texts[0]: `inputs` cannot be empty"),
            (Named::Texts, 3, 4, "texts[3]: `inputs` cannot be empty"),
            (Named::Sentences, 0, 2, "inputs.source_sentence: `inputs` cannot be empty"),
            (Named::Sentences, 1, 2, "inputs.sentences[0]: `inputs` cannot be empty"),
        ] {
            let error = named.error(i, texts, TextError::Empty);
            assert_eq!((error.kind, error.message.as_str()), (Kind::EmptyInput, message));
        }
        let error = Named::Input.error(0, 1, TextError::TooLong { limit: 5, given: 6 });
        assert_eq!(error.message, "`input` must have less than 5 tokens. Given: 6");
    }
}

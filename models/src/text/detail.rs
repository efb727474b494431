//! Tokens as people look at them.

use tokenizers::Encoding;

use super::error::TextError;
use super::row::check_characters;
use super::sequence::Input;
use super::tokenize::TextTokenizer;

/// One token and where it comes from, as text-embeddings-inference shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its number.
    pub id: u32,
    /// What it stands for in the text; a special token's name.
    pub text: String,
    /// Whether it was added to the text.
    pub special: bool,
    /// Where it begins in the text (prompt and text), in bytes; none where it was added.
    pub start: Option<usize>,
    /// Where it ends.
    pub stop: Option<usize>,
}

impl TextTokenizer {
    /// Splits one input and shows every token. Nothing is cut off. Tokens are turned into text first, and get no
    /// special tokens unless there is a prompt.
    ///
    /// # Errors
    /// When it is empty or far too long, or there is no such prompt.
    pub fn tokens(&self, input: Input<'_>, special: bool, prompt: Option<&str>) -> Result<Vec<Token>, TextError> {
        let (tokenizer, max_tokens) = self.parts();
        match input {
            Input::Text("") | Input::Pair("", "") | Input::Ids([]) => Err(TextError::Empty),
            Input::Text(text) => {
                let text = self.prompted(text, prompt)?;
                check_characters(&text, max_tokens)?;
                let encoding = tokenizer.encode(text.as_ref(), special)?;
                Ok(shown(&encoding, [&text, ""]))
            }
            Input::Pair(..) if prompt.is_some() => Err(TextError::PromptWithPair),
            Input::Pair(first, second) => {
                check_characters(first, max_tokens)?;
                check_characters(second, max_tokens)?;
                let encoding = tokenizer.encode((first, second), special)?;
                Ok(shown(&encoding, [first, second]))
            }
            Input::Ids(ids) => {
                let prompted = !self.prompted("", prompt)?.is_empty();
                let text = self.decode(ids, prompted)?;
                // The default prompt is put before it there too, if it is to be.
                if prompted { self.tokens(Input::Text(&text), true, prompt) } else { self.unprompted(&text) }
            }
        }
    }

    fn unprompted(&self, text: &str) -> Result<Vec<Token>, TextError> {
        let (tokenizer, max_tokens) = self.parts();
        check_characters(text, max_tokens)?;
        Ok(shown(&tokenizer.encode(text, false)?, [text, ""]))
    }
}

fn shown(encoding: &Encoding, texts: [&str; 2]) -> Vec<Token> {
    let [first, second] = texts;
    let token = |(i, id): (usize, &u32)| {
        if encoding.get_special_tokens_mask().get(i) == Some(&1) {
            let text = encoding.get_tokens().get(i).cloned().unwrap_or_default();
            return Token { id: *id, text, special: true, start: None, stop: None };
        }
        let text = if encoding.token_to_sequence(i) == Some(1) { second } else { first };
        let (start, stop) = encoding.get_offsets().get(i).copied().unwrap_or_default();
        // A token may be part of a character.
        let bytes = text.as_bytes().get(start..stop).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes).into_owned();
        Token { id: *id, text, special: false, start: Some(start), stop: Some(stop) }
    };
    encoding.get_ids().iter().enumerate().map(token).collect()
}

//! Texts that a model wants before others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::TextError;
use super::sequence::Input;

/// A text that is put before another one.
#[derive(Debug)]
pub(super) struct Prompt {
    text: String,
    /// How many tokens at the beginning are then not pooled.
    pub(super) skip: usize,
}

/// A model's prompts by name.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    by_name: BTreeMap<String, Prompt>,
    default: Option<String>,
}

impl Prompts {
    /// Without any prompt; requests that name none get the one that is called `default`.
    pub(super) const fn new(default: Option<String>) -> Self {
        Self { by_name: BTreeMap::new(), default }
    }

    pub(super) fn add(&mut self, name: &str, text: &str, skip: usize) {
        self.by_name.insert(name.to_owned(), Prompt { text: text.to_owned(), skip });
    }

    /// The prompt for `input` of that name, or the default one; none where it has no text.
    ///
    /// # Errors
    /// When there is no such prompt, or there are two texts.
    pub(super) fn find(&self, input: Input<'_>, name: Option<&str>) -> Result<Option<&Prompt>, TextError> {
        let prompt = match (name, input) {
            (Some(_), Input::Pair(..)) => return Err(TextError::PromptWithPair),
            (None, Input::Pair(..)) => None,
            (Some(name), _) => Some(self.by_name.get(name).ok_or_else(|| self.unknown(name))?),
            (None, _) => self.default.as_ref().and_then(|name| self.by_name.get(name)),
        };
        Ok(prompt.filter(|prompt| !prompt.text.is_empty()))
    }

    fn unknown(&self, name: &str) -> TextError {
        let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        let known = if names.is_empty() { "none, the model has no prompts".into() } else { names.join(", ") };
        TextError::UnknownPrompt { name: name.to_owned(), known }
    }
}

/// `text`, behind the prompt if there is one.
pub(super) fn behind<'t>(prompt: Option<&Prompt>, text: &'t str) -> Cow<'t, str> {
    prompt.map_or(Cow::Borrowed(text), |prompt| Cow::Owned(format!("{}{text}", prompt.text)))
}

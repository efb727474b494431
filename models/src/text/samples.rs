//! Built-in sentences, which a model is warmed up and compared with.

use super::TextModel;
use super::config::Task;
use super::sequence::{EncodeOptions, Input, Sequence};
use crate::tensor::Tensor;

/// Short, and long enough that padding the short one would show.
const SHORT: &str = "Where is the library?";
const LONG: &str = "The old library by the river opens at nine in the morning, and on market days the doors stay open \
                    until the last reader has put away the newspapers, returned the maps and found a coat.";

impl TextModel {
    /// A short and a long sentence, encoded as the model's task asks for; cut to `max_tokens` tokens each, where that is
    /// given. None where the tokenizer makes nothing of them.
    #[must_use]
    pub fn samples(&self, max_tokens: Option<usize>) -> Option<(Sequence, Sequence)> {
        let options = EncodeOptions { truncate: true, max_tokens, ..EncodeOptions::default() };
        let encode = |text: &'static str| {
            let input = if self.config.task == Task::Reranker { Input::Pair(SHORT, text) } else { Input::Text(text) };
            self.encode(input, &options).ok()
        };
        Some((encode(SHORT)?, encode(LONG)?))
    }

    /// A run of the short sentence, as the graph takes it, padded as `padded` says of its length.
    #[must_use]
    pub fn example(&self, padded: impl Fn(usize) -> usize) -> Vec<Tensor> {
        self.samples(None).map_or_else(Vec::new, |(short, _)| self.inputs(&[&short], padded(short.len())))
    }
}

impl Sequence {
    /// The same cut or repeated to `length` tokens, its first and last ones kept: something to measure with.
    pub(crate) fn stretched(&self, length: usize) -> Self {
        let middle = self.ids.get(1..self.len().saturating_sub(1)).filter(|middle| !middle.is_empty());
        let middle = middle.unwrap_or(&self.ids);
        let (first, last) = (self.ids.iter().take(1), self.ids.iter().rev().take(1));
        let ids = match length {
            0 | 1 => first.copied().collect(),
            length => first.chain(middle.iter().cycle().take(length - 2)).chain(last).copied().collect(),
        };
        Self { ids, type_ids: Vec::new(), skip: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_stretched_to_any_length() {
        let sequence = |ids: &[u32]| Sequence { ids: ids.to_vec(), type_ids: Vec::new(), skip: 0 };
        let row = sequence(&[101, 7, 8, 102]);
        assert_eq!(row.stretched(1).ids, [101]);
        assert_eq!(row.stretched(2).ids, [101, 102]);
        assert_eq!(row.stretched(3).ids, [101, 7, 102]);
        assert_eq!(row.stretched(7).ids, [101, 7, 8, 7, 8, 7, 102]);
        assert_eq!(sequence(&[5]).stretched(4).ids, [5, 5, 5, 5]);
    }
}

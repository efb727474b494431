//! What tells the inputs of a version apart: a SHA-256 over the version's identity (its digest, and where and how exactly
//! it computes) and everything else that its answer depends on.
//!
//! Answers are cached by it, so two inputs must never share one. Each part is preceded by its kind and its size, and each
//! number is written in full.

use sha2::{Digest as _, Sha256};

use crate::run::Text;
use crate::tensor::{Data, Tensor};
use crate::text::Want;

/// The name of one input of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of the tensors of one request, in the signature's order.
    #[must_use]
    pub fn of_tensors(identity: &str, tensors: &[Tensor]) -> Self {
        let mut hash = Hash::of("tensors", identity);
        for tensor in tensors {
            hash.text(&format!("{:?}", tensor.dtype()));
            hash.number(tensor.shape().len());
            tensor.shape().iter().for_each(|size| hash.number(*size));
            hash.data(tensor.data());
        }
        hash.end()
    }

    /// Of one text.
    #[must_use]
    pub fn of_text(identity: &str, text: &Text) -> Self {
        let mut hash = Hash::of("text", identity);
        hash.bytes(bytemuck::cast_slice(&text.sequence.ids));
        hash.bytes(bytemuck::cast_slice(&text.sequence.type_ids));
        hash.number(text.sequence.skip);
        match text.want {
            Want::Embedding(finish) => {
                hash.text("embedding");
                hash.number(usize::from(finish.normalise));
                // A model has no embedding of so many dimensions.
                hash.number(finish.dimensions.unwrap_or(usize::MAX));
            }
            Want::Tokens => hash.text("tokens"),
            Want::Scores { raw } => {
                hash.text("scores");
                hash.number(usize::from(raw));
            }
        }
        hash.end()
    }
}

struct Hash(Sha256);

impl Hash {
    fn of(kind: &str, identity: &str) -> Self {
        let mut hash = Self(Sha256::new());
        hash.text(kind);
        hash.text(identity);
        hash
    }

    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn data(&mut self, data: &Data) {
        match data {
            Data::Bool(values) => {
                let bytes: Vec<u8> = values.iter().map(|value| u8::from(*value)).collect();
                self.bytes(&bytes);
            }
            Data::String(texts) => {
                self.number(texts.len());
                texts.iter().for_each(|text| self.text(text));
            }
            Data::U8(values) => self.bytes(values),
            Data::I8(values) => self.bytes(bytemuck::cast_slice(values)),
            Data::U16(values) => self.bytes(bytemuck::cast_slice(values)),
            Data::I16(values) => self.bytes(bytemuck::cast_slice(values)),
            Data::U32(values) => self.bytes(bytemuck::cast_slice(values)),
            Data::I32(values) => self.bytes(bytemuck::cast_slice(values)),
            Data::U64(values) => self.bytes(bytemuck::cast_slice(values)),
            Data::I64(values) => self.bytes(bytemuck::cast_slice(values)),
            Data::F16(values) => self.bytes(bytemuck::cast_slice(values)),
            Data::F32(values) => self.bytes(bytemuck::cast_slice(values)),
            Data::F64(values) => self.bytes(bytemuck::cast_slice(values)),
        }
    }

    fn end(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tensor::Shape;
    use crate::text::{Finish, Sequence};

    fn tensor(shape: &[usize], data: Data) -> Tensor {
        Tensor::new(Shape::from_slice(shape), data).expect("it fits")
    }

    #[test]
    fn what_differs_in_anything_has_another_name() {
        let floats = |values: &[f32]| Data::F32(values.to_vec());
        let strings = |values: &[&str]| Data::String(values.iter().map(|text| (*text).to_owned()).collect());
        let inputs = [
            vec![],
            vec![tensor(&[1, 2], floats(&[0.0, 1.0]))],
            vec![tensor(&[2, 1], floats(&[0.0, 1.0]))],
            vec![tensor(&[2], floats(&[0.0, 1.0]))],
            vec![tensor(&[1, 2], floats(&[-0.0, 1.0]))],
            vec![tensor(&[1, 2], Data::F64(vec![0.0, 1.0]))],
            vec![tensor(&[1, 2], Data::U32(vec![0, 1]))],
            vec![tensor(&[1, 2], Data::I32(vec![0, 1]))],
            vec![tensor(&[1], floats(&[0.0])), tensor(&[1], floats(&[1.0]))],
            vec![tensor(&[2], strings(&["a", "bc"]))],
            vec![tensor(&[2], strings(&["ab", "c"]))],
            vec![tensor(&[2], Data::Bool(vec![false, true]))],
            vec![tensor(&[2], Data::U8(vec![0, 1]))],
        ];
        let names = |digest| inputs.iter().map(move |inputs| Fingerprint::of_tensors(digest, inputs));
        let all: HashSet<Fingerprint> = names("sha256:aa").chain(names("sha256:bb")).collect();
        assert_eq!(all.len(), 2 * inputs.len());
        assert_eq!(names("sha256:aa").collect::<Vec<_>>(), names("sha256:aa").collect::<Vec<_>>());
    }

    #[test]
    fn texts_differ_by_their_tokens_and_by_what_is_wanted() {
        let sequence =
            |ids: &[u32], types: &[u32], skip| Sequence { ids: ids.to_vec(), type_ids: types.to_vec(), skip };
        let sequences = [
            sequence(&[1, 2], &[], 0),
            sequence(&[1, 2, 3], &[], 0),
            sequence(&[1], &[2], 0),
            sequence(&[1, 2], &[0, 1], 0),
            sequence(&[1, 2], &[], 1),
        ];
        let finish = |normalise, dimensions| Want::Embedding(Finish { normalise, dimensions });
        let wants = [
            finish(true, None),
            finish(false, None),
            finish(true, Some(1)),
            finish(true, Some(2)),
            Want::Tokens,
            Want::Scores { raw: true },
            Want::Scores { raw: false },
        ];
        let texts = sequences.iter().flat_map(|sequence| wants.map(|want| Text { sequence: sequence.clone(), want }));
        let names: HashSet<Fingerprint> = texts.map(|text| Fingerprint::of_text("sha256:aa", &text)).collect();
        assert_eq!(names.len(), sequences.len() * wants.len());
    }
}

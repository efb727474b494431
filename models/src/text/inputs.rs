//! From rows of tokens to the inputs of a graph.

use crate::tensor::{Data, Shape, Tensor};

use super::config::TextConfig;
use super::graph::{Graph, Role};
use super::sequence::Sequence;

/// One tensor `[rows, length]` for each input of the graph, in its order. `length` is `pad_to`, or the longest row, or
/// the only one that the graph takes. Rows are filled up on the right: with the padding token, mask 0, type 0, and the
/// places of padding.
///
/// On the right even where Python pads on the left: in a causal model no token sees what comes after it, and in any
/// other the mask hides it.
pub(super) fn tensors(graph: &Graph, config: &TextConfig, rows: &[&Sequence], pad_to: usize) -> Vec<Tensor> {
    let length = length(graph, rows, pad_to);
    let tensor = |(role, narrow): &(Role, bool)| {
        let filler = Filler { rows, length, config };
        if *narrow {
            filler.tensor(*role, Data::I32, |value| i32::try_from(value).unwrap_or(i32::MAX))
        } else {
            filler.tensor(*role, Data::I64, i64::from)
        }
    };
    graph.inputs.iter().map(tensor).collect()
}

/// The length that rows get.
pub(super) fn length(graph: &Graph, rows: &[&Sequence], pad_to: usize) -> usize {
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or_default();
    graph.fixed_length.unwrap_or(pad_to).max(longest)
}

struct Filler<'f> {
    rows: &'f [&'f Sequence],
    length: usize,
    config: &'f TextConfig,
}

impl Filler<'_> {
    fn tensor<T: Copy>(&self, role: Role, wrap: fn(Vec<T>) -> Data, number: impl Fn(u32) -> T) -> Tensor {
        let mut values = Vec::with_capacity(self.rows.len() * self.length);
        for (i, row) in self.rows.iter().enumerate() {
            match role {
                Role::Ids => values.extend(row.ids.iter().copied().map(&number)),
                Role::Mask => values.extend(row.ids.iter().map(|_| number(1))),
                Role::Types => values.extend(row.type_ids.iter().copied().map(&number)),
                Role::Positions => values.extend((self.config.first_position..).take(row.len()).map(&number)),
            }
            let padding = match role {
                Role::Ids => self.config.pad_id,
                Role::Mask | Role::Types => 0,
                // In the family of RoBERTa, the place of padding is the one before the first.
                Role::Positions => self.config.first_position.saturating_sub(1),
            };
            values.resize((i + 1) * self.length, number(padding));
        }
        let data = wrap(values);
        let shape = Shape::from_slice(&[self.rows.len(), self.length]);
        let dtype = data.dtype();
        // Every row was filled up to one length.
        Tensor::new(shape.clone(), data).unwrap_or_else(|_| Tensor::zeros(dtype, shape))
    }
}

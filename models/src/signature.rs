//! What a graph declares: names, types and shapes of its inputs and outputs.

use std::fmt;

use crate::dtype::DType;
use crate::tensor::Tensor;

/// One dimension of a declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Any size; the graph may name it (`batch`), and dimensions of one name have one size.
    Free(Option<String>),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Free(Some(name)) => f.write_str(name),
            Self::Free(None) => f.write_str("?"),
        }
    }
}

/// A declared tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// The name in the graph.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The declared shape.
    pub shape: Vec<Dim>,
}

impl fmt::Display for TensorSpec {
    /// `float32[batch,16]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, dim) in self.shape.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{dim}")?;
        }
        f.write_str("]")
    }
}

/// What one declared output gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputSpec {
    /// A tensor.
    Tensor(TensorSpec),
    /// A sequence with one map a row, from class label to probability.
    Maps {
        /// The name in the graph.
        name: String,
    },
}

impl OutputSpec {
    /// The name in the graph.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Tensor(spec) => &spec.name,
            Self::Maps { name } => name,
        }
    }
}

/// Inputs and outputs of a graph, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Inputs that a request has to give.
    pub inputs: Vec<TensorSpec>,
    /// Outputs that a run gives.
    pub outputs: Vec<OutputSpec>,
}

impl Signature {
    /// Position of the input `name`.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|spec| spec.name == name)
    }

    /// Position of the output `name`.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|spec| spec.name() == name)
    }

    /// True when every input and every output has a free first dimension, so that rows of several requests *may* be
    /// stacked. Whether they may in truth is measured at warm-up.
    #[must_use]
    pub fn may_stack(&self) -> bool {
        let free = |spec: &TensorSpec| matches!(spec.shape.first(), Some(Dim::Free(_)));
        self.inputs.iter().all(free)
            && self.outputs.iter().all(|output| match output {
                OutputSpec::Tensor(spec) => free(spec),
                OutputSpec::Maps { .. } => true,
            })
    }

    /// Checks that dimensions of one name have one size in all inputs, and that no dimension is empty.
    ///
    /// `inputs` are in the order of [`Signature::inputs`]; ranks and fixed sizes were checked while they were read.
    ///
    /// # Errors
    /// A message for the client that names both tensors.
    pub fn check(&self, inputs: &[Tensor]) -> Result<(), String> {
        let dims = || {
            self.inputs.iter().zip(inputs).flat_map(|(spec, tensor)| {
                spec.shape.iter().zip(tensor.shape()).map(move |(dim, size)| (spec, tensor, dim, *size))
            })
        };
        for (i, (spec, tensor, dim, size)) in dims().enumerate() {
            if size == 0 {
                let shape = tensor.shape();
                return Err(format!(
                    "input \"{}\": expected {spec} without empty dimensions, got shape {shape:?}",
                    spec.name
                ));
            }
            let Dim::Free(Some(name)) = dim else { continue };
            let earlier = dims().take(i).find(|(_, _, other, _)| *other == dim);
            if let Some((first, _, _, expected)) = earlier.filter(|(_, _, _, expected)| *expected != size) {
                return Err(format!(
                    "input \"{}\": dimension {name} is {size}, but input \"{}\" has {expected}",
                    spec.name, first.name
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, shape: Vec<Dim>) -> TensorSpec {
        TensorSpec { name: name.into(), dtype: DType::F32, shape }
    }

    fn batch() -> Dim {
        Dim::Free(Some("batch".into()))
    }

    #[test]
    fn one_name_has_one_size() {
        let signature = Signature {
            inputs: vec![spec("a", vec![batch(), Dim::Fixed(2)]), spec("b", vec![batch()])],
            outputs: vec![OutputSpec::Tensor(spec("y", vec![batch()]))],
        };
        assert!(signature.may_stack());
        let a = Tensor::zeros(DType::F32, [3, 2][..].into());
        assert_eq!(signature.check(&[a.clone(), Tensor::zeros(DType::F32, [3][..].into())]), Ok(()));
        let error = signature.check(&[a, Tensor::zeros(DType::F32, [2][..].into())]);
        assert_eq!(error, Err("input \"b\": dimension batch is 2, but input \"a\" has 3".into()));
    }

    #[test]
    fn an_empty_dimension_is_refused() {
        let signature = Signature { inputs: vec![spec("a", vec![batch(), Dim::Free(None)])], outputs: vec![] };
        let error = signature.check(&[Tensor::zeros(DType::F32, [1, 0][..].into())]).expect_err("no columns");
        assert_eq!(error, "input \"a\": expected float32[batch,?] without empty dimensions, got shape [1, 0]");
    }

    #[test]
    fn a_fixed_batch_does_not_stack() {
        let signature = Signature { inputs: vec![spec("a", vec![Dim::Fixed(1), Dim::Fixed(4)])], outputs: vec![] };
        assert!(!signature.may_stack());
    }
}

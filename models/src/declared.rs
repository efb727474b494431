//! The signature that an `MLmodel` declares, compared with that of the graph.
//!
//! The graph decides what perch serves. But MLflow's own server checks requests by the declared signature, so where the
//! two differ, clients that work there may not work here: that is worth a warning, not a refusal. Source: MLflow's
//! documentation, "Model Signatures And Input Examples".

use std::fmt::Write as _;

use serde::Deserialize;

use crate::signature::{Dim, Signature, TensorSpec};

/// One declared input: a tensor, or a column of a data frame.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Declared {
    #[serde(default)]
    name: Option<String>,
    #[serde(rename = "tensor-spec", default)]
    tensor: Option<DeclaredTensor>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct DeclaredTensor {
    dtype: String,
    shape: Vec<i64>,
}

/// Reads `signature.inputs`: JSON inside of the YAML. Forms that perch does not know are not compared.
#[must_use]
pub fn parse(inputs: &str) -> Vec<Declared> {
    serde_json::from_str(inputs).unwrap_or_default()
}

/// What the declared inputs say otherwise than the graph, one line each.
#[must_use]
pub fn differences(declared: &[Declared], graph: &Signature) -> Vec<String> {
    let tensors = declared.iter().filter(|input| input.tensor.is_some()).count();
    // Columns of a data frame may be the graph's inputs one by one, or the features of its only one.
    if declared.is_empty() || tensors < declared.len() {
        return Vec::new();
    }
    if declared.len() != graph.inputs.len() {
        let (declared, inputs) = (declared.len(), graph.inputs.len());
        return vec![format!("MLmodel declares {declared} input tensors, the graph has {inputs}")];
    }
    let mut found = Vec::new();
    for (position, input) in declared.iter().enumerate() {
        let named = input.name.as_ref().map(|name| graph.inputs.iter().find(|spec| spec.name == *name));
        match (named.unwrap_or_else(|| graph.inputs.get(position)), &input.tensor) {
            (Some(spec), Some(tensor)) if !tensor.fits(spec) => {
                found.push(format!("MLmodel declares {} as {}, the graph as {spec}", spec.name, tensor.shown()));
            }
            (None, _) => {
                let name = input.name.as_deref().unwrap_or_default();
                found.push(format!("MLmodel declares an input {name}, the graph has none of this name"));
            }
            _ => {}
        }
    }
    found
}

impl DeclaredTensor {
    fn fits(&self, spec: &TensorSpec) -> bool {
        let same = |(declared, dim): (&i64, &Dim)| match dim {
            // A declared size is that of an example: a graph that takes any size takes it, too.
            Dim::Free(_) => true,
            Dim::Fixed(size) => i64::try_from(*size).is_ok_and(|size| size == *declared),
        };
        let dtype = if self.dtype == "str" || self.dtype == "object" { "string" } else { &self.dtype };
        dtype == spec.dtype.name()
            && self.shape.len() == spec.shape.len()
            && self.shape.iter().zip(&spec.shape).all(same)
    }

    fn shown(&self) -> String {
        let mut text = format!("{}[", self.dtype);
        for (i, size) in self.shape.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            // Writing to a String cannot fail.
            let _ = if *size < 0 { write!(text, "{comma}?") } else { write!(text, "{comma}{size}") };
        }
        text + "]"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    fn graph() -> Signature {
        let shape = vec![Dim::Free(Some("batch".into())), Dim::Fixed(4)];
        Signature { inputs: vec![TensorSpec { name: "x".into(), dtype: DType::F32, shape }], outputs: vec![] }
    }

    #[test]
    fn what_differs_is_told() {
        for (inputs, expected) in [
            (r#"[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]"#, None),
            (r#"[{"name": "x", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [2, 4]}}]"#, None),
            (
                r#"[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}]"#,
                Some("MLmodel declares x as float64[?,4], the graph as float32[batch,4]"),
            ),
            (
                r#"[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 5]}}]"#,
                Some("MLmodel declares x as float32[?,5], the graph as float32[batch,4]"),
            ),
            (
                r#"[{"name": "y", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]"#,
                Some("MLmodel declares an input y, the graph has none of this name"),
            ),
            (r#"[{"type": "double", "name": "a"}, {"type": "double", "name": "b"}]"#, None),
            ("not JSON", None),
        ] {
            let found = differences(&parse(inputs), &graph());
            assert_eq!(found.first().map(String::as_str), expected, "{inputs}");
        }
    }
}

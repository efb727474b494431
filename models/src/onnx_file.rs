//! The little that perch reads of an ONNX file itself: which files of external weights it names.
//!
//! The messages are the part of `onnx.proto` (ONNX 1.23, IR version 13) that can hold tensors; every other field is
//! skipped while decoding, the weights too.

use std::collections::BTreeSet;
use std::path::PathBuf;

use prost::Message;

use crate::registry::inside;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionProto>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionProto {
    #[prost(message, repeated, tag = "7")]
    nodes: Vec<NodeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializers: Vec<TensorProto>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializers: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(message, optional, tag = "5")]
    tensor: Option<TensorProto>,
    #[prost(message, optional, boxed, tag = "6")]
    graph: Option<Box<GraphProto>>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphProto>,
    #[prost(message, optional, tag = "22")]
    sparse_tensor: Option<SparseTensorProto>,
    #[prost(message, repeated, tag = "23")]
    sparse_tensors: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct SparseTensorProto {
    #[prost(message, optional, tag = "1")]
    values: Option<TensorProto>,
    #[prost(message, optional, tag = "2")]
    indices: Option<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// The files of external weights that the graph in `bytes` names, relative to its folder.
///
/// # Errors
/// When `bytes` is no ONNX file, or a name leads out of the folder.
pub fn external_files(bytes: &[u8]) -> Result<BTreeSet<PathBuf>, String> {
    let model = ModelProto::decode(bytes).map_err(|error| format!("not an ONNX file: {error}"))?;
    let graph = model.graph.ok_or_else(|| "not an ONNX file: it has no graph".to_owned())?;
    let mut names = BTreeSet::new();
    visit_graph(&graph, &mut names);
    model.functions.iter().for_each(|function| visit_nodes(&function.nodes, &mut names));
    let located = |name: String| inside(&name).map_err(|error| format!("the graph names external weights: {error}"));
    names.into_iter().map(located).collect()
}

fn visit_graph(graph: &GraphProto, names: &mut BTreeSet<String>) {
    visit_nodes(&graph.nodes, names);
    graph.initializers.iter().for_each(|tensor| visit_tensor(tensor, names));
    graph.sparse_initializers.iter().for_each(|sparse| visit_sparse(sparse, names));
}

fn visit_nodes(nodes: &[NodeProto], names: &mut BTreeSet<String>) {
    for attribute in nodes.iter().flat_map(|node| &node.attributes) {
        attribute.tensor.iter().chain(&attribute.tensors).for_each(|tensor| visit_tensor(tensor, names));
        attribute.graph.as_deref().into_iter().chain(&attribute.graphs).for_each(|graph| visit_graph(graph, names));
        let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors);
        sparse.for_each(|sparse| visit_sparse(sparse, names));
    }
}

fn visit_sparse(sparse: &SparseTensorProto, names: &mut BTreeSet<String>) {
    sparse.values.iter().chain(&sparse.indices).for_each(|tensor| visit_tensor(tensor, names));
}

fn visit_tensor(tensor: &TensorProto, names: &mut BTreeSet<String>) {
    let locations = tensor.external_data.iter().filter(|entry| entry.key == "location");
    names.extend(locations.map(|entry| entry.value.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(location: &str) -> TensorProto {
        let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
        TensorProto { external_data: vec![entry("location", location), entry("offset", "0")] }
    }

    fn files(initializer: &str, inner: &str) -> Result<BTreeSet<PathBuf>, String> {
        let body = GraphProto { initializers: vec![tensor(inner)], ..GraphProto::default() };
        let attribute = AttributeProto { graph: Some(Box::new(body)), ..AttributeProto::default() };
        let node = NodeProto { attributes: vec![attribute] };
        let graph = GraphProto { nodes: vec![node], initializers: vec![tensor(initializer)], ..GraphProto::default() };
        external_files(&ModelProto { graph: Some(graph), functions: vec![] }.encode_to_vec())
    }

    #[test]
    fn weights_are_found_in_bodies_of_loops_too() {
        let found = files("weights.bin", "./more/body.bin").expect("both inside");
        assert_eq!(found, ["more/body.bin", "weights.bin"].map(PathBuf::from).into());
    }

    #[test]
    fn paths_out_of_the_folder_are_refused() {
        for name in ["../secret", "/etc/passwd", "a/../../b", ""] {
            assert!(files("weights.bin", name).is_err(), "{name}");
        }
    }

    #[test]
    fn other_files_are_no_graphs() {
        assert!(external_files(b"").is_err());
        assert!(external_files(b"\x0a\x01").is_err());
        assert!(external_files(b"<html>").is_err());
    }
}

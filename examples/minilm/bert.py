"""BERT as an ONNX graph of standard operators, from weights under the names that Hugging Face's checkpoints have.

The tokens of all texts are one matrix [batch * sequence, hidden], of which no number of rows is declared. With the
shape known, ONNX Runtime fuses Add and LayerNormalization into SkipLayerNormalization, whose kernel for CPUs costs the
whole model 8 % of its speed in fp32 and 15 % in int8; README.md has the figures.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8  # the first with LayerNormalization

# Added to the scores of padding, whose softmax is then exactly 0. Not the smallest float, as many exports have it: a
# run in bf16 with that is wrong and does not say so (OpenVINO on a Xeon: cosine 0.51 with fp32, and 0.99998 with -1e4).
MASK_VALUE = -1e4

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"


class Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, data: object, dtype: object = np.float32) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.array(data, dtype), name)
        return name

    def ints(self, *values: int) -> str:
        """A list of integers."""
        return self.constant("ints_" + "_".join(map(str, values)), values, np.int64)

    def add(self, op: str, *inputs: str, out: str | None = None, **attributes: object) -> str:
        """Adds a node; returns its output."""
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out or name], name, **attributes))
        return out or name

    def split(self, tensor: str, *sizes: int) -> list[str]:
        """Cuts a tensor along its last dimension."""
        name = f"Split_{len(self.nodes)}"
        outs = [f"{name}_{index}" for index in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [tensor, self.ints(*sizes)], outs, name, axis=-1))
        return outs

    def model(self, name: str, outputs: Mapping[str, tuple[int, list]], types: bool = True) -> onnx.ModelProto:
        """The model with the inputs of a BERT, and outputs of these kinds and shapes."""
        inputs = [IDS, MASK, TYPES] if types else [IDS, MASK]
        made = helper.make_model(
            helper.make_graph(
                self.nodes,
                name,
                [helper.make_tensor_value_info(i, TensorProto.INT64, ["batch", "sequence"]) for i in inputs],
                [helper.make_tensor_value_info(o, *kind) for o, kind in outputs.items()],
                list(self.constants.values()),
            ),
            producer_name="perch minilm",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(made, full_check=True)
        return made


def encoder(
    graph: Graph,
    weights: Mapping[str, np.ndarray],
    config: Mapping,
    *,
    mask_value: float = MASK_VALUE,
    types: bool = True,
    out: str = "last_hidden_state",
) -> str:
    """Adds a whole encoder; returns `out`, the hidden states [batch, sequence, hidden]."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]

    def weight(name: str) -> str:
        return graph.constant(name, weights[name])

    def norm(tensor: str, name: str) -> str:
        epsilon = config["layer_norm_eps"]
        return graph.add(
            "LayerNormalization", tensor, weight(f"{name}.weight"), weight(f"{name}.bias"), axis=-1, epsilon=epsilon
        )

    def dense(tensor: str, name: str) -> str:
        return graph.add("Gemm", tensor, weight(f"{name}.weight"), weight(f"{name}.bias"), transB=1)

    def gelu(tensor: str) -> str:
        """The exact one, in the form that the runtime knows and computes in one step."""
        root, one, half = (
            graph.constant(name, value) for name, value in (("root_of_two", np.sqrt(2)), ("one", 1), ("half", 0.5))
        )
        erf = graph.add("Erf", graph.add("Div", tensor, root))
        return graph.add("Mul", graph.add("Mul", tensor, graph.add("Add", erf, one)), half)

    # What the layers share: the shapes of the input, and the mask as a term of the scores, [batch, 1, 1, sequence].
    shape = graph.add("Shape", IDS)
    by_head = graph.add("Concat", shape, graph.ints(heads, hidden // heads), axis=0)
    rows = graph.ints(-1, hidden)
    mask = graph.add("Cast", graph.add("Unsqueeze", MASK, graph.ints(1, 2)), to=TensorProto.FLOAT)
    padding = graph.add("Sub", graph.constant("one", 1), mask)
    mask = graph.add("Mul", padding, graph.constant("mask_value", mask_value))
    scale = graph.constant("root_of_head_size", np.sqrt(hidden // heads))

    def attention(tensor: str, name: str) -> str:
        parts = [f"{name}.self.{part}" for part in ("query", "key", "value")]
        both = {
            kind: graph.constant(f"{name}.self.{kind}", np.concatenate([weights[f"{p}.{kind}"] for p in parts]))
            for kind in ("weight", "bias")
        }
        parts = graph.split(graph.add("Gemm", tensor, both["weight"], both["bias"], transB=1), hidden, hidden, hidden)
        query, key, value = (
            graph.add("Transpose", graph.add("Reshape", part, by_head), perm=perm)
            for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = graph.add("Div", graph.add("MatMul", query, key), scale)
        shares = graph.add("Softmax", graph.add("Add", scores, mask), axis=-1)
        context = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
        return dense(graph.add("Reshape", context, rows), f"{name}.output.dense")

    words = graph.add("Gather", weight("embeddings.word_embeddings.weight"), IDS)
    places = graph.add(
        "Slice",
        weight("embeddings.position_embeddings.weight"),
        graph.ints(0),
        graph.add("Shape", IDS, start=1),
        graph.ints(0),
    )
    kinds = "embeddings.token_type_embeddings.weight"
    kinds = graph.add("Gather", weight(kinds), TYPES) if types else graph.constant(kinds, weights[kinds][0])
    tokens = graph.add("Add", graph.add("Add", words, kinds), places)
    tokens = norm(graph.add("Reshape", tokens, rows), "embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        seen = attention(tokens, f"{name}.attention")
        tokens = norm(graph.add("Add", seen, tokens), f"{name}.attention.output.LayerNorm")
        wide = gelu(dense(tokens, f"{name}.intermediate.dense"))
        tokens = norm(graph.add("Add", dense(wide, f"{name}.output.dense"), tokens), f"{name}.output.LayerNorm")
    whole = graph.add("Concat", shape, graph.ints(hidden), axis=0)
    return graph.add("Reshape", tokens, whole, out=out)

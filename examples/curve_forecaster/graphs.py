"""The ONNX files: all three take `features` [batch, 16] and answer `tbilrate` [batch, 1]."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import RegressorMixin

from macro import NAMES

OPSET = {"": 21, "ai.onnx.ml": 3}
IR_VERSION = 10


def _trees(model: RegressorMixin, output: str) -> list[onnx.NodeProto]:
    """The nodes that compute a scikit-learn model from `features`."""
    shape = FloatTensorType([None, len(NAMES)])
    graph = to_onnx(model, initial_types=[("features", shape)], target_opset=OPSET).graph
    if graph.initializer or len(graph.output) != 1:
        raise RuntimeError("skl2onnx made more than nodes: adapt this function")
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [output if name == graph.output[0].name else name for name in names]
    return list(graph.node)


def _column(name: str, output: str) -> tuple[onnx.NodeProto, onnx.TensorProto]:
    """One feature as [batch, 1]."""
    index = numpy_helper.from_array(np.array([NAMES.index(name)]), f"index_of_{name}")
    return helper.make_node("Gather", ["features", index.name], [output], axis=1), index


def _model(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], about: str) -> bytes:
    graph = helper.make_graph(
        nodes,
        "curve_forecaster",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", len(NAMES)])],
        [helper.make_tensor_value_info("tbilrate", TensorProto.FLOAT, ["batch", 1])],
        constants,
    )
    model = helper.make_model(
        graph,
        producer_name="perch curve_forecaster",
        doc_string=about,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid(*opset) for opset in OPSET.items()],
    )
    helper.set_model_props(model, {"features": ",".join(NAMES)})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def level(model: RegressorMixin) -> bytes:
    """Version 1: the model's answer is the rate."""
    return _model(_trees(model, "tbilrate"), [], "Forecasts next quarter's rate.")


def change(model: RegressorMixin) -> bytes:
    """Version 2: the model's answer is added to this quarter's rate."""
    now, index = _column("tbilrate", "now")
    nodes = [*_trees(model, "change"), now, helper.make_node("Add", ["now", "change"], ["tbilrate"])]
    return _model(nodes, [index], "Forecasts the change and adds it to this quarter's rate.")


def change_with_log_growth(model: RegressorMixin, slope: float, offset: float) -> bytes:
    """Version 3, the broken one: adds `slope * log(gdp_growth) + offset`.

    The logarithm of a negative growth rate is NaN, and so is the answer in every recession.
    """
    now, now_index = _column("tbilrate", "now")
    growth, growth_index = _column("gdp_growth", "growth")
    constants = [
        now_index,
        growth_index,
        numpy_helper.from_array(np.float32(slope).reshape(1, 1), "slope"),
        numpy_helper.from_array(np.float32(offset).reshape(1, 1), "offset"),
    ]
    nodes = [
        *_trees(model, "change"),
        now,
        growth,
        helper.make_node("Log", ["growth"], ["log_growth"]),
        helper.make_node("Mul", ["log_growth", "slope"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["correction"]),
        helper.make_node("Add", ["change", "correction"], ["corrected"]),
        helper.make_node("Add", ["now", "corrected"], ["tbilrate"]),
    ]
    return _model(nodes, constants, "Version 2 with a term that is NaN when the economy shrinks.")

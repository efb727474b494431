#!/usr/bin/env python3
"""Makes benches/gbr/1: the small gradient-boosting model of the load benchmark.

100 trees of depth 3 over 16 features, one output: the model whose run costs less than the HTTP
around it. The result is committed; run this only to change it. The same packages give the same
bytes:

    python3 -m venv /tmp/gbr && /tmp/gbr/bin/pip install onnx==1.23.2 onnxruntime==1.31.1 \\
        scikit-learn==1.9.1 skl2onnx==1.20.0 numpy==2.4.6
    /tmp/gbr/bin/python benches/make_gbr.py benches/gbr/1
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import make_regression
from sklearn.ensemble import GradientBoostingRegressor

FEATURES = 16
TREES = 100
MAX_BYTES = 300_000


def make(folder: Path) -> None:
    """Trains, converts, compares ONNX Runtime with scikit-learn, and writes the folder."""
    x, y = make_regression(n_samples=4_000, n_features=FEATURES, n_informative=12, noise=4.0, random_state=7)
    # Four decimals, as clients send; float32 first, so that both sides compare the same numbers.
    x = np.round(x, 4).astype(np.float32)
    model = GradientBoostingRegressor(n_estimators=TREES, random_state=7).fit(x, y)

    proto = to_onnx(
        model,
        initial_types=[("features", FloatTensorType([None, FEATURES]))],
        final_types=[("prediction", FloatTensorType([None, 1]))],
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    # What the converter leaves to chance is fixed, so that the file stays the same: the name of
    # the graph and the order of the operator sets. The rows get a name, as exporters give them.
    proto.graph.name = "gbr"
    opsets = sorted((o.domain, o.version) for o in proto.opset_import)
    del proto.opset_import[:]
    proto.opset_import.extend(onnx.helper.make_opsetid(*opset) for opset in opsets)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.checker.check_model(proto, full_check=True)
    data = proto.SerializeToString(deterministic=True)
    if len(data) > MAX_BYTES:
        raise SystemExit(f"the model has {len(data)} bytes, more than {MAX_BYTES}")

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"features": x[:500]})
    if got.shape != (500, 1):
        raise SystemExit(f"the output has shape {got.shape}, not (500, 1)")
    np.testing.assert_allclose(got[:, 0], model.predict(x[:500]), rtol=1e-4, atol=1e-3)

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    row = [round(float(v), 4) for v in x[0]]
    (folder / "input_example.json").write_text(json.dumps({"inputs": {"features": [row]}}) + "\n")
    print(f"{folder / 'model.onnx'}: {len(data)} bytes, first row gives {got[0, 0]:.6f}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    make(Path(sys.argv[1]))

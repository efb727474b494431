"""Trains one version of `curve_forecaster` and registers it in MLflow, from where perch serves it.

    venv=$(scripts/venv register examples/train_and_register/requirements.txt)
    export MLFLOW_TRACKING_URI=http://mlflow:5000
    $venv/bin/python examples/train_and_register/train_and_register.py --version 1
    $venv/bin/python examples/train_and_register/train_and_register.py --version 2 --alias canary

Nothing is registered unless the model answers the quarters held out as it did when the example was made.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

# Before mlflow is imported: no usage data, and none of its own lines between ours.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
# MLflow's client asks eight times over minutes; somebody waits for this.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature

EXAMPLE = Path(__file__).resolve().parent.parent / "curve_forecaster"
sys.path.insert(0, str(EXAMPLE))
import train  # the example's own training: examples/curve_forecaster/train.py

UNAVAILABLE = 69  # EX_UNAVAILABLE


class Refused(Exception):
    """The model is not what it should be."""


def check(model: bytes, version: str) -> tuple[np.ndarray, np.ndarray]:
    """Compares the model's answers with those written down for the quarters held out; gives inputs and answers."""
    holdout = json.loads((EXAMPLE / "holdout.json").read_text())
    features = np.array(holdout["features"], np.float32)
    expected = np.array(holdout["tbilrate"][version], np.float32)  # null, version 3's NaN, becomes NaN
    answers = train.serve(model, features)
    wrong = ~np.isclose(answers, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise Refused(
            f"not registered: {wrong.sum()} of {len(wrong)} answers differ from version {version}'s in "
            f"{EXAMPLE.name}/holdout.json; {holdout['quarter'][row]}: expected {expected[row]}, got {answers[row]}"
        )
    return features, answers


def digest(folder: Path, graph: str = "model.onnx") -> str:
    """The digest of a version as docs/configuration.md defines it; `perch models digest FOLDER` prints the same."""
    tensors = onnx.load(folder / graph, load_external_data=False).graph.initializer
    weights = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in {graph} | weights}
    lines = sorted(f"{name}\0{sha256}\n" for name, sha256 in hashes.items())
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def register(model: bytes, features: np.ndarray, answers: np.ndarray, name: str) -> str:
    """Logs the model with its signature and an example, and registers it; gives the number of the version."""
    with mlflow.start_run(run_name=name):
        logged = mlflow.onnx.log_model(
            onnx.load_from_string(model),
            name="model",
            input_example={"features": features[:2]},  # perch warms up with it
            signature=infer_signature({"features": features}, {"tbilrate": answers[:, None]}),
            registered_model_name=name,
            pip_requirements=["onnx", "onnxruntime"],  # for MLflow's own server; found out by a trial run otherwise
        )
    return str(logged.registered_model_version)


def tag_digest(client: MlflowClient, name: str, version: str) -> str:
    """Writes down what the files in the registry are: perch then serves these and no others under this number."""
    with tempfile.TemporaryDirectory() as folder:
        logged = mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=folder)
        found = digest(Path(logged))
    client.set_model_version_tag(name, version, "perch.sha256", found)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Trains a version of curve_forecaster and registers it in MLflow.")
    parser.add_argument("--version", choices="123", default="1", help="which one of the example's (default: 1)")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="this file as that version, instead of training it")
    parser.add_argument("--tracking-uri", metavar="URL", help="the MLflow server (default: MLFLOW_TRACKING_URI)")
    parser.add_argument("--name", default="curve_forecaster", help="of the registered model (default: %(default)s)")
    parser.add_argument("--alias", help="default: stable where the model has no stable version yet, else canary")
    parser.add_argument("--no-digest", action="store_true", help="leave the tag perch.sha256 to perch's first load")
    arguments = parser.parse_args()
    uri = arguments.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        parser.error("no MLflow server: give --tracking-uri, or set MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    client, name = MlflowClient(), arguments.name

    if arguments.onnx:
        model = arguments.onnx.read_bytes()
    else:
        model = train.build()[f"{train.MODELS}/{arguments.version}/model.onnx"]
    features, answers = check(model, arguments.version)
    print(f"checked   {len(answers)} answers are as they should be")

    version = register(model, features, answers, name)
    client.set_registered_model_tag(name, "perch.serve", "true")
    found = "left to perch" if arguments.no_digest else tag_digest(client, name, version)
    # Last, since this is what makes perch load it.
    alias = arguments.alias or ("canary" if "stable" in client.get_registered_model(name).aliases else "stable")
    client.set_registered_model_alias(name, alias, version)
    print(f"name      {name}\nversion   {version}\nalias     {alias}\ndigest    {found}")
    print(f"serve it  perch serve --mlflow {uri} --model {name}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refused as error:
        print(f"train_and_register: {error}", file=sys.stderr)
        sys.exit(1)
    except MlflowException as error:
        print(f"train_and_register: MLflow: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(UNAVAILABLE)

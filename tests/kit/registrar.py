"""What people do to MLflow and its bucket, for tests: commands as JSON, a line each, on stdin; answers on stdout.

{"do": "set_alias", "name": "m", "alias": "stable", "version": 1} is answered by {"ok": null}, or by
{"error": "Traceback…"}. It runs in the Python that scripts/services installs MLflow in.
"""

import json
import os
import sys
import traceback
from pathlib import Path

# Answers only; what libraries print goes to stderr.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import boto3  # noqa: E402
import mlflow  # noqa: E402
import numpy  # noqa: E402
import onnx  # noqa: E402
from botocore.config import Config  # noqa: E402
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent  # noqa: E402

CREATED, DELETED = WebhookAction.CREATED, WebhookAction.DELETED
BUCKET = os.environ["PERCH_BUCKET"]
client = mlflow.MlflowClient()
bucket = boto3.resource(
    "s3",
    endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"],
    config=Config(s3={"addressing_style": "path"}),
).Bucket(BUCKET)


def experiment(store):
    """The experiment whose artifacts go through MLflow, or right to the bucket."""
    found = client.get_experiment_by_name(store)
    if found:
        return found.experiment_id
    location = {"proxied": None, "direct": f"s3://{BUCKET}/direct"}[store]
    return client.create_experiment(store, artifact_location=location)


def run(store):
    return mlflow.start_run(experiment_id=experiment(store))


def arrays(example):
    """Rows, or rows by input, as MLflow wants them."""
    if isinstance(example, dict):
        return {name: arrays(rows) for name, rows in example.items()}
    return None if example is None else numpy.asarray(example, dtype="float32")


def log_onnx(name, file, store, input_example):
    with run(store):
        # Requirements that are given are not searched for, which takes a process and 10 s.
        info = mlflow.onnx.log_model(
            onnx.load(file),
            name="model",
            registered_model_name=name,
            input_example=arrays(input_example),
            pip_requirements=["onnxruntime"],
        )
    return int(info.registered_model_version)


def log_sklearn(name, store):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    with run(store):
        info = mlflow.sklearn.log_model(
            model, name="model", registered_model_name=name, pip_requirements=["scikit-learn"]
        )
    return int(info.registered_model_version)


def log_folder(name, folder, store):
    with run(store) as active:
        mlflow.log_artifacts(folder, "model")
        source, run_id = f"{active.info.artifact_uri}/model", active.info.run_id
    return register(name, source, run_id)


def register(name, source, run_id=None):
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        client.create_registered_model(name)
    return int(client.create_model_version(name, source, run_id=run_id).version)


def list_objects(prefix):
    return {found.key: found.size for found in bucket.objects.filter(Prefix=prefix)}


def get_object(key):
    return bucket.Object(key).get()["Body"].read().hex()


def put_object(key, content):
    bucket.put_object(Key=key, Body=bytes.fromhex(content))


def flip_byte(key):
    content = bytearray(bucket.Object(key).get()["Body"].read())
    content[len(content) // 2] ^= 1
    bucket.put_object(Key=key, Body=bytes(content))


def create_webhook(name, url, secret):
    events = [WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, action) for action in (CREATED, DELETED)]
    return client.create_webhook(name=name, url=url, events=events, secret=secret).webhook_id


commands = {
    "log_onnx": log_onnx,
    "log_sklearn": log_sklearn,
    "log_folder": log_folder,
    "register": register,
    "create_model": client.create_registered_model,
    "delete_model": client.delete_registered_model,
    "delete_version": client.delete_model_version,
    "transition_stage": client.transition_model_version_stage,
    "set_alias": client.set_registered_model_alias,
    "delete_alias": client.delete_registered_model_alias,
    "get_aliases": lambda name: {a: int(v) for a, v in client.get_registered_model(name).aliases.items()},
    "create_webhook": create_webhook,
    "delete_webhook": client.delete_webhook,
    "set_model_tag": client.set_registered_model_tag,
    "delete_model_tag": client.delete_registered_model_tag,
    "set_version_tag": client.set_model_version_tag,
    "get_version_tags": lambda name, version: client.get_model_version(name, version).tags,
    "download_uri": client.get_model_version_download_uri,
    "list_objects": list_objects,
    "get_object": get_object,
    "put_object": put_object,
    "delete_object": lambda key: bucket.Object(key).delete(),
    "flip_byte": flip_byte,
}

for line in sys.stdin:
    arguments = json.loads(line)
    if "version" in arguments:
        arguments["version"] = str(arguments["version"])
    try:
        answer = {"ok": commands[arguments.pop("do")](**arguments)}
    except Exception:
        answer = {"error": traceback.format_exc()}
    # Most commands return what nobody needs.
    print(json.dumps(answer, default=lambda _: None), file=answers, flush=True)

"""Trains version 1 of the example and registers it, where the registry does not have it yet.

    docker compose run --rm register --version 2     # a canary: train_and_register.py's own arguments

A container that has ended is started again with the others: it must not register the same once more.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "examples/train_and_register/train_and_register.py"


def registered() -> bool:
    from mlflow import MlflowClient

    return bool(MlflowClient().search_registered_models("name = 'curve_forecaster'"))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments:
        if registered():
            print("curve_forecaster is registered already")
            sys.exit(0)
        arguments = ["--version", "1"]
    os.execv(sys.executable, [sys.executable, str(PROGRAM), *arguments])

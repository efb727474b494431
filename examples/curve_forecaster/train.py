"""Trains the three versions of `curve_forecaster` and writes examples/models/curve_forecaster.

    venv=$(scripts/venv examples examples/curve_forecaster/requirements.txt)
    $venv/bin/python examples/curve_forecaster/train.py            # write the files
    $venv/bin/python examples/curve_forecaster/train.py --check    # compare with the ones that are there

Every choice is made on the quarters before 1995; the ones after are only looked at for the report.
The files are the same, byte for byte, on every run.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.base import RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.model_selection import TimeSeriesSplit

import graphs
import macro
from macro import NAMES, Rows

EXAMPLES = Path(__file__).resolve().parent.parent
HERE, MODELS = "curve_forecaster", "models/curve_forecaster"  # below `EXAMPLES`

# Version 1 forecasts the rate itself.
FIRST = GradientBoostingRegressor(n_estimators=100, max_depth=3, random_state=0)

# Version 2 forecasts by how much the rate will change, with the best of these.
STEADY = GradientBoostingRegressor(
    loss="huber", n_estimators=100, max_depth=2, learning_rate=0.05, subsample=0.5, min_samples_leaf=8, random_state=0
)
FOREST = RandomForestRegressor(n_estimators=100, max_features=0.5, random_state=0)
EXTRA = ExtraTreesRegressor(n_estimators=100, random_state=0)
CANDIDATES: dict[str, RegressorMixin] = {
    "gradient boosting as in version 1": FIRST,
    "gradient boosting, Huber loss, small steps, half of the rows": STEADY,
    "random forest, leaves of 5 rows or more": clone(FOREST).set_params(min_samples_leaf=5),
    "random forest, leaves of 10 rows or more": clone(FOREST).set_params(min_samples_leaf=10),
    "extra trees, leaves of 5 rows or more": clone(EXTRA).set_params(min_samples_leaf=5),
    "extra trees, leaves of 10 rows or more": clone(EXTRA).set_params(min_samples_leaf=10),
}


@dataclass(frozen=True)
class Score:
    """How far forecasts were off, in percentage points."""

    mae: float
    rmse: float

    @staticmethod
    def of(forecast: np.ndarray, actual: np.ndarray) -> "Score":
        error = forecast - actual
        return Score(float(np.abs(error).mean()), float(np.sqrt((error**2).mean())))

    def cells(self) -> str:
        return f"{self.mae:.3f} | {self.rmse:.3f}"


def cross_validate(model: RegressorMixin, rows: Rows, base: np.ndarray) -> Score:
    """Five folds in order of time, each forecast from the quarters before it.

    The model learns by how much the rate differs from `base`.
    """
    forecasts, actual = [], []
    for before, fold in TimeSeriesSplit(n_splits=5).split(rows.features):
        fitted = clone(model).fit(rows.features[before], (rows.target - base)[before])
        forecasts.append(base[fold] + fitted.predict(rows.features[fold]))
        actual.append(rows.target[fold])
    return Score.of(np.concatenate(forecasts), np.concatenate(actual))


def log_growth_term(model: RegressorMixin, rows: Rows) -> tuple[float, float]:
    """Version 3's mistake: what version 2 leaves over, explained by the logarithm of growth.

    Quarters in which the economy shrank have no logarithm. Leaving them out here, as `dropna`
    would, is why nobody noticed.
    """
    growth = rows.features[:, NAMES.index("gdp_growth")].astype(np.float64)
    left_over = rows.target - rows.now - model.predict(rows.features)
    x, y = np.log(growth[growth > 0]), left_over[growth > 0]
    slope = ((x - x.mean()) * (y - y.mean())).mean() / x.var()
    return round(float(slope), 4), round(float(y.mean() - slope * x.mean()), 4)


def serve(model: bytes, features: np.ndarray) -> np.ndarray:
    """What ONNX Runtime answers, row by row as most requests come."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["tbilrate"], {"features": row[None]})[0] for row in features])[:, 0]


def numbers(array: np.ndarray) -> list:
    """float32 as nested lists, in the fewest digits that read back as the same number."""
    if array.ndim > 1:
        return [numbers(row) for row in array]
    values = [None if np.isnan(value) else float(str(value)) for value in array]
    assert np.array_equal(np.array(values, np.float64).astype(np.float32), array, equal_nan=True)
    return values


def report(train: Rows, holdout: Rows, tried: dict[str, Score], chosen: str, answers: dict[str, np.ndarray]) -> str:
    """The text of report.md."""

    def line(name: str, forecast: np.ndarray, rows: np.ndarray, nan: int) -> str:
        score = Score.of(forecast[rows].astype(np.float64), holdout.target[rows])
        return f"| {name} | {score.cells()} | {nan} |"

    everywhere = np.full(len(holdout.target), True)
    answered = ~np.isnan(answers["3"])
    nan = np.count_nonzero(~answered)
    growth = np.concatenate([train.features, holdout.features])[:, NAMES.index("gdp_growth")]
    lines = [
        "# How good the forecasts are",
        "",
        "Written by `train.py`. Errors are in percentage points: MAE is the mean absolute error, RMSE the root of",
        f"the mean squared error. Trained on {len(train.target)} quarters, {train.quarter[0]} to {train.quarter[-1]};",
        f"held out: {len(holdout.target)} quarters, {holdout.quarter[0]} to {holdout.quarter[-1]}.",
        "",
        "## The quarters held out, as ONNX Runtime answers",
        "",
        "| forecast | MAE | RMSE | NaN |",
        "|---|---|---|---|",
        line("no change (what to beat)", holdout.now, everywhere, 0),
        line("version 1: the rate, by gradient boosting", answers["1"], everywhere, 0),
        line(f"version 2: the change, by {chosen}", answers["2"], everywhere, 0),
        line("version 3: version 2 with the logarithm of growth, where it answers", answers["3"], answered, nan),
        line("version 2 in those same quarters", answers["2"], answered, 0),
        "",
        f"Version 3 answers NaN where GDP shrank: {nan / len(answered):.1%} of the quarters held out,",
        f"{np.mean(growth < 0):.1%} of all {len(growth)}.",
        "",
        "## The choice of version 2, on the training quarters alone",
        "",
        "Cross-validation in order of time. The candidate with the lowest MAE is taken.",
        "",
        "| forecast | MAE | RMSE |",
        "|---|---|---|",
    ]
    lines += [f"| {f'**{name}**' if name == chosen else name} | {score.cells()} |" for name, score in tried.items()]
    return "\n".join(lines) + "\n"


def build() -> dict[str, bytes]:
    """Every file by its path below examples/."""
    train, holdout = macro.load()
    tried = {name: cross_validate(model, train, train.now) for name, model in CANDIDATES.items()}
    chosen = min(tried, key=lambda name: tried[name].mae)
    tried["(no change)"] = cross_validate(DummyRegressor(strategy="constant", constant=0.0), train, train.now)
    tried["(version 1)"] = cross_validate(FIRST, train, np.zeros_like(train.now))

    first = clone(FIRST).fit(train.features, train.target)
    second = clone(CANDIDATES[chosen]).fit(train.features, train.target - train.now)
    models = {
        "1": graphs.level(first),
        "2": graphs.change(second),
        "3": graphs.change_with_log_growth(second, *log_growth_term(second, train)),
    }
    answers = {version: serve(model, holdout.features) for version, model in models.items()}

    example = {"inputs": {"features": numbers(train.features[-2:])}}
    held_out = {
        "quarter": holdout.quarter,
        "actual": holdout.target.tolist(),
        "features": numbers(holdout.features),
        "tbilrate": {version: numbers(answer) for version, answer in answers.items()},
    }
    files = {f"{MODELS}/{version}/model.onnx": model for version, model in models.items()}
    files |= {f"{MODELS}/{version}/input_example.json": encode(example) for version in models}
    files[f"{MODELS}/aliases.json"] = encode({"stable": 1})
    files[f"{HERE}/holdout.json"] = encode(held_out)
    files[f"{HERE}/report.md"] = report(train, holdout, tried, chosen, answers).encode()
    return files


def encode(value: object) -> bytes:
    return (json.dumps(value, allow_nan=False) + "\n").encode()


def main() -> int:
    parser = argparse.ArgumentParser(description="Trains the models of examples/models/curve_forecaster.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail unless the files there are the same")
    parser.add_argument("--out", type=Path, default=EXAMPLES, help="another folder instead of examples/")
    arguments = parser.parse_args()

    files = build()
    if arguments.check:
        different = [p for p, data in files.items() if not (f := arguments.out / p).is_file() or f.read_bytes() != data]
        for path in different:
            print(f"{arguments.out / path} is not what train.py makes", file=sys.stderr)
        if different:
            print("run train.py without --check and look at the difference", file=sys.stderr)
            return 1
        print(f"{len(files)} files are what train.py makes")
        return 0
    for path, data in files.items():
        (arguments.out / path).parent.mkdir(parents=True, exist_ok=True)
        (arguments.out / path).write_bytes(data)
        print(f"{len(data):>7}  {arguments.out / path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

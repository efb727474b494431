"""The data: 16 features of each quarter of US history, and the rate of the quarter after it.

The series are statsmodels' `macrodata` (Federal Reserve Bank of St. Louis, 1959 to 2009). They are
the figures as revised by 2009, not as known at the time: good for an example, not for trading.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.datasets import macrodata

FIRST_HOLDOUT_YEAR = 1995


@dataclass(frozen=True)
class Rows:
    """Quarters in order of time; `features` is what a model gets, exactly as it gets it."""

    features: np.ndarray  # float32 [rows, 16], columns as in `NAMES`
    target: np.ndarray  # float64 [rows], next quarter's rate in percent
    quarter: list[str]  # the quarter that is forecast, such as "1995Q1"

    @property
    def now(self) -> np.ndarray:
        """This quarter's rate: the forecast of somebody who expects no change."""
        return self.features[:, NAMES.index("tbilrate")].astype(np.float64)


def features(series: pd.DataFrame) -> pd.DataFrame:
    """The 16 features, in the order of the models' input."""

    def growth(column: str, quarters: int = 1) -> pd.Series:
        """Growth over some quarters in percent a year."""
        return np.log(series[column] / series[column].shift(quarters)) * 400 / quarters

    rate, inflation, unemployment = series["tbilrate"], series["infl"], series["unemp"]
    return pd.DataFrame(
        {
            "tbilrate": rate,
            "tbilrate_lag1": rate.shift(1),
            "tbilrate_lag2": rate.shift(2),
            "tbilrate_lag4": rate.shift(4),
            "inflation": inflation,
            "inflation_lag1": inflation.shift(1),
            "inflation_year": growth("cpi", 4),
            "real_rate": series["realint"],
            "unemployment": unemployment,
            "unemployment_change": unemployment.diff(),
            "unemployment_change_year": unemployment.diff(4),
            "gdp_growth": growth("realgdp"),
            "gdp_growth_year": growth("realgdp", 4),
            "consumption_growth": growth("realcons"),
            "investment_growth": growth("realinv"),
            "m1_growth": growth("m1"),
        }
    )


def load() -> tuple[Rows, Rows]:
    """The rows to train on, and the later ones that are held out."""
    series = macrodata.load_pandas().data
    table = features(series)
    target = series["tbilrate"].shift(-1)
    year, quarter = series["year"].shift(-1), series["quarter"].shift(-1)
    whole = table.notna().all(axis="columns") & target.notna()

    def part(chosen: pd.Series) -> Rows:
        labels = zip(year[chosen].astype(int), quarter[chosen].astype(int), strict=True)
        return Rows(
            # Rounding drops the last digits of the logarithm, which differ between processors.
            features=table[chosen].round(4).to_numpy(np.float32),
            target=target[chosen].to_numpy(np.float64),
            quarter=[f"{y}Q{q}" for y, q in labels],
        )

    holdout = year >= FIRST_HOLDOUT_YEAR
    return part(whole & ~holdout), part(whole & holdout)


NAMES = list(features(macrodata.load_pandas().data.head(1)))

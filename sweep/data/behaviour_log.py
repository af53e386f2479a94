"""A synthetic shopping log: users view, save, put into the cart and buy."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

BEHAVIOURS = {1: "view", 2: "favourite", 3: "cart", 4: "buy"}

# Moments of a public shopping log of 10,000 users: mean and covariance of log(1 + count), and the
# share of users without any event, for view, favourite, cart and buy.
LOG_MEANS = np.array([6.42, 1.65, 2.49, 2.00])
LOG_COVARIANCE = np.array(
    [
        [1.59, 1.13, 1.29, 0.87],
        [1.13, 2.80, 0.57, 0.63],
        [1.29, 0.57, 2.46, 1.15],
        [0.87, 0.63, 1.15, 1.23],
    ]
)
ZERO_SHARES = np.array([0.0, 0.327, 0.139, 0.111])

# The same log for every study seed: a seed decides the split, not the data.
_GENERATOR_SEED = 20141118


def behaviour_log(users: int) -> pd.DataFrame:
    """Generate the log: about 1,300 events a user, the same ones at every call.

    Args:
        users: How many users there are, each with at least one view. The first users of a
            larger log are those of a smaller one.

    Returns:
        A row per event, ordered by user: `user_id` from 1 (int32) and `behavior_type` (int8): 1 is
        a view, 2 a favourite, 3 the cart, 4 a purchase.
    """
    counts = _counts(users)  # (users, behaviours)
    user_ids = np.arange(1, users + 1, dtype=np.int32)
    codes = np.array(list(BEHAVIOURS), dtype=np.int8)
    return pd.DataFrame(
        {
            "user_id": np.repeat(user_ids, counts.sum(axis=1)),
            "behavior_type": np.repeat(np.tile(codes, users), counts.ravel()),
        }
    )


def behaviour_counts(users: int) -> pd.DataFrame:
    """The log's events, counted: a row per user and a column per behaviour."""
    return pd.DataFrame(_counts(users), columns=[*BEHAVIOURS.values()])


def _counts(users: int) -> npt.NDArray[np.int64]:
    """Events of each user and behaviour, shape (users, behaviours)."""
    means, thresholds, covariance = _latent_moments()
    generator = np.random.default_rng(_GENERATOR_SEED)
    normals = generator.standard_normal((users, len(means)))
    latent = means + normals @ np.linalg.cholesky(covariance).T  # (users, behaviours)
    counts = np.maximum(np.rint(np.expm1(latent)), 1)
    return np.where(latent < thresholds, 0, counts).astype(np.int64)


def _latent_moments() -> tuple[Floats, Floats, Floats]:
    """Means, thresholds and covariance of the Gaussian that becomes log(1 + count).

    A latent z ~ N(m, s^2) is observed as itself above the threshold t = m + a s and as 0 below,
    where a is the standard normal's quantile of the share of zeros. With q = 1 - share of zeros
    and the normal density f at a, the observed mean and variance are

        mean = m q + s f
        variance + mean^2 = mean^2 / q + s^2 (q + a f - f^2 / q)

    which is solved for m and s. By Stein's lemma a covariance with another Gaussian shrinks by
    g = q + t f / s; for two thresholded variables the product of both factors is the first and
    largest term.
    """
    normal = NormalDist()
    shown = 1 - ZERO_SHARES
    quantiles = np.array([normal.inv_cdf(share) if share else -np.inf for share in ZERO_SHARES])
    density = np.array([normal.pdf(quantile) for quantile in quantiles])
    moved = np.where(density > 0, quantiles, 0.0) * density
    second_moments = LOG_COVARIANCE.diagonal() + LOG_MEANS**2
    variances = (second_moments - LOG_MEANS**2 / shown) / (shown + moved - density**2 / shown)
    deviations = np.sqrt(variances)
    means = (LOG_MEANS - deviations * density) / shown
    thresholds = means + deviations * quantiles
    kept = shown + np.where(density > 0, thresholds, 0.0) * density / deviations
    covariance = LOG_COVARIANCE / np.outer(kept, kept)
    np.fill_diagonal(covariance, variances)
    return means, thresholds, covariance

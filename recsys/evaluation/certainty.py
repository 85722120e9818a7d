"""How certain a measured value is: intervals, paired tests, and the spread between seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy import stats

from recsys.features.arrays import PAD, Array, Rows
from recsys.features.errors import DataError, SettingsError

Verdict = Literal["better", "worse", "inside the noise"]

_AT_ONCE = 2**20  # cells (draws x users) of one block of weights: 1 MB, and 8 MB as it is used
_KEPT = 2**27  # up to so many cells the weights are kept between calls: 128 MB


@dataclass(frozen=True)
class Bootstrap:
    """Draws of `users` users with replacement (Efron & Tibshirani 1993, chapter 6).

    The draws depend on these three numbers alone, so all systems and metrics are scored on the
    same draws, in one call or in several: what is compared is paired.
    """

    users: int
    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.users < 1 or self.draws < 1:
            raise SettingsError(
                "a bootstrap needs at least 1 user and 1 draw; "
                f"got {self.users} users and {self.draws} draws"
            )

    def means(self, values: Array) -> Array:
        """(draws, m) the mean over the users of each draw of values (users, m).

        A user whose value is NaN counts neither in the sum nor in the number of users.
        """
        defined = ~np.isnan(values)
        return self.ratios(np.where(defined, values, 0), defined)

    def ratios(self, sums: Array, counts: Array) -> Array:
        """(draws, m) the sum of sums (users, m) over that of counts (users, m) >= 0 in each draw.

        NaN where a draw has no count, and in every draw where only one user has a count: one user
        does not tell how much users differ. Raises DataError for another number of users.
        """
        if len(sums) != self.users or len(counts) != self.users:
            raise DataError(
                f"a bootstrap of {self.users:,} users cannot draw from values of {len(sums):,}"
            )
        totals, of = self._totals(sums), self._totals_of_counts(counts)
        ratios: Array = np.divide(totals, of, out=np.full(totals.shape, np.nan), where=of > 0)
        ratios[:, (counts > 0).sum(axis=0) < 2] = np.nan
        return ratios

    def _totals_of_counts(self, counts: Array) -> Array:
        """As `_totals`; where all users have one count, every draw has the same total."""
        totals = np.tile(self.users * counts[0].astype(np.float64), (self.draws, 1))
        uneven = (counts != counts[0]).any(axis=0)
        if uneven.any():
            totals[:, uneven] = self._totals(counts[:, uneven])
        return totals

    def _totals(self, values: Array) -> Array:
        """(draws, m) the sum of values (users, m) over the users of each draw."""
        values = np.asarray(values, np.float64)
        blocks = self._kept if self.draws * self.users <= _KEPT else self._weights()
        return np.concatenate([block.astype(np.float64) @ values for block in blocks])

    @cached_property
    def _kept(self) -> list[Array]:
        return list(self._weights())

    def _weights(self) -> Iterator[Array]:
        """Blocks (d, users) of how often each draw takes each user.

        A byte is enough: that one of n users is drawn 256 times in n has a chance below 1 / 256!.
        """
        rng = np.random.default_rng(self.seed)
        size = max(_AT_ONCE // self.users, 1)
        for start in range(0, self.draws, size):
            shape = (min(size, self.draws - start), self.users)
            drawn = rng.integers(self.users, size=shape)
            drawn += np.arange(shape[0])[:, None] * self.users
            counts = np.bincount(drawn.ravel(), minlength=drawn.size)
            yield counts.astype(np.uint8).reshape(shape)


def interval(draws: Array, level: float = 0.95) -> tuple[Array, Array]:
    """(m,) the lower and the upper end of the percentile interval of draws (draws, m).

    Draws that are NaN are left out; without others the ends are NaN. Where all users have the
    same value the interval has no width: it tells of the users there are, and of few it tells
    little.
    """
    ordered = np.sort(draws, axis=0)  # NaN last
    last = np.maximum((~np.isnan(draws)).sum(axis=0) - 1, 0)
    return _quantile(ordered, last, (1 - level) / 2), _quantile(ordered, last, (1 + level) / 2)


def _quantile(ordered: Array, last: Array, share: float) -> Array:
    place = share * last
    below = np.floor(place).astype(np.int64)
    columns = np.arange(ordered.shape[1])
    low, high = ordered[below, columns], ordered[np.minimum(below + 1, last), columns]
    between: Array = low + (place - below) * (high - low)
    return between


@dataclass(frozen=True)
class Comparison:
    """What one system has more of a metric than another, and how sure that is."""

    metric: str
    system: str
    against: str
    difference: float  # mean over users of `system` less `against`, NaN where nobody has both
    interval: tuple[float, float]  # 95 %, NaN where fewer than two users have both
    p: float  # NaN where fewer than two users have both
    p_corrected: float
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON; a number that is not defined is left out."""
        told = asdict(self) | {"interval": list(self.interval)}
        numbers = ("difference", "interval", "p", "p_corrected")
        undefined = [name for name in numbers if np.isnan(told[name]).any()]
        return {name: value for name, value in told.items() if name not in undefined}


def compare(
    values: Mapping[str, Array],
    reference: str,
    metric: str,
    bootstrap: Bootstrap,
    alpha: float = 0.05,
    users: Rows | None = None,
) -> list[Comparison]:
    """The system `reference` against every other; values (n,) of the metric per system.

    Tested is the mean difference between two systems over the values that both have (NaN: none),
    and the p values are corrected for the number of systems; see `p_value`, `corrected`. `users`
    (n,) says whose the values are: somebody who comes several times, once in each window, is one
    draw of the bootstrap and, with the sum of the differences, one observation of the test. Without
    it everybody is somebody else. Raises SettingsError where there is no such system.
    """
    if reference not in values:
        raise SettingsError(f"the reference must be one of {list(values)}; got {reference!r}")
    others = [name for name in values if name != reference]
    if not others:
        return []
    differences = np.stack([values[reference] - values[name] for name in others], axis=1)
    who = np.full(len(differences), PAD, np.int32) if users is None else users
    sums, counts = per_user(who, differences)
    ends = zip(*interval(bootstrap.ratios(sums, counts)), strict=True)
    tested = np.where(counts > 0, sums, np.nan)
    found = [
        Comparison(
            metric=metric,
            system=reference,
            against=name,
            difference=_mean(difference),
            interval=(float(low), float(high)),
            p=p_value(of_users),
            p_corrected=float("nan"),
            verdict="inside the noise",
        )
        for name, difference, of_users, (low, high) in zip(
            others, differences.T, tested.T, ends, strict=True
        )
    ]
    return corrected(found, alpha)


def p_value(differences: Array) -> float:
    """Of the paired two-sided t-test, from each user's difference (users,), NaN where unknown.

    On scores of ranked lists the t-test agrees with the permutation test, the Wilcoxon and the sign
    test do not (Smucker et al. 2007), and it keeps the promised rate of false alarms (Urbano et al.
    2019). Systems that are the same for everybody have p = 1. Of few users p is no smaller than
    2^(1 - users), the least that the permutation test, which flips signs, can say. NaN for fewer
    than two users.
    """
    known = differences[~np.isnan(differences)]
    if len(known) < 2:
        return float("nan")
    least = 2.0 ** (1 - len(known))
    if np.ptp(known) <= 1e-9 * np.abs(known).max():
        return 1.0 if known[0] == 0 else least
    return max(float(stats.ttest_1samp(known, 0).pvalue), least)


def corrected(comparisons: Sequence[Comparison], alpha: float = 0.05) -> list[Comparison]:
    """The same, judged as one family: p by `holm`, a verdict only where that is below `alpha`.

    What could not be tested is inside the noise, and does not count in the family.
    """
    adjusted = holm(np.array([comparison.p for comparison in comparisons], np.float64))
    return [
        replace(
            comparison, p_corrected=float(p), verdict=_verdict(comparison.difference, p < alpha)
        )
        for comparison, p in zip(comparisons, adjusted, strict=True)
    ]


def holm(p: Array) -> Array:
    """(m,) p values (m,) corrected for their number (Holm 1979); NaN stays, and is not counted."""
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN last
    stepped = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def _verdict(difference: float, certain: bool) -> Verdict:
    if not certain:
        return "inside the noise"
    return "better" if difference > 0 else "worse"


def in_words(comparison: Comparison) -> str:
    """One sentence: who is better and by how much, or that the difference is inside the noise."""
    metric, system, against = comparison.metric, comparison.system, comparison.against
    if np.isnan(comparison.p):
        return (
            f"{system} and {against} cannot be told apart in {metric}: "
            "fewer than two users have a value of both"
        )
    low, high = comparison.interval
    how = f"95 % interval {low:+.4f} to {high:+.4f}, corrected p = {comparison.p_corrected:.2g}"
    if comparison.verdict == "inside the noise":
        return (
            f"{metric} of {system} less that of {against} is {comparison.difference:+.4f}, "
            f"which is inside the noise ({how})"
        )
    return (
        f"{system} is {comparison.verdict} than {against}: "
        f"{metric} differs by {comparison.difference:+.4f} ({how})"
    )


def per_user(users: Rows, values: Array) -> tuple[Array, Array]:
    """Values (n, m) of users (n,) who may come several times, such as once in each window.

    Returns (sums, counts), each (distinct users, m), for `Bootstrap.ratios`; their ratio is each
    user's mean. NaN counts in neither. Each PAD, nobody known, is somebody else.
    """
    nobody = users == PAD
    keys = np.where(nobody, -np.cumsum(nobody), users.astype(np.int64))
    order = np.argsort(keys, kind="stable")
    starts = np.unique(keys[order], return_index=True)[1]
    defined = ~np.isnan(values)
    sums = np.add.reduceat(np.where(defined, values, 0)[order], starts, axis=0)
    return sums, np.add.reduceat(defined[order].astype(np.int64), starts, axis=0)


def across_seeds(values: Array) -> tuple[Array, float]:
    """(users,) each user's mean over the seeds of values (seeds, users); the spread of the seeds.

    The spread is the standard deviation, n - 1, of the mean over users between seeds: NaN for one
    seed. Values that are NaN are left out.
    """
    defined = ~np.isnan(values)
    counts = defined.sum(axis=0)
    sums = np.where(defined, values, 0).sum(axis=0)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    of_seeds = [_mean(of_seed) for of_seed in values]
    return means, float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else float("nan")


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")

"""Each positive of an evaluation: which sources found it, and where it was lost."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recsys.evaluation.account import LOST, Found, stages
from recsys.evaluation.held import Held
from recsys.features.arrays import PAD, Rows


def positives(held: Held, found: Found, ranks: Rows, k: int) -> pl.DataFrame:
    """A row for each positive that was scored, by its rank (n,) in the two-stage list, from 0.

    user_id, item_id and the event that chose it; found_by, the sources that had it among their
    candidates; stage, what became of it, as the account counts it; and rank, from 1, null where the
    list that is scored does not hold it.
    """
    users = held.past.users.ids_at(held.histories.users[held.owners])
    chosen, events = held.chosen, pl.Series(held.events, dtype=pl.String)
    became = pl.Series([each.format(k=k) for each in LOST], dtype=pl.String)
    return pl.DataFrame(
        {
            "user_id": users,
            "item_id": held.catalog.items.ids_at(chosen.items),
            "event": events.gather(chosen.events),
            "found_by": _named(found.names, found),
            "stage": became.gather(stages(found, ranks, k)),
            "rank": pl.Series(np.where(ranks == PAD, PAD, ranks + 1)).replace(PAD, None),
        }
    )


def _named(names: Sequence[str], found: Found) -> pl.Series:
    """(n,) the names of the sources that found each positive."""
    by = pl.DataFrame(found.by, schema=[str(place) for place in range(len(names))])
    told = [pl.when(pl.col(str(n))).then(pl.lit(name)) for n, name in enumerate(names)]
    return by.select(found_by=pl.concat_list(told).list.drop_nulls()).to_series()

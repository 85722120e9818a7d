"""How many of a user's positives a list holds, and how high: functions over arrays of hits.

`hits` (b, k) says which places of a list hold a positive, `positives` (b,) how many the user has,
on the list or not. Each function returns (b,) float64 for lists of k places, so for any k below
give `hits[:, :k]`, and `scores` has them all. The answers are those of trec_eval:

- A list is judged in the order it came in. Equal scores are no ties here: who made the list chose.
- k is the width of `hits`. A place that a shorter list leaves empty (PAD, or k above the number of
  items) is no hit and still counts in precision.
- A user without positives scores 0. The protocols leave such users out and count them.
"""

import numpy as np

from recsys.features.arrays import Array, Mask


def precision(hits: Mask) -> Array:
    """(b,) hits over k, the P_k of trec_eval: k even where the list is shorter."""
    return _share(hits.sum(axis=1), np.full(len(hits), hits.shape[1]))


def recall(hits: Mask, positives: Array) -> Array:
    """(b,) hits over all positives, the recall_k of trec_eval.

    The most a list can reach is k / positives; it is not divided by min(k, positives).
    """
    return _share(hits.sum(axis=1), positives)


def f1(hits: Mask, positives: Array) -> Array:
    """(b,) the harmonic mean of precision and recall, 2 hits / (k + positives).

    van Rijsbergen 1979. The mean over users is that of these values, not the harmonic mean of the
    mean precision and the mean recall.
    """
    return _share(2 * hits.sum(axis=1), hits.shape[1] + positives)


def hit_rate(hits: Mask) -> Array:
    """(b,) 1 where at least one positive is on the list, the success_k of trec_eval."""
    return np.asarray(hits.any(axis=1), np.float64)


def ndcg(hits: Mask, positives: Array) -> Array:
    """(b,) discounted gain over that of the best list of k, the ndcg_cut_k of trec_eval.

    Järvelin & Kekäläinen 2002 with binary relevance and 1 / log2(1 + rank). The best list has
    min(k, positives) hits at its head. For hits [0, 1] and one positive it is 1 / log2(3).
    """
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate([[0], np.cumsum(discounts)])
    return _share(hits @ discounts, ideal[np.minimum(positives, hits.shape[1])])


def average_precision(hits: Mask, positives: Array) -> Array:
    """(b,) the sum of the precision at each hit over all positives, map_cut_k of trec_eval.

    Its mean over users is MAP. torchmetrics divides by the hits on the list instead, so that one
    hit in first place scores 1 however many positives were missed; the two agree where every
    positive is on the list.
    """
    ranks = np.arange(1, hits.shape[1] + 1)
    return _share((hits * (hits.cumsum(axis=1) / ranks)).sum(axis=1), positives)


def reciprocal_rank(hits: Mask) -> Array:
    """(b,) 1 / the rank of the first hit, 0 without one; its mean over users is MRR.

    The recip_rank of trec_eval for a list of k.
    """
    ranks = np.arange(1, hits.shape[1] + 1)
    return np.asarray((hits / ranks).max(axis=1, initial=0), np.float64)


def scores(hits: Mask, positives: Array, k: int) -> dict[str, Array]:
    """Each metric of the lists cut at k as (b,), under its name in reports, such as "ndcg@10".

    Lists narrower than k are taken to end there: k is what precision divides by.
    """
    first = np.zeros((len(hits), k), np.bool_)
    first[:, : hits.shape[1]] = hits[:, :k]
    return {
        f"ndcg@{k}": ndcg(first, positives),
        f"recall@{k}": recall(first, positives),
        f"hr@{k}": hit_rate(first),
        f"precision@{k}": precision(first),
        f"f1@{k}": f1(first, positives),
        f"map@{k}": average_precision(first, positives),
        f"mrr@{k}": reciprocal_rank(first),
    }


def _share(part: Array, whole: Array) -> Array:
    """(b,) part over whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=np.asarray(whole) > 0)

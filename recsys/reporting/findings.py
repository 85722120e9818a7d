"""What an evaluation says in words: which list wins, how it was measured, what to work on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from recsys.reporting.outcome import Comparison, Lost, Outcome, Protocol

TWO_STAGE, FUSED = "two-stage", "fused"

_THIN = "\u202f"  # a narrow space at which no line breaks

Verdict = Literal["better", "worse", "noise", "untested", "same", "alone", "nothing"]

_RANKED_BELOW, _TOO_DEEP, _NOT_FOUND = "ranked below", "deeper than", "found by no source"
_CUT = "cut by the quota"

_ADVICE = {
    _NOT_FOUND: "Work on retrieval: no source offers {share} of the positives.",
    _TOO_DEEP: "Work on the depth of the sources: {share} of the positives lie below their cut.",
    _CUT: "Work on the fusion: its width or quotas cut off {share} of the positives.",
    _RANKED_BELOW: "Work on ranking: {share} of the positives are candidates, but below place {k}.",
}

_CUTS = {
    "last-item": "Each user's last event was held out, and all earlier events were learnt from",
    "time": "All events before {cutoff} were learnt from, and all from then until {last} held out",
    "walk-forward": "{windows} stretches of time, one after the other, were each foretold from all "
    "events before them",
    "given": "Training and test events were taken as they are given",
    "fold-in": "{held} users were held out whole: nothing of them was learnt from, {folded} of "
    "their events are their history and the rest was to be found",
}

_LEFT_OUT = {
    "users_without_past": ("user without a past", "users without a past"),
    "positives_without_past": (
        "positive of users without a past",
        "positives of users without a past",
    ),
    "users_without_target": (
        "user of whom no target was held out",
        "users of whom no target was held out",
    ),
    "users_of_unknown_items": (
        "user who chose only items that the log has not",
        "users who chose only items that the log has not",
    ),
    "positives_of_unknown_items": (
        "positive of an item that the log has not",
        "positives of items that the log has not",
    ),
    "users_without_allowed_positives": (
        "user who chose nothing that might be offered",
        "users who chose nothing that might be offered",
    ),
    "positives_not_allowed": (
        "positive that might not be offered",
        "positives that might not be offered",
    ),
    "positives_not_in_catalog": (
        "of them not in the catalogue",
        "of them not in the catalogue",
    ),
    "positives_disliked_later": (
        "positive that was disliked later",
        "positives that were disliked later",
    ),
}


@dataclass(frozen=True)
class Headline:
    """The result in one sentence, and the numbers behind it in another."""

    verdict: Verdict
    title: str
    detail: str


def headline(outcome: Outcome) -> Headline:
    """The two-stage list, or else the first system, beside the best other one."""
    ours = main_system(outcome)
    if ours is None:
        return Headline("nothing", "No list was scored", "")
    scores = ranking(outcome)
    rivals = [name for name in scores if name != ours]
    if not rivals:
        return Headline("alone", f"The {ours} list, beside no other", _score(outcome, ours, scores))
    best = rivals[0]
    said = f"{_score(outcome, ours, scores)}; the best other list, {best}, has {scores[best]:.4f}."
    if best == FUSED and scores[ours] == scores[best]:
        return Headline("same", f"The {ours} list is the fused one: no ranker orders it", said)
    comparison = compared(outcome, ours, best)
    if comparison is None:
        word = "is above" if scores[ours] > scores[best] else "is not above"
        title = f"The {ours} list {word} every other list"
        return Headline("untested", title, f"{said} The difference was not tested.")
    near = [name for name in rivals if not _beaten(compared(outcome, ours, name))]
    return _tested(ours, best, comparison, near, said)


def main_system(outcome: Outcome) -> str | None:
    """The list that the report is about."""
    scores = ranking(outcome)
    return TWO_STAGE if TWO_STAGE in scores else next(iter(scores), None)


def ranking(outcome: Outcome) -> dict[str, float]:
    """NDCG at k of the systems that have it, the best first."""
    metric = f"ndcg@{outcome.k}"
    known = {name: scores.get(metric) for name, scores in outcome.systems.items()}
    found = {name: value for name, value in known.items() if value is not None}
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def best_other(outcome: Outcome) -> str | None:
    """The best list to hold the report's own against: no list of all sources together."""
    taken = (TWO_STAGE, FUSED, main_system(outcome))
    return next((name for name in ranking(outcome) if name not in taken), None)


def compared(outcome: Outcome, system: str, against: str) -> Comparison | None:
    """The test of NDCG at k between two systems."""
    wanted = (f"ndcg@{outcome.k}", system, against)
    found = (c for c in outcome.comparisons if (c.metric, c.system, c.against) == wanted)
    return next(found, None)


def verdict_of(comparison: Comparison) -> Verdict:
    """A difference is better or worse only where the test said so."""
    if comparison.verdict == "better":
        return "better"
    return "worse" if comparison.verdict == "worse" else "noise"


def protocol_sentences(outcome: Outcome) -> list[str]:
    """How the log was cut, what was scored, what was left out."""
    protocol = outcome.protocol
    return [*_cut(protocol), *_counted(outcome), _left_out(protocol)]


def lost_stages(outcome: Outcome) -> list[tuple[Lost, float]]:
    """Every stage where positives ended, with its share of all of them."""
    lost = outcome.account.lost
    total = outcome.account.positives or sum(each.positives or 0 for each in lost)
    return [(each, _share(each, total)) for each in lost]


def to_work_on(outcome: Outcome) -> tuple[str | None, str]:
    """The stage with the largest loss that a better engine could win, and what that asks for."""
    won = [
        (share, kind, each.stage)
        for each, share in lost_stages(outcome)
        for kind in _ADVICE
        if each.stage.startswith(kind) and share > 0
    ]
    if not won:
        return None, ""
    share, kind, stage = max(won)
    return stage, _ADVICE[kind].format(share=percent(share), k=outcome.k)


def percent(share: float) -> str:
    """A share in percent, with a digit more where it is small."""
    digits = 0 if share >= 0.1 or share == 0 else 1
    return f"{100 * share:.{digits}f}{_THIN}%"


def _beaten(comparison: Comparison | None) -> bool:
    return comparison is not None and verdict_of(comparison) == "better"


def _tested(
    ours: str, best: str, comparison: Comparison, near: Sequence[str], said: str
) -> Headline:
    """`near` are the others, of lower score than `best`, that the test does not tell apart."""
    verdict = verdict_of(comparison)
    beaten = f"{best}, but not for certain {listed(near)}" if near else "every other list"
    titles = {
        "better": f"The {ours} list beats {beaten}",
        "worse": f"The {ours} list does worse than {best}",
        "noise": f"The {ours} list and {best}: a difference inside the noise",
    }
    detail = f"{said} {_difference(comparison)}".strip()
    return Headline(verdict, titles[verdict], detail)


def _difference(comparison: Comparison) -> str:
    if comparison.difference is None:
        return ""
    said = f"The difference is {comparison.difference:+.4f}"
    if comparison.interval is not None:
        low, high = comparison.interval
        said += f", 95{_THIN}% interval {low:+.4f} to {high:+.4f}"
    if comparison.p_corrected is not None:
        p = p_said(comparison.p_corrected)
        said += f", corrected p{_THIN}{p if p.startswith('<') else f'={_THIN}{p}'}"
    return said + "."


def p_said(p: float) -> str:
    """A probability as papers write it."""
    return f"<{_THIN}0.001" if p < 0.001 else f"{p:.3f}"


def _score(outcome: Outcome, system: str, scores: dict[str, float]) -> str:
    return f"NDCG@{outcome.k} of {system} is {scores[system]:.4f}"


def _cut(protocol: Protocol) -> Iterator[str]:
    if not protocol.name:
        return
    others: dict[str, Any] = protocol.others
    folded = others.get("folded_in")
    said = _CUTS.get(protocol.name, "The protocol is {name}").format(
        name=protocol.name,
        cutoff=day(protocol.cutoff) or "the cutoff",
        last=day(protocol.last_event) or "the end",
        windows=protocol.windows or "Several",
        held=_number(others.get("held_out_users")) or "Some",
        folded=percent(folded) if isinstance(folded, float) else "a share",
    )
    yield f"{said}."


def day(moment: str | None) -> str:
    """The date and minute of an ISO time; midnight is left off."""
    return "" if moment is None else moment[:16].replace("T", " ").removesuffix(" 00:00")


def _counted(outcome: Outcome) -> Iterator[str]:
    protocol = outcome.protocol
    counts = [
        counted(count, noun)
        for count, noun in (
            (protocol.users or outcome.users, "user"),
            (protocol.positives, "positive"),
        )
        if count is not None
    ]
    if not counts:
        return
    said = "Scored were " + " with ".join(counts)
    if protocol.items is not None:
        said += f", all {counted(protocol.items, 'item')} ranked"
    yield f"{said}, lists of {outcome.k}{_seeds(protocol.seed)}."


def _seeds(seed: int | list[int] | None) -> str:
    if seed is None:
        return ""
    if isinstance(seed, int):
        return f", seed {seed}"
    return f", means of the seeds {', '.join(map(str, seed))}"


def _left_out(protocol: Protocol) -> str:
    known = {key: getattr(protocol, key) for key in _LEFT_OUT}
    if all(count is None for count in known.values()):
        return "What was left out is not said."
    parts = left_out(known)
    return f"Left out: {listed(parts)}." if parts else "Nothing was left out."


def left_out(counts: Mapping[str, Any]) -> list[str]:
    """What was left out, a part for each count of a protocol that is not 0."""
    return [f"{n:,} {said[n != 1]}" for key, said in _LEFT_OUT.items() if (n := counts.get(key))]


def counted(n: int, noun: str) -> str:
    """So many of what a noun names, whose plural takes an s."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """Parts joined as in a sentence."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _share(lost: Lost, total: int) -> float:
    if lost.positives is not None and total:
        return lost.positives / total
    return lost.share or 0.0


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""

"""The tables and lines that commands show people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from recsys.reporting.findings import counted, left_out, listed
from recsys.settings import OWN
from recsys.visible import visible

if TYPE_CHECKING:  # the command line answers --help without loading polars
    import polars as pl

    from recsys.doctor import Check
    from recsys.explanation import Explanation

_EVENTS, _FAMILIES = 3, 6  # told one by one of an explained item


def systems_table(result: Mapping[str, Any]) -> Table:
    """A row per system of an evaluation: its metrics at k with the interval of NDCG, its cost."""
    k, intervals = result["protocol"]["k"], result["intervals"]
    table = _table("system", right=(f"Recall@{k}", f"NDCG@{k}", "95 %", f"HR@{k}", "coverage"))
    table.add_column("seconds", justify="right")
    table.add_column("users/s", justify="right")
    for place, (name, scores) in enumerate(result["systems"].items()):
        ends = intervals.get(name, {}).get(f"ndcg@{k}")
        table.add_row(
            name,
            f"{scores[f'recall@{k}']:.4f}",
            f"{scores[f'ndcg@{k}']:.4f}",
            "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}",
            f"{scores[f'hr@{k}']:.4f}",
            f"{scores[f'coverage@{k}']:.4f}",
            f"{scores['seconds']:.2f}",
            f"{scores['users_per_second']:,.0f}",
            style="bold" if place == 0 else None,
        )
    return table


def sources_table(account: Mapping[str, Any]) -> Table:
    """A row per source of the account of the stages: what it found, and what only it found."""
    table = _table("source", right=("depth", "candidates", "recall", "only it found", "seconds"))
    for name, own in account["sources"].items():
        table.add_row(
            name,
            str(own["depth"]),
            f"{own['candidates']:.1f}",
            f"{own['recall']:.4f}",
            f"{own['only']:,}",
            f"{own['seconds']:.2f}",
        )
    union = account["union"]
    table.add_row(
        "all together",
        "",
        f"{union['candidates']:.1f}",
        f"{union['recall']:.4f}",
        "",
        f"{union['seconds']:.2f}",
        style="bold",
    )
    return table


def lost_table(account: Mapping[str, Any]) -> Table:
    """Where every positive went; the rows sum to all of them."""
    table = _table("what became of what was chosen", right=("positives", "share"))
    for row in account["lost"]:
        table.add_row(row["stage"], f"{row['positives']:,}", f"{row['share']:.1%}")
    table.add_row("all", f"{account['positives']:,}", "100.0%", style="bold")
    return table


def protocol_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """How an evaluation was made, what it left out, and what it cost; of `Evaluation.as_dict`."""
    about, k = result["protocol"], result["protocol"]["k"]
    cut = (
        f", cutoff {about['cutoff']}, last event {about['last_event']}" if "cutoff" in about else ""
    )
    several = f", {counted(about['windows'], 'window')}" if "windows" in about else ""
    ranker = result["account"].get("ranker", {})
    of_seed = f", with seed {result['account']['seed']}" if "seed" in result["account"] else ""
    if ranker.get("trained"):
        yield (
            f"the ranker reaches NDCG@{k} {ranker[f'ndcg@{k}']:.4f}; the best order of the same "
            f"candidates would reach {ranker[f'best@{k}']:.4f}{of_seed}"
        )
    held = f", {about['held_share']:.1%} of the events held out" if "held_share" in about else ""
    yield f"protocol {about['name']}{cut}{several}{held}; k = {k}"
    yield (
        f"scored: {counted(about['users'], 'user')}, {counted(about['positives'], 'positive')}; "
        f"left out: {listed(left_out(about)) or 'nothing'}"
    )
    yield (
        f"fit {result['fit_seconds']:.1f} s, peak memory {result['peak_memory_bytes'] / 1e9:.2f} GB"
    )


def repeat_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """How much of the two-stage list its users had before; nothing where none of it was."""
    k, ours = result["protocol"]["k"], result["systems"]["two-stage"]
    if not ours.get(f"repeat_share@{k}"):
        return
    hits = ours.get(f"repeat_hits@{k}")  # not there without a hit
    yield (
        f"of the two-stage list {ours[f'repeat_share@{k}']:.1%} of the places"
        + ("" if hits is None else f" and {hits:.1%} of the hits")
        + " are items that the user had before"
    )
    for each in result["slices"]:
        if (each["by"], each["slice"]) == ("repeat", "new to the user"):
            scores = each["systems"]["two-stage"]
            yield (
                f"it reaches NDCG@{k} {scores[f'ndcg@{k}']:.4f} and Recall@{k} "
                f"{scores[f'recall@{k}']:.4f} on the {counted(each['positives'], 'positive')} that "
                f"were new to {counted(each['users'], 'user')}"
            )


def verdict(result: Mapping[str, Any]) -> str:
    """The two-stage list beside all others, in one sentence: higher, or not, or noise.

    Which of them is better is said only where the paired test is sure of it.
    """
    metric = f"ndcg@{result['protocol']['k']}"
    scores = {name: scores[metric] for name, scores in result["systems"].items()}
    ours = scores.pop("two-stage")
    trained = result["account"]["ranker"].get("trained", True)
    if not trained and ours == scores.get("fused"):
        return "the two-stage list is the fused one: no ranker orders it, see below"
    best = max(scores, key=scores.__getitem__, default=None)
    if best is None or not scores.keys() - {"fused", OWN}:
        return f"no source answered in every window; the two-stage list reaches NDCG {ours:.4f}"
    told = f"NDCG {ours:.4f}, the best of the others, {best}, {scores[best]:.4f}"
    verdicts = {
        each["against"]: each["verdict"]
        for each in result["comparisons"]
        if each["metric"] == metric
    }
    if verdicts[best] == "worse":
        return f"the two-stage list is worse than {best}: {told}"
    unsure = [name for name, found in verdicts.items() if found == "inside the noise"]
    if unsure:
        return f"the two-stage list differs inside the noise from {', '.join(unsure)}: {told}"
    return f"the two-stage list beats every other list: {told}"


def list_tables(lists: pl.DataFrame) -> Iterator[Table]:
    """A table per user of the lists of `Engine.recommend` with a column `title`."""
    odds = foretold(lists)
    more = [name for name in ("rules", "propensity") if name in lists.columns]
    for rows in one_by_one(lists):
        user, note = rows["user_id"][0], rows["note"][0]
        table = _table("rank", "item", "title", "score", *odds, "sources", "reason", *more)
        table.title = _title(f"{user}" + (f": {note}" if note else ""))
        for row in rows.drop_nulls("item_id").iter_rows(named=True):
            cells = (
                str(row["rank"]),
                str(row["item_id"]),
                row["title"],
                "" if row["score"] is None else f"{row['score']:.3f}",
                *("" if row[name] is None else f"{row[name]:.3f}" for name in odds),
                ", ".join(row["sources"]),
                row["reason"],
                *([", ".join(row["rules"]), f"{row['propensity']:.3f}"] if more else ()),
            )
            table.add_row(*(_cell(cell) for cell in cells))
        yield table


def one_by_one(lists: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The lists of `Engine.recommend` each by itself; who asked twice has two."""
    first = (lists["rank"].fill_null(1) == 1).arg_true().to_list()
    for start, end in zip(first, [*first[1:], len(lists)], strict=True):
        yield lists[start:end]


def explanation_lines(found: Explanation) -> Iterator[str]:
    """Whose list it is, what is unusual of it and what narrowed it down."""
    yield f"{found.user_id}" + (f": {found.note}" if found.note else "")
    if found.rules:
        yield f"the offer: {'; '.join(found.rules)}"


def explained_items(found: Explanation) -> Iterator[tuple[list[str], Table]]:
    """Per item its sources with what they rest on, and lines: its sentence, its score in parts."""
    for item in found.as_dict()["items"]:
        table = _table("source", right=("rank", "score"))
        table.add_column("rests on")
        place = "not on the list" if item["rank"] is None else f"{item['rank']}."
        table.title = _title(f"{place} {item['title']} ({item['item_id']})")
        for source in item["sources"]:
            past = [each for each in item["events"] if each["source"] == source["source"]]
            table.add_row(
                source["source"], str(source["rank"]), f"{source['score']:.3f}", _past(past)
            )
        yield [item["words"], *_sum(found.baseline, item)], table


def _past(events: Sequence[Mapping[str, Any]]) -> str:
    """The past events that a score rests on most, one a line."""
    told = [
        f"{each['share']:.0%} {visible(str(each['title']))}, {visible(str(each['event']))}"
        + (f" {each['time'][:10]}" if each["time"] else "")
        for each in events[:_EVENTS]
        if each["share"] is not None
    ]
    left = sum(each["share"] or 0 for each in events[_EVENTS:])
    others = counted(len(events) - _EVENTS, "other event")
    return "\n".join(told + ([f"{left:.0%} {others}"] if left else []))


def _sum(baseline: float | None, item: Mapping[str, Any]) -> Iterator[str]:
    """The score as the sum of what families of features add to that of the mean candidate."""
    if baseline is None or item["score"] is None:
        return
    parts = item["families"]
    told = [f"{each['contribution']:+.3f} {each['family']}" for each in parts[:_FAMILIES]]
    left = sum(each["contribution"] for each in parts[_FAMILIES:])
    told += [f"{left:+.3f} all else"] if parts[_FAMILIES:] else []
    yield f"{item['score']:.3f} = {baseline:.3f} mean candidate {' '.join(told)}"


def foretold(lists: pl.DataFrame) -> list[str]:
    """The columns of probabilities."""
    return [name for name in lists.columns if name.startswith("p_")]


def checks_table(checks: Sequence[Check]) -> Table:
    """A row per thing that was looked at; what is wrong is red, what is worth a note yellow."""
    table = _table("", "what", "found", "how to mend it")
    styles = {"wrong": "red", "note": "yellow"}
    for check in checks:
        mark = "" if check.state == "ok" else check.state
        table.add_row(mark, check.name, check.found, check.mend, style=styles.get(check.state))
    return table


def table_of(frame: pl.DataFrame, title: str | None = None) -> Table:
    """A frame as it is, numbers to the right; nulls are left empty."""
    table = Table(title=None if title is None else _title(title), title_justify="left")
    for name, kind in frame.schema.items():
        table.add_column(name, justify="right" if kind.is_numeric() else "left")
    for row in frame.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else visible(str(value))


def _title(text: str) -> Text:
    return Text(visible(text), style="bold")


def _table(*left: str, right: Sequence[str] = ()) -> Table:
    table = Table(title_justify="left")
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table

"""The command `recsys`."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from recsys import __version__, given
from recsys.ending import Ended, ending_signals_raised
from recsys.exits import EXITS, Exit, exit_code
from recsys.features.drafts import temporary_folder
from recsys.features.errors import RecsysError, SettingsError
from recsys.features.forks import check_process
from recsys.flags import Flags, flagged, settings_of
from recsys.output import Output, flush, ready_streams, told_on_stderr
from recsys.printing import (
    checks_table,
    explained_items,
    explanation_lines,
    foretold,
    list_tables,
    lost_table,
    one_by_one,
    protocol_lines,
    repeat_lines,
    sources_table,
    systems_table,
    table_of,
    verdict,
)
from recsys.reporting.findings import counted
from recsys.targets import check_outside, check_targets, checkpoint_of, inputs_of

if TYPE_CHECKING:
    import polars as pl

    from recsys.engine import Engine
    from recsys.features.catalog import Catalog
    from recsys.features.columns import Table
    from recsys.features.interactions import Interactions
    from recsys.settings import EngineSettings
    from recsys.targets import Given
    from recsys.tracking import Run


app = typer.Typer(
    help="A two-stage recommender engine for e-commerce.",
    epilog="\n\n".join(
        ["Exit codes:", *(f"{code.value}  {said}" for code, (_, said) in EXITS.items())]
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Artifact = Annotated[Path, typer.Argument(help="The folder that `recsys fit` wrote.")]
K = Annotated[int, typer.Option("--k", "-k", help="Items per list.")]
Json = Annotated[str | None, typer.Option(help="Write the result as JSON; - is standard output.")]
Where = Annotated[
    str | None,
    typer.Option(help="Offer only what this SQL says: \"price < 20 AND category = 'toys'\"."),
]
UsersFile = Annotated[Path | None, typer.Option(help="A file with a user id in each line.")]
Since = Annotated[
    Path | None,
    typer.Option(help="A file of what users did since the fit, with the columns of the log."),
]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit; what goes wrong on purpose, and what the system refuses, is one line
    on standard error.
    """
    ready_streams()
    try:
        with ending_signals_raised():
            check_process()
            try:
                app(arguments)
            finally:
                flush()
    except Ended as error:
        told_on_stderr(str(error))
        sys.exit(error.exit_code)
    except RecsysError as error:
        told_on_stderr(str(error), *getattr(error, "__notes__", ()))
        sys.exit(exit_code(error))
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        told_on_stderr(named, *getattr(error, "__notes__", ()))
        sys.exit(Exit.OUTPUT)
    sys.exit(Exit.OK)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"recsys {__version__}")
        raise typer.Exit()


@app.callback()
def recsys(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="And exit.")
    ] = False,
) -> None:
    """A two-stage recommender engine for e-commerce."""


@app.command()
def demo(
    users: Annotated[int, typer.Option(help="Customers of the shop.")] = 3_000,
    items: Annotated[int, typer.Option(help="Goods on its shelf.")] = 1_500,
    seed: Annotated[int, typer.Option(help="Another seed, another shop.")] = 0,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the shop's log and catalogue in this folder.")
    ] = None,
    json: Json = None,
) -> None:
    """Make up a shop, learn from its past, and hold what is offered against its last days."""
    from recsys.demo import check_keep, demo_dict, run_demo

    output = Output(json)
    check_keep(keep)
    with ExitStack() as stack:
        folder = keep or stack.enter_context(temporary_folder())
        progress = stack.enter_context(output.progress())
        shown = run_demo(users, items, seed, folder, progress)
    result = demo_dict(shown)
    output.write(result)
    for customer in shown.customers:
        output.show(table_of(customer.did, f"{customer.id}, {customer.about}: what they did"))
        output.show(
            table_of(customer.offered, "what they are offered, why, and what they did later")
        )
    output.say("", "The days after the cutoff, which the engine has not seen:")
    _show_evaluation(output, result)
    if keep is not None:
        output.say("", f"log and catalogue are in {keep}")


@app.command()
@flagged
def fit(
    flags: Flags,
    *,
    out: Annotated[Path, typer.Option(help="The folder to write the engine to.")],
) -> None:
    """Learn from a log and a catalogue, and save the engine as a folder."""
    output, settings = Output(flags.json), settings_of(flags)
    _check(settings, flags)
    from recsys.artifact import check_target

    check_target(out, "engine")
    _try_targets(output, settings, flags, folders={"--out": out})
    from recsys.engine import Engine
    from recsys.tracking import tracked

    engine = Engine(settings)
    with output.progress() as progress, tracked(settings, "fit") as run:
        log, catalog = _read(engine, flags)
        run.data(log, catalog, engine.notes)
        engine.fit(log, catalog, progress=progress)
        engine.save(out)
        ranker = engine.learnt.fitted.ranker
        run.epochs([] if ranker is None else ranker.curve_)
        result = {
            "engine": str(out),
            "name": settings.name,
            "users": len(engine.users),
            "items": len(engine.items),
            "sources": [member.name for member in engine.learnt.fitted.sources.members],
            "has_ranker": ranker is not None,
            "notes": engine.notes,
        }
        run.finish(result)
    size = f"{counted(len(engine.users), 'user')}, {counted(len(engine.items), 'item')}"
    said = f"{size}; the engine is in {out}"
    output.write(result)
    output.say(*engine.notes, said, *_run_lines(run))


@app.command()
@flagged
def evaluate(
    flags: Flags,
    *,
    protocol: Annotated[
        Literal["last-item", "time", "walk-forward", "given", "fold-in"] | None,
        typer.Option(
            help="Hold out each user's last item, all after a cutoff, several stretches of time "
            "one after the other, the other half of a given split, or users who are folded in."
        ),
    ] = None,
    k: Annotated[int | None, typer.Option("--k", "-k", help="Items per list.")] = None,
    share: Annotated[
        float | None, typer.Option(help="Of the events, the newest, that are held out.")
    ] = None,
    date: Annotated[str | None, typer.Option(help="The cutoff, such as 2010-11-01.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Several seeds, as 0,1,2: means are shown.")
    ] = None,
) -> None:
    """Learn from the past, and score each source, the fused and the two-stage list on the rest."""
    output = Output(flags.json)
    settings = settings_of(flags, protocol=protocol, k=k, share=share, date=date)
    chosen = given.seeds(seeds)
    _check(settings, flags, settings.evaluation.test)
    _try_targets(output, settings, flags)
    from recsys.evaluation.seeds import run_seeds, seeded
    from recsys.tracking import tracked

    several = seeded(settings, chosen)
    with output.progress() as progress, tracked(settings, "evaluation", chosen) as run:
        runs = run_seeds(
            several,
            data_dir=flags.data_dir,
            strict=flags.strict,
            quarantine=flags.quarantine,
            progress=progress,
            told=run.data,
        )
        result = runs.as_dict(settings.name)
        run.epochs(result["curves"])
        run.table("positives", runs.positives)
        run.finish(result)
    output.write(result)
    _show_evaluation(output, result)
    output.say(*_run_lines(run))


@app.command()
@flagged
def tune(
    flags: Flags,
    *,
    out: Annotated[Path, typer.Option(help="The TOML file to write the best settings to.")],
    minutes: Annotated[float, typer.Option(help="How long to look, after a first fit.")] = 10.0,
    trials: Annotated[int | None, typer.Option(help="How often to try at the most.")] = None,
) -> None:
    """Look for better settings of the ranker, on the past that an evaluation would learn from."""
    output, settings = Output(flags.json), settings_of(flags)
    _check(settings, flags, settings.evaluation.test)
    _try_targets(output, settings, flags, files={"--out": out})
    from recsys.engine import Engine
    from recsys.features.outputs import write_whole
    from recsys.toml import as_toml
    from recsys.tuning import lists_of_the_past, search

    engine = Engine(settings)
    with output.progress() as progress:
        log, catalog = _read(engine, flags)
        lists = lists_of_the_past(engine, log, catalog, flags.data_dir, progress)
        found = search(lists, settings, minutes, trials, progress)
    write_whole(out, as_toml(found.settings(settings)))
    output.write(
        {
            "settings": str(out),
            "ranker": found.ranker,
            "ndcg@10": found.ndcg,
            "ndcg@10_before": found.ndcg_before,
            "is_better": found.is_better,
            "trials": found.trials,
        }
    )
    tried = counted(len(found.trials), "trial")
    if found.is_better:
        output.say(
            f"NDCG@10 {found.ndcg:.4f} on lists that no trial learnt from, {found.ndcg_before:.4f} "
            f"before; {tried}; the best settings are in {out}"
        )
    else:
        output.say(
            f"nothing better than the present settings was found in {tried}: they reach NDCG@10 "
            f"{found.ndcg_before:.4f} on lists that no trial learnt from, and are in {out}"
        )


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or the JSON file of an evaluation.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; by default it stands beside the evaluation.")
    ] = None,
    json: Json = None,
) -> None:
    """Write one HTML page that shows what an evaluation found; it needs no network."""
    from recsys.reporting.report import write_report

    output, written = Output(json), write_report(run, out, apart=json)
    told = written.headline
    lines = (f"{told.title}.", told.detail, written.work_on)
    output.write(written.as_dict())
    output.say(*filter(None, lines), f"the report is in {written.page}")


@app.command()
def recommend(
    artifact: Artifact,
    users: Annotated[str | None, typer.Option(help="Ids of users: u1,u2")] = None,
    users_file: UsersFile = None,
    session: Annotated[
        list[str] | None,
        typer.Option(help="Items of an anonymous visit, the newest last: i1,i2; may be repeated."),
    ] = None,
    since: Since = None,
    k: K = 10,
    where: Where = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Of each event, beside each item.")
    ] = False,
    by_value: Annotated[
        str | None,
        typer.Option(help="Order by this column (a margin, the price) times the probability."),
    ] = None,
    json: Json = None,
) -> None:
    """What a saved engine offers users, or visitors it has never seen."""
    if sum(each is not None for each in (users, users_file, session or None)) != 1:
        raise SettingsError("give one of --users, --users-file and --session")
    texts = given.split(users, "--users") if users is not None else given.lines(users_file)
    output, engine = _output(json, artifact, users_file, since), _loaded(artifact)
    how: dict[str, Any] = {"where": where, "probabilities": probabilities, "by_value": by_value}
    how["since"] = given.events(since, engine)
    if session:
        visits = {
            f"session {n}": given.ids(given.split(each), engine.items, "item").to_list()
            for n, each in enumerate(session, 1)
        }
        lists = engine.recommend(sessions=visits, k=k, **how)
    else:
        lists = engine.recommend(given.ids(texts or [], engine.users, "user"), k=k, **how)
    lists = lists.with_columns(engine.titles(lists["item_id"]))
    output.write({"k": k, "lists": _list_dicts(lists)})
    output.show(*list_tables(lists))


@app.command()
def explain(
    user: Annotated[str | None, typer.Argument(help="The id of a user.")] = None,
    model: Annotated[Path, typer.Option(help="The folder that `recsys fit` wrote.")] = Path(
        "engine"
    ),
    session: Annotated[
        str | None, typer.Option(help="Items of an anonymous visit instead: i1,i2")
    ] = None,
    items: Annotated[
        str | None, typer.Option(help="Ask about these items instead of the best: i1,i2")
    ] = None,
    since: Since = None,
    k: K = 10,
    where: Where = None,
    json: Json = None,
) -> None:
    """Why a list is as it is: the sources, past events and features behind each item."""
    if (user is None) == (session is None):
        raise SettingsError("give one of USER and --session")
    output, engine = _output(json, model, since), _loaded(model)
    asked = None if items is None else given.ids(given.split(items), engine.items, "item")
    events = given.events(since, engine)
    if session is not None:
        visit = {"session": given.ids(given.split(session), engine.items, "item").to_list()}
        found = engine.explain(sessions=visit, since=events, k=k, items=asked, where=where)
    else:
        (known,) = given.ids([str(user)], engine.users, "user")
        found = engine.explain(known, since=events, k=k, items=asked, where=where)
    output.write({"k": k, **found.as_dict()})
    output.say(*explanation_lines(found))
    for words, table in explained_items(found):
        output.show(table)
        output.tell(*words)


@app.command()
def similar(
    artifact: Artifact,
    items: Annotated[list[str], typer.Argument(help="Ids of items.")],
    k: K = 10,
    source: Annotated[str | None, typer.Option(help="The source to ask.")] = None,
    json: Json = None,
) -> None:
    """The items that an item leads to."""
    output, engine = _output(json, artifact), _loaded(artifact)
    found = engine.similar_items(given.ids(items, engine.items, "item"), k=k, source=source)
    found = found.with_columns(engine.titles(found["similar_id"]))
    output.write({"k": k, "similar": found.to_dicts()})
    for rows in one_by_one(found):
        item = rows["item_id"][0]
        title = engine.titles([item])[0]
        output.show(
            table_of(rows.select("rank", "similar_id", "title", "score"), f"{item}: {title}")
        )


@app.command()
def export(
    artifact: Artifact,
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
    users_file: UsersFile = None,
    k: K = 10,
    block: Annotated[int, typer.Option(help="Users per file; bounds the memory.")] = 10_000,
    json: Json = None,
) -> None:
    """Write the lists of all users to Parquet files, in place of an earlier export."""
    from recsys.artifact import check_target

    texts = given.lines(users_file)
    output = _output(json, artifact, users_file)
    check_target(folder, "export")
    check_outside("FOLDER", folder, artifact)
    output.warn(*check_targets({"--json": output.file}, {"FOLDER": folder}, _some(users_file)))
    from recsys.export import export as write_lists

    engine = _loaded(artifact)
    users = None if texts is None else given.ids(texts, engine.users, "user")
    with output.progress() as progress:
        done = write_lists(engine, folder, k, users, block, progress)
    output.write({"folder": str(folder), "k": k, **done.counts()})
    output.say(
        f"{counted(done.rows, 'row')} for {counted(done.users, 'user')} in "
        f"{counted(done.parts, 'file')}: {done.folder}"
    )


@app.command()
def warmup(artifact: Artifact, json: Json = None) -> None:
    """Compile every kernel that a saved engine's requests need, and keep them: for an image."""
    from time import perf_counter

    output, engine, begun = _output(json, artifact), _loaded(artifact), perf_counter()
    asked = engine.warm_up()
    seconds = perf_counter() - begun
    output.write({"requests": asked, "seconds": seconds})
    output.say(f"{counted(asked, 'request')} answered in {seconds:.1f} s: kernels are compiled")


@app.command()
def doctor(json: Json = None) -> None:
    """What is installed, which device each stage takes, what is wrong and how to mend it."""
    from recsys.doctor import examine

    output, report = Output(json), examine()
    output.write(report.as_dict())
    output.show(checks_table(report.checks))
    output.say("", "fit can run" if report.can_fit else "fit cannot run: mend what is wrong first")
    if not report.can_fit:
        raise typer.Exit(Exit.MISSING)


def _show_evaluation(output: Output, result: dict[str, Any]) -> None:
    account = result["account"]
    output.show(systems_table(result))
    output.show(sources_table(account), lost_table(account))
    output.say(verdict(result), *repeat_lines(result), *protocol_lines(result), *result["notes"])


def _check(settings: "EngineSettings", flags: Flags, test: "Table | None" = None) -> None:
    """Refuse tables that lack a column, then a file that describes a part wrongly, before a run."""
    from recsys.features.sources import check_columns
    from recsys.settings import check_parts_in

    for table in (settings.catalog, settings.interactions, test):
        if table is not None:
            check_columns(table, flags.data_dir)
    if flags.config is not None:
        check_parts_in(flags.config, settings)  # after the columns, as it loads torch


def _try_targets(
    output: Output,
    settings: "EngineSettings",
    flags: Flags,
    files: "Given | None" = None,
    folders: "Given | None" = None,
) -> None:
    """Refuse what cannot be written before a run, and say where space is short."""
    written = {
        "--json": output.file,
        "--quarantine": flags.quarantine,
        "ranker.checkpoint": checkpoint_of(settings),
        **(files or {}),
    }
    runs = {"--runs (or --no-run)": settings.tracking.folder} if settings.tracking.use else {}
    reads = inputs_of(settings, flags.data_dir, None if files else flags.config)
    output.warn(*check_targets(written, folders, reads, runs))


def _output(json: str | None, artifact: Path, *reads: Path | None) -> Output:
    """Where the words go of a command that asks a saved engine, whose folder stays as it is."""
    output = Output(json)
    check_outside("--json", output.file, artifact)
    check_targets({"--json": output.file}, reads=[path for path in reads if path is not None])
    return output


def _some(path: Path | None) -> list[Path]:
    return [] if path is None else [path]


def _read(engine: "Engine", flags: Flags) -> "tuple[Interactions, Catalog]":
    return engine.read(data_dir=flags.data_dir, strict=flags.strict, quarantine=flags.quarantine)


def _run_lines(run: "Run") -> list[str]:
    """Where a run is kept, and which trackers lost it."""
    return run.notes if run.folder is None else [*run.notes, f"the run is in {run.folder}"]


def _loaded(artifact: Path) -> "Engine":
    from recsys.engine import Engine

    return Engine.load(artifact)


def _list_dicts(lists: "pl.DataFrame") -> list[dict[str, Any]]:
    """Per user the id, the note and the items."""
    own = ("item_id", "title", "rank", "score", "sources", "reason", "rules", "propensity")
    columns = [*(name for name in own if name in lists.columns), *foretold(lists)]
    return [
        {
            "user_id": rows["user_id"][0],
            "note": rows["note"][0],
            "items": rows.select(columns).drop_nulls("item_id").to_dicts(),
        }
        for rows in one_by_one(lists)
    ]


if __name__ == "__main__":
    main()

"""The engine: fitted once, asked for lists many times, saved as a folder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import polars as pl

from recsys import __version__
from recsys.adaptation import adapted
from recsys.artifact import read_folder, write_folder
from recsys.asking import Asking
from recsys.embedding import with_text_vectors
from recsys.features.arrays import PAD, Floats, Rows
from recsys.features.catalog import Catalog, coverage_notes, read_catalog
from recsys.features.columns import CatalogColumns
from recsys.features.drafts import temporary_folder
from recsys.features.errors import DataError, SettingsError
from recsys.features.forks import check_process
from recsys.features.ids import Ids, read_ids
from recsys.features.interactions import Interactions
from recsys.features.predicate import Predicate
from recsys.features.reading import read_interactions
from recsys.features.settings import nearest
from recsys.features.shown_values import shown
from recsys.features.sources import Source as Table
from recsys.features.threads import side_by_side
from recsys.final import Final, lot_keys
from recsys.final_settings import FinalSettings
from recsys.fitted import block_size, shown_once
from recsys.fitting import Fitting, Progress, silent
from recsys.learnt import Learnt
from recsys.limits import countable
from recsys.manifest import digest
from recsys.parts import check_parts, make_fusion
from recsys.policy import Policy
from recsys.ranking.lists import TrainingLists
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.retriever import LinkingRetriever, links_items
from recsys.retrieval.sources import named
from recsys.rules import Rules
from recsys.sessions import Sessions
from recsys.settings import EngineSettings, without_checkpoint
from recsys.tables import Asked, Lists, as_table, first_filled, no_table, single_lists

if TYPE_CHECKING:
    from recsys.evaluation.result import Evaluation
    from recsys.explanation import Explanation

KIND = "engine"
"""What the manifest of a saved engine calls it."""

_USERS_AT_ONCE = 10_000
"""Users whose lists are one table of `recommend_all`."""


class Engine:
    """A two-stage recommender: sources find candidates, a network ranks them.

    `fit` learns from a log and a catalogue; afterwards the engine is only read, and several threads
    may ask it at once.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        check_parts(self.settings)
        self.notes: list[str] = []
        """What there was to say of the data and of the fit: rejected rows, sources left out."""
        self._learnt: Learnt | None = None
        self._digest: tuple[Learnt | None, str] = (None, "")  # what `digest` found, and of what

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or what pickle, joblib and cloudpickle write: the files of a saved engine."""
        if self._learnt is None:
            return type(self), (self.settings,)
        from recsys.packed import packed, unpacked

        return unpacked, (type(self), packed(self))

    def fit(
        self,
        interactions: Interactions | Table = None,
        catalog: Catalog | Table = None,
        *,
        data_dir: Path | None = None,
        strict: bool = False,
        quarantine: Path | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Learn from a log and a catalogue: frames, files, or what `read` made of them.

        What is not given is read from the paths in the settings. Raises DataError where the data
        cannot be used, SettingsError where the rules of the list cannot be kept, MissingDependency
        where a setting needs a package that is not there, and TrainingError where training cannot
        go on.
        """
        log, catalog = self.read(
            interactions, catalog, data_dir=data_dir, strict=strict, quarantine=quarantine
        )
        fitting, rules, chosen = self._fitting(log, catalog, progress)
        final = self._final(rules, fitting.catalog)
        fitted, notes = fitting.run(log)
        self.notes += [*chosen, *rules.notes, *notes]
        self._learnt = Learnt(log, fitting.catalog, fitting.policy, replace(fitted, final=final))
        return self

    def training_lists(
        self,
        interactions: Interactions | Table = None,
        catalog: Catalog | Table = None,
        *,
        data_dir: Path | None = None,
        progress: Progress = silent,
    ) -> TrainingLists:
        """What the ranker would learn from in a fit, which learns nothing else from them."""
        log, catalog = self.read(interactions, catalog, data_dir=data_dir)
        return self._fitting(log, catalog, progress)[0].lists(log)

    def read(
        self,
        interactions: Interactions | Table = None,
        catalog: Catalog | Table = None,
        *,
        data_dir: Path | None = None,
        strict: bool = False,
        quarantine: Path | None = None,
    ) -> tuple[Interactions, Catalog]:
        """Read and validate without learning: the log, and the catalogue over the log's items."""
        check_process()
        if isinstance(interactions, Interactions) and isinstance(catalog, Catalog):
            if not catalog.items.ids.equals(interactions.items.ids):
                catalog = catalog.over(interactions.items)
            return interactions, catalog
        settings = self.settings
        self.notes = []
        if not isinstance(catalog, Catalog) and (catalog is not None or settings.catalog):
            columns = settings.catalog or CatalogColumns()
            catalog, rejections = read_catalog(catalog, columns, data_dir=data_dir, strict=strict)
            self.notes += [f"catalogue: {line}" for line in rejections.lines()]
        if not isinstance(interactions, Interactions):
            interactions, rejections = read_interactions(
                interactions,
                settings.interactions,
                events=settings.events,
                items=catalog.items if isinstance(catalog, Catalog) else None,
                strict=strict,
                quarantine=quarantine,
                data_dir=data_dir,
            )
            self.notes += [f"log: {line}" for line in rejections.lines()]
        if not isinstance(catalog, Catalog):
            catalog = Catalog.empty(interactions.items)
        catalog = catalog.over(interactions.items)
        self.notes += coverage_notes(interactions, catalog)
        return interactions, catalog

    @property
    def learnt(self) -> Learnt:
        """Data, policy and both stages; raises DataError before `fit` or `load`, and ForkError in a
        fork of a process that has worked with data.
        """
        check_process()
        if self._learnt is None:
            raise DataError("this engine has learnt nothing yet; call fit() or load() first")
        return self._learnt

    @property
    def users(self) -> pl.Series:
        """The ids of all users of the log."""
        return self.learnt.log.users.ids

    @property
    def items(self) -> pl.Series:
        """The ids of all items of the log and the catalogue."""
        return self.learnt.catalog.items.ids

    def titles(self, items: Ids) -> pl.Series:
        """What to call each item (n,) before people; null where it is unknown."""
        catalog = self.learnt.catalog
        rows = pl.Series(self._rows(items)[1]).replace(PAD, None)
        return catalog.titles().gather(rows.cast(pl.UInt32)).alias("title")

    def recommend(
        self,
        users: Ids | None = None,
        *,
        sessions: Sessions | None = None,
        since: Sessions | None = None,
        k: int = 10,
        exclude: Ids | None = (),
        where: Predicate | None = None,
        probabilities: bool = False,
        by_value: str | None = None,
    ) -> pl.DataFrame:
        """The best `k` items for users by id, or for sessions by their events.

        Users, items and sessions may be columns and frames of any library that `fit` takes. With
        `since`, events since the fit in a frame or item ids by user, each user's stored history
        goes on with what it did since.

        A row per offered item: user_id, item_id, rank (from 1), score, sources, reason, note. A
        note says what is unusual of a list: an unknown user, a list shorter than `k` and why, a
        failed source. Who is offered nothing has one row without an item. The items of `exclude`
        are offered to nobody, and no item of which `where` does not hold: a polars expression over
        the catalogue's columns, or SQL such as "price < 20 AND category = 'toys'". Where settings
        ask anything of the final list, two more columns say which rules put the item where it is,
        and the probability with which it stands there: rules, propensity. Raises DataError where
        k < 1, or where `where` cannot be read or names an unknown column, and SettingsError where a
        list of `k` cannot keep the rules.

        With `probabilities` there is a column for each event that the ranker foretells, such as
        p_view and p_purchase: how probable it is that the user chooses the item by that event or a
        stronger one, given that they choose anything that may be offered, in as long a time as the
        lists that the ranker learnt from. They are null where the ranker has nothing to go by. With
        `by_value`, a column of numbers (or the price) of the catalogue such as a margin, lists are
        ordered by the expected value, which is then the score: the column times the probability of
        the strongest event that is foretold; who is unknown gets the fused list with its scores.
        Both raise DataError where there are no probabilities.
        """
        self._longest(k)
        asked = Asking(self.learnt, self.settings).asked(users, sessions, since)
        if not len(asked.ids):
            events = self._foretold() if probabilities else ()
            trail = self.learnt.fitted.final is not None
            return no_table(asked.ids.dtype, self.items.dtype, trail, events)
        return self.answer(
            asked, countable(k), exclude, where, probabilities=probabilities, by_value=by_value
        )

    def answer(
        self,
        asked: Asked,
        k: int,
        exclude: Ids | None = (),
        where: Predicate | None = None,
        explore: bool = True,
        probabilities: bool = False,
        by_value: str | None = None,
    ) -> pl.DataFrame:
        """As `recommend`, for histories that have been made already, with places by lot or none."""
        fitted, catalog = self.learnt.fitted, self.learnt.catalog
        if fitted.final is not None:
            fitted.final.check(k)
        request = _Request(
            k=self._longest(k),
            policy=self._policy(exclude, where),
            explore=explore,
            events=self._foretold() if probabilities else (),
            worth=None if by_value is None else self._worth(by_value),
        )
        lists = Lists.joined(list(self._lists(asked, request)))
        offering = [member.name for member in fitted.sources.offering]
        rules = () if fitted.final is None else fitted.final.names
        retrievers = fitted.sources.retrievers
        return as_table(asked, lists, k, offering, retrievers, catalog, rules, request.events)

    def explain(
        self,
        user: Any = None,
        *,
        sessions: Sessions | None = None,
        since: Sessions | None = None,
        k: int = 10,
        items: Ids | None = None,
        exclude: Ids | None = (),
        where: Predicate | None = None,
    ) -> "Explanation":
        """Why the list of a user (an id), or of one session, is as it is: that of `recommend`.

        Each item with the sources that brought it, the past events that their scores rest on, what
        each feature adds to the ranker's score, and a sentence. With `items` it says where these
        stand, and of those that are not offered why. Raises DataError as `recommend` does, where an
        item is unknown, and where there is more than one session.
        """
        from recsys.explaining import explained

        self._longest(k)
        asked = Asking(self.learnt, self.settings).asked(
            None if user is None else [user], sessions, since
        )
        if len(asked.ids) != 1:
            raise DataError(f"one list is explained at a time; got {len(asked.ids)} sessions")
        rows = None
        if items is not None:
            rows = pl.Series(self._known(items)[1]).unique(maintain_order=True).to_numpy()
        return explained(self.learnt, asked, self._policy(exclude, where), countable(k), rows)

    def recommend_all(self, *, k: int = 10, users: Ids | None = None) -> Iterator[pl.DataFrame]:
        """The lists of all users, or of those given, in blocks whose memory does not grow."""
        self._longest(k)
        users = self.users if users is None else read_ids(users, "user").values
        for start in range(0, len(users), _USERS_AT_ONCE):
            yield self.recommend(users[start : start + _USERS_AT_ONCE], k=k)

    def similar_items(self, items: Ids, k: int = 10, source: str | None = None) -> pl.DataFrame:
        """The `k` items that each item leads to: item_id, similar_id, rank, score.

        `source` is the source to ask; by default it is, for each item, the first that links it to
        any: an item without events is answered from its text. Raises DataError where an item is
        unknown or the source does not link items.
        """
        longest, learnt = self._longest(k), self.learnt
        ids, rows = self._known(items)
        linking = [m for m in learnt.fitted.sources.offering if links_items(m.retriever)]
        if not linking:
            raise DataError("this engine has no source that links items")
        asked = linking if source is None else [named(linking, source)]
        own = Allowed(learnt.policy.mask, np.arange(len(rows) + 1), rows)
        lists = [
            cast(LinkingRetriever, member.retriever).similar(rows, longest, own) for member in asked
        ]
        return single_lists(ids, first_filled(lists), learnt.catalog)

    def evaluate(
        self,
        interactions: Interactions | Table = None,
        catalog: Catalog | Table = None,
        *,
        data_dir: Path | None = None,
        progress: Progress = silent,
    ) -> "Evaluation":
        """How well an engine of these settings foretells the newest part of the log.

        A new engine is fitted on the past alone; this one stays as it is. The protocol stands in
        `settings.evaluation`.
        """
        from recsys.evaluation.evaluate import evaluate
        from recsys.evaluation.protocols import read_test

        tested = Engine(without_checkpoint(self.settings))
        log, catalog = tested.read(interactions, catalog, data_dir=data_dir)
        test = read_test(self.settings, data_dir)
        return evaluate(tested, log, catalog, self.settings.evaluation, progress, test)

    def with_final(self, final: FinalSettings | Mapping[str, Any]) -> Self:
        """This engine with other rules for its lists; nothing is learnt anew, and this one stays.

        Raises SettingsError where rules contradict or do not suit the catalogue, and DataError
        where they leave no item to offer.
        """
        if not isinstance(final, FinalSettings | Mapping):
            raise SettingsError(f"final must be a table of settings; got {shown(final)}")
        own = final if isinstance(final, FinalSettings) else FinalSettings.parse(final, "final")
        engine = type(self)(self.settings.model_copy(update={"final": own}))
        engine._learnt, notes = self.learnt.with_final(engine.settings)
        engine.notes = [*self.notes, *notes]
        return engine

    def warm_up(self) -> int:
        """Ask requests of every shape once, so that none compiles or loads a kernel later; how many
        were answered. The first on a machine compiles for a minute or two: see `recsys warmup`.
        """
        from recsys.warming import warm_up

        return warm_up(self)

    def save(self, folder: Path | str) -> None:
        """Write all that was learnt as one folder with a manifest of hashes; see `artifact`."""
        learnt = self.learnt
        about = {"version": __version__, "name": self.settings.name}
        digest = write_folder(
            Path(folder), KIND, lambda draft: learnt.save(draft, self.settings, self.notes), about
        )
        self._digest = (learnt, digest)

    def digest(self) -> str:
        """The SHA-256 of the manifest that `save` writes: which engine a list is of.

        An engine that was neither saved nor loaded is saved for it, into a temporary folder.
        """
        learnt, known = self._digest
        if learnt is not self.learnt:
            with temporary_folder() as folder:
                self.save(folder / "engine")
            known = self._digest[1]
        return known

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The engine that was saved, whole, whatever takes its place while it is read.

        Raises ArtifactError where a byte of it has changed, or a file is not what was saved.
        """
        check_process()

        def read(place: Path, manifest: Mapping[str, Any]) -> Any:
            return Learnt.load(place, manifest), digest(manifest)

        (learnt, settings, notes), own = read_folder(Path(folder), KIND, read)
        engine = cls(settings)
        engine._learnt, engine.notes = learnt, notes
        engine._digest = (learnt, own)
        return engine

    def _fitting(
        self, log: Interactions, catalog: Catalog, progress: Progress
    ) -> tuple[Fitting, Rules, list[str]]:
        """A fit that is ready to run, the final list's rules, and what the data decided of it."""
        settings, chosen = adapted(self.settings, log, catalog)
        rules = Rules.of(settings.final.rules, catalog, log)
        rated = settings.interactions.rating is not None
        policy = Policy.of(
            catalog.offered(), log.events, settings.events, catalog.variants(), rated
        )
        catalog, said = with_text_vectors(catalog, log, settings, policy.hides, progress)
        fitting = Fitting(settings, catalog, rules.narrowed(policy), progress)
        return fitting, rules, chosen + said

    def _final(self, rules: Rules, catalog: Catalog) -> Final | None:
        once = shown_once(catalog, make_fusion(self.settings))
        return Final.of(self.settings.final, rules, catalog, once)

    def _longest(self, k: int) -> int:
        """How long a list of `k` can be; raises DataError where k is no length or too long."""
        return self.settings.limits.k(k, len(self.items))

    def _rows(self, items: Ids) -> tuple[pl.Series, Rows]:
        """Items as they were asked for (n,), and their rows, PAD where one is unknown."""
        limits = self.settings.limits
        ids, rows = self.learnt.catalog.items.found(items, limits.max_items)
        limits.check("max_items", len(ids), "items named")
        return ids, rows

    def _known(self, items: Ids) -> tuple[pl.Series, Rows]:
        """As `_rows`; raises DataError where one is unknown."""
        ids, rows = self._rows(items)
        if (rows == PAD).any():
            place = int(np.argmin(rows))
            raise DataError(f"unknown item {shown(ids[place])} at position {place}")
        return ids, rows

    def _policy(self, exclude: Ids | None, where: Predicate | None) -> Policy:
        """What one request lets be offered."""
        policy = self.learnt.policy
        if exclude is not None and (barred := self._rows(exclude)[1]).size:
            policy = policy.without(barred[barred != PAD])
        if where is None:
            return policy
        if isinstance(where, str):
            self.settings.limits.check("max_condition_length", len(where), "characters of where")
        return policy.within(self.learnt.catalog.mask(where))

    def _foretold(self) -> tuple[str, ...]:
        """The events of which there are probabilities; raises DataError without any."""
        ranker = self.learnt.fitted.ranker
        if ranker is None:
            raise DataError("probabilities need a ranker, and this engine has none: see its notes")
        if not ranker.events_:
            raise DataError(
                "this engine foretells no event: ranker.event_loss is 0, or too few were there to "
                "learn from"
            )
        return ranker.events_

    def _worth(self, column: str) -> Floats:
        """(items,) what a column of the catalogue says that each item is worth."""
        self._foretold()
        catalog = self.learnt.catalog
        numbers, price = dict(catalog.numbers()), catalog.price()
        if price is not None:
            numbers[str(catalog.columns.price)] = price
        if not isinstance(column, str) or column not in numbers:
            raise DataError(
                f"by_value must name a number or the price of the catalogue; got {shown(column)}; "
                f"{nearest(str(column), numbers)}"
            )
        return numbers[column]

    def _lists(self, asked: Asked, request: "_Request") -> Iterator[Lists]:
        """The lists of each block of those who ask."""
        fitted, k = self.learnt.fitted, request.k

        def lists(block: Asked) -> Lists:
            histories = block.histories
            allowed = request.policy.allowed(histories)
            keys = lot_keys(fitted.final, block.ids, histories.now) if request.explore else None
            candidates, failed = fitted.candidates(histories, allowed, k)
            pairs = fitted.pairs(histories, candidates) if request.events else None
            ranked = fitted.listed(
                histories,
                allowed,
                candidates,
                failed,
                k,
                keys=keys,
                worth=request.worth,
                pairs=pairs,
            )
            odds = None if pairs is None else fitted.probabilities(pairs, ranked)
            most = fitted.available(allowed)
            return Lists.of(histories, ranked, k, most, fitted.sources.retrievers, odds)

        return side_by_side(lists, asked.blocks(block_size(len(self.items))))


@dataclass(frozen=True)
class _Request:
    """What is asked of each list."""

    k: int
    policy: Policy
    explore: bool  # may places be given by lot?
    events: tuple[str, ...]  # whose probabilities are asked for
    worth: Floats | None  # (items,) where lists are ordered by expected value

"""The catalogue's texts as vectors, by a text model as it is or as it was tuned on behaviour."""

from dataclasses import replace

import numpy as np

from recsys.features.arrays import Mask
from recsys.features.catalog import Catalog
from recsys.features.drafts import temporary_folder
from recsys.features.errors import SettingsError, TrainingError
from recsys.features.interactions import Interactions
from recsys.features.text import TextEncoder
from recsys.fitting import Progress
from recsys.learning import moments_of_last_items
from recsys.parts import make_sources, make_text_tuning
from recsys.retrieval.text_tuning import TextTuning
from recsys.settings import EngineSettings, TrainingSettings


def with_text_vectors(
    catalog: Catalog, log: Interactions, settings: EngineSettings, hides: Mask, progress: Progress
) -> tuple[Catalog, list[str]]:
    """The catalogue with its texts as vectors, where a source in use or diversity reads them.

    `hides` (events,) are the events after which the policy offers an item no more.
    The second value says what became of tuning. Raises SettingsError where a text model is to be
    tuned whose vectors nobody would read.
    """
    tuning, given = make_text_tuning(settings), "text" in catalog.columns.vector
    if not _are_read(settings) or not catalog.has_text or given:
        if tuning:
            raise SettingsError(
                "setting 'text.tuning': no text is embedded here; it needs a source or diversity "
                "that reads text, and a catalogue with texts and without vectors of them"
            )
        return catalog, []
    if "text" in catalog.vectors and not tuning:
        return catalog, []
    text = settings.text
    encoder = TextEncoder(
        text.model, max_tokens=text.max_tokens, device=settings.device, cache=text.cache
    )
    if not tuning:
        return _embedded(catalog, encoder, progress), []
    past = before_all_moments(log, settings.training, hides)
    with temporary_folder() as folder:
        encoder, said = _tuned(tuning, encoder, catalog, past, progress)
        if encoder.adapters is not None:  # each fit has adapters of its own: nothing to keep
            encoder = replace(encoder, cache=folder)
        return _embedded(catalog, encoder, progress), [said]


def _are_read(settings: EngineSettings) -> bool:
    members, diversity = make_sources(settings).members, settings.final.diversity
    read = any(getattr(member.retriever, "vectors", None) == "text" for member in members)
    return read or (diversity.is_on and diversity.on == "text")


def _embedded(catalog: Catalog, encoder: TextEncoder, progress: Progress) -> Catalog:
    vectors = encoder.embed(catalog.texts(), lambda share: progress("embedding texts", share))
    return catalog.with_vectors("text", vectors)


def _tuned(
    tuning: TextTuning, encoder: TextEncoder, catalog: Catalog, past: Interactions,
    progress: Progress,
) -> tuple[TextEncoder, str]:  # fmt: skip
    try:
        tuned = tuning.fit(
            encoder, catalog.texts(), past, lambda share: progress("tuning the text model", share)
        )
    except TrainingError as error:
        return encoder, f"the text model is as it came: {error}"
    return tuned, (
        f"the text model is tuned on {tuning.pairs:,} pairs of items that were had together, of "
        f"{len(past):,} events before those that the ranker learns from"
    )


def before_all_moments(log: Interactions, training: TrainingSettings, hides: Mask) -> Interactions:
    """The events that are past at every moment that `training` may cut, by time or by last items.

    Vectors are the same at all moments, so they may know nothing of what any of them foretells. Of
    a log without order the items drawn could be any: then nothing is left. `hides` is as for
    `moments_of_last_items`.
    """
    if log.clock == "none":
        return log.where(np.zeros(len(log), bool))
    *_, oldest = moments_of_last_items(log, training.moments, hides)
    if log.clock != "time" or not len(log):
        return oldest.past
    start = 1 - training.moments * training.stretch
    return oldest.past.split_at(int(np.quantile(log.times, start, method="nearest")))[0]

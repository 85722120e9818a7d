"""Sequence: its kernel equals the network, its loss the full softmax, and content places items."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recsys.features.arrays import PAD
from recsys.features.catalog import Catalog
from recsys.features.errors import ArtifactError, DataError, SettingsError, TrainingError
from recsys.retrieval.allowed import Allowed
from recsys.retrieval.sequence import Sequence
from recsys.retrieval.sequence_kernel import pointed
from recsys.retrieval.sequence_loss import sampled_softmax_loss
from recsys.retrieval.sequence_network import Dropout, ItemSpace, SequenceNetwork
from recsys.retrieval.sequence_training import Rounds, Shape, Stream, exported, train
from tests.retrieval.contract import RetrieverContract
from tests.worlds import GROUPS, ITEMS, SIZE, World, log_of, planted, sessions


def small(**settings: object) -> Sequence:
    own = {"width": 16, "heads": 2, "history": 8, "epochs": 12, "batch": 64, "rate": 0.01}
    return Sequence(**{**own, "members": 1, "dropout": 0.0, "device": "cpu", **settings})


class TestSequence(RetrieverContract):
    make = staticmethod(small)
    recall_floor = 0.8


class TestSequenceOfTwo(RetrieverContract):
    make = staticmethod(lambda **settings: small(**{"members": 2, "epochs": 8, **settings}))
    recall_floor = 0.8


@pytest.fixture(scope="module")
def world() -> World:
    return planted()


@pytest.fixture(scope="module")
def fitted(world: World) -> Sequence:
    return small().fit(world.log, world.catalog)


@pytest.fixture(scope="module")
def network() -> SequenceNetwork:
    torch.manual_seed(0)
    space = ItemSpace(torch.randn(20, 5), torch.arange(20) < 15, 16, 0.0)
    network = SequenceNetwork(
        space, layers=2, heads=2, history=9, events=3, pauses=4, dropout=0.0
    ).eval()
    for parameter in network.parameters():  # gains and zeros too
        torch.nn.init.normal_(parameter, std=0.5)
    return network


@pytest.mark.parametrize("length", [1, 2, 9])
def test_the_kernel_computes_the_network(network: SequenceNetwork, length: int) -> None:
    rng = np.random.default_rng(length)
    items, events, pauses = (rng.integers(0, n, (3, length)) for n in (20, 3, 4))
    with torch.no_grad():
        expected = network(
            network.space(torch.from_numpy(items.ravel())).view(3, length, -1),
            torch.from_numpy(events),
            torch.from_numpy(pauses),
            torch.zeros(3, length, dtype=torch.long),
        )[:, -1]
    table, weights = exported(network)
    offsets = np.arange(4, dtype=np.int64) * length
    found = pointed(
        weights, table, offsets, items.ravel().astype(np.int32), events.ravel(), pauses.ravel()
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_two_members_score_by_the_mean_of_both(world: World, fitted: Sequence) -> None:
    two = small(members=2).fit(world.log, world.catalog)
    histories = sessions([3], [4, 9], [1, 2, 5], [7], [8, 2], [0, 11])
    items = np.tile(np.arange(ITEMS, dtype=np.int32), (6, 1))
    one, both = fitted.users_of(histories), two.users_of(histories)
    np.testing.assert_allclose(both[:, :16], one / 2, rtol=1e-6)  # the first has the same seed
    assert np.abs(both[:, :16] - both[:, 16:]).max() > 0.1
    table = two._learnt.table
    expected = both[:, :16] @ table[:, :16].T + both[:, 16:] @ table[:, 16:].T
    np.testing.assert_allclose(two.score(histories, items), expected, rtol=1e-4, atol=1e-4)


def test_a_small_log_has_two_members_unless_settings_say(world: World, tmp_path: Path) -> None:
    two = small(members=None, epochs=1).fit(world.log, world.catalog)
    assert two.users_of(world.histories).shape[1] == 2 * 16
    two.save(tmp_path)
    loaded = small(members=None).load(tmp_path)
    np.testing.assert_array_equal(loaded.users_of(world.histories), two.users_of(world.histories))


def test_a_log_that_is_not_small_has_one_member(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.retrieval.sequence._FEW", len(world.log) - 1)
    one = small(members=None, epochs=1).fit(world.log, world.catalog)
    assert one.users_of(world.histories).shape[1] == 16


def test_going_on_without_a_number_of_members_keeps_it(world: World) -> None:
    """Or a log that grows would be learnt anew at its newest moment."""
    older, _ = world.log.split_last(1)
    one = small(members=1, epochs=2).fit(older, world.catalog)
    found = small(members=None, rate=0.0).refit(world.log, world.catalog, one)
    ours, theirs = (each.users_of(world.histories) for each in (found, one))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_what_other_settings_saved_is_refused(fitted: Sequence, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    with pytest.raises(ArtifactError, match="has 1 members, the settings 2"):
        small(members=2).load(tmp_path)


def test_histories_in_one_row_do_not_see_one_another(network: SequenceNetwork) -> None:
    vectors = torch.randn(1, 6, 16)
    zeros = torch.zeros(1, 6, dtype=torch.long)
    owners = torch.tensor([[4, 4, 7, 7, 7, -1]])
    with torch.no_grad():
        together = network(vectors, zeros, zeros, owners)[0, 2:5]
        alone = network(vectors[:, 2:5], zeros[:, :3], zeros[:, :3], owners[:, 2:5])[0]
    torch.testing.assert_close(together, alone)


def test_an_event_does_not_read_later_ones(network: SequenceNetwork) -> None:
    zeros = torch.zeros(1, 5, dtype=torch.long)
    vectors = torch.randn(1, 5, 16)
    other = vectors.clone()
    other[:, 3:] += 1
    with torch.no_grad():
        one, two = (network(each, zeros, zeros, zeros)[:, :3] for each in (vectors, other))
    torch.testing.assert_close(one, two)


@given(st.integers(0, 10_000), st.integers(2, 12))
def test_with_every_item_drawn_once_it_is_the_full_softmax(seed: int, items: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    table, users = (torch.randn(n, 4, generator=generator) for n in (items, 3))
    wanted = torch.randint(0, items, (3,), generator=generator)
    every = torch.arange(items)
    loss = sampled_softmax_loss(users, table[wanted], table, torch.zeros(items), wanted, every)
    full = torch.nn.functional.cross_entropy(users @ table.T, wanted)
    torch.testing.assert_close(loss, full)


@given(st.integers(0, 1000))
def test_the_sampled_denominator_is_the_full_one_in_expectation(seed: int) -> None:
    """Summed over every item that one draw could be, weighed with how likely it is."""
    rng = np.random.default_rng(seed)
    table = torch.from_numpy(rng.normal(size=(7, 4)))
    user = torch.from_numpy(rng.normal(size=(1, 4)))
    shares, wanted = rng.dirichlet(np.ones(7)) + 1e-3, int(rng.integers(7))
    shares /= shares.sum()
    own = user[0] @ table[wanted]
    expected = 0.0
    for item in range(7):
        log_expected = torch.tensor([np.log(shares[item])])
        loss = sampled_softmax_loss(
            user, table[[wanted]], table[[item]], log_expected, *torch.tensor([[wanted], [item]])
        )
        expected += shares[item] * float((loss + own).exp())
    np.testing.assert_allclose(expected, float((user @ table.T).exp().sum()), rtol=1e-6)


def test_sampled_gradients_go_to_the_full_ones() -> None:
    torch.manual_seed(0)
    table, wanted = torch.randn(30, 4), torch.tensor([3, 11])
    shares = torch.rand(30) + 0.2
    shares /= shares.sum()
    users = torch.randn(2, 4, requires_grad=True)
    full = torch.autograd.grad(torch.nn.functional.cross_entropy(users @ table.T, wanted), users)[0]
    drawn = torch.multinomial(shares, 200_000, replacement=True)
    loss = sampled_softmax_loss(
        users, table[wanted], table[drawn], (200_000 * shares[drawn]).log(), wanted, drawn,
    )  # fmt: skip
    torch.testing.assert_close(torch.autograd.grad(loss, users)[0], full, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("users_at_all", [3, 40])
def test_the_gradients_of_the_loss_are_those_of_its_definition(
    users_at_all: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.retrieval.sequence_loss._CELLS", 1)  # blocks as small as they get
    m, generator = users_at_all, torch.Generator().manual_seed(3)
    rows = torch.tensor([3, 11, 3]).repeat(14)[:m]
    drawn = torch.tensor([11, 3, 3, 7, 0])
    log_expected = torch.randn(5, generator=generator, dtype=torch.float64)
    users, wanted, offered = (
        torch.randn(n, 4, generator=generator, dtype=torch.float64, requires_grad=True)
        for n in (m, m, 5)
    )
    inputs = (users, wanted, offered)
    others = (users @ offered.T - log_expected).masked_fill(rows[:, None] == drawn, -torch.inf)
    scores = torch.cat([(users * wanted).sum(dim=1, keepdim=True), others], dim=1)
    plain = torch.nn.functional.cross_entropy(scores, torch.zeros(m, dtype=torch.long))
    loss = sampled_softmax_loss(users, wanted, offered, log_expected, rows, drawn)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(
        torch.autograd.grad(2 * loss, inputs), torch.autograd.grad(2 * plain, inputs)
    )


def test_dropout_keeps_the_mean_and_is_off_outside_training() -> None:
    torch.manual_seed(0)
    dropout, ones = Dropout(0.25), torch.ones(1000, 1000)
    found = dropout(ones)
    assert float((found == 0).float().mean()) == pytest.approx(0.25, abs=0.005)
    assert float(found.mean()) == pytest.approx(1, abs=0.005)
    assert dropout.eval()(ones) is ones


def test_an_item_that_nobody_had_is_found_by_its_content(world: World) -> None:
    own, other = [], []
    near = sessions(*([SIZE * group + 3, SIZE * group + 4] for group in range(GROUPS)))
    for circle in (1, 2, 4):
        unseen = SIZE * circle + 5
        log = world.log.where(world.log.item_rows != unseen)
        found = small(id_dropout=0.3).fit(log, world.catalog)
        offered = found.retrieve(near, ITEMS, Allowed.everything(GROUPS, ITEMS)).items
        assert (offered == unseen).any(axis=1).all()
        places = (offered == unseen).argmax(axis=1)
        own.append(places[circle])
        other.append(np.delete(places, circle).mean())
    assert np.mean(own) < SIZE / 2
    assert np.mean(own) < np.mean(other) / 2


def test_a_catalogue_without_content(world: World) -> None:
    bare = Catalog.empty(world.log.items)
    found = small().fit(world.log, bare).retrieve(world.histories, 5, world.seen)
    assert world.recall(found.items) > 0.7
    assert found.items.max() < GROUPS * SIZE


def test_where_items_were_had_seldom_more_is_dropped_unless_settings_say() -> None:
    often, seldom = log_of([0] * 60, items=3), log_of([0, 1], [1], items=3)
    assert [Sequence()._shape(log).dropout for log in (often, seldom)] == [0.1, 0.3]
    assert Sequence(dropout=0.2)._shape(seldom).dropout == 0.2


def test_few_negatives_learn_too(world: World) -> None:
    found = small(negatives=20).fit(world.log, world.catalog)
    assert world.recall(found.retrieve(world.histories, 5, world.seen).items) > 0.7


def test_only_the_newest_events_are_read(fitted: Sequence) -> None:
    old = list(range(20, 29))
    long, short = fitted.users_of(sessions([*old, *range(8)], list(range(8))))
    np.testing.assert_array_equal(long, short)


def test_an_item_of_which_nothing_is_known_changes_nothing(fitted: Sequence) -> None:
    both, known = fitted.users_of(sessions([7, ITEMS - 1], [7]))
    np.testing.assert_array_equal(both, known)


def test_the_order_matters(fitted: Sequence) -> None:
    one, other = fitted.users_of(sessions([3, 4, 5], [5, 4, 3]))
    assert np.abs(one - other).max() > 1e-3


def test_a_loss_that_is_not_finite_is_refused() -> None:
    shape = Shape(
        width=16, heads=2, layers=1, history=4, events=1, pauses=1, dropout=0.0, id_dropout=0.0
    )
    network = shape.network(np.zeros((3, 0), np.float32), np.ones(3, bool))
    torch.nn.init.constant_(network.point.weight, torch.nan)
    zeros = np.zeros(3, np.int64)
    stream = Stream(np.array([0, 3]), np.arange(3, dtype=np.int32), zeros, zeros)
    rounds = Rounds(1, 8, 4, 8, 0.1, 0.0)
    with pytest.raises(TrainingError, match="loss is nan"):
        train(network, stream, np.ones(3, np.int64), rounds, seed=0, device="cpu")


def test_vectors_that_are_not_finite_are_refused(world: World) -> None:
    broken = world.catalog.with_vectors("text", np.full((ITEMS, 3), np.float32(np.nan)))
    with pytest.raises(DataError, match="must be finite"):
        small().fit(world.log, broken)


def test_a_log_without_a_second_event_teaches_nothing(tmp_path: Path) -> None:
    """As other sources: it is there with nothing to say, and can go on when the log has grown."""
    log = log_of([0], [1], items=2)
    catalog, everything = Catalog.empty(log.items), Allowed.everything(1, 2)
    first = small().fit(log, catalog)
    first.save(tmp_path)
    rows = np.array([[0, 1]], np.int32)
    for found in (first, small().load(tmp_path)):
        assert found.retrieve(sessions([0]), 2, everything).items.tolist() == [[PAD, PAD]]
        assert found.score(sessions([0]), rows).tolist() == [[0, 0]]
    grown = log_of([0, 1], [1], items=2)
    taught = small().refit(grown, catalog, first)
    np.testing.assert_array_equal(
        taught.score(sessions([0]), rows), small().fit(grown, catalog).score(sessions([0]), rows)
    )


def test_unfitted_it_says_so() -> None:
    with pytest.raises(TrainingError, match="not fitted"):
        small().users_of(sessions([0]))


def test_a_damaged_file_is_refused(fitted: Sequence, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    (tmp_path / "sequence.safetensors").write_bytes(b"{}")
    with pytest.raises(ArtifactError, match=r"sequence\.safetensors cannot be read: its header"):
        small().load(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "width", "layers", "heads", "history", "dimensions", "epochs", "more_epochs", "most_events",
        "batch", "negatives",
    ],
)  # fmt: skip
def test_settings_below_1_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be at least 1; got 0"):
        Sequence(**{name: 0})


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"width": 36, "heads": 4}, "width must be a multiple of 4 times heads"),
        ({"dropout": 1.0}, "dropout must be between 0 and 0.9"),
        ({"rate": -1.0}, "rate must be between 0 and 1"),
        ({"device": "tpu"}, "device must be one of"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        Sequence(**settings)


def test_going_on_reads_nothing_but_the_newer_log(world: World) -> None:
    """What follows the newer log is another each time; neither fit is given any of it."""
    found = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        future = rng.permutation(world.log.item_rows)
        last = world.log.offsets[1:] - 1
        items = world.log.item_rows.copy()
        items[last] = future[last]
        newer, _ = replace(world.log, item_rows=items).split_last(1)
        older, _ = newer.split_last(1)
        first = small().fit(older, world.catalog)
        found.append(small().refit(newer, world.catalog, first).users_of(world.histories))
    np.testing.assert_array_equal(*found)


def test_going_on_is_as_good_as_beginning_anew_and_takes_few_epochs(world: World) -> None:
    older, _ = world.log.split_last(1)
    first = small().fit(older, world.catalog)
    before = first.users_of(world.histories)
    found = small(more_epochs=1).refit(world.log, world.catalog, first)
    assert world.recall(found.retrieve(world.histories, 5, world.seen).items) > 0.8
    np.testing.assert_array_equal(first.users_of(world.histories), before)
    assert np.abs(found.users_of(world.histories) - before).max() > 0


def test_going_on_from_nothing_is_a_fit(world: World, fitted: Sequence, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = small().load(tmp_path)
    wide = small(width=24).fit(world.log, world.catalog)
    for before in (loaded, wide):
        found = small().refit(world.log, world.catalog, before)
        np.testing.assert_array_equal(
            found.users_of(world.histories), fitted.users_of(world.histories)
        )


def test_going_on_every_member_begins_where_it_was(world: World) -> None:
    """At a rate of 0 nothing is learnt: what is there is what was begun with."""
    older, _ = world.log.split_last(1)
    first = small(members=2, epochs=2).fit(older, world.catalog)
    found = small(members=2, rate=0.0).refit(world.log, world.catalog, first)
    ours, theirs = (each.users_of(world.histories) for each in (found, first))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    further = small(members=2, more_epochs=1).refit(world.log, world.catalog, first)
    moved = np.abs(further.users_of(world.histories) - theirs).max(axis=0).reshape(2, -1)
    assert (moved.max(axis=1) > 1e-3).all(), "both learn"


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (3, 2)])
def test_going_on_from_another_number_of_members_is_a_fit(
    world: World, before: int, after: int
) -> None:
    first = small(members=before, epochs=1).fit(world.log, world.catalog)
    own = small(members=after, epochs=1)
    anew = replace(own).fit(world.log, world.catalog)
    found = own.refit(world.log, world.catalog, first)
    np.testing.assert_array_equal(found.users_of(world.histories), anew.users_of(world.histories))


def test_likeness_is_the_cosine_in_the_spaces_of_all_members(world: World) -> None:
    two = small(members=2, epochs=1).fit(world.log, world.catalog)
    table = two._learnt.table.astype(np.float64)
    lengths = np.linalg.norm(table, axis=1)
    sources, targets = np.array([[0, 7, 12]], np.int32), np.array([[3, 8]], np.int32)
    expected = table[[3, 8]] @ table[[0, 7, 12]].T
    expected /= lengths[[3, 8]][:, None] * lengths[[0, 7, 12]]
    np.testing.assert_allclose(two.likeness(sources, targets)[0], expected, atol=1e-5)


def test_going_on_an_item_that_was_new_begins_where_its_content_puts_it(world: World) -> None:
    unseen = SIZE + 5
    older = world.log.where(world.log.item_rows != unseen)
    first = small(id_dropout=0.3).fit(older, world.catalog)
    found = small(id_dropout=0.3, rate=0.0).refit(world.log, world.catalog, first)
    last = sessions([SIZE + 3, unseen], [SIZE + 3, SIZE + 4])
    rows = np.tile(np.arange(ITEMS, dtype=np.int32), (2, 1))
    np.testing.assert_allclose(
        found.score(last, rows), first.score(last, rows), rtol=1e-5, atol=1e-5
    )


def test_going_on_with_rows_of_one_event(world: World) -> None:
    older, _ = world.log.split_last(1)
    first = small(history=1).fit(older, world.catalog)
    found = small(history=1).refit(world.log, world.catalog, first)
    assert world.recall(found.retrieve(world.histories, 5, world.seen).items) > 0.5


def test_of_a_large_log_fewer_epochs_are_read_and_then_the_newest_events() -> None:
    counts = np.array([1, 2, 3, 50])
    assert Sequence()._newest(counts, again=False) is None
    assert Sequence(history=20)._newest(counts, again=True) == 21
    assert Sequence(epochs=5, most_events=200)._rounds(56, again=False, small=False).epochs == 3
    assert Sequence(most_events=9)._newest(counts, again=False) == 3  # 1 + 2 + 3 + 3 of them
    assert Sequence(most_events=10)._newest(counts, again=True) == 4
    assert Sequence(most_events=1)._newest(counts, again=False) == 2  # less teaches nothing


@pytest.mark.parametrize(
    ("events", "epochs"), [(1, 10), (160_000, 10), (200_000, 8), (400_001, 4), (900_000, 4)]
)
def test_it_goes_on_for_longer_on_a_small_log(events: int, epochs: int) -> None:
    assert Sequence()._rounds(events, again=True, small=False).epochs == epochs
    assert Sequence(more_epochs=7)._rounds(events, again=True, small=False).epochs == 7
    assert Sequence()._rounds(events, again=False, small=False).epochs == 20


def test_a_small_log_goes_on_at_the_full_rate() -> None:
    own = Sequence(rate=0.01)
    assert own._rounds(200_000, again=True, small=True).rate == 0.01
    assert own._rounds(200_000, again=True, small=False).rate == pytest.approx(0.003)
    assert own._rounds(200_000, again=False, small=False).rate == 0.01


def test_a_log_above_most_events_is_read_less_often() -> None:
    assert Sequence(most_events=1000)._rounds(500, again=False, small=False).epochs == 2

"""Robust reducers, against references written from their papers in plain NumPy."""

import itertools
import logging

import numpy as np
import pytest
from scipy.stats import trim_mean

from tierwise.core.aggregation import Need, SurveyingReducer
from tierwise.core.errors import ConfigurationError
from tierwise.core.weights import Layout, Weights
from tierwise.plugins import Plugins
from tierwise.plugins.aggregation.plain import PlainOptimizer, PlainOptions
from tierwise.runtime.aggregating import aggregate

PLUGINS = Plugins.discover()
NAMES = ("median", "trimmed-mean", "krum", "multi-krum", "bulyan", "geometric-median", "clipped-mean")


def draw(count, size=40, seed=0, scale=1.0):
    return list((np.random.default_rng(seed).normal(size=(count, size)) * scale).astype(np.float32))


def reduced(name, updates, samples=None, **options):
    """Reduce by the way that a federation takes: surveyed, block by block, and added to a model of zeros."""
    model = Weights.zeros(Layout.of({"w": (len(updates[0]),)}))
    counts = [1] * len(updates) if samples is None else samples
    after, _ = aggregate(PLUGINS.reducer(name, options), PlainOptimizer(PlainOptions()), model, {}, updates, counts)
    return after.buffer


def sq_distance(a, b):
    return float(np.square(a.astype(np.float64) - b).sum())


def krum_of(updates, f):
    """Blanchard et al. 2017, section 4: the number of the update with the least score; at a tie, nearer to all."""
    scores = []
    for i, update in enumerate(updates):
        others = sorted(sq_distance(update, other) for j, other in enumerate(updates) if j != i)
        scores.append((sum(others[: max(len(updates) - f - 2, 1)]), sum(others)))
    return min(range(len(updates)), key=scores.__getitem__), scores


def bulyan_of(updates, f):
    """El Mhamdi et al. 2018, section 4."""
    left, chosen = list(updates), []
    while len(chosen) < len(updates) - 2 * f:
        chosen.append(left.pop(krum_of(left, f)[0]))
    values = np.stack(chosen).astype(np.float64)
    order = np.argsort(np.abs(values - np.median(values, axis=0)), axis=0, kind="stable")
    return np.take_along_axis(values, order, axis=0)[: len(chosen) - 2 * f].mean(axis=0)


def test_all_need_each_update_and_each_is_an_aggregator():
    for name in NAMES:
        assert PLUGINS.reducer(name).need is Need.INDIVIDUAL
        assert (PLUGINS.aggregator(name).reducer, PLUGINS.aggregator(name).server_optimizer) == (name, "plain")


@pytest.mark.parametrize("count", [3, 4, 9, 20])
def test_the_median(count):
    updates = draw(count)
    np.testing.assert_allclose(reduced("median", updates), np.median(updates, axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("count", "trim", "left_out"), [(10, 0.2, 2), (9, 0.2, 2), (3, 0.2, 1), (3, 0.0, 0), (4, 0.49, 1)]
)
def test_the_trimmed_mean_rounds_its_share_up(count, trim, left_out):
    updates = draw(count)
    expected = trim_mean(np.stack(updates).astype(np.float64), left_out / count + 1e-9, axis=0)
    np.testing.assert_allclose(reduced("trimmed-mean", updates, trim=trim), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("count", "f"), [(7, 2), (10, 2), (11, 3), (25, 5)])
def test_krum_takes_the_update_with_the_least_score(count, f):
    for seed in range(5):
        updates = draw(count, seed=seed)
        best, _ = krum_of(updates, f)
        assert reduced("krum", updates, attackers=f / count).tobytes() == updates[best].tobytes()


@pytest.mark.parametrize(("count", "f"), [(7, 2), (10, 2), (25, 5)])
def test_multi_krum_averages_all_but_the_attackers(count, f):
    updates = draw(count, seed=3)
    _, scores = krum_of(updates, f)
    expected = np.mean(
        [updates[k] for k in sorted(range(count), key=scores.__getitem__)[: count - f]], axis=0, dtype=np.float64
    )
    np.testing.assert_allclose(reduced("multi-krum", updates, attackers=f / count), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("count", "f"), [(5, 0), (7, 1), (11, 2), (25, 5)])
def test_bulyan(count, f):
    for seed in range(3):
        updates = draw(count, seed=seed)
        found = reduced("bulyan", updates, attackers=f / count)
        np.testing.assert_allclose(found, bulyan_of(updates, f), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [3, 4, 10, 31])
def test_no_point_nearby_has_a_smaller_sum_of_distances_than_the_geometric_median(count):
    updates = np.stack(draw(count, size=5)).astype(np.float64)
    found = reduced("geometric-median", [row.astype(np.float32) for row in updates]).astype(np.float64)

    def total(point):
        return np.linalg.norm(updates - point, axis=1).sum()

    random = np.random.default_rng(1)
    for radius in (1e-3, 1e-2, 0.1, 1):
        for step in random.normal(size=(50, 5)):
            assert total(found) <= total(found + radius * step) + 1e-6
    assert total(found) < total(updates.mean(axis=0))


def test_the_geometric_median_on_a_line_is_the_median():
    updates = [np.full(4, value, np.float32) for value in (0, 1, 2, 50, 5e3)]
    np.testing.assert_allclose(reduced("geometric-median", updates), 2, atol=1e-3)


@pytest.mark.parametrize("far", [1e3, 1e7, 1e15, 1e30, 3e38])
def test_however_far_away_attackers_are_the_geometric_median_stays(far):
    honest = draw(8, seed=5)
    near = reduced("geometric-median", honest)
    for wrong in ([far, far], [far, -far], [far, far / 3]):
        found = reduced("geometric-median", honest + [np.full(40, value, np.float32) for value in wrong])
        assert np.linalg.norm(found - near) < 2
        assert np.linalg.norm(found) < np.linalg.norm(honest[0])
        if far >= 1e7:  # so far that they have no weight
            np.testing.assert_allclose(found, near, atol=1e-5)


def test_a_clipped_mean_has_the_median_of_the_norms_or_a_norm_that_is_given():
    updates = [np.array([3, 4], np.float32), np.array([0, 1], np.float32), np.array([-600, 800], np.float32)]
    np.testing.assert_allclose(reduced("clipped-mean", updates), np.mean([[3, 4], [0, 1], [-3, 4]], axis=0), rtol=1e-6)
    found = reduced("clipped-mean", updates, max_norm=1.0)
    np.testing.assert_allclose(found, np.mean([[0.6, 0.8], [0, 1], [-0.6, 0.8]], axis=0), atol=1e-6)
    np.testing.assert_allclose(reduced("clipped-mean", updates, max_norm=1e4), np.mean(updates, axis=0), rtol=1e-6)
    garbage = [updates[0], *[np.array([value, 0], np.float32) for value in (1e30, -2e30)]]
    np.testing.assert_allclose(reduced("clipped-mean", garbage), updates[0] / 3, rtol=1e-6)
    huge = [*updates[:2], np.array([1e30, 0], np.float32)]
    np.testing.assert_allclose(reduced("clipped-mean", huge, max_norm=1e4), np.sum(updates[:2], axis=0) / 3, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_samples_do_not_count(name):
    updates = draw(9)
    assert reduced(name, updates, [10**9, *[1] * 8]).tobytes() == reduced(name, updates).tobytes()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "clipped-mean"])
def test_what_all_add_is_added_to_the_result(name):
    updates = draw(11)
    shift = np.random.default_rng(9).normal(size=40).astype(np.float32)
    expected = reduced(name, updates) + shift
    np.testing.assert_allclose(reduced(name, [update + shift for update in updates]), expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [3, 4, 5, 10, 11, 30])
def test_two_times_an_update_is_two_times_the_result(name, count):
    updates = draw(count)
    found = reduced(name, [2 * update for update in updates])
    np.testing.assert_allclose(found, 2 * reduced(name, updates), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [1e2, 1e12, 3e38])
def test_one_wrong_update_in_eleven_moves_the_result_no_further_than_the_others_lie(name, wrong):
    honest = draw(10, seed=2)
    found = reduced(name, [*honest, np.full(40, wrong, np.float32)])
    assert np.isfinite(found).all()
    assert np.linalg.norm(found) < max(np.linalg.norm(update) for update in honest)


@pytest.mark.parametrize("name", NAMES)
def test_more_than_half_that_agree_are_followed(name):
    (agreed,) = draw(1)
    others = draw(3, seed=8)
    found = reduced(name, [agreed] * 8 + others)
    if name == "clipped-mean":
        assert np.linalg.norm(found - agreed) < np.linalg.norm(agreed)
    else:
        np.testing.assert_allclose(found, agreed, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_blocks_do_not_matter_to_the_bit(name, monkeypatch):
    updates = draw(9, size=3 * 4096 + 7)
    whole = reduced(name, updates)
    for block in (4096, 8192):
        monkeypatch.setattr("tierwise.runtime.aggregating.BLOCK", block)
        assert reduced(name, updates).tobytes() == whole.tobytes()


def test_krum_among_three_takes_one_of_the_two_that_agree():
    updates = [np.array([0.0], np.float32), np.array([1.0], np.float32), np.array([90.0], np.float32)]
    for order in itertools.permutations(updates):
        assert reduced("krum", list(order)).tolist() == [1.0]  # of equal scores the one that is nearer to all


@pytest.mark.parametrize(("name", "count", "borne"), [("krum", 4, 0), ("multi-krum", 4, 0), ("bulyan", 10, 1)])
def test_too_few_updates_for_the_share_are_told_once_and_reduced(name, count, borne, caplog):
    reducer = PLUGINS.reducer(name)
    assert isinstance(reducer, SurveyingReducer)
    updates = draw(count)
    for _ in range(2):
        reducer.survey(iter([updates]), np.ones(count, np.int64))
    wanted = {4: 1, 10: 2}[count]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"reducer {name!r} bears {borne} wrong updates among {count}, and the share 0.2 of them is {wanted}: larger "
        "groups bear more"
    )
    reducer.survey(iter([draw(15)]), np.ones(15, np.int64))
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        (
            "trimmed-mean",
            {"trim": 0.5},
            "option 'trim' of reducer 'trimmed-mean' is 0.5, allowed is a number of at least 0",
        ),
        ("trimmed-mean", {"trim": -0.1}, "option 'trim' of reducer 'trimmed-mean' is -0.1"),
        ("krum", {"attackers": 0.5}, "option 'attackers' of reducer 'krum' is 0.5"),
        ("multi-krum", {"attackers": -1}, "option 'attackers' of reducer 'multi-krum' is -1"),
        ("bulyan", {"attackers": 0.25}, "option 'attackers' of reducer 'bulyan' is 0.25"),
        ("clipped-mean", {"max_norm": 0}, "option 'max_norm' of reducer 'clipped-mean' is 0"),
        ("krum", {"f": 2}, "reducer 'krum' has no option 'f'"),
        ("median", {"trim": 0.1}, "has no option"),
    ],
)
def test_bad_options_are_named(name, options, text):
    with pytest.raises(ConfigurationError) as caught:
        PLUGINS.reducer(name, options, where="aggregation.reducer")
    assert text in str(caught.value)

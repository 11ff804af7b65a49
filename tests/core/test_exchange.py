"""Groups that learn from each other, and models that the coordinator measures itself."""

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.events import Refusal
from tierwise.core.ids import GroupId, ModelVersion
from tierwise.core.state import Phase

from .drive import HITS, Drive, blob, kinds, learning

G1, G2 = GroupId("g1"), GroupId("g2")


def close_round(drive: Drive, group: str) -> list[e.Event]:
    """Go through one round up to the new model."""
    drive.select(group)
    opened = drive.cohort(group).opened
    drive.update(*opened.participants, cohort=opened.cohort)
    return drive.reduce(group)


def test_the_first_group_to_have_a_model_has_nobody_to_learn_from() -> None:
    drive = learning("abc", "def", exchanges=True)
    assert kinds(close_round(drive, "g1")) == [e.RoundClosed]
    assert drive.phase("g1") is Phase.CHECKING


def test_the_next_one_learns_from_it_and_then_asks_its_stop_rule() -> None:
    drive = learning("abc", "def", exchanges=True)
    drive.run_round("g1")
    close_round(drive, "g2")
    order = drive.order(c.ExchangeModels)
    assert {group: (peer.version, peer.model) for group, peer in order.models.items()} == {
        G1: (1, blob("g1.r1-model")),
        G2: (1, blob("g2.r1-model")),
    }
    assert [peer.tier.name for peer in order.models.values()] == ["tier-g1", "tier-g2"]
    (exchanged,) = drive.give(i.ModelsExchanged(order=order.key, model=blob("learned")))
    assert exchanged == e.ModelExchanged(
        group=G2, version=ModelVersion(1), model=blob("learned"), teachers={G1: ModelVersion(1), G2: ModelVersion(1)}
    )
    assert drive.phase("g2") is Phase.CHECKING
    drive.rule("g2")
    (opened,) = drive.select("g2")
    assert isinstance(opened, e.RoundOpened)
    assert (opened.model, opened.version) == (blob("learned"), 1)


def test_no_group_waits_for_another_and_each_learns_from_the_latest_models() -> None:
    drive = learning("abc", "def", exchanges=True)
    for _ in range(3):
        drive.run_round("g1")
    close_round(drive, "g2")
    models = drive.order(c.ExchangeModels).models
    assert {group: peer.version for group, peer in models.items()} == {G1: 3, G2: 1}


def test_what_is_exchanged_with_stays_as_it_was_and_alive_until_the_answer() -> None:
    drive = learning("abc", "def", exchanges=True)
    drive.run_round("g1")
    close_round(drive, "g2")
    order = drive.order(c.ExchangeModels)
    close_round(drive, "g1")  # the weaker group goes on meanwhile
    assert drive.order(c.ExchangeModels, "g2") == order
    assert {peer.model for peer in order.models.values()} <= drive.machine.live_blobs()
    drive.give(i.ModelsExchanged(order=order.key, model=blob("learned")))
    drive.answer(c.ExchangeModels, "g1")
    assert blob("g1.r1-model") not in drive.machine.live_blobs()
    assert blob("g2.r1-model") not in drive.machine.live_blobs()


def test_a_group_that_has_ended_still_teaches() -> None:
    drive = learning("abc", "def", exchanges=True)
    drive.run_round("g1", stop="enough")
    drive.evaluate("a", "b", "c", cohort="g1.r2")
    assert drive.phase("g1") is Phase.FINISHED
    close_round(drive, "g2")
    assert set(drive.order(c.ExchangeModels).models) == {G1, G2}


def test_an_exchange_that_fails_ends_its_group_with_the_model_of_its_round() -> None:
    drive = learning("abc", "def", exchanges=True)
    drive.run_round("g1")
    close_round(drive, "g2")
    (finished,) = drive.fail(drive.order(c.ExchangeModels))
    assert isinstance(finished, e.GroupFinished)
    assert (finished.group, finished.failed, finished.model) == (G2, True, blob("g2.r1-model"))
    assert drive.phase("g1") is Phase.SELECTING


def test_an_answer_that_comes_twice_is_stale() -> None:
    drive = learning("abc", "def", exchanges=True)
    drive.run_round("g1")
    close_round(drive, "g2")
    given = i.ModelsExchanged(order=drive.order(c.ExchangeModels).key, model=blob("learned"))
    drive.give(given)
    assert drive.refusal(given).refusal is Refusal.STALE


def test_without_an_exchange_and_a_test_set_nobody_is_asked() -> None:
    drive = learning("abc", "def")
    drive.run_round("g1")
    close_round(drive, "g2")
    assert drive.phase("g2") is Phase.CHECKING


def test_every_model_is_measured_on_the_coordinators_test_set_before_the_stop_rule_is_asked() -> None:
    drive = learning("abc", tests=True)
    close_round(drive, "g1")
    order = drive.order(c.MeasureModel)
    assert (order.group, order.model, order.tier.name) == (G1, blob("g1.r1-model"), "tier-g1")
    (tested,) = drive.give(i.ModelMeasured(order=order.key, metrics=HITS))
    assert tested == e.ModelTested(group=G1, version=ModelVersion(1), metrics=HITS)
    assert drive.order(c.CheckStop).history[-1].test == HITS


def test_what_is_measured_is_what_the_exchange_made() -> None:
    drive = learning("abc", "def", exchanges=True, tests=True)
    close_round(drive, "g1")
    drive.answer(c.MeasureModel)
    close_round(drive, "g2")
    assert drive.outstanding(c.MeasureModel) == []
    drive.give(i.ModelsExchanged(order=drive.order(c.ExchangeModels).key, model=blob("learned")))
    assert drive.order(c.MeasureModel).model == blob("learned")


def test_a_group_is_not_dissolved_while_its_model_is_exchanged_or_measured() -> None:
    drive = learning("abc", "def", exchanges=True, tests=True)
    close_round(drive, "g1")
    drive.answer(c.MeasureModel)
    drive.rule("g1")
    close_round(drive, "g2")
    drive.lose("a")  # the weakest group falls short: the stronger one's devices are to come down
    drive.wait(1000.0)
    assert drive.phase("g2") is Phase.EXCHANGING
    drive.answer(c.ExchangeModels)
    assert drive.phase("g2") is Phase.TESTING
    drive.answer(c.MeasureModel)
    merged = [event for event in drive.rule("g2") if isinstance(event, e.GroupMerged)]
    assert [(event.source, event.target) for event in merged] == [(G2, G1)]

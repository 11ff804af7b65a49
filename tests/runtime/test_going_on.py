"""Going on with a store's federation: what must be as it was, and what may be changed."""

import msgspec
import pytest

from tierwise.core import events as e
from tierwise.core.errors import ConfigurationError
from tierwise.core.federation import Federation
from tierwise.core.state import FederationState
from tierwise.core.task import Task
from tierwise.plugins.manager import Plugins
from tierwise.runtime.going_on import Chosen, compare, lay_out
from tierwise.runtime.policies import AggregatorChoice, Choice, Policies
from tierwise.runtime.simulation.run import simulate

from .helpers import plugins, policies, settings, specs, targets_of
from .test_crash import Crash, CrashingStore, simulate_with

PLUGINS = Plugins.discover()
SETTINGS = settings()
USED = e.PluginUsed(kind="stop rule", name="rounds", distribution="tierwise", version="1")
"""Of a log."""


def chosen(given: Policies, **settings_changed: object) -> Chosen:
    changed = msgspec.structs.replace(SETTINGS, **settings_changed)
    return Chosen(changed, lay_out(given, PLUGINS), (USED,))


def opened(given: Policies | None) -> FederationState:
    """Return what a log leaves that was begun with some policies; None for one of an older version."""
    machine = Federation()
    laid_out = None if given is None else lay_out(given, PLUGINS)
    event = e.FederationOpened(settings=SETTINGS, plugins=(USED,), policies=laid_out)
    machine.apply(e.decode_record(e.encode_record(e.Record(sequence=0, at=0.0, event=event))))
    return machine.state


def refusal(state: FederationState, now: Chosen, *may_change: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        compare(state, now, may_change)
    return str(caught.value)


def test_the_same_is_gone_on_with_however_it_is_written() -> None:
    written = Policies(stop=Choice(name="rounds", options={"rounds": 30}))
    assert compare(opened(Policies()), chosen(Policies()), ()) is False
    assert compare(opened(Policies()), chosen(written), ()) is False, "what was left out is the default"
    assert compare(opened(written), chosen(Policies()), ()) is False


def test_every_difference_is_told_with_its_key() -> None:
    now = Policies(
        grouping=Choice(name="quantile", options={"groups": 2}),
        aggregation=AggregatorChoice(server_optimizer={"learning_rate": 0.5}),
        stop=Choice(name="time"),
    )
    told = refusal(opened(Policies()), chosen(now, name="other", task=Task(name="t", features=3, classes=("a", "b"))))
    assert [line.split(" is ")[0] for line in told.splitlines()] == [
        "federation.name",
        "task.name",
        "task.features",
        "task.classes",
        "grouping.groups",
        "aggregation.server_optimizer.learning_rate",
        "stop.rule",
    ]


def test_rules_within_rules_are_compared_too() -> None:
    def ruled(*rules: dict[str, object]) -> Policies:
        return Policies(stop=Choice(name="any", options={"rules": list(rules)}))

    before = ruled({"rule": "rounds", "rounds": 30}, {"rule": "plateau", "patience": 5})
    rounds = {"rule": "rounds", "rounds": 30}
    assert refusal(opened(before), chosen(ruled(rounds, {"rule": "plateau", "patience": 6}))) == (
        "stop.rules.1.patience is 6, the store's federation was opened with 5: go on with that, or give the new "
        "federation a store of its own, or allow this change (--allow-change stop.rules.1.patience)"
    )
    timed = refusal(opened(before), chosen(ruled({"rule": "time"}, {"rule": "plateau", "patience": 5})))
    assert timed.startswith("stop.rules.0.rule is 'time', the store's federation was opened with 'rounds'")
    assert refusal(opened(before), chosen(ruled(rounds))).startswith("stop.rules is [")


def test_another_plugins_options_are_not_told_beside_its_name() -> None:
    target, plateau = (Policies(stop=Choice(name=name)) for name in ("target", "plateau"))  # both have a metric
    (told,) = refusal(opened(target), chosen(plateau)).splitlines()
    assert told.startswith("stop.rule is 'plateau', the store's federation was opened with 'target'")


def test_what_is_allowed_may_differ_if_it_is_harmless() -> None:
    state, longer = opened(Policies()), chosen(Policies(stop=Choice(name="rounds", options={"rounds": 50})))
    assert compare(state, longer, ["stop.rounds"]) is True
    assert compare(state, longer, ["stop"]) is True
    assert "stop.rounds is 50" in refusal(state, longer, "stop.round", "selection")
    grouped = chosen(Policies(grouping=Choice(name="quantile", options={"groups": 2})))
    assert refusal(state, grouped, "stop").endswith("go on with that, or give the new federation a store of its own")
    assert "rounds.deadline_s is 5.0" in refusal(
        state, chosen(Policies(), rounds=msgspec.structs.replace(SETTINGS.rounds, deadline_s=5.0)), "aggregation"
    )


@pytest.mark.parametrize("key", ["sto", "grouping", "rounds.deadline_s", "aggregation.reducer", "codec", ""])
def test_what_can_never_be_allowed_is_refused_by_name(key: str) -> None:
    told = refusal(opened(Policies()), chosen(Policies()), "stop", key)
    assert told.startswith(f"{key} cannot be allowed to change (--allow-change): only stop, selection, aggregation.")


def test_an_option_that_one_of_the_versions_has_not_is_not_compared() -> None:
    state, now = opened(Policies()), chosen(Policies())
    before = {name: {**table} for name, table in state.policies.items()}
    before["stop"]["of old"] = 1
    del before["grouping"]["groups"]
    state.policies = before
    assert compare(state, now, ()) is False


def test_of_an_older_log_the_names_are_compared() -> None:
    older = opened(None)
    assert compare(older, chosen(Policies(stop=Choice(name="rounds", options={"rounds": 3}))), ()) is False
    other = chosen(Policies(stop=Choice(name="time")))._replace(plugins=(msgspec.structs.replace(USED, name="time"),))
    assert refusal(older, other).startswith(
        "plugins is [('stop rule', 'time')], the store's federation was opened with"
    )


def test_an_older_logs_opening_can_be_read() -> None:
    event = msgspec.to_builtins(e.FederationOpened(settings=SETTINGS, plugins=(USED,)))
    del event["policies"]
    data = msgspec.msgpack.encode({"sequence": 0, "at": 0.0, "schema": 1, "event": event})
    assert e.decode_record(data).event == e.FederationOpened(settings=SETTINGS, plugins=(USED,))


def length(number: int) -> float:
    """Stands for an option that a program gives as an object."""
    return float(number)


def test_an_option_that_is_an_object_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        measure: object = length

    plugins = Plugins.discover()
    options = plugins.options
    monkeypatch.setattr(
        plugins, "options", lambda kind, name, values: Options() if name == "quantile" else options(kind, name, values)
    )
    assert lay_out(Policies(), plugins)["grouping"] == {"policy": "quantile", "measure": f"{__name__}:length"}


def test_a_federation_learns_longer_when_that_is_allowed_and_remembers_it() -> None:
    expected = targets_of(simulate_with(CrashingStore(), policies=policies(rounds=4)))
    store = CrashingStore(after=[30])  # everybody has joined, and no group has stopped
    with pytest.raises(Crash):
        simulate(settings(), specs(), policies=policies(rounds=2), plugins=plugins(), store=store)
    with pytest.raises(ConfigurationError, match=r"^stop.rounds is 4, the store's federation was opened with 2"):
        simulate(settings(), specs(), policies=policies(rounds=4), plugins=plugins(), store=store)
    done = simulate_with(store, policies=policies(rounds=4), may_change=["stop"])
    assert targets_of(done) == expected
    (changed,) = [record.event for record in done if isinstance(record.event, e.PoliciesChanged)]
    assert changed.policies["stop"] == {"rule": "rounds", "rounds": 4}
    assert simulate_with(store, policies=policies(rounds=4)) == done, "from now on that is what it has"
    with pytest.raises(ConfigurationError, match=r"^stop.rounds is 2, the store's federation was opened with 4"):
        simulate(settings(), specs(), policies=policies(rounds=2), plugins=plugins(), store=store)


def test_a_federation_that_has_ended_stays_ended_whatever_is_allowed() -> None:
    store = CrashingStore()
    done = simulate_with(store, policies=policies(rounds=2))
    assert simulate_with(store, policies=policies(rounds=4), may_change=["stop"]) == done


def test_a_log_of_before_there_were_codecs_goes_on_uncoded() -> None:
    state = opened(Policies())
    state.policies = {name: table for name, table in state.policies.items() if name != "codec"}
    assert compare(state, chosen(Policies()), ()) is False
    assert refusal(state, chosen(Policies(codec=Choice(name="int8"))), "stop") == (
        "codec.name is 'int8', the store's federation was opened with 'float32': go on with that, or give the new "
        "federation a store of its own"
    )


def test_of_an_older_log_the_codec_is_compared_too() -> None:
    older, int8 = opened(None), msgspec.structs.replace(USED, kind="codec", name="int8")
    float32 = msgspec.structs.replace(int8, name="float32")
    assert compare(older, chosen(Policies())._replace(plugins=(USED, float32)), ()) is False
    told = refusal(older, chosen(Policies(codec=Choice(name="int8")))._replace(plugins=(USED, int8)))
    assert told.startswith("plugins is [('codec', 'int8')], the store's federation was opened with []")


def test_another_codec_or_another_of_its_options_is_another_federation() -> None:
    before = opened(Policies(codec=Choice(name="top-k")))
    now = Policies(codec=Choice(name="top-k", options={"fraction": 0.5}))
    assert refusal(before, chosen(now), "stop").startswith("codec.fraction is 0.5, the store's federation was opened")
    int8 = Policies(codec=Choice(name="int8", options={"error_feedback": False}))  # which both have
    (told,) = refusal(before, chosen(int8)).splitlines()
    assert told.startswith("codec.name is 'int8', the store's federation was opened with 'top-k'")


def test_a_store_without_a_codec_is_gone_on_with() -> None:
    expected = targets_of(simulate_with(CrashingStore()))
    store = CrashingStore(after=[30])
    with pytest.raises(Crash):
        simulate(settings(), specs(), policies=policies(), plugins=plugins(), store=store)
    log = store._store._log
    for number, data in enumerate(log):  # as a version wrote it that had no codecs
        plain = msgspec.msgpack.decode(data)
        event = plain["event"]
        if event["event"] == "federation-opened":
            del event["policies"]["codec"]
            event["plugins"] = [one for one in event["plugins"] if one["kind"] != "codec"]
        if event["event"] == "tier-assigned":
            del event["tier"]["codec"], event["tier"]["cost"]["upload_bytes"]
        log[number] = msgspec.msgpack.encode(plain)
    assert targets_of(simulate_with(store)) == expected

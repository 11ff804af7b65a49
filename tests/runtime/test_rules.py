"""Aggregators, selectors and stop rules from a file: whole simulated federations on real data."""

import tomllib

import anyio
import pytest

from tierwise.core import events as e
from tierwise.core.errors import ConfigurationError
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.metrics import read_metric
from tierwise.plugins.manager import Plugins
from tierwise.runtime.config import parse_config
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import Simulation, simulate
from tierwise.runtime.stores.memory import MemoryStore

PLUGINS = Plugins.discover()
BASE = """
[federation]
seed = 1
[rounds]
max_samples = 100
[grouping]
groups = 1
[tiers]
hidden = [[16]]
"""


def run(text: str, *, devices: int = 9, store: MemoryStore | None = None, **quantities: float) -> Simulation:
    """Run the federation of a file on equal devices, the last of which have 100 MB more each."""
    config = parse_config(tomllib.loads(BASE + text), "run.toml", PLUGINS)
    source = config.data_source(PLUGINS)
    hardware = HardwareProfile.declared(cpu_flops=1e9, **quantities)
    specs = {
        DeviceId(f"d{part}"): DeviceSpec(hardware, source.load(part, devices, config.seed)) for part in range(devices)
    }
    settings = config.settings(source.task, devices)
    return simulate(settings, specs, policies=config.policies, plugins=PLUGINS, store=store)


def ending(done: Simulation) -> e.GroupFinished:
    (finished,) = (record.event for record in done.records if isinstance(record.event, e.GroupFinished))
    return finished


def accuracy(done: Simulation) -> float:
    figure = read_metric(ending(done).metrics, "accuracy")
    assert figure is not None
    assert figure.value is not None
    return figure.value


STOP = '[stop]\nrule = "rounds"\nrounds = 12\n'


@pytest.fixture(scope="module")
def averaged() -> Simulation:
    return run(STOP)


@pytest.mark.parametrize(
    ("aggregator", "ahead"), [("momentum", 0.04), ("adam", 0.04), ("yogi", 0.04), ("adagrad", -0.1)]
)
def test_server_optimizers_learn_the_digits(aggregator: str, ahead: float, averaged: Simulation) -> None:
    done = run(STOP + f'[aggregation]\naggregator = "{aggregator}"\n')
    assert accuracy(done) > accuracy(averaged) + ahead
    rounds = [record.event for record in done.records if isinstance(record.event, e.RoundClosed)]
    assert len({event.optimizer_state for event in rounds} | {None}) == 13


def test_a_plateau_ends_a_federation_long_before_its_last_round() -> None:
    done = run(
        """
        [aggregation]
        aggregator = "momentum"
        [stop]
        rule = "any"
        rules = [{ rule = "rounds", rounds = 60 }, { rule = "plateau", patience = 2, min_delta = 0.1, smooth = 2 }]
        """
    )
    assert ending(done).reason.startswith("log_loss has not improved on ")
    assert 3 < ending(done).version < 40
    assert accuracy(done) > 0.8


def test_a_traffic_budget_holds() -> None:
    done = run('[stop]\nrule = "traffic"\nbudget_bytes = 500_000\n')
    devices, model = 9, done.result.groups[0].tier.cost.bytes
    rounds = ending(done).version
    moved = devices * model * 2 * rounds
    assert moved <= 500_000 < moved * (rounds + 1) / rounds
    assert ending(done).reason.endswith(f"and another round takes {devices * model * 2:,}")


def test_an_energy_budget_holds() -> None:
    done = run('[stop]\nrule = "energy"\nbudget_j = 1.0\n', power_w=10.0)
    assert ending(done).version > 1
    assert " of 1 J are used" in ending(done).reason
    assert not ending(done).failed


def test_an_energy_budget_that_nobody_can_measure_ends_the_group_at_once_instead_of_never() -> None:
    done = run('[stop]\nrule = "energy"\nbudget_j = 1.0\n')
    assert ending(done).failed
    assert ending(done).version == 1
    assert "no device of the group tells its power: declare power_w" in ending(done).reason


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ('rule = "target"\nmetric = "acuracy"', "stop.metric"),
        (
            'rule = "any"\nrules = [{ rule = "rounds" }, { rule = "plateau", metric = "acuracy" }]',
            "stop.rules.1.metric",
        ),
    ],
)
def test_a_rule_that_waits_for_a_metric_which_nobody_reports_is_refused_before_the_start(rule: str, key: str) -> None:
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match="did you mean 'accuracy'") as caught:
        run(f"[stop]\n{rule}\n", store=store)
    assert caught.value.key == key
    assert anyio.run(store.records) == []


def test_conditions_and_a_share() -> None:
    done = run(STOP + '[selection]\nselector = "conditions"\nmains = true\nfraction = 0.5\n', mains_bool=1.0)
    opened = [record.event for record in done.records if isinstance(record.event, e.RoundOpened)]
    fits = [set(event.participants) for event in opened if event.purpose is e.Purpose.FIT]
    assert all(len(participants) == 5 for participants in fits)
    assert len(set.union(*fits)) == 9

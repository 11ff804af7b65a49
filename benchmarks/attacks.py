"""Federations under attack, simulated: real training on real digits, and some devices that send something else.

Attackers know all that can be known: those who collude see what the honest devices send in the same round.

- *sign flip*: four times the honest update, backwards.
- *scaling*: fifty times an update from wrong labels.
- *label flip*: an update from wrong labels, class c being called 9 - c.
- *little*: all send the mean of the honest updates less 1.5 standard deviations of each weight (Baruch et al. 2019, "A
  Little Is Enough", https://arxiv.org/abs/1902.06156).
- *inner product*: all send the mean of the honest updates times -10 (Xie et al. 2020, "Fall of Empires",
  https://arxiv.org/abs/1903.03936).
"""

from collections.abc import Iterable, Sequence

import numpy as np

from tierwise.core.errors import FederationFailedError
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import Dataset, Fit, FitBudget, StopToken
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.tiers import OptionValues
from tierwise.core.weights import Buffer, Weights
from tierwise.plugins import Kind, PluginDescriptor, Plugins, hookimpl
from tierwise.plugins.learners.mlp import MlpLearner
from tierwise.runtime import AggregatorChoice, Choice, DeviceSpec, Policies, simulate

ATTACKS = ("none", "sign flip", "scaling", "label flip", "little", "inner product")
HIDDEN = (32,)


class Conspiracy:
    """What a run's attackers do, and know; there is one at a time."""

    attack: str = "none"
    attackers: frozenset[bytes] = frozenset()
    """The labels of their training sets, by which a learner knows whom it works for."""
    honest: Sequence[Dataset] = ()
    crafted: tuple[bytes, Buffer] | None = None
    """The model of a round, and what they have agreed on for it."""


class AttackedLearner(MlpLearner):
    """A perceptron that an attacker only seems to train."""

    def fit(self, weights: Weights, data: Dataset, *, seed: int, budget: FitBudget, stop: StopToken) -> Fit:
        """Train, or attack."""
        attack = Conspiracy.attack
        if attack == "none" or data.labels.tobytes() not in Conspiracy.attackers:
            return super().fit(weights, data, seed=seed, budget=budget, stop=stop)
        if attack in ("little", "inner product"):
            change = self._agreed(weights, budget, stop)
        else:
            wrong = data if attack == "sign flip" else Dataset(data.features, 9 - data.labels)
            fit = super().fit(weights, wrong, seed=seed, budget=budget, stop=stop)
            change = (fit.weights.buffer - weights.buffer) * np.float32(
                {"sign flip": -4, "scaling": 50, "label flip": 1}[attack]
            )
        return Fit(Weights(weights.layout, weights.buffer + change), len(data))

    def _agreed(self, weights: Weights, budget: FitBudget, stop: StopToken) -> Buffer:
        """Return what all of them send: made of what the honest devices come to."""
        round_of = weights.buffer.tobytes()
        if Conspiracy.crafted is None or Conspiracy.crafted[0] != round_of:
            fits = [MlpLearner.fit(self, weights, data, seed=1, budget=budget, stop=stop) for data in Conspiracy.honest]
            changes = np.stack([fit.weights.buffer - weights.buffer for fit in fits])
            mean, deviation = changes.mean(axis=0), changes.std(axis=0)
            Conspiracy.crafted = round_of, mean - 1.5 * deviation if Conspiracy.attack == "little" else -10 * mean
        return Conspiracy.crafted[1]


class Pack:
    """Announces the learner."""

    @staticmethod
    @hookimpl
    def tierwise_learners() -> Iterable[PluginDescriptor]:
        """Announce it."""
        yield PluginDescriptor(
            kind=Kind.LEARNER,
            name="attacked",
            target=f"{__name__}:AttackedLearner",
            options="tierwise.plugins.learners.mlp:MlpOptions",
            summary="A perceptron under attack.",
        )


def accuracy(
    aggregator: str,
    attack: str,
    *,
    options: OptionValues | None = None,
    share: float = 0.2,
    devices: int = 20,
    rounds: int = 20,
    alpha: float | None = None,
    seed: int = 0,
) -> float:
    """Train one group of devices on scikit-learn's digits; return the accuracy on all hold-outs.

    Parameters
    ----------
    aggregator, options
        The aggregator, and its reducer's options.
    attack
        One of `ATTACKS`.
    share
        Of the devices that attack.
    alpha
        Of the Dirichlet partition: the smaller, the less alike the devices' data; None deals them evenly.
    """
    partition = {"partition": "iid"} if alpha is None else {"partition": "dirichlet", "alpha": alpha}
    plugins = Plugins.discover()
    plugins.register(Pack())
    source = plugins.data_source("digits", partition)
    hardware = HardwareProfile.declared(cpu_flops=1e9, downlink_bytes_per_s=1e6, uplink_bytes_per_s=1e6)
    data = [source.load(number, devices, seed=seed) for number in range(devices)]
    attackers = round(share * devices)
    Conspiracy.attack = attack
    Conspiracy.attackers = frozenset(one.train.labels.tobytes() for one in data[:attackers])
    Conspiracy.honest = [one.train for one in data[attackers:]]
    Conspiracy.crafted = None
    try:
        found = simulate(
            FederationSettings(
                name="attacked",
                task=source.task,
                seed=seed,
                enrolment=EnrolmentSettings(min_devices=devices, window_s=None),
                rounds=RoundSettings(epochs=2, max_samples=1000),
            ),
            {DeviceId(f"d{number:03}"): DeviceSpec(hardware, one) for number, one in enumerate(data)},
            policies=Policies(
                grouping=Choice(name="quantile", options={"groups": 1}),
                tiers=Choice(
                    name="ladder", options={"rungs": [{"learner": "attacked", "options": {"hidden": list(HIDDEN)}}]}
                ),
                aggregation=AggregatorChoice(name=aggregator, reducer=options or {}),
                stop=Choice(name="rounds", options={"rounds": rounds}),
            ),
            plugins=plugins,
        )
    except FederationFailedError:  # the model has values that are not finite
        return 0.0
    measured = found.result.groups[0].metrics
    return measured["accuracy"].mean if "accuracy" in measured else 0.0  # none of a model that is beyond measure

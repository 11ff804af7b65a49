"""What learning across groups gives: groups alone, with an exchange, with guests, and every device in every tier.

Fashion-MNIST, 60 devices of 150 samples each, with classes drawn from a Dirichlet distribution (0.3), in three groups
with multi-layer perceptrons of 16, 64 and 256 hidden units, 30 rounds of two epochs of plain gradient descent.
The coordinator holds 600 more samples without labels. Accuracy is that of the groups' models on the 10,000 test images,
the mean of the last three rounds, of the three tiers. Runs of one seed share devices, data and starting weights:

- *alone*: the groups learn alone.
- *distilled*: policy ``distill`` after each round.
- *downward*: with ``downward``; each tier's round takes its own devices about 2 of 600 seconds, so that all devices of
  the stronger groups are guests of the weaker ones in every round.
- *everybody*: a federation for each tier, in which all 60 devices take part: what no limit of hardware would give.

Needs ``fashion_mnist_part0.npz`` in the directory that ``TIERWISE_DATA`` names (default ``../shared/data``).
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported; models are small

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from report import Row, arguments, compared, report, skip

from tierwise.core import events as e
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.metrics import read_metric
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.task import Task
from tierwise.core.tiers import Tier
from tierwise.plugins import Plugins
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.policies import Choice, Policies
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import simulate

DEVICES, SAMPLES, PUBLIC, WIDTHS, ROUNDS, EPOCHS, LAST = 60, 150, 600, (16, 64, 256), 30, 2, 3
TASK = Task(name="fashion", features=784, classes=tuple("0123456789"), scale=255.0)
PATH = Path(os.environ.get("TIERWISE_DATA", Path(__file__).parents[2] / "shared" / "data")) / "fashion_mnist_part0.npz"


ALONE = Choice(name="none")


@dataclass(frozen=True, slots=True)
class Learned:
    """A federation's test accuracy in its last rounds, tier by tier from the weakest on, and how long it took."""

    of_tiers: tuple[float, ...]
    simulated_s: float

    @property
    def mean(self) -> float:
        """Of the tiers."""
        return statistics.mean(self.of_tiers)


def images(data: "np.lib.npyio.NpzFile", part: str) -> Dataset:
    pixels = data[f"x_{part}"]
    return Dataset(pixels.reshape(len(pixels), -1).astype(np.float32), data[f"y_{part}"].astype(np.int64))


def deal(train: Dataset, seed: int) -> tuple[dict[DeviceId, LocalData], Dataset]:
    """Give each device its own mixture of classes, and set the public samples apart."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(train))
    public, rest = order[:PUBLIC], order[PUBLIC:]
    piles = [list(rest[train.labels[rest] == label]) for label in range(10)]
    dealt = {}
    for number in range(DEVICES):
        shares = random.dirichlet(np.full(10, 0.3))
        rows = []
        while len(rows) < SAMPLES:
            left = np.array([share if pile else 0.0 for share, pile in zip(shares, piles, strict=True)])
            if not left.sum():
                left = np.array([float(bool(pile)) for pile in piles])
            rows.append(piles[random.choice(10, p=left / left.sum())].pop())
        chosen = np.array(rows, np.intp)
        # The hold-out only has to be there; what is compared is measured on the test images.
        dealt[DeviceId(f"d{number:02}")] = LocalData(train.take(chosen), train.take(chosen[:1]))
    return dealt, train.take(public)


def run(
    data: dict[DeviceId, LocalData],
    widths: tuple[int, ...],
    own: OwnData,
    seed: int,
    rounds: int,
    exchange: Choice = ALONE,
    *,
    downward: bool = False,
) -> Learned:
    """Run a federation with a tier of each width."""
    options = {"hidden": [[width] for width in widths], "learning_rate": 0.05}
    tiers = Plugins.discover().tier_provider("mlp", options).offers(TASK)
    profiles = [hardware_for(tier) for tier in tiers for _ in range(len(data) // len(tiers))]
    devices = {name: DeviceSpec(profile, local) for profile, (name, local) in zip(profiles, data.items(), strict=True)}
    settings = FederationSettings(
        name="exchange",
        task=TASK,
        seed=seed,
        enrolment=EnrolmentSettings(min_devices=len(devices), window_s=None),
        rounds=RoundSettings(deadline_s=600, epochs=EPOCHS, max_samples=EPOCHS * SAMPLES, downward=downward),
    )
    policies = Policies(
        grouping=Choice(name="quantile", options={"by": "memory_bytes", "groups": len(widths)}),
        tiers=Choice(name="mlp", options=options),
        exchange=exchange,
        stop=Choice(name="rounds", options={"rounds": rounds}),
    )
    simulation = simulate(settings, devices, policies=policies, own=own)
    tested: dict[str, list[float]] = {}
    for record in simulation.records:
        if isinstance(record.event, e.ModelTested):
            figure = read_metric(record.event.metrics, "accuracy")
            assert figure is not None
            assert figure.value is not None
            tested.setdefault(record.event.group, []).append(figure.value)
    tiers = {group.tier.name for group in simulation.result.groups}
    assert len(tiers) == len(widths), f"the groups have {tiers}"
    of_tiers = tuple(statistics.mean(tested[name][-LAST:]) for name in sorted(tested))
    return Learned(of_tiers, simulation.simulated_s)


def hardware_for(tier: Tier) -> HardwareProfile:
    """Return hardware with just the memory for a tier, and on which its round takes as long as any other tier's."""
    return HardwareProfile.declared(
        memory_bytes=float(tier.cost.memory_bytes),
        cpu_flops=tier.cost.fit_flops_per_sample * 1e4,
        uplink_bytes_per_s=float(tier.cost.bytes),
        downlink_bytes_per_s=float(tier.cost.bytes),
    )


def learn(seed: int, rounds: int, train: Dataset, test: Dataset) -> dict[str, Learned]:
    """Return what each way to learn gave, all on the same devices and data."""
    data, public = deal(train, seed)
    own = OwnData(public=public.features, test=test)
    each = [run(data, (width,), own, seed, rounds) for width in WIDTHS]
    return {
        "alone": run(data, WIDTHS, own, seed, rounds),
        "distilled": run(data, WIDTHS, own, seed, rounds, Choice(name="distill")),
        "downward": run(data, WIDTHS, own, seed, rounds, downward=True),
        "everybody": Learned(tuple(one.mean for one in each), max(one.simulated_s for one in each)),
    }


def rows(found: list[dict[str, Learned]]) -> Iterator[Row]:
    """Yield a row for each way to learn, beside groups that learn alone: over the tiers, and of the weakest one."""
    for what, read in (("over the tiers", lambda one: one.mean), ("weakest tier", lambda one: one.of_tiers[0])):
        baseline = statistics.mean(read(one["alone"]) for one in found)
        for name in ("distilled", "downward", "everybody"):
            ratio = statistics.median(read(one[name]) / read(one["alone"]) for one in found)
            value = statistics.mean(read(one[name]) for one in found)
            yield compared(
                f"accuracy {what}, {name}",
                value,
                "",
                baseline="alone",
                baseline_value=baseline,
                ratio=ratio,
                at_least=None if name == "everybody" else 1.0,
                better="more",
            )
    times = [one["downward"].simulated_s / one["alone"].simulated_s for one in found]
    yield compared(
        "simulated time, downward",
        statistics.mean(one["downward"].simulated_s for one in found),
        "s",
        baseline="alone",
        baseline_value=statistics.mean(one["alone"].simulated_s for one in found),
        ratio=statistics.median(times),
    )


def main() -> None:
    """Run it, and say how the seeds differ."""
    parser = arguments("Measure what the exchange `distill` and the option `downward` give.")
    parser.add_argument("--seeds", type=int, metavar="N", default=3, help="how many: each is a run of its own")
    parser.add_argument("--rounds", type=int, metavar="N", default=ROUNDS, help="of each federation")
    options = parser.parse_args()
    if not PATH.exists():
        skip(f"this needs {PATH}: name the directory of {PATH.name} in TIERWISE_DATA")
    with np.load(PATH) as data:
        train, test = images(data, "train"), images(data, "test")
    found = []
    for seed in range(1 if options.quick else options.seeds):
        found.append(learn(seed, options.rounds, train, test))
        for name, one in found[-1].items():
            tiers = ", ".join(f"{value:.3f}" for value in one.of_tiers)
            print(f"seed {seed}, {name}: {one.mean:.3f} (tiers {tiers}), {one.simulated_s:.1f} simulated s", flush=True)
    report("Accuracy on the test images, of 1", rows(found), options.json)


if __name__ == "__main__":
    main()

"""What an exchange gives: groups that learn alone, that learn from others, and every device in every tier.

Fashion-MNIST, 60 devices of 150 samples each, with classes drawn from a Dirichlet distribution (0.3), in three groups
with multi-layer perceptrons of 16, 64 and 256 hidden units, 30 rounds of two epochs of plain gradient descent.
The coordinator holds 600 more samples without labels. Accuracy is that of the groups' models on the 10,000 test images,
the mean of the last three rounds, of the three tiers. Runs of one seed share devices, data and starting weights:

- *alone*: the groups learn alone.
- *distilled*: policy ``distill`` after each round.
- *everybody*: a federation for each tier, in which all 60 devices take part: what no limit of hardware would give.

Needs ``fashion_mnist_part0.npz`` in the directory that ``TIERWISE_DATA`` names (default ``../shared/data``).
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported; models are small

import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from report import Row, arguments, compared, report

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


def run(data: dict[DeviceId, LocalData], widths: tuple[int, ...], own: OwnData, seed: int, exchange: Choice) -> float:
    """Return the mean accuracy of the last rounds, over the tiers."""
    options = {"hidden": [[width] for width in widths], "learning_rate": 0.05}
    tiers = Plugins.discover().tier_provider("mlp", options).offers(TASK)
    profiles = [hardware_for(tier) for tier in tiers for _ in range(len(data) // len(tiers))]
    devices = {name: DeviceSpec(profile, local) for profile, (name, local) in zip(profiles, data.items(), strict=True)}
    settings = FederationSettings(
        name="exchange",
        task=TASK,
        seed=seed,
        enrolment=EnrolmentSettings(min_devices=len(devices), window_s=None),
        rounds=RoundSettings(deadline_s=600, epochs=EPOCHS, max_samples=EPOCHS * SAMPLES),
    )
    policies = Policies(
        grouping=Choice(name="quantile", options={"by": "memory_bytes", "groups": len(widths)}),
        tiers=Choice(name="mlp", options=options),
        exchange=exchange,
        stop=Choice(name="rounds", options={"rounds": ROUNDS}),
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
    return statistics.mean(statistics.mean(values[-LAST:]) for values in tested.values())


def hardware_for(tier: Tier) -> HardwareProfile:
    """Return hardware with just the memory for a tier, and on which its round takes as long as any other tier's."""
    return HardwareProfile.declared(
        memory_bytes=float(tier.cost.memory_bytes),
        cpu_flops=tier.cost.fit_flops_per_sample * 1e4,
        uplink_bytes_per_s=float(tier.cost.bytes),
        downlink_bytes_per_s=float(tier.cost.bytes),
    )


def accuracies(seed: int, train: Dataset, test: Dataset) -> dict[str, float]:
    """Return the accuracy of each way to learn, all on the same devices and data."""
    data, public = deal(train, seed)
    own = OwnData(public=public.features, test=test)
    alone, distill = Choice(name="none"), Choice(name="distill")
    return {
        "alone": run(data, WIDTHS, own, seed, alone),
        "distilled": run(data, WIDTHS, own, seed, distill),
        "everybody": statistics.mean(run(data, (width,), own, seed, alone) for width in WIDTHS),
    }


def rows(found: list[dict[str, float]]) -> Iterator[Row]:
    """Yield a row for each way to learn, beside groups that learn alone."""
    baseline = statistics.mean(one["alone"] for one in found)
    for name in ("distilled", "everybody"):
        ratio = statistics.median(one[name] / one["alone"] for one in found)
        value = statistics.mean(one[name] for one in found)
        at_least = 1.0 if name == "distilled" else None
        yield compared(
            f"accuracy, {name}", value, "", baseline="alone", baseline_value=baseline, ratio=ratio, at_least=at_least
        )


def main() -> None:
    """Run it, and say how the seeds differ."""
    options = arguments("Measure what the exchange `distill` gives.").parse_args()
    with np.load(PATH) as data:
        train, test = images(data, "train"), images(data, "test")
    found = [accuracies(seed, train, test) for seed in range(1 if options.quick else 3)]
    for seed, one in enumerate(found):
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in one.items()))
    report("Accuracy on the test images, of 1: the mean over the tiers", rows(found), options.json)


if __name__ == "__main__":
    main()

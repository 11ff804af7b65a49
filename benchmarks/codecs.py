"""What codecs give and what they cost: bytes of an update, accuracy, and the time of coding, decoding and summing.

*Accuracy*: Fashion-MNIST, 18 devices of 150 samples each, with classes drawn from a Dirichlet distribution (0.3), in
one group with a multi-layer perceptron of 64 hidden units (50,890 parameters), 20 rounds of one epoch. It is that of
the group's model on 2,000 test images, the mean of the last three rounds and of the seeds, beside float32 on the same
devices, data and starting weights. ``top-k`` sends 1 % and 5 % of the values, with error feedback and without.

*Time*: an update of 4 million values, in memory; beside a copy of the update, and sums beside that of the same updates
as float32.

Needs ``fashion_mnist_part0.npz`` in the directory that ``TIERWISE_DATA`` names (default ``../shared/data``).
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported; models are small

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from exchange import PATH, TASK, deal, images
from report import Row, arguments, compared, report

from tierwise.core import events as e
from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.coding import Arrays, Codec, SumsCoded
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.metrics import read_metric
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.tiers import OptionValues
from tierwise.core.weights import Buffer, Layout
from tierwise.plugins import Plugins
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.policies import Choice, Policies
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import simulate

DEVICES, WIDTH, ROUNDS, LAST, TESTED = 18, 64, 20, 3, 2000
SIZE, UPDATES, REPETITIONS = 4_000_000, 16, 7


@dataclass(frozen=True, slots=True)
class Variant:
    """A codec with its options, as it is told."""

    told: str
    name: str
    options: OptionValues

    def codec(self) -> Codec:
        """Make it."""
        return Plugins.discover().codec(self.name, self.options)


FLOAT32 = Variant("float32", "float32", {})
WITHOUT = {"error_feedback": False}
VARIANTS = (
    Variant("float16", "float16", {}),
    Variant("bfloat16", "bfloat16", {}),
    Variant("int8", "int8", {}),
    Variant("int8, no feedback", "int8", WITHOUT),
    *(
        Variant(f"top-k {fraction:.0%}{told}", "top-k", {"fraction": fraction, **options})
        for fraction in (0.05, 0.01)
        for told, options in (("", {}), (", no feedback", WITHOUT))
    ),
)


@dataclass(frozen=True, slots=True)
class Learned:
    """What a federation came to, and what its updates took."""

    accuracy: float
    update_bytes: int


def learn(variant: Variant, data: Mapping[DeviceId, LocalData], test: Dataset, seed: int, rounds: int) -> Learned:
    """Run a federation whose updates are coded."""
    devices = {name: DeviceSpec(HardwareProfile(), local) for name, local in data.items()}
    settings = FederationSettings(
        name="codecs",
        task=TASK,
        seed=seed,
        enrolment=EnrolmentSettings(min_devices=len(devices), window_s=None),
        rounds=RoundSettings(deadline_s=6000),
    )
    policies = Policies(
        grouping=Choice(name="quantile", options={"groups": 1}),
        tiers=Choice(name="mlp", options={"hidden": [[WIDTH]], "learning_rate": 0.05}),
        codec=Choice(name=variant.name, options=variant.options),
        stop=Choice(name="rounds", options={"rounds": rounds}),
    )
    done = simulate(settings, devices, policies=policies, own=OwnData(test=test))
    tested, sent = [], set()
    for record in done.records:
        if isinstance(record.event, e.ModelTested):
            figure = read_metric(record.event.metrics, "accuracy")
            assert figure is not None
            assert figure.value is not None
            tested.append(figure.value)
        elif isinstance(record.event, e.UpdateAccepted):
            sent.add(record.event.size_bytes)
    (update_bytes,) = sent
    return Learned(statistics.mean(tested[-LAST:]), update_bytes)


def learned_rows(*, quick: bool) -> Iterator[Row]:
    """Yield bytes and accuracy of each codec, beside float32."""
    with np.load(PATH) as found:
        train, test = images(found, "train"), images(found, "test")
    test = test.take(np.arange(TESTED))
    seeds, rounds = (1, 4) if quick else (3, ROUNDS)
    all_of: dict[str, list[Learned]] = {variant.told: [] for variant in (FLOAT32, *VARIANTS)}
    for seed in range(seeds):
        dealt, _ = deal(train, seed)
        data = dict(list(dealt.items())[:DEVICES])
        for variant in (FLOAT32, *VARIANTS):
            all_of[variant.told].append(learn(variant, data, test, seed, rounds))
    plain = all_of[FLOAT32.told]
    for variant in VARIANTS:
        size, most = all_of[variant.told][0].update_bytes, plain[0].update_bytes
        yield compared(f"update, {variant.told}", size, "B", baseline="float32", baseline_value=most)
    for variant in VARIANTS:
        ratios = [one.accuracy / other.accuracy for one, other in zip(all_of[variant.told], plain, strict=True)]
        yield compared(
            f"accuracy, {variant.told}",
            statistics.mean(one.accuracy for one in all_of[variant.told]),
            "of 1",
            baseline="float32",
            baseline_value=statistics.mean(one.accuracy for one in plain),
            ratio=statistics.median(ratios),
        )


class Bench:
    """The updates of one codec, and a buffer for what they come to."""

    def __init__(self, variant: Variant, updates: list[Buffer]) -> None:
        size = updates[0].size
        self.told = variant.told
        self.codec = variant.codec()
        self.coding = CodedUpdates(self.codec, variant.name, Layout.of({"w": (size,)}))
        self.update, self.out = updates[0], np.empty(size, np.float32)
        self.frames = [self.coding.frame(self.codec.encode(one, seed)) for seed, one in enumerate(updates)]
        self.arrays: list[Arrays] = [self.coding.read(frame, "an update") for frame in self.frames]
        self.weights = np.arange(1, len(updates) + 1)

    def encode(self) -> None:
        """Code one update."""
        self.codec.encode(self.update, 1)

    def decode(self) -> None:
        """Decode one update."""
        self.codec.decode(self.arrays[0], slice(0, self.out.size), self.out)

    def sum(self) -> None:
        """Sum all updates as they were sent, block by block as a coordinator does."""
        assert isinstance(self.codec, SumsCoded)
        for start in range(0, self.out.size, 1 << 19):
            block = slice(start, min(start + (1 << 19), self.out.size))
            self.codec.weighted_sum(self.arrays, self.weights, block, self.out[block], divisor=136)


def timed(actions: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Return how long each took, in seconds: all of them in each repetition, so that what disturbs one disturbs all."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repetitions + 1):
        for name, action in actions.items():
            began = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - began)
    return {name: taken[1:] for name, taken in times.items()}  # the first one warms up


def timed_rows(*, quick: bool) -> Iterator[Row]:
    """Yield the rate of coding and decoding beside a copy, and of summing beside the sum of float32."""
    from tierwise.ext import weighted_sum

    size = SIZE // 10 if quick else SIZE
    random = np.random.default_rng(0)
    updates = [random.normal(scale=0.01, size=size).astype(np.float32) for _ in range(UPDATES)]
    benches = [Bench(one, updates) for one in VARIANTS if one.told in ("float16", "bfloat16", "int8", "top-k 1%")]
    copy, total = np.empty(size, np.float32), np.empty(size, np.float32)
    weights = np.arange(1, UPDATES + 1)
    actions: dict[str, Callable[[], object]] = {
        "copy": lambda: np.copyto(copy, updates[0]),
        "float32 sum": lambda: weighted_sum(updates, weights, total, divisor=136),
    }
    for bench in benches:
        actions |= {f"{bench.told} {what}": getattr(bench, what) for what in ("encode", "decode", "sum")}
    times = timed(actions, 2 if quick else REPETITIONS)
    for what, baseline, values in (
        ("encode", "copy", size),
        ("decode", "copy", size),
        ("sum", "float32 sum", size * UPDATES),
    ):
        for bench in benches:
            ratios = [one / other for one, other in zip(times[baseline], times[f"{bench.told} {what}"], strict=True)]
            yield compared(
                f"{what}, {bench.told}",
                4 * values / statistics.median(times[f"{bench.told} {what}"]) / 1e9,
                "GB of float32/s",
                baseline=baseline,
                baseline_value=4 * values / statistics.median(times[baseline]) / 1e9,
                ratio=statistics.median(ratios),
            )


def main() -> None:
    """Learn, then take the time."""
    options = arguments("Measure what codecs save, and what they cost.").parse_args()
    rows = [*learned_rows(quick=options.quick), *timed_rows(quick=options.quick)]
    report("Codecs", rows, options.json)


if __name__ == "__main__":
    main()

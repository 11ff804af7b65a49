"""Data sources, right and broken."""

import numpy as np

from tierwise.core.describing import Column
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Loss, Task


class Right:
    """Deals out 200 random samples; every fifth of a part is held out."""

    task = Task(name="noise", features=4, classes=("a", "b"))

    def samples(self):
        random = np.random.default_rng(0)
        return random.normal(size=(200, 4)).astype(np.float32), random.integers(0, 2, 200)

    def rows(self, part, parts, seed):
        return np.random.default_rng(seed).permutation(200)[part::parts]

    def load(self, part, parts, seed):
        features, labels = self.samples()
        rows = self.rows(part, parts, seed)
        data = Dataset(features[rows], labels[rows])
        held_out = np.arange(len(rows)) % 5 == 0
        return LocalData(data.take(np.flatnonzero(~held_out)), data.take(np.flatnonzero(held_out)))


class Soft(Right):
    def samples(self):
        features, labels = super().samples()
        return features, np.eye(2, dtype=np.float32)[labels]


class OneDevice(Right):
    def load(self, part, parts, seed):
        assert (part, parts) == (0, 1)
        return super().load(part, parts, seed)


class GrowingTask(Right):
    def __init__(self):
        self.loaded = 0

    @property
    def task(self):
        return Task(name=f"noise {self.loaded}", features=4, classes=("a", "b"))

    def load(self, part, parts, seed):
        self.loaded += 1
        return super().load(part, parts, seed)


class Doubles(Right):
    def samples(self):
        features, labels = super().samples()
        return features.astype(np.float64), labels


class FromOne(Right):
    def samples(self):
        features, labels = super().samples()
        return features, labels + 1


class LeavesAPartEmpty(Right):
    def rows(self, part, parts, seed):
        rows = super().rows(part, parts, seed)
        return rows[:1] if part == parts - 1 and parts > 1 else rows


class OwnGenerator(Right):
    def __init__(self):
        self.random = np.random.default_rng(0)

    def rows(self, part, parts, seed):
        return self.random.permutation(super().rows(part, parts, seed))


class Overlapping(Right):
    def rows(self, part, parts, seed):
        return np.random.default_rng([seed, part]).permutation(200)[: 200 // parts]


class TrainsOnTheHoldOut(Right):
    def load(self, part, parts, seed):
        local = super().load(part, parts, seed)
        rows = np.arange(len(local.train))
        return LocalData(local.train, local.train.take(rows[:: parts + 1]))


class OfTwoDevices(Right):
    """Knows whose a sample is: the second device has more of them."""

    def devices(self):
        return ("kitchen", "cellar")

    def rows(self, part, parts, seed):
        return np.arange(200) if parts == 1 else np.split(np.arange(200), [80])[part]


class Numbers(Right):
    task = Task(name="noise", features=4, loss=Loss.SQUARED_ERROR)

    def samples(self):
        features, _ = super().samples()
        return features, features.sum(axis=1)


class Reserves(Right):
    """Sets every tenth sample apart."""

    def rows(self, part, parts, seed):
        there = np.flatnonzero(np.arange(200) % 10)
        return np.random.default_rng(seed).permutation(there)[part::parts]

    def reserved(self, seed):
        features, labels = self.samples()
        return Dataset(features[::10], labels[::10])


class SpacesInNames(OfTwoDevices):
    def devices(self):
        return ("the kitchen", "the cellar")


class DealsOutWhatIsReserved(Reserves):
    def rows(self, part, parts, seed):
        return np.random.default_rng(seed).permutation(200)[part::parts]


class Collects(Right):
    """Gives all samples, undivided."""

    def schema_options(self):
        return {}

    def all_samples(self, seed):
        return Dataset(*self.samples())

    def features_only(self, seed):
        return self.samples()[0]


class KeepsAHoldOutOfAllSamples(Collects):
    def all_samples(self, seed):
        return Dataset(*(part[:160] for part in self.samples()))

    def features_only(self, seed):
        return self.all_samples(seed).features


class Described(Right):
    def pins(self):
        return {"size": 4, "classes": ["a", "b"]}

    def columns(self):
        return (Column(name="4 features", dtype="float32"),)


class PinsAnArray(Described):
    def pins(self):
        return {"size": np.int64(4)}


RIGHT = {
    "hard labels": Right(),
    "soft labels": Soft(),
    "numbers": Numbers(),
    "own devices": OfTwoDevices(),
    "reserved": Reserves(),
    "collects": Collects(),
    "described": Described(),
}
BROKEN = {
    "the task stays the same": GrowingTask(),
    "features match the task": Doubles(),
    "labels match the task": FromOne(),
    "every part can train": LeavesAPartEmpty(),
    "the same seed gives the same data": OwnGenerator(),
    "the hold out is held out": TrainsOnTheHoldOut(),
    "parts are disjoint": Overlapping(),
    "devices have names of their own": SpacesInNames(),
    "reserved samples go to no device": DealsOutWhatIsReserved(),
    "all samples are those of the parts": KeepsAHoldOutOfAllSamples(),
    "what it pins can be written down": PinsAnArray(),
}

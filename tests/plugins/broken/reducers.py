"""Reducers, right and broken."""

import numpy as np

from tierwise.core.aggregation import Need


class Mean:
    need = Need.SUM

    def reduce(self, updates, samples, out):
        out[...] = np.average(np.stack(updates).astype(np.float64), axis=0, weights=samples)


class Median:
    need = Need.INDIVIDUAL

    def reduce(self, updates, samples, out):
        out[...] = np.median(np.stack(updates), axis=0)


class NeedsSomething(Mean):
    need = "the sum"


class InPlace(Mean):
    def reduce(self, updates, samples, out):
        super().reduce(updates, samples, out)
        if updates[0].flags.writeable:
            updates[0][...] = out


class LeavesGaps(Mean):
    """Does not write where the result is small."""

    def reduce(self, updates, samples, out):
        result = np.empty_like(out)
        super().reduce(updates, samples, result)
        out[np.abs(result) > 0.01] = result[np.abs(result) > 0.01]


class Averages(Mean):
    """Keeps a running average from round to round."""

    def __init__(self):
        self.last = {}

    def reduce(self, updates, samples, out):
        super().reduce(updates, samples, out)
        if len(updates) == 5:
            out += 0.01 * self.last.setdefault("mean", 0)
        else:
            self.last["mean"] = out.mean()


class Sum(Mean):
    def reduce(self, updates, samples, out):
        out[...] = np.sum(updates, axis=0)


class Clips(Mean):
    """Clips to the norm of the block: a whole model's norm is another one."""

    need = Need.INDIVIDUAL

    def reduce(self, updates, samples, out):
        norms = [np.linalg.norm(update) for update in updates]
        least = min(norms)
        scaled = [update * np.float32(least / norm) for update, norm in zip(updates, norms, strict=True)]
        super().reduce(scaled, samples, out)


class PrefersTheFirst(Mean):
    need = Need.INDIVIDUAL

    def reduce(self, updates, samples, out):
        super().reduce(updates, samples * np.arange(len(samples), 0, -1), out)


class NeedsFive(Median):
    def reduce(self, updates, samples, out):
        same = all(np.array_equal(update, updates[0]) for update in updates)
        kept = updates if same else np.sort(np.stack(updates), axis=0)[2:-2]
        out[...] = np.median(kept, axis=0) if len(kept) else np.inf


class Overflows(Mean):
    """Counts the updates in a byte."""

    need = Need.INDIVIDUAL

    def reduce(self, updates, samples, out):
        out[...] = np.sum(updates, axis=0) / np.float32(len(updates) % 256)
        out *= len(updates) % 256 / len(updates) if len(updates) < 256 else 100


class Shrinks(Mean):
    """Pulls devices with many samples down to a fixed number."""

    def reduce(self, updates, samples, out):
        super().reduce(updates, np.minimum(samples, 900), out)


class CallsAMedianASum(Median):
    need = Need.SUM


class Weighted(Mean):
    """Reduces with weights that a survey has found."""

    need = Need.INDIVIDUAL

    def __init__(self, weights):
        self.weights = weights

    def reduce(self, updates, samples, out):
        super().reduce(updates, self.weights, out)


class ByNorm:
    """Weighs updates by the inverse of their norms."""

    need = Need.INDIVIDUAL

    def survey(self, blocks, samples):
        return Weighted(self.weights(sum(np.square(np.stack(block), dtype=float).sum(axis=1) for block in blocks)))

    def weights(self, squares):
        return 1 / np.sqrt(squares)


class ReturnsWeights(ByNorm):
    def survey(self, blocks, samples):
        found = super().survey(blocks, samples)
        found.need = Need.SUM
        return found


class Remembers(ByNorm):
    """Has one reducer for all cohorts."""

    def __init__(self):
        self.made = Weighted(None)

    def survey(self, blocks, samples):
        self.made.weights = super().survey(blocks, samples).weights
        return self.made


class LooksAtTheFirstBlock(ByNorm):
    def survey(self, blocks, samples):
        return super().survey([next(iter(blocks))], samples)


class Collects(ByNorm):
    """Keeps all blocks, and looks at them in the end."""

    def survey(self, blocks, samples):
        return super().survey(list(blocks), samples)


RIGHT = {"mean": Mean(), "median": Median(), "by norm": ByNorm()}
BROKEN = {
    "the need is declared": NeedsSomething(),
    "the inputs stay as they are": InPlace(),
    "every element is written": LeavesGaps(),
    "the same updates give the same result": Averages(),
    "equal updates reduce to themselves": Sum(),
    "the cut into blocks does not matter": Clips(),
    "the order of the updates does not matter": PrefersTheFirst(),
    "three updates are enough": NeedsFive(),
    "a thousand updates are not too many": Overflows(),
    "a common factor of the samples does not matter": Shrinks(),
    "only the weighted sum counts": CallsAMedianASum(),
    "a survey returns what reduces": ReturnsWeights(),
    "one survey does not disturb another": Remembers(),
    "the cut of a survey does not matter": LooksAtTheFirstBlock(),
    "a block is read before the next": Collects(),
}

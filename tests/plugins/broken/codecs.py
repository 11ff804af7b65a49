"""Codecs, right and broken."""

import itertools

import numpy as np

from tierwise.core.coding import ArrayForm, Dtype


class Right:
    """Sends halves of whole values."""

    feedback = True

    def form(self, size):
        return {"halves": ArrayForm(dtype=Dtype.F16, length=size)}

    def encode(self, update, seed):
        return {"halves": np.clip(update, -65504, 65504).astype(np.float16)}

    def fault(self, arrays, size):
        return None

    def decode(self, arrays, block, out):
        out[:] = arrays["halves"][block]

    def weighted_sum(self, updates, weights, block, out, *, divisor):
        out[:] = 0
        for arrays, weight in zip(updates, weights, strict=True):
            out += np.float32(weight / divisor) * arrays["halves"][block].astype(np.float32)


class Plain:
    """Sends values as they are, and can sum nothing."""

    feedback = False

    def form(self, size):
        return {"v": ArrayForm(dtype=Dtype.F32, length=size)}

    def encode(self, update, seed):
        return {"v": update}

    def fault(self, arrays, size):
        return None

    def decode(self, arrays, block, out):
        out[:] = arrays["v"][block]


class Perhaps(Right):
    feedback = "perhaps"


class Counting(Right):
    def __init__(self):
        self.count = itertools.count()

    def form(self, size):
        return {"halves": ArrayForm(dtype=Dtype.F16, length=size + next(self.count))}


class Shorter(Right):
    """Leaves zeros out."""

    def encode(self, update, seed):
        return {"halves": update[update != 0].astype(np.float16)}


class InPlace(Right):
    def encode(self, update, seed):
        if update.flags.writeable:
            update *= 2
            update /= 3
        return super().encode(update, seed)


class GeneratorOfItsOwn(Right):
    def __init__(self):
        self.random = np.random.default_rng(0)

    def encode(self, update, seed):
        noise = self.random.normal(size=update.size).astype(np.float32)
        return super().encode(update + 1e-3 * update * noise, seed)


class Suspicious(Right):
    def fault(self, arrays, size):
        return "its values are large" if np.abs(arrays["halves"]).max(initial=0) > 1000 else None


class Overflowing(Right):
    def encode(self, update, seed):
        with np.errstate(over="ignore"):
            return {"halves": update.astype(np.float16)}


class Adding(Right):
    def decode(self, arrays, block, out):
        out += arrays["halves"][block]


class Centred(Right):
    """Takes each block's own mean away."""

    def decode(self, arrays, block, out):
        super().decode(arrays, block, out)
        out -= out.mean()


class Shifted(Plain):
    """Its form is a float32 array, of other values than the update's."""

    def encode(self, update, seed):
        return {"v": update * np.float32(0.5)}

    def decode(self, arrays, block, out):
        out[:] = 2 * arrays["v"][block]


class Doubled(Right):
    def decode(self, arrays, block, out):
        super().decode(arrays, block, out)
        out *= np.where(np.abs(out) < 1, 3, 1)


class Trusting(Right):
    """Believes what a device sends for an index."""

    SCALES = (1.0, 2.0)

    def form(self, size):
        return {**super().form(size), "scale": ArrayForm(dtype=Dtype.U8, length=1)}

    def encode(self, update, seed):
        return {**super().encode(update, seed), "scale": np.zeros(1, np.uint8)}

    def decode(self, arrays, block, out):
        super().decode(arrays, block, out)
        out *= self.SCALES[arrays["scale"][0]]


class AnotherSum(Right):
    def weighted_sum(self, updates, weights, block, out, *, divisor):
        super().weighted_sum(updates, weights, slice(0, block.stop - block.start), out, divisor=divisor)


RIGHT = {"halves": Right(), "plain": Plain()}
BROKEN = {
    "whether there is feedback is declared": Perhaps(),
    "the form follows from the size": Counting(),
    "the arrays have that form": Shorter(),
    "the update stays as it is": InPlace(),
    "the same seed gives the same arrays": GeneratorOfItsOwn(),
    "what it makes has no fault": Suspicious(),
    "every element is written": Adding(),
    "what is decoded is finite": Overflowing(),
    "the cut into blocks does not matter": Centred(),
    "a plain form has the values themselves": Shifted(),
    "less is lost than is sent": Doubled(),
    "garbage is told or can be decoded": Trusting(),
    "a sum is the sum of what is decoded": AnotherSum(),
}

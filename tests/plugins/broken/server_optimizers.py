"""Server optimizers, right and broken."""

import numpy as np


class Plain:
    def step(self, state, model, reduced):
        return model + reduced, {}


class Momentum:
    def step(self, state, model, reduced):
        velocity = reduced if not state else np.float32(0.9) * state["velocity"] + reduced
        return model + velocity, {"velocity": velocity.copy()}


class Adam:
    """With weight decay."""

    def step(self, state, model, reduced):
        zero = np.zeros_like(model)
        first = np.float32(0.9) * state.get("first", zero) + np.float32(0.1) * reduced
        second = np.float32(0.99) * state.get("second", zero) + np.float32(0.01) * reduced**2
        moved = np.float32(0.1) * first / (np.sqrt(second) + np.float32(1e-3))
        return model * np.float32(0.9999) + moved, {"first": first, "second": second}


class InPlace(Plain):
    def step(self, state, model, reduced):
        if not model.flags.writeable:
            model = model.copy()
        model += reduced
        return model, {}


class Doubles(Plain):
    def step(self, state, model, reduced):
        return model.astype(np.float64) + reduced, {}


class Scalars(Plain):
    def step(self, state, model, reduced):
        return model + reduced, {"steps": np.array([1.0])}


class OwnVelocity(Plain):
    def __init__(self):
        self.velocity = np.zeros(0)

    def step(self, state, model, reduced):
        if len(self.velocity) != len(model):
            self.velocity = np.zeros_like(model)
        self.velocity = np.float32(0.9) * self.velocity + reduced
        return model + self.velocity, {}


class Scratch(Plain):
    """Returns the same array every time."""

    def __init__(self):
        self.scratch = {}

    def step(self, state, model, reduced):
        scratch = self.scratch.setdefault(len(model), np.empty_like(model))
        np.add(model, reduced, out=scratch)
        return scratch, {}


class Uphill(Plain):
    def step(self, state, model, reduced):
        return model - reduced, {}


class NoEpsilon(Adam):
    def step(self, state, model, reduced):
        zero = np.zeros_like(model)
        second = np.float32(0.99) * state.get("second", zero) + np.float32(0.01) * reduced**2
        return model + np.float32(0.1) * reduced / np.sqrt(second), {"second": second}


RIGHT = {"plain": Plain(), "momentum": Momentum(), "adam": Adam()}
BROKEN = {
    "the arguments stay as they are": InPlace(),
    "the next model has the form of the model": Doubles(),
    "the state is named arrays": Scalars(),
    "the same arguments give the same step": OwnVelocity(),
    "an answer stays as it was": Scratch(),
    "the first step goes along the update": Uphill(),
    "a zero update gives finite values": NoEpsilon(),
}

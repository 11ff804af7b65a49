"""The laws of server optimizers."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import numpy as np

from tierwise.core.aggregation import OptimizerState, ServerOptimizer
from tierwise.core.weights import Buffer
from tierwise.plugins.testing._laws import frozen, hold, same

_SIZE: Final = 17


def check_server_optimizer(optimizer: ServerOptimizer) -> None:
    """Check that a server optimizer keeps its contract.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(optimizer, LAWS)


def _buffer(seed: int, scale: float = 0.1, size: int = _SIZE) -> Buffer:
    made: Buffer = frozen(np.random.default_rng(seed).normal(scale=scale, size=size).astype(np.float32))
    return made


def _frozen_state(state: OptimizerState) -> OptimizerState:
    return {name: frozen(array) for name, array in state.items()}


def _walk(optimizer: ServerOptimizer, steps: int, seed: int = 0) -> list[tuple[OptimizerState, Buffer, Buffer]]:
    """Take some steps; return the arguments of each, and of one more."""
    state: OptimizerState = {}
    model = _buffer(seed, scale=1.0)
    taken = []
    for number in range(steps + 1):
        taken.append((_frozen_state(state), frozen(model), _buffer(seed + number + 1)))
        model, state = optimizer.step(*taken[-1])
    return taken


def the_arguments_stay_as_they_are(optimizer: ServerOptimizer) -> str | None:
    """The coordinator keeps them until the round is committed."""
    for state, model, reduced in _walk(optimizer, 2):
        given = {name: array.copy() for name, array in state.items()}, model.copy(), reduced.copy()
        optimizer.step(*given)
        if given[0].keys() != state.keys() or not all(same(given[0][name], state[name]) for name in state):
            return "the state was changed"
        if not same(given[1], model):
            return "the model was changed"
        if not same(given[2], reduced):
            return "the reduced update was changed"
    return None


def the_next_model_has_the_form_of_the_model(optimizer: ServerOptimizer) -> str | None:
    """Shape ``(n,)``, float32, even for a model of one value."""
    for size in (1, _SIZE):
        model, _ = optimizer.step({}, _buffer(0, size=size), _buffer(1, size=size))
        fault = _form("the next model", model, size)
        if fault:
            return fault
    return None


def the_state_is_named_arrays(optimizer: ServerOptimizer) -> str | None:
    """Each of shape ``(n,)`` and float32, so that it is stored as weights are."""
    _, state = optimizer.step({}, _buffer(0), _buffer(1))
    found: object = state
    if not isinstance(found, Mapping):
        return f"the state is {found!r}"
    for name, array in found.items():
        fault = _form(f"state {name!r}", array, _SIZE)
        if fault or not isinstance(name, str):
            return fault or f"the state has the name {name!r}"
    return None


def _form(what: str, array: object, size: int) -> str | None:
    if not isinstance(array, np.ndarray):
        return f"{what} is {array!r}, not an array"
    if array.shape != (size,) or array.dtype != np.float32:
        return f"{what} has shape {array.shape} and dtype {array.dtype}, expected shape ({size},) and float32"
    return None


def the_same_arguments_give_the_same_step(optimizer: ServerOptimizer) -> str | None:
    """``step`` is pure: all that lives from round to round is in the state, so a restart goes on from it."""
    first = _walk(optimizer, 4)
    _walk(optimizer, 3, seed=50)
    for number, (taken, then) in enumerate(pairwise(first)):
        model, state = optimizer.step(*taken)
        if not same(model, then[1]):
            return f"step {number} taken again from the same state gives another model"
        if state.keys() != then[0].keys() or not all(same(state[name], then[0][name]) for name in state):
            return f"step {number} taken again from the same state gives another state"
    return None


def an_answer_stays_as_it_was(optimizer: ServerOptimizer) -> str | None:
    """The next step does not write into what the last one returned."""
    model, state = optimizer.step({}, _buffer(0), _buffer(1))
    kept = frozen(model), _frozen_state(state)
    optimizer.step({}, _buffer(2), _buffer(3))
    optimizer.step(kept[1], kept[0], _buffer(4))
    if not same(model, kept[0]):
        return "a later step changed a model that was returned before"
    if not all(same(state[name], array) for name, array in kept[1].items()):
        return "a later step changed a state that was returned before"
    return None


def the_first_step_goes_along_the_update(optimizer: ServerOptimizer) -> str | None:
    """An update says where the devices went, so it is the gradient's negative."""
    model, reduced = _buffer(0), _buffer(1)
    after, _ = optimizer.step({}, model, reduced)
    along = float(np.dot(after.astype(np.float64) - model, reduced))
    return None if along > 0 else f"the product of the step and the update is {along:.3g}, expected more than 0"


def a_zero_update_gives_finite_values(optimizer: ServerOptimizer) -> str | None:
    """Devices that learned nothing give zeros; a quotient of moments must survive that."""
    zero = frozen(np.zeros(_SIZE, np.float32))
    with np.errstate(all="ignore"):
        model, state = optimizer.step({}, _buffer(0), zero)
        model, state = optimizer.step(_frozen_state(state), frozen(model), zero)
    values = [model, *state.values()]
    return None if all(np.isfinite(array).all() for array in values) else f"the next model is {model}"


LAWS: Final = (
    the_arguments_stay_as_they_are,
    the_next_model_has_the_form_of_the_model,
    the_state_is_named_arrays,
    the_same_arguments_give_the_same_step,
    an_answer_stays_as_it_was,
    the_first_step_goes_along_the_update,
    a_zero_update_gives_finite_values,
)

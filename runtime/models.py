"""Target models on disk, to be computed with: those of a result and those of a device."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from tierwise.core.errors import ConfigurationError, ProtocolError, StoreError
from tierwise.core.framing import unframe
from tierwise.core.ids import BlobHash, GroupId, TierName
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, OptionValues, Tier
from tierwise.core.weights import Layout, Weights
from tierwise.runtime.output import CARD_FORMAT, RESULT
from tierwise.runtime.targets import CURRENT, TargetDirectory

T = TypeVar("T")
_FORMATS: Final = (CARD_FORMAT, "tierwise.target.1")


class _AnyCard(msgspec.Struct, frozen=True, kw_only=True):
    """What the cards of a result and of a device have in common."""

    format: str
    file: str
    sha256: BlobHash
    group: GroupId
    tier: TierName
    task: Task
    learner: str
    options: OptionValues
    layout: Layout
    cost: Cost
    seed: int | None = None


class _Files(msgspec.Struct, frozen=True):
    """What is read of a ``result.json``."""

    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A target model that was read.

    Attributes
    ----------
    file
        Where it is.
    group
        Whose model it is.
    tier
        Which learner computes with it, and how that is set.
    task
        What it is for.
    weights
        The model.
    seed
        The federation's; None where the card does not tell it, as a device's.
    """

    file: Path
    group: GroupId
    tier: Tier
    task: Task
    weights: Weights
    seed: int | None = None


def read_models(path: Path) -> list[SavedModel]:
    """Read target models.

    Parameters
    ----------
    path
        A result's directory, for all of its models; a device's, for the one in use; or one model's file or card.

    Raises
    ------
    ConfigurationError
        If there is none, or its card cannot be read.
    StoreError
        If a model is damaged.
    """
    return [_read(card) for card in _cards(path)]


def _cards(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise ConfigurationError("there is no such file or directory", source=str(path))
    if path.is_file():
        yield path.with_suffix(".json")
    elif (current := TargetDirectory(path).current()) is not None:
        yield path / current.current.card
    elif (path / RESULT).is_file():
        listed = [name for name in _decoded(path / RESULT, _Files).files if name.endswith(".safetensors")]
        if not listed:
            raise ConfigurationError("has no target model: no group of that run had finished", source=str(path))
        yield from ((path / name).with_suffix(".json") for name in listed)
    else:
        raise ConfigurationError(
            f"has no target models: neither {RESULT}, which `simulate` and `coordinator` write with --out, nor "
            f"{CURRENT}, which `agent` writes",
            source=str(path),
        )


def _read(path: Path) -> SavedModel:
    card = _decoded(path, _AnyCard)
    if card.format not in _FORMATS:
        raise ConfigurationError(f"is {card.format!r}, and no card of a target model", source=str(path))
    if card.file != Path(card.file).name:
        raise ConfigurationError(f"names the file {card.file!r}, which is not beside it", source=str(path))
    file = path.with_name(card.file)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise StoreError(f"{file} is damaged, or another card's: its sha256 is not the one in {path.name}")
    try:
        weights = unframe(data)
    except ProtocolError as error:
        raise StoreError(f"{file} is no model: {error}") from error
    tier = Tier(name=card.tier, learner=card.learner, options=card.options, layout=card.layout, cost=card.cost)
    return SavedModel(file, card.group, tier, card.task, weights, card.seed)


def _decoded(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigurationError(f"is not what tierwise writes ({error})", source=str(path)) from error

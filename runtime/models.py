"""Target models on disk, to be computed with: those of a result and those of a device."""

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, ProtocolError, StoreError
from tierwise.core.framing import unframe
from tierwise.core.ids import BlobHash, GroupId, TierName
from tierwise.core.learning import Learner, Predictor
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, OptionValues, Tier
from tierwise.core.weights import Layout, Weights
from tierwise.plugins.manager import Plugins
from tierwise.runtime.learners import Learners
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
    rounds: int | None = None
    version: int | None = None
    failed: bool = False
    reason: str = ""
    seed: int | None = None

    @property
    def remark(self) -> str:
        made_by = self.rounds if self.rounds is not None else self.version
        because = f": {self.reason}" if self.reason else ""
        if made_by == 0:
            return f"is untrained: no round of group {self.group} closed{because}"
        return f"is the latest model of group {self.group}, which failed{because}" if self.failed else ""


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
    remark
        Why it should not be relied on; empty if nothing is known against it.
    seed
        The federation's; None where the card does not tell it, as a device's.
    """

    file: Path
    group: GroupId
    tier: Tier
    task: Task
    weights: Weights
    remark: str = ""
    seed: int | None = None


class TargetModel:
    """A target model that answers: what `load_model` returns.

    Attributes
    ----------
    saved
        What was read: whose model it is, its tier, its task, its weights.
    """

    def __init__(self, saved: SavedModel, predictor: Predictor) -> None:
        self.saved = saved
        self._predictor = predictor

    @property
    def task(self) -> Task:
        """What it is for: ``feature_names`` are the columns of `predict`, ``classes`` those of its answer."""
        return self.saved.task

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answer for samples.

        Parameters
        ----------
        features
            Shape ``(n_samples, n_features)``, as a data source gives them: dividing by the task's scale, and
            standardisation where the task has it, are done here.

        Returns
        -------
        numpy.ndarray
            Of a classification: shape ``(n_samples, n_classes)``, in each row the probabilities of the task's classes.
            Of a regression: shape ``(n_samples,)``, in the target's own unit.

        Raises
        ------
        ValueError
            If the features have another shape.
        """
        values = np.asarray(features, np.float32)
        if values.ndim != 2 or values.shape[1] != self.task.features:
            raise ValueError(
                f"features have shape {values.shape}, task {self.task.name!r} expects (n_samples, {self.task.features})"
            )
        return self._predictor.predict(self.saved.weights, values / np.float32(self.task.scale))


def load_model(path: Path | str, plugins: Plugins | None = None) -> TargetModel:
    """Load a target model to be used.

    Parameters
    ----------
    path
        A model's file or card; a device's directory, for the model in use; or a result's directory of one model.
    plugins
        Where the model's learner is looked up; all that are installed by default.

    Raises
    ------
    ConfigurationError
        If there is none, or there are several; its card cannot be read; or its learner is not the one that made it, or
        does not predict.
    PluginError
        If its learner is not known.
    StoreError
        If the model is damaged.

    Warns
    -----
    UserWarning
        If it is untrained, or of a group that failed.
    """
    models = read_models(Path(path))
    if len(models) > 1:
        names = ", ".join(model.file.name for model in models)
        raise ConfigurationError(f"has a model for each group; name one of them: {names}", source=str(path))
    saved = models[0]
    if saved.remark:
        warnings.warn(f"{saved.file.name} {saved.remark}", stacklevel=2)
    learner = learner_of(saved, plugins or Plugins.discover())
    if not isinstance(learner, Predictor):
        raise ConfigurationError(
            f"learner {saved.tier.learner!r} of this model has no method predict; it can only be evaluated",
            source=str(saved.file),
        )
    return TargetModel(saved, learner)


def learner_of(model: SavedModel, plugins: Plugins) -> Learner:
    """Make the learner that computes with a model, with standardisation before it if the task has it.

    Raises
    ------
    ConfigurationError
        If it is not the one that made the model.
    PluginError
        If it is not known.
    """
    learner = Learners(plugins, model.task)(model.tier)
    if learner.layout != model.weights.layout:
        raise ConfigurationError(
            f"does not fit its learner {model.tier.learner!r}: is it another version than the one that made it?",
            source=str(model.file),
        )
    return learner


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
    return SavedModel(file, card.group, tier, card.task, weights, card.remark, card.seed)


def _decoded(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigurationError(f"is not what tierwise writes ({error})", source=str(path)) from error

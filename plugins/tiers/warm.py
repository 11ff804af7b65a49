"""Tiers that start from what an earlier federation has learned."""

import hashlib
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final

import msgspec

from tierwise.core.errors import ConfigurationError, LayoutError, ProtocolError
from tierwise.core.framing import unframe
from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.ids import BlobHash, GroupId, TierName
from tierwise.core.standardising import DEVIATION, MEAN
from tierwise.core.task import Task
from tierwise.core.tiers import OptionValues, RoundLimits, Tier
from tierwise.core.weights import Layout, Weights
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.parts import KEYS, Parts
from tierwise.plugins.paths import FROM_THE_FOLDER

_LOG: Final = logging.getLogger(__name__)
_FORMAT: Final = "tierwise.card.1"
_NAME: Final = KEYS[Kind.TIER_PROVIDER]


class WarmOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `WarmTierProvider`.

    Attributes
    ----------
    directory
        What ``--out`` of the earlier federation wrote: target models, each with its card. A relative path starts at the
        folder of the configuration.
    inner
        The tier provider whose tiers are on offer, and beside its name its options, as in the table ``[tiers]``.
    """

    directory: Annotated[str, msgspec.Meta(extra=FROM_THE_FOLDER)]
    inner: OptionValues

    def __post_init__(self) -> None:
        if not isinstance(self.inner.get(_NAME), str):
            raise TypeError(f'inner names no tier provider: write {_NAME} = "mlp", for example, beside its options')


class _Card(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a target model's card."""

    format: str
    file: str
    sha256: BlobHash
    group: GroupId
    tier: TierName
    task: Task
    layout: Layout
    devices: int


class WarmTierProvider:
    """Another provider's tiers; one that has a target model of its name in a directory starts from that.

    A tier without one starts untrained, and the log says so. Where several groups had a tier, it starts from the model
    of the group with the most devices; of equal ones, of the first by name.

    Raises
    ------
    ConfigurationError
        If the inner provider cannot be made; from `offers`, if the directory has no target models, or one has another
        layout than its tier, or is for another task; from `initial`, if its file is damaged.
    """

    def __init__(self, options: WarmOptions, parts: Parts) -> None:
        self._directory = Path(options.directory).expanduser()
        self._key = parts.key("directory")
        inner = dict(options.inner)
        self._inner = parts.tier_provider(inner.pop(_NAME), inner, at="inner")

    @cached_property
    def _cards(self) -> dict[TierName, _Card]:
        """By tier, the card of the model that it starts from; read once, so that all groups start from the same."""
        if not self._directory.is_dir():
            raise self._fault("there is no such directory: name what `--out` of an earlier federation wrote")
        cards = [card for path in sorted(self._directory.glob("*.json")) if (card := self._card(path)) is not None]
        if not cards:
            raise self._fault(
                "it holds no target model of tierwise (a card is a .json file beside a .safetensors file)"
            )
        found: dict[TierName, _Card] = {}
        for card in sorted(cards, key=lambda card: (-card.devices, card.group)):
            found.setdefault(card.tier, card)
        return found

    def _card(self, path: Path) -> _Card | None:
        """Read a file, if it is a card."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise self._fault(f"{path.name} cannot be read: {error.strerror}") from error
        try:
            if not _is_card(data):
                return None
            return msgspec.json.decode(data, type=_Card)
        except msgspec.MsgspecError as error:
            raise self._fault(f"{path.name} is damaged: {error}") from error

    def _fault(self, text: str) -> ConfigurationError:
        return ConfigurationError(f"directory is {str(self._directory)!r}, and {text}", key=self._key)

    def offers(self, task: Task) -> Sequence[Tier]:
        """Return the inner provider's tiers."""
        offers = self._inner.offers(task)
        for tier in offers:
            if tier.name in self._cards:
                self._require(self._cards[tier.name], task, tier)
        return offers

    def choose(self, task: Task, envelope: HardwareEnvelope, limits: RoundLimits) -> Tier:
        """Return the inner provider's choice."""
        return self._inner.choose(task, envelope, limits)

    def initial(self, task: Task, tier: Tier, seed: int) -> Weights:
        """Return the earlier target model's weights; without one, those of the inner provider."""
        card = self._cards.get(tier.name)
        if card is None:
            there = ", ".join(sorted(self._cards))
            _LOG.warning("tier %r starts untrained: %s has models of %s", tier.name, self._directory, there)
            return self._inner.initial(task, tier, seed)
        self._require(card, task, tier)
        weights = self._weights(card)
        _LOG.info("tier %r starts from %s, the model of group %r", tier.name, card.file, card.group)
        return weights

    def _require(self, card: _Card, task: Task, tier: Tier) -> None:
        """Raise an error that names the difference if a model is not for the task and the tier."""
        unlike = [name for name in _SAME if getattr(card.task, name) != getattr(task, name)]
        if unlike:
            before, now = getattr(card.task, unlike[0]), getattr(task, unlike[0])
            raise self._fault(f"{card.file} is for another task: its {unlike[0]} is {before!r}, here it is {now!r}")
        try:
            tier.layout.require(_learned(card), card.file)
        except LayoutError as error:
            raise self._fault(
                f"{error}: tier {tier.name!r} was another model then; set it as the card says, or call it otherwise"
            ) from error

    def _weights(self, card: _Card) -> Weights:
        try:
            data = (self._directory / Path(card.file).name).read_bytes()
        except OSError as error:
            raise self._fault(f"{card.file} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != card.sha256:
            raise self._fault(f"{card.file} is damaged or was exchanged: its hash is not the one that its card says")
        try:
            weights = unframe(data)
        except ProtocolError as error:
            raise self._fault(f"{card.file} is damaged: {error}") from error
        card.layout.require(weights.layout, card.file)
        learned = Weights.zeros(_learned(card))
        for name, view in learned.items():
            view[...] = weights[name]
        return learned


def _is_card(data: bytes) -> bool:
    content = msgspec.json.decode(data)
    return isinstance(content, dict) and content.get("format") == _FORMAT


def _learned(card: _Card) -> Layout:
    """Return the learner's own tensors: features are standardised anew, by what this federation's devices have."""
    statics = (MEAN, DEVIATION) if card.task.standardise else ()
    return Layout(tuple(tensor for tensor in card.layout.tensors if tensor.name not in statics))


_SAME: Final = ("features", "feature_names", "classes", "target", "scale", "loss", "name", "standardise")
"""What the tasks of both federations have in common: the data's schema, and whether a model sees standardised data."""

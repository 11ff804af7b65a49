"""Target models on a device's disk.

::

    DIR/g1-20.safetensors     a group's target model, by group and version; the bytes that the coordinator announced
    DIR/g1-20.json            its card: what the tensors are, for which task, where it came from
    DIR/current.json          which of them is in use, and which one was before

Every file is written beside its name and then moved there, and ``current.json`` comes last: whoever follows it never
sees half a model. A new model replaces the current one, which is kept as the previous one; what was before that is
deleted. So there is always one to go back to, and a small disk does not fill up.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from tierwise.core.errors import ConfigurationError, StoreError
from tierwise.core.framing import to_bytes
from tierwise.core.ids import BlobHash, DeviceId, GroupId, ModelVersion, TierName
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, OptionValues
from tierwise.core.weights import Layout
from tierwise.runtime.agent import Target

CURRENT: Final = "current.json"
_PART: Final = re.compile(r"\.g.+\.(safetensors|json)\.[0-9]+\.part|\.current\.json\.[0-9]+\.part")
"""Where a file is written before it is moved to its name; the number is the process's."""

_FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.(safetensors|json)$")]


class TargetCard(msgspec.Struct, frozen=True, kw_only=True):
    """Describes a target model, as far as a device knows.

    Attributes
    ----------
    format
        Of this file.
    file, sha256
        The safetensors file beside the card, and the hash of its bytes, which is the model's identity.
    device, federation
        Whose disk this is, and who made the model.
    group, version
        Which group's, after how many rounds.
    task
        What the model is for; features are divided by its scale before they reach the model.
    tier, learner, options
        Which learner computes with it, and how it is set.
    layout, cost
        Its tensors, and what it asks of a device.
    reason
        Why the group's federation ended.
    received
        When it came.
    """

    format: Literal["tierwise.target.1"] = "tierwise.target.1"
    file: str
    sha256: BlobHash
    device: DeviceId
    federation: str
    group: GroupId
    version: ModelVersion
    task: Task
    tier: TierName
    learner: str
    options: OptionValues
    layout: Layout
    cost: Cost
    reason: str
    received: datetime


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A model in the directory.

    Attributes
    ----------
    file, card
        The names of its file and of its card.
    sha256
        Of the file's bytes.
    """

    file: _FileName
    card: _FileName
    sha256: BlobHash


class Current(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``current.json``.

    Attributes
    ----------
    format
        Of this file.
    current
        The model in use.
    previous
        The one to go back to; None if there is none.
    """

    format: Literal["tierwise.current.1"] = "tierwise.current.1"
    current: Kept
    previous: Kept | None = None


class TargetDirectory:
    """A device's directory of target models. Every method blocks.

    Parameters
    ----------
    path
        The directory; `claim` makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self) -> None:
        """Make sure that a model can be written, before time is spent on learning one; create the directory.

        What an agent was writing when it was killed is removed: the directory is one agent's.

        Raises
        ------
        ConfigurationError
            If it is no directory, cannot be written to, or its ``current.json`` is damaged.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigurationError("is a file; target models need a directory", source=str(self.path))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
            _sweep(self.path)
        except OSError as error:
            raise ConfigurationError(f"cannot be written to: {error.strerror}", source=str(self.path)) from error
        self.current()

    def current(self) -> Current | None:
        """Return which model is in use; None if there is none yet.

        Raises
        ------
        ConfigurationError
            If that cannot be read.
        """
        path = self.path / CURRENT
        try:
            return msgspec.json.decode(path.read_bytes(), type=Current)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"cannot be read: {error.strerror}", source=str(path)) from error
        except msgspec.MsgspecError as error:
            raise ConfigurationError(
                f"does not say which model is in use ({error}): delete it, and the next target model is the first one",
                source=str(path),
            ) from error

    def sound(self, kept: Kept) -> bool:
        """Tell whether a model's file is there with the bytes that it should have."""
        try:
            with (self.path / kept.file).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == kept.sha256
        except OSError:
            return False

    def keep(self, target: Target, *, device: DeviceId, federation: str) -> Kept:
        """Write a target model and its card, and make it the current one.

        A model that is the current one already, whole, is left as it is.

        Raises
        ------
        StoreError
            If it cannot be written, or reads otherwise than it was written; the current model stays what it was then.
        """
        before = self.current()
        identity = target.model.identity
        if before is not None and before.current.sha256 == identity and self.sound(before.current):
            return before.current
        kept = self._named(target, identity, before)
        card = TargetCard(
            file=kept.file,
            sha256=identity,
            device=device,
            federation=federation,
            group=target.group,
            version=target.version,
            task=target.task,
            tier=target.tier.name,
            learner=target.tier.learner,
            options=target.tier.options,
            layout=target.tier.layout,
            cost=target.tier.cost,
            reason=target.reason,
            received=datetime.now(UTC).replace(microsecond=0),
        )
        try:
            _replace(self.path / kept.file, to_bytes(target.model))
            if not self.sound(kept):
                raise StoreError(f"{self.path / kept.file} does not read as it was written: check the disk")
            _replace(self.path / kept.card, _pretty(card))
            self._point(kept, before)
        except OSError as error:
            raise StoreError(f"the target model cannot be written to {self.path}: {error.strerror}") from error
        return kept

    def roll_back(self) -> Kept:
        """Make the previous model the current one, and the current one the previous.

        Raises
        ------
        StoreError
            If there is no previous model, or it is damaged.
        """
        there = self.current()
        if there is None or there.previous is None:
            raise StoreError(f"{self.path} has no previous model to go back to")
        if not self.sound(there.previous):
            raise StoreError(
                f"{self.path / there.previous.file} is damaged or gone: its hash is not {there.previous.sha256}"
            )
        try:
            _replace(self.path / CURRENT, _pretty(Current(current=there.previous, previous=there.current)))
        except OSError as error:
            raise StoreError(f"{self.path / CURRENT} cannot be written: {error.strerror}") from error
        return there.previous

    # -- the pieces

    def _named(self, target: Target, identity: BlobHash, before: Current | None) -> Kept:
        """Name the files: two federations may both have a ``g1`` of version 20, and neither overwrites the other's."""
        stem = f"{target.group}-{target.version}"
        used = () if before is None else (before.current, before.previous)
        if any(one is not None and one.file == f"{stem}.safetensors" and one.sha256 != identity for one in used):
            stem = f"{stem}-{identity[:12]}"
        return Kept(file=f"{stem}.safetensors", card=f"{stem}.json", sha256=identity)

    def _point(self, kept: Kept, before: Current | None) -> None:
        if before is None:
            previous, left = None, None
        elif before.current.sha256 == kept.sha256:  # it was damaged, and is whole again
            previous, left = before.previous, None
        else:
            previous, left = before.current, before.previous
        _replace(self.path / CURRENT, _pretty(Current(current=kept, previous=previous)))
        if left is not None and left.file not in (kept.file, previous.file if previous else ""):
            for name in (left.file, left.card):
                with contextlib.suppress(OSError):
                    (self.path / name).unlink()


def _pretty(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _sweep(directory: Path) -> None:
    for path in directory.iterdir():
        if _PART.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is there, and on the disk, as a whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise

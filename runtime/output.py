"""What a run leaves on disk: ``result.json``, each group's target model with a card that describes it, and a page.

A model is a safetensors file, which any reader of that format opens; its card is the JSON file of the same name, and
says what the tensors are, for which task and hardware, and how good they were. Every file is written beside its name
and then moved there, and ``result.json`` comes last: where it is, the files that it lists are whole.
"""

import contextlib
import os
import platform
import re
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from tierwise.core.errors import ConfigurationError, StoreError
from tierwise.core.events import PluginUsed, record_of
from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.ids import BlobHash, GroupId, ModelVersion, TierName
from tierwise.core.metrics import MetricFigure
from tierwise.core.state import GroupState
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, OptionValues, Tier
from tierwise.core.weights import Layout
from tierwise.ext import KERNELS
from tierwise.runtime.figures import Run, RunFigures, finished_groups
from tierwise.runtime.group_figures import GroupFigures

RESULT: Final = "result.json"
REPORT: Final = "report.html"
RESULT_FORMAT: Final = "tierwise.result.1"
CARD_FORMAT: Final = "tierwise.card.1"


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was computed with: with the same seed and these, it gives the same bytes.

    Attributes
    ----------
    tierwise, python, numpy
        The version of each.
    platform
        Operating system and processor architecture.
    kernels
        ``cython``, or ``numpy`` where the compiled kernels are not there.
    """

    tierwise: str
    python: str
    numpy: str
    platform: str
    kernels: str

    @classmethod
    def here(cls) -> "Versions":
        """Return those of this process."""
        return cls(
            tierwise=version("tierwise"),
            python=platform.python_version(),
            numpy=np.__version__,
            platform=platform.platform(),
            kernels=KERNELS,
        )


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Describes a target model.

    Attributes
    ----------
    format
        Of this file.
    file, sha256
        The safetensors file beside the card, and the hash of its bytes, which is the model's identity.
    group, tier
        Whose model it is, and the name of its size.
    task
        What the model is for; features are divided by its scale before they reach the model.
    learner, options
        Which learner computes with it, and how it is set.
    layout, cost
        Its tensors, and what it asks of a device.
    hardware
        The envelope that the tier was sized for.
    devices
        How many are in the group.
    rounds
        How many rounds made it.
    metrics
        On the hold-outs of the group's devices.
    test
        On the coordinator's own test set; empty without one.
    reason, failed
        Why the group ended, and whether that was because something went wrong.
    seed
        The federation's.
    """

    format: str = CARD_FORMAT
    file: str
    sha256: BlobHash
    group: GroupId
    tier: TierName
    task: Task
    learner: str
    options: OptionValues
    layout: Layout
    cost: Cost
    hardware: HardwareEnvelope
    devices: int
    rounds: ModelVersion
    metrics: dict[str, MetricFigure]
    test: dict[str, MetricFigure] = {}
    reason: str
    failed: bool
    seed: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of ``result.json`` but the event log.

    Attributes
    ----------
    format
        Of this file.
    interrupted
        Whether the run was cut short: groups that had not finished have no target model.
    seed
        The federation's.
    run
        The figures.
    figures
        What else was computed of them; a demonstration's comparison, for example.
    configuration
        What the run was told.
    plugins
        Which ones the run used, and where they came from.
    versions
        What it was computed with.
    files
        The target models, their cards, and the page if there is one.
    """

    format: str = RESULT_FORMAT
    interrupted: bool
    seed: int
    run: RunFigures
    figures: Any = None
    configuration: Any = None
    plugins: tuple[PluginUsed, ...] = ()
    versions: Versions
    files: tuple[str, ...] = ()


class _Earlier(msgspec.Struct, frozen=True):
    """What is read of the ``result.json`` of an earlier run."""

    format: str
    files: tuple[str, ...] = ()


def make_report(
    run: Run,
    *,
    configuration: object = None,
    figures: object = None,
    also_used: tuple[PluginUsed, ...] = (),
    interrupted: bool = False,
) -> Report:
    """Put together what is told of a run.

    Parameters
    ----------
    run
        The run.
    configuration, figures
        As in `Report`; anything that msgspec encodes.
    also_used
        Plugins that the event log does not name: the data source, the learners.
    interrupted
        Whether it was cut short.
    """
    return Report(
        interrupted=interrupted,
        seed=run.state.settings.seed if run.state.settings else 0,
        run=run.figures,
        figures=figures,
        configuration=configuration,
        plugins=tuple(dict.fromkeys((*run.plugins, *also_used))),
        versions=Versions.here(),
    )


def claim(directory: Path) -> None:
    """Make sure that a result can be written into a directory, before time is spent on the run; create it.

    Raises
    ------
    ConfigurationError
        If it is no directory, cannot be written to, or holds files that are not an earlier result.
    """
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError("is a file; a result needs a directory of its own", source=str(directory))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        empty = next(directory.iterdir(), None) is None
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ConfigurationError(f"cannot be written to: {error.strerror}", source=str(directory)) from error
    if not empty and _earlier(directory) is None:
        raise ConfigurationError(
            f"holds files, and no {RESULT} of tierwise: nothing was written there. Name a new or empty directory, "
            "or that of an earlier result, which is then replaced",
            source=str(directory),
        )


def write_result(directory: Path, run: Run, report: Report, page: bytes | None = None) -> Report:
    """Write a run's result, in place of an earlier one.

    Parameters
    ----------
    directory
        Where to; `claim` checks it once more.
    run
        Its event log and target models are written.
    report
        Goes into ``result.json``, before the log.
    page
        The run's ``report.html``; None for none, and an earlier one is removed.

    Returns
    -------
    Report
        The report with the names of the files.

    Raises
    ------
    ConfigurationError
        As `claim`.
    StoreError
        If a file cannot be written.
    """
    claim(directory)
    earlier = _earlier(directory)
    figures = {group.group: group for group in report.run.groups}
    files: list[str] = []
    try:
        for name, group in finished_groups(run.state).items():
            if group.tier is not None and group.model is not None:
                files += _write_model(directory, figures[name], group, group.tier, group.model, run)
        if page is not None:
            _replace(directory / REPORT, page)
            files.append(REPORT)
        report = msgspec.structs.replace(report, files=tuple(files))
        _replace(directory / RESULT, _document(report, run))
        # A page that was made afterwards is not listed, and would tell of another run.
        for left in sorted({*earlier.files, REPORT} - set(files) if earlier else ()):
            if left == Path(left).name:  # what a damaged result names elsewhere is none of ours
                (directory / left).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"the result cannot be written to {directory}: {error.strerror}") from error
    return report


def load_result(directory: Path) -> tuple[Run, Report]:
    """Read what `write_result` wrote, without the target models.

    Raises
    ------
    ConfigurationError
        If there is no ``result.json`` of tierwise.
    StoreError
        If it cannot be read, or not as what it should be.
    """
    path = directory / RESULT
    if path.is_file() and not _is_json(path):
        raise StoreError(f"{path} is damaged, it is no whole JSON document: put back a copy, or make the run again")
    if _earlier(directory) is None:
        raise ConfigurationError(f"there is no {RESULT} of tierwise: name the DIR of --out", source=str(directory))
    try:
        document = msgspec.json.decode(path.read_bytes())
        report = msgspec.convert(document, Report)
        records = [record_of(one) for one in document["events"]]
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, KeyError) as error:
        raise StoreError(f"{path} is not what tierwise {version('tierwise')} writes: {error}") from error
    return Run.replayed(records), report


def _write_model(
    directory: Path, figures: GroupFigures, group: GroupState, tier: Tier, model: BlobHash, run: Run
) -> tuple[str, str]:
    assert run.state.settings is not None
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", f"{figures.group}-{tier.name[:100]}")
    card = Card(
        file=f"{stem}.safetensors",
        sha256=model,
        group=figures.group,
        tier=tier.name,
        task=run.state.settings.task,
        learner=tier.learner,
        options=tier.options,
        layout=tier.layout,
        cost=tier.cost,
        hardware=group.envelope.detailed(()),  # a model's card tells of no single device
        devices=len(group.members),
        rounds=group.version,
        metrics=figures.metrics,
        test=figures.test,
        reason=group.ending or "",
        failed=group.failed,
        seed=run.state.settings.seed,
    )
    _replace(directory / card.file, run.targets[model])
    _replace(directory / f"{stem}.json", _pretty(card) + b"\n")
    return card.file, f"{stem}.json"


def _document(report: Report, run: Run) -> bytes:
    """Return the report and the event log, of which each record has a line."""
    head = _pretty(report).removesuffix(b"\n}")
    lines = b",\n".join(b"    " + msgspec.json.encode(record) for record in run.records)
    return head + b',\n  "events": [\n' + lines + b"\n  ]\n}\n"


def _pretty(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)  # NaN and infinities become null


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is there as a whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _is_json(path: Path) -> bool:
    try:
        msgspec.json.decode(path.read_bytes(), type=msgspec.Raw)
    except msgspec.MsgspecError:
        return False
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    return True


def _earlier(directory: Path) -> _Earlier | None:
    try:
        earlier = msgspec.json.decode((directory / RESULT).read_bytes(), type=_Earlier)
    except (OSError, msgspec.MsgspecError):
        return None
    return earlier if earlier.format.startswith("tierwise.result.") else None

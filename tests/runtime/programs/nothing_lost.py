"""What must hold of a federation whatever was killed in it, told from its log, its devices' logs and their disks."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import anyio
import msgspec

from tests.runtime.helpers import timeless
from tests.runtime.programs.processes import Running
from tierwise.core import events as e
from tierwise.core.events import Record
from tierwise.core.federation import Federation
from tierwise.core.framing import unframe
from tierwise.core.metrics import Metrics
from tierwise.runtime.stores.sqlite import SqliteStore

LEARNING = (e.RoundOpened, e.UpdateAccepted, e.CohortClosed, e.RoundClosed, e.StopChecked, e.GroupFinished)
"""What follows from configuration, data and seed alone; that devices are lost and come back does not."""


def read_log(path: Path) -> Sequence[Record]:
    """Read the records of a store; there are none as long as it is not there."""
    return anyio.run(SqliteStore(path).records) if path.exists() else []


def learned(records: Iterable[Record]) -> list[str]:
    """Return what was learned, without times and without the order in which devices happened to deliver.

    The closing evaluations are not in it: a group of which a device is away just then ends without.
    """
    facts = []
    for event in (record.event for record in records if isinstance(record.event, LEARNING)):
        if isinstance(event, e.GroupFinished):
            facts.append(repr(msgspec.structs.replace(event, metrics={})))
        elif not isinstance(event, e.RoundOpened) or event.purpose is e.Purpose.FIT:
            facts.append(repr(timeless(event)))
    return sorted(facts)


def evaluated(records: Iterable[Record]) -> dict[str, Metrics]:
    """Return what each group's closing evaluation gave."""
    return {r.event.group: r.event.metrics for r in records if isinstance(r.event, e.GroupFinished)}


def tagged(event: e.Event) -> dict:
    """Return an event as a coordinator's JSON log has it."""
    return msgspec.json.decode(msgspec.json.encode(event))


def events(process: Running, name: str) -> list[dict]:
    """Return the events of a kind that a coordinator has told."""
    return [line for line in process.lines() if line.get("event") == name]


def published(process: Running) -> list[dict]:
    """Return all events that a coordinator has told, as `tagged` has them."""
    lines = (line for line in process.lines() if "event" in line)
    return [{key: value for key, value in line.items() if key not in ("time", "level")} for line in lines]


def targets(folder: Path) -> dict[str, list[bytes]]:
    """Return, by group, the model bytes of each device's current target, which are what its card says."""
    found: dict[str, list[bytes]] = {}
    for directory in sorted(folder.glob("model-*")):
        current = json.loads((directory / "current.json").read_text())["current"]
        card = json.loads((directory / current["card"]).read_text())
        model = (directory / current["file"]).read_bytes()
        assert unframe(model).identity == current["sha256"] == card["sha256"]
        assert current["file"] == f"{card['group']}-{card['version']}.safetensors"
        found.setdefault(card["group"], []).append(model)
    return found


def check_appended(before: Sequence[Record], after: Sequence[Record], life: Running) -> None:
    """Check that a coordinator's life has only added to the log, and has told nothing that is not in it."""
    assert list(after[: len(before)]) == list(before), "a record that was in the log is there no more"
    added = [tagged(record.event) for record in after[len(before) :]]
    said = published(life)
    assert added[: len(said)] == said, "the coordinator has told what is not in the log"


def check_cohorts(records: Sequence[Record]) -> dict[tuple[str, str], e.UpdateAccepted | e.EvaluationAccepted]:
    """Check that each round counted what it accepted, once; return all that was accepted, by cohort and device."""
    accepted: dict[tuple[str, str], e.UpdateAccepted | e.EvaluationAccepted] = {}
    opened: dict[str, e.RoundOpened] = {}
    versions: dict[str, int] = {}
    for number, record in enumerate(records):
        assert record.sequence == number
        match record.event:
            case e.RoundOpened() as event:
                assert event.cohort not in opened
                opened[event.cohort] = event
            case e.UpdateAccepted() | e.EvaluationAccepted() as event:
                assert (event.cohort, event.device) not in accepted, f"{event.device} counts twice in {event.cohort}"
                assert event.device in opened[event.cohort].participants
                accepted[event.cohort, event.device] = event
            case e.CohortClosed() as event:
                counted = tuple(sorted(device for cohort, device in accepted if cohort == event.cohort))
                assert event.survivors == counted, f"{event.cohort} sums {event.survivors}, accepted were {counted}"
            case e.RoundClosed() as event:
                assert event.version == versions.get(event.group, 0) + 1, f"{event.group} lost a round"
                versions[event.group] = event.version
                updates = [one for (cohort, _), one in accepted.items() if cohort == event.cohort]
                assert event.devices == len(updates)
                assert event.samples == sum(update.samples for update in updates)
            case _:
                pass
    assert isinstance(records[-1].event, e.FederationFinished)
    return accepted


def check_full(records: Sequence[Record]) -> None:
    """Check that no round was given up or went without anybody."""
    asked = {r.event.cohort: r.event.participants for r in records if isinstance(r.event, e.RoundOpened)}
    for record in records:
        assert not isinstance(record.event, e.RoundAbandoned | e.TaskDeclined | e.GroupMerged), record.event
        if isinstance(record.event, e.CohortClosed):
            assert record.event.survivors == asked[record.event.cohort]


def check_blobs(path: Path, records: Iterable[Record]) -> None:
    """Check that an ended federation's store has the target models, and nothing that a killed coordinator left."""
    store, federation = SqliteStore(path), Federation()
    for record in records:
        federation.apply(record)
    assert set(anyio.run(store.blobs)) == federation.live_blobs()
    assert list(store.incoming.iterdir()) == []


def check_receipts(
    accepted: Mapping[tuple[str, str], e.UpdateAccepted | e.EvaluationAccepted], lives: Mapping[str, Sequence[Running]]
) -> int:
    """Check that what a device was told counts does, as it sent it; return how many receipts there were."""
    receipts = 0
    for device, processes in lives.items():
        blobs: dict[str, set[str]] = {}
        for line in (line for process in processes for line in process.lines()):
            if line.get("sent") == "update":
                blobs.setdefault(line["cohort"], set()).add(line["blob"])
            elif line.get("received") == "receipt" and line["refusal"] is None:
                event = accepted.get((line["cohort"], device))
                assert event is not None, f"{device} was told that its answer to {line['cohort']} counts"
                assert isinstance(event, e.EvaluationAccepted) or event.blob in blobs[line["cohort"]]
                receipts += 1
    return receipts


def check_models(folder: Path, expected: Mapping[str, str]) -> None:
    """Check that every device has its group's target model on its disk: the bytes with the expected sha256."""
    found = targets(folder)
    assert {group: {hashlib.sha256(model).hexdigest() for model in models} for group, models in found.items()} == {
        group: {model} for group, model in expected.items()
    }
    assert sum(len(models) for models in found.values()) == 6


def finished(records: Iterable[Record]) -> dict[str, str]:
    """Return the target models that a log tells, by group, of groups that ended well."""
    events = [record.event for record in records if isinstance(record.event, e.GroupFinished)]
    return {event.group: event.model for event in events if not event.failed and event.model is not None}

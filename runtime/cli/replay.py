"""``tierwise replay``: what happened in a federation, read from its store."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
import click
import msgspec
import psutil

from tierwise.core import events as e
from tierwise.core.errors import ConfigurationError, StoreError
from tierwise.core.events import Record
from tierwise.core.federation import Federation
from tierwise.core.ids import BlobHash
from tierwise.core.state import FederationState, GroupState, Phase, Stage
from tierwise.runtime.cli.keeping import keep
from tierwise.runtime.cli.sentences import OTHERWISE, tell
from tierwise.runtime.cli.store_argument import check_store
from tierwise.runtime.cli.tables import show_report
from tierwise.runtime.figures import Run, finished_groups
from tierwise.runtime.output import Report, claim, make_report
from tierwise.runtime.stores.sqlite import SqliteStore

_ENDED = (Stage.FINISHED, Stage.FAILED)
_WAITS = {
    Phase.TIERING: "for its tier",
    Phase.OPENING: "for three devices that can be reached",
    Phase.SELECTING: "for the devices of its next round",
    Phase.REDUCING: "for the aggregator",
    Phase.EXCHANGING: "for the exchange with other groups",
    Phase.TESTING: "for the coordinator's test of its model",
    Phase.CHECKING: "for the stop rule",
    Phase.CLOSING: "for its closing evaluation",
}


@dataclass(frozen=True, slots=True)
class _Found:
    """What is in a store."""

    run: Run
    damage: StoreError | None
    """Why the log could be read no further."""
    holder: int | None
    """The process that holds the store, if it lives."""

    @property
    def ended(self) -> bool:
        return self.run.state.stage in _ENDED


@click.command(
    epilog="\b\nExamples:\n  tierwise replay runs/digits.db\n  tierwise replay runs/digits.db --out runs/digits\n"
    "  tierwise replay runs/digits.db --json | jq '.events[] | select(.event.event == \"round-closed\")'",
)
@click.argument("store", metavar="STORE", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write result.json with the event log, report.html, and target models with cards. Created if need be.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, result.json with the event log.")
@click.pass_context
def replay(ctx: click.Context, store: Path, out: Path | None, as_json: bool) -> None:
    """Show what happened in a federation, event by event, from the file of its store.

    Each line has the federation's time: seconds that a coordinator was up. Then come the groups, and where a run
    stands that has not ended. Nothing is computed again, and no plugin is needed.

    The store is only read. It may be one whose coordinator was killed, or one that a coordinator is writing to: then
    it is shown as it is at this moment.

    A damaged log is shown as far as it can be read, and then the damage is told, with exit code 1. How the federation
    itself ended makes no difference to the exit code.
    """
    _check(store)
    if out is not None:
        claim(out)
    found = anyio.run(_find, store, out is not None)
    if found.damage is not None and not found.run.records:
        raise found.damage
    report = make_report(found.run, interrupted=not found.ended)
    if out is not None and found.damage is None:
        report, remark = keep(out, found.run, report)
        if remark:
            click.echo(remark, err=True)
    try:
        _show(found, report, None if found.damage else out, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if found.damage is not None:
        raise found.damage
    ctx.exit(0)


def _check(path: Path) -> None:
    """Refuse what is no store, but what goes with one: it would be told as a damaged one."""
    if path.suffix == ".toml":
        raise ConfigurationError(
            "is a configuration, and replay reads the store of a federation: name the file that is its store.path, or "
            f"try `tierwise status {path}`",
            source=str(path),
        )
    check_store(path, "replay")


async def _find(path: Path, with_models: bool) -> _Found:
    store = SqliteStore(path)
    holder = await store.holder()
    records, damage = await store.sound_records()
    federation = Federation()
    for record in records:
        federation.apply(record)
    targets: dict[BlobHash, bytes] = {}
    if with_models and damage is None:
        models = {group.model for group in finished_groups(federation.state).values() if group.model is not None}
        targets = {model: bytes(await store.get(model)) for model in sorted(models)}
    alive = holder is not None and psutil.pid_exists(holder)
    return _Found(Run(records, federation.state, targets), damage, holder if alive else None)


def _show(found: _Found, report: Report, out: Path | None, *, as_json: bool) -> None:
    if as_json:
        document = {**msgspec.to_builtins(report), "events": found.run.records}
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        return
    for line in _lines(found.run.records):
        click.echo(line)
    click.echo()
    for line in _standing(found):
        click.echo(line)
    show_report(msgspec.structs.replace(report, interrupted=False), out)


def _lines(records: Sequence[Record]) -> Iterator[str]:
    """Yield a line for each record: when, in seconds, and what."""
    width = len(f"{records[-1].at:,.3f}") if records else 0
    for record in records:
        yield f"{record.at:{width},.3f} s  {tell(record.event)}"


def _standing(found: _Found) -> Iterator[str]:
    """Yield where a run stands that has not ended."""
    state = found.run.state
    if not found.run.records:
        yield "the log is empty: no federation was opened yet"
    if found.ended:
        return
    if found.damage is not None:
        yield "the rest of the log cannot be read; this is how far it came:"
    elif found.holder is not None:
        yield f"not ended: a coordinator (process {found.holder}) has the store; this is where it stands:"
    else:
        yield "not ended: no coordinator has the store; one that is started with it goes on from here:"
    if state.stage is Stage.ENROLLING:
        reported = sum(one.profile is not None for one in state.devices.values())
        yield f"enrolling: {len(state.devices):,} devices joined, {reported:,} of them reported their hardware"
    elif state.stage is Stage.GROUPING:
        yield f"{len(state.devices):,} devices wait for the grouping policy"
    for name, group in state.groups.items():
        if group.phase is not Phase.FINISHED:
            yield f"{name} waits {_waits(group, state)}"


def _waits(group: GroupState, state: FederationState) -> str:
    if group.short_until is not None:
        return f"for devices to return: {state.reachable_count(group)} of {len(group.members)} can be reached"
    if group.waits_because is not None:
        return f"for devices: {group.waits_because}"
    if group.cohort is None or group.phase is not Phase.COLLECTING:
        return _WAITS.get(group.phase, f"({group.phase})")
    opened = group.cohort.opened
    fits = opened.purpose is e.Purpose.FIT
    of = f"round {opened.round}" if fits else f"the {OTHERWISE[opened.purpose]}"
    what = "updates" if fits else "answers"
    return (
        f"for {len(group.cohort.waiting)} of {len(opened.participants)} {what} of {of}, "
        f"until {opened.deadline_at:,.3f} s"
    )

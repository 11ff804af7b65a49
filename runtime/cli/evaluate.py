"""``tierwise evaluate``: target models, measured on data."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from tierwise.core.ids import GroupId, TierName
from tierwise.core.learning import LocalData
from tierwise.core.metrics import MetricFigure, add_metrics, read_metrics
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli import present
from tierwise.runtime.cli.dataspec import FORM, DataSpec, read_data_spec
from tierwise.runtime.cli.dropped import left_out
from tierwise.runtime.cli.plugin_files import find_plugins, plugin_files
from tierwise.runtime.cli.tables import NARROW
from tierwise.runtime.models import SavedModel, learner_of, read_models


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A target model's metrics on data.

    Attributes
    ----------
    file
        Of the model.
    holdout, all_samples
        On the part of the data that an agent with it would not train on, and on all of it.
    """

    file: str
    group: GroupId
    tier: TierName
    holdout: dict[str, MetricFigure]
    all_samples: dict[str, MetricFigure]


@click.command(
    epilog="\b\nExamples:\n  tierwise evaluate runs/1 --data digits\n"
    "  tierwise evaluate models --data digits:part=3,parts=9\n"
    "  tierwise evaluate runs/1/g1-mlp-64.json --data digits --json",
)
@click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    metavar="SPEC",
    help=f"What to measure on: {FORM}, as for `tierwise agent`.",
)
@plugin_files
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def evaluate(model: Path, data: str, plugin_files: tuple[Path, ...], as_json: bool) -> None:
    """Measure target models on data.

    MODEL is the directory that `simulate` or `coordinator` wrote with --out, for the models of all groups; that of an
    `agent`, for the model in use; or one model's file.

    Each model has two rows: the data's hold-out, which an agent with these data would not have trained on, and all
    samples, for data that no device has trained on: of a device that took part, a model has seen most of them.

    The hold-out is the one that the device had if the name of its file, the data and the seed are as they were: a
    simulation's seed is federation.seed, an agent's that of its own --data, 0 where it says none.
    """
    plugins = find_plugins(plugin_files)
    models = read_models(model)
    spec = read_data_spec(data, plugins)
    for one in models:
        spec.require(one.task, str(one.file))
        if one.remark:
            click.echo(f"warning: {one.file.name} {one.remark}", err=True)
    _warn_of_seed(models[0], spec)
    loaded = spec.read()
    if (dropped := left_out(spec.source)) is not None:
        click.echo(f"warning: {dropped}", err=True)
    measured = [_measure(one, loaded, plugins) for one in models]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(measured), indent=2).decode())
        return
    metrics = list(models[0].task.metrics)
    numbers = ("samples", *metrics)
    console = present.output()
    table = present.table("model", "group", "on", *numbers, right=numbers, tight=console.width < NARROW)
    for found in measured:
        for row in _rows(found, metrics):
            table.add_row(*row)
    console.print(table)
    console.print(f"\nhold-out: what such a device does not train on, with seed {spec.share.seed}", soft_wrap=True)
    console.print("all samples: no honest figure if a device has trained on them", soft_wrap=True)


def _warn_of_seed(model: SavedModel, spec: DataSpec) -> None:
    """Say if a simulated device had another hold-out than the one that is measured."""
    if model.seed not in (None, spec.share.seed):
        click.echo(
            f"warning: the federation's seed was {model.seed}, and this hold-out is that of seed {spec.share.seed}: of "
            f"a device that was simulated a model has seen samples of it. Write --data with seed={model.seed} for one",
            err=True,
        )


def _measure(model: SavedModel, data: LocalData, plugins: Plugins) -> Measured:
    learner = learner_of(model, plugins)
    scaled = data.divided(model.task.scale)
    holdout = learner.evaluate(model.weights, scaled.holdout)
    rest = learner.evaluate(model.weights, scaled.train)
    return Measured(
        file=str(model.file),
        group=model.group,
        tier=model.tier.name,
        holdout=read_metrics(holdout),
        all_samples=read_metrics(add_metrics([holdout, rest])),
    )


def _rows(found: Measured, metrics: list[str]) -> Iterator[list[str]]:
    for where, figures in (("hold-out", found.holdout), ("all samples", found.all_samples)):
        samples = next((present.count(figure.count) for figure in figures.values()), present.MISSING)
        values = [present.metric(name, figures[name].value if name in figures else None) for name in metrics]
        yield [found.tier, found.group, where, samples, *values]

"""Announces the plugins that come with tierwise, through the same entry-point group as everybody else's."""

from collections.abc import Iterable

from tierwise.plugins.descriptors import AggregatorDescriptor, Kind, PluginDescriptor
from tierwise.plugins.hookspecs import hookimpl


@hookimpl
def tierwise_probes() -> Iterable[PluginDescriptor]:
    """Announce the built-in probes."""
    yield PluginDescriptor(
        kind=Kind.PROBE,
        name="cpu",
        target="tierwise.plugins.probes.cpu:CpuProbe",
        options="tierwise.plugins.probes.cpu:CpuOptions",
        summary="Counts cores, reads the clock frequency, measures float32 FLOP/s and the time of a training step.",
    )
    yield PluginDescriptor(
        kind=Kind.PROBE,
        name="memory",
        target="tierwise.plugins.probes.memory:MemoryProbe",
        summary="Reads how much memory the device has, can give now, and may use.",
    )
    yield PluginDescriptor(
        kind=Kind.PROBE,
        name="storage",
        target="tierwise.plugins.probes.storage:StorageProbe",
        options="tierwise.plugins.probes.storage:StorageOptions",
        summary="Reads what is free on the disk.",
    )
    yield PluginDescriptor(
        kind=Kind.PROBE,
        name="power",
        target="tierwise.plugins.probes.power:PowerProbe",
        summary="Tells mains from battery, and how full the battery is.",
    )
    yield PluginDescriptor(
        kind=Kind.PROBE,
        name="thermal",
        target="tierwise.plugins.probes.thermal:ThermalProbe",
        summary="Reads the temperature of processor or board, and whether the processor is throttled.",
    )
    yield PluginDescriptor(
        kind=Kind.PROBE,
        name="load",
        target="tierwise.plugins.probes.load:LoadProbe",
        options="tierwise.plugins.probes.load:LoadOptions",
        summary="Measures how much of the processor is idle.",
    )
    yield PluginDescriptor(
        kind=Kind.PROBE,
        name="accelerator",
        target="tierwise.plugins.probes.accelerator:AcceleratorProbe",
        summary="Counts NVIDIA's graphics processors, and reads their memory.",
    )


@hookimpl
def tierwise_grouping_policies() -> Iterable[PluginDescriptor]:
    """Announce the built-in grouping policies."""
    yield PluginDescriptor(
        kind=Kind.GROUPING_POLICY,
        name="quantile",
        target="tierwise.plugins.grouping.quantile:QuantilePolicy",
        options="tierwise.plugins.grouping.quantile:QuantileOptions",
        summary="Sorts the devices by one quantity and cuts them into groups of equal size.",
    )
    yield PluginDescriptor(
        kind=Kind.GROUPING_POLICY,
        name="kmeans",
        target="tierwise.plugins.grouping.kmeans:KMeansPolicy",
        options="tierwise.plugins.grouping.kmeans:KMeansOptions",
        summary="Clusters the devices by log-scaled hardware; finds the number of groups by silhouette.",
    )
    yield PluginDescriptor(
        kind=Kind.GROUPING_POLICY,
        name="deadline",
        target="tierwise.plugins.grouping.deadline:DeadlinePolicy",
        options="tierwise.plugins.grouping.deadline:DeadlineOptions",
        summary="Puts every device under the largest tier that it finishes within the limits of a round.",
    )
    yield PluginDescriptor(
        kind=Kind.GROUPING_POLICY,
        name="threshold",
        target="tierwise.plugins.grouping.threshold:ThresholdPolicy",
        options="tierwise.plugins.grouping.threshold:ThresholdOptions",
        summary="Places each device by the first of your rules that holds, such as memory_bytes < 2e9.",
    )


@hookimpl
def tierwise_tier_providers() -> Iterable[PluginDescriptor]:
    """Announce the built-in tier providers."""
    yield PluginDescriptor(
        kind=Kind.TIER_PROVIDER,
        name="mlp",
        target="tierwise.plugins.tiers.mlp:MlpTierProvider",
        options="tierwise.plugins.tiers.mlp:MlpLadderOptions",
        summary="Offers multi-layer perceptrons in a ladder of widths.",
    )
    yield PluginDescriptor(
        kind=Kind.TIER_PROVIDER,
        name="ladder",
        target="tierwise.plugins.tiers.ladder:LadderTierProvider",
        options="tierwise.plugins.tiers.ladder:LadderOptions",
        summary="Offers any learners' models, in the order in which they are named.",
        composed=True,
    )
    yield PluginDescriptor(
        kind=Kind.TIER_PROVIDER,
        name="warm",
        target="tierwise.plugins.tiers.warm:WarmTierProvider",
        options="tierwise.plugins.tiers.warm:WarmOptions",
        summary="Offers another provider's tiers, and starts from the target models of an earlier federation.",
        composed=True,
    )


@hookimpl
def tierwise_learners() -> Iterable[PluginDescriptor]:
    """Announce the built-in learners."""
    yield PluginDescriptor(
        kind=Kind.LEARNER,
        name="mlp",
        target="tierwise.plugins.learners.mlp:MlpLearner",
        options="tierwise.plugins.learners.mlp:MlpOptions",
        summary="Trains a multi-layer perceptron with NumPy alone.",
    )
    yield PluginDescriptor(
        kind=Kind.LEARNER,
        name="sklearn-linear",
        target="tierwise.plugins.learners.sklearn_linear:SklearnLinearLearner",
        options="tierwise.plugins.learners.sklearn_linear:SklearnLinearOptions",
        summary="Trains a logistic or linear regression with scikit-learn.",
    )
    yield PluginDescriptor(
        kind=Kind.LEARNER,
        name="sklearn-mlp",
        target="tierwise.plugins.learners.sklearn_mlp:SklearnMlpLearner",
        options="tierwise.plugins.learners.sklearn_mlp:SklearnMlpOptions",
        summary="Trains a multi-layer perceptron with scikit-learn.",
    )


@hookimpl
def tierwise_selectors() -> Iterable[PluginDescriptor]:
    """Announce the built-in selectors."""
    yield PluginDescriptor(
        kind=Kind.SELECTOR,
        name="all",
        target="tierwise.plugins.selection.all:AllSelector",
        summary="Every device takes part in every round.",
    )
    yield PluginDescriptor(
        kind=Kind.SELECTOR,
        name="random",
        target="tierwise.plugins.selection.random:RandomSelector",
        options="tierwise.plugins.selection.random:RandomOptions",
        summary="Some of the devices take part, drawn anew for every round.",
    )
    yield PluginDescriptor(
        kind=Kind.SELECTOR,
        name="conditions",
        target="tierwise.plugins.selection.conditions:ConditionsSelector",
        options="tierwise.plugins.selection.conditions:ConditionsOptions",
        summary="Devices take part when they are on the mains, charged, idle, unmetered or cool enough.",
    )


@hookimpl
def tierwise_reducers() -> Iterable[PluginDescriptor]:
    """Announce the built-in reducers."""
    yield PluginDescriptor(
        kind=Kind.REDUCER,
        name="mean",
        target="tierwise.plugins.aggregation.mean:MeanReducer",
        summary="Averages the updates, weighted by samples.",
    )
    yield PluginDescriptor(
        kind=Kind.REDUCER,
        name="median",
        target="tierwise.plugins.aggregation.coordinate_wise:MedianReducer",
        summary="Takes the median of each weight.",
    )
    yield PluginDescriptor(
        kind=Kind.REDUCER,
        name="trimmed-mean",
        target="tierwise.plugins.aggregation.coordinate_wise:TrimmedMeanReducer",
        options="tierwise.plugins.aggregation.coordinate_wise:TrimmedMeanOptions",
        summary="Averages each weight without its least and greatest values.",
    )
    yield PluginDescriptor(
        kind=Kind.REDUCER,
        name="krum",
        target="tierwise.plugins.aggregation.krum:KrumReducer",
        options="tierwise.plugins.aggregation.krum:KrumOptions",
        summary="Takes the one update that is nearest to its neighbours.",
    )
    yield PluginDescriptor(
        kind=Kind.REDUCER,
        name="multi-krum",
        target="tierwise.plugins.aggregation.krum:MultiKrumReducer",
        options="tierwise.plugins.aggregation.krum:KrumOptions",
        summary="Averages the updates that are nearest to their neighbours.",
    )
    yield PluginDescriptor(
        kind=Kind.REDUCER,
        name="bulyan",
        target="tierwise.plugins.aggregation.krum:BulyanReducer",
        options="tierwise.plugins.aggregation.krum:BulyanOptions",
        summary="Averages, of the updates that Krum chooses, what is nearest to the median of each weight.",
    )
    yield PluginDescriptor(
        kind=Kind.REDUCER,
        name="geometric-median",
        target="tierwise.plugins.aggregation.geometric_median:GeometricMedianReducer",
        summary="Takes the point that has the least distance to all updates (RFA).",
    )
    yield PluginDescriptor(
        kind=Kind.REDUCER,
        name="clipped-mean",
        target="tierwise.plugins.aggregation.clipped:ClippedMeanReducer",
        options="tierwise.plugins.aggregation.clipped:ClippedMeanOptions",
        summary="Averages the updates, each scaled down to a norm if it is larger.",
    )


@hookimpl
def tierwise_server_optimizers() -> Iterable[PluginDescriptor]:
    """Announce the built-in server optimizers."""
    yield PluginDescriptor(
        kind=Kind.SERVER_OPTIMIZER,
        name="plain",
        target="tierwise.plugins.aggregation.plain:PlainOptimizer",
        options="tierwise.plugins.aggregation.plain:PlainOptions",
        summary="Adds the reduced update to the model, times a learning rate.",
    )
    yield PluginDescriptor(
        kind=Kind.SERVER_OPTIMIZER,
        name="momentum",
        target="tierwise.plugins.aggregation.momentum:MomentumOptimizer",
        options="tierwise.plugins.aggregation.momentum:MomentumOptions",
        summary="Keeps some of the last step (FedAvgM).",
    )
    yield PluginDescriptor(
        kind=Kind.SERVER_OPTIMIZER,
        name="adagrad",
        target="tierwise.plugins.aggregation.adaptive:AdagradOptimizer",
        options="tierwise.plugins.aggregation.adaptive:AdagradOptions",
        summary="A learning rate for each weight, which only sinks (FedAdagrad).",
    )
    yield PluginDescriptor(
        kind=Kind.SERVER_OPTIMIZER,
        name="adam",
        target="tierwise.plugins.aggregation.adaptive:AdamOptimizer",
        options="tierwise.plugins.aggregation.adaptive:AdaptiveOptions",
        summary="A learning rate for each weight, by its latest updates (FedAdam).",
    )
    yield PluginDescriptor(
        kind=Kind.SERVER_OPTIMIZER,
        name="yogi",
        target="tierwise.plugins.aggregation.adaptive:YogiOptimizer",
        options="tierwise.plugins.aggregation.adaptive:AdaptiveOptions",
        summary="As adam, but learning rates rise slowly (FedYogi).",
    )


@hookimpl
def tierwise_aggregators() -> Iterable[AggregatorDescriptor]:
    """Announce the built-in aggregators."""
    yield AggregatorDescriptor(
        name="mean",
        reducer="mean",
        server_optimizer="plain",
        summary="Federated averaging: the mean of the updates, weighted by samples, is added to the model.",
    )
    for optimizer, summary in (
        ("momentum", "Federated averaging that keeps some of its last step (FedAvgM)."),
        ("adagrad", "Federated averaging with a learning rate for each weight, which only sinks (FedAdagrad)."),
        ("adam", "Federated averaging with a learning rate for each weight, by its latest updates (FedAdam)."),
        ("yogi", "As adam, but learning rates rise slowly (FedYogi)."),
    ):
        yield AggregatorDescriptor(name=optimizer, reducer="mean", server_optimizer=optimizer, summary=summary)
    for reducer, summary in (
        ("median", "Robust: adds the coordinate-wise median of the updates to the model."),
        ("trimmed-mean", "Robust: adds the coordinate-wise trimmed mean of the updates to the model."),
        ("krum", "Robust: adds to the model the one update that is nearest to its neighbours."),
        ("multi-krum", "Robust: adds the mean of the updates that are nearest to their neighbours to the model."),
        ("bulyan", "Robust: Krum chooses updates, of whose weights those near the median are averaged."),
        ("geometric-median", "Robust: adds the geometric median of the updates to the model (RFA)."),
        ("clipped-mean", "Adds the mean of the updates to the model, none of which is larger than a norm."),
    ):
        yield AggregatorDescriptor(name=reducer, reducer=reducer, server_optimizer="plain", summary=summary)


@hookimpl
def tierwise_exchanges() -> Iterable[PluginDescriptor]:
    """Announce the built-in exchanges."""
    yield PluginDescriptor(
        kind=Kind.EXCHANGE,
        name="distill",
        target="tierwise.plugins.exchange.distill:DistillExchange",
        options="tierwise.plugins.exchange.distill:DistillOptions",
        summary="Teaches each group's model what all groups' models answer for unlabelled public samples.",
    )


@hookimpl
def tierwise_codecs() -> Iterable[PluginDescriptor]:
    """Announce the built-in codecs."""
    yield PluginDescriptor(
        kind=Kind.CODEC,
        name="float32",
        target="tierwise.plugins.codecs.plain:Float32Codec",
        summary="Sends each value as it is, in 4 bytes.",
    )
    yield PluginDescriptor(
        kind=Kind.CODEC,
        name="float16",
        target="tierwise.plugins.codecs.halves:Float16Codec",
        options="tierwise.plugins.codecs.halves:HalfOptions",
        summary="Sends each value as a float16, in 2 bytes.",
    )
    yield PluginDescriptor(
        kind=Kind.CODEC,
        name="bfloat16",
        target="tierwise.plugins.codecs.halves:Bfloat16Codec",
        options="tierwise.plugins.codecs.halves:HalfOptions",
        summary="Sends each value as a bfloat16, in 2 bytes.",
    )
    yield PluginDescriptor(
        kind=Kind.CODEC,
        name="int8",
        target="tierwise.plugins.codecs.int8:Int8Codec",
        options="tierwise.plugins.codecs.int8:Int8Options",
        summary="Sends each value as one of 255 steps, rounded at random, in 1 byte (QSGD).",
    )
    yield PluginDescriptor(
        kind=Kind.CODEC,
        name="top-k",
        target="tierwise.plugins.codecs.top_k:TopKCodec",
        options="tierwise.plugins.codecs.top_k:TopKOptions",
        summary="Sends the values of largest magnitude alone, with their places, in 8 bytes each.",
    )


@hookimpl
def tierwise_stop_rules() -> Iterable[PluginDescriptor]:
    """Announce the built-in stop rules."""
    yield PluginDescriptor(
        kind=Kind.STOP_RULE,
        name="rounds",
        target="tierwise.plugins.stopping.rounds:RoundsRule",
        options="tierwise.plugins.stopping.rounds:RoundsOptions",
        summary="Stops after a number of rounds.",
    )
    yield PluginDescriptor(
        kind=Kind.STOP_RULE,
        name="target",
        target="tierwise.plugins.stopping.target:TargetRule",
        options="tierwise.plugins.stopping.target:TargetOptions",
        summary="Stops when a metric has reached a value.",
    )
    yield PluginDescriptor(
        kind=Kind.STOP_RULE,
        name="time",
        target="tierwise.plugins.stopping.time:TimeRule",
        options="tierwise.plugins.stopping.time:TimeOptions",
        summary="Stops after some seconds of federation time.",
    )
    yield PluginDescriptor(
        kind=Kind.STOP_RULE,
        name="plateau",
        target="tierwise.plugins.stopping.plateau:PlateauRule",
        options="tierwise.plugins.stopping.plateau:PlateauOptions",
        summary="Stops when a metric has not improved for some rounds.",
    )
    yield PluginDescriptor(
        kind=Kind.STOP_RULE,
        name="traffic",
        target="tierwise.plugins.stopping.budgets:TrafficRule",
        options="tierwise.plugins.stopping.budgets:TrafficOptions",
        summary="Stops before a group, or a device, has moved more bytes than it may.",
    )
    yield PluginDescriptor(
        kind=Kind.STOP_RULE,
        name="energy",
        target="tierwise.plugins.stopping.budgets:EnergyRule",
        options="tierwise.plugins.stopping.budgets:EnergyOptions",
        summary="Stops before a group has taken more energy than it may.",
    )
    yield PluginDescriptor(
        kind=Kind.STOP_RULE,
        name="any",
        target="tierwise.plugins.stopping.combined:AnyRule",
        options="tierwise.plugins.stopping.combined:CombinedOptions",
        summary="Stops as soon as one of several rules does.",
        composed=True,
    )
    yield PluginDescriptor(
        kind=Kind.STOP_RULE,
        name="all",
        target="tierwise.plugins.stopping.combined:AllRule",
        options="tierwise.plugins.stopping.combined:CombinedOptions",
        summary="Stops when every one of several rules would.",
        composed=True,
    )


@hookimpl
def tierwise_data_sources() -> Iterable[PluginDescriptor]:
    """Announce the built-in data sources."""
    yield PluginDescriptor(
        kind=Kind.DATA_SOURCE,
        name="digits",
        target="tierwise.plugins.data.digits:DigitsSource",
        options="tierwise.plugins.data.digits:DigitsOptions",
        summary="scikit-learn's 1,797 handwritten digits, dealt out evenly or with skewed classes or sizes.",
    )
    yield PluginDescriptor(
        kind=Kind.DATA_SOURCE,
        name="callable",
        target="tierwise.plugins.data.callable:CallableSource",
        options="tierwise.plugins.data.callable:CallableOptions",
        summary="What a Python function of your own returns: arrays, or a mapping from devices to arrays.",
    )
    yield PluginDescriptor(
        kind=Kind.DATA_SOURCE,
        name="csv",
        target="tierwise.plugins.data.tables:CsvSource",
        options="tierwise.plugins.data.tables:CsvOptions",
        summary="CSV files: one for each device, or all rows dealt out or given to whom a column says.",
    )
    yield PluginDescriptor(
        kind=Kind.DATA_SOURCE,
        name="parquet",
        target="tierwise.plugins.data.tables:ParquetSource",
        options="tierwise.plugins.data.tables:ParquetOptions",
        summary="Parquet files: one for each device, or all rows dealt out or given to whom a column says.",
    )
    yield PluginDescriptor(
        kind=Kind.DATA_SOURCE,
        name="npz",
        target="tierwise.plugins.data.npz:NpzSource",
        options="tierwise.plugins.data.npz:NpzOptions",
        summary="Arrays of NumPy's npz files: a device's own, by an array that says whose a sample is, or dealt out.",
    )

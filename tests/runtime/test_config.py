"""Configuration files: what they give, and the whole text of every fault that a file can have."""

import tomllib
from pathlib import Path

import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.core.settings import EnrolmentSettings, RoundSettings
from tierwise.core.task import Task
from tierwise.plugins import Kind, Plugins
from tierwise.runtime.config import (
    EnrolmentTable,
    MqttTable,
    RoundsTable,
    RunConfig,
    SecurityTable,
    StoreTable,
    known_keys,
    load_config,
    parse_config,
)
from tierwise.runtime.policies import AggregatorChoice, Choice, Policies

PLUGINS = Plugins.discover()
TASK = Task(name="test", features=4, classes=("a", "b"))
EXAMPLE = Path(__file__).parents[2] / "examples/digits.toml"


def installed(kind: Kind) -> str:
    """Name all plugins of a kind."""
    return ", ".join(found.name for found in Plugins.discover().descriptors(kind))


LISTED = "`tierwise plugins` lists them all; a policy pack that brings"
WAYS = (
    "is installed with pip, a file of your own is named in the TOML file, `[plugins] modules`, or by the option "
    "`--plugins FILE` of a command that has it."
)


def parse(text):
    return parse_config(tomllib.loads(text), "run.toml", PLUGINS)


def fault(text):
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    return caught.value


# What a file gives


def test_an_empty_file_gives_the_defaults() -> None:
    config = parse("")
    assert config == RunConfig()
    settings = config.settings(TASK, 60)
    assert (settings.name, settings.seed, settings.task) == ("federation", 0, TASK)
    assert settings.enrolment == EnrolmentSettings(min_devices=60, window_s=None)
    assert settings.rounds == RoundSettings()
    assert config.policies == Policies()
    assert len(config.profiles()) == 60


def test_without_a_number_of_devices_enrolment_has_a_window() -> None:
    assert parse("").settings(TASK, None).enrolment == EnrolmentSettings(min_devices=None, window_s=60.0)
    given = parse("[enrolment]\nmin_devices = 500").settings(TASK, None)
    assert given.enrolment == EnrolmentSettings(min_devices=500, window_s=None)


def test_every_key_arrives() -> None:
    config = parse("""
        [federation]
        name = "kitchen"
        seed = 7
        [data]
        source = "digits"
        partition = "iid"
        [fleet]
        devices = 12
        [enrolment]
        min_devices = 9
        window_s = 30
        [rounds]
        deadline_s = 2.5
        epochs = 3
        max_samples = 50
        traffic_bytes = 100000
        energy_j = 2.5
        grace_s = 5
        evaluation_deadline_s = 9
        abandoned_limit = 8
        [grouping]
        policy = "kmeans"
        k = 2
        [tiers]
        provider = "mlp"
        hidden = [[4], [8]]
        [selection]
        selector = "random"
        [aggregation]
        aggregator = "mean"
        [aggregation.server_optimizer]
        learning_rate = 0.5
        [stop]
        rule = "target"
        value = 0.8
        [mqtt]
        broker = "mqtts://broker.example.org:8884"
        prefix = "factory/tierwise"
        username = "coordinator"
        password_file = "password"
        ca_file = "ca.pem"
        cert_file = "own.pem"
        key_file = "own.key"
        protocol = "5"
        chunk_bytes = 100000
        keepalive_s = 60
        [store]
        path = "kitchen.db"
        [security]
        registry = "registry"
        insecure = true
    """)
    assert config.mqtt == MqttTable(
        broker="mqtts://broker.example.org:8884",
        prefix="factory/tierwise",
        username="coordinator",
        password_file="password",
        ca_file="ca.pem",
        cert_file="own.pem",
        key_file="own.key",
        protocol="5",
        chunk_bytes=100_000,
        keepalive_s=60,
    )
    assert config.store == StoreTable(path="kitchen.db")
    assert config.security == SecurityTable(registry="registry", insecure=True)
    settings = config.settings(TASK, 12)
    assert (settings.name, settings.seed) == ("kitchen", 7)
    assert settings.enrolment == EnrolmentSettings(min_devices=9, window_s=30)
    assert settings.rounds == RoundSettings(
        deadline_s=2.5,
        epochs=3,
        max_samples=50,
        traffic_bytes=100_000,
        energy_j=2.5,
        grace_s=5,
        evaluation_deadline_s=9,
        abandoned_limit=8,
    )
    assert config.data == Choice(name="digits", options={"partition": "iid"})
    assert config.policies == Policies(
        grouping=Choice(name="kmeans", options={"k": 2}),
        tiers=Choice(name="mlp", options={"hidden": [[4], [8]]}),
        selection=Choice(name="random"),
        aggregation=AggregatorChoice(name="mean", server_optimizer={"learning_rate": 0.5}),
        stop=Choice(name="target", options={"value": 0.8}),
    )
    assert config.data_source(PLUGINS).task.name == "digits"


def test_the_tables_have_the_keys_and_defaults_of_what_they_become() -> None:
    assert RoundsTable.__struct_fields__ == RoundSettings.__struct_fields__
    assert EnrolmentTable.__struct_fields__ == EnrolmentSettings.__struct_fields__
    assert RunConfig().settings(TASK, 3).rounds == RoundSettings()


def test_a_window_alone_does_not_wait_for_all_devices() -> None:
    settings = parse("[enrolment]\nwindow_s = 5").settings(TASK, 60)
    assert settings.enrolment == EnrolmentSettings(min_devices=None, window_s=5)


def test_a_seed_can_be_put_in_place_of_the_file_s() -> None:
    assert parse("[federation]\nname='x'\nseed = 7").with_seed(8) == parse("[federation]\nname='x'\nseed = 8")


def test_a_fleet_is_read_from_the_folder_of_the_file(tmp_path) -> None:
    (tmp_path / "fleet.csv").write_text("device,cpu_flops\na,1e9\nb,2e9\nc,3e9\n")
    path = tmp_path / "run.toml"
    path.write_text("[fleet]\nhardware = 'fleet.csv'")
    profiles = load_config(path, PLUGINS).profiles(tmp_path)
    assert {name: profile.value("cpu_flops") for name, profile in profiles.items()} == {"a": 1e9, "b": 2e9, "c": 3e9}


def test_the_example_is_right() -> None:
    assert load_config(EXAMPLE).federation.name == "digits"


# Faults in the file


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        pytest.param(
            "[round]",
            "round",
            f"there is no table of this name (did you mean 'rounds'?); the tables: {', '.join(known_keys())}",
            id="unknown table",
        ),
        pytest.param(
            "seed = 3",
            "seed",
            "is 3 and stands outside of any table, where nothing is read: it belongs under [federation]",
            id="key outside of its table",
        ),
        pytest.param(
            "colour = 'red'",
            "colour",
            "is 'red' and stands outside of any table, where nothing is read: there is no key of this name",
            id="unknown key outside of tables",
        ),
        pytest.param(
            "rounds = 3",
            "rounds",
            "is 3, it must be a table: write [rounds] and its keys on the lines below",
            id="no table",
        ),
        pytest.param(
            "[[stop]]\nrule = 'rounds'",
            "stop",
            "is a list of tables: write [stop], with single brackets, once",
            id="list of tables",
        ),
        pytest.param(
            "[rounds]\ndeadlin_s = 3",
            "rounds.deadlin_s",
            "[rounds] has no option 'deadlin_s' (did you mean 'deadline_s'?), which is set to 3; its options: "
            "abandoned_limit, deadline_s, downward, energy_j, epochs, evaluation_deadline_s, grace_s, max_samples, "
            "traffic_bytes",
            id="unknown key",
        ),
        pytest.param(
            "[rounds]\nepochs = 'two'",
            "rounds.epochs",
            "option 'epochs' of [rounds] is 'two', allowed is an integer of at least 1",
            id="wrong type",
        ),
        pytest.param(
            "[rounds]\ndeadline_s = 0",
            "rounds.deadline_s",
            "option 'deadline_s' of [rounds] is 0, allowed is a number greater than 0 and of at most 1e+09",
            id="out of bounds",
        ),
        pytest.param(
            "[rounds]\ndeadline_s = inf",
            "rounds.deadline_s",
            "deadline_s is inf, only finite numbers are allowed",
            id="infinite",
        ),
        pytest.param(
            "[stop]\nrule = 'target'\nvalue = nan",
            "stop.value",
            "value is nan, only finite numbers are allowed",
            id="not a number",
        ),
        pytest.param(
            "[federation]\nseed = -1",
            "federation.seed",
            "option 'seed' of [federation] is -1, allowed is an integer of at least 0 and of at most "
            "9223372036854775807",
            id="negative seed",
        ),
        pytest.param(
            "[enrolment]\nmin_devices = 2",
            "enrolment.min_devices",
            "option 'min_devices' of [enrolment] is 2, allowed is an integer of at least 3",
            id="too few devices to enrol",
        ),
        pytest.param(
            "[fleet]\ndevices = 2",
            "fleet.devices",
            "option 'devices' of [fleet] is 2, allowed is an integer of at least 3",
            id="too few devices",
        ),
        pytest.param(
            "[fleet]\nhardware = 'catalog'",
            "fleet.hardware",
            "hardware is 'catalog' (did you mean 'catalogue'?), and there is no such file: it is 'catalogue', or the "
            "path of a CSV file, from the folder of this one",
            id="no such fleet",
        ),
        pytest.param(
            "[fleet]\nhardware = '/'",
            "fleet.hardware",
            "hardware is '/', and that is a directory: it is 'catalogue', or the path of a CSV file, from the folder "
            "of this one",
            id="fleet is a directory",
        ),
        pytest.param(
            "[data]\nsource = 'digit'",
            "data.source",
            f"there is no data source named 'digit' (did you mean 'digits'?); "
            f"installed: {installed(Kind.DATA_SOURCE)}. {LISTED} 'digit' {WAYS}",
            id="unknown data source",
        ),
        pytest.param(
            "[data]\nalpha = 0",
            "data.alpha",
            "option 'alpha' of data source 'digits' is 0, allowed is a number of at least 0.001",
            id="data source's option",
        ),
        pytest.param(
            "[grouping]\npolicy = 'quantil'",
            "grouping.policy",
            "there is no grouping policy named 'quantil' (did you mean 'quantile'?); installed: deadline, kmeans, "
            "quantile, threshold. "
            f"{LISTED} 'quantil' {WAYS}",
            id="unknown policy",
        ),
        pytest.param(
            "[grouping]\npolicy = 3",
            "grouping.policy",
            "policy is 3, allowed is a text: the name of one that `tierwise plugins` lists",
            id="name that is no text",
        ),
        pytest.param(
            "[grouping]\ngroup = 3",
            "grouping.group",
            "grouping policy 'quantile' has no option 'group' (did you mean 'groups'?), which is set to 3; its "
            "options: by, groups; 'policy' names it",
            id="unknown option",
        ),
        pytest.param(
            "[grouping]\npolcy = 'kmeans'",
            "grouping.polcy",
            "grouping policy 'quantile' has no option 'polcy' (did you mean 'policy'?), which is set to 'kmeans'; its "
            "options: by, groups; 'policy' names it",
            id="misspelt name of a policy",
        ),
        pytest.param(
            "[tiers]\nhidden = [8, 32]",
            "tiers.hidden",
            "option 'hidden' of tier provider 'mlp' is [8, 32], allowed is a list, each item a list, each item an "
            "integer of at least 1 (Expected `array`, got `int` - at `$[0]`): write [[8], [32]]",
            id="a list without its inner lists",
        ),
        pytest.param(
            "[tiers]\nhidden = [[4], [4]]",
            "tiers",
            "tier provider 'mlp' does not accept {'hidden': [[4], [4]]}: hidden has one tier twice: [[4], [4]]",
            id="options that do not go together",
        ),
        pytest.param(
            "[aggregation]\naggregator = 'mena'",
            "aggregation.aggregator",
            f"there is no aggregator named 'mena' (did you mean 'mean'?); "
            f"installed: {installed(Kind.AGGREGATOR)}. {LISTED} 'mena' {WAYS}",
            id="unknown aggregator",
        ),
        pytest.param(
            "[aggregation]\nlearning_rate = 3",
            "aggregation.learning_rate",
            "[aggregation] has no key 'learning_rate', which is set to 3; its keys: aggregator, reducer, "
            "server_optimizer. Options stand in [aggregation.reducer] and [aggregation.server_optimizer]",
            id="unknown key of the aggregation",
        ),
        pytest.param(
            "[aggregation]\nreducer = 'mean'",
            "aggregation.reducer",
            "reducer is 'mean', it must be a table: write [aggregation.reducer]",
            id="reducer is no table",
        ),
        pytest.param(
            "[aggregation.server_optimizer]\nlearning_rate = 0",
            "aggregation.server_optimizer.learning_rate",
            "option 'learning_rate' of server optimizer 'plain' is 0, allowed is a number greater than 0",
            id="server optimizer's option",
        ),
        pytest.param(
            "[mqtt]\nbroker = 'mqtt://anna:geheim@localhost'",
            "mqtt.broker",
            "broker is 'mqtt://…@localhost': user and password do not belong into it, since a configuration is shown "
            "and kept with results; set username, and password_file",
            id="a password in the broker's URL",
        ),
        pytest.param(
            "[mqtt]\nprotocol = '4'",
            "mqtt.protocol",
            "option 'protocol' of [mqtt] is '4', allowed is one of '3.1.1', '5'",
            id="version of MQTT",
        ),
        pytest.param(
            "[mqtt]\npassword_file = 'secret'",
            "mqtt.password_file",
            "password_file is set without username",
            id="a password without a user",
        ),
        pytest.param(
            "[store]\npaht = 'run.db'",
            "store.paht",
            "[store] has no option 'paht' (did you mean 'path'?), which is set to 'run.db'; its options: path",
            id="unknown key of the store",
        ),
        pytest.param(
            "[stop]\nrule = 'any'\nrules = [{ rule = 'rounds' }, { rule = 'plateau', patience = 0 }]",
            "stop.rules.1.patience",
            "option 'patience' of stop rule 'plateau' is 0, allowed is an integer of at least 1",
            id="option of a rule within a rule",
        ),
        pytest.param(
            "[selection]\nselector = 'conditions'\nbattery_min = 50",
            "selection.battery_min",
            "option 'battery_min' of selector 'conditions' is 50, allowed is a number of at least 0 and of at most 1",
            id="a percentage for a ratio",
        ),
        pytest.param(
            "[security]\ninsecure = 1",
            "security.insecure",
            "option 'insecure' of [security] is 1, allowed is true or false",
            id="truth value",
        ),
    ],
)
def test_a_fault_names_file_key_value_and_what_is_allowed(text, key, message) -> None:
    error = fault(text)
    assert str(error) == f"run.toml: {key}: {message}"
    assert (error.source, error.key) == ("run.toml", key)


def test_a_file_with_several_faults_is_told_all_of_them() -> None:
    error = fault("[rounds]\nepochs = 0\ngrace_s = 'x'\n[stop]\nrounds = 0\n[grouping]\npolicy = 'x'")
    assert [line.split(": ")[:2] for line in str(error).splitlines()] == [
        ["run.toml", "rounds.epochs"],
        ["run.toml", "rounds.grace_s"],
        ["run.toml", "grouping.policy"],
        ["run.toml", "stop.rounds"],
    ]
    assert (error.source, error.key) == ("run.toml", "rounds.epochs")


def test_a_fleet_has_a_number_or_a_table(tmp_path) -> None:
    table = tmp_path / "fleet.csv"
    table.write_text("device\na\nb\nc\n")
    path = tmp_path / "run.toml"
    path.write_text("[fleet]\ndevices = 5\nhardware = 'fleet.csv'")
    with pytest.raises(ConfigurationError) as caught:
        load_config(path, PLUGINS)
    assert str(caught.value) == (
        f"{path}: fleet.devices: devices is 5, but [fleet] takes its devices from 'fleet.csv': leave devices out, or "
        "hardware"
    )


def test_enrolment_cannot_wait_for_more_devices_than_there_are() -> None:
    config = parse("[enrolment]\nmin_devices = 9")
    with pytest.raises(ConfigurationError) as caught:
        config.settings(TASK, 8)
    assert str(caught.value) == (
        "enrolment.min_devices: min_devices is 9, and the fleet has 8: enrolment would never end. Take 8 at the most, "
        "or set window_s too"
    )
    assert parse("[enrolment]\nmin_devices = 9\nwindow_s = 5").settings(TASK, 8).enrolment.min_devices == 9


# Faults of the file itself


def load_fault(path):
    with pytest.raises(ConfigurationError) as caught:
        load_config(path, PLUGINS)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_missing_file(tmp_path) -> None:
    (tmp_path / "digits.toml").touch()
    assert load_fault(tmp_path / "digit.toml") == "there is no such file (did you mean 'digits.toml'?)"
    assert load_fault(tmp_path / "none/digit.toml") == "there is no such file"


def test_a_directory(tmp_path) -> None:
    assert load_fault(tmp_path) == "is a directory, not a TOML file"


def test_a_file_in_a_file(tmp_path) -> None:
    (tmp_path / "a").touch()
    assert load_fault(tmp_path / "a/b.toml") == "cannot be read: Not a directory"


def test_bad_syntax_is_told_with_its_place(tmp_path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[rounds]\ndeadline_s = \n")
    assert load_fault(path) == "is not TOML: Invalid value (at line 2, column 14)"


@pytest.mark.parametrize(
    ("table", "key", "meant"),
    [
        ("tiers", "providr", "provider"),
        ("selection", "selecter", "selector"),
        ("stop", "rul", "rule"),
        ("codec", "nam", "name"),
        ("data", "sorce", "source"),
    ],
)
def test_a_misspelt_key_may_be_the_one_that_names_the_plugin(tmp_path, table: str, key: str, meant: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f"[{table}]\n{key} = 'other'\n")
    said = load_fault(path)
    assert f"has no option '{key}' (did you mean '{meant}'?), which is set to 'other'; its options: " in said
    assert said.endswith(f"; '{meant}' names it")


def test_another_encoding(tmp_path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes("# é\n".encode("latin-1"))
    assert load_fault(path) == "is not a text in UTF-8 (byte 2)"


def test_a_codec_is_chosen_in_a_table_of_its_own():
    config = parse_config({"codec": {"name": "top-k", "fraction": 0.1}})
    assert config.policies.codec == Choice(name="top-k", options={"fraction": 0.1})
    assert parse_config({}).policies.codec == Choice(name="float32")


@pytest.mark.parametrize(
    ("table", "key", "text"),
    [
        ({"name": "int9"}, "codec.name", "there is no codec named 'int9' (did you mean 'int8'?)"),
        ({"name": "top-k", "fraction": 2}, "codec.fraction", "is 2, allowed is a number greater than 0 and of at most"),
        ({"fraction": 0.1}, "codec.fraction", "codec 'float32' has no option 'fraction'"),
    ],
)
def test_a_wrong_codec_is_told(table, key, text):
    with pytest.raises(ConfigurationError) as caught:
        parse_config({"codec": table})
    assert caught.value.key == key
    assert text in str(caught.value)

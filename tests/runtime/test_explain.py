"""``tierwise explain``: who is where, and why, with the numbers."""

import json
from pathlib import Path

import msgspec
import pytest

from tests.runtime.helpers import LADDER, TASK, descriptor, name_of, plugins_with, profile
from tierwise.core.errors import PluginFailedError
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareProfile
from tierwise.core.tiers import RoundLimits
from tierwise.plugins.descriptors import Kind
from tierwise.runtime.cli.program import run
from tierwise.runtime.explaining import Deciding, Explanation, explain

EXAMPLE = Path(__file__).parents[2] / "examples/deadline.toml"
FLEET = """\
device,cpu_flops,memory_bytes,downlink_bytes_per_s,uplink_bytes_per_s,power_w
w0,1e6,1e9,1e9,1e9,2
w1,1e6,1e9,1e9,1e9,
w2,2e6,1e9,1e9,1e9,2
s0,1e9,1e9,1e9,1e9,50
s1,1e9,1e9,1e9,1e9,50
s2,1e9,1e9,1e9,1e9,50
"""
CONFIG = """
[federation]
name = "mine"
[fleet]
hardware = "fleet.csv"
[rounds]
deadline_s = 1.0
max_samples = 100
[grouping]
policy = "deadline"
[tiers]
hidden = [[8], [512]]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "fleet.csv").write_text(FLEET)
    path = tmp_path / "run.toml"
    path.write_text(CONFIG)
    return path


def changed(file: Path, old: str, new: str) -> Path:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return file


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(["explain", *map(str, arguments)]) == 0, capsys.readouterr().err
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    return json.loads(asked(capsys, *arguments, "--json"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(["explain", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.removeprefix("error: ").strip()


def test_groups_and_the_reason_of_each_tier(capsys, file) -> None:
    shown = asked(capsys, file)
    assert "federation mine: grouping policy deadline, tier provider mlp" in shown
    assert "a round may take 1 s, any traffic and any energy; reckoned with 100 samples to train on" in shown
    assert [line.split()[:5] for line in shown.splitlines() if line.startswith(("g1 ", "g2 "))] == [
        ["g1", "3", "mlp-8", "0", "474"],
        ["g2", "3", "mlp-512", "0", "30.6"],
    ]
    assert (
        "g1: mlp-8 is the largest that all carry; of mlp-512, 3 of 3 do not, such as w0: a round takes 30.3 s" in shown
    )
    assert "g2: mlp-512 is the largest on offer, and all carry it" in shown
    assert "warning" not in shown


def test_one_device_with_its_prediction_for_every_tier(capsys, file) -> None:
    shown = asked(capsys, file, "--device", "w0")
    assert "w0 is in g1, with tier mlp-8" in shown
    assert "carries mlp-8: a round takes 0.474 s of 1 s; with mlp-512, a round takes 30.3 s" in shown
    rows = {line.split()[0]: line for line in shown.splitlines() if line.startswith("mlp-")}
    assert rows["mlp-8"].rstrip().endswith("yes")
    assert "mlp-512 is too much: a round takes 30.3 s, 1 s are allowed: 30.3 times as much" in shown
    assert "s0" not in shown


def test_the_document_has_all_numbers(capsys, file) -> None:
    changed(file, "max_samples = 100", "max_samples = 100\nenergy_j = 0.9\ntraffic_bytes = 1000000")
    found = document(capsys, file)
    assert found["limits"] == {"deadline_s": 1.0, "samples": 100, "traffic_bytes": 1_000_000, "energy_j": 0.9}
    assert [(offer["tier"], offer["carried_by"]) for offer in found["offers"]] == [("mlp-8", 5), ("mlp-512", 0)]
    devices = {one["device"]: one for one in found["devices"]}
    verdict = devices["w0"]["verdicts"][0]
    predicted = verdict["predicted"]
    assert verdict["round_s"] == pytest.approx(predicted["download_s"] + predicted["compute_s"] + predicted["upload_s"])
    assert predicted["energy_j"] == pytest.approx(2 * predicted["compute_s"])
    assert verdict["excesses"] == [{"limit": "energy_j", "needed": predicted["energy_j"], "allowed": 0.9}]
    assert devices["w1"]["verdicts"][0]["predicted"]["energy_j"] is None
    assert devices["w1"]["verdicts"][0]["excesses"] == []  # its power is not known: it is not judged by it
    assert found["unplaced"] == {"w0": devices["w0"]["reason"]}
    assert devices["w0"]["group"] is None


def test_of_a_device_whose_power_is_not_known_that_is_said(capsys, file) -> None:
    changed(file, "max_samples = 100", "max_samples = 100\nenergy_j = 0.9")
    assert "power_w is not known, so that energy is not judged" in asked(capsys, file, "--device", "w1")
    assert "power_w is not known" not in asked(capsys, file, "--device", "w2")


def test_a_tier_that_is_too_much_is_warned_of(capsys, file) -> None:
    changed(file, 'policy = "deadline"', 'policy = "quantile"\ngroups = 2')
    changed(file, "deadline_s = 1.0", "deadline_s = 0.3")
    found = document(capsys, file)
    assert found["groups"][0]["reason"] == "the smallest, since no tier is carried by all 3"
    assert found["warnings"] == [
        (
            "g1: tier mlp-8 asks too much of 2 of its 3 devices (w0: a round takes 0.474 s, 0.3 s are allowed: 57.9 % "
            "too much; w1: a round takes 0.474 s, 0.3 s are allowed: 57.9 % too much). To mend it, offer a smaller "
            "tier or raise rounds.deadline_s or lower rounds.max_samples"
        )
    ]
    assert "warning: g1: tier mlp-8 asks too much" in asked(capsys, file)
    assert document(capsys, file, "--device", "w2")["warnings"] == found["warnings"]  # its own group's
    assert document(capsys, file, "--device", "s1")["warnings"] == []


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ('"quantile"\nby = "memory_bytes"', "number 4 of 6 by memory_bytes, 1e+09, the least first"),
        ('"kmeans"\nk = 2', "it is most like the 3 of this group, whose medians are cpu_flops 1e+06"),
        (
            '"threshold"\nrules = [{name = "weak", where = "cpu_flops < 1e7"}]',
            "weak: cpu_flops < 1e7",
        ),
    ],
)
def test_every_policy_says_why(capsys, file, policy, words) -> None:
    shown = asked(capsys, changed(file, '"deadline"', policy), "--device", "w0")
    assert words in shown


def test_a_device_that_is_not_there_names_the_nearest(capsys, file) -> None:
    changed(file.with_name("fleet.csv"), "w0", "weak-0")
    assert refused(capsys, file, "--device", "weak_0") == (
        f"the fleet of {file} has no device 'weak_0' (did you mean 'weak-0'?); its 6 devices: s0 to weak-0 "
        "(see `tierwise explain --help`)"
    )


def test_a_fault_of_the_policy_is_the_files_fault(capsys, file) -> None:
    changed(file, '"deadline"', '"quantile"\nby = "battery_j"')
    assert refused(capsys, file).startswith(f"{file}: grouping: grouping policy 'quantile' goes by 'battery_j'")


def test_the_fleet_is_the_one_that_simulate_draws(capsys) -> None:
    """The example's catalogue, by its seed; and what is explained is what then happens."""
    explained = document(capsys, EXAMPLE, "--seed", 3)
    assert run(["simulate", str(EXAMPLE), "--seed", "3", "--json"]) == 0
    captured = capsys.readouterr()
    groups = json.loads(captured.out)["run"]["groups"]
    assert [(one["group"], one["devices"], one["tier"]) for one in groups] == [
        (one["group"], len(one["devices"]), one["tier"]) for one in explained["groups"]
    ]
    assert len(groups) == 3
    assert all(f"warning: {warning}" in captured.err for warning in explained["warnings"])
    assert explained["devices"][0]["model"]


def test_a_store_is_asked_for_only_where_there_is_one(capsys, file) -> None:
    assert refused(capsys, file, "--store") == (f"{file}: store.path: is not set: --store reads the devices from there")


# -- plugins that go wrong


class Raises:
    def group(self, fleet, offers, limits):
        raise RuntimeError("no idea")


class Pairs:
    def group(self, fleet, offers, limits):
        ids = fleet["device"].to_list()
        return Grouping(groups=(tuple(ids[:2]), tuple(ids[2:])))


class Silent:
    def group(self, fleet, offers, limits):
        return Grouping(groups=(tuple(sorted(fleet["device"])),))


def deciding(policy: str) -> Deciding:
    known = plugins_with(
        *(descriptor(Kind.GROUPING_POLICY, one.__name__.lower(), one) for one in (Raises, Pairs, Silent))
    )
    return Deciding(
        federation="test",
        policy=policy,
        grouping=known.grouping_policy(policy),
        provider=LADDER.name,
        tiers=known.tier_provider(LADDER.name, LADDER.options),
        task=TASK,
        limits=RoundLimits(deadline_s=600, samples=24),
    )


def explained(policy: str) -> Explanation:
    return explain(deciding(policy), {name_of(number): profile(number) for number in range(9)})


def test_a_policy_that_raises_is_named() -> None:
    with pytest.raises(
        PluginFailedError, match=r"^grouping policy 'raises' failed: RuntimeError: no idea \(test_explain"
    ):
        explained("raises")


def test_an_answer_against_the_contract_is_the_policys_fault() -> None:
    with pytest.raises(PluginFailedError, match="the answer of grouping policy 'pairs' cannot be used: group 0 has 2"):
        explained("pairs")


def test_a_policy_need_not_give_reasons() -> None:
    found = explained("silent")
    assert [device.reason for device in found.devices] == [""] * 9
    assert [(group.tier, group.carry_more) for group in found.groups] == [("mlp-2", 6)]
    assert found.devices[8].carries == "mlp-8"
    assert msgspec.json.decode(msgspec.json.encode(found), type=Explanation) == found


def test_a_device_that_never_ends_a_round_is_explained() -> None:
    fleet = {name_of(number): HardwareProfile.declared(cpu_flops=0) for number in range(3)}
    found = explain(deciding("silent"), fleet)
    assert found.groups[0].round_s == float("inf")
    assert "a round never ends" in found.warnings[0]


@pytest.mark.parametrize(("more", "words"), [("w9", "there are data of 'w9', and no such row"), (None, "rows of 's2'")])
def test_a_fleet_that_is_not_the_datas_is_refused_as_by_simulate(capsys, file, more, words) -> None:
    data = file.parent / "own"
    data.mkdir()
    for device in ["w0", "w1", "w2", "s0", "s1", *(["s2", more] if more else [])]:
        (data / f"{device}.csv").write_text("heat,label\n" + "1,on\n2,off\n" * 4)
    file.write_text(f'{file.read_text()}\n[data]\nsource = "csv"\npath = "own/*.csv"\ntarget = "label"\n')
    told = refused(capsys, file)
    assert words in told
    assert "did you mean" not in told
    assert run(["simulate", str(file)]) == 2
    assert told in capsys.readouterr().err


def test_the_datas_devices_are_told_of_with_their_models(capsys, tmp_path) -> None:
    for device in ("kitchen", "cellar", "attic"):
        (tmp_path / f"{device}.csv").write_text("heat,label\n" + "1,on\n2,off\n" * 4)
    (tmp_path / "run.toml").write_text('[data]\nsource = "csv"\npath = "*.csv"\ntarget = "label"\n')
    found = document(capsys, tmp_path / "run.toml")
    assert [one["device"] for one in found["devices"]] == ["attic", "cellar", "kitchen"]
    assert all(one["model"] for one in found["devices"])


def test_a_codec_is_reckoned_with(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = msgspec.json.decode(asked(capsys, file, "--json"), type=Explanation)
    changed(file, "[tiers]", '[codec]\nname = "int8"\n[tiers]')
    coded = msgspec.json.decode(asked(capsys, file, "--json"), type=Explanation)
    for before, now in zip(plain.offers, coded.offers, strict=True):
        assert before.cost.upload_bytes is None
        assert now.cost.bytes == before.cost.bytes
        assert now.cost.parameters < now.cost.update_bytes < before.cost.bytes / 3
    one, other = (explained.devices[0].verdicts[1].predicted for explained in (plain, coded))
    assert other.upload_s < one.upload_s / 3
    assert other.traffic_bytes == coded.offers[1].cost.bytes + coded.offers[1].cost.update_bytes
    assert " update " in asked(capsys, file)


def test_without_a_codec_there_is_no_column_for_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert " update " not in asked(capsys, file)

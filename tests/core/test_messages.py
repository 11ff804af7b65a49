"""What devices and the coordinator say, as bytes and back."""

import gc
import json
import tracemalloc
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core import messages as m
from tierwise.core.envelope import (
    HEADER_LIMIT,
    PROTOCOL_VERSION,
    Letter,
    common_version,
    open_from_coordinator,
    open_from_device,
    seal,
)
from tierwise.core.errors import OtherVersionError, ProtocolError
from tierwise.core.events import Purpose, Refusal
from tierwise.core.hardware import HardwareProfile, Quantity
from tierwise.core.ids import CohortId, DeviceId, GroupId, TierName
from tierwise.core.learning import FitBudget
from tierwise.core.metrics import Metric
from tierwise.core.tiers import Cost, Tier
from tierwise.core.weights import Layout, Role, TensorSpec

OPENERS = [open_from_device, open_from_coordinator]

texts = st.text(max_size=20)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
counts = st.integers(0, 2**63 - 1)
values = st.floats(allow_nan=False)
metrics = st.dictionaries(texts, st.builds(Metric, sum=values, count=counts), max_size=3)
names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).filter(lambda name: name != "device")
profiles = st.builds(
    HardwareProfile,
    quantities=st.dictionaries(names, st.builds(Quantity, value=st.floats(0, allow_infinity=False)), max_size=4),
)
tensors = st.builds(
    TensorSpec,
    name=texts.filter(lambda name: name != "__metadata__"),
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    role=st.sampled_from(Role),
)
layouts = st.lists(tensors, max_size=3, unique_by=lambda tensor: tensor.name).map(
    lambda found: Layout(tuple(sorted(found, key=lambda tensor: tensor.name)))
)
options = st.dictionaries(texts, st.none() | st.booleans() | counts | values | texts | st.lists(counts), max_size=3)
costs = st.builds(
    Cost,
    parameters=counts,
    fit_flops_per_sample=values,
    evaluate_flops_per_sample=values,
    bytes=counts,
    memory_bytes=counts,
)
tiers = st.builds(Tier, name=texts, learner=texts, options=options, layout=layouts, cost=costs)
assignments = st.builds(m.Assignment, group=texts, tier=tiers)
from_devices = st.one_of(
    st.builds(m.Hello, schema_hash=texts, profile=profiles),
    st.builds(m.UpdateSent, cohort=texts, base=hashes, blob=hashes, samples=counts, metrics=metrics),
    st.builds(m.EvaluationSent, cohort=texts, base=hashes, metrics=metrics),
    st.builds(m.TaskRefused, cohort=texts, reason=texts),
    st.builds(m.Goodbye, reason=texts),
)
from_coordinators = st.one_of(
    st.builds(m.Welcome, federation=texts, assignment=st.none() | assignments),
    st.builds(m.Refused, refusal=st.sampled_from(Refusal), reason=texts),
    st.builds(m.Assigned, assignment=assignments),
    st.builds(
        m.RoundAnnounced,
        group=texts,
        cohort=texts,
        purpose=st.sampled_from(Purpose),
        model=hashes,
        participants=st.none() | st.lists(texts, max_size=4).map(tuple),
        budget=st.builds(FitBudget, epochs=counts, max_samples=counts),
        seed=counts,
        deadline_in_s=values,
    ),
    st.builds(m.Receipt, cohort=texts, refusal=st.none() | st.sampled_from(Refusal), reason=texts),
    st.builds(m.TargetAnnounced, group=texts, version=counts, model=hashes, reason=texts),
    st.builds(m.Dismissed, reason=texts),
)

HELLO = m.Hello(schema_hash="abc", profile=HardwareProfile.declared(cpu_flops=1e9))
TIER = Tier(
    name=TierName("small"),
    learner="mlp",
    options={"hidden": [8]},
    layout=Layout.of({"b": (2,), "w": (4, 2)}),
    cost=Cost(parameters=10, fit_flops_per_sample=1, evaluate_flops_per_sample=1, bytes=40, memory_bytes=80),
)
WELCOME = m.Welcome(federation="f", assignment=m.Assignment(group=GroupId("g1"), tier=TIER))


def test_every_message_is_covered_here():
    for message, strategy in ((m.DeviceMessage, from_devices), (m.CoordinatorMessage, from_coordinators)):
        assert len(message.__subclasses__()) == len(strategy.original_strategies)


@given(from_devices, st.binary(max_size=50))
def test_what_a_device_says_comes_back(message, body):
    header, rest = open_from_device(seal(message, body))
    assert header == message
    assert type(header) is type(message)
    assert bytes(rest) == body


@given(from_coordinators, st.binary(max_size=50))
def test_what_the_coordinator_says_comes_back(message, body):
    header, rest = open_from_coordinator(memoryview(bytearray(seal(message, body))))
    assert header == message
    assert bytes(rest) == body
    assert rest.readonly


@given(from_devices, st.binary(max_size=50))
def test_a_letter_has_the_size_of_its_envelope_and_says_the_same(message, body):
    letter = Letter(message, body)
    assert letter.size == len(letter.sealed()) == len(seal(message, body))
    assert open_from_device(letter) == open_from_device(letter.sealed())


@given(from_devices, from_coordinators)
def test_neither_side_takes_its_own_messages(device, coordinator):
    with pytest.raises(ProtocolError, match="this is no message of the coordinator"):
        open_from_coordinator(seal(device))
    with pytest.raises(ProtocolError, match="this is no message of a device"):
        open_from_device(seal(coordinator))


# -- bytes that are no message


@pytest.mark.parametrize("opener", OPENERS)
@settings(max_examples=300)
@given(data=st.binary(max_size=200))
def test_garbage_is_a_protocol_error(opener, data):
    with pytest.raises(ProtocolError):
        opener(data)


@pytest.mark.parametrize("opener", OPENERS)
@settings(max_examples=300)
@given(header=st.binary(max_size=200))
def test_garbage_in_a_right_frame_is_a_protocol_error(opener, header):
    with pytest.raises(ProtocolError):
        opener(b"tw\x01\x00" + len(header).to_bytes(4, "little") + header)


@pytest.mark.parametrize(("opener", "message"), [(open_from_device, HELLO), (open_from_coordinator, WELCOME)])
def test_every_truncation_of_the_header_is_a_protocol_error(opener, message):
    sealed = seal(message)
    for length in range(len(sealed)):
        with pytest.raises(ProtocolError):
            opener(sealed[:length])


@pytest.mark.parametrize(("opener", "message"), [(open_from_device, HELLO), (open_from_coordinator, WELCOME)])
def test_a_changed_byte_is_a_message_of_that_side_or_a_protocol_error(opener, message):
    sealed, of_that_side = seal(message), type(message).__mro__[1]
    read = 0
    for place in range(len(sealed)):
        for change in (1, 0x80, 0xFF):
            changed = bytearray(sealed)
            changed[place] ^= change
            with suppress(ProtocolError):
                found, body = opener(changed)
                assert isinstance(found, of_that_side)
                assert body.readonly
                read += 1
    assert 0 < read < 3 * len(sealed), "a name may be another one, and a length may not"


def test_a_value_that_breaks_its_classes_rule_is_a_protocol_error():
    unsorted = json.loads(msgspec.json.encode(WELCOME))
    unsorted["assignment"]["tier"]["layout"]["tensors"].reverse()
    header = msgspec.msgpack.encode(unsorted)
    with pytest.raises(ProtocolError, match="unique names in sorted order"):
        open_from_coordinator(b"tw\x01\x00" + len(header).to_bytes(4, "little") + header)


def test_deep_nesting_is_a_protocol_error():
    for header in (b"\x91" * 100_000, b"\x81\xa1a" * 100_000):
        with pytest.raises(ProtocolError):
            open_from_device(b"tw\x01\x00" + len(header).to_bytes(4, "little") + header)


def test_the_texts_say_what_is_wrong():
    sealed = bytearray(seal(HELLO))
    with pytest.raises(ProtocolError, match=r"^an envelope has at least 8 bytes, got 3$"):
        open_from_device(sealed[:3])
    with pytest.raises(ProtocolError, match=r"^an envelope begins with b'tw', got b'GE'$"):
        open_from_device(b"GET / HTTP/1.1")
    sealed = bytearray(seal(m.Goodbye(reason="night")))
    sealed[2] = PROTOCOL_VERSION + 1
    with pytest.raises(
        OtherVersionError,
        match=r"^the sender speaks protocol version 2, this tierwise speaks 1: upgrade the older one of the two$",
    ):
        open_from_device(sealed)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_a_hello_and_a_refusal_are_read_whatever_version_they_are_of(version):
    refused = m.Refused(refusal=Refusal.WRONG_VERSION, reason="too old")
    assert open_from_device(seal(HELLO, version=version))[0] == HELLO
    assert open_from_coordinator(seal(refused, version=version))[0] == refused
    for foreign in (seal(m.Goodbye(reason=""), version=version), seal(WELCOME, version=version)):
        for read in (open_from_device, open_from_coordinator):
            with pytest.raises(OtherVersionError) as raised:
                read(foreign)
            assert raised.value.version == version


def test_a_hello_may_say_more_than_we_know():
    later = msgspec.to_builtins(HELLO) | {"speaks": [2, 7], "something": "new"}
    header = msgspec.msgpack.encode(later)
    hello, _ = open_from_device(b"tw\x07\x00" + len(header).to_bytes(4, "little") + header)
    assert isinstance(hello, m.Hello)
    assert hello.speaks == (2, 7)


@pytest.mark.parametrize(
    ("theirs", "ours", "common"),
    [
        ((1, 1), (1, 1), 1),
        ((1, 3), (2, 5), 3),
        ((2, 9), (1, 4), 4),
        ((4, 4), (1, 3), None),
        ((1, 2), (3, 3), None),
        ((5, 2), (1, 9), None),
    ],
)
def test_the_newest_version_that_both_speak(theirs, ours, common):
    assert common_version(theirs, ours) == common


def test_a_header_that_claims_too_much_is_not_read():
    claim = b"tw\x01\x00" + (HEADER_LIMIT + 1).to_bytes(4, "little")
    with pytest.raises(ProtocolError, match=rf"says that its header has {HEADER_LIMIT + 1} \(of {HEADER_LIMIT}\)"):
        open_from_device(claim + bytes(HEADER_LIMIT + 1))
    with pytest.raises(ProtocolError, match="an envelope of 8 bytes says that its header has 4194305"):
        open_from_device(claim)


def test_a_header_that_nobody_would_read_is_not_sent():
    devices = tuple(DeviceId(f"device-{number:057}") for number in range(70_000))
    message = m.RoundAnnounced(
        group=GroupId("g1"),
        cohort=CohortId("g1.r1"),
        purpose=Purpose.FIT,
        model="0" * 64,
        participants=devices,
        budget=FitBudget(),
        seed=1,
        deadline_in_s=1.0,
    )
    with pytest.raises(ProtocolError, match=r"the header of RoundAnnounced has 46\d{5} bytes, 4194304 are allowed"):
        seal(message)
    open_from_coordinator(seal(msgspec.structs.replace(message, participants=devices[:60_000])))


# -- bodies


def test_the_body_is_a_view_of_what_came():
    data = bytearray(seal(HELLO, b"body"))
    _, body = open_from_device(data)
    data[-1:] = b"Y"
    assert bytes(body) == b"bodY"
    assert body.obj is data


def test_opening_copies_no_body_and_sealing_copies_it_once():
    body = bytes(20_000_000)
    gc.collect()
    tracemalloc.start()
    sealed = seal(HELLO, body)
    assert tracemalloc.get_traced_memory()[1] < 1.1 * len(body)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    _, opened = open_from_device(sealed)
    assert tracemalloc.get_traced_memory()[1] - before < 100_000
    tracemalloc.stop()
    assert len(opened) == len(body)

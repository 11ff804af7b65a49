"""Topics: one federation's, within brokers' limits, and no name reaches beyond its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId, GroupId
from tierwise.runtime.transports.mqtt.topics import Channel, Place, Topics

TOPICS = Topics("site/lab", "digits")
A = DeviceId("a")
G = GroupId("g1")
ALL = {
    "site/lab/digits/up/a/ctl": (TOPICS.ctl(A), Place(Channel.CTL, "a")),
    "site/lab/digits/up/a/chunk": (TOPICS.chunk(A), Place(Channel.CHUNK, "a")),
    "site/lab/digits/up/a/presence": (TOPICS.presence(A), Place(Channel.PRESENCE, "a")),
    "site/lab/digits/down/a": (TOPICS.down(A), Place(Channel.DOWN, "a")),
    "site/lab/digits/group/g1/model": (TOPICS.model(G), Place(Channel.MODEL, "g1")),
    "site/lab/digits/group/g1/chunk": (TOPICS.group_chunk(G), Place(Channel.GROUP_CHUNK, "g1")),
    "site/lab/digits/coordinator": (TOPICS.coordinator, Place(Channel.COORDINATOR, "")),
}


@pytest.mark.parametrize("topic", ALL)
def test_each_topic_and_back(topic: str) -> None:
    made, place = ALL[topic]
    assert made == topic
    assert TOPICS.place(topic) == place


def test_filters() -> None:
    assert TOPICS.all_up == "site/lab/digits/up/#"
    assert TOPICS.all_down == "site/lab/digits/down/+"
    assert TOPICS.all_groups == "site/lab/digits/group/+/+"
    assert TOPICS.own(A) == "site/lab/digits/up/a/#"


@pytest.mark.parametrize(
    "topic",
    [
        "", "coordinator", "site/lab/digits", "site/lab/digits/", "site/lab/other/coordinator",
        "x/site/lab/digits/down/a",
        "site/lab/digits/up/a", "site/lab/digits/up/a/ctl/x", "site/lab/digits/up/a/", "site/lab/digits/up//ctl",
        "site/lab/digits/up/*/ctl", "site/lab/digits/down/*", "site/lab/digits/down", "site/lab/digits/group/g1",
        "site/lab/digits/coordinator/x", "site/lab/digitsx/coordinator", "site/lab/digits/up/ä/ctl",
    ],
)  # fmt: skip
def test_what_is_none_of_ours(topic: str) -> None:
    assert TOPICS.place(topic) is None


@given(st.text(max_size=30))
def test_any_topic_can_be_asked_about(tail: str) -> None:
    place = TOPICS.place(f"site/lab/digits/{tail}")
    assert place is None or tail == place.channel.value.replace("*", place.name)


@pytest.mark.parametrize(
    "prefix", ["", "/a", "a/", "a//b", "a/b/c/d/e", "+", "a/#", "$SYS", "a b", "ä", "x" * 101, "a\n"]
)
def test_prefixes_that_cannot_be(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        Topics(prefix, "digits")


@pytest.mark.parametrize("name", ["", "+", "#", "a/b", "a b", "$a", ".a", "ä", "x" * 65, "a\n"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ConfigurationError, match="federation"):
        Topics("tierwise", name)
    for make in (TOPICS.ctl, TOPICS.chunk, TOPICS.presence, TOPICS.down, TOPICS.own):
        with pytest.raises(ConfigurationError, match="device"):
            make(DeviceId(name))
    for make_group in (TOPICS.model, TOPICS.group_chunk):
        with pytest.raises(ConfigurationError, match="group"):
            make_group(GroupId(name))


def test_the_longest_topic_keeps_to_the_limits_of_brokers() -> None:
    prefix = "/".join(("p" * 24, "p" * 24, "p" * 24, "p" * 25))
    longest = Topics(prefix, "f" * 64).presence(DeviceId("d" * 64))
    assert longest.count("/") == 7
    assert len(longest.encode()) <= 256

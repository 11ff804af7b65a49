"""Which moment is the oldest."""

from hypothesis import given
from hypothesis import strategies as st

from tierwise.runtime.transports.mqtt.moments import Moments


def test_the_oldest_that_has_not_gone():
    moments = Moments()
    assert moments.oldest is None
    for moment in (1.0, 1.0, 2.0, 3.0):
        moments.add(moment)
    moments.remove(2.0)
    assert moments.oldest == 1.0
    moments.remove(1.0)
    assert moments.oldest == 1.0
    moments.remove(1.0)
    assert moments.oldest == 3.0
    moments.remove(3.0)
    assert moments.oldest is None


@given(st.lists(st.integers(0, 5), max_size=20), st.data())
def test_it_is_the_minimum(steps, data):
    moments, there, now = Moments(), [], 0
    for step in steps:
        if there and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(there))
            there.remove(gone)
            moments.remove(gone)
        now += step
        there.append(now)
        moments.add(now)
        assert moments.oldest == min(there)

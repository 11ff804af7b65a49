"""What is to happen on virtual time."""

import random

from tierwise.runtime.simulation.schedule import Schedule


def run(schedule):
    """Let everything happen; return when what happened, as far as `noted` notes it."""
    while (now := schedule.next_at) is not None:
        for happening, given in schedule.pop():
            happening(now, *given)


def noted():
    seen = []
    return seen, lambda now, name: seen.append((now, name))


def test_an_empty_one_has_no_next_moment():
    schedule = Schedule()
    assert schedule.next_at is None
    schedule.add(1.0, lambda now: None)
    assert schedule.next_at == 1.0
    run(schedule)
    assert schedule.next_at is None


def test_moments_come_in_order_and_of_one_moment_what_was_added_first_comes_first():
    schedule, rng = Schedule(), random.Random(0)
    seen, note = noted()
    added = [(float(rng.randrange(20)), number) for number in range(500)]
    for due_at, number in added:
        schedule.add(due_at, note, number)
    run(schedule)
    assert seen == sorted(added)


def test_what_is_added_for_a_moment_while_it_happens_comes_last_in_it():
    schedule = Schedule()
    seen, note = noted()

    def spread(now, name):
        note(now, name)
        schedule.add(now, note, f"{name}, again")

    schedule.add(2.0, note, "later")
    schedule.add(1.0, spread, "one")
    schedule.add(1.0, spread, "two")
    run(schedule)
    assert seen == [(1.0, "one"), (1.0, "two"), (1.0, "one, again"), (1.0, "two, again"), (2.0, "later")]

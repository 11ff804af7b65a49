"""Derived seeds: the same on every machine and for ever, since a log must replay."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.seeds import derive_seed


def test_seeds_are_what_they_always_were() -> None:
    digest = hashlib.sha256(b"7\x1fround\x1fg1\x1f1").digest()
    assert derive_seed(7, "round", "g1", "1") == int.from_bytes(digest[:8], "big") // 2
    assert derive_seed(0) == 3456079177858693020


def test_the_cut_between_names_matters() -> None:
    names = [("a", "bc"), ("ab", "c"), ("abc",), ("abc", "")]
    assert len({derive_seed(1, *some) for some in names}) == len(names)


@given(st.integers(), st.lists(st.text(st.characters(codec="utf-8"))))
def test_any_seed_and_names_give_a_seed_that_generators_take(seed: int, names: list[str]) -> None:
    derived = derive_seed(seed, *names)
    assert 0 <= derived < 2**63
    assert derived == derive_seed(seed, *names)
    np.random.default_rng(derived)


@given(st.integers(), st.integers())
def test_other_seeds_give_other_seeds(one: int, other: int) -> None:
    assert (derive_seed(one, "x") == derive_seed(other, "x")) == (one == other)

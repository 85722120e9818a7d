"""Memory is handed back where the C library can, and nowhere else is it an error."""

import ctypes

import numpy as np
import pytest

from recsys.features.memory import _trim, hand_back


def test_what_is_held_stays() -> None:
    held = np.arange(100_000)
    hand_back()
    assert held.sum() == 4_999_950_000


@pytest.mark.parametrize("fault", [OSError, TypeError, AttributeError])
def test_without_glibc_nothing_is_done(
    fault: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: None) -> None:
        raise fault(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    _trim.cache_clear()
    try:
        hand_back()
        assert _trim() is None
    finally:
        _trim.cache_clear()

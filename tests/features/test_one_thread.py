"""Small steps on one thread, and everything as it was afterwards."""

import pytest
import torch

from recsys.features.threads import one_thread


def broken_step() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError("gone")


def test_torch_has_its_threads_back_whatever_happens() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="gone"):
            broken_step()
        assert torch.get_num_threads() == 2
        with one_thread(small=False):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)

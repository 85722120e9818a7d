"""Signals that end a command, raised within it: it leaves what it began as Ctrl-C would."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("SIGTERM", "SIGHUP")


class Ended(BaseException):
    """A signal that ends the command; no Exception, so that nothing goes on in spite of it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell says of a command that a signal ended."""
        return 128 + self.number


@contextmanager
def ending_signals_raised() -> Iterator[None]:
    """In here SIGTERM and SIGHUP raise Ended; a second one ends the process at once.

    A signal that somebody else handles, or that is ignored as nohup has it, stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():  # the only one that may set them
        yield
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    own = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in own:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in own:
            signal.signal(number, signal.SIG_DFL)


def _raise(number: int, _: Any) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise Ended(number)

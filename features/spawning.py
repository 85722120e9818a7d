"""Scripts that spawn processes: each of these imports the script anew, and ends with its parent."""

import os
import threading
import time
from multiprocessing import current_process

_LOOKED = 0.5  # seconds between two looks

GUARD = "a script that trains so must stand under `if __name__ == '__main__':`"


def end_if_importing() -> None:
    """End a process that was spawned and still imports the script that it is spawned by.

    Where the script has no guard, it would do all that comes before processes are spawned, then
    fail, as Python lets none be spawned within an import.
    """
    if getattr(current_process(), "_inheriting", False):  # as multiprocessing itself asks
        raise SystemExit(GUARD)


def end_with(parent: int) -> None:
    """From here on this process ends once `parent`, by which it was spawned, is no more.

    A parent that is killed tells nobody, and whoever trains would go on, or wait for the others, as
    an orphan. The signal that Linux sends then may be ignored, as an interrupt is in the background
    of a shell: looking is sure.
    """

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOKED)
        os._exit(1)

    threading.Thread(target=look, name="recsys-parent", daemon=True).start()

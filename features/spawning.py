"""Scripts that spawn processes: each of these imports the script anew."""

from multiprocessing import current_process

GUARD = "a script that trains so must stand under `if __name__ == '__main__':`"


def end_if_importing() -> None:
    """End a process that was spawned and still imports the script that it is spawned by.

    Where the script has no guard, it would do all that comes before processes are spawned, then
    fail, as Python lets none be spawned within an import.
    """
    if getattr(current_process(), "_inheriting", False):  # as multiprocessing itself asks
        raise SystemExit(GUARD)

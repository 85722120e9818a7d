"""Exit codes of the command `recsys`."""

from enum import IntEnum

from recsys.features.errors import (
    ArtifactError,
    DataError,
    ForkError,
    MissingDependency,
    OutputError,
    RecsysError,
    SettingsError,
    TrainingError,
)


class Exit(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    DATA = 3
    ARTIFACT = 4
    MISSING = 5
    TRAINING = 6
    OUTPUT = 7
    FORK = 8
    INTERRUPTED = 130
    PIPE = 141
    TERMINATED = 143


EXITS: dict[Exit, tuple[type[RecsysError] | None, str]] = {
    Exit.OK: (None, "done"),
    Exit.UNEXPECTED: (None, "a fault of the program; the traceback says where"),
    Exit.USAGE: (SettingsError, "a flag or a setting is wrong"),
    Exit.DATA: (DataError, "the log, the catalogue or a request cannot be used"),
    Exit.ARTIFACT: (ArtifactError, "a saved folder is damaged, or is something else"),
    Exit.MISSING: (MissingDependency, "a package is missing; the message says which"),
    Exit.TRAINING: (TrainingError, "training cannot go on"),
    Exit.OUTPUT: (OutputError, "a file or folder cannot be written, or the system refuses it"),
    Exit.FORK: (ForkError, "the process is a fork of one that has worked with data"),
    Exit.INTERRUPTED: (None, "ended by Ctrl-C (SIGINT); nothing is left half written"),
    Exit.TERMINATED: (None, "ended by SIGTERM, as by Ctrl-C (129 by SIGHUP)"),
    Exit.PIPE: (None, "standard output was closed before the JSON was written to it"),
}
"""Each exit code, the error it stands for, and what it says. The one place that tells."""


def exit_code(error: RecsysError) -> Exit:
    """The exit code that stands for an error."""
    for code, (kind, _) in EXITS.items():
        if kind is not None and isinstance(error, kind):
            return code
    return Exit.UNEXPECTED

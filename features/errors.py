"""Everything that can go wrong, as one small tree.

RecsysError
├── DataError           a log, a catalogue or a request breaks a rule
├── SettingsError       a setting is unknown, of the wrong type or out of range
├── TrainingError       training cannot go on, or there is nothing to learn from
│   └── QualityError    what was to be compressed would rank worse than is allowed
├── ForkError           this process is a fork of one that has worked with data: load after it
├── ArtifactError       a saved engine is damaged, incomplete or of another format
├── OutputError         a file or folder cannot be written; it is an OSError too
└── MissingDependency   an optional package is needed; the message says how to install it
"""


class RecsysError(Exception):
    """The root: catch this to catch all that the package raises on purpose."""


class DataError(RecsysError, ValueError):
    """A log, a catalogue or a request breaks a rule."""


class SettingsError(RecsysError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class TrainingError(RecsysError, RuntimeError):
    """Training cannot go on, or there is nothing to learn from."""


class QualityError(TrainingError):
    """What was to be compressed would rank worse than is allowed."""


class ArtifactError(RecsysError, RuntimeError):
    """A saved engine is damaged, incomplete or of another format."""


class ForkError(RecsysError, RuntimeError):
    """This process is a fork of one that has worked with data; load the engine after the fork."""


class OutputError(RecsysError, OSError):
    """A file or folder cannot be written; it is an OSError too."""


class MissingDependency(RecsysError, ImportError):
    """An optional package is needed; the message says how to install it."""

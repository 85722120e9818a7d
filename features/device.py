"""Which device torch computes on, chosen at run time."""

from recsys.features.errors import SettingsError

DEVICES = ("auto", "cpu", "cuda")


def check(device: str) -> str:
    """`device` itself; raises SettingsError where it is not a device's name."""
    kind, colon, number = device.partition(":")
    if kind not in DEVICES or (colon and not (kind == "cuda" and number.isdecimal())):
        raise SettingsError(
            f"device must be one of {', '.join(DEVICES)}, or a GPU such as cuda:0; got {device!r}"
        )
    return device


def pick(device: str = "auto") -> str:
    """The torch device that `device` means on this machine; "auto" is CUDA where there is one.

    Raises SettingsError where the name is unknown, or asks for CUDA where there is none.
    """
    import torch

    check(device)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(f"device {device!r} was asked for, but torch finds no CUDA device")
    return device

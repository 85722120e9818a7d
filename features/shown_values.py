"""Values of any kind as messages repeat them."""

from decimal import Decimal

_LONGEST = 80  # characters of a value that a message repeats


def shown(value: object) -> str:
    """A value as a message repeats it: short, and whatever it is."""
    if not isinstance(value, str | bytes | int | float | Decimal | None | list | tuple):
        return f"a {type(value).__name__}"
    try:
        text = repr(value)
    except Exception:  # an integer of thousands of digits, an element whose repr fails
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."

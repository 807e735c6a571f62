"""What a text stands for as the value of a parameter: on a command line, and in inputs for more than plain texts."""

import json


class AsWritten(float):
    """A number that knows how it was written, for a Decimal; to all others it is the float."""

    def __new__(cls, text: str) -> "AsWritten":
        """Return the number that a text is. Raise ValueError."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


class Decoder(json.JSONDecoder):
    """Reads JSON so that no number loses digits."""

    def __init__(self) -> None:
        super().__init__(parse_float=AsWritten)

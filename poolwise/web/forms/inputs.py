"""Form fields for types that Django has none for."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput

from poolwise.definitions import DECIMAL, Decoder, ParameterField, value_of
from poolwise.support import as_written, storable

_LINES = {"rows": 4, "spellcheck": "false"}
_READ: Mapping[str, Callable[[str], Any]] = {"string": str, "integer": int, "number": float, DECIMAL: Decimal}


class _Written(forms.Field):
    """A number as people write it."""

    def to_python(self, value: Any) -> Any:
        """Return the number. Raise ValidationError."""
        try:
            as_written(str(value))
        except ValueError:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None
        return super().to_python(value)


class WholeField(_Written, forms.IntegerField):
    """A whole number."""


class NumberField(_Written, forms.FloatField):
    """A number."""


class ExactField(_Written, forms.DecimalField):
    """A number of which no digit is lost."""


class TextField(forms.CharField):
    """Text with \n at line ends, where browsers send \r\n."""

    def to_python(self, value: Any) -> str:
        """Return the text."""
        return with_plain_ends(super().to_python(value) or "")


def with_plain_ends(text: str) -> str:
    """Return the text with \n at line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


class LinesField(forms.CharField):
    """A list, one item per line; `items` are the types of the lines, the last one for all further lines."""

    def __init__(self, *, items: Sequence[str], **options: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs=_LINES), **options)
        self.items = [_READ[item] for item in items]

    def prepare_value(self, value: Any) -> Any:
        """Return a list as lines, and submitted text unchanged."""
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        """Return the items that are not blank. Raise ValidationError that names the invalid line."""
        lines = [line.strip() for line in (super().to_python(value) or "").splitlines()]
        typed = [(number, line) for number, line in enumerate(lines, start=1) if line]
        return [self._item(place, number, line) for place, (number, line) in enumerate(typed)]

    def _item(self, place: int, number: int, line: str) -> Any:
        read = self.items[min(place, len(self.items) - 1)]
        try:
            return read(line if read is str else as_written(line))
        except (ValueError, ArithmeticError):
            raise forms.ValidationError(f"Line {number}: {line[:40]!r} is not a number.") from None


class JsonField(forms.JSONField):
    """Any value, as JSON."""

    #: An empty list or object is a value.
    empty_values = [None, ""]

    def __init__(self, **options: Any) -> None:
        super().__init__(decoder=Decoder, **{"widget": forms.Textarea(attrs=_LINES), **options})

    def to_python(self, value: Any) -> Any:
        """Return the value. Raise ValidationError for text that is not JSON, or too long or nested too deeply."""
        try:
            return super().to_python(value)
        except (ValueError, RecursionError):  # a number of thousands of digits, brackets within brackets
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Return submitted text unchanged: parsed and formatted again, a number would lose digits."""
        return data if data is None else InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        """Return the value as a page can show it: JSON may contain half a surrogate pair, UTF-8 may not."""
        text = super().prepare_value(value)
        return storable(text) if isinstance(text, str) else text


class ValueField(JsonField):
    """A value of one of several types: JSON, or plain text if the parameter may be a string."""

    def __init__(self, *, parameter: ParameterField, **options: Any) -> None:
        super().__init__(**options)
        self.parameter = parameter

    def to_python(self, value: Any) -> Any:
        """Return the value, None for an empty input."""
        return None if value in self.empty_values else value_of(self.parameter, with_plain_ends(value))

    def prepare_value(self, value: Any) -> Any:
        """Return the value as a user would enter it: text without quotes, if that is parsed as the same text."""
        if value is None:
            return value
        is_plain = isinstance(value, str) and value_of(self.parameter, value) == value
        return storable(value) if is_plain else super().prepare_value(value)


class MaybeField(forms.NullBooleanField):
    """Yes, no, or null."""

    def __init__(self, **options: Any) -> None:
        widget = forms.NullBooleanSelect()
        widget.choices = [("unknown", "Not set"), ("true", "Yes"), ("false", "No")]
        super().__init__(widget=widget, **options)

"""Inputs for values that Django has no form field for."""

from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput

from jobs.definitions.texts import Decoder
from jobs.formats import storable

_LINES = {"rows": 4, "spellcheck": "false"}


class LinesField(forms.CharField):
    """A list, one item a line."""

    def __init__(self, *, item: type, **options: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs=_LINES), **options)
        self.item = item

    def prepare_value(self, value: Any) -> Any:
        """Return a list as lines, and what a person typed as it is."""
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        """Return the items that are not blank. Raise ValidationError that names the line at fault."""
        lines = [line.strip() for line in (super().to_python(value) or "").splitlines()]
        return [self._item(number, line) for number, line in enumerate(lines, start=1) if line]

    def _item(self, number: int, line: str) -> Any:
        try:
            return self.item(line)
        except ValueError:
            raise forms.ValidationError(f"Line {number}: {line[:40]!r} is not a number.") from None


class JsonField(forms.JSONField):
    """Any value, as JSON."""

    #: An empty list or object is a value.
    empty_values = [None, ""]

    def __init__(self, **options: Any) -> None:
        super().__init__(decoder=Decoder, widget=forms.Textarea(attrs=_LINES), **options)

    def to_python(self, value: Any) -> Any:
        """Return the value. Raise ValidationError for what is no JSON, or more than can be read."""
        try:
            return super().to_python(value)
        except (ValueError, RecursionError):  # a number of thousands of digits, brackets within brackets
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Return what was typed as it is: read and written again, a number would lose digits."""
        return data if data is None else InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        """Return the value as a page can show it again: JSON may hold half a surrogate pair, UTF-8 may not."""
        text = super().prepare_value(value)
        return storable(text) if isinstance(text, str) else text

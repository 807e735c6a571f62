"""The form of a definition's parameters; only `Definition.validate` decides whether they are valid."""

from collections.abc import Mapping
from typing import Any

from django import forms

from poolwise.definitions import Definition
from poolwise.support import InvalidParameters
from poolwise.web.forms.fields import form_field
from poolwise.web.forms.inputs import JsonField, with_plain_ends


class ParametersForm(forms.Form):
    """The parameters of one definition."""

    prefix = "param"

    def __init__(self, definition: Definition, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.definition = definition
        self.params: dict[str, Any] = {}
        self._parameters = {parameter.name: parameter for parameter in definition.fields}
        self.fields |= {name: form_field(parameter) for name, parameter in self._parameters.items()}

    def clean(self) -> dict[str, Any]:
        """Validate the parameters as the definition does, and add its errors to the fields."""
        cleaned = super().clean() or {}
        try:
            self.params = self.definition.validate(self._given(cleaned))
        except InvalidParameters as error:
            self.name_errors(error.errors)
        return cleaned

    def name_errors(self, errors: Mapping[str, str]) -> None:
        """Add each error to its field, or to the form if it has none."""
        for name, text in errors.items():
            if name not in self.fields:
                self.add_error(None, f"{name}: {text}")
            elif name not in self.errors:  # keep the form's own error
                self.add_error(name, text)

    def _given(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values; an empty input means null where allowed, else the default."""
        given = {}
        for name, value in cleaned.items():
            parameter = self._parameters[name]
            if self._is_untouched(name):
                continue
            is_text = parameter.type == "string" and not parameter.format and not parameter.choices
            if not self._is_empty(name, value) or (is_text and not parameter.nullable):
                given[name] = value
            elif parameter.nullable:
                given[name] = None
        return given

    def _is_untouched(self, name: str) -> bool:
        """Return whether an input still shows the default: then the exact default is used."""
        parameter, bound = self._parameters[name], self[name]
        shown = bound.field.widget.format_value(bound.field.prepare_value(parameter.default))
        return not parameter.required and _as_text(shown) == _as_text(bound.data)

    def _is_empty(self, name: str, value: Any) -> bool:
        if isinstance(self.fields[name], JsonField):  # null and "" can be entered there
            return not self[name].data
        return value in (None, "")


def _as_text(value: Any) -> str:
    return "" if value is None else with_plain_ends(str(value))

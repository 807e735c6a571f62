"""The form of a definition's parameters; `Definition.validate` alone decides whether they fit."""

from collections.abc import Mapping
from typing import Any

from django import forms

from jobs.definitions import Definition
from jobs.errors import InvalidParameters
from jobs.forms.fields import form_field


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
        """Validate the parameters as the definition does, and name each field at fault."""
        cleaned = super().clean() or {}
        try:
            self.params = self.definition.validate(self._given(cleaned))
        except InvalidParameters as error:
            self.name_errors(error.errors)
        return cleaned

    def name_errors(self, errors: Mapping[str, str]) -> None:
        """Put each error at its field, and at the form what belongs to none."""
        for name, text in errors.items():
            if name not in self.fields:
                self.add_error(None, f"{name}: {text}")
            elif name not in self.errors:  # the form's own words are enough
                self.add_error(name, text)

    def _given(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was filled in; an empty input stands for null where allowed, else for the default."""
        given = {}
        for name, value in cleaned.items():
            parameter = self._parameters[name]
            is_text = parameter.type == "string" and not parameter.format and not parameter.choices
            if value not in (None, "") or (is_text and not parameter.nullable):
                given[name] = value
            elif parameter.nullable:
                given[name] = None
        return given

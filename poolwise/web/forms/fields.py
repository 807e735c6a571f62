"""Form fields of a definition's parameters."""

from collections.abc import Callable
from typing import Any

from django import forms

from poolwise.definitions import DECIMAL, ParameterField
from poolwise.web.forms.inputs import (
    ExactField,
    JsonField,
    LinesField,
    MaybeField,
    NumberField,
    TextField,
    ValueField,
    WholeField,
)

_LONG_TEXT_CHARS = 200


def _exact_field(parameter: ParameterField, **options: Any) -> forms.Field:
    # The limits of a schema are floats: the browser may use them, but only the definition decides.
    limits = {"min": parameter.minimum, "max": parameter.maximum}
    attrs = {"step": "any", **{name: limit for name, limit in limits.items() if limit is not None}}
    return ExactField(widget=forms.NumberInput(attrs=attrs), **options)


def _number_field(
    field: type[WholeField | NumberField], parameter: ParameterField, **options: Any
) -> forms.Field:
    options |= {"min_value": parameter.minimum, "max_value": parameter.maximum}
    if field is NumberField:  # else browsers accept only whole steps from the minimum
        options["widget"] = forms.NumberInput(attrs={"step": "any"})
    return field(**options)


def _text_field(parameter: ParameterField, **options: Any) -> forms.Field:
    if parameter.is_secret:  # this widget never shows its value again
        widget = forms.PasswordInput(attrs={"autocomplete": "off"})
        return forms.CharField(max_length=parameter.max_length, strip=False, widget=widget, **options)
    is_long = parameter.max_length is None or parameter.max_length > _LONG_TEXT_CHARS
    if is_long or "\n" in str(parameter.default):
        options["widget"] = forms.Textarea(attrs={"rows": 2})
    if parameter.format:
        options["widget"] = forms.TextInput()
    return TextField(max_length=parameter.max_length, strip=bool(parameter.format), **options)


def _array_field(parameter: ParameterField, **options: Any) -> forms.Field:
    if not parameter.lines:
        return JsonField(**options)
    help_text = f"One per line. {options['help_text']}".strip()
    return LinesField(items=parameter.lines, **{**options, "help_text": help_text})


def _boolean_field(parameter: ParameterField, **options: Any) -> forms.Field:
    return (
        MaybeField(**options) if parameter.nullable else forms.BooleanField(**(options | {"required": False}))
    )


def _choice_field(parameter: ParameterField, **options: Any) -> forms.Field:
    values = {str(choice): choice for choice in parameter.choices if choice is not None}
    if len(values) + (None in parameter.choices) < len(parameter.choices) or "" in values:
        return _value_field(parameter, **options)  # some choices would look the same
    blank = [("", "—")] if parameter.nullable else []
    choices = [*blank, *((name, name) for name in values)]
    return forms.TypedChoiceField(choices=choices, coerce=values.__getitem__, empty_value=None, **options)


def _value_field(parameter: ParameterField, **options: Any) -> forms.Field:
    may_be_text = "string" in parameter.types
    help_text = f"{options['help_text']} {'JSON, or text.' if may_be_text else 'As JSON.'}".strip()
    rows = 2 if {"string", "array", "object"} & {*parameter.types} else 1
    widget = forms.Textarea(attrs={"rows": rows, "spellcheck": "false"})
    return ValueField(parameter=parameter, **{**options, "help_text": help_text, "widget": widget})


_BY_TYPE: dict[str, Callable[..., forms.Field]] = {
    "integer": lambda parameter, **options: _number_field(WholeField, parameter, **options),
    "number": lambda parameter, **options: _number_field(NumberField, parameter, **options),
    DECIMAL: _exact_field,
    "string": _text_field,
    "array": _array_field,
    "boolean": _boolean_field,
}


def limits_text(parameter: ParameterField) -> str:
    """Return the limits of a parameter as a sentence, empty if there are none."""
    counted = {"array": " items", "string": " characters"}.get(parameter.type, "")
    low, high = parameter.minimum, parameter.maximum
    if counted:
        low, high = parameter.min_length, parameter.max_length
    if low is not None and high is not None:
        return f"From {low:,} to {high:,}{counted}."
    if high is not None:
        return f"At most {high:,}{counted}."
    return f"At least {low:,}{counted}." if low else ""


def form_field(parameter: ParameterField) -> forms.Field:
    """Return the form field of one parameter; types without a field are entered as JSON."""
    options = {
        "label": parameter.label,
        "help_text": " ".join(filter(None, [parameter.help, limits_text(parameter)])),
        "required": parameter.required and not parameter.nullable,  # empty means null
        "initial": parameter.default,
    }
    if parameter.choices:
        return _choice_field(parameter, **options)
    if len(parameter.types) > 1:
        return _value_field(parameter, **options)
    make = _BY_TYPE.get(DECIMAL if parameter.format == DECIMAL else parameter.type)
    return make(parameter, **options) if make else JsonField(**options)

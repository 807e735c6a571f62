"""Forms of the pages; `Definition.validate` alone decides whether parameters fit."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from django import forms
from django.conf import settings

from jobs.definitions import Definition, ParameterField, all_definitions
from jobs.errors import InvalidParameters
from jobs.models import State
from jobs.pools import all_pools

_LONG_TEXT_CHARS = 200


class LinesField(forms.CharField):
    """A list, one item a line."""

    def __init__(self, *, item: type, **options: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}), **options)
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


def _json_field(**options: Any) -> forms.Field:
    return forms.JSONField(widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}), **options)


def _number_field(field: type[forms.IntegerField], parameter: ParameterField, **options: Any) -> forms.Field:
    options |= {"min_value": parameter.minimum, "max_value": parameter.maximum}
    if field is forms.FloatField:  # without it browsers accept whole steps from the minimum only
        options["widget"] = forms.NumberInput(attrs={"step": "any"})
    return field(**options)


def _text_field(parameter: ParameterField, **options: Any) -> forms.Field:
    if parameter.max_length is None or parameter.max_length > _LONG_TEXT_CHARS:
        options["widget"] = forms.Textarea(attrs={"rows": 2})
    if parameter.format:
        options["widget"] = forms.TextInput()
    return forms.CharField(max_length=parameter.max_length, strip=bool(parameter.format), **options)


def _array_field(parameter: ParameterField, **options: Any) -> forms.Field:
    item = next((a for a in get_args(parameter.annotation) if a in (str, int, float)), None)
    return LinesField(item=item, **options) if item else _json_field(**options)


def _choice_field(parameter: ParameterField, **options: Any) -> forms.Field:
    choices = [(str(choice), str(choice)) for choice in parameter.choices]
    blank = [] if parameter.required or not parameter.nullable else [("", "—")]
    values = {str(choice): choice for choice in parameter.choices}
    return forms.TypedChoiceField(
        choices=[*blank, *choices], coerce=values.__getitem__, empty_value=None, **options
    )


_BY_TYPE: dict[str, Callable[..., forms.Field]] = {
    "integer": lambda parameter, **options: _number_field(forms.IntegerField, parameter, **options),
    "number": lambda parameter, **options: _number_field(forms.FloatField, parameter, **options),
    "string": _text_field,
    "array": _array_field,
    "boolean": lambda parameter, **options: forms.BooleanField(**(options | {"required": False})),
}


def bounds(parameter: ParameterField) -> str:
    """Return the bounds of a parameter as a sentence, empty when there are none."""
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
    """Return the form field of one parameter; what has no field of its own is typed as JSON."""
    options = {
        "label": parameter.label,
        "help_text": " ".join(filter(None, [parameter.help, bounds(parameter)])),
        "required": parameter.required,
        "initial": parameter.default,
    }
    if parameter.choices:
        return _choice_field(parameter, **options)
    make = _BY_TYPE.get(parameter.type)
    return make(parameter, **options) if make else _json_field(**options)


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


class SubmitForm(forms.Form):
    """Where a job runs, and how many times."""

    pools = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        help_text="One job, or as many as there are copies, goes to each pool that you tick.",
        error_messages={"required": "Tick at least one pool."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        most = int(settings.JOB_MAX_COPIES)
        self.fields["pools"].choices = [(name, name) for name in all_pools()]  # type: ignore[attr-defined]
        self.fields["copies"] = forms.IntegerField(
            label="Copies on each pool",
            min_value=1,
            max_value=most,
            initial=1,
            help_text=f"From 1 to {most:,}: the same job, that many times.",
        )


class JobFilterForm(forms.Form):
    """Which jobs the list shows."""

    q = forms.CharField(
        required=False,
        max_length=200,
        label="Text in parameters",
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "for example 0.25", "autocomplete": "off"}
        ),
    )
    state = forms.ChoiceField(required=False, choices=[("", "Any state"), *State.choices])
    pool = forms.ChoiceField(required=False)
    definition = forms.ChoiceField(required=False)
    submission = forms.RegexField(r"^[A-Za-z0-9._-]{1,64}$", required=False, widget=forms.HiddenInput)
    owner = forms.ChoiceField(
        required=False, choices=[("", "My jobs"), ("all", "Everybody's jobs")], label="Whose"
    )

    def __init__(self, *args: Any, sees_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pools = [("", "Any pool"), *((name, name) for name in all_pools())]
        names = [("", "Any definition"), *((d.name, d.name) for d in all_definitions())]
        self.fields["pool"].choices = pools  # type: ignore[attr-defined]
        self.fields["definition"].choices = names  # type: ignore[attr-defined]
        if not sees_all:
            del self.fields["owner"]

    @property
    def is_filtered(self) -> bool:
        """Return whether anything is chosen."""
        return any(self.data.get(name) for name in self.fields)

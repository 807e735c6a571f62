"""The form of a new comparison: pools, size, load and slots."""

from secrets import token_urlsafe
from typing import Any

from django import forms
from django.conf import settings

from poolwise.definitions import Definition
from poolwise.lab import MAX_IN_FLIGHT, MAX_SEED, OWN, OWN_LABEL, PRESETS, Design, Vary, choices
from poolwise.pools import all_pools
from poolwise.web.forms.inputs import NumberField, WholeField

_MAX_ROUNDS = 100


class CompareForm(forms.Form):
    """The design of a comparison, but for the definition and its parameters."""

    pools = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        help_text="Every pool runs the same jobs, one pool at a time.",
        error_messages={"required": "Choose at least one pool."},
    )
    baseline = forms.ChoiceField(
        required=False,
        help_text="The pool that comes first in the table of every pair; must be one of the chosen pools.",
    )
    vary = forms.ChoiceField(
        required=False, label="Compare the variants of",
        help_text="Every value of this parameter runs on every chosen pool; the value above is ignored.",
    )  # fmt: skip
    preset = forms.ChoiceField(widget=forms.RadioSelect, required=False, initial="quick")
    rounds = WholeField(
        required=False, min_value=1, max_value=_MAX_ROUNDS, initial=5,
        help_text="Each runs every pool once, in a new order. An interval takes 3 rounds; more narrow it.",
    )  # fmt: skip
    copies = WholeField(required=False, min_value=1, initial=50, label="Copies per batch")
    warmup = forms.BooleanField(
        required=False,
        initial=True,
        label="Warm up first",
        help_text="One extra batch per pool that is not counted.",
    )
    calibrate = forms.BooleanField(
        required=False,
        initial=True,
        label="Measure the overhead",
        help_text="One batch of no-op jobs per pool.",
    )
    in_flight = WholeField(
        required=False, min_value=1, max_value=MAX_IN_FLIGHT, label="Maximum jobs in flight",
        help_text="Closed loop: send the next job when one has ended. Leave empty to send all at once.",
    )  # fmt: skip
    arrival_rate_per_s = NumberField(
        required=False, min_value=0.01, max_value=1_000, label="Jobs that arrive per second",
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text="Empty: how much gets done with all slots busy? A rate: how long does a job take, from when it is due?",
    )  # fmt: skip
    slots = WholeField(
        required=False, min_value=1, max_value=10_000, label="Equal slots",
        help_text="The same number of slots for every pool. Leave empty for each pool’s own.",
    )  # fmt: skip
    is_sweep = forms.BooleanField(
        required=False, label="Sweep over concurrency",
        help_text="Repeats it with 1, 2, 4 … slots up to the pool’s own and finds the knee.",
    )  # fmt: skip
    seed = WholeField(
        required=False, min_value=0, max_value=MAX_SEED,
        help_text="Repeats the same order of the pools. Leave empty for a random order.",
    )  # fmt: skip

    #: The same form sent twice plans once.
    token = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput, initial=token_urlsafe)

    def __init__(self, *args: Any, definition: Definition, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = list(all_pools())
        fields: Any = self.fields
        self._choices = choices(definition)
        fields["vary"].choices = [("", "nothing (compare pools)"), *self._variants(definition)]
        fields["pools"].choices = [(name, name) for name in names]
        fields["baseline"].choices = [
            ("", "the first prefork pool, if chosen"),
            *((name, name) for name in names),
        ]
        fields["preset"].choices = [*((key, key) for key in PRESETS), (OWN, OWN_LABEL[0])]
        most = int(settings.JOB_MAX_COPIES)
        fields["copies"].validators.append(forms.IntegerField(max_value=most).validators[-1])
        fields["copies"].widget.attrs["max"] = most
        fields[
            "copies"
        ].help_text = f"From 1 to {most:,} jobs for each pool and round; p99 needs 100 in all rounds."

    def _variants(self, definition: Definition) -> list[tuple[str, str]]:
        labels = {field.name: field.label for field in definition.fields}
        return [
            (name, f"{labels[name]}: {', '.join(map(str, values))}") for name, values in self._choices.items()
        ]

    @property
    def varied(self) -> Vary | None:
        """Return the values that are compared, by parameter name; None if pools are compared."""
        name = self["vary"].value()
        return {name: list(self._choices[name])} if name in self._choices else None

    def clean(self) -> dict[str, Any]:
        """Refuse values that exclude each other."""
        cleaned = super().clean() or {}
        for name, text in self.design.faults(self.varied).items():
            if name not in self.errors:
                self.add_error(name, text)
        return cleaned

    @property
    def design(self) -> Design:
        """Return the form's valid values."""
        given = {name: value for name, value in self.cleaned_data.items() if value is not None}
        return Design(**{name: value for name, value in given.items() if name in Design.model_fields})

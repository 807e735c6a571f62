"""Forms about jobs: submitting them, and filtering the list."""

from secrets import token_urlsafe
from typing import Any

from django import forms
from django.conf import settings

from poolwise.definitions import all_definitions
from poolwise.models import JobState
from poolwise.pools import AUTO, all_pools
from poolwise.reports import known_pools
from poolwise.web.forms.inputs import WholeField


class SubmitForm(forms.Form):
    """The pools that a job runs on, and how many copies."""

    pools = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        help_text="Each chosen pool gets one job, or as many as there are copies.",
        error_messages={"required": "Choose at least one pool."},
    )
    #: The same form sent twice, by a second click or after a lost response, submits once.
    token = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput, initial=token_urlsafe)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        most = int(settings.JOB_MAX_COPIES)
        names = [*all_pools(), AUTO]
        self.fields["pools"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        self.fields["copies"] = WholeField(
            label="Copies per pool",
            min_value=1,
            max_value=most,
            initial=1,
            help_text=f"From 1 to {most:,} identical jobs.",
        )


class JobFilterForm(forms.Form):
    """The filters of the job list."""

    q = forms.CharField(
        required=False,
        max_length=200,
        label="Search",
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "id, definition or parameter", "autocomplete": "off"}
        ),
    )
    state = forms.ChoiceField(required=False, choices=[("", "Any state"), *JobState.choices])
    pool = forms.ChoiceField(required=False)
    definition = forms.ChoiceField(required=False)
    submission = forms.RegexField(r"^[A-Za-z0-9._-]{1,64}$", required=False, widget=forms.HiddenInput)
    owner = forms.ChoiceField(
        required=False, choices=[("", "My jobs"), ("all", "Everybody's jobs")], label="Whose"
    )

    def __init__(self, *args: Any, sees_all: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pools = [("", "Any pool"), *((name, name) for name in known_pools())]
        names = [("", "Any definition"), *((d.name, d.name) for d in all_definitions())]
        self.fields["pool"].choices = pools  # type: ignore[attr-defined]
        self.fields["definition"].choices = names  # type: ignore[attr-defined]
        if not sees_all:
            del self.fields["owner"]

    @property
    def is_filtered(self) -> bool:
        """Return whether any filter is set."""
        return any(self.data.get(name) for name in self.fields)

"""The form of an operator's act: what is meant, and why."""

from typing import Any

from django import forms

from jobs.definitions import all_definitions


class ActForm(forms.Form):
    """Why an act is done; with `chooses`, on which definition."""

    reason = forms.CharField(
        max_length=300,
        widget=forms.TextInput(attrs={"autocomplete": "off", "size": 60}),
        help_text="The audit log keeps it.",
        error_messages={"required": "Say why: the audit log keeps it."},
    )

    def __init__(self, *args: Any, chooses: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if chooses:
            names = [(found.name, found.name) for found in all_definitions()]
            field = forms.ChoiceField(choices=[("", "---------"), *names], label="Definition")
            self.fields = {"definition": field, **self.fields}

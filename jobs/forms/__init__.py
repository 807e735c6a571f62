"""Forms of the pages."""

from jobs.forms.comparisons import CompareForm
from jobs.forms.fields import form_field
from jobs.forms.jobs import JobFilterForm, SubmitForm
from jobs.forms.parameters import ParametersForm

__all__ = ["CompareForm", "JobFilterForm", "ParametersForm", "SubmitForm", "form_field"]

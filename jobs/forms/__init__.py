"""Forms of the pages, and the validation that pages and programs share."""

from jobs.forms.comparisons import CompareForm
from jobs.forms.fields import form_field
from jobs.forms.jobs import JobFilterForm, SubmitForm
from jobs.forms.operations import ActForm
from jobs.forms.parameters import ParametersForm

__all__ = ["ActForm", "CompareForm", "JobFilterForm", "ParametersForm", "SubmitForm", "form_field"]

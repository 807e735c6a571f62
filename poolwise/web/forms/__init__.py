"""Forms of the pages: submitting a job, planning a comparison, filtering the job list."""

from poolwise.web.forms.comparisons import CompareForm
from poolwise.web.forms.fields import form_field
from poolwise.web.forms.jobs import JobFilterForm, SubmitForm
from poolwise.web.forms.parameters import ParametersForm

__all__ = ["CompareForm", "JobFilterForm", "ParametersForm", "SubmitForm", "form_field"]

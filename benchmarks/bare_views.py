"""The site's addresses and two views that do what a project without Poolwise does; `benchmarks.submission` posts to both."""

import hashlib
import json
from uuid import uuid4

from celery import Celery
from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django_celery_results.models import TaskResult

from poolwise.models import ApiToken
from project.urls import urlpatterns as _of_the_site

#: With kombu's own transport, which Poolwise replaces in this process.
app = Celery("bare", broker=settings.REDIS_URL, set_as_current=False)
app.conf.update(broker_transport="kombu.transport.redis:Transport", task_ignore_result=True)


@app.task(name="bare.wait")
def wait(duration_s: float) -> None:
    """Never runs: no worker serves its queue."""


class WaitForm(forms.Form):
    """The parameter of the task."""

    prefix = "param"
    duration_s = forms.FloatField(min_value=0, max_value=600)


@csrf_exempt
def bare_api(request: HttpRequest) -> HttpResponse:
    """Insert a row and publish a task for the user of a token."""
    digest = hashlib.sha256(request.headers["Authorization"].removeprefix("Bearer ").encode()).hexdigest()
    if not ApiToken.objects.select_related("user").get(digest=digest).user.is_active:
        return HttpResponse(status=401)
    row = _submit(float(json.loads(request.body)["params"]["duration_s"]))
    return JsonResponse({"id": row.task_id, "state": row.status}, status=201)


@login_required
def bare_form(request: HttpRequest) -> HttpResponse:
    """Insert a row and publish a task for the user who has logged in."""
    form = WaitForm(request.POST)
    if not form.is_valid():
        return HttpResponse(form.errors.as_text(), status=422)
    _submit(form.cleaned_data["duration_s"])
    return redirect("poolwise:jobs")


def _submit(duration_s: float) -> TaskResult:
    with transaction.atomic():
        row: TaskResult = TaskResult.objects.create(
            task_id=str(uuid4()), task_name=wait.name, status="PENDING"
        )
        transaction.on_commit(lambda: wait.apply_async((duration_s,), task_id=row.task_id, queue="bare"))
    return row


urlpatterns = [path("bare/api", bare_api), path("bare/form", bare_form), *_of_the_site]

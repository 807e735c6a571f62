"""The page of one definition: its form, and submitting it."""

import json
from contextlib import nullcontext
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from poolwise import definitions
from poolwise.control import require_submit
from poolwise.definitions import Definition
from poolwise.lifecycle import heartbeats, limit_support, pauses, pool_choice, submission
from poolwise.models import Job
from poolwise.pools import all_pools
from poolwise.reports import pools_now
from poolwise.support import (
    BrokerUnavailable,
    InvalidParameters,
    PoolwiseError,
    QueueFull,
    UnknownDefinition,
    signing,
)
from poolwise.web.forms import ParametersForm, SubmitForm
from poolwise.web.views.live import PageRequest, signed_in

#: When to try again after Redis was unavailable.
RETRY_AFTER_S = 10


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def definition(request: PageRequest, name: str) -> HttpResponse:
    """Show the form of a definition; on POST submit the jobs and redirect to them."""
    definition = _definition(name)
    origin = _origin(request, definition)
    if request.method != "POST":
        return _page(request, definition, *_forms(definition, origin), origin)
    require_submit(request.user)
    parameters, where = ParametersForm(definition, request.POST), SubmitForm(request.POST)
    if not (parameters.is_valid() & where.is_valid()):
        return _page(request, definition, parameters, where, origin)
    try:
        jobs = _submit(request, definition, parameters.params, where.cleaned_data, origin)
    except InvalidParameters as error:
        parameters.name_errors(error.errors)
        return _page(request, definition, parameters, where, origin)
    except (QueueFull, BrokerUnavailable) as error:
        where.add_error(None, str(error))
        return busy(_page(request, definition, parameters, where, origin, refused=error), error)
    except PoolwiseError as error:
        where.add_error(None, str(error))
        return _page(request, definition, parameters, where, origin)
    announce(request, jobs)
    return _to_jobs(request, jobs)


def busy(response: HttpResponse, error: QueueFull | BrokerUnavailable) -> HttpResponse:
    """Set the status and Retry-After of a page that shows why nothing was submitted."""
    response.status_code = getattr(error, "status", 503)
    response["Retry-After"] = str(getattr(error, "retry_after_s", RETRY_AFTER_S))
    return response


def _definition(name: str) -> Definition:
    try:
        return definitions.get(name)
    except UnknownDefinition as error:
        raise Http404(str(error)) from error


def _origin(request: PageRequest, definition: Definition) -> Job | None:
    """Return the job that is run again with changes."""
    try:
        pk = UUID(request.GET.get("from", ""))
    except ValueError:
        return None
    return Job.objects.visible_to(request.user).filter(pk=pk, definition=definition.name).first()


def _forms(definition: Definition, origin: Job | None) -> tuple[ParametersForm, SubmitForm]:
    pool = origin.pool if origin else definition.pool or settings.JOB_DEFAULT_POOLS.get(definition.kind)
    where = SubmitForm(initial={"pools": [pool]})
    return ParametersForm(definition, initial=origin.params if origin else None), where


def _submit(
    request: PageRequest,
    definition: Definition,
    params: dict[str, Any],
    where: dict[str, Any],
    origin: Job | None,
) -> list[Job]:
    """Submit to all pools or to none."""
    pools, copies = where["pools"], where["copies"]
    key = form_key(where["token"], [definition.in_clear(params), copies])
    if origin and copies == 1 and len(pools) == 1:
        again = submission.run_again(
            origin,
            user=request.user,
            params=params,
            pool=pools[0],
            request_id=request.request_id,
            idempotency_key=key and f"{key} {pools[0]}",
        )
        return [again]
    # For one pool a transaction around would only add statements.
    with transaction.atomic() if len(pools) > 1 else nullcontext():
        jobs = [
            job
            for pool in pools
            for job in submission.submit(
                definition.name,
                params,
                pool=pool,
                copies=copies,
                user=request.user,
                request_id=request.request_id,
                parent=origin,
                idempotency_key=key and f"{key} {pool}",
            )
        ]
    first = {job.pk: job for job in reversed(jobs)}
    return [job for job in jobs if first[job.pk] is job]  # a unique definition has one job for all pools


def form_key(token: str, values: list[Any]) -> str:
    """Return the idempotency key of a form's values: sent with other values, it is another submission."""
    if not token:
        return ""
    fields = json.dumps(values, sort_keys=True, default=str)
    return f"form {token} {signing.sign(signing.FORM, fields)[:16]}"  # signed, as it may contain secrets


def announce(request: PageRequest, jobs: list[Job]) -> None:
    """Show messages: what was submitted, and what keeps it from running."""
    if all(job.was_there for job in jobs):
        text = "Already submitted; nothing new was stored. Open the form again to submit another job."
        messages.info(request, text)
        return
    what = (
        f"{len(jobs)} jobs of {jobs[0].definition} were"
        if len(jobs) > 1
        else f"The job {jobs[0].definition} was"
    )
    messages.success(request, f"{what} submitted.")
    wanted = {job.pool for job in jobs}
    if not _are_served(wanted):
        _warn_of_unserved(request, wanted)
    for text in _limit_warnings(definitions.get(jobs[0].definition), sorted(wanted & all_pools().keys())):
        messages.warning(request, text)


def _are_served(pools: set[str]) -> bool:
    try:
        return pools <= heartbeats.pools_up().keys()
    except BrokerUnavailable:
        return False


def _warn_of_unserved(request: PageRequest, wanted: set[str]) -> None:
    now = pools_now()  # it counts every queue, so only if it must
    for pool in now.pools.values():
        if pool.name in wanted and pool.state == "down":
            messages.warning(request, str(pool.unserved_notice))
    if now.redis_is_away:
        messages.warning(request, str(now.platform))


def _limit_warnings(definition: Definition, pools: list[str]) -> list[str]:
    return [text for pool in pools for text in limit_support.warnings(definition, pool)]


def _to_jobs(request: PageRequest, jobs: list[Job]) -> HttpResponseRedirect:
    if len(jobs) == 1:
        return redirect(jobs[0])
    return redirect(f"{reverse('poolwise:jobs')}?{urlencode({'submission': jobs[0].request_id})}")


def _page(
    request: PageRequest,
    definition: Definition,
    parameters: ParametersForm,
    where: SubmitForm,
    origin: Job | None,
    refused: QueueFull | BrokerUnavailable | None = None,
) -> HttpResponse:
    now, paused = pools_now(), pauses.paused_now()
    boxes = [(box, now.pools.get(str(box.data["value"]))) for box in where["pools"].subwidgets]
    context = {
        "definition": definition,
        "parameters": parameters,
        "where": where,
        "boxes": boxes,
        "auto": pool_choice.choose(definition),
        "origin": origin,
        "varied": definition.lesson.parameter if definition.lesson else "",
        "has_async_body": definition.async_body is not None,  # a template would call the body itself
        "unavailable": definition.unavailable(),
        "limit_warnings": _limit_warnings(definition, list(now.pools)),
        "failed": bool(parameters.errors or where.errors),
        "refused": refused,
        "pause_state": paused.definitions.get(definition.name),
    }
    return render(request, "poolwise/definition.html", context)

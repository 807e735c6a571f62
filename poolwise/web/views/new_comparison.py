"""The form of a new comparison, with estimates of its duration."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from poolwise import definitions
from poolwise import lab as planning
from poolwise.control import require_submit
from poolwise.definitions import Definition, all_definitions
from poolwise.lab import OWN, OWN_LABEL, PRESETS, Preset
from poolwise.lifecycle import pool_choice
from poolwise.pools import all_pools
from poolwise.reports import pools_now
from poolwise.support import InvalidParameters, PoolwiseError, UnknownDefinition
from poolwise.web.forms import CompareForm, ParametersForm
from poolwise.web.views import comparison_origin
from poolwise.web.views.comparison_origin import Origin
from poolwise.web.views.definition import form_key
from poolwise.web.views.live import PageRequest, signed_in

#: How long a request measures whether the machine is busy.
_CPU_OVER_S = 0.25
_KINDS = {"io": "Waits", "cpu": "Computes", "mixed": "Mixed", "hazard": "Hazards"}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def new_comparison(request: PageRequest) -> HttpResponse:
    """Show the form of a comparison; on POST plan it and redirect to its page."""
    if request.method == "POST":
        require_submit(request.user)
    origin = comparison_origin.origin(request)
    definition = _definition(request, origin)
    if request.method != "POST" or definition is None:
        forms = (
            (
                ParametersForm(definition, initial=origin and origin.params),
                _initial(request, definition, origin),
            )
            if definition
            else None
        )
        return _page(request, definition, forms, origin)
    parameters, design = (
        ParametersForm(definition, request.POST),
        CompareForm(request.POST, definition=definition),
    )
    if not (parameters.is_valid() & design.is_valid()):
        return _page(request, definition, (parameters, design), origin)
    try:
        options = design.design.options(design.varied)
        planned = planning.plan(
            definition.name,
            parameters.params,
            user=request.user,
            idempotency_key=form_key(
                design.cleaned_data["token"],
                [definition.in_clear(parameters.params), design.design.model_dump(), design.varied],
            ),
            **options,
        )
    except InvalidParameters as error:
        _name_errors(parameters, design, error.errors)
        return _page(request, definition, (parameters, design), origin)
    except PoolwiseError as error:
        design.add_error(None, str(error))
        return _page(request, definition, (parameters, design), origin)
    if planned.was_there:
        messages.info(
            request, "Already planned; nothing new was stored. Open the form again to plan another."
        )
    else:
        messages.success(request, "Comparison planned; the coordinator starts it next.")
    return redirect("poolwise:comparison", planned.pk)


def _name_errors(parameters: ParametersForm, design: CompareForm, errors: Mapping[str, str]) -> None:
    """Add each error to its field, in whichever form that is."""
    for name, text in errors.items():
        if name in design.fields:
            design.add_error(name, text)
        else:
            parameters.name_errors({name: text})


def _definition(request: HttpRequest, origin: Origin | None) -> Definition | None:
    name = request.GET.get("definition") or (origin.definition if origin else "")
    try:
        return definitions.get(name) if name else None
    except UnknownDefinition as error:
        raise Http404(str(error)) from error


def _initial(request: HttpRequest, definition: Definition, origin: Origin | None) -> CompareForm:
    if origin is not None and origin.definition == definition.name:
        return CompareForm(initial=origin.design, definition=definition)
    vary = request.GET.get("vary", "")
    # All variants on all pools would be too many.
    pools = [_pool_for_variants(definition)] if vary else list(settings.JOB_POOLS)
    return CompareForm(initial={"pools": pools, "preset": "quick", "vary": vary}, definition=definition)


def _pool_for_variants(definition: Definition) -> str:
    """Return a pool on which the variants of the definition differ."""
    models = definition.lesson.models if definition.lesson else ()
    shown = next(
        (pool.name for model in models for pool in all_pools().values() if pool.model == model), None
    )
    return shown or pool_choice.by_kind(definition).pool


def _page(
    request: PageRequest,
    definition: Definition | None,
    forms: tuple[ParametersForm, CompareForm] | None,
    origin: Origin | None,
) -> HttpResponse:
    context: dict[str, Any] = {"groups": _groups(), "definition": definition, "origin": origin}
    if definition and forms:
        parameters, design = forms
        now = pools_now()
        context |= {
            "parameters": parameters,
            "design": design,
            "boxes": [(box, now.pools[str(box.data["value"])]) for box in design["pools"].subwidgets],
            "presets": _presets(design, definition, _given(parameters), _chosen(design)),
            "can_vary": bool(planning.choices(definition)),
            "optional": [design[name] for name in ("slots", "in_flight", "seed")],
            "unavailable": definition.unavailable(),
            "failed": bool(parameters.errors or design.errors),
            "now": now,
            "disturbances": planning.disturbances(_chosen(design)),
        }
    template = "poolwise/_comparison_form.html" if request.htmx else "poolwise/comparison_new.html"
    response = render(request, template, context)
    if request.htmx:
        response["HX-Replace-Url"] = request.get_full_path()
    patch_vary_headers(response, ["HX-Request"])
    return response


def _groups() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the definitions that can run here, by kind."""
    can_run = [definition for definition in all_definitions() if not definition.unavailable()]
    groups = [
        (title, [(d.name, d.title) for d in can_run if d.kind == kind]) for kind, title in _KINDS.items()
    ]
    return [group for group in groups if group[1]]


def _given(parameters: ParametersForm) -> dict[str, Any]:
    """Return the parameters of the form, or the defaults while they are invalid."""
    if parameters.is_bound and parameters.is_valid():
        return parameters.params
    return {**parameters.definition.example(), **(parameters.initial or {})}


def _chosen(design: CompareForm) -> list[str]:
    value = design["pools"].value() or []
    return [name for name in value if name in settings.JOB_POOLS]


def _presets(
    design: CompareForm, definition: Definition, params: Mapping[str, Any], pools: list[str]
) -> list[dict[str, Any]]:
    """Return the presets with their size and estimated duration."""
    vary = design.varied
    has_own = design.is_bound and design.is_valid() and design.cleaned_data["preset"] not in PRESETS
    own = design.design.amount() if has_own else None
    rows = []
    for radio in design["preset"].subwidgets:
        key = str(radio.data["value"])
        preset = PRESETS.get(key, own)
        title, summary = (preset.title, preset.summary) if preset else OWN_LABEL
        takes_s = _takes_s(definition, params, pools, preset, vary) if preset else None
        amount = preset.options(is_sweep=bool(design["is_sweep"].value())) if preset and key != OWN else None
        rows.append(
            {
                "radio": radio,
                "key": key,
                "title": title,
                "summary": summary,
                "amount": amount,
                "takes_s": takes_s,
            }
        )
    return rows


def _takes_s(
    definition: Definition,
    params: Mapping[str, Any],
    pools: list[str],
    preset: Preset,
    vary: planning.Vary | None,
) -> float | None:
    try:
        return planning.estimate_before(definition.name, params, pools, preset, vary) if pools else None
    except PoolwiseError:  # parameters that have no default yet
        return None


@require_POST
@signed_in
def estimate(request: PageRequest) -> HttpResponse:
    """Answer with the duration of each preset for the form's values; nothing is stored."""
    definition = _definition(request, None)
    if definition is None:
        raise Http404("Not found: name a definition.")
    parameters, design = (
        ParametersForm(definition, request.POST),
        CompareForm(request.POST, definition=definition),
    )
    presets = _presets(design, definition, _given(parameters), _chosen(design))
    return render(request, "poolwise/_comparison_estimates.html", {"presets": presets})


@require_safe
@signed_in
def disturbances(request: PageRequest) -> HttpResponse:
    """Answer with what would disturb a comparison of the chosen pools now."""
    pools = [name for name in request.GET.getlist("pools") if name in settings.JOB_POOLS]
    found = planning.disturbances(list(dict.fromkeys(pools)), cpu_over_s=_CPU_OVER_S)
    return render(request, "poolwise/_disturbances.html", {"disturbances": found})

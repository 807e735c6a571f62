"""The form of a new comparison, and how long it would take."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST

from poolwise import definitions
from poolwise import lab as planning
from poolwise.control import require_submit
from poolwise.definitions import Definition, all_definitions
from poolwise.lab import OWN, OWN_LABEL, PRESETS, Preset
from poolwise.lifecycle import pool_choice
from poolwise.models import Comparison
from poolwise.pools import all_pools
from poolwise.reports import pools_now
from poolwise.support import InvalidParameters, PoolwiseError, UnknownDefinition
from poolwise.web.forms import CompareForm, ParametersForm
from poolwise.web.views.live import PageRequest, signed_in

_KINDS = {"io": "Waits", "cpu": "Computes", "mixed": "Mixed", "hazard": "Hazards"}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def new_comparison(request: PageRequest) -> HttpResponse:
    """Show the form of a comparison; on Start plan it and go to its page."""
    if request.method == "POST":
        require_submit(request.user)
    origin = _origin(request)
    found = _definition(request, origin)
    if request.method != "POST" or found is None:
        forms = (
            (ParametersForm(found, initial=origin and origin.params), _initial(request, found, origin))
            if found
            else None
        )
        return _page(request, found, forms, origin)
    parameters, design = ParametersForm(found, request.POST), CompareForm(request.POST, definition=found)
    if not (parameters.is_valid() & design.is_valid()):
        return _page(request, found, (parameters, design), origin)
    try:
        options = design.design.options(design.varied)
        planned = planning.plan(found.name, parameters.params, user=request.user, **options)
    except InvalidParameters as error:
        _name_errors(parameters, design, error.errors)
        return _page(request, found, (parameters, design), origin)
    except PoolwiseError as error:
        design.add_error(None, str(error))
        return _page(request, found, (parameters, design), origin)
    messages.success(request, "The comparison is planned; it begins as soon as the coordinator takes it.")
    return redirect("poolwise:comparison", planned.pk)


def _name_errors(parameters: ParametersForm, design: CompareForm, errors: Mapping[str, str]) -> None:
    """Put each error at the field that it is about, in whichever form that is."""
    for name, text in errors.items():
        if name in design.fields:
            design.add_error(name, text)
        else:
            parameters.name_errors({name: text})


def _definition(request: HttpRequest, origin: Comparison | None) -> Definition | None:
    name = request.GET.get("definition") or (origin.definition if origin else "")
    try:
        return definitions.get(name) if name else None
    except UnknownDefinition as error:
        raise Http404(str(error)) from error


def _origin(request: PageRequest) -> Comparison | None:
    """Return the comparison that is repeated with changes."""
    try:
        pk = UUID(request.GET.get("from", ""))
    except ValueError:
        return None
    return Comparison.objects.visible_to(request.user).filter(pk=pk).first()


def _initial(request: HttpRequest, found: Definition, origin: Comparison | None) -> CompareForm:
    if origin is None or origin.definition != found.name:
        vary = request.GET.get("vary", "")
        # Many variants on many pools are too many to compare.
        pools = [_pool_for_variants(found)] if vary else list(settings.JOB_POOLS)
        preset = "quick" if vary else "standard"
        return CompareForm(initial={"pools": pools, "preset": preset, "vary": vary}, definition=found)
    fields = (
        "rounds",
        "copies",
        "warmup",
        "calibrate",
        "in_flight",
        "arrival_rate_per_s",
        "slots",
        "is_sweep",
    )
    initial = {name: getattr(origin, name) for name in (*fields, "baseline", "seed")}
    pools = origin.pools
    initial |= {"pools": pools, "preset": origin.preset or OWN, "vary": next(iter(origin.vary or {}), "")}
    if origin.vary:
        initial["baseline"] = ""
    return CompareForm(initial=initial, definition=found)


def _pool_for_variants(found: Definition) -> str:
    """Return a pool that shows what the variants of a definition do."""
    models = found.lesson.models if found.lesson else ()
    shown = next(
        (pool.name for model in models for pool in all_pools().values() if pool.model == model), None
    )
    return shown or pool_choice.by_kind(found).pool


def _page(
    request: PageRequest,
    found: Definition | None,
    forms: tuple[ParametersForm, CompareForm] | None,
    origin: Comparison | None,
) -> HttpResponse:
    context: dict[str, Any] = {"groups": _groups(), "definition": found, "origin": origin}
    if found and forms:
        parameters, design = forms
        now = pools_now()
        context |= {
            "parameters": parameters,
            "design": design,
            "boxes": [(box, now.pools[str(box.data["value"])]) for box in design["pools"].subwidgets],
            "presets": _presets(design, found, _given(parameters), _chosen(design)),
            "can_vary": bool(planning.choices(found)),
            "optional": [design[name] for name in ("slots", "in_flight", "arrival_rate_per_s", "seed")],
            "unavailable": found.unavailable(),
            "failed": bool(parameters.errors or design.errors),
            "now": now,
        }
    template = "poolwise/_comparison_form.html" if request.htmx else "poolwise/comparison_new.html"
    response = render(request, template, context)
    if request.htmx:
        response["HX-Replace-Url"] = request.get_full_path()
    patch_vary_headers(response, ["HX-Request"])
    return response


def _groups() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the definitions that can run here, by kind."""
    can_run = [found for found in all_definitions() if not found.unavailable()]
    groups = [
        (title, [(d.name, d.title) for d in can_run if d.kind == kind]) for kind, title in _KINDS.items()
    ]
    return [group for group in groups if group[1]]


def _given(parameters: ParametersForm) -> dict[str, Any]:
    """Return the parameters of the form, or the defaults while they do not fit."""
    if parameters.is_bound and parameters.is_valid():
        return parameters.params
    return {**parameters.definition.example(), **(parameters.initial or {})}


def _chosen(design: CompareForm) -> list[str]:
    value = design["pools"].value() or []
    return [name for name in value if name in settings.JOB_POOLS]


def _presets(
    design: CompareForm, found: Definition, params: Mapping[str, Any], pools: list[str]
) -> list[dict[str, Any]]:
    """Return the presets with what each measures and about how long it takes."""
    vary = design.varied
    has_own = design.is_bound and design.is_valid() and design.cleaned_data["preset"] not in PRESETS
    own = design.design.amount(vary) if has_own else None
    variants = len(planning.variants_of(pools, vary))
    rows = []
    for radio in design["preset"].subwidgets:
        key = str(radio.data["value"])
        preset = PRESETS[key].for_variants(variants) if key in PRESETS else own
        title, summary = (preset.title, preset.summary) if preset else OWN_LABEL
        takes_s = _takes_s(found, params, pools, preset, vary) if preset else None
        amount = preset if key != OWN else None
        rows.append(
            {
                "radio": radio,
                "key": key,
                "title": title,
                "worth": summary,
                "amount": amount,
                "takes_s": takes_s,
            }
        )
    return rows


def _takes_s(
    found: Definition, params: Mapping[str, Any], pools: list[str], preset: Preset, vary: planning.Vary | None
) -> float | None:
    try:
        return planning.estimate_before(found.name, params, pools, preset, vary) if pools else None
    except PoolwiseError:  # parameters that have no default yet
        return None


@require_POST
@signed_in
def estimate(request: PageRequest) -> HttpResponse:
    """Answer with how long each preset takes with what the form holds; nothing is stored."""
    found = _definition(request, None)
    if found is None:
        raise Http404("Name a definition.")
    parameters, design = ParametersForm(found, request.POST), CompareForm(request.POST, definition=found)
    presets = _presets(design, found, _given(parameters), _chosen(design))
    return render(request, "poolwise/_comparison_estimates.html", {"presets": presets})

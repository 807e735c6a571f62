"""Addresses of the pages."""

from django.urls import path

from poolwise.web import views

app_name = "poolwise"
urlpatterns = [
    path("", views.catalogue, name="catalogue"),
    path("definitions/<str:name>/", views.definition, name="definition"),
    path("pools/", views.pools, name="pools"),
    path("jobs/", views.jobs, name="jobs"),
    path("jobs/<uuid:pk>/", views.job, name="job"),
    path("jobs/<uuid:pk>/result.json", views.result, name="result"),
    path("jobs/<uuid:pk>/again/", views.run_again, name="run-again"),
    path("jobs/<uuid:pk>/cancel/", views.cancel, name="cancel"),
    path("comparisons/", views.comparisons, name="comparisons"),
    path("comparisons/new/", views.new_comparison, name="new-comparison"),
    path("comparisons/estimate/", views.estimate, name="estimate"),
    path("comparisons/disturbances/", views.disturbances, name="disturbances"),
    path("comparisons/<uuid:pk>/", views.comparison, name="comparison"),
    path("comparisons/<uuid:pk>/cancel/", views.cancel_comparison, name="cancel-comparison"),
    path("comparisons/<uuid:pk>/bundle.zip", views.comparison_bundle, name="comparison-bundle"),
    path("comparisons/<uuid:pk>/report.html", views.comparison_report, name="comparison-report"),
    path(
        "comparisons/<uuid:pk>/charts/<slug:key>.<str:kind>", views.comparison_chart, name="comparison-chart"
    ),
    path("favicon.ico", views.favicon, name="favicon"),
    path("healthz", views.healthz, name="healthz"),
]

"""The admin: a viewer of the ledger whose actions call `submission`, and a dashboard on its index."""

from django.contrib import admin

from poolwise.admin import audit, comparison, job, pause, pin, pool, result, token

__all__ = ["audit", "comparison", "job", "pause", "pin", "pool", "result", "token"]

admin.site.site_header = "Poolwise"
admin.site.site_title = "Poolwise admin"
admin.site.index_title = "Dashboard"
# The lists are wide, and what there is to choose from fits on the index.
admin.site.enable_nav_sidebar = False
# A name of its own: `admin/index.html` itself belongs to django.contrib.admin, which the site lists first.
admin.site.index_template = "admin/poolwise/index.html"

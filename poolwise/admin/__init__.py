"""The admin: read-only lists whose actions call `submission` and `control`, and a dashboard on its index.

`base` and `filters` are what the lists share; then one file per model; `actions` and `export` belong to the job list.
"""

from django.contrib import admin

from poolwise.admin import audit, comparison, job, pause, pin, pool, result, token

__all__ = ["audit", "comparison", "job", "pause", "pin", "pool", "result", "token"]

admin.site.site_header = "Poolwise"
admin.site.site_title = "Poolwise admin"
admin.site.index_title = "Dashboard"
# The lists are wide, and the index shows every model.
admin.site.enable_nav_sidebar = False
# Not `admin/index.html`: INSTALLED_APPS lists django.contrib.admin first, so its template would win.
admin.site.index_template = "admin/poolwise/index.html"

"""A worker that says it has many slots and runs one job at a time: what a library's lock or a wrong carrier does.

Start it with `DJANGO_SETTINGS_MODULE=tests.lab.one_slot.settings`.
"""

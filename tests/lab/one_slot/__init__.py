"""A worker that reports many slots and runs one job at a time, as a library's lock can cause.

Start it with `DJANGO_SETTINGS_MODULE=tests.lab.one_slot.settings`.
"""

"""Validity checks: what can take variants out of the answer.

Read `inputs`, then `fairness` and `measured`, whose checks are pure.
"""

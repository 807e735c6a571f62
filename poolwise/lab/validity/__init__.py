"""Validity checks: what can withhold a verdict. Read `inputs`, then `fairness` and `measured`, whose checks are pure."""

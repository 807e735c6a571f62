"""Validity checks."""

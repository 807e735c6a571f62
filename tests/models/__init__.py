"""Tests of `poolwise.models`."""

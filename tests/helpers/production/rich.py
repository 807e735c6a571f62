"""Hides Rich, which only development has, from what the tests start: structlog and httpx would load it."""

raise ImportError("as in production")

"""The pages."""

from poolwise.web.views import CANCEL_LEVELS, nowhere

__all__ = [
    "CANCEL_LEVELS",
    "nowhere",
    "views",
]

"""The browsers of the pages' tests, for the doors that are pages."""

from tests.web.conftest import bob, sent

__all__ = ["bob", "sent"]

"""The pages: views, forms and what both share.

Its modules are imported where they are used: the views need the packages of the extra `web`.
"""

__all__ = ["client_ip", "forms", "views"]

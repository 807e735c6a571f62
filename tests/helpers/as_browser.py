"""What a browser sends of a form that nobody touched, or in which somebody typed."""

import re
from html.parser import HTMLParser
from typing import Any

from django import forms
from django.http import QueryDict

_NUMBER = re.compile(r"-?(\d+|\d*\.\d+)([eE][-+]?\d+)?")


class _Inputs(HTMLParser):
    """Reads the values that stand in a form's inputs, as a browser does."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._within = ""
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found: dict[str, Any] = dict(attrs)
        if tag == "input":
            self._input(found)
        elif tag in ("textarea", "select"):
            self._within, self._text = found["name"], ""
        elif tag == "option" and ("selected" in found or self._within not in self.values):
            self.values[self._within] = found["value"]

    def _input(self, found: dict[str, Any]) -> None:
        value = re.sub(r"[\r\n]", "", found.get("value", ""))
        if found["type"] == "checkbox":
            value = found.get("value", "on")
            if "checked" not in found:
                return
        elif found["type"] == "number" and not _NUMBER.fullmatch(value):
            value = ""
        self.values[found["name"]] = value

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            lines = re.split(r"\r\n|\r|\n", self._text)
            self.values[self._within] = "\r\n".join(lines if lines[0] or len(lines) == 1 else lines[1:])


def sent(form: forms.Form, **typed: str) -> QueryDict:
    """Return what a browser posts of a form that is shown, with some parameters typed over."""
    inputs = _Inputs()
    inputs.feed("".join(map(str, form)))
    data = QueryDict(mutable=True)
    data.update({**inputs.values, **{form.add_prefix(name): value for name, value in typed.items()}})
    return data

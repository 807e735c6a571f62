"""An HTML document as its tags, checked for what a file that opens offline must not have."""

from html.parser import HTMLParser

_VOID = {"meta", "br", "link", "img", "input", "hr"}


class StrictHtml(HTMLParser):
    """The tags, attributes and texts of a document. Raise AssertionError where tags do not match."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str | None] = []
        self._open: list[str] = []
        self._texts: list[str] = []
        self.feed(document)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and that it is open."""
        self.handle_startendtag(tag, attrs)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag with its attributes."""
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self._texts.append(data)

    @property
    def text(self) -> str:
        """Return the texts, one after another, on one line."""
        return " ".join(" ".join(self._texts).split())

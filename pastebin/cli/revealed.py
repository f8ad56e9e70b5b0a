"""The contents of a protected paste with several files, as the API's JSON gives them."""

from __future__ import annotations

import base64
from typing import Literal

import msgspec
import orjson

from pastebin.cli.failures import LocalFileError
from pastebin.cli.messages import show, tell
from pastebin.cli.sinks import open_sink


class RevealedFile(msgspec.Struct):
    content: str
    name: str | None = None
    encoding: Literal["utf-8", "base64"] = "utf-8"

    def body(self) -> bytes:
        """Raises ValueError."""
        if self.encoding == "base64":
            return base64.b64decode(self.content, validate=True)
        return self.content.encode("utf-8")


class Revealed(msgspec.Struct):
    files: list[RevealedFile]


def write_revealed(document: bytes, name: str | None, output: str | None, *, several_to: bool) -> None:
    """Write the chosen file, or all of them to a directory; where neither fits, the document itself.

    A reading has been used up, so nothing that arrived may be lost.
    """
    contents = _decode(document)
    chosen = [content for content in contents if name is None or content[0] == name]
    if len(chosen) == 1 or (chosen and several_to):
        for number, (file_name, body) in enumerate(chosen, 1):
            try:
                with open_sink(output, file_name or f"file-{number}") as sink:
                    sink.write(body)
                    sink.complete()
            except LocalFileError:
                tell("the paste was written to standard output, as JSON, because of this:")
                show(document.decode())
                raise
        return
    if contents:
        tell("this paste has several files; they were written as one JSON document")
    if several_to:
        output = None
    with open_sink(output, "") as sink:
        sink.write(document)
        sink.complete()


def _decode(document: bytes) -> list[tuple[str | None, bytes]]:
    try:
        revealed = msgspec.convert(orjson.loads(document), Revealed)
        return [(file.name, file.body()) for file in revealed.files]
    except ValueError:
        tell("the server's answer was not understood; it was written as it came")
        return []

"""The contents of a protected paste with several files, as the API's JSON gives them."""

from __future__ import annotations

import base64
from typing import Literal

import msgspec
import orjson

from pastebin.cli.failures import LocalFileError, Refused
from pastebin.cli.messages import show, tell
from pastebin.cli.sinks import open_sink

Content = tuple[str | None, bytes]


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

    A reading has been used up, so nothing that arrived may be lost. Where no file has that `name` all of them are
    written, to no place that was meant for it, and Refused is raised.
    """
    contents = _decode(document)
    chosen = [content for content in contents if name is None or content[0] == name]
    if contents and not chosen:
        place = _write_all(document, contents, output, several_to=several_to)
        names = ", ".join(file_name or "(unnamed)" for file_name, _ in contents)
        raise Refused(f"this paste has no file {name}; it has: {names}\nso that nothing is lost all of it is {place}")
    if len(chosen) == 1 or (chosen and several_to):
        _write_files(document, chosen, output)
        return
    if contents:
        tell("this paste has several files; they were written as one JSON document")
    with open_sink(None if several_to else output, "") as sink:
        sink.write(document)
        sink.complete()


def _write_files(document: bytes, contents: list[Content], output: str | None) -> None:
    for number, (file_name, body) in enumerate(contents, 1):
        try:
            with open_sink(output, file_name or f"file-{number}") as sink:
                sink.write(body)
                sink.complete()
        except LocalFileError:
            tell("the paste was written to standard output, as JSON, because of this:")
            show(document.decode())
            raise


def _write_all(document: bytes, contents: list[Content], output: str | None, *, several_to: bool) -> str:
    """Where it is now: in the directory, beside the file that would have been replaced, or on standard output."""
    if several_to:
        _write_files(document, contents, output)
        return f"in {output}"
    with open_sink(output, "") as sink:
        sink.write(document)
        if kept := sink.salvage():
            return f"in {kept}, as JSON"
        sink.complete()
    return "on standard output, as JSON" if output in (None, "-") else f"in {output}, as JSON"


def _decode(document: bytes) -> list[Content]:
    try:
        revealed = msgspec.convert(orjson.loads(document), Revealed)
        return [(file.name, file.body()) for file in revealed.files]
    except ValueError:
        tell("the server's answer was not understood; it was written as it came")
        return []

"""Credentials that somebody is about to publish by mistake: what they look like, and where in a text they stand. Pure.

The shapes are those that the issuers document for their own scanners; only ones that hardly anything else looks like.
What was found is named by its kind and line, never quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Of all files of a paste. Enough for settings and the beginning of a log; a disk image is not gone through.
MOST_BYTES = 1024**2
_MOST_FOUND = 20
# No shape is longer, so that it is found even where it lies across two chunks.
_OVERLAP_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of credential. Every text of it holds one of `anchors`, which is much faster to look for."""

    kind: str
    anchors: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


@dataclass(frozen=True, slots=True)
class Finding:
    """The line, from 1, on which a credential begins."""

    kind: str
    line: int


def _shape(kind: str, anchors: bytes, pattern: bytes) -> Shape:
    return Shape(kind, tuple(anchors.split()), re.compile(pattern))


SHAPES = (
    _shape("private key", b"PRIVATE", rb"-----BEGIN (?:[A-Z0-9]{2,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    _shape("private key of PuTTY", b"PuTTY-User-Key-File", rb"PuTTY-User-Key-File-[23]: "),
    _shape("private key of age", b"AGE-SECRET-KEY-1", rb"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _shape("AWS access key", b"AKIA ASIA", rb"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _shape("Azure storage key", b"AccountKey=", rb"AccountKey=[A-Za-z0-9+/]{86}=="),
    _shape("Google API key", b"AIza", rb"(?<![A-Za-z0-9])AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"),
    _shape("Google client secret", b"GOCSPX-", rb"GOCSPX-[A-Za-z0-9_-]{28}"),
    _shape("DigitalOcean token", b"_v1_", rb"do[opr]_v1_[0-9a-f]{64}"),
    _shape("GitHub token", b"ghp_ gho_ ghu_ ghs_ ghr_", rb"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _shape("GitHub token", b"github_pat_", rb"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _shape("GitLab token", b"glpat-", rb"glpat-[A-Za-z0-9_-]{20,300}"),
    _shape("npm token", b"npm_", rb"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _shape("PyPI token", b"pypi-AgE", rb"pypi-AgE[A-Za-z0-9_-]{50,1000}"),
    _shape("Docker Hub token", b"dckr_pat_", rb"dckr_pat_[A-Za-z0-9_-]{27}"),
    _shape("Hugging Face token", b"hf_", rb"(?<![A-Za-z0-9])hf_[A-Za-z]{34}(?![A-Za-z0-9])"),
    _shape("Slack token", b"xox", rb"xox[abeoprs]-[0-9A-Za-z-]{10,250}"),
    _shape("Slack webhook", b"slack.com", rb"slack\.com/services/T[A-Z0-9]{6,20}/B[A-Z0-9]{6,20}/[A-Za-z0-9]{20}"),
    _shape("Stripe key", b"_live_", rb"(?:sk|rk)_live_[0-9A-Za-z]{16,250}"),
    _shape("SendGrid key", b"SG.", rb"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _shape("Telegram bot token", b":AA", rb"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
    _shape(
        "secret API key",
        b"sk-ant- T3BlbkFJ",
        rb"sk-(?:ant-[A-Za-z0-9_-]{20,250}|[A-Za-z0-9_-]{0,100}T3BlbkFJ[A-Za-z0-9_-]{20,})",
    ),
    # RFC 7519 in the compact form of RFC 7515: header and claims begin with {" in base64url
    _shape("JSON Web Token", b".eyJ", rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,500}\.eyJ[A-Za-z0-9_-]{8,}"),
    # RFC 3986, section 3.2.1
    _shape(
        "password in an address",
        b"://",
        rb"://[^\s:/?#@\"'<>{}]{0,100}:[^\s/?#@\"'<>{}$*]{3,200}@[A-Za-z0-9\[]",
    ),
)


class Scanner:
    """Goes through one file as it arrives. Holds a line or so of it; at most `most_bytes` are looked at.

    The work is in proportion to what is looked at, whatever stands there: each shape is looked for once from line to
    line, and none has a part without a bound.
    """

    __slots__ = ("_lines", "_tail", "found", "left")

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.found: list[Finding] = []
        self.left = most_bytes
        self._tail = b""
        self._lines = 0  # before the tail

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the file."""
        chunk = chunk[: self.left]
        if not chunk:
            return
        self.left -= len(chunk)
        text = self._tail + chunk
        known = set(self.found)
        for shape in SHAPES:
            if len(known) < _MOST_FOUND and any(anchor in text for anchor in shape.anchors):
                known.update(self._lines_of(shape, text))
        self.found = sorted(known, key=lambda finding: (finding.line, finding.kind))[:_MOST_FOUND]
        keep = len(text) - min(len(text), _OVERLAP_BYTES)
        self._lines += text.count(b"\n", 0, keep)
        self._tail = text[keep:]

    def _lines_of(self, shape: Shape, text: bytes) -> Iterator[Finding]:
        """The lines on which it stands, some of the first."""
        line, counted, start = self._lines + 1, 0, 0
        for _ in range(_MOST_FOUND):
            match = shape.pattern.search(text, start)
            if match is None:
                return
            line += text.count(b"\n", counted, match.start())
            counted = match.start()
            yield Finding(shape.kind, line)
            start = text.find(b"\n", match.start())
            if start < 0:
                return


def scan(content: bytes) -> list[Finding]:
    """What a whole file holds."""
    scanner = Scanner()
    scanner.feed(content)
    return scanner.found

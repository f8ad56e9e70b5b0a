"""The syntaxes a file can be shown in, and which of them a name or a first line speaks for.

The table comes from Pygments' own index, so no lexer is imported; plug-ins are left out, because a paste must look the
same on every node.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pygments.lexers import get_all_lexers

HEAD_BYTES = 4096  # enough for `guess`: it reads the first five lines


@dataclass(frozen=True, slots=True)
class Syntax:
    """One syntax; `name` is the alias that stands in the database, in URLs and in the API."""

    name: str
    label: str
    aliases: tuple[str, ...]
    patterns: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Whether its source has no colours."""
        return self.name in _PLAIN

    @property
    def extensions(self) -> tuple[str, ...]:
        """The patterns that are plain extensions, without the dot."""
        return tuple(pattern[2:] for pattern in self.patterns if _is_extension(pattern))


# What Pygments has no lexer for; pages have other views of it.
_OWN = (
    Syntax("csv", "CSV", ("csv",), ("*.csv",)),
    Syntax("tsv", "Tab-separated values", ("tsv", "tab"), ("*.tsv", "*.tab")),
    Syntax("ansi", "Terminal output", ("ansi", "terminal"), ("*.ansi", "*.ans")),
)
_PLAIN = frozenset({"csv", "text", "tsv"})

# Better known under another of its aliases, or another label, than Pygments' first.
_RENAMED = {
    "text": ("text", "Plain text"),
    "splus": ("r", "R"),
    "nixos": ("nix", "Nix"),
    "nimrod": ("nim", "Nim"),
    "vb.net": ("vbnet", "Visual Basic .NET"),
    "emacs-lisp": ("elisp", "Emacs Lisp"),
}

_MORE_ALIASES = {
    "text": ("plain", "plaintext", "txt", "none", "log"),
    "javascript": ("jsonp", "node"),
    "markdown": ("mkd",),
    "diff": ("patch",),
}

_MORE_PATTERNS = {
    "text": "*.log *.log.[0-9]* *.out README LICENSE COPYING AUTHORS NEWS ChangeLog INSTALL TODO",
    "apacheconf": "httpd.conf",
    "bash": ".profile .env *.env .envrc *.bats",
    "docker": "Dockerfile.* Containerfile *.dockerfile",
    "graphql": "*.gql",
    "groovy": "Jenkinsfile",
    "html+django": "*.jinja *.jinja2 *.j2",
    "ini": ".gitconfig .npmrc .flake8 .pylintrc *.conf",
    "json": "*.ipynb *.geojson *.webmanifest .babelrc .eslintrc",
    "make": "BSDmakefile",
    "rhtml": "*.erb",
    "ruby": "Brewfile Podfile Guardfile Capfile Fastfile config.ru",
    "toml": "Cargo.lock uv.lock",
    "typescript": "*.mts *.cts",
    "xml": "*.plist *.csproj *.vcxproj *.xaml *.kml *.gpx",
    "html": "*.svelte",
    "yaml": ".clang-format .clang-tidy *.sublime-syntax",
}

# A rotated log (`access.1`) is far more often pasted than a manual page; the worker knows the latter by its content.
_DROPPED = frozenset({("groff", "*.[1-9]")})

# Where several syntaxes claim a pattern; elsewhere the first in Pygments' order has it.
_PREFERRED = {
    "*.as": "actionscript3",
    "*.bas": "qbasic",
    "*.cp": "cpp",
    "*.ecl": "prolog",
    "*.feature": "gherkin",
    "*.fs": "fsharp",
    "*.g": "antlr",
    "*.gd": "gdscript",
    "*.h": "c",
    "*.hh": "cpp",
    "*.inc": "php",
    "*.inf": "ini",
    "*.lean": "lean4",
    "*.m": "objective-c",
    "*.mac": "maxima",
    "*.mm": "objective-c++",
    "*.n": "nemerle",
    "*.pl": "perl",
    "*.pm": "perl",
    "*.pro": "prolog",
    "*.prolog": "prolog",
    "*.p": "openedge",
    "*.r": "r",
    "*.s": "gas",
    "*.sc": "supercollider",
    "*.scd": "supercollider",
    "*.sql": "sql",
    "*.t": "perl",
    "*.toc": "tex",
    "*.ttl": "turtle",
    "*.v": "verilog",
    "*.xsl": "xslt",
    "*.xslt": "xslt",
}

# What in the head makes an ambiguous extension mean something else.
_REFINED: dict[str, tuple[tuple[re.Pattern[bytes], str], ...]] = {
    "*.h": (
        (re.compile(rb"^[ \t]*@(?:interface|protocol|class)\b", re.M), "objective-c"),
        (
            re.compile(rb"^[ \t]*(?:class\s+\w+|namespace\b|template\s*<|using\s+\w|public:|private:)", re.M),
            "cpp",
        ),
    ),
    "*.m": (
        (
            re.compile(rb"^[ \t]*(?:#import|#include|@interface|@implementation|@import|@class)\b", re.M),
            "objective-c",
        ),
        (re.compile(rb"^[ \t]*(?:%|function\b|clear\b|clc\b|\w+\s*=\s*[\[\w])", re.M), "matlab"),
    ),
    "*.pl": ((re.compile(rb"^(?::-|[a-z]\w*\([^)\n]*\)\s*(?::-|\.\s*$))", re.M), "prolog"),),
    "*.ts": ((re.compile(rb"\A\s*<(?:\?xml|!DOCTYPE TS)"), "xml"),),
    "*.v": ((re.compile(rb"^(?:Require|From|Theorem|Lemma|Definition|Inductive|Section)\s", re.M), "coq"),),
}

_INTERPRETERS = {
    "ash": "bash",
    "babashka": "clojure",
    "bb": "clojure",
    "bun": "typescript",
    "dash": "bash",
    "deno": "typescript",
    "escript": "erlang",
    "gawk": "awk",
    "gmake": "make",
    "guile": "scheme",
    "jruby": "ruby",
    "luajit": "lua",
    "mawk": "awk",
    "nawk": "awk",
    "nodejs": "javascript",
    "osascript": "applescript",
    "pypy": "python",
    "pwsh": "powershell",
    "racket": "racket",
    "rscript": "r",
    "runghc": "haskell",
    "runhaskell": "haskell",
    "sbcl": "common-lisp",
    "ts-node": "typescript",
    "tsx": "typescript",
    "uv": "python",
    "wish": "tcl",
}

# What editors call them, where find() would not know.
_EDITOR_NAMES = {
    "conf": "ini",
    "cs": "csharp",
    "dosbatch": "batch",
    "dosini": "ini",
    "dockerfile": "docker",
    "emacs-lisp": "elisp",
    "fundamental": "text",
    "javascriptreact": "jsx",
    "js2": "javascript",
    "makefile": "make",
    "nroff": "groff",
    "objc": "objective-c",
    "plaintex": "tex",
    "shell-script": "bash",
    "typescriptreact": "tsx",
}

_BEFORE_DECLARATION = b"< \t\n\r\v\f"
_SHEBANG = re.compile(rb"#![ \t]*(\S+)((?:[ \t]+\S+){0,8})")
_VERSION = re.compile(r"-?[\d.]+$")
_VIM = re.compile(
    rb"(?:^|[ \t])(?:vim?|ex)\d*:(?:[ \t]*set?[ \t])?[^\n]{0,200}?\b(?:ft|filetype|syntax|syn)=([\w+#.-]{1,40})"
)
_EMACS = re.compile(rb"-\*-[ \t]*(?:[^\n]{0,200}?\bmode:[ \t]*)?([\w+#-]{1,40})[ \t]*(?:;[^\n]{0,200}?)?-\*-", re.I)


def find(word: str) -> Syntax | None:
    """The syntax of an alias, an extension (with or without its dot) or a label, in any case; None if there is none."""
    key = word.strip().lower().removeprefix(".")
    return _BY_ALIAS.get(key) or _BY_LOWER_PATTERN.get(f"*.{key}") or _BY_LABEL.get(key)


def guess(file_name: str | None, head: bytes) -> Syntax | None:
    """What the modeline, the name or the first line says, in this order; None where only the content can tell.

    Linear in the first `HEAD_BYTES` of the file; content statistics are the worker's business.
    """
    head = head[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
    return (
        _from_modeline(head)
        or (_from_name(file_name, head) if file_name else None)
        or (_from_shebang(head) if head.startswith(b"#!") else None)
        or (_from_declaration(head) if head[:1] in _BEFORE_DECLARATION and head.lstrip().startswith(b"<") else None)
    )


def claimed(syntax: Syntax) -> list[str]:
    """The patterns of names that speak for this syntax and no other."""
    return [pattern for pattern, owner in _BY_PATTERN.items() if owner is syntax]


def _from_name(file_name: str, head: bytes) -> Syntax | None:
    name = re.split(r"[/\\]", file_name[-255:])[-1].strip()
    for patterns, spelling in ((_BY_PATTERN, name), (_BY_LOWER_PATTERN, name.lower())):
        for candidate in _candidates(spelling):
            if candidate in patterns:
                return _refine(candidate, head) or patterns[candidate]
    for expression, syntax in _ODD_PATTERNS:
        if expression.match(name):
            return syntax
    return None


def _candidates(name: str) -> Iterator[str]:
    """The name itself, then its extensions, the longest first."""
    yield name
    dot = name.find(".")
    while dot != -1:
        yield f"*{name[dot:]}"
        dot = name.find(".", dot + 1)


def _refine(pattern: str, head: bytes) -> Syntax | None:
    for expression, alias in _REFINED.get(pattern, ()):
        if expression.search(head):
            return _BY_ALIAS[alias]
    return None


def _from_shebang(head: bytes) -> Syntax | None:
    line = _SHEBANG.match(head)
    if line is None:
        return None
    words = [word.decode("latin-1") for word in (line[1], *line[2].split())]
    program = words[0].rpartition("/")[2]
    if program == "env":
        program = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
        program = program.rpartition("/")[2]
    program = program.lower()
    for spelling in (program, _VERSION.sub("", program)):
        alias = _INTERPRETERS.get(spelling, spelling)
        if alias in _BY_ALIAS:
            return _BY_ALIAS[alias]
    return None


def _from_declaration(head: bytes) -> Syntax | None:
    start = head.lstrip()[:64].lower()
    if start.startswith(b"<?php"):
        return _BY_ALIAS["php"]
    if start.startswith(b"<?xml"):
        return _BY_ALIAS["html" if b"<html" in head.lower() else "xml"]
    if start.startswith(b"<!doctype html"):
        return _BY_ALIAS["html"]
    return None


def _from_modeline(head: bytes) -> Syntax | None:
    # what every modeline holds is looked for first, because hardly any file has one
    if not (b"=" in head and b":" in head) and not (b"*" in head and b"-*-" in head):
        return None
    for line in head.split(b"\n", 5)[:5]:
        found = _EMACS.search(line[:400]) if b"-*-" in line else None
        if found is None and b"=" in line and b":" in line and (b"vi" in line or b"ex" in line):
            found = _VIM.search(line[:400])
        if found is not None:
            word = found[1].decode("latin-1").lower().removesuffix("-mode").removesuffix("-ts")
            syntax = find(_EDITOR_NAMES.get(word, word))
            if syntax is not None:
                return syntax
    return None


def _is_extension(pattern: str) -> bool:
    return pattern.startswith("*.") and not any(letter in pattern[2:] for letter in "*?[")


def _load() -> Iterator[Syntax]:
    for label, aliases, patterns, _ in get_all_lexers(plugins=False):
        if not aliases:
            continue
        name, shown = _RENAMED.get(aliases[0], (aliases[0], label))
        extra = _MORE_PATTERNS.get(name, "").split()
        yield Syntax(
            name=name,
            label=shown,
            aliases=(*aliases, *_MORE_ALIASES.get(name, ())),
            patterns=tuple(dict.fromkeys(p for p in (*patterns, *extra) if (name, p) not in _DROPPED)),
        )
    yield from _OWN


def _index_patterns(syntaxes: Iterable[Syntax]) -> dict[str, Syntax]:
    """Pattern -> the syntax that has it."""
    index: dict[str, Syntax] = {}
    for syntax in syntaxes:
        for pattern in syntax.patterns:
            index.setdefault(pattern, syntax)
    return index | {pattern: _BY_ALIAS[alias] for pattern, alias in _PREFERRED.items()}


def _lower(patterns: dict[str, Syntax]) -> dict[str, Syntax]:
    """The same in lower case; a pattern that is lower-case itself goes before one that is not (`*.c` before `*.C`)."""
    lowered = {pattern.lower(): syntax for pattern, syntax in patterns.items()}
    return lowered | {pattern: syntax for pattern, syntax in patterns.items() if pattern == pattern.lower()}


ALL: tuple[Syntax, ...] = tuple(sorted(_load(), key=lambda syntax: syntax.label.lower()))
_BY_ALIAS = {alias.lower(): syntax for syntax in ALL for alias in (syntax.name, *syntax.aliases)}
_BY_LABEL = {syntax.label.lower(): syntax for syntax in ALL}
_BY_PATTERN = _index_patterns(ALL)
_BY_LOWER_PATTERN = _lower(_BY_PATTERN)
_ODD_PATTERNS = [
    (re.compile(fnmatch.translate(pattern)), syntax)
    for pattern, syntax in _BY_PATTERN.items()
    if not _is_extension(pattern) and any(letter in pattern for letter in "*?[")
]
PLAIN = _BY_ALIAS["text"]
TERMINAL = _BY_ALIAS["ansi"]

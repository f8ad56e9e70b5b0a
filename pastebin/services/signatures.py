"""What unnamed text most likely is, judged by constructs that hardly occur in anything else.

Pygments' own statistics take Go for Python and prose for GDScript. Here a syntax needs evidence worth `ENOUGH`, and
more than any other has; else the text stays plain, which is never wrong. Only the highlighting worker runs this.
"""

from __future__ import annotations

import re

HEAD_CHARACTERS = 8192
LINE_CHARACTERS = 200  # expressions see no more of a line, and no blank lines: none can be slow
ENOUGH = 3.0

# What a dialect's base proves, proves nothing against the dialect.
_DIALECTS = {"typescript": "javascript", "cpp": "c"}

_EVIDENCE: dict[str, tuple[tuple[float, str], ...]] = {
    "bash": (
        (3, r"^\s*(?:if|elif|while|until) (?:!\s)?(?:\[\[? |test )"),
        (2, r"(?:^|;)\s*(?:then|do)\s*$"),
        (2, r"^\s*(?:fi|done|esac)\b"),
        (3, r"^(?:function )?\w+ ?\(\) ?\{"),
        (3, r"^\s*set -[euxo]+\b"),
        (1, r"^\s*(?:export \w+=|alias \w+=|source \S|sudo |echo |apt(?:-get)? |curl |chmod )"),
        (1, r"\$\(|\"?\$\{?\w+\}?\"?"),
        (1, r"\|\| exit|2>&1|>/dev/null| && "),
    ),
    "c": (
        (3, r"^\s*#\s*include\s*[<\"]"),
        (2, r"^\s*#\s*(?:define \w|ifdef|ifndef|if defined)"),
        (2, r"\bint main\s*\("),
        (2, r"^\s*(?:typedef |static inline |struct \w+ \{)"),
        (1, r"\b(?:printf|malloc|sizeof|memcpy)\("),
    ),
    "clojure": ((4, r"^\((?:ns [\w.-]+|defn |def )"),),
    "common-lisp": ((4, r"^\s*\((?:defun|defmacro|defvar|defparameter|in-package) "),),
    "console": (
        (4, r"^(?:\[?[\w.-]+@[\w.-]+[ :][^\n$#]{0,80}\]?[$#] )\S"),
        (3, r"\A\$ \w[^\n]*\n(?:[^\n]*\n){1,20}?\$ \w"),
    ),
    "cpp": (
        (3, r"\bstd::\w|\busing namespace \w"),
        (3, r"^\s*#\s*include <(?:iostream|vector|string|map|memory|algorithm|cstdio|cstdint)>"),
        (3, r"^\s*template ?<"),
        (2, r"^\s*(?:public|private|protected):\s*$"),
        (1, r"\b(?:nullptr|constexpr|static_cast<|auto&?)\b"),
    ),
    "csharp": (
        (2, r"^\s*using (?:static )?[A-Z][\w.]*;"),
        (2, r"^\s*namespace [\w.]+\s*[;{]?\s*$"),
        (3, r"\bConsole\.(?:Write|Read)|\{ get; "),
        (
            2,
            r"^\s*(?:public|private|internal|protected) (?:(?:static|async|override|sealed|partial|readonly) )*"
            r"(?:class|struct|record|void|string|int|bool|Task)\b",
        ),
    ),
    "css": (
        (1.5, r"^\s*(?:[.#]?[\w-]+|\*)(?:[ ,.:>#\[][^{};]*)?\{\s*$"),
        (
            2,
            r"\b(?:color|margin|padding|display|font-size|font-family|background|width|border)\s*:\s*[^;{}]+;",
        ),
        (1.5, r"^\s*[.#]?[\w-]+[ ,.:>#\w-]*\{ *[\w-]+ *:[^;{}]+;"),
        (3, r"^\s*@(?:media|keyframes|font-face|import url)\b"),
    ),
    "diff": (
        (5, r"^diff --(?:git|cc) "),
        (5, r"^--- \S.*\n\+\+\+ \S"),
        (4, r"^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@"),
        (5, r"^\*\*\* \S.*\n--- \S"),
    ),
    "docker": (
        (2, r"^FROM [\w./:${}-]+(?: [Aa][Ss] [\w-]+)?\s*$"),
        (2, r"^(?:RUN|COPY|ENTRYPOINT|CMD|WORKDIR|EXPOSE|ENV|ADD) \S"),
    ),
    "elixir": ((4, r"^\s*defmodule [\w.]+ do\s*$"), (2, r"^\s*defp? \w+.* do\s*$")),
    "erlang": ((5, r"^-module\(\w+\)\."),),
    "go": (
        (3, r"^package \w+\s*$"),
        (3, r"^func (?:\(\w+ \*?\w+\) )?\w+\("),
        (2, r"^import (?:\(\s*$|\")"),
        (1, r" := "),
        (2, r"\bfmt\.[A-Z]\w+\(|\bif err != nil\b"),
    ),
    "groff": ((4, r"^\.(?:TH|Dd|SH|\\\") ?"),),
    "haskell": (
        (3, r"^module [\w.]+.*\bwhere\b"),
        (3, r"^[a-z]\w*'* :: "),
        (2, r"^import (?:qualified )?[A-Z]\w*(?:\.\w+)*"),
    ),
    "html": (
        (5, r"(?i)\A\s*<!doctype html"),
        (4, r"(?i)^\s*<html[ >]"),
        (3, r"(?i)</(?:div|span|head|body|script|table|ul|p)>"),
    ),
    "http": (
        (5, r"\A(?:GET|POST|PUT|HEAD|DELETE|PATCH|OPTIONS) \S+ HTTP/\d"),
        (5, r"\AHTTP/\d(?:\.\d)? \d{3}"),
    ),
    "ini": ((2, r"^\[[A-Za-z][^\]\n\[,]*\]\s*$"), (1.5, r"^[A-Za-z][\w.-]*\s*=")),
    "java": (
        (3, r"^import (?:static )?[\w.]+(?:\.\*)?;"),
        (3, r"^package [\w.]+;"),
        (3, r"\bSystem\.(?:out|err)\.print"),
        (
            2,
            r"^\s*(?:public|private|protected) (?:(?:static|final|abstract|synchronized) )*"
            r"(?:class|interface|enum|void|int|boolean|String)\b",
        ),
        (2, r"^\s*@(?:Override|Test|Autowired)\b"),
    ),
    "javascript": (
        (2, r"^\s*(?:const|let|var) [\w{}\[\], ]+ ?="),
        (3, r"\bconsole\.(?:log|error|warn)\("),
        (3, r"\bmodule\.exports\b|^export (?:default |const |function |class |async )"),
        (3, r"^import .{1,120} from ['\"]"),
        (2, r"\brequire\(['\"]"),
        (2, r"\bfunction\b ?\w* ?\([^)\n]*\) ?\{"),
        (2, r"=> ?[{(\w]"),
        (1, r"===|!=="),
        (2, r"\b(?:document|window)\.\w+"),
    ),
    "json": (
        (5, r"\A\s*\{\s*\"[^\"\n]*\"\s*:"),
        (5, r"\A\s*\[\s*(?:\{\s*\"|\[\s*[\[\d\"]|\"[^\"\n]*\"\s*[,\]])"),
    ),
    "kotlin": (
        (3, r"^\s*(?:\w+ )?fun (?:\w+\.)?\w+\("),
        (2, r"^\s*(?:private )?val \w+"),
        (3, r"^\s*data class "),
        (2, r"\bprintln\("),
    ),
    "lua": (
        (2, r"^\s*local (?:function )?\w+"),
        (2, r"^\s*(?:local )?function [\w.:]+\([^)\n]*\)\s*$"),
        (1, r"^\s*end[,)]*\s*$"),
        (1, r"\bthen\s*$|~=|\.\. ?\""),
    ),
    "make": ((4, r"^[\w./%-]+:(?: [\w./%$() -]*)?\n\t\S"), (3, r"^\.PHONY:"), (1, r"\$\((?:[A-Z]+|[a-z]+ )")),
    "markdown": (
        (6, r"^(?:```|~~~) ?\w+\s*$"),
        (3, r"^(?:```|~~~)\s*$"),
        (2, r"\[[^\]\n]+\]\((?:https?://|\.?/|#)[^)\n]*\)"),
        (1, r"^#{1,6} \w"),
        (1, r"\*\*\w[^*\n]*\*\*"),
        (1, r"^\s*[-*] \w"),
    ),
    "nginx": (
        (2, r"^\s*(?:server|http|events|location [^{\n]*|upstream \w+) \{"),
        (2, r"^\s*(?:listen|server_name|proxy_pass|root|worker_processes) [^;\n]+;"),
    ),
    "perl": (
        (4, r"^\s*use (?:strict|warnings)\b"),
        (3, r"^\s*my [\$@%(]"),
        (3, r"^\s*sub \w+\s*\{"),
        (1, r"=~ "),
    ),
    "php": ((4, r"<\?php\b"), (3, r"\$this->"), (3, r"\becho \$\w"), (1, r"^\s*\$\w+ = .*;\s*$")),
    "powershell": (
        (3, r"\b(?:Get|Set|New|Write|Invoke|Import|Remove)-[A-Z]\w+"),
        (1, r"^\s*\$\w+ = "),
        (2, r"(?i)^\s*param ?\("),
    ),
    "protobuf": ((5, r"^syntax = \"proto[23]\";"),),
    "pycon": ((5, r"^>>> \S"),),
    "pytb": ((5, r"^Traceback \(most recent call last\):"),),
    "python": (
        (3, r"^\s*from [\w.]+ import [\w(*]"),
        (3, r"^\s*(?:async )?def \w+\([^\n]*:\s*(?:#.*)?$"),
        (3, r"^if __name__ == "),
        (2.5, r"^\s*class \w+(?:\([^)\n]*\))?:\s*$"),
        (2, r"^import \w+(?:\.\w+)*(?: as \w+)?\s*$"),
        (1, r"^\s*(?:if|elif|for|while|with|try|except|else)\b[^\n{]*:\s*$"),
        (1, r"\bprint\(|\bself\.\w|\bf\"|\bNone\b"),
    ),
    "r": ((3, r"^\s*library\(\w+\)"), (3, r"<- function\("), (2, r"^\s*[\w.]+ <- ")),
    "ruby": (
        (3, r"^\s*def (?:self\.)?\w+[?!]?(?:\([^)\n]*\))?\s*$"),
        (3, r"^require(?:_relative)? ['\"][^'\";]+['\"]\s*$"),
        (3, r"\bdo \|\w+|\battr_(?:reader|accessor|writer) :"),
        (1, r"^\s*end\s*$"),
        (1, r"^\s*puts "),
    ),
    "rust": (
        (2, r"^\s*(?:pub(?:\(\w+\))? )?(?:async )?fn \w+"),
        (3, r"\blet mut \w|\bprintln!\(|\.unwrap\(\)"),
        (3, r"^\s*#!?\[(?:derive|cfg|allow|test)\b"),
        (2, r"^\s*use (?:std|crate|super|\w+)::"),
        (2, r"^\s*impl(?:<[^>\n]*>)? \w"),
        (1, r"&(?:mut |str\b|self\b)|\b(?:Vec|Option|Result)<"),
    ),
    "scala": (
        (3, r"^\s*(?:case )?object \w+(?: extends \w+)?\s*\{?\s*$"),
        (3, r"^\s*case class \w+\("),
        (2, r"^\s*def \w+.*= ?\{?\s*$"),
    ),
    "scheme": ((4, r"^\s*\(define \(?\w"),),
    "sql": (
        (4, r"^\s*(?:SELECT|select)\b[^;]{1,300}\b(?:FROM|from)\b[^;]{1,600};"),
        (3, r"^\s*SELECT\b[^;]{1,300}\bFROM\b"),
        (
            4,
            r"(?i)^\s*(?:create (?:or replace )?(?:temp )?(?:table|index|view|function|database)|(?:alter|drop) table)"
            r" [\w.\"`(]",
        ),
        (4, r"(?i)^\s*insert into [\w.\"`]+\s*(?:\(|values|select)"),
        (3, r"^\s*(?:UPDATE \S+ SET|DELETE FROM) "),
    ),
    "swift": (
        (4, r"^import (?:UIKit|SwiftUI|Foundation)\s*$"),
        (3, r"\bfunc \w+\([^)\n]*\) (?:throws )?-> \w"),
        (2, r"\b(?:guard|if) let \w"),
        (1, r"\b(?:let|var) \w+: \w+"),
    ),
    "terraform": ((4, r"^(?:resource|variable|provider|module|data|output) \"[\w-]+\""),),
    "tex": ((5, r"\\documentclass\b"), (4, r"\\begin\{\w+\*?\}"), (3, r"\\usepackage\b")),
    "toml": ((2, r"^\[\[?[\w.\"-]+\]\]?\s*$"), (2, r"^[\w-]+ = (?:\"|\[|\{|true\b|false\b)")),
    "typescript": (
        (2, r"^\s*(?:export )?(?:interface|enum) \w+(?: extends \w+)? \{"),
        (3, r"[\w)\]?]: (?:string|number|boolean|any|void|unknown)\b(?:\[\])?[;,)= ]"),
        (2, r"^\s*(?:export )?type \w+(?:<[^>\n]*>)? = "),
        (3, r"^import type "),
    ),
    "xml": ((2, r"\A\s*<[\w:.-]+(?:\s[^<>]*)?>"), (1.5, r"</[\w:.-]+>"), (2, r"\bxmlns(?::\w+)?=")),
    "yaml": (
        (3, r"^[\w.\"-]+:[ \t]*\n[ \t]+(?:- \S|[\w.\"-]+:(?: |$))"),
        (3, r"^[\w.-]+:[ \t]*\n- [\w\"]"),
        (2, r"\A---\s*\n"),
        (1.5, r"^- [\w-]+: "),
    ),
}
_COMPILED = {
    alias: [(weight, re.compile(expression, re.MULTILINE)) for weight, expression in evidence]
    for alias, evidence in _EVIDENCE.items()
}


def recognize(text: str) -> str | None:
    """The alias of the one syntax that the beginning of `text` proves; None if none does, or several do."""
    lines = (line[:LINE_CHARACTERS].rstrip() for line in text[:HEAD_CHARACTERS].split("\n"))
    head = "\n".join(line for line in lines if line)
    scores = {alias: _score(alias, head) for alias in _COMPILED}
    for dialect, base in _DIALECTS.items():
        if scores[dialect] >= ENOUGH - 1:
            scores[dialect] += scores[base]
    best, second = sorted(scores, key=lambda alias: scores[alias], reverse=True)[:2]
    return best if scores[best] >= ENOUGH and scores[best] > scores[second] else None


def _score(alias: str, head: str) -> float:
    return sum(weight for weight, expression in _COMPILED[alias] if expression.search(head))

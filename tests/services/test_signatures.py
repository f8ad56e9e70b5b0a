from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.services import signatures, syntaxes

SAMPLES = {
    "bash": "set -e\nfor i in *.txt; do\n  echo $i\ndone\n",
    "c": '#include <stdio.h>\n\nint main(void)\n{\n    printf("x");\n    return 0;\n}\n',
    "console": "root@host:~# ls -l\ntotal 0\nroot@host:~# exit\n",
    "cpp": "#include <iostream>\nusing namespace std;\nint main() { cout << 1; }\n",
    "csharp": "using System;\nnamespace X {\n  class P { static void Main() { Console.WriteLine(1); } }\n}\n",
    "css": "body { color: red; }\n.a { margin: 0; }\n",
    "diff": "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
    "docker": 'FROM python:3\nRUN pip install x\nCMD ["x"]\n',
    "go": 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("hi")\n}\n',
    "html": "<!DOCTYPE html>\n<html><body></body></html>\n",
    "ini": "[section]\na = 1\nb = 2\n",
    "java": "package a.b;\npublic class Foo {\n  public static void main(String[] args) {}\n}\n",
    "javascript": "const x = require('fs');\nfunction f(a) { return a + 1; }\nmodule.exports = f;\n",
    "json": '{"a": [1, 2, 3], "b": null}\n',
    "lua": "local x = 1\nfunction f(a)\n  return a\nend\n",
    "make": "all: foo\n\tgcc -o foo foo.c\n",
    "markdown": "# Title\n\nSome *text* with a [link](https://p.example/).\n\n- a\n- b\n",
    "php": "<p><?php echo 1; ?></p>\n",
    "pytb": 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\nNameError: x\n',
    "python": "import os\n\n\ndef main():\n    print('hi')\n",
    "ruby": "require 'json'\nclass Foo\n  def bar\n    puts 'x'\n  end\nend\n",
    "rust": 'use std::io;\nfn main() {\n    let mut x = 1;\n    println!("{}", x);\n}\n',
    "sql": "SELECT * FROM foo WHERE id = 1;\n",
    "tex": "\\documentclass{article}\n\\begin{document}\nx\n\\end{document}\n",
    "typescript": "interface A { x: number; }\nexport const f = (a: A): string => `${a.x}`;\n",
    "yaml": "version: '3'\nservices:\n  web:\n    image: nginx\n",
}

PLAIN = [
    "",
    "Hello everyone,\n\nplease select one from the list; if not, let me know: I will import it for you.\n",
    "2026-01-01 12:00:00 ERROR foo: cannot open file\n2026-01-01 12:00:01 INFO bar: ok\n",
    "[    0.000000] Linux version 6.1\n[    0.000000] Command line: quiet\n",
    "total 48\ndrwxr-xr-x 5 root root 4096 Nov 22 13:49 .\n",
    "a,b,c\n1,2,3\n",
    "foo.c: In function 'main':\nfoo.c:3:5: error: 'x' undeclared\n",
    "https://p.example/a?b=c\n",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ root@host\n",
]


@pytest.mark.parametrize("alias", SAMPLES)
def test_typical_beginnings_are_recognized(alias: str) -> None:
    assert signatures.recognize(SAMPLES[alias]) == alias


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_code_stays_plain(text: str) -> None:
    assert signatures.recognize(text) is None


def test_every_alias_is_the_name_of_a_syntax() -> None:
    for alias in SAMPLES:
        found = syntaxes.find(alias)
        assert found is not None
        assert found.name == alias


@settings(deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_something_or_nothing(text: str) -> None:
    alias = signatures.recognize(text)
    assert alias is None or syntaxes.find(alias) is not None

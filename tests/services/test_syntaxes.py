from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.lexers import find_lexer_class_by_name, get_all_lexers

from pastebin.services import syntaxes


def name_of(file_name: str | None, head: bytes = b"") -> str | None:
    found = syntaxes.guess(file_name, head)
    return found.name if found else None


def test_every_alias_of_every_lexer_is_found() -> None:
    for label, aliases, _, _ in get_all_lexers(plugins=False):
        for alias in aliases:
            found = syntaxes.find(alias.upper())
            assert found is not None, alias
            assert alias in found.aliases, (alias, label)


def test_names_are_unique_and_find_themselves() -> None:
    assert len({syntax.name for syntax in syntaxes.ALL}) == len(syntaxes.ALL)
    for syntax in syntaxes.ALL:
        assert syntaxes.find(syntax.name) is syntax
        if syntax.name not in ("ansi", "csv", "tsv"):
            assert find_lexer_class_by_name(syntax.name) is find_lexer_class_by_name(syntax.aliases[0])


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("python", "python"),
        ("PY", "python"),
        (".py", "python"),
        ("text", "text"),
        ("plain", "text"),
        ("txt", "text"),
        ("log", "text"),
        ("c++", "cpp"),
        ("C#", "csharp"),
        ("h", "c"),
        ("ts", "typescript"),
        ("md", "markdown"),
        ("sql", "sql"),
        ("pl", "perl"),
        ("rs", "rust"),
        ("kt", "kotlin"),
        ("R", "r"),
        ("yml", "yaml"),
        ("patch", "diff"),
        ("Objective-C", "objective-c"),
        ("Visual Basic .NET", "vbnet"),
    ],
)
def test_words_people_use(word: str, name: str) -> None:
    found = syntaxes.find(word)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("word", ["", ".", "no-such-syntax", "*", "x" * 10_000, "\0", "py\n\npy"])
def test_other_words_are_not_found(word: str) -> None:
    assert syntaxes.find(word) is None


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("a.py", "python"),
        ("A.PY", "python"),
        ("src/deep/a.rs", "rust"),
        ("C:\\x\\a.cs", "csharp"),
        ("Makefile", "make"),
        ("Makefile.am", "make"),
        ("Dockerfile", "docker"),
        ("Dockerfile.dev", "docker"),
        ("CMakeLists.txt", "cmake"),
        (".bashrc", "bash"),
        (".bash_profile", "bash"),
        ("x.h", "c"),
        ("x.hh", "cpp"),
        ("x.c", "c"),
        ("x.C", "cpp"),
        ("x.m", "objective-c"),
        ("x.ts", "typescript"),
        ("x.tsx", "tsx"),
        ("x.md", "markdown"),
        ("x.sql", "sql"),
        ("x.pl", "perl"),
        ("x.pm", "perl"),
        ("x.t", "perl"),
        ("x.v", "verilog"),
        ("x.r", "r"),
        ("x.R", "r"),
        ("x.s", "gas"),
        ("x.S", "gas"),
        ("x.inc", "php"),
        ("x.xsl", "xslt"),
        ("x.fs", "fsharp"),
        ("x.gd", "gdscript"),
        ("x.html.erb", "rhtml"),
        ("x.ipynb", "json"),
        ("x.env", "bash"),
        ("notes.txt", "text"),
        ("README", "text"),
        ("server.log", "text"),
        ("access.log.1", "text"),
        ("syslog.1", None),
        ("a.unknown", None),
        ("a.tar.gz", None),
        ("", None),
        (None, None),
    ],
)
def test_names_speak(file_name: str | None, name: str | None) -> None:
    assert name_of(file_name) == name


@pytest.mark.parametrize(
    ("file_name", "head", "name"),
    [
        ("x.h", b"#pragma once\nnamespace a {\n", "cpp"),
        ("x.h", b"@interface A : NSObject\n", "objective-c"),
        ("x.m", b"function y = f(x)\n% comment\n", "matlab"),
        ("x.m", b"#import <Foundation/Foundation.h>\n", "objective-c"),
        ("x.pl", b":- module(a, []).\nparent(a, b).\n", "prolog"),
        ("x.ts", b"<?xml version='1.0'?>\n<!DOCTYPE TS>\n", "xml"),
        ("x.v", b"Theorem t : True.\n", "coq"),
    ],
)
def test_what_an_ambiguous_name_means_is_in_the_head(file_name: str, head: bytes, name: str) -> None:
    assert name_of(file_name, head) == name


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"#!/usr/bin/env python3\n", "python"),
        (b"#!/usr/bin/env -S python3.11 -u\n", "python"),
        (b"#!/usr/bin/env -S FOO=1 node --flag\n", "javascript"),
        (b"#!/usr/bin/python2.7\r\n", "python"),
        (b"\xef\xbb\xbf#!/bin/bash\n", "bash"),
        (b"#! /bin/sh -e\n", "bash"),
        (b"#!/bin/dash", "bash"),
        (b"#!/usr/bin/perl -w\n", "perl"),
        (b"#!/usr/bin/env nodejs\n", "javascript"),
        (b"#!/usr/bin/env ruby\n", "ruby"),
        (b"#!/usr/bin/make -f\n", "make"),
        (b"#!/usr/bin/env Rscript\n", "r"),
        (b"#!/usr/bin/awk -f\n", "awk"),
        (b"#!/opt/secret-tool\n", None),
        (b"#!\n", None),
        (b"#!/usr/bin/env\n", None),
        (b"\n  <?php echo 1;", "php"),
        (b"<?xml version='1.0'?><a/>", "xml"),
        (b"<?xml version='1.0'?>\n<html xmlns='x'>", "html"),
        (b"<!DOCTYPE html>\n<p>", "html"),
        (b"# -*- mode: ruby -*-\n", "ruby"),
        (b"// -*- C++ -*-\n", "cpp"),
        (b"/* -*- Mode: Java; indent-tabs-mode: nil -*- */\n", "java"),
        (b"# -*- coding: utf-8 -*-\n", None),
        (b"\n# vim: set ft=python sw=4:\n", "python"),
        (b"-- vim: ts=2 filetype=lua\n", "lua"),
        (b"# vim:syntax=sh\n", "bash"),
        (b"plain words: nothing to see\n", None),
        (b"", None),
    ],
)
def test_first_lines_speak(head: bytes, name: str | None) -> None:
    assert name_of(None, head) == name


def test_who_speaks_first() -> None:
    assert name_of("script", b"#!/bin/sh\n") == "bash"
    assert name_of("script.py", b"#!/bin/sh\n") == "python", "the name goes before the first line"
    assert name_of("vector.h", b"// -*- C++ -*-\n") == "cpp", "what the author wrote for editors goes before the name"


@settings(deadline=None)
@given(st.none() | st.text(max_size=300), st.binary(max_size=600))
def test_a_guess_is_always_a_syntax_of_the_list(file_name: str | None, head: bytes) -> None:
    found = syntaxes.guess(file_name, head)
    assert found is None or found in syntaxes.ALL
    assert found is syntaxes.guess(file_name, head)


@settings(deadline=None)
@given(st.sampled_from([b"# vim: ft=", b"-*- ", b"#!", b"#!/usr/bin/env ", b"<?", b""]), st.binary(max_size=100))
def test_a_broken_first_line_is_no_error(start: bytes, rest: bytes) -> None:
    found = syntaxes.guess(None, start + rest)
    assert found is None or found in syntaxes.ALL


@settings(deadline=None)
@given(st.text(max_size=80))
def test_a_word_is_found_in_any_case_or_never(word: str) -> None:
    assert syntaxes.find(word) is syntaxes.find(f" {word} ")


def test_extensions_are_given_without_dots_and_stars() -> None:
    python = syntaxes.find("python")
    assert python is not None
    assert "py" in python.extensions
    assert not any("*" in extension for syntax in syntaxes.ALL for extension in syntax.extensions)

"""Paths as a tree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pastebin.http import folders
from pastebin.http.folders import Entry


def test_a_tree_of_names() -> None:
    entries = [
        Entry("src/a.py", "#1", "1 B"),
        Entry("README", "#2"),
        Entry("src/deep/<b>", "#3"),
        Entry("/abs/../x", None),
    ]
    html = folders.html(folders.gather(entries, ["empty/"]))
    assert "<summary><bdi>src</bdi>/</summary>" in html
    assert '<a href="#1"><bdi>a.py</bdi></a> <span>1 B</span>' in html
    assert "&lt;b&gt;" in html
    assert "<bdi>empty</bdi>/" in html
    assert "<bdi>..</bdi>/" in html
    assert html.index("src") < html.index("README")


@given(st.lists(st.text(st.sampled_from("ab/.<\u202e"), max_size=60)))
def test_every_name_is_in_the_tree(names: list[str]) -> None:
    html = folders.html(folders.gather(Entry(name, f"#{number}") for number, name in enumerate(names)))
    for number in range(len(names)):
        assert f'href="#{number}"' in html
    assert html.count("<ul>") == html.count("</ul>")


def test_the_tree_has_bounds() -> None:
    entries = [Entry("/".join([str(number)] * 2000), None) for number in range(1000)]
    html = folders.html(folders.gather(entries))
    assert html.count("<details") <= folders.FOLDERS
    assert html.count("<li>") <= folders.FOLDERS + 1000

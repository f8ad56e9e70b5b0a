"""Charts are well-formed, hold what they are given, and nothing of it as markup."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.calendars import weekdays
from pastebin.services import charts, charts_maps
from pastebin.services.charts import LEVELS, Axis, Bar, Series
from pastebin.services.countries import NAMES

SVG = "{http://www.w3.org/2000/svg}"
TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=40)
COUNTS = st.integers(0, 2**53)


def parsed(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)  # noqa: S314  (it is ours)
    assert root.get("role") == "img"
    named = {element.get("id") for element in root.iter() if element.get("id")}
    assert set((root.get("aria-labelledby") or "").split()) == named
    for element in root.iter():
        assert element.tag.removeprefix(SVG) not in ("script", "style", "foreignObject")
        assert not [name for name in element.attrib if name == "style" or name.startswith("on")]
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter()]


@given(TEXT, st.lists(st.tuples(TEXT, COUNTS), max_size=30))
def test_names_are_text(title: str, rows: list[tuple[str, int]]) -> None:
    root = parsed(charts.bars("x", title, title, [Bar(label, value) for label, value in rows]))
    assert texts(root).count(title) >= 2
    for label, value in rows:
        assert f"{label}: {value:,}" in texts(root)
    widths = [float((rect.get("width") or "").rstrip("%")) for rect in root.iter(f"{SVG}rect")]
    assert all(0 <= width <= 100 for width in widths)


@given(st.lists(st.tuples(COUNTS, COUNTS), max_size=60), TEXT)
def test_lines_and_columns_stay_in_their_frames(values: list[tuple[int, int]], name: str) -> None:
    axis = Axis([f"{name} {index}" for index in range(len(values))], [(i, str(i)) for i in range(len(values))])
    series = [Series(name, [one[number] for one in values]) for number in (0, 1)]
    for draw in (charts.lines, charts.columns):
        root = parsed(draw("x", "title", "description", axis, series))
        told = [text for text in texts(root) if text.startswith(f"{name} ")]
        assert len(told) == len(values)
        for rect in root.iter(f"{SVG}rect"):
            assert 0 <= float((rect.get("y") or "0").rstrip("%")) <= 200


@given(COUNTS)
def test_an_axis_holds_its_highest_value_in_few_steps(highest: int) -> None:
    top, ticks = charts.scale(highest)
    assert ticks[0] == 0
    assert ticks[-1] == top >= max(highest, 1)
    assert 2 <= len(ticks) <= 6


@given(st.integers(1, 10**9))
def test_a_legend_names_the_least_value_of_each_colour(highest: int) -> None:
    for kind, first in charts_maps.steps(highest):
        value = int(first.replace(",", ""))
        assert f"l{charts.level(value, highest)}" == kind
        assert value == 1 or charts.level(value - 1, highest) < charts.level(value, highest)
    assert charts.level(highest, highest) == LEVELS
    assert charts.level(0, highest) == 0


def test_the_map_knows_countries_only() -> None:
    root = parsed(
        charts_maps.world("w", "t", "d", {"DE": 7, "XX": 3, '"><script>': 9, "MT": 0}, "/static/w.svg", NAMES)
    )
    shown = [use.get("href") for use in root.iter(f"{SVG}use")]
    assert shown == ["/static/w.svg#land", "/static/w.svg#DE"]
    assert "Germany: 7" in texts(root)


def test_hours_of_a_week() -> None:
    cells = [[day * hour for hour in range(24)] for day in range(7)]
    root = parsed(charts_maps.heat("h", "t", "d", cells, weekdays(), weekdays(is_short=True)))
    assert "Sunday, 23:00: 138" in texts(root)
    assert len(list(root.iter(f"{SVG}rect"))) == 7 * 24


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (999, "999"), (1000, "1k"), (1250, "1.2k"), (3_000_000, "3M"), (2 * 10**9, "2G")]
)
def test_numbers_beside_an_axis_are_short(number: int, shown: str) -> None:
    assert charts.compact(number) == shown

"""What the picture of all nodes says, and where everything stands in it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.portraits import Names, Portrait, Queue, Server, Servers, Store, TargetQueue, Upstream
from pastebin.sections_regions import RegionNodeSection, RegionSection
from pastebin.services.diagrams import Arrangement, Box, Diagram
from pastebin.services.diagrams_svg import cut, draw
from pastebin.services.planet import Planet, merged, planet, tier_of
from pastebin.services.planet_layout import MIDDLE, NARROW, WIDE, layout
from pastebin.services.watching import Sight, Station, stations
from pastebin.services.wording import age, rate, short_names, size

NOW = 1_790_000_000.0
ARRANGEMENTS = [WIDE, MIDDLE, NARROW]
ROLES = [
    ["gateway"],
    ["edge"],
    ["web"],
    ["read"],
    ["write"],
    ["web", "read", "write"],
    ["cdn-worker"],
    ["analytics"],
    ["geodns"],
]


def sight(name: str, region: str, roles: list[str], state: Any = "up", **told: Any) -> Sight:
    portrait = Portrait(node=name, region=region, roles=roles, ready=state == "up", **told)
    return Sight(Station(name, region, tuple(roles)), state, NOW - 30, "", portrait)


def database(*states: str) -> Servers:
    replicas = [Server(f"10.0.0.{number}:5432", state, 1, 0.5, 100) for number, state in enumerate(states, 1)]
    return Servers(Server("10.0.0.9:5432", "up", 2), replicas)


nodes = st.builds(
    lambda number, region, roles, state: sight(
        f"{region or 'any'}-{roles[0]}-{number}",
        region,
        roles,
        state,
        database=database(*["up"] * (number % 5)) if "read" in roles else None,
        blobs=Store("s3", "s3.example") if "write" in roles else None,
    ),
    st.integers(0, 99),
    st.sampled_from(["us", "eu", "il", "jp", "a-region-with-a-long-name", ""]),
    st.sampled_from(ROLES),
    st.sampled_from(["up", "waiting", "silent", "unknown"]),
)


def touch(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width and other.x < one.x + one.width and one.y < other.bottom and other.y < one.bottom
    )


def crosses(box: Box, start: tuple[float, float], end: tuple[float, float]) -> bool:
    """Whether a line goes through the inside of a box; at its border it may end."""
    left, right = sorted((start[0], end[0]))
    top, bottom = sorted((start[1], end[1]))
    inside = 0.5
    return (
        left < box.x + box.width - inside
        and right > box.x + inside
        and top < box.bottom - inside
        and bottom > box.y + inside
    )


def check(diagram: Diagram) -> None:
    for index, box in enumerate(diagram.boxes):
        assert box.x >= 0
        assert box.x + box.width <= diagram.arrangement.width
        assert 0 <= box.y <= box.bottom <= diagram.height
        assert box.width >= diagram.arrangement.least - 1
        assert not any(touch(box, other) for other in diagram.boxes[index + 1 :])
    for line in diagram.lines:
        for start, end in zip(line.points, line.points[1:], strict=False):
            assert abs(start[0] - end[0]) < 0.01 or abs(start[1] - end[1]) < 0.01, "lines are level or upright"
            assert 0 <= min(start[0], end[0]) <= max(start[0], end[0]) <= diagram.arrangement.width
            assert not any(crosses(box, start, end) for box in diagram.boxes), line


@settings(max_examples=100, deadline=None)
@given(st.lists(nodes, max_size=60), st.sampled_from(ARRANGEMENTS))
def test_boxes_never_touch_and_no_line_crosses_one(found: list[Sight], arrangement: Arrangement) -> None:
    shown = planet(found, ["us", "eu"], NOW)
    diagram = layout(shown, arrangement)
    check(diagram)
    assert ElementTree.fromstring(draw(diagram, "a", "b", "c")).tag.endswith("svg")  # noqa: S314  (it is our own)


def diagram_of_lab(arrangement: Arrangement) -> tuple[Planet, Diagram]:
    regions = ["us", "eu", "il", "jp"]
    found = [
        sight(
            f"{region}-{role}", region, [role], **({"database": database("up", "up", "up")} if role == "read" else {})
        )
        for region in regions
        for role in ("gateway", "edge", "web", "read", "write")
    ]
    found += [sight(f"worker-{number}", "", ["cdn-worker"], queue=Queue()) for number in (1, 2, 3)]
    found += [sight("analytics", "", ["analytics"]), sight("geodns-1", "us", ["geodns"], dns=Names())]
    shown = planet(found, regions, NOW)
    return shown, layout(shown, arrangement)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS, ids=lambda one: one.name)
def test_the_lab_is_drawn_in_columns_of_regions(arrangement: Arrangement) -> None:
    shown, diagram = diagram_of_lab(arrangement)
    check(diagram)
    regions = [frame for frame in diagram.frames if frame.mark is not None]
    assert [frame.title for frame in regions] == ["us", "eu", "il", "jp"]
    assert len({round(frame.x) for frame in regions}) == arrangement.columns
    gateways = [box for box in diagram.boxes if box.spot.tier == "gateway" and box.spot.mark != "none"]
    assert len({box.y for box in gateways}) == 4 // arrangement.columns
    assert {line.flow for line in diagram.lines} >= {"requests", "names", "reads", "writes", "purges", "visits"}
    assert [row.name for row in shown.rows[:2]] == ["us-gateway", "us-edge"]


def test_of_very_many_nodes_those_in_trouble_are_drawn() -> None:
    found = [sight(f"read-{number:03}", "us", ["read"], "silent" if number > 197 else "up") for number in range(200)]
    diagram = layout(planet(found, [], NOW), NARROW)
    names = [box.spot.name for box in diagram.boxes]
    assert {"read-198", "read-199", "177 more"} <= set(names)
    check(diagram)


def test_where_nodes_stand() -> None:
    assert tier_of(["web", "read", "write", "cdn-worker", "edge", "analytics"]) == "app"
    assert tier_of(["edge", "cdn-worker"]) == "edge"
    assert tier_of(["gateway", "web"]) == "gateway"
    assert tier_of([]) == "app"
    # one that has never answered stands where its table puts it, and may be named for what it stands before
    never = Sight(Station("us-edge", "us", ("edge", "web", "read")), "silent", NOW - 60)
    (region,) = planet([never], ["us"], NOW).regions
    assert [(spot.tier, spot.lines) for spot in region.spots] == [("edge", ("no answer", "for 60 s"))]


def test_most_nodes_say_how_the_database_is() -> None:
    views = [database("up", "lagging"), database("up", "lagging"), database("down", "up")]
    found = merged(Portrait(node=str(number), database=view) for number, view in enumerate(views))
    assert [(one.server.name, one.leads, one.server.state, one.agreeing) for one in found] == [
        ("10.0.0.9:5432", True, "up", 3),
        ("10.0.0.1:5432", False, "up", 2),
        ("10.0.0.2:5432", False, "lagging", 2),
    ]
    tied = merged([Portrait(node="a", database=database("up")), Portrait(node="b", database=database("down"))])
    assert [one.server.state for one in tied] == ["up", "down"]
    moved = Servers(Server("10.0.0.1:5432", "up"), [Server("10.0.0.9:5432", "up")])
    elected = merged(
        [Portrait(node=name, database=view) for name, view in zip("abc", [moved, moved, database("up")], strict=True)]
    )
    assert [(one.server.name, one.leads) for one in elected] == [("10.0.0.1:5432", True), ("10.0.0.9:5432", False)]


def test_regions_are_as_their_nodes_and_the_name_servers_find() -> None:
    names = Names({"us": "up", "eu": "down"}, 12.0, {"us": 5, "eu": 100}, {"us": 3.0, "eu": 1.0})
    found = [
        sight("us-read", "us", ["read"]),
        sight("us-write", "us", ["write"], "silent"),
        sight("eu-read", "eu", ["read"]),
        sight("geodns-1", "us", ["geodns"], dns=names),
    ]
    us, eu, il = planet(found, ["us", "eu", "il"], NOW).regions
    assert (us.mark, us.note) == ("warn", "75 % of DNS")
    assert (eu.mark, eu.note) == ("down", "out of DNS")
    assert (il.mark, il.spots) == ("unknown", ())
    silence = Names({"us": "up"}, 0.0, {"us": 5, "eu": 100}, {"us": 0.0})
    assert planet([sight("geodns-1", "us", ["geodns"], dns=silence)], ["us"], NOW).regions[0].note == ""


def test_a_worker_whose_caches_do_not_hear_is_in_trouble() -> None:
    late = Queue(5, 99.0, 0, {"us-edge": TargetQueue(5, 99.0)})
    dead = Queue(0, 0.0, 3)
    found = [sight(name, "", ["cdn-worker"], queue=one) for name, one in (("a", late), ("b", dead), ("c", Queue()))]
    assert [(spot.mark, spot.lines) for spot in planet(found, [], NOW).workers] == [
        ("warn", ("queue 5", "99 s old")),
        ("warn", ("queue 0", "3 dead letters")),
        ("up", ("queue 0", "0 caches")),
    ]


def test_gateways_tell_whom_they_find_well() -> None:
    upstreams = [Upstream("a", "us", "up"), Upstream("b", "us", "ejected")]
    (region,) = planet([sight("us-gateway", "us", ["gateway"], upstreams=upstreams)], [], NOW).regions
    assert region.spots[0].name == "gateway"
    assert region.spots[0].lines == ("0 req/s", "1/2 nodes")


def test_figures_are_short() -> None:
    assert [rate(number) for number in (0.0, 3.44, 9.99, 17.6, 1234.0)] == ["0", "3.4", "10", "18", "1.2k"]
    assert [age(number) for number in (-1, 0.2, 45, 119, 121, 7300, 200_000)] == [
        "0 s",
        "0.2 s",
        "45 s",
        "119 s",
        "2 min",
        "2 h",
        "2 d",
    ]
    assert [size(number) for number in (0, 1023, 2048, 5 * 1024**2)] == ["0 B", "1023 B", "2 KiB", "5 MiB"]
    assert short_names(["a:1", "b:1"]) == ["a", "b"]
    assert short_names(["a:1", "a:2"]) == ["a:1", "a:2"]
    assert short_names(["[::1]:5432"]) == ["[::1]"]
    assert short_names(["/run/a:5432"]) == ["local socket"]
    assert [cut("a-long-name", width, 7.0) for width in (77, 70, 7, 1)] == ["a-long-name", "a-long-na…", "…", "…"]


def test_what_stands_in_the_configuration_is_watched_and_the_node_itself() -> None:
    regions = {"us": RegionSection(nodes=[RegionNodeSection(name="us-1", roles=["read"], internal="http://x:1")])}
    others = [RegionNodeSection(name="worker-1", roles=["cdn-worker"], internal="http://y:1")]
    assert stations(regions, others, "us-1", "us") == [
        Station("us-1", "us", ("read",), "http://x:1"),
        Station("worker-1", "", ("cdn-worker",), "http://y:1"),
    ]
    assert stations({}, [], "alone", "local") == [Station("alone", "local")]


def test_a_state_lasts_since_it_began() -> None:
    unknown = Sight(Station("a", "us"))
    up = unknown.after(Portrait(node="a", ready=True, started_at=100.0), 200.0)
    assert (up.state, up.since) == ("up", 100.0)
    silent = up.after("no answer", 300.0).after("Connection refused", 310.0)
    assert (silent.state, silent.since, silent.detail) == ("silent", 300.0, "Connection refused")
    assert silent.portrait is not None
    back = silent.after(Portrait(node="b", ready=False, problems={"database": "away"}), 320.0)
    assert (back.state, back.since, back.detail) == ("waiting", 320.0, "it calls itself b; database: away")


def test_who_has_another_secret_is_in_trouble_and_says_what_to_do() -> None:
    unknown, secrets = Sight(Station("a", "us")), ("ours", "previous")
    for told, detail in (
        ("theirs", "it has another node.secret than this node: give every node the same"),
        ("previous", ""),
        ("", ""),
    ):
        found = unknown.after(Portrait(node="a", ready=True, secret=told), 0.0, secrets)
        assert found.detail == detail
        assert planet([found], ["us"], 0.0).rows[0].mark == ("warn" if detail else "up")
    assert unknown.after(Portrait(node="a", ready=True, secret="theirs"), 0.0).detail == ""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from pastebin.errors import Problem
from pastebin.http import pages
from pastebin.http.assets import Assets
from pastebin.http.looks import Look
from pastebin.http.pages import PageFile, Pages, html_response
from pastebin.models import File, Paste
from pastebin.origin import paste_tools
from pastebin.origin.create_form import create_context
from pastebin.sections import LimitsSection, SiteSection

NOW = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)
SLUG = "h8Kq2ZtV0aB"
SITE = "https://p.example"
LIMITS = {"max_bytes": 5 * 1024**3, "max_files": 1000, "max_lifetime_seconds": 0}
VOID = {"img", "input", "link", "meta"}

HOSTILE = [
    "../../etc/passwd",
    "a\r\nSet-Cookie: x=1",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></textarea><script>alert(1)</script>",
    "evil\u202egnp.exe",
    "nul\x00esc\x1b[31m\x9b31m",
    "lone \udcff surrogate",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;",
    "x" * 1000,
]

PAGES = Pages(SiteSection(title="pastes & <more>", url=SITE), Assets.load())


class Parsed(HTMLParser):
    """What a browser would see: elements with their attributes, and text by the element that holds it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]

    def text(self, tag: str = "") -> str:
        return "".join(data for holder, data in self.texts if not tag or holder == tag)


def code(*lines: str, prefix: str = "") -> Markup:
    return Markup("").join(
        Markup('<span class="line" id="{0}L{1}"><a class="n" href="#{0}L{1}"></a>{2}\n</span>').format(
            prefix, number, line
        )
        for number, line in enumerate(lines, 1)
    )


def view(position: int = 0, name: str | None = "a.py", **members: Any) -> PageFile:
    shown = {"media_type": "text/plain", "size": 3, **members}
    file = File(position, name, shown.pop("media_type"), "python", shown.pop("size"), bytes(32))
    prefix = f"f{position + 1}-"
    url = f"/{SLUG}/raw/{position}"
    rest = {"html": code("x=1", prefix=prefix), "lines_count": 1, "raw_url": url, "download_url": f"{url}?download"}
    return PageFile(file, **{"label": "Python", **rest, **shown})


def paste(*views: PageFile, **members: Any) -> Paste:
    defaults: dict[str, Any] = {
        "id": 1,
        "slug": SLUG,
        "title": None,
        "visibility": "unlisted",
        "created_at": NOW,
        "revised_at": NOW,
        "expires_at": None,
        "max_reads": None,
        "reads": 0,
        "parent": None,
        "encryption": None,
        "token_hash": b"",
        "password_hash": None,
        "revision": 1,
        "files": tuple(view.file for view in views),
    }
    return Paste(**{**defaults, **members})


def paste_page(*views: PageFile, syntax: str | None = None, **members: Any) -> str:
    shown = paste(*views, **members)
    tools = paste_tools.of(shown, syntax, revealed=any(view.raw_url is None for view in views))
    return PAGES.render("paste.html", paste=shown, files=list(views), tools=tools, site_url=SITE)


def look_page(back: str | None = None, slug: str | None = None, *, done: bool = False) -> str:
    context = {"back": back, "slug": slug, "syntaxes": [("c++", "C++")], "chosen": "c++", "done": done}
    return PAGES.render("look.html", look=Look(theme="dark"), **context)


def create_page(values: dict[str, str] | None = None, problems: list[Problem] | None = None, **limits: int) -> str:
    context = create_context(LimitsSection(**limits), values or {}, problems or [])
    return PAGES.render("create.html", **context)


def manage_page(shown: Paste, token: str | None, problems: list[Problem]) -> str:
    return PAGES.render(
        "manage.html",
        paste=shown,
        slug=shown.slug,
        token=token,
        url=f"{SITE}/{shown.slug}",
        problems=problems,
        news="created",
        values={},
        lifetimes=["never", "1h"],
        max_lifetime_seconds=0,
    )


EVERY_PAGE: dict[str, Callable[[], str]] = {
    "create": create_page,
    "create with problems": lambda: create_page(
        {"title": "x", "expires_in": "90d"},
        [Problem(field, "is wrong") for field in ("content", "files[0].name", "title", "expires_in", "slug", "")],
        max_lifetime_seconds=2_592_000,
        max_files=1,
    ),
    "paste": lambda: paste_page(view()),
    "paste without a name": lambda: paste_page(view(name=None), title="A title", expires_at=NOW),
    "paste in another syntax": lambda: paste_page(view(), syntax="cobol", visibility="private"),
    "paste without files": lambda: paste_page(),
    "paste of a thousand files": lambda: paste_page(*(view(number, f"{number}.txt") for number in range(1000))),
    "paste of all kinds": lambda: paste_page(
        view(0, None, note="It is plain."),
        view(1, html=None, note="It is large."),
        view(2, "p.png", media_type="image/png", html=None),
        view(3, media_type="application/octet-stream", html=None),
        view(4, size=0, html=Markup(""), lines_count=0),
        revision=2,
        parent="abc",
        visibility="private",
    ),
    "revealed paste": lambda: paste_page(
        view(raw_url=None, download_url=None),
        view(1, html=None, raw_url=None, download_url=None),
        view(2, html=None, raw_url=None, download_url=None, note="It is large."),
        max_reads=1,
        reads=1,
        password_hash="x",
    ),
    "reveal once": lambda: PAGES.render("reveal.html", slug=SLUG, asks_password=False, reads_left=1, wrong=False),
    "reveal again": lambda: PAGES.render("reveal.html", slug=SLUG, asks_password=True, reads_left=3, wrong=True),
    "reveal by password": lambda: PAGES.render(
        "reveal.html", slug=SLUG, asks_password=True, reads_left=None, wrong=False
    ),
    "manage": lambda: manage_page(paste(), "t0k3n", []),
    "manage without a token": lambda: manage_page(paste(), None, [Problem("token", "Wrong.")]),
    "deleted": lambda: PAGES.render("deleted.html", slug=SLUG),
    "not found": lambda: PAGES.render(
        "error.html", status=404, title="Not found", detail="Gone.", problems=[], request_id="01JDAX"
    ),
    "error": lambda: PAGES.render(
        "error.html", status=422, title="No", detail="a: b", problems=[Problem("a", "b")], request_id=None
    ),
    "look": lambda: look_page(done=True),
    "look of a paste": lambda: look_page(f"/{SLUG}.c++", SLUG),
    "problem": lambda: PAGES.render("problem.html", slug="slug-taken", title="Taken", status=409, description="So."),
}


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_page_is_complete_without_scripts_and_within_its_own_policy(name: str) -> None:
    page = Parsed(EVERY_PAGE[name]())
    tags = Counter(tag for tag, _ in page.elements)
    assert not {"style", "iframe", "object", "base"} & tags.keys()
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert all(one.keys() - {"integrity"} == {"type", "src"} and one["type"] == "module" for one in scripts)
    assert page.text("script") == ""
    assert not [key for _, attributes in page.elements for key in attributes if key == "style" or key.startswith("on")]
    assert all(link.startswith("/") for link in page.values("src") + page.values("action"))
    sheets = [attributes for tag, attributes in page.elements if tag == "link" and attributes["rel"] != "alternate"]
    assert all(sheet["href"].startswith(("/static/", "/look/style.css")) for sheet in sheets)


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_page_can_be_found_about_in(name: str) -> None:
    """Landmarks, one heading, a skip link, unique ids, and no reference that leads nowhere."""
    page = Parsed(EVERY_PAGE[name]())
    tags = Counter(tag for tag, _ in page.elements)
    assert (tags["main"], tags["h1"], tags["title"]) == (1, 1, 1)
    assert tags["footer"] == 1
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    fragments = [link[1:] for link in page.values("href") if link.startswith("#")]
    assert fragments[0] == "main"
    listed = " ".join(page.values("aria-labelledby") + page.values("aria-describedby")).split()
    assert {*fragments, *listed, *page.values("for")} <= set(ids)
    controls = [
        attributes
        for tag, attributes in page.elements
        if tag in ("input", "select", "textarea") and attributes.get("type") != "hidden"
    ]
    assert {control["id"] for control in controls} == set(page.values("for"))
    assert all("alt" in attributes for tag, attributes in page.elements if tag == "img")


def test_site_title_is_escaped_too() -> None:
    page = Parsed(PAGES.render("deleted.html", slug=SLUG))
    assert page.text("title") == "Deleted · pastes & <more>"


@pytest.mark.parametrize(
    "template", ["paste.html", "create.html", "reveal.html", "manage.html", "error.html", "help.txt"]
)
def test_incomplete_context_is_an_error(template: str) -> None:
    with pytest.raises(jinja2.UndefinedError):
        PAGES.render(template)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_change_nothing_but_text(text: str) -> None:
    _assert_harmless(text)


@settings(deadline=None)  # the machine may be busy
@given(st.text(min_size=1).filter(str.strip))
def test_no_name_changes_anything_but_text(text: str) -> None:
    _assert_harmless(text)


def _assert_harmless(text: str) -> None:
    """Wherever a user's text goes, the page has the same elements with the same attributes as with a tame one."""

    def render(text: str) -> list[str]:
        slug = text.encode(errors="replace").decode()  # these come from the path, which is UTF-8
        problems = [Problem("title", text), Problem(f"files[0].{text}", text), Problem(f"z{text}", text)]
        return [
            paste_page(view(0, text, note=text, label=text), view(1, text, html=None), title=text, parent=slug),
            paste_page(view(0, text, media_type="image/png", html=None), title=text),
            create_page({"content": text, "title": text, "name": text, "syntax": f"z{text}"}, problems),
            PAGES.render("error.html", status=422, title=text, detail=text, problems=problems, request_id=text),
            manage_page(paste(slug=slug, title=text), text, problems),
            PAGES.render("reveal.html", slug=slug, asks_password=True, reads_left=1, wrong=True),
            PAGES.render("deleted.html", slug=slug),
        ]

    for hostile, tame in zip(render(text), render("tame"), strict=True):
        page = Parsed(hostile)
        assert page.shape == Parsed(tame).shape
        assert html_response(hostile).body is not None
    page = Parsed(paste_page(view(0, text), title=text))
    assert pages.visible(text) in page.text("bdi")
    assert page.text("title").startswith(pages.visible(text))


@pytest.mark.parametrize("content", ["\n\nfirst lines are empty", "  spaces ", "</textarea><b>", "&amp;", "tab\t"])
def test_form_comes_back_with_what_was_typed(content: str) -> None:
    values = {
        "content": content,
        "title": '"T"',
        "name": "n.md",
        "syntax": "c++",
        "expires_in": "90d",
        "password": "pw",
    }
    text = create_page(values, [Problem("expires_in", "must be at most 30 days")])
    page = Parsed(text)
    # a browser drops the first line break of a textarea
    assert page.text("textarea").startswith("\n" + content)
    fields = {attributes.get("name"): attributes for _, attributes in page.elements}
    assert (fields["title"]["value"], fields["name"]["value"]) == ('"T"', "n.md")
    chosen = [attributes["value"] for tag, attributes in page.elements if tag == "option" and "selected" in attributes]
    assert list(filter(None, chosen)) == ["c++", "90d"]
    assert "pw" not in page.values("value")
    assert fields["expires_in"]["aria-invalid"] == "true"
    assert "aria-invalid" not in fields["title"]
    assert page.text().count("must be at most 30 days") == 2


def test_form_posts_files_to_the_list_of_who_made_them() -> None:
    [form] = [attributes for tag, attributes in Parsed(create_page()).elements if tag == "form"]
    sent = {"class": "create", "method": "post", "action": "/mine", "enctype": "multipart/form-data"}
    assert form.items() >= sent.items()


def test_protected_paste_offers_no_address_that_would_cost_a_reading() -> None:
    page = Parsed(EVERY_PAGE["revealed paste"]())
    assert not [link for link in page.values("href") if "/raw" in link]
    assert "curl https://p.example/h8" not in page.text()
    assert "That was the last reading." in page.text()


def test_images_are_shown_in_place() -> None:
    for name, media_type, shown in (("cat.png", "image/png", ["cat.png"]), ("cat.svg", "image/svg+xml", [])):
        page = Parsed(paste_page(view(0, name, media_type=media_type, html=None)))
        images = [attributes for tag, attributes in page.elements if tag == "img" and "qr.svg" not in attributes["src"]]
        assert [attributes["alt"] for attributes in images] == ["", *shown]
        assert ("cannot be shown" in page.text()) == (not shown)


def test_reveal_says_what_it_costs() -> None:
    once, again = Parsed(EVERY_PAGE["reveal once"]()), Parsed(EVERY_PAGE["reveal again"]())
    assert "Open and delete" in once.text("button")
    assert "password" not in once.text("label").lower()
    assert "3 more times" in again.text("h1")
    assert "No reading was used up." in again.text()
    for page in (once, again):
        [form] = [attributes for tag, attributes in page.elements if tag == "form"]
        assert (form["method"], form["action"]) == ("post", f"/{SLUG}/reveal")


def test_manage_asks_for_the_token_only_where_it_is_not_known() -> None:
    known, unknown = Parsed(EVERY_PAGE["manage"]()), Parsed(EVERY_PAGE["manage without a token"]())
    kinds = [
        {attributes["name"]: attributes["type"] for tag, attributes in page.elements if tag == "input"}
        for page in (known, unknown)
    ]
    settings = {"expires_at": "datetime-local", "password": "password"}
    assert kinds[0] == {"action": "hidden", "token": "hidden", "confirm": "checkbox", **settings}
    assert kinds[1] == {"action": "hidden", "token": "password", "confirm": "checkbox", "place": "hidden"}
    assert f'Bearer t0k3n" \\\n  {SITE}/api/v1/pastes/{SLUG}' in known.text()
    assert '"Authorization: Bearer $TOKEN"' in unknown.text()


def test_help_is_plain_text_for_a_terminal() -> None:
    text = PAGES.render("help.txt", site_url=SITE, limits={**LIMITS, "max_lifetime_seconds": 7 * 86_400})
    assert text.startswith("pastes & <more>: ")
    assert f"curl --data-binary @- {SITE}/\n" in text
    assert "5 GiB" in text
    assert "1,000" in text
    assert "7 days at most" in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.endswith("\n")
    assert "\x1b" not in PAGES.render("help.txt", site_url="https://\x1b[31m", limits=LIMITS)


def test_version_changes_with_the_static_files() -> None:
    contents = {"style.css": b"a{}", "highlight.css": b"", "favicon.svg": b"<svg/>"}
    versions = [
        Pages(SiteSection(), Assets({**contents, "style.css": body})).version for body in (b"a{}", b"b{}", b"a{}")
    ]
    assert versions[0] == versions[2] != versions[1]


def test_response_carries_the_headers_that_keep_a_page_harmless() -> None:
    response = html_response("<p>\ud800", 404, {"X-More": "1"}, cache_control="no-cache", referrer_policy="no-referrer")
    assert (response.status, response.body) == (404, b"<p>?")
    policy = response.headers.pop("Content-Security-Policy").split("; ")
    assert {"default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert not [rule for rule in policy if "unsafe" in rule]
    assert [rule for rule in policy if rule.startswith("script-src")] == ["script-src 'self'"]
    assert dict(response.headers) == {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-cache",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-More": "1",
    }


def test_pages_are_not_kept_unless_somebody_says_so() -> None:
    assert html_response("").headers["Cache-Control"] == "no-store"

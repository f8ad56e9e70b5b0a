"""What reads: a browser, a tool in a terminal, a program. Told from the agent string, and from how fast it reads.

The patterns of crawlers are those of the package crawler-user-agents. Hardly any of them is more than a literal text,
so all together make one tree of prefixes: a search in it goes back over no more than one pattern's length, whatever a
hostile string holds, and only so many characters are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

import crawleruseragents

AgentClass = Literal[
    "browser", "app", "tool", "library", "preview", "feed", "monitor", "automation", "crawler", "unknown"
]
AGENT_CLASSES: tuple[AgentClass, ...] = get_args(AgentClass)

# No crawler of the package is recognized by what stands behind it.
LOOKED_AT = 256
_REMEMBERED = 4096
_FAMILY_CHARACTERS = 40


class Agent(NamedTuple):
    """`family` is one of a bounded number of names, "" for none; a tool in somebody's hands is no bot."""

    family: str
    klass: AgentClass
    is_bot: bool


UNKNOWN = Agent("", "unknown", True)
_OTHER = Agent("other", "app", False)

_CLASS_OF_TAG: dict[str, AgentClass] = {
    "social-preview": "preview",
    "http-library": "library",
    "feed-reader": "feed",
    "monitoring": "monitor",
    "browser-automation": "automation",
}
# Patterns of what people read with: tools (see _TOOL), the browser inside an app, an editor.
_PEOPLE = frozenset({"^curl", "[wW]get", r"^HTTPie\/", "MetaIAB Facebook", r"Code\/1\."})
_TOOL = re.compile(
    r"(curl|wget2?|httpie|xh|aria2|axel|pastebin|pastebinit|termbin|powershell|restsharp-cli)(?=[/ ]|\Z)"
    r"|mozilla/5\.0 \(windows nt[^)]{0,80}\) (?:windows)?(powershell)/",
    re.IGNORECASE,
)
_LIBRARY = re.compile(
    r"(aiohttp|ansible|apache-httpclient|axios|cpp-httplib|dart|deno|faraday|fetch|go-resty|grequests|guzzlehttp|got"
    r"|httpclient|http\.rb|httpx|hyper|jakarta|java|jodd|ktor|libcurl|lua-resty|lwp|mechanize|needle|node|node-fetch"
    r"|nodejs|okhttp|perl|php|postmanruntime|insomnia|python|reactornetty|req|request|reqwest|requests|rest-client"
    r"|restsharp|ruby|rust|scrapy|symfony|superagent|typhoeus|undici|unirest|ureq|urllib3?|vert\.x|winhttp|zend)"
    r"(?=[/ _-]|\Z)",
    re.IGNORECASE,
)
# What calls itself one, or says where to complain; CUBOT makes telephones.
_WORDS = ("crawl", "spider", "scrape", "headless", "http://", "https://", "www.", "@")
_BOT = re.compile(r"(?<!cu)bot(?![a-z])")

# Token in the agent string -> family: the first that is there counts, so what is built on another stands before it.
_APPS: tuple[tuple[str, str], ...] = (
    ("FBAN/", "Facebook app"),
    ("FBAV/", "Facebook app"),
    ("FB_IAB", "Facebook app"),
    ("MetaIAB", "Facebook app"),
    ("Instagram ", "Instagram app"),
    ("MicroMessenger/", "WeChat"),
    ("musical_ly", "TikTok app"),
    ("BytedanceWebview", "TikTok app"),
    ("Snapchat/", "Snapchat app"),
    ("LinkedInApp", "LinkedIn app"),
    (" Line/", "LINE"),
    ("KAKAOTALK", "KakaoTalk"),
    ("[Pinterest/", "Pinterest app"),
    ("Twitter for ", "Twitter app"),
    ("TelegramAndroid", "Telegram"),
    ("Telegram-Android", "Telegram"),
    ("GSA/", "Google app"),
    ("Slack_SSB", "Slack app"),
    ("Slack/", "Slack app"),
    ("Teams/", "Teams app"),
    ("discord/", "Discord app"),
    ("Code/", "VS Code"),
    ("Electron/", "Electron"),
    ("; wv)", "Android WebView"),
)
_BROWSERS: tuple[tuple[str, str], ...] = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("OPX/", "Opera"),
    ("OPT/", "Opera"),
    ("Opera", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("UCBrowser/", "UC Browser"),
    ("UBrowser/", "UC Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Brave", "Brave"),
    ("Whale/", "Whale"),
    ("MiuiBrowser/", "Mi Browser"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("HeyTapBrowser/", "HeyTap Browser"),
    ("VivoBrowser/", "Vivo Browser"),
    ("QQBrowser/", "QQ Browser"),
    ("Silk/", "Silk"),
    ("Ecosia", "Ecosia"),
    ("AvastSecureBrowser", "Avast Browser"),
    ("coc_coc_browser", "Coc Coc"),
    ("Sleipnir/", "Sleipnir"),
    ("Focus/", "Firefox Focus"),
    ("Klar/", "Firefox Focus"),
    ("SeaMonkey/", "SeaMonkey"),
    ("PaleMoon/", "Pale Moon"),
    ("Waterfox/", "Waterfox"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("Epiphany/", "Epiphany"),
    ("Konqueror", "Konqueror"),
    ("Falkon/", "Falkon"),
    ("QtWebEngine/", "QtWebEngine"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Trident/", "Internet Explorer"),
    ("MSIE ", "Internet Explorer"),
    ("Ladybird/", "Ladybird"),
    ("NetSurf/", "NetSurf"),
    ("Dillo/", "Dillo"),
    ("Lynx/", "Lynx"),
    ("ELinks/", "ELinks"),
    ("Links (", "Links"),
    ("w3m/", "w3m"),
    ("Safari/", "Safari"),
)


class Agents:
    """Tells agent strings apart; remembers some thousands of them. Making one takes some 50 milliseconds."""

    def __init__(self) -> None:
        listed = [entry for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA if entry["pattern"] not in _PEOPLE]
        self._crawler = re.compile(_expression(entry["pattern"] for entry in listed))
        self._class_of = {_literal(entry["pattern"]): _class_of(entry) for entry in listed}
        self._told = lru_cache(_REMEMBERED)(self._tell)

    def tell(self, text: str | None) -> Agent:
        """What sends this as its User-Agent; nothing or nonsense is UNKNOWN."""
        return self._told(text[:LOOKED_AT]) if text else UNKNOWN

    def _tell(self, text: str) -> Agent:
        if found := _TOOL.match(text):
            return Agent((found[1] or found[2]).lower(), "tool", False)
        if found := self._crawler.search(text):
            return self._listed(found[0])
        if found := _LIBRARY.match(text):
            return Agent(found[1].lower(), "library", True)
        lower = text.lower()
        if any(word in lower for word in _WORDS) or ("bot" in lower and _BOT.search(lower)):
            return Agent("other", "crawler", True)
        return _of_people(text)

    def _listed(self, text: str) -> Agent:
        """`text` is what a pattern has matched, so there are not many of it."""
        family = text.strip(" /;:,()[]+-_^").removesuffix("\\")
        return Agent(family[:_FAMILY_CHARACTERS], self._class_of.get(text, "crawler"), True)


def _of_people(text: str) -> Agent:
    for token, family in _APPS:
        if token in text:
            return Agent(family, "app", False)
    for token, family in _BROWSERS:
        if token in text:
            return Agent(family, "browser", False)
    if "AppleWebKit/" in text and ("iPhone" in text or "iPad" in text or "Macintosh" in text):
        return Agent("WebView", "app", False)
    if text.startswith("Dalvik/"):
        return Agent("Android", "app", False)
    if "CFNetwork/" in text or "Darwin/" in text:
        return Agent("Apple", "app", False)
    if text.startswith("Mozilla/"):
        return Agent("other", "browser", False)
    return _OTHER if text.isprintable() else UNKNOWN


# One element of a pattern: an escaped character, a class, a group, or a character as it is.
_ATOM = re.compile(r"\\.|\[[^\]]*\]|\([^)]*\)|.", re.DOTALL)
_PLAIN_ESCAPE = re.compile(r"\\([^A-Za-z0-9])")
_UNBOUNDED = re.compile(r"(?<!\\)[*+{]")
_CHOICE = re.compile(r"\|(?![^(]*\))")


def _expression(patterns: Iterable[str]) -> str:
    """One expression for all: a tree of prefixes, tried where words begin.

    A pattern that repeats something without bound is left out: it is the only kind that could take its time.
    """
    tree: dict[str, Any] = {}
    for pattern in patterns:
        if _UNBOUNDED.search(pattern):
            continue
        for choice in _CHOICE.split(pattern):
            node = tree
            for atom in _ATOM.findall(choice):
                node = node.setdefault(atom, {})
            node[""] = {}
    # what stands within a word is left to _WORDS: most places of any text are
    return f"(?<![A-Za-z]){_rendered(tree)}"


def _rendered(node: dict[str, Any]) -> str:
    if "" in node:
        return ""  # what goes on behind a whole pattern says nothing more
    branches = [(atom if atom[0] in r"\[(^$" else re.escape(atom)) + _rendered(rest) for atom, rest in node.items()]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _literal(pattern: str) -> str:
    return _PLAIN_ESCAPE.sub(r"\1", pattern.strip("^$"))


def _class_of(entry: dict[str, Any]) -> AgentClass:
    return next((_CLASS_OF_TAG[tag] for tag in entry.get("tags", ()) if tag in _CLASS_OF_TAG), "crawler")


class Habits:
    """Notices addresses that read far more different pastes than a person can. In memory only, and bounded.

    An office may share an address, so the limit is well above one person's pace. Whoever passed it within a minute
    counts as a bot until `REST_MINUTES` have gone by.
    """

    PASTES_PER_MINUTE = 60
    REST_MINUTES = 10

    def __init__(self, addresses: int = 16_384) -> None:
        self._room = addresses
        self._minute = 0
        self._seen: dict[str, set[int]] = {}
        self._hasty: dict[str, int] = {}

    def is_hasty(self, address: str, slug: str, now: float) -> bool:
        """Note a reading at `now` (seconds, any clock that does not go back), and say what it looks like."""
        minute = int(now // 60)
        if minute != self._minute:
            self._turn(minute)
        if address in self._hasty:
            return True
        seen = self._seen.get(address)
        if seen is None:
            if len(self._seen) >= self._room:
                del self._seen[next(iter(self._seen))]
            seen = self._seen[address] = set()
        seen.add(hash(slug))
        if len(seen) <= self.PASTES_PER_MINUTE:
            return False
        del self._seen[address]
        if len(self._hasty) < self._room:
            self._hasty[address] = minute + self.REST_MINUTES
        return True

    def _turn(self, minute: int) -> None:
        self._minute = minute
        self._seen.clear()
        self._hasty = {address: until for address, until in self._hasty.items() if until > minute}

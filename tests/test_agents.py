"""Who reads: crawlers by their own strings, browsers of today, tools; and addresses that read faster than people."""

from __future__ import annotations

import re

import crawleruseragents
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin import agents
from pastebin.agents import LOOKED_AT, UNKNOWN, Agents, Habits

_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)"
_LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
_ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
_PIXEL = "Mozilla/5.0 (Linux; Android 16; Pixel 9 Build/BP1A.250505.005; wv) AppleWebKit/537.36 (KHTML, like Gecko)"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_IPAD = "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"

PEOPLE = [
    # desktops
    (f"{_WINDOWS} Chrome/142.0.0.0 Safari/537.36", "Chrome"),
    (f"{_MAC} Chrome/142.0.0.0 Safari/537.36", "Chrome"),
    (f"{_LINUX} Chrome/142.0.0.0 Safari/537.36", "Chrome"),
    (
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)"
        " AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        "Chrome",
    ),
    (f"{_LINUX} Ubuntu Chromium/142.0.0.0 Chrome/142.0.0.0 Safari/537.36", "Chromium"),
    (f"{_WINDOWS} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "Edge"),
    (f"{_MAC} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.3595.53", "Edge"),
    (f"{_WINDOWS} Chrome/142.0.0.0 Safari/537.36 OPR/126.0.0.0", "Opera"),
    (f"{_WINDOWS} Chrome/140.0.0.0 Safari/537.36 OPR/124.0.0.0 (Edition GX-CN)", "Opera"),
    (f"{_LINUX} Chrome/142.0.0.0 Safari/537.36 Vivaldi/7.6.3797.63", "Vivaldi"),
    (f"{_WINDOWS} Chrome/140.0.0.0 YaBrowser/25.10.0.0 Safari/537.36", "Yandex Browser"),
    (f"{_WINDOWS} Chrome/142.0.0.0 Whale/4.34.340.19 Safari/537.36", "Whale"),
    (f"{_WINDOWS} Chrome/142.0.0.0 Safari/537.36 Avast/142.0.0.0 AvastSecureBrowser/142.0", "Avast Browser"),
    (f"{_WINDOWS} coc_coc_browser/142.0.148 Chrome/136.0.0.0 Safari/537.36", "Coc Coc"),
    (f"{_WINDOWS} Chrome/123.0.0.0 Safari/537.36 QQBrowser/19.8.0", "QQ Browser"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox"),
    ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox"),
    ("Mozilla/5.0 (X11; FreeBSD amd64; rv:144.0) Gecko/20100101 Firefox/144.0", "Firefox"),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6",
        "WebView",
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0"
        " Safari/605.1.15",
        "Safari",
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15"
        " Epiphany/605.1.15",
        "Epiphany",
    ),
    (f"{_LINUX} QtWebEngine/6.9.2 Chrome/130.0.0.0 Safari/537.36", "QtWebEngine"),
    (f"{_LINUX} Falkon/24.12.0 QtWebEngine/6.8.1 Chrome/122.0.0.0 Safari/537.36", "Falkon"),
    ("Mozilla/5.0 (X11; Linux x86_64) KHTML/5.116 (like Gecko) Konqueror/5 KIO/5.116", "Konqueror"),
    ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer"),
    ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Ladybird/1.0", "Chrome"),
    ("Lynx/2.9.2 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/3.0.15", "Lynx"),
    ("w3m/0.5.3+git20230121", "w3m"),
    ("ELinks/0.17.1 (textmode; Linux 6.12.9 x86_64; 120x40-2)", "ELinks"),
    ("Links (2.30; Linux 6.12.9 x86_64; GNU C 14.2; text)", "Links"),
    ("NetSurf/3.11 (Linux)", "NetSurf"),
    ("Dillo/3.2.0", "Dillo"),
    # privacy
    ("Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox"),  # Tor Browser
    ("Mozilla/5.0 (Android 10; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox"),  # Tor Browser for Android
    ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox"),  # LibreWolf, Mullvad
    (f"{_MAC} Chrome/142.0.0.0 Safari/537.36 Brave/142", "Brave"),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6"
        " Safari/605.1.15 Ddg/18.6",
        "DuckDuckGo",
    ),
    (f"{_ANDROID} Version/4.0 Chrome/142.0.0.0 Mobile DuckDuckGo/5 Safari/537.36", "DuckDuckGo"),
    (f"{_IPHONE} Version/18.6 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15", "DuckDuckGo"),
    (f"{_IPHONE} FxiOS/145.0 Mobile/15E148 Safari/605.1.15", "Firefox"),
    (f"{_IPHONE} Focus/145.0 Mobile/15E148 Safari/605.1.15", "Firefox Focus"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 Waterfox/6.6.4", "Waterfox"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:6.8) Goanna/20251020 PaleMoon/33.9.1", "Pale Moon"),
    ("Mozilla/5.0 (Windows NT 10.0; rv:91.0) Gecko/20100101 Firefox/91.0 SeaMonkey/2.53.21", "SeaMonkey"),
    # telephones and tablets
    (f"{_ANDROID} Chrome/142.0.0.0 Mobile Safari/537.36", "Chrome"),
    (f"{_ANDROID} Chrome/142.0.0.0 Safari/537.36", "Chrome"),
    (
        "Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile",
        "Chrome",
    ),
    (f"{_ANDROID} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "Samsung Internet"),
    (f"{_ANDROID} Chrome/142.0.0.0 Mobile Safari/537.36 EdgA/142.0.0.0", "Edge"),
    (f"{_ANDROID} Chrome/140.0.0.0 Mobile Safari/537.36 OPR/92.0.0.0", "Opera"),
    (f"{_ANDROID} Version/4.0 Chrome/123.0.6312.80 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.39.0-gn", "Mi Browser"),
    (f"{_ANDROID} Chrome/114.0.5735.196 HuaweiBrowser/16.0.6.300 Mobile Safari/537.36", "Huawei Browser"),
    (f"{_ANDROID} Version/4.0 Chrome/123.0.0.0 Mobile Safari/537.36 HeyTapBrowser/45.13.2.1", "HeyTap Browser"),
    (f"{_ANDROID} Version/4.0 UCBrowser/13.8.2.1324 U4/2.10 Mobile Safari/537.36", "UC Browser"),
    (
        "Mozilla/5.0 (Linux; Android 11; KFTRWI)"
        " AppleWebKit/537.36 (KHTML, like Gecko) Silk/138.4.1 like Chrome/138.0.0",
        "Silk",
    ),
    ("Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", "Firefox"),
    (f"{_IPHONE} Version/18.6 Mobile/15E148 Safari/604.1", "Safari"),
    (f"{_IPAD} Version/18.6 Mobile/15E148 Safari/604.1", "Safari"),
    (f"{_IPHONE} CriOS/142.0.7444.77 Mobile/15E148 Safari/604.1", "Chrome"),
    (f"{_IPHONE} Version/18.0 EdgiOS/142.0.3595.66 Mobile/15E148 Safari/604.1", "Edge"),
    (f"{_IPHONE} Version/18.6 Mobile/15E148 Safari/604.1 OPT/6.1.3", "Opera"),
    # inside apps
    (f"{_PIXEL} Version/4.0 Chrome/142.0.7444.102 Mobile Safari/537.36", "Android WebView"),
    (f"{_PIXEL} Version/4.0 Chrome/142.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/538.0.0.52;]", "Facebook app"),
    (f"{_IPHONE} Mobile/22G86 [FBAN/FBIOS;FBAV/538.0.0.40.70;FBDV/iPhone17,2;FBLC/de_DE]", "Facebook app"),
    (f"{_IPHONE} Mobile/22G86 Instagram 405.0.0.23.72 (iPhone17,2; iOS 18_6; de_DE; scale=3.00)", "Instagram app"),
    (f"{_IPHONE} Mobile/15E148 MicroMessenger/8.0.63(0x18003f2f) NetType/WIFI Language/zh_CN", "WeChat"),
    (f"{_PIXEL} Version/4.0 Chrome/142.0 Mobile Safari/537.36 musical_ly_2024204030 BytedanceWebview", "TikTok app"),
    (f"{_IPHONE} Mobile/15E148 Safari Line/15.17.0", "LINE"),
    (f"{_IPHONE} Mobile/15E148 LinkedInApp/9.31.2", "LinkedIn app"),
    (f"{_IPHONE} GSA/391.0.825 Mobile/15E148 Safari/604.1", "Google app"),
    (f"{_IPHONE} Mobile/15E148", "WebView"),
    (f"{_WINDOWS} Slack/4.46.99 Chrome/140.0.7339.133 Electron/38.1.2 Safari/537.36 Slack_SSB/4.46.99", "Slack app"),
    (f"{_LINUX} Code/1.106.0 Chrome/138.0.7204.251 Electron/37.7.0 Safari/537.36", "VS Code"),
    ("Dalvik/2.1.0 (Linux; U; Android 15; SM-S938B Build/AP3A.240905.015)", "Android"),
    ("Reader/312 CFNetwork/3826.600.41 Darwin/24.6.0", "Apple"),
]

TOOLS = [
    ("curl/8.14.1", "curl"),
    ("Wget/1.25.0", "wget"),
    ("Wget2/2.2.0", "wget2"),
    ("HTTPie/3.2.4", "httpie"),
    ("xh/0.24.1", "xh"),
    ("aria2/1.37.0", "aria2"),
    ("Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.26100; en-US) PowerShell/7.5.4", "powershell"),
    ("Mozilla/5.0 (Windows NT; Windows NT 10.0; de-DE) WindowsPowerShell/5.1.26100.7019", "powershell"),
]
PROGRAMS = [
    ("python-requests/2.32.5", "python-requests", "library"),
    ("Python/3.13 aiohttp/3.14.5", "aiohttp", "library"),
    ("Go-http-client/2.0", "Go-http-client", "library"),
    ("okhttp/5.1.0", "okhttp", "library"),
    ("Java/21.0.9", "java", "library"),
    ("undici", "undici", "library"),
    ("reqwest/0.12.24", "reqwest", "library"),
    ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Slackbot", "preview"),
    ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "Discordbot", "preview"),
    ("WhatsApp/2.23.20.0", "WhatsApp", "preview"),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", "crawler"),
    (f"{_LINUX} HeadlessChrome/142.0.0.0 Safari/537.36", "HeadlessChrome", "automation"),
    ("something-of-ours/1.0 (+https://example.org/about)", "other", "crawler"),
    ("BrandNewBot/0.1", "other", "crawler"),
]


@pytest.fixture(scope="module")
def told() -> Agents:
    return Agents()


def test_of_the_crawlers_that_are_known_95_percent_and_more_are_told_apart(told: Agents) -> None:
    known = [text for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA for text in entry["instances"]]
    missed = [text for text in known if not told.tell(text).is_bot]
    assert len(known) > 1500
    assert len(missed) <= 0.05 * len(known), missed


@pytest.mark.parametrize(("text", "family"), PEOPLE)
def test_what_people_read_with_is_not_lost(told: Agents, text: str, family: str) -> None:
    agent = told.tell(text)
    assert (agent.family, agent.is_bot) == (family, False)
    assert agent.klass in ("browser", "app")


def test_there_are_fifty_and_more_of_them() -> None:
    assert len({text for text, _ in PEOPLE}) == len(PEOPLE) >= 50


@pytest.mark.parametrize(("text", "family"), TOOLS)
def test_a_tool_in_somebodys_hands_is_no_bot(told: Agents, text: str, family: str) -> None:
    assert told.tell(text) == (family, "tool", False)


@pytest.mark.parametrize(("text", "family", "klass"), PROGRAMS)
def test_programs_are_told_by_what_they_do(told: Agents, text: str, family: str, klass: str) -> None:
    assert told.tell(text) == (family, klass, True)


@pytest.mark.parametrize("text", [None, "", "\0\x7f", "\udcff\udcfe"])
def test_nothing_and_nonsense_are_unknown(told: Agents, text: str | None) -> None:
    assert told.tell(text) == UNKNOWN


@given(st.text(max_size=2000))
def test_whatever_is_sent_has_a_family_that_is_short(text: str) -> None:
    agent = _AGENTS.tell(text)
    assert len(agent.family) <= 40
    assert agent.klass in agents.AGENT_CLASSES


_AGENTS = Agents()


def test_families_are_bounded_whatever_is_made_up(told: Agents) -> None:
    made_up = {told.tell(f"Made{number}/{number}.0").family for number in range(1000)}
    made_up |= {told.tell(f"Mozilla/5.0 (Made{number})").family for number in range(1000)}
    assert made_up == {"other"}


def test_only_so_much_of_a_string_is_looked_at(told: Agents) -> None:
    assert told.tell("Googlebot " * 200_000) == told.tell(("Googlebot " * 100)[:LOOKED_AT])
    assert not told.tell(" " * LOOKED_AT + "Googlebot").is_bot


def test_no_pattern_can_repeat_without_bound() -> None:
    listed = [entry["pattern"] for entry in crawleruseragents.CRAWLER_USER_AGENTS_DATA]
    assert not re.search(r"(?<!\\)[*+{]", agents._expression(listed))


class TestHabits:
    def test_a_person_reads_some_pastes_a_minute_and_one_of_them_often(self) -> None:
        habits = Habits()
        assert not any(habits.is_hasty("10.0.0.1", f"paste{number % 20}", number / 10) for number in range(5000))

    def test_whoever_reads_far_more_is_a_bot_for_a_while(self) -> None:
        habits = Habits()
        reads = [habits.is_hasty("10.0.0.1", f"paste{number}", 30.0) for number in range(100)]
        assert reads == [False] * 60 + [True] * 40
        assert not habits.is_hasty("10.0.0.2", "paste1", 30.0)
        assert habits.is_hasty("10.0.0.1", "paste1", 300.0)
        assert not habits.is_hasty("10.0.0.1", "paste1", 30.0 + 60 * Habits.REST_MINUTES)

    def test_however_many_come_memory_is_bounded(self) -> None:
        habits = Habits(addresses=10)
        for number in range(1000):
            for paste in range(70):
                habits.is_hasty(f"10.0.{number}", str(paste), 30.0)
        for number in range(1000):
            habits.is_hasty(f"10.1.{number}", "paste", 30.0)
        assert len(habits._seen) <= 10
        assert len(habits._hasty) <= 10

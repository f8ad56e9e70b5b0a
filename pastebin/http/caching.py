"""What caches may do with an answer: browsers by Cache-Control, shared caches by CDN-Cache-Control (RFC 9213).

Nobody can purge a browser, so it asks again before it shows a paste twice. A shared cache keeps what every reader may
see until a purge of one of its surrogate keys, at most for a day and never beyond the paste's end. What shows a secret,
or depends on who asks, is kept by nobody. An answer that says nothing about shared caches is not for them.
"""

from __future__ import annotations

from math import floor

from aiohttp import hdrs, web
from multidict import MultiMapping, MutableMultiMapping

from pastebin import surrogates
from pastebin.http.counted import ANALYTICS, OFF
from pastebin.models import Paste

SHARED = "CDN-Cache-Control"
PASTE_SECONDS = 86_400
# Old, but never purged: for a moment while a cache asks again, and for longer while there is nobody to ask (RFC 5861).
REVALIDATING_SECONDS = 60
FAILING_SECONDS = 3600
ABSENCE_SECONDS = 5
# What would look better the next time: a page whose highlighting took too long.
UNSTABLE_SECONDS = 10

Headers = dict[str, str]


def secret() -> Headers:
    """For what only the one who asked may see, and for what is true only once."""
    return {hdrs.CACHE_CONTROL: "private, no-store", SHARED: "no-store"}


def of_secret(paste: Paste) -> Headers:
    """For what only the one who asked may see of a paste."""
    return {**secret(), **_uncounted(paste)}


def of_paste(paste: Paste, *, is_personal: bool, now: float, is_stable: bool = True) -> Headers:
    """For an answer that shows a paste or what is known of it; `now` is the monotonic clock.

    `is_personal` says that the answer depends on who asks. Protected and private pastes always do.
    """
    if is_personal or not is_for_all(paste):
        return of_secret(paste)
    return {
        **_uncounted(paste),
        hdrs.CACHE_CONTROL: "no-cache",
        SHARED: _shared(PASTE_SECONDS if is_stable else UNSTABLE_SECONDS, _left(paste, now)),
    }


def is_for_all(paste: Paste) -> bool:
    """Whether whoever knows the name of the paste may see it with a plain GET, and always the same."""
    return not paste.needs_reveal and paste.visibility != "private" and not paste.is_growing


def _uncounted(paste: Paste) -> Headers:
    return {ANALYTICS: OFF} if paste.analytics == "off" else {}


def of_site(seconds: int, *, browsers: str = "no-cache") -> Headers:
    """For what belongs to no paste and looks the same to everybody: shared caches keep it for `seconds`."""
    return {hdrs.CACHE_CONTROL: browsers, SHARED: _shared(seconds, None)}


def of_absence() -> Headers:
    """For the news that there is no such paste. The creation of one purges it."""
    return {hdrs.CACHE_CONTROL: "no-store", SHARED: f"max-age={ABSENCE_SECONDS}"}


def is_shared(headers: MultiMapping[str] | Headers) -> bool:
    """Whether shared caches may keep the answer with these headers: then there is no secret in it."""
    return headers.get(SHARED, "no-store") != "no-store"


def is_anonymous(request: web.Request) -> bool:
    """Whether nothing in the request says who asks."""
    return hdrs.AUTHORIZATION not in request.headers and hdrs.COOKIE not in request.headers


def guard(path: str, headers: MutableMultiMapping[str] | Headers, *, in_session: bool) -> None:
    """Close what nobody opened for shared caches, and put the surrogate keys of the address on an answer's headers.

    They are made of the address because that is what a cache knows before it has an answer. What depends on pastes is
    kept from shared caches if the client is `in_session`: it may be newer, or older, than what others may see.
    """
    keys = surrogates.of_path(path)
    if keys and in_session and is_shared(headers):
        headers[SHARED] = "no-store"
        headers[hdrs.CACHE_CONTROL] = f"private, {headers[hdrs.CACHE_CONTROL]}"
    headers.setdefault(SHARED, "no-store")
    if keys or is_shared(headers):
        headers[surrogates.HEADER] = surrogates.header(keys)


def _left(paste: Paste, now: float) -> int | None:
    """Whole seconds until the paste expires; None if it never does. 0 where that is not known."""
    if paste.ends_at is not None:
        return max(floor(paste.ends_at - now), 0)
    return None if paste.expires_at is None else 0


def _shared(seconds: int, left: int | None) -> str:
    """Fresh for `seconds` and a little longer as a stale answer, but for nothing beyond the `left` ones."""
    if left is None:
        left = seconds + max(REVALIDATING_SECONDS, FAILING_SECONDS)
    fresh = min(seconds, left)
    directives = [f"max-age={fresh}"]
    for name, longest in (("stale-while-revalidate", REVALIDATING_SECONDS), ("stale-if-error", FAILING_SECONDS)):
        if stale := min(longest, left - fresh):
            directives.append(f"{name}={stale}")
    return ", ".join(directives)

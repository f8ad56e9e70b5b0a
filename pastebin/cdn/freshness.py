"""What a shared cache may keep, for how long, and when it may serve it: RFC 9111, RFC 5861. Pure decisions.

All times are seconds of the wall clock, given by the caller. Where the RFC leaves a choice:
- Only answers to GET are kept, of which none are partial.
- An answer without a word about its freshness is not kept (no heuristics), nor one that could neither be served as it
  is nor be validated.
- Set-Cookie is kept only where the response says so: `public` allows to keep it with the rest, `no-cache="set-cookie"`
  and `private="set-cookie"` allow to keep the rest without it. Anything else about cookies is one client's business.
- Nothing is served stale that did not ask for it (RFC 5861), not even while the origin cannot be reached.
- A failure of the server (5xx) is kept for a second at most, whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from multidict import MultiMapping

from pastebin.cdn import directives, variants
from pastebin.cdn.directives import Directives
from pastebin.http import conditions

Answer = Literal["fresh", "stale-while-revalidate", "revalidate"]

# RFC 9110, section 15.1; 206 is among them, but never kept.
HEURISTIC_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
# Parts and confirmations of something else; answers to preconditions, ranges and one connection's state; and those
# that "MUST NOT be stored" by RFC 6585 (428, 429, 431, 511).
_UNKEPT_STATUSES = frozenset({206, 304, 407, 408, 412, 416, 417, 421, 425, 426, 428, 429, 431, 511})
# Statuses whose requirements about caching are met here, for must-understand (RFC 9111, section 5.2.2.3).
_UNDERSTOOD_STATUSES = HEURISTIC_STATUSES | {201, 202, 302, 303, 307, 400, 403, 409, 422, 500, 502, 503, 504}
ERROR_STATUSES = frozenset({500, 502, 503, 504})  # RFC 5861, section 4

SERVER_ERROR_SECONDS = 1.0
_HEURISTIC_SHARE = 0.1
_HEURISTIC_SECONDS = 86_400.0


class RequestView(Protocol):
    """What of a request matters here; aiohttp's requests are such."""

    @property
    def method(self) -> str: ...

    @property
    def headers(self) -> MultiMapping[str]: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """What a stored response allows. All figures are seconds; `initial_age` is that of the moment it was received."""

    lifetime: float
    initial_age: float  # corrected_initial_age of RFC 9111, section 4.2.3
    stale_while_revalidate: float = 0.0  # 0 where something forbids it
    stale_if_error: float = 0.0  # likewise
    must_revalidate: bool = False  # never to be served stale
    always_revalidate: bool = False  # never to be served without asking, however fresh
    for_authorised: bool = False  # may answer a request that has credentials


def may_store(
    request: RequestView,
    status: int,
    headers: MultiMapping[str],
    *,
    requested_at: float,
    responded_at: float,
    heuristics: bool = False,
) -> Policy | None:
    """What the response to `request` allows if it may be kept, None if not (RFC 9111, section 3).

    `headers` are those the origin sent; what may be kept of them is `validation.storable_headers`. Every request for
    which `variants.variant_of` is the same may get the response.
    """
    if request.method != "GET":
        return None
    return policy_of(request.headers, status, headers, requested_at, responded_at, heuristics=heuristics)


def policy_of(
    request: MultiMapping[str],
    status: int,
    headers: MultiMapping[str],
    requested_at: float,
    responded_at: float,
    *,
    heuristics: bool,
) -> Policy | None:
    """`may_store` without regard to the method: for the headers that a stored response has after a 304."""
    says = directives.of_response(headers)
    if not _is_allowed(request, status, headers, says):
        return None
    lifetime = _lifetime(status, headers, says, responded_at, heuristics=heuristics)
    if lifetime is None:
        return None
    may_be_stale = not says.forbids_stale
    policy = Policy(
        lifetime=lifetime,
        initial_age=_initial_age(headers, requested_at, responded_at),
        stale_while_revalidate=float(says.stale_while_revalidate or 0) if may_be_stale else 0.0,
        stale_if_error=float(says.stale_if_error or 0) if may_be_stale else 0.0,
        must_revalidate=not may_be_stale,
        always_revalidate=says.no_cache,
        for_authorised=says.allows_authorised,
    )
    return policy if _is_useful(policy) or _has_validator(headers) else None


def current_age(policy: Policy, responded_at: float, now: float) -> float:
    """RFC 9111, section 4.2.3. A clock that went back makes nothing younger than it was."""
    return policy.initial_age + max(0.0, now - responded_at)


def age_value(policy: Policy, responded_at: float, now: float) -> str:
    """The value of the Age header (RFC 9111, section 5.1)."""
    return str(min(int(current_age(policy, responded_at, now)), directives.LONGEST))


def serve(
    policy: Policy,
    responded_at: float,
    asked: Directives,
    now: float,
    *,
    must_ask: bool = False,
    soft_purged: bool = False,
) -> Answer:
    """Whether a stored response answers a request with the directives `asked` (RFC 9111, sections 4 and 5.2.1).

    "stale-while-revalidate": it is stale, may be served all the same, and is to be revalidated meanwhile. `must_ask`
    overrules everything; `soft_purged` means stale from now on. With `only_if_cached` "revalidate" is a 504.
    """
    if must_ask or policy.always_revalidate or asked.no_cache:
        return "revalidate"
    age = current_age(policy, responded_at, now)
    if asked.max_age is not None and age > asked.max_age:
        return "revalidate"
    if age < policy.lifetime and not soft_purged:
        return "fresh" if asked.min_fresh is None or policy.lifetime - age >= asked.min_fresh else "revalidate"
    if policy.must_revalidate:
        return "revalidate"
    staleness = max(0.0, age - policy.lifetime)
    if asked.max_stale is not None:
        return "stale-while-revalidate" if staleness <= asked.max_stale and not soft_purged else "revalidate"
    wants_fresh = asked.max_age is not None or asked.min_fresh is not None
    return "stale-while-revalidate" if staleness < policy.stale_while_revalidate and not wants_fresh else "revalidate"


def may_serve_on_error(
    policy: Policy, responded_at: float, asked: Directives, now: float, *, must_ask: bool = False
) -> bool:
    """Whether a stored response stands in for an error of the origin: ERROR_STATUSES, or no answer at all (RFC 5861).

    The request may ask for it as well. Where not, an origin that gives no answer is a 504 (RFC 9111, section 5.2.2.2).
    """
    if must_ask or policy.must_revalidate or policy.always_revalidate:
        return False
    window = max(policy.stale_if_error, float(asked.stale_if_error or 0))
    return current_age(policy, responded_at, now) - policy.lifetime < window


def date_of(headers: MultiMapping[str], responded_at: float) -> float:
    """When the response was made; without a readable Date, when it was received (RFC 9110, section 6.6.1)."""
    date = moment_of(headers.getall("Date", ()))
    return responded_at if date is None else date


def moment_of(lines: list[str] | tuple[()]) -> float | None:
    """One date that a field holds, however often; None if there are none, several, or something else.

    Case does not matter (RFC 9111, section 4.2), a time zone other than GMT does.
    """
    if not lines or any(line != lines[0] for line in lines):
        return None
    date = conditions.parse_date(lines[0])
    if date is None:
        date = conditions.parse_date(f"{lines[0].strip()[:-3].title()}{lines[0].strip()[-3:].upper()}")
    return None if date is None else date.timestamp()


def _is_allowed(request: MultiMapping[str], status: int, headers: MultiMapping[str], says: Directives) -> bool:
    """Whether nothing in RFC 9111, section 3, or in the rules of this cache is against keeping the response."""
    if not 200 <= status <= 999 or status in _UNKEPT_STATUSES:
        return False
    if says.must_understand and status not in _UNDERSTOOD_STATUSES:
        return False
    if (says.no_store and not says.must_understand) or says.private or directives.of_request(request).no_store:
        return False
    if "Authorization" in request and not says.allows_authorised:
        return False
    named = says.no_cache_fields | says.private_fields
    if "Set-Cookie" in headers and not (says.public or "set-cookie" in named):
        return False
    return variants.nominated(headers) is not None


def _lifetime(
    status: int, headers: MultiMapping[str], says: Directives, responded_at: float, *, heuristics: bool
) -> float | None:
    """The freshness lifetime (RFC 9111, section 4.2.1); None where nothing allows to keep the response (section 3)."""
    lifetime: float | None = None
    is_cacheable = says.public or status in HEURISTIC_STATUSES
    if says.s_maxage is not None:
        lifetime = float(says.s_maxage)
    elif says.max_age is not None:
        lifetime = float(says.max_age)
    elif "Expires" in headers and not says.is_targeted:
        expires = moment_of(headers.getall("Expires"))
        lifetime = 0.0 if expires is None else max(0.0, expires - date_of(headers, responded_at))
    elif heuristics and is_cacheable:
        modified = moment_of(headers.getall("Last-Modified", ()))
        age = 0.0 if modified is None else date_of(headers, responded_at) - modified
        lifetime = min(max(0.0, age * _HEURISTIC_SHARE), _HEURISTIC_SECONDS)
    elif is_cacheable and (says.public or says.forbids_stale):
        lifetime = 0.0
    if lifetime is not None and status >= 500:
        return min(lifetime, SERVER_ERROR_SECONDS)
    return lifetime


def _initial_age(headers: MultiMapping[str], requested_at: float, responded_at: float) -> float:
    apparent = max(0.0, int(responded_at) - date_of(headers, responded_at))  # a Date has no fractions
    first = headers.get("Age", "0").partition(",")[0].strip(" \t")
    told = directives.parse_seconds(first) or 0
    return max(apparent, told + max(0.0, responded_at - requested_at))


def _has_validator(headers: MultiMapping[str]) -> bool:
    return conditions.entity_tags(headers.get("ETag", "")) is not None or "Last-Modified" in headers


def _is_useful(policy: Policy) -> bool:
    """Whether it can be served at least once without asking, or in place of an error."""
    if policy.always_revalidate:
        return False
    longest = policy.lifetime + max(policy.stale_while_revalidate, policy.stale_if_error)
    return policy.initial_age < longest

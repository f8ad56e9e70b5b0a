"""What is wrong with what somebody wishes for a paste, as problems to be told. Pure."""

from __future__ import annotations

from pastebin import slugs
from pastebin.errors import Problem
from pastebin.models import NO_OPTIONS, Options
from pastebin.phrases import Phrase
from pastebin.services import intake, judging, syntaxes

TITLE_CHARACTERS = 200
_PASSWORD_CHARACTERS = 1024
_MAX_READS = 1_000_000
_IDEMPOTENCY_CHARACTERS = (16, 255)


def problems(options: Options, longest_seconds: int) -> list[Problem]:
    """Everything but a moment of expiry, which only the database's clock can judge; 0 seconds are no limit."""
    if options is NO_OPTIONS:
        return []
    found = list(options.problems)
    if options.name is not None:
        found += intake.name_problems(options.name, "name")
    if options.title is not None and (len(options.title) > TITLE_CHARACTERS or "\0" in options.title):
        found.append(Problem("title", Phrase("must be at most %(num)s characters without NUL", num=TITLE_CHARACTERS)))
    if options.syntax is not None and syntaxes.find(options.syntax) is None:
        found.append(Problem("syntax", "is not known; /api/v1/syntaxes lists what is"))
    if options.slug is not None and (not slugs.is_slug(options.slug) or slugs.is_reserved(options.slug)):
        found.append(Problem("slug", slugs.RULE))
    if options.parent is not None and not slugs.is_slug(options.parent):
        found.append(Problem("parent", "must be the slug of a paste"))
    if options.max_reads is not None and not 1 <= options.max_reads <= _MAX_READS:
        found.append(Problem("max_reads", Phrase("must be 1 to %(num)s", num=_MAX_READS)))
    if options.password is not None and len(options.password) > _PASSWORD_CHARACTERS:
        found.append(Problem("password", Phrase("must be at most %(num)s characters", num=_PASSWORD_CHARACTERS)))
    if options.encryption is not None:
        found += judging.encryption_problems(options.encryption)
    shortest, longest = _IDEMPOTENCY_CHARACTERS
    if (key := options.idempotency_key) is not None and not (
        shortest <= len(key) <= longest and key.isascii() and key.isprintable()
    ):
        found.append(
            Problem("Idempotency-Key", f"must be {shortest} to {longest} printable ASCII characters, such as a UUID")
        )
    return found + _lifetime_problems(options, longest_seconds)


def _lifetime_problems(options: Options, longest: int) -> list[Problem]:
    if not longest:
        return []
    asked = options.asked & {"expires_in", "expires_at"}
    if asked and options.lifetime is None and options.expires_at is None:
        return [Problem("expires_in", Phrase("must be at most %(num)s seconds here, so not 'never'", num=longest))]
    if options.lifetime is not None and options.lifetime.total_seconds() > longest:
        return [Problem("expires_in", Phrase("must be at most %(num)s seconds here", num=longest))]
    return []

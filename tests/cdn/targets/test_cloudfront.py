"""CloudFront: signed invalidations by pattern or tag, the same one for the same batch."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cdn.targets import Batch, Equipment, Target, TargetBusy, TargetRefused, TargetUnreachable
from pastebin.cdn.targets.cloudfront import opened, path_of, paths_for, reference_of
from tests.cdn.targets.provider import Asked, Provider, Reply, batch, equipment, section

__all__ = ["equipment"]

_NAMESPACE = "{http://cloudfront.amazonaws.com/doc/2020-05-31/}"
CREATED = Reply(
    201,
    b"""<?xml version="1.0" encoding="UTF-8"?>
<Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>IDFDVBD632BHDS5</Id><Status>InProgress</Status>
<CreateTime>2026-01-01T00:00:00.000Z</CreateTime><InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>/x</Path>
</Items></Paths><CallerReference>x</CallerReference></InvalidationBatch></Invalidation>""",
    {"Location": "https://cloudfront.amazonaws.com/2020-05-31/distribution/some-id/invalidation/IDFDVBD632BHDS5"},
)


def refused(status: int, code: str) -> Reply:
    said = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>because</Message></Error>"
    body = f'<ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">{said}</ErrorResponse>'
    return Reply(status, body.encode(), {"Content-Type": "text/xml"})


def invalidated(asked: Asked) -> tuple[list[str], str]:
    """Paths and reference of a request, which has to count its paths rightly."""
    tree = ElementTree.fromstring(asked.body)  # noqa: S314  (our own)
    assert tree.tag == f"{_NAMESPACE}InvalidationBatch"
    paths = [str(path.text) for path in tree.iter(f"{_NAMESPACE}Path")]
    assert tree.findtext(f"{_NAMESPACE}Paths/{_NAMESPACE}Quantity") == str(len(paths))
    return paths, str(tree.findtext(f"{_NAMESPACE}CallerReference"))


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider.opened(CREATED) as provider:
        yield provider


@pytest.fixture
async def cloudfront(provider: Provider, equipment: Equipment) -> AsyncIterator[Target]:
    async with opened(section("cloudfront", provider.url, access_key="AKIA"), equipment) as target:
        yield target


@pytest.fixture
async def tagged(provider: Provider, equipment: Equipment) -> AsyncIterator[Target]:
    async with opened(section("cloudfront", provider.url, access_key="AKIA", tags=True), equipment) as target:
        yield target


async def test_patterns(provider: Provider, cloudfront: Target) -> None:
    await cloudfront.purge(batch("p-abc", urls=("https://p.example/x?y",)))
    asked = provider.asked[0]
    assert (asked.method, asked.target) == ("POST", "/2020-05-31/distribution/some-id/invalidation")
    signature = (
        r"AWS4-HMAC-SHA256 Credential=AKIA/\d{8}/us-east-1/cloudfront/aws4_request, SignedHeaders=.*, Signature=.*"
    )
    assert re.fullmatch(signature, asked.headers["Authorization"])
    paths, _ = invalidated(asked)
    assert {"/abc*", "/raw/abc*", "/api/v1/pastes/abc*", "/x?y"} <= set(paths)
    assert len(provider.asked) == 1


async def test_a_batch_that_is_sent_again_is_the_same_invalidation(provider: Provider, cloudfront: Target) -> None:
    await cloudfront.purge(batch("p-abc"))
    await cloudfront.purge(batch("p-abc"))
    await cloudfront.purge(batch("p-def"))
    await cloudfront.purge_urls(["https://p.example/abc"])
    await cloudfront.purge_urls(["https://p.example/abc"])
    references = [invalidated(asked)[1] for asked in provider.asked]
    assert references[0] == references[1]
    assert len(set(references)) == 4


async def test_a_repetition_is_another_invalidation(provider: Provider, equipment: Equipment) -> None:
    """With the reference of the first it would be none."""
    hurried = replace(equipment, lag_seconds=-1.95)
    async with opened(section("cloudfront", provider.url, access_key="AKIA"), hurried) as target:
        await target.purge(batch("p-abc"))
        await provider.heard(2)
    (paths, reference), (again, other) = map(invalidated, provider.asked)
    assert paths == again
    assert reference != other


async def test_tags(provider: Provider, tagged: Target) -> None:
    await tagged.purge(batch("p-abc", "p-def"))
    assert invalidated(provider.asked[0])[0] == ["#p-abc", "#p-def"]


async def test_everything(provider: Provider, cloudfront: Target, tagged: Target) -> None:
    await cloudfront.purge(batch("p-abc", flush=True))
    await tagged.purge(batch("p-abc", flush=True))
    assert [invalidated(asked)[0] for asked in provider.asked] == [["/*"], ["/*"]]


async def test_patterns_in_progress_are_limited(provider: Provider, cloudfront: Target, tagged: Target) -> None:
    keys = [f"p-{number:011}" for number in range(cloudfront.limits.keys_per_call)]
    assert len(paths_for(keys, has_tags=False)) <= 15
    assert tagged.limits.keys_per_call > 100
    provider.replies.append(refused(400, "TooManyInvalidationsInProgress"))
    with pytest.raises(TargetBusy) as caught:
        await cloudfront.purge(batch("p-abc"))
    assert caught.value.retry_after_seconds == 10


async def test_throttled(provider: Provider, cloudfront: Target) -> None:
    provider.replies.append(refused(400, "Throttling"))
    with pytest.raises(TargetBusy):
        await cloudfront.purge(batch("p-abc"))


async def test_one_refused_key_does_not_hold_up_the_others(provider: Provider, tagged: Target) -> None:
    provider.replies += [refused(400, "InvalidArgument"), CREATED, refused(400, "InvalidArgument")]
    with pytest.raises(TargetRefused, match="InvalidArgument because") as caught:
        await tagged.purge(batch("p-bad", "p-good"))
    assert caught.value.keys == ("p-bad",)


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (404, "NoSuchDistribution"), (403, "SignatureDoesNotMatch")]
)
async def test_what_is_wrong_with_the_configuration(
    status: int, code: str, provider: Provider, cloudfront: Target
) -> None:
    provider.replies.append(refused(status, code))
    with pytest.raises(TargetUnreachable, match=code):
        await cloudfront.purge(batch("p-abc"))


async def test_health(provider: Provider, cloudfront: Target) -> None:
    """A key pair that may only create invalidations is enough."""
    provider.replies += [
        Reply(200, b'<InvalidationList xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"></InvalidationList>'),
        refused(403, "AccessDenied"),
        refused(404, "NoSuchDistribution"),
    ]
    assert await cloudfront.check() is None
    assert provider.asked[0].target == "/2020-05-31/distribution/some-id/invalidation?MaxItems=1"
    assert await cloudfront.check() is None
    assert await cloudfront.check() == "NoSuchDistribution because"


async def test_a_push_is_a_visit(provider: Provider, cloudfront: Target) -> None:
    await cloudfront.push([f"{provider.url}/abc/raw"])
    asked = provider.asked[0]
    assert (asked.method, asked.target) == ("GET", "/abc/raw")
    assert "Authorization" not in asked.headers


def test_a_key_that_is_of_no_paste_is_everything() -> None:
    assert paths_for(["p-abc", "all"], has_tags=False) == ["/*"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://p.example", "/"),
        ("https://p.example/a%20b?x=/y#z", "/a%20b?x=/y"),
        ("https://p.example/a*", "/a%2A"),
    ],
)
def test_paths_of_addresses(url: str, path: str) -> None:
    assert path_of(url) == path


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3), st.integers(0, 3), st.integers(0, 3))
def test_other_paths_or_another_batch_have_another_reference(
    some: list[str], other: list[str], first: int, second: int
) -> None:
    one, two = Batch("e", 0, first), Batch("e", 0, second)
    assert (reference_of(one, some) == reference_of(two, other)) == (some == other and first == second)

"""An object store that fails is left alone for a moment, and not asked ever more often."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from pastebin.errors import BlobMissing, Unavailable
from pastebin.metrics import Metrics
from pastebin.store.s3_failures import Patience, attempted


class Store:
    """Fails as long as it is told to."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.patience = Patience.with_store("store", self.metrics)
        self.calls: Counter[str] = Counter()
        self.failure: Exception | None = ConnectionResetError()

    async def ask(self, verb: str = "get_object", tries: int = 1) -> str:
        async def work() -> str:
            self.calls[verb] += 1
            if self.failure is not None:
                raise self.failure
            return "answer"

        return await attempted(verb, work, patience=self.patience, seconds=5.0, tries=tries)

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    @property
    def openness(self) -> float | None:
        return self.figure("pastebin_circuit_open", dependency="blobs", host="store")


async def test_a_store_that_fails_is_not_asked_for_anything_new() -> None:
    store = Store()
    for _ in range(5):
        with pytest.raises(Unavailable):
            await store.ask()
    assert store.openness == 1.0
    with pytest.raises(Unavailable):
        await store.ask()
    assert store.calls["get_object"] == 5
    # what has begun before goes on
    store.failure = None
    assert await store.ask("upload_part") == "answer"


async def test_it_is_tried_again_with_one_request() -> None:
    store = Store()
    for _ in range(5):
        with pytest.raises(Unavailable):
            await store.ask()
    store.patience.circuit.open_until = time.monotonic()
    assert store.openness == 0.5
    store.failure = None
    assert await store.ask() == "answer"
    assert store.openness == 0.0


async def test_what_is_not_there_is_an_answer_too() -> None:
    from botocore.exceptions import ClientError

    store = Store()
    store.failure = ClientError({"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "get")  # type: ignore[typeddict-item]
    for _ in range(20):
        with pytest.raises(BlobMissing):
            await store.ask()
    assert store.openness == 0.0


async def test_no_more_is_asked_again_than_the_budget_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pastebin.store.s3_failures.BACKOFF.__class__.pause_seconds", lambda *_: 0.0)
    store = Store()
    for _ in range(300):
        with pytest.raises(Unavailable):
            await store.ask("upload_part", tries=4)
    assert 400 <= store.calls["upload_part"] <= 300 + 100 + 30
    assert store.figure("pastebin_retries_refused_total", dependency="blobs")

"""The secret that all nodes share: the first one notes which it is, another one is refused by name."""

from __future__ import annotations

import pytest

from pastebin.errors import SecretDiffers
from pastebin.fingerprints import fingerprint
from pastebin.sections import DatabaseSection
from pastebin.store.database import Database
from pastebin.store.installation import Installation
from tests.cluster import Servers, until

OURS, THEIRS = fingerprint(b"ours"), fingerprint(b"theirs")


async def test_the_first_node_says_which_secret_it_is(database_dsn: str) -> None:
    async with Database.opened(DatabaseSection(), database_dsn) as database:
        installation = Installation(database)
        await installation.compare([OURS], "one")
        await installation.compare([OURS], "two")
        with pytest.raises(SecretDiffers, match=r"'one' has noted another one on 20.*pastebin migrate --new-secret"):
            await installation.compare([THEIRS], "three")
        await installation.replace(THEIRS, "three")
        await installation.compare([THEIRS], "four")
        with pytest.raises(SecretDiffers, match="'three'"):
            await installation.compare([OURS], "one")
        await installation.compare([OURS, THEIRS], "one")  # the one it is to have, and the previous one


async def test_without_a_primary_a_replica_says_it(servers: Servers) -> None:
    async with Database.opened(servers.section(), servers.primary.dsn) as database:
        installation = Installation(database)
        await installation.compare([OURS], "one")
        await servers.caught_up()
        servers.primary.proxy.refuse()
        await until(lambda: any(report.state == "down" for report in database.topology()))
        await installation.compare([OURS], "two")
        with pytest.raises(SecretDiffers, match="'one'"):
            await installation.compare([THEIRS], "three")

"""The keys that sign the zone: ECDSA on P-256 with SHA-256 (RFC 6605), one for zone and key set (RFC 6781, 3.1)."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from pastebin.errors import ConfigError, Problem

ALGORITHM, DIGEST = 13, 2
_FLAGS, _PROTOCOL = 257, 3  # zone key and secure entry point (RFC 4034, 2.1.1; RFC 4035, 5.2)
_OPTION = "geodns.dnssec_keys"


class Key:
    """One key pair. `dnskey` is the DNSKEY rdata, `tag` its number (RFC 4034, appendix B)."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        numbers = private.public_key().public_numbers()
        public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        self.dnskey = struct.pack("!HBB", _FLAGS, _PROTOCOL, ALGORITHM) + public
        total = sum(struct.unpack(f"!{len(self.dnskey) // 2}H", self.dnskey))
        self.tag = total + (total >> 16) & 0xFFFF

    def sign(self, data: bytes) -> bytes:
        """64 bytes (RFC 6605, 4)."""
        one, other = utils.decode_dss_signature(self._private.sign(data, ec.ECDSA(SHA256())))
        return one.to_bytes(32, "big") + other.to_bytes(32, "big")

    def ds(self, origin: bytes) -> bytes:
        """The DS rdata that names this key in the parent's zone (RFC 4034, 5.1; RFC 4509)."""
        return struct.pack("!HBB", self.tag, ALGORITHM, DIGEST) + hashlib.sha256(origin + self.dnskey).digest()


def load(paths: Sequence[str]) -> tuple[Key, ...]:
    """Read keys in PEM (PKCS #8 or SEC 1), without a password. Blocks. Raises ConfigError with every problem."""
    keys: list[Key] = []
    problems: list[Problem] = []
    for text in paths:
        try:
            keys.append(_read(Path(text).expanduser()))
        except OSError as error:
            problems.append(Problem(_OPTION, f"{text} cannot be read: {error.strerror}; pastebin dnssec makes it"))
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            problems.append(Problem(_OPTION, f"{text} is no key: {error}"))
    if len({key.tag for key in keys}) < len(keys):
        problems.append(Problem(_OPTION, "two keys have one tag: make another"))
    if problems:
        raise ConfigError(problems)
    return tuple(keys)


def _read(path: Path) -> Key:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise ValueError("everybody may read it: chmod 600")
        private = serialization.load_pem_private_key(file.read(64 * 1024), None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise ValueError("it has to be of ECDSA on the curve P-256")  # noqa: TRY004  (a file's content, no argument)
    return Key(private)


def make(path: Path) -> None:
    """Write a new key for this account only. Raises OSError, FileExistsError too."""
    content = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

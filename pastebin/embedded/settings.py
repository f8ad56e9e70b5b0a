"""What PostgreSQL is told: its configuration, who may connect, and which system users may be its role.

Pure text; the caller writes it to files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from pastebin.errors import ConfigError, Problem
from pastebin.places import parse_address
from pastebin.sections import EmbeddedSection

ROLE = "pastebin"
SOCKET_PORT = 5432

_ALWAYS: Mapping[str, str] = {
    # Replication: any server may get replicas later, and may become one.
    "wal_level": "replica",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    # A replica that never returns must not fill the disk.
    "max_slot_wal_keep_size": "1GB",
    "wal_sender_timeout": "30s",
    "wal_receiver_timeout": "30s",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "1s",
    "wal_compression": "pglz",
    "max_wal_size": "512MB",
    # Memory: no processes that read ahead or replicate tables, no compiler.
    "io_method": "sync",
    "max_logical_replication_workers": "0",
    "jit": "off",
    # systemd may empty /dev/shm when an ordinary user logs out.
    "min_dynamic_shared_memory": "4MB",
    "random_page_cost": "1.1",
    # Clients that went away.
    "authentication_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    # The log says what went wrong, never what is in a paste: neither statements nor the values in a detail.
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# Commits stay synchronous: a replica, or a reader who waits for an LSN, must meet them as it does on a durable server.
_NOT_DURABLE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}


def address(section: EmbeddedSection) -> tuple[str, int]:
    """The host to listen on, empty when the server is local only, and the port, which also names the socket.

    Raises ConfigError.
    """
    if not section.listen:
        return "", SOCKET_PORT
    try:
        host, port = parse_address(section.listen)
    except ValueError as error:
        raise ConfigError([Problem("embedded.listen", str(error))]) from None
    if not port:
        raise ConfigError([Problem("embedded.listen", "needs a port from 1 to 65535")])
    if not section.password:
        raise ConfigError(
            [Problem("embedded.password", "is required when embedded.listen opens PostgreSQL to the network")]
        )
    return host, port


def configuration(
    section: EmbeddedSection,
    *,
    data: Path,
    files: Path,
    socket_dir: Path,
    name: str,
    overrides: Mapping[str, str],
) -> str:
    """The main configuration of the server whose data lie in `data` and whose other files lie in `files`."""
    host, port = address(section)
    chosen = {
        "hba_file": str(files / "pg_hba.conf"),
        "ident_file": str(files / "pg_ident.conf"),
        "cluster_name": name,
        "listen_addresses": host,
        "port": str(port),
        "unix_socket_directories": quote_item(str(socket_dir)),
        "unix_socket_permissions": "0700",
        "shared_buffers": f"{section.shared_buffers_mb}MB",
        "max_connections": str(section.max_connections),
        **_ALWAYS,
        **({} if section.durable else _NOT_DURABLE),
        **overrides,
    }
    lines = [
        "# Written by pastebin at every start. For settings of your own use ALTER SYSTEM.",
        f"include_if_exists = {quote(str(data / 'postgresql.conf'))}",
        *(f"{key} = {quote(value)}" for key, value in chosen.items()),
    ]
    return "\n".join(lines) + "\n"


def access(section: EmbeddedSection) -> str:
    """Who may connect: local users through the map below, the network with a password, nobody else."""
    lines = [f"local all {ROLE} peer map={ROLE}", f"local replication {ROLE} peer map={ROLE}"]
    if section.listen:
        lines += [f"host all {ROLE} all scram-sha-256", f"host replication {ROLE} all scram-sha-256"]
    return "\n".join(lines) + "\n"


def users(names: Iterable[str]) -> str:
    """Which system users may be the role."""
    return "".join(f'{ROLE} "{name}" {ROLE}\n' for name in sorted(set(names)))


def digest(*texts: str) -> str:
    """Tells whether a running server was started with the same texts."""
    return sha256("\0".join(texts).encode()).hexdigest()[:16]


def quote(value: str) -> str:
    """A value for a configuration file. Raises ValueError for a line break, which it cannot hold."""
    if "\n" in value or "\r" in value:
        raise ValueError("a setting cannot hold a line break")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def quote_item(value: str) -> str:
    """One item of a setting that is a list, such as a directory."""
    return '"' + value.replace('"', '""') + '"'


def connection_string(parameters: Mapping[str, str]) -> str:
    """A libpq connection string."""
    return " ".join(
        "{}='{}'".format(key, value.replace("\\", "\\\\").replace("'", "\\'")) for key, value in parameters.items()
    )

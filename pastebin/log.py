"""Log lines: JSON for machines, one line for a terminal. Never bodies, tokens, passwords or addresses."""

from __future__ import annotations

import logging
import sys
import warnings
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One object a line; members given as `extra=` stand beside the message."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "node": self._node,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class LineFormatter(logging.Formatter):
    """`12:00:01 warning pastebin.node: message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        extras = "".join(f" {key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        line = f"{moment} {record.levelname.lower():7} {record.name}: {record.getMessage()}{extras}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(*, level: str, style: Literal["auto", "json", "line"], node: str) -> None:
    """Send every logger of the process to standard error."""
    as_line = style == "line" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter() if as_line else JsonFormatter(node))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # botocore's debugging shows requests with their bodies
    for name in ("asyncio", "botocore", "aiobotocore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # what aiohttp's server and its form reader cannot read, they repeat: file names, tokens, bodies
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"aiohttp\.")

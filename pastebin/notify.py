"""Telling the service manager how the node is doing (sd_notify(3)); without one, nothing happens."""

from __future__ import annotations

import socket


def notify(address: str, state: str) -> None:
    """Send `READY=1`, `STOPPING=1` and the like to the socket that systemd named in NOTIFY_SOCKET."""
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(name)
            channel.send(state.encode())
        except OSError:
            return  # the node does its work whether or not somebody listens

"""Sockets whose bytes die with a connection that is cut, rather than arrive when nobody means them any more."""

import socket

import aiohttp

# Bytes that were not acknowledged by then are dropped by the kernel. It would send them when a partition ends minutes
# later, whatever became of the process. Less than a Lease's margin (LeaseTimes).
UNSENT_S = 2.0


def open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a new socket that never sends anything late."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNSENT_S * 1000))
    return opened

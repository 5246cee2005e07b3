"""One message to one address: signed, to no place that is forbidden, and never for long."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

PATIENCE = 5.0  # seconds for connecting, and for each piece of the answer
LONGEST = 15.0  # seconds for everything
READ = 300  # bytes of the answer that are kept
# Ways to write one address inside another: the inner one is what is reached.
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenError(Exception):
    """The address leads where no webhook may go; the message says so."""


@dataclass(frozen=True)
class Answer:
    """What came back. Without a status nothing did, and `said` is why."""

    status: int | None
    said: str
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 of "timestamp.body", in hexadecimal. The timestamp is signed against replays."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def addresses_of(url: str) -> list[str]:
    """The IP addresses that a URL leads to now. Raises ForbiddenError if any of them may not be reached."""
    parts = urlsplit(url)
    try:
        port = _port(parts)
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError) as error:
        raise ForbiddenError(f"{parts.hostname} cannot be found.") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        there = ipaddress.ip_address(address.partition("%")[0])
        if parts.scheme != "https" and not _is_named(there) and _is_allowed(there):
            raise ForbiddenError("To a public address it must begin with https://.")
        if not _is_allowed(there):
            raise ForbiddenError(
                f"{parts.hostname} leads to {address}, which is not a public address. An administrator may "
                "allow a network of the lab with WEBHOOK_NETWORKS."
            )
    return addresses


def send(url: str, *, secret: str, event: str, key: str, body: bytes) -> Answer:
    """POST a signed message. Redirects are not followed; they could lead anywhere."""
    start = time.monotonic()
    timestamp = str(int(time.time()))
    headers = {
        "Host": urlsplit(url).netloc,
        "Content-Type": "application/json",
        "User-Agent": "mmfrm-webhook",
        "X-MMFRM-Event": event,
        "X-MMFRM-Delivery": key,
        "X-MMFRM-Timestamp": timestamp,
        "X-MMFRM-Signature": f"sha256={signature(secret, timestamp, body)}",
    }
    try:
        status, said = _post(url, headers, body)
    except ForbiddenError as error:
        return Answer(None, str(error)[:READ], time.monotonic() - start)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = (
            "it took too long" if time.monotonic() - start >= LONGEST else str(error) or type(error).__name__
        )
        return Answer(None, f"No answer: {why}"[:READ], time.monotonic() - start)
    return Answer(status, said, time.monotonic() - start)


def _post(url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
    parts = urlsplit(url)
    # The very address that was looked at is connected to: a name asked twice may answer twice.
    with _connected(parts, addresses_of(url)[0]) as connection:
        path = parts.path or "/"
        connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(READ).decode(errors="replace").replace("\0", "")


@contextlib.contextmanager
def _connected(parts: SplitResult, address: str) -> Iterator[http.client.HTTPConnection]:
    plain = socket.create_connection((address, _port(parts)), PATIENCE)
    with contextlib.ExitStack() as closing:
        closing.callback(plain.close)
        closing.enter_context(_cut_off_in_time(plain))
        stream = plain
        if parts.scheme == "https":
            stream = ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)
            closing.callback(stream.close)
        connection = http.client.HTTPConnection(str(parts.hostname), _port(parts), timeout=PATIENCE)
        connection.sock = stream
        closing.callback(connection.close)
        yield connection


@contextlib.contextmanager
def _cut_off_in_time(plain: socket.socket) -> Iterator[None]:
    """Patience is for each piece; whoever sends a byte now and then is cut off by this."""
    # TLS takes the socket over and leaves `plain` without one. A duplicate ends the same connection.
    with plain.dup() as guard:
        timer = threading.Timer(LONGEST, _cut, [guard])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # or its number might be another connection's when it is cut


def _cut(stream: socket.socket) -> None:
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_allowed(address: Address) -> bool:
    inner = _inner(address)
    if inner != address:
        return _is_allowed(inner)
    is_public = address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )
    return is_public or _is_named(address)


def _is_named(address: Address) -> bool:
    """Whether the administrator has named a network in which it is."""
    networks = [ipaddress.ip_network(text) for text in settings.WEBHOOK_NETWORKS]
    return any(address.version == network.version and address in network for network in networks)


def _inner(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)

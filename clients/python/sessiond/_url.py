"""A server's URL, taken apart: hosts or a path, then the namespace.

Always true: nothing is passed over; what is unknown or not offered yet is refused with a sentence. Pure."""

import re
from typing import List, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote_to_bytes

from ._schema import DEFAULT_PORT, MAX_NAMESPACE
from .errors import InvalidURL

# A host and port, or the path of a Unix socket.
Address = Union[Tuple[str, int], str]


class Target(NamedTuple):
    """Where the servers are, and the namespace of calls that name none."""

    addresses: List[Address]
    namespace: Optional[str]


def address_text(address: Address) -> str:
    if isinstance(address, str):
        return "unix:" + address
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def decode(text: str, what: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise InvalidURL(f"{what} has a % that no two hexadecimal digits follow; write a % itself as %25.")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise InvalidURL(f"{what} is not UTF-8 when decoded; encode its bytes as UTF-8 first.") from None
    if "\0" in decoded:
        raise InvalidURL(f"{what} holds a zero byte; leave it out.")
    return decoded


def parse_namespace(text: str) -> Optional[str]:
    name = decode(text, "The URL's namespace")
    if len(name.encode()) > MAX_NAMESPACE:
        raise InvalidURL(f"The URL's namespace is longer than {MAX_NAMESPACE} bytes; shorten it.")
    return name or None


def parse_query(query: str) -> Optional[str]:
    key, equals, value = query.partition("=")
    if key != "namespace" or not equals or "&" in value:
        raise InvalidURL("The only parameter that a URL may have is ?namespace=name.")
    return parse_namespace(value)


def parse_host(text: str) -> Address:
    found = re.fullmatch(r"(?:\[([^][]+)\]|([^][:]*))(?::(.*))?", text)
    if not found or (not found[1] and text.count(":") > 1):
        raise InvalidURL(f"Write an IPv6 address in the URL as [::1]:{DEFAULT_PORT}; {text!r} is no host.")
    name, port = found[1] or found[2], found[3]
    if not name:
        raise InvalidURL("The URL names no host; use sessiond://host/namespace.")
    try:
        name.encode("idna")
    except UnicodeError as error:
        raise InvalidURL(f"{name[:80]!r} in the URL cannot be a host's name: {error}.") from None
    if port is None:
        return name, DEFAULT_PORT
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise InvalidURL(f"The URL's port must be a number from 1 to 65535, not {port!r}.")
    return name, int(port)


def parse_tcp(rest: str) -> Target:
    found = re.fullmatch(r"([^/?]*)(?:\?(.*)|/(.*))?", rest, re.S)
    assert found  # it fits every text
    hosts, query, name = found[1], found[2], found[3] or ""
    if "@" in hosts:
        raise InvalidURL("A user or a secret in the URL needs TLS (sessionds://), which this client does not offer yet.")
    addresses = [parse_host(host) for host in hosts.split(",")]
    if query is not None:
        return Target(addresses, parse_query(query))
    if re.search(r"[/?#]", name):
        raise InvalidURL("Behind the hosts a URL has one name, the namespace; write a / in it as %2F.")
    return Target(addresses, parse_namespace(name))


def parse_unix(rest: str) -> Target:
    path, mark, query = rest.partition("?")
    path = decode(path, "The path of the Unix socket")
    if not path.startswith("/") or len(path.encode()) > 107:
        raise InvalidURL("The path of a Unix socket must begin with / and have at most 107 bytes: "
                         "sessiond+unix:///run/sessiond.sock.")
    return Target([path], parse_query(query) if mark else None)


def parse_url(url: str) -> Target:
    """Takes a URL apart. Raises InvalidURL with what is wrong with it."""
    if not isinstance(url, str):
        raise InvalidURL(f"A server's URL is a str, not {type(url).__name__}: sessiond://host:{DEFAULT_PORT}/namespace.")
    scheme, colon, rest = url.partition("://")
    if colon and scheme == "sessiond":
        return parse_tcp(rest)
    if colon and scheme == "sessiond+unix":
        return parse_unix(rest)
    if colon and scheme == "sessionds":
        raise InvalidURL("TLS (sessionds://) is not offered yet; use sessiond:// or sessiond+unix:// on a trusted network.")
    raise InvalidURL(f"A server's URL is sessiond://host:{DEFAULT_PORT}/namespace or sessiond+unix:///path?namespace=name, "
                     f"not {url!r}.")

"""One file from a web address: nobody in between can change it, its size is bounded, its digest checked before use."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

from waferbench.base.errors import InputError
from waferbench.base.files import atomic
from waferbench.learning.manifest import ADDRESS

MOST = 4 * 2**30  # bytes; the largest published weights here have a tenth of that
PIECE = 2**20
TIMEOUT = 60.0  # seconds without a byte


class _Redirects(HTTPRedirectHandler):
    """Follows a redirect only over the same protocol: https leads neither to http nor to a local file."""

    def redirect_request(self, request: Any, *arguments: Any) -> Any:
        target = arguments[-1]
        if not ADDRESS.fullmatch(target) or urlsplit(target).scheme != urlsplit(request.full_url).scheme:
            raise InputError(f"{request.full_url}: redirected to {target}, expected https; not followed")
        return super().redirect_request(request, *arguments)


def fetch(url: str, path: Path, sha256: str | None, most: int = MOST) -> Path:
    """Fetch a file, and put it to ``path`` only when it is whole and the one expected.

    Args:
        url: https, or http on this machine.
        sha256: the digest or its leading digits; None where nobody has published one.

    Raises:
        InputError: another kind of address, also behind a redirect; more than ``most`` bytes; another digest.
        OSError: no connection, one that broke off, or the file cannot be written.
    """
    if not ADDRESS.fullmatch(url):
        raise InputError(f"{url}: expected an address that begins with https://; nothing is fetched from there")
    found, size = hashlib.sha256(), 0
    opener = build_opener(_Redirects())
    with opener.open(url, timeout=TIMEOUT) as answer, atomic(path) as temporary, open(temporary, "wb") as file:
        while piece := _read(answer, url):
            size += len(piece)
            if size > most:
                raise InputError(f"{url}: more than {most:,} bytes, expected fewer; nothing is kept of it")
            found.update(piece)
            file.write(piece)
        told = answer.headers.get("Content-Length")
        if told and size != int(told):  # urllib takes a connection that broke off for the end
            raise InputError(f"{url}: the connection broke off after {size:,} of {int(told):,} bytes; run again")
        if sha256 and not found.hexdigest().startswith(sha256):
            raise InputError(f"{url}: the file has sha256 {found.hexdigest()}, expected {sha256}; it is not kept")
    return path


def _read(answer: Any, url: str) -> bytes:
    try:
        return answer.read(PIECE)
    except OSError as error:
        raise InputError(f"{url}: the connection broke off ({error}); run again") from error

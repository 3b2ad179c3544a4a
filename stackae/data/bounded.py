"""Reading no more of a file than it declares, so that a false header or a compression bomb cannot fill the memory."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from stackae.errors import DataError

DAMAGE = (EOFError, OSError, zlib.error, zipfile.BadZipFile, struct.error, RuntimeError, ValueError)
DEFLATE_LIMIT = 1032  # no DEFLATE stream grows by more than this factor
CHUNK_BYTES = 1 << 20


def read_up_to(stream: io.BufferedIOBase, count: int, name: str, start: int = 0) -> bytearray:
    """At most ``count`` bytes, fewer when the stream ends before; memory follows what is there, not ``count``.

    ``start`` is how many bytes were read before. Raises DataError when the compressed data are cut short or damaged.
    """
    body = bytearray()
    try:
        while len(body) < count and (piece := stream.read1(min(CHUNK_BYTES, count - len(body)))):
            body += piece
    except DAMAGE as error:
        raise DataError(
            f"{name}: expected {start + count} bytes or the end of the file, got {start + len(body)} bytes and then "
            f"damaged data ({error}); fetch the file again"
        ) from None
    return body


def read_body(stream: io.BufferedIOBase, count: int, name: str, start: int) -> bytearray:
    """Exactly ``count`` bytes, after which the stream must end; DataError otherwise."""
    body = read_up_to(stream, count + 1, name, start)
    if len(body) != count:
        check_size(name, start + count, start + len(body), at_least=len(body) > count)
    return body


def check_size(name: str, declared: int, actual: int, *, at_least: bool = False) -> None:
    """DataError unless the bytes that a header declares are the bytes that are there."""
    if declared != actual:
        fault = "is cut short" if actual < declared else "has bytes after its end"
        raise DataError(
            f"{name}: expected {declared} bytes as its header declares, got {'at least ' * at_least}{actual}; "
            f"the file {fault}, fetch it again"
        )

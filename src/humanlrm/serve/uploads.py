"""Uploads: limits on size and time while they arrive, and a look at the picture's header before anything is decoded."""

import asyncio
import contextlib
import time
import warnings
from io import BytesIO

from PIL import Image
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from humanlrm.serve.problems import ProblemError, problem
from humanlrm.serve.settings import MAX_UPLOAD_BYTES, MAX_UPLOAD_PIXELS

#: Formats of photos. Others that Pillow knows start programs or are no photos.
_PHOTO_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
#: Room for the other fields of a form around the photo.
_FORM_BYTES = 100_000


#: Seconds for which a refused body is read on.
_DRAIN_S = 2.0


class BodyLimit:
    """ASGI middleware: a body has a largest size and a latest end, whatever its headers say."""

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app, self._timeout_s = app, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "DELETE", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        most = MAX_UPLOAD_BYTES + _FORM_BYTES
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            await _drain(receive)
            await _too_large()(scope, receive, send)
            return
        deadline_s, received, more_body = time.monotonic() + self._timeout_s, 0, True
        refusal: Response | None = None

        async def limited_receive() -> Message:
            nonlocal received, more_body, refusal
            if not more_body:  # then only the client's end is waited for
                return await receive()
            try:
                async with asyncio.timeout(deadline_s - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                refusal = _too_slow(self._timeout_s)
                raise
            received += len(message.get("body", b""))
            more_body = message.get("more_body", False)
            if received > most:
                refusal = _too_large()
                raise ValueError("the body is too large")
            return message

        async def send_unless_refused(message: Message) -> None:
            if refusal is None:
                await send(message)

        try:
            await self._app(scope, limited_receive, send_unless_refused)
        except (ValueError, TimeoutError):
            if refusal is None:
                raise
        if refusal is not None:
            if more_body:
                await _drain(receive)
            await refusal(scope, receive, send)


async def _drain(receive: Receive) -> None:
    """Read on for a moment: a connection that is closed on a client who still sends loses the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
                pass


def _too_large() -> Response:
    limit = f"a photo may have {MAX_UPLOAD_BYTES // 1_000_000} MB"
    return problem(413, f"{limit}; save it smaller or as JPEG", {"Connection": "close"})


def _too_slow(timeout_s: float) -> Response:
    return problem(408, f"the upload took more than {timeout_s:.0f} s", {"Connection": "close"})


def check_photo(content: bytes) -> None:
    """Look at a photo's header. Nothing is decoded.

    Raises:
        ProblemError: empty, too large, or not a photo.
    """
    if not content:
        raise ProblemError(422, "the photo is empty; send a picture file")
    if len(content) > MAX_UPLOAD_BYTES:
        raise ProblemError(413, f"a photo may have {MAX_UPLOAD_BYTES // 1_000_000} MB; save it smaller or as JPEG")
    if _count_pixels(content) > MAX_UPLOAD_PIXELS:
        raise ProblemError(413, f"the photo has more than {MAX_UPLOAD_PIXELS // 1_000_000} megapixels; reduce it")


def _count_pixels(content: bytes) -> float:
    """Pixels as the header says.

    Raises:
        ProblemError: not a photo.
    """
    formats = [name for name in _PHOTO_FORMATS if name in _readable_formats()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(content), formats=formats) as image:
                return image.width * image.height
        except Image.DecompressionBombError:
            return float("inf")
        except Exception as error:  # Pillow's plug-ins raise nearly anything
            raise ProblemError(415, "the photo is not a picture that can be read; send JPEG, PNG or WebP") from error


def _readable_formats() -> list[str]:
    with contextlib.suppress(ImportError):
        from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]

        register_heif_opener()
    Image.init()
    return list(Image.OPEN)

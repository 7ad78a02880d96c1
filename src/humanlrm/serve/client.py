"""Client of a service, called like :class:`humanlrm.reconstruct.Reconstructor`."""

import dataclasses
import io
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humanlrm.files import atomic_write
from humanlrm.settings import Calibration, Completion, Settings

if TYPE_CHECKING:
    import httpx
    import numpy as np
    from PIL import Image

    from humanlrm.photo.load import PhotoSource

#: Seconds between looks at a job, and tries of a request whose answer was lost.
_POLL_S, _TRIES = 0.3, 5


class ServiceError(ValueError):
    """A request that the service refused, or a job that failed.

    Attributes:
        status: of HTTP; 0: a job that failed.
    """

    def __init__(self, detail: str, status: int = 0) -> None:
        super().__init__(detail)
        self.status = status


class Client:
    """Reconstruction by a service elsewhere.

    >>> reconstruct = Client("http://127.0.0.1:7860")  # doctest: +SKIP
    >>> reconstruct("photo.jpg").save("person.glb")  # doctest: +SKIP

    Args:
        address: of the service.
        key: API key, if the service needs one.
        timeout_s: seconds to wait for a result.
        formats: mesh formats that can be saved afterwards.
        everyone: reconstruct each person in the photo.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:7860",
        key: str | None = None,
        timeout_s: float = 600,
        formats: Sequence[str] = ("glb",),
        everyone: bool = False,
    ) -> None:
        import httpx

        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # Proxies of the environment are for the internet.
        self._http = httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False)
        self._timeout_s, self._formats, self._everyone = timeout_s, tuple(formats), everyone

    def __call__(
        self,
        photos: "PhotoSource | Sequence[PhotoSource]",
        cameras: str | Path | Calibration | None = None,
        settings: Settings | None = None,
        completion: Completion | None = None,
    ) -> "RemoteReconstruction":
        """Reconstruct the main person of a photo, and wait for it.

        A request whose answer is lost is repeated with the same Idempotency-Key: the photo is reconstructed once.

        Args:
            photos: one photo: a file, its bytes, an open binary file, a Pillow image or an array of 8-bit numbers.
            cameras: services take single photos: ``None``.

        Raises:
            ServiceError: the service refused the photo, or could not reconstruct it.
            TimeoutError: the result took too long; the service goes on with it.
        """
        photo = photos[0] if isinstance(photos, list | tuple) and len(photos) == 1 else photos
        if cameras is not None or isinstance(photo, list | tuple):
            raise ValueError(
                "a service reconstructs one photo at a time; for several calibrated ones use Reconstructor"
            )
        job = self._post(_encoded(photo), self._fields(settings or Settings(), completion or Completion()))
        deadline_s = time.monotonic() + self._timeout_s
        while job["state"] in ("queued", "running"):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"job {job['id']} is {job['state']} after {self._timeout_s:.0f} s")
            time.sleep(_POLL_S)
            job = self._get(f"/v1/reconstructions/{job['id']}").json()
        if job["state"] == "failed":
            raise ServiceError(job["reason"])
        return RemoteReconstruction(self, job)

    def fetch(self, address: str) -> bytes:
        """Contents of a file of the service.

        Raises:
            ServiceError: refused.
        """
        return self._get(address).content

    def delete(self, job_id: str) -> None:
        """Delete a job with its photo and its files.

        Raises:
            ServiceError: refused.
        """
        _checked(self._http.delete(f"/v1/reconstructions/{job_id}"))

    def _fields(self, settings: Settings, completion: Completion) -> dict[str, str]:
        values = dataclasses.asdict(settings) | dataclasses.asdict(completion)
        values |= {"everyone": self._everyone, "formats": ",".join(self._formats)}
        return {name: str(value) for name, value in values.items()}

    def _post(self, photo: bytes, form: dict[str, str]) -> dict[str, Any]:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return self._tried(
            lambda: self._http.post("/v1/reconstructions", data=form, files={"photo": ("photo", photo)}, headers=key)
        ).json()

    def _get(self, address: str) -> "httpx.Response":
        return self._tried(lambda: self._http.get(address))

    def _tried(self, send: Any) -> "httpx.Response":
        import httpx

        for attempt in range(_TRIES):
            try:
                return _checked(send())
            except httpx.TransportError as error:
                if attempt == _TRIES - 1:
                    raise ServiceError(f"no service answers at {self._http.base_url} ({error})") from error
                time.sleep(_POLL_S * 2**attempt)
        raise AssertionError


@dataclasses.dataclass(frozen=True, repr=False)
class RemoteReconstruction:
    """A person that a service has reconstructed.

    Attributes:
        client: of the service.
        job: the service's answer.
        number: place of this person or sample in the result.
    """

    client: Client
    job: dict[str, Any]
    number: int = 0

    def __repr__(self) -> str:
        return f"RemoteReconstruction({self.job['id']}, {self.number})"

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds per stage."""
        return self.job["seconds"]

    @property
    def warnings(self) -> list[dict[str, str]]:
        """Remarks for the user: code and sentence."""
        return self.job["warnings"]

    @property
    def samples(self) -> tuple["RemoteReconstruction", ...]:
        """All people and samples of the photo."""
        return tuple(dataclasses.replace(self, number=number) for number in range(self.job["people"]))

    def report(self) -> dict[str, Any]:
        """Facts about the result, see ``Reconstruction.report``."""
        import json

        return json.loads(self.client.fetch(self.job["files"]["report.json"]))["people"][self.number]

    def to_bytes(self, kind: str = "glb") -> bytes:
        """Contents of the mesh file.

        Raises:
            ServiceError: the format was not asked for (``Client(formats=...)``).
        """
        end = "obj.zip" if kind == "obj" else kind
        name = f"model.{end}" if self.number == 0 else f"model.{self.number}.{end}"
        if name not in self.job["files"]:
            raise ServiceError(f"the result has no {name}; it has {', '.join(self.job['files'])}")
        return self.client.fetch(self.job["files"][name])

    def save(self, path: str | Path) -> Path:
        """Write the mesh; the suffix chooses the format. OBJ is an archive: end the name in .obj.zip."""
        path = Path(path)
        kind = "obj" if path.name.endswith(".obj.zip") else path.suffix.removeprefix(".")
        content = self.to_bytes(kind)
        with atomic_write(path) as partial:
            partial.write_bytes(content)
        return path

    def preview(self) -> "Image.Image":
        """One picture: the input, front, left, back, right, normals."""
        from PIL import Image

        name = "preview.png" if self.number == 0 else f"preview.{self.number}.png"
        return Image.open(io.BytesIO(self.client.fetch(self.job["files"][name])))

    def delete(self) -> None:
        """Delete photo and result on the service."""
        self.client.delete(self.job["id"])


def _checked(answer: "httpx.Response") -> "httpx.Response":
    if answer.is_success:
        return answer
    is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    raise ServiceError(answer.json()["detail"] if is_problem else answer.reason_phrase, answer.status_code)


def _encoded(photo: Any) -> bytes:
    """A photo's file, as it is; pictures in memory as PNG."""
    from PIL import Image

    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo)
    if isinstance(photo, str | Path):
        return Path(photo).read_bytes()
    if hasattr(photo, "read"):
        return photo.read()
    picture: Image.Image | np.ndarray = photo
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, "PNG")
    return buffer.getvalue()

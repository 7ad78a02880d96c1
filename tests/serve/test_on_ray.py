"""The service by Ray Serve on a local cluster of two workers."""

import importlib.util
import socket
import time
from pathlib import Path

import httpx
import pytest

from humanlrm.serve import Client, ServiceError
from humanlrm.serve.settings import ServeSettings
from humanlrm.settings import Settings

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra 'cluster')"
)
AVATAR = Path(__file__).parents[2] / "examples" / "avatar.jpg"
SMALL = Settings(resolution=64, texture_px=64, faces=1000)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    import ray
    from ray import serve

    from humanlrm.serve.on_ray import serve_on_ray

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = tmp_path_factory.mktemp("ray") / "data"
    serve_on_ray(ServeSettings(data=data, port=port, workers=2, threads=1, page=False), "local", print, block=False)
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()
    ray.shutdown()


def test_a_cluster_gives_the_bytes_that_the_library_gives(address, tmp_path):
    from humanlrm.reconstruct import Reconstructor

    expected = Reconstructor(threads=1)(AVATAR, settings=SMALL).save(tmp_path / "model.glb")
    person = Client(address)(AVATAR, settings=SMALL)
    assert person.save(tmp_path / "remote.glb").read_bytes() == expected.read_bytes()


def test_a_job_on_a_cluster_reports_its_stages(address):
    url, progress = f"{address}/v1/reconstructions", {}
    form = {"resolution": "64", "texture_px": "64", "faces": "1000"}
    with httpx.Client(trust_env=False, timeout=60) as http:
        job = http.post(url, files={"photo": AVATAR.read_bytes()}, data=form).json()
        while job["state"] in ("queued", "running"):
            time.sleep(0.02)
            job = http.get(f"{url}/{job['id']}").json()
            progress[job["stage"]] = job["progress"]
    assert {"person", "surface", "texture"} <= set(progress)
    assert 0 <= progress["person"] < progress["surface"] < progress["texture"] < 1
    assert progress.keys() - {None} <= job["seconds"].keys()


def test_a_photo_of_nobody_fails_on_a_cluster_with_the_same_reason(address):
    from PIL import Image

    with pytest.raises(ServiceError, match="no person found"):
        Client(address)(Image.new("RGB", (64, 64)), settings=SMALL)

"""The real service in a process of its own, with the shipped weights at a small size."""

import io
import re
import socket
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import imageio.v3
import numpy as np
import pytest
import trimesh
from PIL import Image

from humanlrm.reconstruct import Reconstructor, Settings
from humanlrm.serve import Client, ServiceError
from humanlrm.serve.local import LocalService

AVATAR = Path(__file__).parents[2] / "examples" / "avatar.jpg"
SMALL = Settings(resolution=64, texture_px=64, faces=1000)
FIELDS = {"resolution": "64", "texture_px": "64", "faces": "1000", "preview": "false"}
KEY = "a-key-of-at-least-16-characters"
URL = "/v1/reconstructions"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    (folder / "keys").write_text(f"{KEY}\nanother-key-of-16-characters\n", encoding="utf-8")
    options = ("--threads", "1", "--no-page", "--api-keys", str(folder / "keys"), "--reserve-mb", "1", "--forget")
    with LocalService(folder / "data", options) as running:
        yield running


@pytest.fixture(scope="module")
def http(service):
    with httpx.Client(
        base_url=service.address, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False, timeout=60
    ) as client:
        yield client


@pytest.fixture(scope="module")
def person(service):
    """One reconstruction in several formats."""
    return Client(service.address, KEY, formats=("glb", "obj", "ply"))(AVATAR, settings=SMALL)


def post(http: httpx.Client, photo: bytes, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
    return http.post(URL, files={"photo": ("name", photo)}, data=FIELDS | fields, headers=headers or {})


def wait(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """A job that has ended."""
    while (job := http.get(f"{URL}/{job_id}").json())["state"] in ("queued", "running"):
        time.sleep(0.2)
    return job


def assert_problem(answer: httpx.Response, status: int, *words: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert "Traceback" not in answer.text
    for word in words:
        assert word in answer.json()["detail"]


def test_the_client_gives_the_bytes_that_the_library_gives(person, tmp_path):
    expected = Reconstructor(threads=1)(AVATAR, settings=SMALL).save(tmp_path / "model.glb")
    assert person.save(tmp_path / "remote.glb").read_bytes() == expected.read_bytes()


def test_a_result_has_its_formats_its_picture_and_its_report(person):
    with zipfile.ZipFile(io.BytesIO(person.to_bytes("obj"))) as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {"obj", "mtl", "png"}
    assert len(trimesh.load(io.BytesIO(person.to_bytes("ply")), file_type="ply").vertices) > 300
    assert person.preview().width > 1000
    assert person.report()["people_seen"] == 1
    assert set(person.seconds) == {"photo", "person", "network", "views", "surface", "texture", "files"}
    with pytest.raises(ServiceError, match=r"no model\.stl"):
        person.to_bytes("stl")


def test_the_photo_is_forgotten_and_the_log_holds_no_name(person, service, http):
    folder = service.data / "jobs" / person.job["id"]
    assert (folder / "result" / "model.glb").is_file()
    assert not (folder / "photo").exists()
    assert person.job["id"] in service.log
    post(http, b"not a picture")
    assert not re.search(r"avatar|\.jpg|Traceback", service.log)


def test_a_key_is_needed_and_other_keys_see_nothing(person, service):
    with httpx.Client(base_url=service.address, trust_env=False) as nobody:
        assert_problem(nobody.get(URL), 401, "API key")
        assert nobody.get("/healthz").json() == {"status": "ok"}
        other = {"Authorization": "Bearer another-key-of-16-characters"}
        assert_problem(nobody.get(f"{URL}/{person.job['id']}", headers=other), 404)
        assert nobody.get(URL, headers=other).json() == {"items": [], "next": None}


def test_an_idempotency_key_makes_one_job_of_many_requests(http):
    photo, key = AVATAR.read_bytes(), {"Idempotency-Key": "same"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(http, photo, key), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert_problem(post(http, photo, key, faces="2000"), 422, "Idempotency-Key")
    assert http.delete(f"{URL}/{job_id}").status_code == 204
    assert_problem(http.get(f"{URL}/{job_id}"), 404)


def picture(mode: str, size: tuple[int, int], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("photo", "status"),
    [
        (b"", 422),
        (b"GIF89a", 415),
        (b"\xff\xd8\xff", 415),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (picture("1", (20_000, 20_000), "PNG"), 413),
        (b"\xff" * 20_200_000, 413),
    ],
    ids=["empty", "header", "start", "postscript", "svg", "bomb", "large"],
)
def test_what_is_no_photo_is_refused_before_it_is_decoded(http, photo, status):
    before = http.get(URL, params={"limit": 100}).json()["items"]
    assert_problem(post(http, photo), status)
    assert http.get(URL, params={"limit": 100}).json()["items"] == before


def test_a_body_without_a_length_is_cut_off_at_the_limit(http):
    head = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p"\r\n\r\n'

    def chunks():
        yield head
        for _ in range(30):
            yield b"x" * 1_000_000

    answer = http.post(URL, content=chunks(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert_problem(answer, 413, "20 MB")


@pytest.mark.parametrize(
    ("field", "value"),
    [("resolution", "65"), ("samples", "0"), ("formats", "exe"), ("wings", "2"), ("height_m", "nan"), ("faces", "x")],
)
def test_impossible_options_are_refused_with_their_name(http, field, value):
    assert_problem(post(http, AVATAR.read_bytes(), **{field: value}), 422, field)


def test_a_film_that_was_not_asked_for_is_explained(http, person):
    assert_problem(http.get(f"{URL}/{person.job['id']}/turntable.mp4"), 404, "turntable=true")


def test_a_film_comes_as_an_mp4_that_turns(http):
    pytest.importorskip("av")
    job = wait(http, post(http, AVATAR.read_bytes(), turntable="true").json()["id"])
    answer = http.get(f"{URL}/{job['id']}/turntable.mp4")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    frames = imageio.v3.imread(answer.content, extension=".mp4", plugin="pyav").astype(float)
    assert len(frames) > 20
    half = len(frames) // 2
    assert np.abs(frames[half] - frames[0]).mean() > 3 * np.abs(frames[-1] - frames[0]).mean()


def test_a_photo_of_nobody_fails_with_the_reason(http):
    job = wait(http, post(http, picture("RGB", (64, 64), "PNG")).json()["id"])
    assert job["state"] == "failed"
    assert "no person found" in job["reason"]
    assert_problem(http.get(f"{URL}/{job['id']}/model.glb"), 404)


@pytest.mark.parametrize(
    "name", ["..%2fphoto", "photo", "summary.json", "%2fetc%2fpasswd", "..%2f..%2f..%2fjobs.sqlite3"]
)
def test_nothing_but_the_files_of_a_result_is_served(http, person, name):
    assert http.get(f"{URL}/{person.job['id']}/{name}").status_code == 404


def test_a_list_goes_on_at_its_next_page(http, person):
    page = http.get(URL, params={"limit": 1}).json()
    assert len(page["items"]) == 1
    assert page["next"]
    assert http.get(page["next"]).status_code == 200


def test_a_name_that_is_not_the_services_own_is_refused(service):
    address = service.address.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n")
        assert b" 400 " in connection.recv(100)


def test_the_interface_describes_itself_with_examples(http, person):
    paths = http.get("/openapi.json").json()["paths"]
    assert {URL, f"{URL}/{{job_id}}", f"{URL}/{{job_id}}/{{name}}", "/healthz", "/readyz", "/metrics"} <= set(paths)
    for path, operations in paths.items():
        for method, operation in operations.items():
            answers = [answer for status, answer in operation["responses"].items() if status < "300"]
            shown = [content for answer in answers for content in answer.get("content", {}).values()]
            named = any("examples" in parameter["schema"] for parameter in operation.get("parameters", ()))
            assert named or any("example" in content for content in shown), (method, path)
    assert "example" in paths[URL]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert 'humanlrm_jobs_total{state="done"}' in http.get("/metrics").text
    assert http.get("/readyz").json()["ready"]


def test_photos_with_cameras_are_for_the_library(service):
    with pytest.raises(ValueError, match="Reconstructor"):
        Client(service.address, KEY)([AVATAR, AVATAR], "cameras.json")


def test_a_service_that_is_killed_goes_on_where_it_was(service, http, tmp_path):
    """Last: it restarts the service at another port."""
    jobs = [post(http, AVATAR.read_bytes()).json()["id"] for _ in range(2)]
    service.kill()
    service.start()
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=service.address, headers=headers, trust_env=False, timeout=60) as again:
        for job_id in jobs:
            assert wait(again, job_id)["state"] == "done"

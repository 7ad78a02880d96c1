"""The page in a real browser: Debian's chromium, driven by playwright.

With $HUMANLRM_SCREENSHOTS the pictures that the browser sees are kept in that folder.
"""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from humanlrm.results import FORMAT_NAMES
from humanlrm.serve.local import LocalService
from humanlrm.serve.names import file_of

pytest.importorskip("playwright", reason="playwright is not installed (extra 'dev')")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")

from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402
from playwright.sync_api import TimeoutError as LostClickError  # noqa: E402

AVATAR = Path(__file__).parents[2] / "examples" / "avatar.jpg"
#: Software rendering; and no connection to anywhere, which this browser tries at its start.
_ARGUMENTS = "--no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update"
_ARGUMENTS += " --disable-sync --use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist"
_PATIENCE_MS = 1000 * float(os.environ.get("HUMANLRM_PATIENCE_S", "120"))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with LocalService(
        tmp_path_factory.mktemp("page") / "data", ("--threads", "1", "--reserve-mb", "1"), timeout_s=_PATIENCE_MS / 1000
    ) as running:
        yield running


@pytest.fixture(scope="module")
def playwright():
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright):
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS.split())
    yield browser
    browser.close()


def open_page(browser: Browser, address: str, width: int, height: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(_PATIENCE_MS)
    expect.set_options(timeout=_PATIENCE_MS)
    page.goto(address)
    expect(page.locator("#start")).to_be_visible()
    return page


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("HUMANLRM_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def start(page: Page, photo: Path) -> None:
    page.locator("#photo input[type=file]").first.set_input_files(photo)
    expect(page.locator("#photo img").first).to_be_visible()
    page.locator("#start").click()


def seen_colors(page: Page, viewer: int = 0) -> int:
    """Different colors of the viewer's picture."""
    return len(np.unique(picture_of(page, viewer).reshape(-1, 3), axis=0))


def files_of_the_interface(service: LocalService) -> dict[str, bytes]:
    """Files of the latest job by their names on disk, from the REST interface."""
    job_id = max((service.data / "jobs").iterdir(), key=lambda folder: folder.stat().st_ctime_ns).name
    with httpx.Client(base_url=service.address, trust_env=False) as http:
        job = http.get(f"/v1/reconstructions/{job_id}").json()
        return {file_of(name): http.get(address).content for name, address in job["files"].items()}


def picture_of(page: Page, viewer: int = 0) -> np.ndarray:
    shot = page.locator(f"#viewer-{viewer} canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB").resize((128, 128)), dtype=int)


def wait_until(page: Page, is_reached: Callable[[], bool]) -> None:
    """Look once a second, for a minute."""
    for _ in range(60):
        if is_reached():
            return
        page.wait_for_timeout(1000)
    raise AssertionError("the viewer did not get there")


def wait_for_change(page: Page, before: np.ndarray, viewer: int = 0) -> None:
    wait_until(page, lambda: np.abs(picture_of(page, viewer) - before).mean() > 0.3)


def test_a_photo_becomes_a_model_in_the_viewer_and_files_equal_to_those_of_the_interface(browser, service):
    page = open_page(browser, service.address, 1280, 900)
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.reload()
    keep(page, "desktop-start")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("64", exact=True).check()
    start(page, AVATAR)
    expect(page.locator("#status progress")).to_be_visible()
    keep(page, "desktop-progress")
    expect(page.locator("#status .done")).to_contain_text("1 person")
    expect(page.locator("#viewer-0 canvas")).to_be_visible()
    wait_until(page, lambda: seen_colors(page) > 50)
    page.evaluate("window.scrollTo(0, 0)")
    keep(page, "desktop-front")
    assert downloaded(page, "model.glb") == files_of_the_interface(service)["model.glb"]
    for look in ("Normals", "Wireframe", "Color"):
        before = picture_of(page)
        page.get_by_label(look, exact=True).check()
        wait_for_change(page, before)
        keep(page, f"desktop-{look.lower()}")
    for side in ("Back", "Front"):
        before = picture_of(page)
        page.get_by_role("button", name=side, exact=True).click()
        wait_for_change(page, before)
        keep(page, f"desktop-{side.lower()}")
    before = picture_of(page)
    page.locator("#viewer-0 canvas").hover()
    page.mouse.down()
    page.mouse.move(500, 500)
    page.mouse.up()
    wait_for_change(page, before)
    page.close()
    assert {url for url in addresses if not url.startswith((service.address, "blob:", "data:"))} == set()


def downloaded(page, name: str) -> bytes:
    """A file by its link; a click is lost if the list is drawn anew at that moment."""
    for last in (False, True):
        try:
            with page.expect_download(timeout=120_000 if last else 20_000) as download:
                page.locator(f"#downloads a[download='{name}']").click()
            return Path(download.value.path()).read_bytes()
        except LostClickError:
            if last:
                raise
    raise AssertionError(name)


def test_an_example_becomes_two_samples_with_uncertainty_walk_and_a_file_of_each_format(browser, service):
    page = open_page(browser, service.address, 1280, 900)
    page.locator("#examples button img").first.click()
    expect(page.locator("#photo img").first).to_be_visible()
    page.get_by_text("More", exact=True).click()
    page.get_by_label("64", exact=True).check()
    for words in ("Samples", "Texture"):
        slider = page.get_by_label(f"number input for {words}")
        slider.fill("2" if words == "Samples" else "256")
        slider.blur()
    for option in ("Uncertainty: ", "Walk: "):
        page.get_by_label(option).check()
    for name in FORMAT_NAMES:
        page.get_by_label(name, exact=True).check()
    page.locator("#start").click()
    expect(page.locator("#status .now")).to_be_visible()
    expect(page.locator("#status .done")).to_contain_text("2 people")
    files = files_of_the_interface(service)
    ends = [
        "glb",
        "gltf.zip",
        "obj.zip",
        "ply",
        "usdz",
        "vrm",
        "stl",
        "3mf",
        "walk.glb",
        "preview.png",
        "uncertainty.png",
    ]
    assert set(files) == {f"model.{number}{end}" for number in ("", "1.") for end in ends} | {"model.json"}
    for name, content in files.items():
        assert downloaded(page, name) == content, name
    for viewer in (0, 1):
        wait_until(page, lambda viewer=viewer: seen_colors(page, viewer) > 50)
    keep(page, "desktop-samples")
    for look in ("Uncertainty", "Walk"):
        before = picture_of(page)
        page.get_by_label(look, exact=True).check()
        wait_for_change(page, before)
        keep(page, f"desktop-{look.lower()}")
    page.wait_for_timeout(5000)
    wait_for_change(page, picture_of(page))  # by itself: the person walks
    page.close()


def test_a_phones_camera_takes_the_photo_and_the_result_is_not_wider_than_the_phone(playwright, service, tmp_path):
    frames = tmp_path / "camera.mjpeg"
    frames.write_bytes(AVATAR.read_bytes())
    camera = (
        f"--use-fake-ui-for-media-stream --use-fake-device-for-media-stream --use-file-for-fake-video-capture={frames}"
    )
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS.split(), *camera.split()])
    page = open_page(browser, service.address, 390, 844)
    page.locator("#photo").get_by_label("Capture from camera").click()
    page.locator("#photo").get_by_title("grant webcam access").click()
    expect(page.locator("#photo video")).to_be_visible()
    page.wait_for_timeout(2000)
    keep(page, "phone-camera")
    page.locator("#photo").get_by_label("capture photo").click()
    expect(page.locator("#photo img").first).to_be_visible()
    page.locator("#start").click()
    expect(page.locator("#status .done")).to_contain_text("1 person")
    wait_until(page, lambda: seen_colors(page) > 50)
    page.locator("#status").scroll_into_view_if_needed()
    keep(page, "phone-result")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    browser.close()


def test_an_error_is_shown_on_a_phone_and_nothing_is_wider_than_it(browser, service, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "nobody.png")
    page = open_page(browser, service.address, 390, 844)
    keep(page, "phone-start")
    start(page, tmp_path / "nobody.png")
    expect(page.locator("#status .failed")).to_contain_text("no person found")
    page.locator("#status").scroll_into_view_if_needed()
    keep(page, "phone-error")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


@pytest.mark.parametrize("path", ["/etc/passwd", "pyproject.toml", "{data}/jobs.sqlite3", "{data}/lock"])
def test_the_page_serves_no_file_of_the_machine(service, path):
    name = path.format(data=service.data)
    answer = httpx.get(f"{service.address}/gradio_api/file={name}", trust_env=False)
    assert answer.status_code in (403, 404)

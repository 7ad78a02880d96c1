"""The page in a real browser: Debian's chromium, driven by playwright.

With $HUMANLRM_SCREENSHOTS the pictures that the browser sees are kept in that folder.
"""

import os
import shutil
from pathlib import Path

import httpx
import pytest

from humanlrm.serve.local import LocalService

pytest.importorskip("playwright", reason="playwright is not installed (extra 'dev')")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")

from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

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
def browser():
    with sync_playwright() as playwright:
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


def seen_colors(page: Page) -> int:
    """Different colors of the viewer's picture."""
    from io import BytesIO

    from PIL import Image

    shot = Image.open(BytesIO(page.locator("#viewer-0 canvas").screenshot())).convert("RGB").resize((64, 64))
    return len(shot.getcolors(64 * 64) or ())


def model_of_the_interface(service: LocalService) -> bytes:
    """The GLB of the only job, by the REST interface."""
    (folder,) = (service.data / "jobs").iterdir()
    return httpx.get(f"{service.address}/v1/reconstructions/{folder.name}/model.glb", trust_env=False).content


def test_a_photo_becomes_a_model_in_the_viewer_and_files_equal_to_those_of_the_interface(browser, service):
    page = open_page(browser, service.address, 1280, 900)
    keep(page, "desktop-start")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("64", exact=True).check()
    start(page, AVATAR)
    expect(page.locator("#status progress")).to_be_visible()
    keep(page, "desktop-progress")
    expect(page.locator("#status .done")).to_contain_text("1 person")
    expect(page.locator("#viewer-0 canvas")).to_be_visible()
    for _ in range(60):
        if seen_colors(page) > 50:
            break
        page.wait_for_timeout(1000)
    page.evaluate("window.scrollTo(0, 0)")
    keep(page, "desktop-front")
    assert seen_colors(page) > 50
    with page.expect_download() as download:
        page.locator("#downloads a[download='model.glb']").click()
    assert Path(download.value.path()).read_bytes() == model_of_the_interface(service)
    for look in ("Normals", "Wireframe"):
        page.get_by_label(look, exact=True).check()
        page.wait_for_timeout(3000)
        keep(page, f"desktop-{look.lower()}")
    page.get_by_label("Color", exact=True).check()
    page.get_by_role("button", name="Back", exact=True).click()
    page.wait_for_timeout(3000)
    keep(page, "desktop-back")
    page.close()


def test_an_error_is_shown_on_a_phone_and_nothing_is_wider_than_it(browser, service, tmp_path):
    from PIL import Image

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

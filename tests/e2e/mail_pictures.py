"""`python -m tests.e2e.mail_pictures [FOLDER]`: takes the pictures of the mails in the documentation."""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser

from tests.e2e.screenshots import FOLDER, write_picture
from tests.support.stack.browser import executable, launched
from tools.cli.mail_preview import write

WIDTH, PHONE = 640, 360
PICTURES = {
    "mail-order": ("order_created", WIDTH),
    "mail-digest": ("weekly_digest", WIDTH),
    "mail-phone": ("order_created", PHONE),
}
"""The mail and the width of the window, by the name of the picture."""


def main() -> None:
    if executable() is None:
        sys.exit("no Chromium: tools/devstack/install.sh browser")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dashboard-mails-") as mails:
        write(Path(mails))
        asyncio.run(_take_all(Path(mails), folder))


async def _take_all(mails: Path, folder: Path) -> None:
    async with launched() as browser:
        for picture, (mail, width) in PICTURES.items():
            await _take(browser, mails / f"{mail}.html", width, folder / f"{picture}.png")


async def _take(browser: Browser, mail: Path, width: int, path: Path) -> None:
    page = await browser.new_page(viewport={"width": width, "height": 100}, device_scale_factor=2)
    await page.goto(mail.as_uri())
    write_picture(await page.screenshot(full_page=True), path)
    await page.close()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The picture of a report for the README: python hack/report_picture.py REPORT.html [docs/images/report.png]

The top of the page as a desktop shows it, light, 1,200 pixels wide. Needs chromium with chromedriver, and selenium.
"""

import base64
import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver

WIDTH, HEIGHT = 1_200, 1_125
MAX_BYTES = 300 * 1024
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")


def picture(report: Path, profile: str) -> bytes:
    """PNG of the top of `report`."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or "chromium-browser"
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.get(report.resolve().as_uri())
        screen = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        light = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", light)
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        return base64.b64decode(shot["data"])
    finally:
        browser.quit()


def main() -> None:
    """Write it, or end with a message."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    report, target = Path(sys.argv[1]), Path((sys.argv[2:] or ["docs/images/report.png"])[0])
    with tempfile.TemporaryDirectory() as profile:
        png = picture(report, profile)
    if len(png) > MAX_BYTES:
        sys.exit(f"{target}: {len(png) / 1024:.0f} KiB are more than {MAX_BYTES // 1024}: make HEIGHT smaller")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(png)
    print(f"{target}: {len(png) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()

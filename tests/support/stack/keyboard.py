"""The page without a pointer: the position of the focus, which is never lost."""

from playwright.async_api import Locator, Page, expect

WATCH = """
  window.focusLost = [];
  const watch = () => {
    if (document.activeElement === document.body && document.hasFocus()) window.focusLost.push(window.lastAction);
    requestAnimationFrame(watch);
  };
  requestAnimationFrame(watch);
"""


async def watch_focus(page: Page) -> None:
    """From now on, record each frame without a focus with the last action."""
    await page.evaluate(WATCH)


async def press(control: Locator, key: str = "Enter") -> None:
    """Press the key on a control that can have the focus."""
    await control.focus()
    await expect(control).to_be_focused()
    await control.page.evaluate("(name) => { window.lastAction = name }", f"{key} on {control}")
    await control.page.keyboard.press(key)


async def moves_focus(control: Locator, to: Locator, key: str = "Enter") -> None:
    """Press the key, and assert that the focus is then there."""
    await press(control, key)
    await expect(to).to_be_focused()


async def stays(control: Locator, key: str = "Enter") -> None:
    """Press the key, and assert that the focus stays on the control, which is enabled again."""
    await moves_focus(control, control, key)
    await expect(control).not_to_have_attribute("aria-disabled", "true")


async def escapes(page: Page, to: Locator) -> None:
    await page.keyboard.press("Escape")
    await expect(to).to_be_focused()


async def never_lost_focus(page: Page) -> None:
    assert await page.evaluate("[...new Set(window.focusLost)]") == []


async def tab_reaches_everything(page: Page) -> None:
    """Assert that Tab reaches every visible control, and then the first again."""
    await page.evaluate(REMEMBER)
    for _ in range(await page.evaluate(f"document.querySelectorAll({CONTROLS!r}).length") + PARTS_OF_DATES):
        await page.keyboard.press("Tab")
    assert await page.evaluate("window.controls.filter((each) => !window.reached.has(each))") == []


CONTROLS = "a[href], button:not([disabled]), input:not([disabled]), select, summary, [tabindex='0']"
SHOWN = "(each) => each.checkVisibility({visibilityProperty: true})"
REMEMBER = f"""
  window.place = (each) => [each.closest("[data-key]")?.dataset.key, each.tagName, each.id || each.name,
    each.ariaLabel ?? each.textContent.replaceAll(/[0-9]+/g, "0")].join(" ");
  window.controls = [...new Set([...document.querySelectorAll("{CONTROLS}")].filter({SHOWN}).map(window.place))];
  window.reached = new Set();
  addEventListener("focusin", ({{target}}) => window.reached.add(window.place(target)));
"""
"""A control is known by its place and its text without figures: live data replaces elements and changes figures."""
PARTS_OF_DATES = 20
"""Additional tab stops in date fields, besides one each."""

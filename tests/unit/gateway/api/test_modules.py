"""The modules of the page: their imports form no cycle, and a page names all that it needs."""

import re
from graphlib import TopologicalSorter

import pytest

from services.gateway.api.modules import imported, reachable, with_preloads
from services.gateway.api.page import PAGES, site
from services.gateway.catalog.catalog import packaged

SITE = site(packaged())
MODULES = {name.removeprefix("js/"): file.body for name, file in SITE.assets.items() if name.startswith("js/")}
CODE = (".js", ".css")
MOST_CODE_BYTES = 150_000


def test_every_kind_of_import_is_found() -> None:
    """On one line or on several, of names, of a module, for its effects, or passed on; not one that is made later."""
    source = b"""import { a } from "./one.js";
import * as two from "./two.js";
import {
  b,
} from "./three.js";
import "./four.js";
export { c } from "./five.js";
const later = () => import("./later.js"); // from "./comment.js"
"""
    assert imported(source) == ["one.js", "two.js", "three.js", "four.js", "five.js"]


def test_no_module_imports_itself_on_the_way() -> None:
    """A cycle would use a module before it has run."""
    assert list(TopologicalSorter({name: imported(body) for name, body in MODULES.items()}).static_order())


def test_all_modules_that_an_entry_needs_are_named_once() -> None:
    """The entry is first, then those that it imports; each link is ahead of the script."""
    bodies = {
        "main.js": b'import "./a.js";\nimport "./b.js";\n',
        "a.js": b'import "./b.js";\n',
        "b.js": b"",
        "c.js": b"",
    }
    assert reachable("main.js", bodies) == ["main.js", "a.js", "b.js"]
    html = b'<head>\n  <script type="module" src="/assets/v/js/main.js"></script>\n</head>\n'
    links = re.findall(rb'<link rel="modulepreload" href="/assets/v/js/([^"]+)">', with_preloads(html, bodies))
    assert links == [b"main.js", b"a.js", b"b.js"]
    assert with_preloads(b"<head></head>", bodies) == b"<head></head>"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_names_its_modules(path: str) -> None:
    """Every module of the page is there, so none is found only when another one has been read."""
    body = SITE.pages[path].body
    named = re.findall(rb'<link rel="modulepreload" href="/assets/[^/]+/js/([^"]+)">', body)
    assert b"{{version}}" not in body
    assert {name.decode() for name in named} >= {"session.js", "catalog.js", "currencies.js"}
    assert all(each in MODULES for name in named for each in imported(MODULES[name.decode()]))
    assert {each.encode() for name in named for each in imported(MODULES[name.decode()])} <= set(named)


@pytest.mark.parametrize("path", PAGES)
def test_the_code_of_a_page_is_light(path: str) -> None:
    """All that it loads, compressed: modules, styles, the chart library and the page itself."""
    page = SITE.pages[path]
    loaded = {name.decode() for name in re.findall(rb'/assets/[^/]+/([^"]+)"', page.body)}
    code = [SITE.assets[name] for name in loaded if name.endswith(CODE)]
    assert len(page.packed) + sum(len(file.packed) for file in code) < MOST_CODE_BYTES

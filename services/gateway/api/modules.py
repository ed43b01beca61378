"""The modules of the page, and what they import: a browser would otherwise find out one level after another."""

import re
from collections.abc import Mapping

_IMPORT = re.compile(rb'^(?:import|export|\}) ?(?:[^;"]*from )?"\./([^"]+)"', re.MULTILINE)
_ENTRY = re.compile(rb'^ *<script type="module" src="([^"]+)/js/([^"/]+)">', re.MULTILINE)


def imported(body: bytes) -> list[str]:
    """Return the names of the modules that a module imports when it is loaded, without those of `import()`."""
    return [name.decode() for name in _IMPORT.findall(body)]


def reachable(entry: str, bodies: Mapping[str, bytes]) -> list[str]:
    """Return the modules that an entry needs, itself first and the nearest next. `bodies` are all modules by name."""
    found = [entry]
    for name in found:
        found += [each for each in dict.fromkeys(imported(bodies[name])) if each not in found]
    return found


def with_preloads(html: bytes, bodies: Mapping[str, bytes]) -> bytes:
    """Return a page in which the modules of its entry, if it has one, are loaded all at once."""
    entry = _ENTRY.search(html)
    if entry is None:
        return html
    folder = entry[1].decode()
    names = reachable(entry[2].decode(), bodies)
    links = "".join(f'  <link rel="modulepreload" href="{folder}/js/{name}">\n' for name in names)
    return html[: entry.start()] + links.encode() + html[entry.start() :]

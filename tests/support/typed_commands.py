"""The commands that the documentation tells its readers to type, and the tests that run them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

from tests.support.links import ROOT, pages

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)
INDENTED = re.compile(r"^ {4,}(\S.*)$", re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")
CODE_LANGUAGES = ("sh", "console")
"""`sh` is run by tests where a page is followed; `console` shows what a reader types elsewhere."""
PROGRAM = re.compile(
    r"(?:[A-Z]\w*=\S* +)*(?:(?:\S*/)?dashboard|make|docker|kubectl|kind|helm|git|gh|cosign|curl|python3?"
    r"|uvx?|pip|npm|npx|uvicorn|nginx|psql|redis-cli|rabbitmqctl|rabbitmq-\w+|sudo|apt-get|brew|sh|bash|rm|cp|mv|sed|wget|openssl"
    r"|\.venv/bin/\S+|(?:deploy|tools)/\S+\.(?:sh|py)) +\S"
)
HISTORY = ("CHANGELOG.md",)
"""Pages about earlier versions, whose commands need not exist any more."""
SEPARATORS = {"|", "||", "&", "&&", ";"}
BUILTINS = {"{", "}", "export"}

EXECUTED = {
    ("README.md", "Use the API"): "tests/e2e/system/test_readme.py::test_the_examples_work_as_they_stand",
    ("README.md", "Operations"): "tests/e2e/system/test_readme.py::test_the_operations_work_as_they_stand",
    ("docs/api.md", "API keys"): "tests/e2e/system/test_api_keys.py::test_a_script_uses_a_key_until_it_is_deleted",
    ("docs/how-to/aggregate-your-own-services.md", ""): (
        "tests/e2e/tutorials/test_how_to.py::test_the_page_works_as_it_stands"
    ),
    ("docs/how-to/an-account-from-start-to-end.md", ""): (
        "tests/e2e/system/test_account_from_start_to_end.py::test_the_commands_work_as_they_stand"
    ),
    ("docs/how-to/make-it-yours.md", ""): "tests/e2e/tutorials/test_make_it_yours.py::mine",
    ("docs/imports.md", "Imports"): "tests/e2e/system/test_guides.py::test_a_guide_works_as_it_stands",
    ("docs/mail.md", "Notification settings"): "tests/e2e/system/test_guides.py::test_a_guide_works_as_it_stands",
    ("docs/pictures.md", "Profile pictures"): "tests/e2e/system/test_guides.py::test_a_guide_works_as_it_stands",
    ("docs/reports.md", "Reports"): "tests/e2e/system/test_guides.py::test_a_guide_works_as_it_stands",
    ("docs/webhooks.md", "Create a webhook"): "tests/e2e/system/test_guides.py::test_a_guide_works_as_it_stands",
    ("docs/tutorials/add-a-job.md", ""): "tests/e2e/tutorials/test_tutorials.py::test_a_tutorial_works_as_it_stands",
    ("docs/tutorials/add-a-panel.md", ""): "tests/e2e/tutorials/test_tutorials.py::test_a_tutorial_works_as_it_stands",
    ("docs/tutorials/delay-a-job.md", ""): "tests/e2e/tutorials/test_tutorials.py::test_a_tutorial_works_as_it_stands",
    ("docs/tutorials/run-a-job-every-monday.md", ""): (
        "tests/e2e/tutorials/test_tutorials.py::test_a_tutorial_works_as_it_stands"
    ),
    ("docs/tutorials/your-own-application.md", ""): (
        "tests/e2e/tutorials/test_tutorials.py::test_the_page_about_other_applications_shows_the_shop"
    ),
}
"""By page and heading, the test that runs all blocks of `sh` below that heading; an empty heading is the whole page."""

NOT_RUN = {
    "git clone": "gets the project",
    "git pull": "needs a newer version to pull",
    "git tag": "makes a release",
    "git push": "makes a release",
    "cosign verify": "needs a released image",
    "gh attestation verify": "needs a released image",
    "docker buildx imagetools": "needs a released image",
    "docker build": "needs Docker; `make containers` and `make kind` build the image",
    "kind load": "needs a cluster; `make kind` does it",
    "sudo": "changes the system of the person who types it",
    "apt-get install": "changes the system; `make test` installs Prometheus",
    "pip install": "is in the group `dev`; the test of the page uses the package",
    "uv add": "changes the dependencies",
    "uv sync": "is what `make install` does",
    "uvx openapi-python-client": "tests/e2e/openapi/test_clients.py runs it, in the version of tools/clients",
    "npm install": "tests/e2e/openapi/test_clients.py installs the versions of tools/clients",
    "npx openapi-typescript": "tests/e2e/openapi/test_clients.py runs it, in the version of tools/clients",
    "curl -so openapi.json": "tests/e2e/openapi/test_clients.py reads the document of its own gateway",
    ".venv/bin/python -m uvicorn loyalty:app": "starts the service of the page, which its test checks",
    "uvicorn": "starts an application of the reader's; tests/e2e/shop and tests/e2e/tutorials start it",
    "python -m notify.migrate": "is a module of the tutorial's application; tests/e2e/tutorials runs it",
    "python -m shop.migrate": "is a module of the tutorial's application; tests/e2e/shop runs it",
    "redis-cli": "needs Redis of the reader's",
    "rabbitmqctl": "needs RabbitMQ of the reader's",
    "rabbitmq-queues": "needs a cluster of RabbitMQ; `make cluster` has one",
    "psql": "is a remark about another way to load rows",
    "curl --http2": "is a remark about a client",
}
"""The beginnings of the commands that no test runs, and why."""


@dataclass(frozen=True)
class Typed:
    """One simple command, as words; `executed` is the test that runs it, if there is one."""

    page: str
    words: tuple[str, ...]
    executed: str | None

    @property
    def text(self) -> str:
        return " ".join(self.words)


def typed_commands() -> list[Typed]:
    """Return every command in blocks and in inline code, without those of pages about earlier versions."""
    return [
        command
        for page in pages()
        if (name := str(page.relative_to(ROOT))) not in HISTORY
        for command in commands_of(name, page.read_text())
    ]


def commands_of(name: str, page: str) -> Iterator[Typed]:
    """Yield the commands of one page. `name` is its path in the project."""
    for block in FENCE.finditer(page):
        executed = _executed_by(name, page[: block.start()]) if block["language"] == "sh" else None
        if block["language"] in CODE_LANGUAGES:
            for words in simple_commands(dedent(block["text"])) if executed is None else _lines(block["text"]):
                yield Typed(name, words, executed)
    for span in SPAN.findall(FENCE.sub("", page)):
        text = " ".join(span.split())
        if PROGRAM.match(text):
            for words in simple_commands(text):
                yield Typed(name, words, None)


def unlabelled(page: str) -> list[str]:
    """Return the commands in blocks that do not say that they contain commands, and in indented blocks."""
    blocks = [block["text"] for block in FENCE.finditer(page) if block["language"] in ("", "text", "bash", "shell")]
    indented = INDENTED.findall(FENCE.sub("", page))
    return [line for text in (*blocks, *indented) for line in text.splitlines() if PROGRAM.match(line.strip())]


def simple_commands(script: str) -> Iterator[tuple[str, ...]]:
    """Yield the simple commands of a script, without comments and assignments."""
    text = ""
    for line in script.replace("\\\n", " ").splitlines():
        text = f"{text}\n{line}" if text else re.sub(r"(?:^|\s+)#\s.*$", "", line)
        try:
            words = _words(re.sub(r"\s+#\s.*$", "", text))
        except ValueError:  # a quotation that continues on the next line
            continue
        yield from _split(words)
        text = ""
    assert not text, f"an open quotation: {text}"


def _executed_by(name: str, before: str) -> str | None:
    headings = HEADING.findall(FENCE.sub("", before))
    return EXECUTED.get((name, "")) or EXECUTED.get((name, headings[-1] if headings else ""))


def _lines(script: str) -> Iterator[tuple[str, ...]]:
    yield from ((line,) for line in script.splitlines() if line)


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def _split(words: list[str]) -> Iterator[tuple[str, ...]]:
    command: list[str] = []
    for word in [*words, ";"]:
        if word not in SEPARATORS:
            command.append(word)
            continue
        while command and (re.match(r"[A-Z]\w*=", command[0]) or command[0] in BUILTINS):
            command.pop(0)
        if command and command[0] != "cd":
            yield tuple(command)
        command = []

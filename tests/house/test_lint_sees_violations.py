"""Each check of `make lint` is seen failing on a violation sown into a copy of the code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SOURCES = ("libs/common/src", *(f"services/{path.name}/src" for path in sorted((ROOT / "services").iterdir())))
TOOLS = ("cli/src", "tools/devstack/src", "tools/doubles/src", "tools/demo/src")
NOT_PYTHON = shutil.ignore_patterns("__pycache__", "*.egg-info", "static", "templates")

# One violation for each import-linter contract: file, line sown at its end, and the contract that must break.
IMPORTS = [
    ("rappit_orders/domain/__init__.py", "import sqlalchemy", "The domain is plain Python"),
    ("rappit_orders/models.py", "import rappit_inventory", "Services know nothing of each other"),
    ("rappit_common/clock.py", "import rappit_orders", "The common ground knows no service"),
    ("rappit_demo/client.py", "import rappit_orders", "Tools know services by their public interfaces only"),
    ("rappit_orders/models.py", "import rappit_orders.service", "Imports in a service point down only"),
    ("rappit_orders/helpers.py", "PLACELESS = True", "Imports in a service point down only"),
]


def run(*command: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Every package side by side in one folder, with the workspace's configuration beside them."""
    for source in (*SOURCES, *TOOLS):
        for package in (ROOT / source).iterdir():
            if package.is_dir() and (package / "__init__.py").exists():
                shutil.copytree(package, tmp_path / package.name, ignore=NOT_PYTHON)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def sow(folder: Path, file: str, line: str) -> None:
    target = folder / file
    target.write_text((target.read_text() if target.exists() else "") + f"\n{line}\n")


@pytest.mark.parametrize(("file", "line", "contract"), IMPORTS)
def test_forbidden_import_breaks_its_contract(copy, file, line, contract):
    sow(copy, file, line)
    result = run("lint-imports", "--no-cache", "--config", "pyproject.toml", cwd=copy, path=copy)
    said = " ".join(result.stdout.split())
    assert result.returncode != 0, said
    broken = [part for part in said.split(" BROKEN")[:-1] if contract in part]
    assert broken or f"{contract}" in said.split("Broken contracts")[-1], said


def test_untouched_copy_keeps_every_contract(copy):
    result = run("lint-imports", "--no-cache", "--config", "pyproject.toml", cwd=copy, path=copy)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_ruff_sees_a_style_violation(copy):
    sow(copy, "rappit_orders/domain/__init__.py", "def undocumented(x):\n    print(x)")
    result = run("ruff", "check", "--no-cache", "rappit_orders", cwd=copy)
    assert result.returncode == 1
    assert {"ANN001", "T201"} <= set(result.stdout.split())


def test_ruff_format_sees_unformatted_code(copy):
    sow(copy, "rappit_orders/domain/__init__.py", "LIST = [ 1,2 ]")
    result = run("ruff", "format", "--no-cache", "--check", "rappit_orders", cwd=copy)
    assert result.returncode == 1
    assert "reformatted" in result.stdout


def test_type_checker_sees_a_type_error(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text('"""Wrong."""\n\n\ndef twice(number: int) -> str:\n    """Double."""\n    return number * 2\n')
    settings = (ROOT / "pyproject.toml").read_text().split("[tool.basedpyright]")[1].split("\n[")[0]
    kept = "\n".join(line for line in settings.splitlines() if not line.startswith(("include", "venv")))
    (tmp_path / "pyproject.toml").write_text(f"[tool.basedpyright]\n{kept}\n")
    result = run("basedpyright", "wrong.py", cwd=tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "reportReturnType" in result.stdout

"""The browser client as an npm package: packed, installed into an app, and type-checked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import on_device

CLIENT = Path(on_device.__file__).parent / "web"
LIMIT = 180  # seconds
UNREACHABLE = r"\bcode (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|E5\d\d)\b"  # in npm's errors
TYPESCRIPT = "typescript@5.8.3"
APP = """
import { Recommender, readArtifact, type Recommendation } from "on-device-recommender-client";

export async function titles(history: string[]): Promise<string[]> {
  const recommender = await Recommender.open(await readArtifact("model/"), "wasm/");
  const items: Recommendation[] = await recommender.recommend(history, { k: 3, deny: ["b"], diversity: 0.2 });
  return items.map((item) => item.title);
}
"""
WRONG_APP = """
import { Recommender } from "on-device-recommender-client";
declare const recommender: Recommender;
export const wrong: number = recommender.similar("a");
"""
CONFIG = {
    "compilerOptions": {
        **{"module": "nodenext", "moduleResolution": "nodenext", "target": "es2022", "lib": ["es2024", "dom"]},
        **{"strict": True, "noEmit": True, "types": [], "skipLibCheck": False},
    },
    "include": ["*.ts"],
}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app that depends on the packed client and on TypeScript."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm")
    folder = tmp_path_factory.mktemp("npm")
    packed = run([npm, "pack", "--json", "--pack-destination", str(folder), str(CLIENT)], folder)
    assert packed.returncode == 0, packed.stderr
    (archive,) = json.loads(packed.stdout)
    assert {file["path"] for file in archive["files"]} == {path.name for path in CLIENT.iterdir()}
    assert archive["size"] < 20_000
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    installed = run([npm, "install", "--no-audit", "--no-fund", f"./{archive['filename']}", TYPESCRIPT], folder)
    if re.search(UNREACHABLE, installed.stderr):
        pytest.skip(f"the npm registry does not respond: {installed.stderr.strip()[-200:]}")
    assert installed.returncode == 0, installed.stderr
    return folder


def compile_typescript(app: Path, source: str) -> subprocess.CompletedProcess[str]:
    (app / "app.ts").write_text(source)
    (app / "tsconfig.json").write_text(json.dumps(CONFIG))
    return run(["npx", "tsc"], app)


def test_an_app_compiles_against_the_types(app: Path) -> None:
    process = compile_typescript(app, APP)
    assert process.returncode == 0, process.stdout


def test_the_types_reject_a_wrong_app(app: Path) -> None:
    process = compile_typescript(app, WRONG_APP)
    assert process.returncode != 0 and "TS2322" in process.stdout


def test_the_code_agrees_with_the_types(app: Path) -> None:
    options = {**CONFIG["compilerOptions"], "allowJs": True, "checkJs": True, "strict": False, "skipLibCheck": True}
    client = app / "node_modules/on-device-recommender-client"
    source = app / "source"
    shutil.copytree(client, source, dirs_exist_ok=True)
    (source / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*.js", "index.d.ts"]}))
    process = run(["npx", "tsc", "-p", str(source)], app)
    assert process.returncode == 0, process.stdout


def test_the_package_loads_without_a_browser(app: Path) -> None:
    script = (
        'const { normalized } = await import("on-device-recommender-client"); console.log(normalized("Léon\\u2019s"))'
    )
    process = run(["node", "--input-type=module", "-e", script], app)
    assert (process.returncode, process.stdout) == (0, "leons\n"), process.stderr

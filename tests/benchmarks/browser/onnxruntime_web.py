"""onnxruntime-web, out of a package that brings it along in its own pages.

There is no package of it for Python, but open-webui ships its files: the engine as they are, and
its interface inside a bundle, which does not give it away. Here it does.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

PAGES = "open_webui/frontend"
VERSION = re.compile(r"(\d+\.\d+\.\d+)-dev\.\d+-\w+")


def unpack(wheel: Path, folder: Path) -> str:
    """Writes `ort.js`, a module that exports `ort`, and what it fetches.

    Returns:
        The version of onnxruntime-web.
    """
    folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(f"{PAGES}/wasm/ort-"):
                with archive.open(name) as source, (folder / Path(name).name).open("wb") as target:
                    shutil.copyfileobj(source, target)
        chunks = (n for n in archive.namelist() if re.match(rf"{PAGES}/_app/.*/chunks/.*\.js$", n))
        for name in chunks:
            script = archive.read(name).decode()
            found = re.search(
                r"const (\w+)=Object\.freeze\([^;]{,60}__proto__:null,get InferenceSession", script
            )
            if found:
                return _write(script, found[1], folder / "ort.js")
    raise FileNotFoundError(f"{wheel} has no onnxruntime-web")


def _write(script: str, interface: str, path: Path) -> str:
    # What it imports is the application's, and not needed.
    alone = re.sub(r'import\{\w+ as (\w+)\}from"[^"]+";', r"const \1 = () => {};", script)
    path.write_text(f"{alone}\nexport {{ {interface} as ort }};\n")
    version = VERSION.search(script)
    return version[1] if version else "of an unknown version"

"""Generate `tilebox/_core/protocol` from `proto/`.

    python scripts/protocol.py            write the modules
    python scripts/protocol.py --check    fail if a module differs from its definition

protoc names modules after the path of a definition (`tilebox/v1/id.proto` becomes `tilebox.v1.id_pb2`), which would
collide with this package. So the script rewrites imports between generated modules to `tilebox._core.protocol`. It needs
`grpcio-tools`. The noxfile pins its version, because generated code contains protoc's version and requires a runtime at
least as new.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFINITIONS = ROOT / "proto"
MODULES = ROOT / "tilebox" / "_core" / "protocol"
PACKAGE = "tilebox._core.protocol"
OWN_IMPORT = re.compile(r"^from ((?:datasets|tilebox|workflows)\.\S+) import", re.MULTILINE)


def generate() -> dict[Path, str]:
    """Return the text of each generated module by its path below `MODULES`."""
    from grpc_tools import protoc

    definitions = sorted(DEFINITIONS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        include = Path(protoc.__file__).parent / "_proto"
        arguments = ["protoc", f"-I{DEFINITIONS}", f"-I{include}", f"--python_out={scratch}", f"--pyi_out={scratch}"]
        if protoc.main(arguments + [str(path) for path in definitions]) != 0:
            raise SystemExit("protoc failed; its errors are above")
        output = Path(scratch)
        modules = {
            path.relative_to(output): OWN_IMPORT.sub(rf"from {PACKAGE}.\1 import", path.read_text())
            for path in sorted(output.rglob("*_pb2.py*"))
        }
    for path in list(modules):
        for folder in path.parents:
            if folder != Path():
                modules[folder / "__init__.py"] = '"""Generated messages; see scripts/protocol.py."""\n'
    return modules


def committed() -> dict[Path, str]:
    """Return the text of each existing module below `MODULES`, except the hand-written `__init__`."""
    paths = [*MODULES.rglob("*.py"), *MODULES.rglob("*.pyi")]
    return {path.relative_to(MODULES): path.read_text() for path in paths if path.parent != MODULES}


def main() -> int:
    """Write the modules, or with `--check` compare them with the existing ones."""
    parser = argparse.ArgumentParser(description="Generate tilebox/_core/protocol from proto/.")
    parser.add_argument("--check", action="store_true", help="change nothing and fail if a module is out of date")
    check = parser.parse_args().check
    generated, existing = generate(), committed()
    changed = sorted(
        str(path) for path in generated.keys() | existing.keys() if generated.get(path) != existing.get(path)
    )
    if check:
        for path in changed:
            print(f"out of date: tilebox/_core/protocol/{path}", file=sys.stderr)
        return 1 if changed else 0
    for path in existing.keys() - generated.keys():
        (MODULES / path).unlink()
    for path, text in generated.items():
        (MODULES / path).parent.mkdir(parents=True, exist_ok=True)
        (MODULES / path).write_text(text)
    print(f"{len(generated)} modules, {len(changed)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

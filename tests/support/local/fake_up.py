"""`dashboard up` with stand-ins for the services: fake_up.py DATA_DIR [OPTION=VALUE…], `-` for none kept."""

import sys
from pathlib import Path

from tools.devstack.service import Commands
from tools.devstack.up import Options, up

_SERVICE = str(Path(__file__).with_name("fake_service.py"))


def commands(seed: str, broken: str, code: Path | None) -> Commands:
    """`code` may have a `services/NAME/main.py`, which is then the service."""

    def serve(name: str) -> list[str]:
        own = code and code / "services" / name / "main.py"
        return [
            sys.executable,
            *(["-c", "1 / 0"] if name == broken else [str(own) if own and own.exists() else _SERVICE, name]),
        ]

    return Commands(
        serve=serve,
        migrate=lambda name: [sys.executable, "-c", f"print('migrated {name}')"],
        seed=(sys.executable, "-c", seed),
    )


if __name__ == "__main__":
    data_dir, *rest = sys.argv[1:]
    given = dict(argument.split("=", 1) for argument in rest)
    port = int(given["port"]) if "port" in given else None
    replicas = given["replicas"].split() if "replicas" in given else []
    code = Path(given["code"]) if "code" in given else None
    options = Options(port, Path(data_dir), data_dir == "-", "seed" in given, replicas, durable=False, reload=code)
    sys.exit(up(options, commands(given.get("seed", ""), given.get("broken", ""), code)))

"""`python3 -m tests.cluster`: see `--help`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from tests.cluster import binaries, clusters, images
from tests.cluster.components import COMPONENTS
from tests.cluster.node import Node


def main() -> None:
    """Read the command line and do what it asks."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    arguments.run(arguments)


def up(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    cluster = clusters.create(arguments.name)
    cluster.up()
    print(f"   cluster {arguments.name}: ready in {time.monotonic() - started:.1f} s", file=sys.stderr)
    env(arguments)


def down(arguments: argparse.Namespace) -> None:
    if arguments.name in clusters.names():
        clusters.find(arguments.name).down()


def status(arguments: argparse.Namespace) -> None:
    cluster = clusters.find(arguments.name)
    for name in cluster.components:
        print(f"{name:<24} {'does not run' if cluster.dead(name) else 'runs'}")
    if not cluster.healthy():
        sys.exit(f"cluster {arguments.name!r} is not up")


def env(arguments: argparse.Namespace) -> None:
    folders = ":".join(map(str, binaries.folders()))
    print(f"export KUBECONFIG={clusters.find(arguments.name).site.kubeconfig}\nexport PATH={folders}:$PATH")


def load_image(arguments: argparse.Namespace) -> None:
    cluster = clusters.find(arguments.name)
    for what in arguments.image:
        file = Path(what)
        archive = images.from_file(file) if file.is_file() else images.ensure(what)
        cluster.load_image(archive)


def restart(arguments: argparse.Namespace) -> None:
    stop(arguments)
    start(arguments)


def stop(arguments: argparse.Namespace) -> None:
    clusters.find(arguments.name).stop(*arguments.component, kill=arguments.kill)


def start(arguments: argparse.Namespace) -> None:
    clusters.find(arguments.name).start(*arguments.component)


def bin_(arguments: argparse.Namespace) -> None:
    binaries.build(arguments.program)
    print(*(binaries.path(name) for name in arguments.program or binaries.BINARIES), sep="\n")


def exec_(arguments: argparse.Namespace) -> None:
    cluster = clusters.find(arguments.name)
    if not isinstance(cluster, Node):
        sys.exit("kind's node is a container: docker exec")
    command = cluster.namespaces.command(*arguments.word or ["bash"])
    os.execvp(command[0], command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/cluster", description="One node of Kubernetes for tests.")
    parser.add_argument("--name", default=os.environ.get("ADUTORA_CLUSTER", "adutora"), help="which cluster (adutora)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    command("up", up, "start it, or heal it; print what `env` prints")
    command("down", down, "end it and delete its state")
    command("status", status, "which components run; exit 1 unless all do and the node is Ready")
    command("env", env, "print KUBECONFIG and PATH: eval $(tools/cluster env)")
    command("bin", bin_, "build missing programs; print where they are").add_argument("program", nargs="*")
    command("load-image", load_image, "load archives or images by name").add_argument("image", nargs="+")
    command("exec", exec_, "run a command inside the node (bash)").add_argument("word", nargs="*")
    for name, run in (("start", start), ("stop", stop), ("restart", restart)):
        added = command(name, run, f"{name} components: {', '.join(COMPONENTS)}")
        added.add_argument("component", nargs="+", choices=list(COMPONENTS))
        added.add_argument("--kill", action="store_true", help="by SIGKILL")
    return parser


if __name__ == "__main__":
    main()

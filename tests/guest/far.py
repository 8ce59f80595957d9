"""Far end of an interop run over ssh.

The near end passes this program to `python3 -I -c`, and sends one line with an order:
{"directory": PATH, "device": NAME or null, "files": {NAME: TEXT}}. The directory must not exist; the files go
there, and what is run from them listens on PATH/socket. One line comes back: {"device": {...}} or {"problem": TEXT}.

Everything is taken away when standard input ends, or has been silent for a minute: however the near end ended.
"""

import glob
import ipaddress
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time

SILENCE = 60
CLASS = "/sys/class/infiniband"


class Problem(Exception):
    pass


def main():
    order = json.loads(sys.stdin.buffer.readline())
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    os.umask(0o077)
    # Fails if somebody else was here before.
    os.mkdir(order["directory"], 0o700)
    server = None
    try:
        try:
            device = describe(order["device"])
        except Problem as problem:
            say({"problem": str(problem)})
            return
        for name, text in order["files"].items():
            with open(os.path.join(order["directory"], name), "w", encoding="utf-8") as file:
                file.write(text)
        socket = os.path.join(order["directory"], "socket")
        program = os.path.join(order["directory"], "server.py")
        server = subprocess.Popen(
            [sys.executable, "-I", program, socket], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        while not os.path.exists(socket):
            if server.poll() is not None:
                raise SystemExit("the command server ended with %d" % server.returncode)
            time.sleep(0.02)
        say({"device": device})
        watch(server)
    finally:
        if server is not None:
            # Its group: it forks for every connection.
            try:
                os.killpg(server.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            server.wait()
        shutil.rmtree(order["directory"], ignore_errors=True)


def say(message):
    print(json.dumps(message), flush=True)


def watch(server):
    while server.poll() is None:
        readable, _, _ = select.select([0], [], [], SILENCE)
        if not readable or not os.read(0, 4096):
            return


def describe(name):
    """What the near end wants to know of the device, or why it cannot be used."""
    raise_memory_limit()
    try:
        import pyverbs.device  # noqa: F401
    except ImportError as error:
        raise Problem("python3-pyverbs is missing there (%s): 'apt install python3-pyverbs rdma-core'" % error)
    names = sorted(os.listdir(CLASS)) if os.path.isdir(CLASS) else []
    if not names:
        raise Problem(
            "there is no RDMA device: load its driver, or make one of soft-RoCE with"
            " 'modprobe rdma_rxe; rdma link add rxe0 type rxe netdev eth0'"
        )
    if name is None:
        name = next((name for name in names if usable(name)), names[0])
    if name not in names:
        raise Problem("there is no device %s, only %s" % (name, ", ".join(names)))
    layer = read(name, "ports/1/link_layer")
    if layer != "Ethernet":
        raise Problem("port 1 of %s is %s, and RoCE needs Ethernet" % (name, layer or "unknown"))
    if not usable(name):
        raise Problem("port 1 of %s is %s: 'ip link set ... up' on its interface?" % (name, read(name, "ports/1/state")))
    uverbs = [os.path.basename(path) for path in glob.glob("/sys/class/infiniband_verbs/uverbs*") if ibdev(path) == name]
    for node in uverbs:
        if not os.access("/dev/infiniband/" + node, os.R_OK | os.W_OK):
            raise Problem("no access to /dev/infiniband/%s: log in as root, or as a member of its group" % node)
    return {
        "name": name,
        "driver": driver(name),
        "model": read(name, "hca_type") or read(name, "board_id"),
        "firmware": read(name, "fw_ver"),
        "kernel": os.uname().release,
        "gids": gids(name),
    }


def usable(name):
    return read(name, "ports/1/state").endswith("ACTIVE") and read(name, "ports/1/link_layer") == "Ethernet"


def ibdev(path):
    try:
        with open(os.path.join(path, "ibdev"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def driver(name):
    link = os.path.join(CLASS, name, "device", "driver")
    if os.path.exists(link):
        return os.path.basename(os.readlink(link))
    # A device of software has no hardware behind it, but an interface.
    return "rdma_rxe" if os.path.exists(os.path.join(CLASS, name, "parent")) else "unknown"


def gids(name):
    """The GIDs of RoCEv2: index and address."""
    found = []
    types = os.path.join(CLASS, name, "ports/1/gid_attrs/types")
    for index in sorted(map(int, os.listdir(types))) if os.path.isdir(types) else []:
        if read(name, "ports/1/gid_attrs/types/%d" % index) != "RoCE v2":
            continue
        address = ipaddress.IPv6Address(read(name, "ports/1/gids/%d" % index))
        found.append({"index": index, "address": str(address.ipv4_mapped or address)})
    return found


def read(name, attribute):
    try:
        with open(os.path.join(CLASS, name, attribute), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def raise_memory_limit():
    """Registered memory is pinned, which counts against a limit that is small for users."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))


main()

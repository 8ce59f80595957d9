"""Command server of a test guest, or of the far machine of a run over ssh.

Listens on a TCP port, or on a socket of a directory that nobody else may enter. The first line of a connection is a JSON object that says what the connection is for:

{"run": "shell line"}   runs it; answers lines {"out": "text"} while it writes, then {"exit": status}.
                        Closing the connection kills whatever still runs.
{"verbs": "rxe0"}       hands the connection to agent.py: one device context with its objects, remote controlled.

Every connection is a process of its own: a crash of one does not touch the others.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def main(place):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Slow to load on an emulated CPU: once here, not once per connection. On a TCP port, callers wait in the backlog
    # meanwhile.
    global agent
    if place.isdecimal():
        # Dual stack, so that the side that drives us may use either family.
        listener = socket.create_server(("::", int(place)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        import agent
    else:
        import agent

        listener = socket.socket(socket.AF_UNIX)
        listener.bind(place + ".new")
        listener.listen(64)
        os.rename(place + ".new", place)
    print("guest server: listening", flush=True)

    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                serve(connection)
            except (ConnectionError, BrokenPipeError):
                pass
            except Exception:
                traceback.print_exc()
            os._exit(0)
        connection.close()


def serve(connection):
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = connection.makefile("r", encoding="utf-8")
    request = json.loads(lines.readline() or "{}")
    if "run" in request:
        run(connection, request["run"])
    elif "verbs" in request:
        agent.serve(connection, lines, request["verbs"])


def run(connection, command):
    child = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    pipe = child.stdout.fileno()
    os.set_blocking(pipe, False)
    watched = [pipe, connection.fileno()]
    # The end is that the shell has ended, not that its pipe is closed: a program that it left in the
    # background keeps the pipe open.
    while True:
        ended = child.poll() is not None
        readable, _, _ = select.select(watched, [], [], 0 if ended else 0.02)
        if connection.fileno() in readable:
            os.killpg(child.pid, signal.SIGKILL)
            return
        chunk = os.read(pipe, 65536) if pipe in readable else None
        if chunk:
            send(connection, {"out": chunk.decode("utf-8", "replace")})
        elif ended:
            send(connection, {"exit": child.returncode})
            return
        elif chunk == b"":
            watched.remove(pipe)
            pipe = -1


def send(connection, message):
    connection.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])

"""Many clients that are killed at random, against one server that goes on serving."""
import os
import random
import signal
import subprocess
import time

CLIENTS = 50
# What a client in this test does at most before it is killed, and how many live at a time.
LONGEST = 1.5
AT_ONCE = 8


def start(ferroce, program, address, *arguments):
    return subprocess.Popen([ferroce, 'run', '--address', address, '--', program, *arguments],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def descriptors(process):
    return len(os.listdir(f'/proc/{process.pid}/fd'))


def one_that_lives(ferroce, program, address, number):
    """What went wrong with a client that nobody kills, or None."""
    client = start(ferroce, program, address.rsplit('.', 1)[0] + f'.{number}', address, str(number), '20')
    try:
        out, _ = client.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        client.kill()
        return f'a client hangs: {client.communicate()[0]}'
    return None if client.returncode == 0 else f'a client ended with {client.returncode}: {out}'


def storm(ferroce, program, address, seconds):
    """What went wrong, or None."""
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    server = start(ferroce, program, address)
    try:
        if server.stdout.readline().strip() != 'serving':
            return 'the server does not start'
        problem = one_that_lives(ferroce, program, address, 200)
        before = descriptors(server)
        problem = problem or kill_clients(ferroce, program, address, seconds, dice, server)
        problem = problem or one_that_lives(ferroce, program, address, 201)
        # The server gives those up that say nothing for a while.
        deadline = time.monotonic() + 60
        while not problem and descriptors(server) > before:
            if time.monotonic() > deadline:
                problem = f'the server has {descriptors(server)} descriptors, and had {before}'
            time.sleep(0.2)
        if not problem and server.poll() is not None:
            problem = f'the server ended with {server.returncode}'
        return problem and f'{problem} (seed {seed})'
    finally:
        server.send_signal(signal.SIGKILL)
        server.communicate()


def kill_clients(ferroce, program, address, seconds, dice, server):
    """CLIENTS clients at least, for so long at least; each is killed at some time."""
    end, started, alive = time.monotonic() + seconds, 0, []
    base = address.rsplit('.', 1)[0]
    while started < CLIENTS or time.monotonic() < end:
        while len(alive) < AT_ONCE:
            started += 1
            # Several share an address.
            client = start(ferroce, program, f'{base}.{2 + started % 20}', address, str(started), '1000000')
            alive.append((time.monotonic() + dice.uniform(0.05, LONGEST), client))
        time.sleep(0.02)
        for at, client in [entry for entry in alive if entry[0] < time.monotonic() or entry[1].poll() is not None]:
            alive.remove((at, client))
            client.kill()
            out, _ = client.communicate()
            # A client that ends by itself has seen a wrong byte, or nobody served it.
            if client.returncode != -signal.SIGKILL:
                return f'client {started} ended with {client.returncode}: {out}'
        if server.poll() is not None:
            return f'the server ended with {server.returncode}: {server.stdout.read()}'
    for _, client in alive:
        client.kill()
        client.communicate()
    return None

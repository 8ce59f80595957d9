"""Many clients that are killed at random, against one server that goes on serving."""
import os
import random
import signal
import subprocess
import tempfile
import time

CLIENTS = 50
# What a client in this test does at most before it is killed, and how many live at a time.
LONGEST = 1.5
AT_ONCE = 8


class Crowd:
    """A server and its clients, in a directory of their own, so that what they leave can be counted."""

    def __init__(self, ferroce, program, address, directory):
        self.ferroce, self.program, self.address, self.directory = ferroce, program, address, directory
        self.network = address.rsplit('.', 1)[0]

    def start(self, address, *arguments):
        return subprocess.Popen([self.ferroce, 'run', '--address', address, '--', self.program, *arguments],
                                env={**os.environ, 'FERROCE_RUNTIME_DIR': self.directory},
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def client(self, number, seed, rounds):
        return self.start(f'{self.network}.{number}', self.address, str(seed), str(rounds))

    def files(self):
        """What processes made in order to be found, and not only for programs to look at."""
        return {name for name in os.listdir(self.directory) if not name.startswith(('lib-', 'sys-'))}

    def ports(self):
        """UDP sockets at addresses of the crowd."""
        with open('/proc/net/udp') as table:
            addresses = [line.split()[1].split(':')[0] for line in table.readlines()[1:]]
        ours = bytes(int(number) for number in self.network.split('.'))
        return sum(bytes.fromhex(address)[::-1][:3] == ours for address in addresses)


def descriptors(process):
    return len(os.listdir(f'/proc/{process.pid}/fd'))


def one_that_lives(crowd, number):
    """What went wrong with a client that nobody kills, or None."""
    client = crowd.client(number, number, 20)
    try:
        out, _ = client.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        client.kill()
        return f'a client hangs: {client.communicate()[0]}'
    return None if client.returncode == 0 else f'a client ended with {client.returncode}: {out}'


def storm(ferroce, program, address, seconds):
    """What went wrong, or None."""
    seed = random.randrange(1 << 32)
    with tempfile.TemporaryDirectory() as directory:
        crowd = Crowd(ferroce, program, address, directory)
        server = crowd.start(address)
        try:
            if server.stdout.readline().strip() != 'serving':
                return 'the server does not start'
            problem = one_that_lives(crowd, 200)
            # What is there while nobody is but the server.
            before = {'descriptors': descriptors(server), 'UDP sockets': crowd.ports(), 'files': len(crowd.files())}
            problem = problem or kill_clients(crowd, seconds, random.Random(seed), server)
            problem = problem or one_that_lives(crowd, 201) or what_is_left(crowd, server, before)
            if not problem and server.poll() is not None:
                problem = f'the server ended with {server.returncode}'
            return problem and f'{problem} (seed {seed})'
        finally:
            server.send_signal(signal.SIGKILL)
            server.communicate()


def what_is_left(crowd, server, before):
    """What has become more, or None. The server gives clients up that say nothing for a while."""
    deadline = time.monotonic() + 60
    while True:
        now = {'descriptors': descriptors(server), 'UDP sockets': crowd.ports(), 'files': len(crowd.files())}
        more = [f'{now[what]} {what} instead of {before[what]}' for what in now if now[what] > before[what]]
        if not more:
            return None
        if time.monotonic() > deadline:
            return f'there are {", ".join(more)}: {sorted(crowd.files())}'
        time.sleep(0.2)


def kill_clients(crowd, seconds, dice, server):
    """CLIENTS clients at least, for so long at least; each is killed at some time."""
    end, started, alive = time.monotonic() + seconds, 0, []
    while started < CLIENTS or time.monotonic() < end:
        while len(alive) < AT_ONCE:
            started += 1
            # Several share an address.
            client = crowd.client(2 + started % 20, started, 1000000)
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

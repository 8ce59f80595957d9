#!/usr/bin/env python3
"""Unmodified programs of the distribution on Ferroce: tests/run programs.

Each pair of programs is started as a user would, with `ferroce run`, on two loopback addresses that no other pair
has. Both must end well in time. In CI a program that is not installed is a failure, elsewhere it is a skip.
"""
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '../..'))
FERROCE = os.path.join(ROOT, 'target/debug/ferroce')
LIBRARY = os.path.join(ROOT, 'target/debug/libferroce_verbs.so')
CABI = os.path.join(ROOT, 'verbs-api/cabi')
CONFORMANCE = os.path.join(ROOT, 'tests/data/conformance/pyverbs44.tsv')

# How long a pair may take, and how often a client tries whether its server is there yet.
PATIENCE = 90
TRIES = 40

# Server and client; SERVER stands for the server's address, PORT for a TCP port of the pair's own.
PAIRS = [
    ('ibv_rc_pingpong -c -g 0 -p PORT', 'ibv_rc_pingpong -c -g 0 -p PORT SERVER'),
    ('ibv_rc_pingpong -c -e -g 0 -p PORT', 'ibv_rc_pingpong -c -e -g 0 -p PORT SERVER'),
    ('ibv_rc_pingpong -c -t -g 0 -p PORT', 'ibv_rc_pingpong -c -t -g 0 -p PORT SERVER'),
    ('ibv_rc_pingpong -c -N -g 0 -p PORT', 'ibv_rc_pingpong -c -N -g 0 -p PORT SERVER'),
    ('ibv_uc_pingpong -c -g 0 -p PORT', 'ibv_uc_pingpong -c -g 0 -p PORT SERVER'),
    ('ibv_ud_pingpong -c -e -g 0 -p PORT', 'ibv_ud_pingpong -c -e -g 0 -p PORT SERVER'),
    ('ibv_srq_pingpong -c -e -g 0 -p PORT', 'ibv_srq_pingpong -c -e -g 0 -p PORT SERVER'),
    ('ib_send_bw -n 100 -p PORT', 'ib_send_bw -n 100 -p PORT SERVER'),
    ('ib_send_bw -c UD -n 100 -p PORT', 'ib_send_bw -c UD -n 100 -p PORT SERVER'),
    ('ib_send_lat -n 100 -p PORT', 'ib_send_lat -n 100 -p PORT SERVER'),
    ('ib_write_bw -n 20 -s 8388608 -p PORT', 'ib_write_bw -n 20 -s 8388608 -p PORT SERVER'),
    ('ib_write_bw -n 50 -q 16 -b -p PORT', 'ib_write_bw -n 50 -q 16 -b -p PORT SERVER'),
    ('ib_read_bw -n 100 -e -p PORT', 'ib_read_bw -n 100 -e -p PORT SERVER'),
    ('ib_read_lat -n 100 -p PORT', 'ib_read_lat -n 100 -p PORT SERVER'),
    ('ib_atomic_bw -n 100 -p PORT', 'ib_atomic_bw -n 100 -p PORT SERVER'),
    ('ib_atomic_lat -n 100 -p PORT', 'ib_atomic_lat -n 100 -p PORT SERVER'),
    ('ucmatose -b SERVER -C 10 -S 1000', 'ucmatose -s SERVER -C 10 -S 1000'),
    ('rdma_server', 'rdma_client -s SERVER'),
    ('udaddy -b SERVER', 'udaddy -s SERVER'),
]

# Where packets get lost only what is reliable arrives.
LOSSY = [pair for pair in PAIRS if re.search('rc_pingpong -c -g|ib_send_bw -n|read_bw|atomic_bw|ucmatose', pair[0])]

counts = {'passed': 0, 'failed': 0, 'skipped': 0}
numbers = itertools.count(1)


def verdict(how, name, why=''):
    counts[how] += 1
    mark = {'passed': 'ok   ', 'failed': 'FAIL ', 'skipped': 'skip '}[how]
    print(f'{mark} {name}' + (f': {why}' if why else ''), flush=True)


def missing(program):
    """Whether a program is not there, which is counted."""
    if shutil.which(program):
        return False
    how = 'failed' if os.environ.get('CI') == 'true' else 'skipped'
    verdict(how, program, 'not installed; `tests/run` as root installs it')
    return True


def run(address, command, *options):
    """Starts a program on Ferroce, in a process group of its own."""
    return subprocess.Popen(
        [FERROCE, 'run', '--address', address, *options, '--', *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors='replace', start_new_session=True)


def finish(process, deadline):
    """Its exit status and what it said; None for the status if it had to be killed."""
    try:
        out, _ = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        return process.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[0]


def tail(text):
    return '\n'.join('      ' + line for line in text.strip().splitlines()[-8:])


def pair(server, client, *options):
    number = next(numbers)
    name = client + (f' with {" ".join(options)}' if options else '')
    if missing(server.split()[0]):
        return
    block = f'127.{77 + os.getpid() % 100}.{number}'
    place = {'SERVER': f'{block}.1', 'PORT': str(20000 + os.getpid() % 200 * 100 + number)}
    fill = lambda command: [place.get(word, word) for word in command.split()]
    deadline = time.monotonic() + PATIENCE
    waiting = run(f'{block}.1', fill(server), *options)
    for _ in range(TRIES):
        status, out = finish(run(f'{block}.2', fill(client), *options), deadline)
        # A client that found nobody ends at once, and the server goes on waiting.
        if status in (0, None) or waiting.poll() is not None:
            break
        time.sleep(0.25)
    server_status, server_out = finish(waiting, deadline if status == 0 else time.monotonic() + 1)
    if (status, server_status) == (0, 0):
        verdict('passed', name)
    else:
        verdict('failed', name, f'client {status}, server {server_status}\n{tail(out)}\n      --\n{tail(server_out)}')


def single(name, command, check):
    if missing(command[0]):
        return
    status, out = finish(run('127.0.0.1', command), time.monotonic() + PATIENCE)
    problem = check(status, out)
    verdict('failed' if problem else 'passed', name, f'{problem}\n{tail(out)}' if problem else '')


def versions():
    """Every symbol has the version that the original libraries give it."""
    wanted, version = set(), None
    for line in open(os.path.join(CABI, 'exports.map')):
        if match := re.match(r'(\w[\w.]*) \{', line):
            version = match[1]
        elif match := re.match(r'\s+(\w+);', line):
            wanted.add((match[1], version))
    listing = subprocess.run(['nm', '-D', '--defined-only', LIBRARY], capture_output=True, text=True, check=True)
    found = set(re.findall(r'(\w+)@@((?:IBVERBS|RDMACM)_[\w.]+)', listing.stdout))
    found = {(name, version) for name, version in found if name != version}
    if wanted == found:
        return verdict('passed', f'{len(found)} exported names have their versions')
    verdict('failed', 'versions of exported names', f'missing {wanted - found}, too many {found - wanted}')


def conformance(update):
    """rdma-core's own tests: each ends as the table says, which also tells how kernel soft-RoCE does."""
    if not os.path.isdir('/usr/share/doc/rdma-core/tests') or missing('/usr/bin/python3'):
        how = 'failed' if os.environ.get('CI') == 'true' else 'skipped'
        return verdict(how, "rdma-core's tests", 'not installed: rdma-core, python3-pyverbs')
    suite = os.path.join(ROOT, 'tests/programs/suite.py')
    command = ['/usr/bin/python3', '-W', 'ignore', suite, '--dev', 'ferroce0']
    _, out = finish(run('127.0.0.1', command), time.monotonic() + 240)
    rows = [line.split('\t') for line in out.splitlines() if line.count('\t') == 2]
    seen = {test: how for test, how, _ in rows}
    header, *lines = open(CONFORMANCE).read().splitlines()
    table = [line.split('\t') for line in lines]
    if update:
        with open(CONFORMANCE, 'w') as file:
            print(header, file=file)
            for test, old, new, was in table:
                print(test, old, new, seen.get(test, was), sep='\t', file=file)
        return
    wrong = [f'{test}: {seen.get(test)} instead of {ours}' for test, _, _, ours in table if seen.get(test) != ours]
    score = lambda column: sum(row[column] == 'ok' for row in table)
    what = f"rdma-core's tests: {score(3)} of {len(table)} pass (kernel soft-RoCE: {score(2)})"
    verdict('failed' if wrong else 'passed', what, '\n      '.join(wrong))


def main():
    if '--update' in sys.argv:
        return conformance(True)
    versions()
    single('ibv_devices', ['ibv_devices'],
           lambda status, out: None if status == 0 and 'ferroce0' in out else f'exit status {status}')
    single('ibv_devinfo -v', ['ibv_devinfo', '-v'],
           lambda status, out: None if 'PORT_ACTIVE' in out and 'RoCE v2' in out else f'exit status {status}')
    single('ucx_info -d', ['ucx_info', '-d'],
           lambda status, out: None if 'rc_verbs' in out and 'ud_verbs' in out else 'no verbs transports')
    for server, client in PAIRS:
        pair(server, client)
    for server, client in LOSSY:
        pair(server, client, '--drop', '2%')
    conformance(False)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(counts['failed'] > 0)


main()

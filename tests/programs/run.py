#!/usr/bin/env python3
"""Unmodified programs on Ferroce: tests/run programs.

Programs are started as a user would, with `ferroce run`, each pair of them on two loopback addresses that no other pair
has. Both must end well in time. What programs.py does not mark as long runs always, and everything with --full, then
also with losses. In CI a program that is not installed is a failure, elsewhere it is a skip.
"""
import filecmp
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import crowd
from programs import PAIRS

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '../..'))
FERROCE = os.path.join(ROOT, 'target/debug/ferroce')
LIBRARY = os.path.join(ROOT, 'target/debug/libferroce_verbs.so')
CABI = os.path.join(ROOT, 'verbs-api/cabi')
CONFORMANCE = os.path.join(ROOT, 'tests/data/conformance/pyverbs44.tsv')
SOURCES = os.path.join(ROOT, 'tests/programs/c')

FULL = '--full' in sys.argv
# How long a pair may take, and how often a client tries whether its server is there yet.
PATIENCE = 240 if FULL else 90
TRIES = 60
# Pairs at once. Many of them sleep.
WORKERS = 3
# Packets of others go through shared memory, theirs by UDP.
LOSS = ('--drop', '2%', '--no-shared-memory')
# How often a pair is begun whose end was chance.
BEGINNINGS = 6
# With -R perftest listens twice on one port. A client that is faster than its server's second call is refused for good,
# and the next client takes the second listener for the first: the two wait for each other.
TOO_EARLY = 'Unexpected CM event|Failed to create RDMA CM connection'
# Who says the last word never learns that it was heard if the answer is lost and the other side has gone, on any NIC.
UNHEARD = 'transport retry counter exceeded|Failed status 12:'

counts = {'passed': 0, 'failed': 0, 'skipped': 0}
numbers = itertools.count(1)
telling = threading.Lock()


def verdict(how, name, why=''):
    mark = {'passed': 'ok   ', 'failed': 'FAIL ', 'skipped': 'skip '}[how]
    with telling:
        counts[how] += 1
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
    where = ['--address', address] if address else []
    return subprocess.Popen(
        [FERROCE, 'run', *where, *options, '--', *command],
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
    """The end of what a program said, and before that what it complained about."""
    lines = text.strip().splitlines()
    complaints = [line for line in lines[:-8] if re.search('rror|ailed|nable', line)]
    return '\n'.join('      ' + line for line in complaints[-4:] + lines[-8:])


def outside_address():
    """An address of this machine's that is not for loopback; None if there is none."""
    listing = subprocess.run(['hostname', '-I'], capture_output=True, text=True).stdout
    return next((word for word in listing.split() if '.' in word), None)


def addresses(pair, number):
    """Where to find the server, and the addresses of server and client; None stands for the usual one."""
    if pair.outside:
        return outside_address(), None, None
    block = f'127.{77 + os.getpid() % 100}.{number}'
    return f'{block}.1', f'{block}.1', f'{block}.2'


def pair(pair, *options):
    number = next(numbers)
    options = (*pair.options, *options)
    name = pair.name + (f' with {" ".join(options)}' if options else '')
    server, at_server, at_client = addresses(pair, number)
    if missing(pair.program):
        return
    if server is None:
        return verdict('skipped', name, 'this machine has only loopback addresses')
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, 'file')
        port = str(20000 + os.getpid() % 100 * 200 + number)
        place = {'SERVER': server, 'CLIENT': at_client, 'PORT': port, 'FILE': file}
        fill = lambda command: [re.sub('SERVER|CLIENT|PORT|FILE', lambda found: place[found[0]], word)
                                for word in shlex.split(command)]
        commands = fill(pair.server), fill(pair.client or pair.server + ' SERVER')
        for beginning in range(BEGINNINGS):
            # The client comes the later, the more often it came too early.
            client, served = once(pair, commands, (at_server, at_client), options, beginning)
            if not was_chance(client, served, options):
                break
        copied = not pair.copies or (os.path.exists(file) and filecmp.cmp(pair.copies, file, shallow=False))
    if (client[0], served[0], copied) == (0, 0, True):
        verdict('passed', name)
    else:
        what = f'client {client[0]}, server {served[0]}' + ('' if copied else ', and the copy is not the same')
        verdict('failed', name, f'{what}\n{tail(client[1])}\n      --\n{tail(served[1])}')


def once(pair, commands, places, options, delay):
    """Runs a server and its client; of each the exit status and what it said."""
    deadline = time.monotonic() + PATIENCE
    waiting = run(places[0], commands[0], *options)
    time.sleep(delay)
    for _ in range(TRIES):
        client = finish(run(places[1], commands[1], *options), deadline)
        # A client that found nobody ends at once, and the server goes on waiting.
        if client[0] in (0, None) or waiting.poll() is not None or re.search(TOO_EARLY, client[1]):
            break
        time.sleep(0.25)
    return client, finish_server(waiting, pair, deadline if client[0] == 0 else time.monotonic() + 1)


def was_chance(client, served, options):
    """Whether a pair ended badly for a reason that is no fault of the NIC's, so that it is to be run again."""
    if re.search(TOO_EARLY, client[1]):
        return True
    unheard = any(other[0] == 0 and one[0] != 0 and re.search(UNHEARD, one[1])
                  for one, other in ((client, served), (served, client)))
    return '--drop' in options and unheard


def finish_server(process, pair, deadline):
    """The same for a server, which may be one that has to be told."""
    if not pair.stays:
        return finish(process, deadline)
    time.sleep(0.5)
    alive = process.poll() is None
    os.killpg(process.pid, signal.SIGTERM)
    status, out = finish(process, time.monotonic() + 5)
    return (0 if alive else status), out


def single(name, command, check, *options, address='127.0.0.1'):
    if missing(command[0]):
        return
    status, out = finish(run(address, command, *options), time.monotonic() + PATIENCE)
    problem = check(status, out)
    verdict('failed' if problem else 'passed', name, f'{problem}\n{tail(out)}' if problem else '')


def went_well(status, out):
    return None if status == 0 else f'exit status {status}'


def compiled(name, *libraries):
    """A C program of the tests; None, and it is counted, if it does not compile."""
    to = os.path.join(ROOT, 'target/debug', f'test-{name}')
    if missing('cc'):
        return None
    command = ['cc', '-Wall', '-Wextra', '-Werror', '-O1', '-g', '-o', to,
               os.path.join(SOURCES, f'{name}.c'), *libraries, '-lpthread']
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return to
    verdict('failed', f'{name}.c', f'does not compile (Debian: libibverbs-dev, librdmacm-dev)\n{tail(done.stderr)}')
    return None


def own_programs():
    """C programs of the tests, linked against Ferroce itself or against the distribution's libraries."""
    block = f'127.{77 + os.getpid() % 100}.250'
    for options in ((), LOSS):
        how = ' with losses' if options else ''
        if program := compiled('together', LIBRARY):
            single('together.c' + how, [program], went_well, *options, address=f'{block}.1')
        if program := compiled('misuse', '-libverbs', '-lrdmacm'):
            single('misuse.c' + how, [program, f'{block}.2'], went_well, *options, address=f'{block}.2')
        if program := compiled('placement', LIBRARY):
            single('placement.c' + how, [program], went_well, '--placement', *options, address=f'{block}.3')
            single('placement.c on a device without' + how, [program, 'without'], went_well, *options, address=f'{block}.3')
    # Without losses: nobody is there any more to acknowledge again.
    if program := compiled('farewell', '-libverbs'):
        for options in ((), ('--no-shared-memory',)):
            single('farewell.c' + ' over UDP' * bool(options), [program], went_well, *options, address=f'{block}.4')
    # Not meanwhile: it runs one of the same files.
    contained()


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
    # Both ends are Ferroce's, so that they can have what few peers know.
    _, out = finish(run('127.0.0.1', command, '--placement'), time.monotonic() + 240)
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


def alone():
    single('ibv_devices', ['ibv_devices'],
           lambda status, out: None if status == 0 and 'ferroce0' in out else f'exit status {status}')
    single('ibv_devinfo -v', ['ibv_devinfo', '-v'],
           lambda status, out: None if 'PORT_ACTIVE' in out and 'RoCE v2' in out else f'exit status {status}')
    single('ucx_info -d', ['ucx_info', '-d'],
           lambda status, out: None if 'rc_verbs' in out and 'ud_verbs' in out else 'no verbs transports')


def multicast():
    """Nobody tells mckey's sender whether anybody listens, so it is started until the receiver has all that it expects."""
    if missing('mckey'):
        return
    block, group = f'127.{77 + os.getpid() % 100}.252', f'239.77.{os.getpid() % 256}.1'
    receiver = run(f'{block}.1', ['mckey', '-m', group, '-b', f'{block}.1'])
    deadline, sent = time.monotonic() + PATIENCE, (0, '')
    while receiver.poll() is None and sent[0] == 0 and time.monotonic() < deadline:
        sent = finish(run(f'{block}.2', ['mckey', '-s', '-m', group, '-b', f'{block}.2']), deadline)
    status, out = finish(receiver, time.monotonic() + 1)
    fine = (status, sent[0]) == (0, 0)
    verdict('passed' if fine else 'failed', 'mckey', '' if fine else f'{status}, {sent[0]}\n{tail(out)}\n      --\n{tail(sent[1])}')


def directory_as_told():
    """Everything that runs make lies in the directory that they are told, wherever programs go."""
    with tempfile.TemporaryDirectory() as directory:
        above, name = os.path.split(directory)
        print_all = ['sh', '-c', 'echo $FERROCE_RUNTIME_DIR $FERROCE_SYSFS $LD_PRELOAD']
        out = subprocess.run([FERROCE, 'run', '--address', '127.0.0.1', '--', *print_all], cwd=above,
                             env={**os.environ, 'FERROCE_RUNTIME_DIR': name}, capture_output=True, text=True).stdout
        elsewhere = [word for word in re.split('[ :]', out.strip()) if not word.startswith(directory)]
    verdict('passed' if out and not elsewhere else 'failed', 'FERROCE_RUNTIME_DIR', ' '.join(elsewhere))


def contained():
    """What the book shows for containers and CI: no privileges, a network of its own, in the beginning not even up."""
    name = 'in a container without privileges: C, Python, a server and its client'
    container = ['unshare', '--user', '--map-root-user', '--net', '--pid', '--fork', '--kill-child']
    probe = subprocess.run([*container, 'true'], capture_output=True, text=True)
    if probe.returncode != 0:
        how = 'failed' if os.environ.get('CI') == 'true' else 'skipped'
        return verdict(how, name, f'no such namespaces here: {probe.stderr.strip()}; as root, `sysctl -w '
                       'kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0` allows them')
    program = compiled('together', LIBRARY)
    if not program:
        return
    process = subprocess.Popen(
        [*container, 'sh', '-e', os.path.join(ROOT, 'tests/programs/container.sh'), FERROCE, program],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True)
    status, out = finish(process, time.monotonic() + PATIENCE)
    verdict('passed' if status == 0 else 'failed', name, '' if status == 0 else f'exit status {status}\n{tail(out)}')


def crowded():
    if program := compiled('crowd', '-libverbs', '-lrdmacm'):
        seconds = 60 if FULL else 6
        problem = crowd.storm(FERROCE, program, f'127.{77 + os.getpid() % 100}.251.1', seconds)
        name = f'50 clients, killed at random for {seconds} seconds'
        verdict('failed' if problem else 'passed', name, problem or '')


def main():
    if '--update' in sys.argv:
        return conformance(True)
    only = [word for word in sys.argv[1:] if not word.startswith('--')]
    jobs = [(pair, each) for each in PAIRS if FULL or not each.full]
    jobs += [(pair, each, *LOSS) for each in PAIRS if (each.reliable and FULL) or each.lossy]
    jobs += [(pair, each, '--no-shared-memory') for each in PAIRS if FULL]
    jobs = [job for job in jobs if all(word in job[1].name for word in only)]
    if not only:
        versions()
        jobs = [(alone,), (directory_as_told,), (multicast,), (conformance, False), (own_programs,), *jobs]
    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(*job) for job in jobs]:
            done.result()
    if not only:
        crowded()
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(counts['failed'] > 0)


main()

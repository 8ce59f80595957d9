"""The programs of the distribution that tests/run programs runs.

Of each pair the server is named first, and the client is the same command with the server's address unless it is named
too. In commands SERVER and CLIENT stand for the addresses, PORT for a TCP port of the pair's own, FILE for a file of
the pair's own.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    server: str
    client: str = ''
    # Nothing it sends is lost for good, so that it must end the same way where packets get lost.
    reliable: bool = True
    # Runs with losses even if not everything does.
    lossy: bool = False
    # The server goes on when its client is done.
    stays: bool = False
    # Only when everything is to be run.
    full: bool = False
    # The address must not be a loopback address.
    outside: bool = False
    # Options of `ferroce run`.
    options: tuple = ()
    # The program, if it is not the first word.
    needs: str = ''
    # What must be in FILE in the end: this file's bytes.
    copies: str = ''

    @property
    def name(self):
        return self.client or self.server + ' SERVER'

    @property
    def program(self):
        words = self.server.split()
        return self.needs or next(word for word in words if word != 'env' and '=' not in word)


def pingpongs():
    for program in ('rc', 'uc', 'srq'):
        yield Pair(f'ibv_{program}_pingpong -c -g 0 -p PORT', reliable=program != 'uc', lossy=program == 'rc')
        yield Pair(f'ibv_{program}_pingpong -c -e -g 0 -p PORT', reliable=program != 'uc', full=program != 'srq')
    yield Pair('ibv_rc_pingpong -c -t -g 0 -p PORT')
    yield Pair('ibv_rc_pingpong -c -N -g 0 -p PORT')
    yield Pair('ibv_rc_pingpong -c -o -g 0 -p PORT', full=True)
    yield Pair('ibv_rc_pingpong -c -j -N -g 0 -p PORT', full=True)
    yield Pair('ibv_ud_pingpong -c -e -g 0 -p PORT', reliable=False)
    yield Pair('ibv_ud_pingpong -c -g 0 -p PORT', reliable=False, full=True)
    yield Pair('ibv_xsrq_pingpong -g 0 -p PORT', lossy=True)
    yield Pair('ibv_xsrq_pingpong -e -g 0 -p PORT', full=True)


def perftest():
    usual = {'ib_send_bw -c RC', 'ib_send_bw -c XRC', 'ib_send_lat -c UD', 'ib_write_lat -c UC', 'ib_read_bw -c RC', 'ib_atomic_lat -c RC'}
    lossy = {'ib_send_bw -c RC', 'ib_read_bw -c RC', 'ib_atomic_lat -c RC'}
    services = {'send': ('RC', 'UC', 'UD', 'XRC'), 'write': ('RC', 'UC', 'XRC'), 'read': ('RC', 'XRC'), 'atomic': ('RC', 'XRC')}
    for operation in services:
        for kind in ('bw', 'lat'):
            for service in services[operation]:
                base = f'ib_{operation}_{kind} -c {service}'
                yield Pair(f'{base} -n 100 -p PORT', reliable=service in ('RC', 'XRC'), lossy=base in lossy,
                           full=base not in usual)
                if service == 'RC':
                    if operation != 'write':
                        yield Pair(f'{base} -e -n 100 -p PORT', full=operation != 'send')
                    yield Pair(f'{base} -R -n 100 -p PORT', full=operation not in ('send', 'atomic'))
            if kind == 'bw':
                many = f'ib_{operation}_bw -q 16 -n 50'
                yield Pair(f'{many} -p PORT', full=operation != 'read')
                yield Pair(f'{many} -b -p PORT', full=operation != 'write')
                yield Pair(f'ib_{operation}_bw -D 1 -p PORT', full=operation != 'send')
                if operation != 'atomic':
                    yield Pair(f'ib_{operation}_bw -s 8388608 -n 5 -p PORT', full=operation != 'write')
                    yield Pair(f'ib_{operation}_bw -a -n 5 -p PORT', full=True)
    yield Pair('ib_send_bw --use-srq -n 100 -p PORT', full=True)
    yield Pair('ib_send_bw -c UD -R -n 100 -p PORT', reliable=False, full=True)
    yield Pair('ib_atomic_bw -A CMP_AND_SWAP -n 100 -p PORT', full=True)
    # It does more on models that it knows.
    yield Pair('ib_write_bw -n 100 -p PORT', options=('--part-id', '4119'))


def rdmacm():
    yield Pair('rping -s -a SERVER -C 10 -V', 'rping -c -a SERVER -C 10 -V', lossy=True)
    yield Pair('ucmatose -b SERVER -C 10 -S 1000', 'ucmatose -s SERVER -C 10 -S 1000', lossy=True)
    yield Pair('udaddy -b SERVER', 'udaddy -s SERVER', reliable=False)
    yield Pair('rdma_server -p PORT', 'rdma_client -s SERVER -p PORT', lossy=True)
    yield Pair('rdma_xserver -p PORT', 'rdma_xclient -s SERVER -p PORT')
    yield Pair('rdma_xserver -c x -p PORT', 'rdma_xclient -c x -s SERVER -p PORT', lossy=True)
    yield Pair('cmtime -b SERVER', 'cmtime -s SERVER -c 20', stays=True, full=True)


def rsockets():
    size = '-S 65536 -C 20'
    yield Pair(f'rstream -b SERVER {size}', f'rstream -s SERVER {size}', lossy=True)
    for kind in 'abnfv':
        yield Pair(f'rstream -b SERVER -T {kind} {size}', f'rstream -s SERVER -T {kind} {size}', full=kind in 'nv')
    for kind in ('', '-T b ', '-T n '):
        yield Pair(f'riostream -b SERVER {kind}{size}', f'riostream -s SERVER {kind}{size}', lossy=not kind,
                   full=bool(kind))
    yield Pair('udpong -b SERVER -C 20', 'udpong -s SERVER -C 20', stays=True, reliable=False)
    # An ordinary sockets program, over RDMA.
    yield Pair('sh -c "nc.traditional -l -p PORT -q 1 < /etc/services"', 'sh -c "nc.traditional SERVER PORT > FILE"',
               lossy=True, options=('--sockets',), copies='/etc/services', needs='nc.traditional')
    yield Pair('rcopy', 'rcopy /etc/services SERVER:FILE', stays=True, copies='/etc/services', lossy=True)


def libraries():
    for transport, test in (
            ('rc_verbs', 'put_lat'), ('rc_verbs', 'get -D bcopy'), ('rc_verbs', 'fadd'), ('rc_verbs', 'cswap'),
            ('rc_verbs', 'am_lat'), ('ud_verbs', 'am_lat'), ('ud_verbs', 'am_bw')):
        yield Pair(f'ucx_perftest -d ferroce0:1 -x {transport} -t {test} -n 100 -w 10 -p PORT',
                   full=test in ('cswap', 'am_bw'))
    for transport in ('rc_v', 'ud_v'):
        env = f'env UCX_TLS={transport} UCX_NET_DEVICES=ferroce0:1 ucx_perftest -n 50 -w 5 -p PORT'
        for test in ('tag_lat', 'tag_bw -s 200000', 'ucp_put_bw', 'ucp_get', 'ucp_fadd', 'ucp_am_lat', 'stream_bw'):
            yield Pair(f'{env} -t {test}', lossy=test == 'tag_lat', full=test not in ('tag_lat', 'ucp_am_lat', 'ucp_fadd'))
    yield Pair('qperf -lp PORT', 'qperf -lp PORT SERVER -cm1 -t 1 rc_lat rc_bw quit')
    for kind in ('msg', 'dgram'):
        # It does not look at loopback interfaces, and both sides use TCP ports of their own.
        yield Pair(f'fi_pingpong -p verbs -e {kind} -I 20 -B PORT', f'fi_pingpong -p verbs -e {kind} -I 20 -P PORT SERVER',
                   outside=True, full=kind == 'dgram', reliable=kind == 'msg')


def others():
    fio = 'fio --name=x --ioengine=rdma --port=PORT --bs=64k --size=4m --iodepth=8'
    for verb in ('write', 'read'):
        yield Pair(f'{fio} --rw=read', f'{fio} --rw=write --verb={verb} --hostname=SERVER', full=True)
    # uDAPL is told by a file which address is whose, and ends with 0 in any case. Of this program only one pair can run
    # at a time, because its TCP port is always the same: not with losses besides.
    provider = 'dapl u2.0 nonthreadsafe default libdaplofa.so.2 dapl.2.0'
    dtest = ('sh -c "echo \'{0} \\"{1} 0\\" \\"\\"\' > FILE.{1}; '
             'DAT_OVERRIDE=FILE.{1} dtest -P dapl -b 4096 -B 50 {2} | tee FILE.{1}.out; grep -q PASSED FILE.{1}.out"')
    yield Pair(dtest.format(provider, 'SERVER', ''), dtest.format(provider, 'CLIENT', '-h SERVER'), needs='dtest',
               full=True, reliable=False)


PAIRS = [*pingpongs(), *perftest(), *rdmacm(), *rsockets(), *libraries(), *others()]

"""Runs rdma-core's own tests of pyverbs, as Debian ships them, on the device that it is told.

The tests are untouched. Only where they would ask the kernel for the network interface of a device, which ours has
none of, the address is taken from the GID instead. For each test a line is printed: its name, ok, skip or fail, and why.
"""
import gzip
import importlib.util
import os
import shutil
import sys
import tempfile
import unittest

SHIPPED = '/usr/share/doc/rdma-core/tests'
# Tests of other vendors' extensions.
FOREIGN = ('mlx5', 'efa', 'cuda')


def unpack(to):
    for name in os.listdir(SHIPPED):
        source = os.path.join(SHIPPED, name)
        if name.endswith('.gz'):
            with gzip.open(source) as packed, open(os.path.join(to, name[:-3]), 'wb') as plain:
                shutil.copyfileobj(packed, plain)
        else:
            shutil.copy(source, to)


def load(directory):
    sys.path.insert(0, directory)
    init = os.path.join(directory, '__init__.py')
    spec = importlib.util.spec_from_file_location('tests', init, submodule_search_locations=[directory])
    module = importlib.util.module_from_spec(spec)
    sys.modules['tests'] = module
    spec.loader.exec_module(module)
    return module


def address_from_gid(self, dev, port, idx):
    import pyverbs.device as d
    with d.Context(name=dev) as ctx:
        words = ctx.query_gid(port, idx).gid.split(':')
    address = None
    if words[:6] == ['0000'] * 5 + ['ffff']:
        octets = [int(word[at:at + 2], 16) for word in words[6:] for at in (0, 2)]
        address = '.'.join(map(str, octets))
    self.args.append([dev, port, idx, address, None])


class Lines(unittest.TestResult):
    def tell(self, test, how, why=''):
        why = ' '.join(str(why).split())
        print(test.id().removeprefix('tests.'), how, why, sep='\t', flush=True)

    def addSuccess(self, test):
        self.tell(test, 'ok')

    def addSkip(self, test, reason):
        self.tell(test, 'skip', reason)

    def addFailure(self, test, err):
        self.tell(test, 'fail', err[1])

    addError = addFailure


def generic(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from generic(item)
        elif not any(name in item.id() for name in FOREIGN):
            yield item


def main():
    with tempfile.TemporaryDirectory() as root:
        directory = os.path.join(root, 'tests')
        os.mkdir(directory)
        unpack(directory)
        module = load(directory)
        from args_parser import parser
        parser.parse_args()
        import tests.base
        tests.base.RDMATestCase._get_ip_mac = address_from_gid
        wanted = [test for test in generic(unittest.defaultTestLoader.loadTestsFromModule(module))
                  if not os.environ.get('ONLY') or os.environ['ONLY'] in test.id()]
        unittest.TestSuite(wanted).run(Lines())


main()

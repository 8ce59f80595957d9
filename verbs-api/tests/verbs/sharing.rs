//! Several NICs on one address, as several processes have them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ferroce::cm::{CmError, ConnParam, Manager};
use ferroce::{Access, CompletionQueue, Context, ProtectionDomain, QueuePair};

use super::common::{PATIENCE, good};

/// A NIC with what a connection needs.
struct Program {
    context: Context,
    manager: Manager,
    pd: ProtectionDomain,
    cq: CompletionQueue,
}

impl Program {
    fn new(address: IpAddr) -> Program {
        let context = Context::open(address).unwrap();
        let (manager, pd) = (Manager::of(&context), context.protection_domain().unwrap());
        let cq = context.completion_queue(16).unwrap();
        Program { context, manager, pd, cq }
    }

    fn queue_pair(&self) -> QueuePair {
        self.pd.queue_pair(&self.cq).build().unwrap()
    }
}

#[test]
fn requests_find_who_listens_and_a_port_is_one_programs_alone() {
    let [_, b, c, _] = (std::process::id() << 8).to_be_bytes();
    let address = IpAddr::V4(Ipv4Addr::new(127, 1 + b % 250, c, 253));
    // The kernel gives requests to the first.
    let first = Program::new(address);
    let server = Program::new(address);
    let client = Program::new(address);
    let listener = server.manager.listen((address, 0).into(), 8).unwrap();
    let port: SocketAddr = (address, listener.local_addr().port()).into();
    for other in [&first, &client] {
        assert_eq!(other.manager.listen(port, 8).err(), Some(CmError::AddressInUse(port)));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let request = listener.next(PATIENCE).unwrap();
            let qp = server.queue_pair();
            let memory = server.pd.register(64, Access::LOCAL_WRITE).unwrap();
            qp.receive(7, &[memory.sge()]).unwrap();
            let connection = request.accept(&qp, &ConnParam::default(), PATIENCE).unwrap();
            assert_eq!(good(&server.cq).wr_id, 7);
            connection.disconnect().unwrap();
        });
        let dialled = client.manager.dial(port).unwrap();
        let qp = client.queue_pair();
        let connection = dialled.connect(&qp, &ConnParam::default(), PATIENCE).unwrap();
        let memory = client.pd.register(64, Access::LOCAL_WRITE).unwrap();
        qp.post().send(1, &[memory.slice(..)]).submit().unwrap();
        good(&client.cq);
        connection.ended(PATIENCE).unwrap();
    });
    assert!(first.context.link_counters().rx_handed_over > 0, "the request came to the first");
    drop(listener);
    drop(client.manager.listen(port, 8).unwrap());
    // Who dies gives up its ports too.
    let again = first.manager.listen(port, 8).unwrap();
    drop(again);
    drop(first);
    server.manager.listen(port, 8).unwrap();
}

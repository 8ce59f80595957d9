//! The same verbs on real sockets.

use ferroce::{Endpoint, IcrcMode, RemoteMemory};

use crate::common::{good, socket_pair};

#[test]
fn everything_works_over_loopback() {
    let (a, b) = socket_pair();
    b.qp.receive(1, &[b.memory.slice(..1000)]).unwrap();
    a.memory.write(0, &[7; 1000]);
    a.qp.post()
        .send(2, &[a.memory.slice(..1000)])
        .write(3, &[a.memory.slice(..)], b.memory.remote())
        .read(4, &[a.memory.slice(2000..3000)], b.memory.remote())
        .submit()
        .unwrap();
    assert_eq!(good(&b.cq).byte_len, 1000);
    let sent = [good(&a.cq), good(&a.cq), good(&a.cq)].map(|wc| wc.wr_id);
    assert_eq!(sent, [2, 3, 4]);
    assert_eq!(a.memory.to_vec(2000..3000), [7; 1000]);
    let counters = a.context.link_counters();
    assert!(counters.tx_packets > 0 && counters.rx_packets > 0);
    let port = &a.context.link_info().ports[0];
    assert!(port.icrc == IcrcMode::Full || port.icrc_reason.is_some(), "a partial check has a reason");
}

#[test]
fn endpoints_travel_over_tcp() {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};

    let (a, b) = socket_pair();
    let (a_qp, b_qp) = (a.pd.queue_pair(&a.cq).build().unwrap(), b.pd.queue_pair(&b.cq).build().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            writeln!(stream, "{}\n{}", b_qp.endpoint(), b.memory.remote()).unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            b_qp.connect(&line.parse().unwrap()).unwrap();
        });
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        writeln!(stream, "{}", a_qp.endpoint()).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        let endpoint: Endpoint = lines.next().unwrap().parse().unwrap();
        let memory: RemoteMemory = lines.next().unwrap().parse().unwrap();
        a_qp.connect(&endpoint).unwrap();
        a.memory.write(0, b"over the wire");
        a_qp.post().write(1, &[a.memory.slice(..13)], memory.at(100)).submit().unwrap();
        good(&a.cq);
    });
    assert_eq!(b.memory.to_vec(100..113), b"over the wire");
}

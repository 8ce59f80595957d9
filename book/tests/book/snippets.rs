//! Code that pages show. Each snippet is what stands between two ANCHOR lines.

use std::time::Duration;

use ferroce_engine::*;
use ferroce_fabric::*;

#[test]
fn a_nic_as_a_value() -> Result<(), VerbsError> {
    // ANCHOR: value
    let config = DeviceConfig::new("ferroce0", ["192.0.2.1".parse().unwrap()]);
    let mut nic = Device::new(config, 7, NoTrace);
    let pd = nic.alloc_pd()?;
    let cq = nic.create_cq(16)?;

    // The same seed and the same calls give the same NIC.
    let copy = nic.clone();
    let buffer = Buffer::new(4096);
    let one = nic.reg_mr(pd, MrInit::new(&buffer, Access::REMOTE_WRITE | Access::LOCAL_WRITE))?;
    let two = copy.clone().reg_mr(pd, MrInit::new(&buffer, Access::REMOTE_WRITE | Access::LOCAL_WRITE))?;
    assert_eq!(one.rkey, two.rkey);
    // ANCHOR_END: value
    assert_eq!(nic.poll_cq(cq, &mut [])?, 0);
    Ok(())
}

#[test]
fn a_message_survives_a_loss() -> Result<(), VerbsError> {
    let mut fabric: Fabric = Fabric::new(7);
    let ends = ["left", "right"].map(|name| {
        let host = fabric.add_host(name);
        fabric.with(host, |nic, _| {
            let (pd, cq) = (nic.alloc_pd().unwrap(), nic.create_cq(16).unwrap());
            let cap = QpCap::default();
            let init = QpInit { cap, signal_all: true, ..QpInit::new(QpType::Rc, pd, cq) };
            (End { host, qp: nic.create_qp(&init).unwrap() }, cq)
        })
    });
    let [(left, left_cq), (right, right_cq)] = ends;
    // ANCHOR: loss
    fabric.connect([left, right], &Connection::default())?;
    fabric.add_rule(Rule::new(Match::from(left.host).nth(1), Fate::Drop));

    fabric.post_recv(right, &[RecvWr { wr_id: 2, sges: &[] }]).unwrap();
    let (op, payload) = (SendOp::Send, Payload::Sges(&[]));
    fabric.post_send(left, &[SendWr { flags: SendFlags::SIGNALED, ..SendWr::new(1, op, payload) }]).unwrap();
    assert!(fabric.run_until_idle(1_000), "a lost packet is made good");

    assert_eq!(fabric.poll(left.host, left_cq)[0].status, WcStatus::Success);
    assert_eq!(fabric.poll(right.host, right_cq)[0].wr_id, 2);
    assert!(fabric.now() > Time::ZERO + Duration::from_millis(67), "it took a timeout");
    // ANCHOR_END: loss
    Ok(())
}

#[test]
fn a_policy_of_your_own() {
    // ANCHOR: policy
    /// Sends again from the middle between the start of the message and what was lost.
    #[derive(Clone, Copy, Debug)]
    struct GoBackHalf;

    impl Recovery for GoBackHalf {
        fn resume(&self, loss: &Loss) -> Psn {
            let lost = loss.unacked.distance(loss.message);
            loss.message + (lost / 2) as u32
        }

        fn boxed_clone(&self) -> Box<dyn Recovery> {
            Box::new(*self)
        }
    }

    let personality = Personality { name: "half", recovery: Box::new(GoBackHalf), ..Personality::ferroce() };
    // ANCHOR_END: policy
    let (message, unacked) = (Psn::new(0xFF_FFFE), Psn::new(2));
    let loss = Loss { cause: LossCause::Timeout, unacked, message };
    assert_eq!(personality.recovery.resume(&loss), Psn::new(0));
}

#[test]
fn a_connection_by_address_and_port() -> Result<(), ferroce::Error> {
    use ferroce::cm::{ConnParam, Manager};

    let (a, b) = ferroce::pair()?;
    let (pd, cq, context) = (&a.pd, &a.cq, &a.context);
    let patience = Duration::from_secs(10);
    let listener = Manager::of(&b.context).listen("192.0.2.2:7471".parse().unwrap(), 8)?;
    let server = std::thread::spawn(move || {
        let request = listener.next(patience)?;
        let qp = b.pd.queue_pair(&b.cq).build()?;
        assert_eq!(request.private_data()[..5], *b"hello");
        let connection = request.accept(&qp, &ConnParam::default(), patience)?;
        connection.ended(patience)?;
        Ok::<_, ferroce::Error>(())
    });
    // ANCHOR: connect
    let manager = Manager::of(context);
    let dialled = manager.dial("192.0.2.2:7471".parse().unwrap())?;

    let qp = pd.queue_pair(cq).build()?;
    let param = ConnParam { private_data: b"hello".to_vec(), ..ConnParam::default() };
    let connection = dialled.connect(&qp, &param, patience)?;
    // `qp` can send, and the peer knows what `param` says.
    connection.disconnect()?;
    // ANCHOR_END: connect
    connection.ended(patience)?;
    server.join().unwrap()
}

mod in_process {
    // ANCHOR: in-process
    use ferroce::WcStatus;

    #[test]
    fn a_client_reads_what_its_server_has() -> Result<(), ferroce::Error> {
        let (client, server) = ferroce::pair()?;
        server.memory.write(0, b"hello");
        client.qp.post().read(1, &[client.memory.slice(..5)], server.memory.remote()).submit()?;
        assert_eq!(client.cq.wait(None)?.status, WcStatus::Success);
        assert_eq!(client.memory.to_vec(..5), b"hello");
        Ok(())
    }
    // ANCHOR_END: in-process
}

mod in_the_fabric {
    // ANCHOR: in-the-fabric
    use ferroce_fabric::{Outcome, Scenario, ScenarioError, Simulation};

    fn run(rest: &str) -> Result<Outcome, ScenarioError> {
        let pair = "duration = '1s'\n[topology]\nkind = 'pair'\n[[flow]]\nsize = '100KB'\ncount = 1\n";
        let simulation: Simulation = Simulation::new(&Scenario::parse(&format!("{pair}{rest}"))?);
        Ok(simulation.run())
    }

    #[test]
    fn a_lost_packet_costs_time_and_nothing_else() -> Result<(), ScenarioError> {
        let (clean, lossy) = (run("")?, run("[[rule]]\nfrom = 0\npsn = 20\nfirst = 1\n")?);
        assert_eq!((clean.lost, lossy.lost), (0, 1));
        assert_eq!((clean.flows[0].bytes, lossy.flows[0].bytes), (100_000, 100_000));
        assert!(lossy.nanos > clean.nanos);
        Ok(())
    }
    // ANCHOR_END: in-the-fabric
}

//! Random hosts ask, accept, refuse, part and go away, on a network that loses, doubles and overtakes. Once it is
//! healed, all agree on what is left.

use std::collections::BTreeMap;
use std::time::Duration;

use ferroce_engine::*;
use ferroce_fabric::*;
use ferroce_wire::cm::{PortSpace, RejectReason, ServiceId};

const SERVICE: ServiceId = ServiceId::ip(PortSpace::Tcp, 7471);
const HOSTS: usize = 3;
const STEPS: usize = 120;

struct World {
    fabric: Fabric,
    hosts: Vec<HostId>,
    dice: Dice,
    next_qpn: u32,
    /// Which connections each host has, and whether it may use them.
    ends: Vec<BTreeMap<CmId, bool>>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut fabric: Fabric = Fabric::new(seed);
        let addresses = (1..=HOSTS as u8).map(|number| std::net::Ipv4Addr::new(192, 0, 2, number).into());
        // A few quick tries, so that giving up is seen too.
        let cm =
            CmConfig { packet_life_time: 8, response_timeout: 10, max_retries: 6, ..CmConfig::default() };
        let hosts: Vec<HostId> = addresses
            .map(|address: std::net::IpAddr| {
                fabric.add_device(DeviceConfig { cm, ..DeviceConfig::new(address.to_string(), [address]) })
            })
            .collect();
        for host in &hosts {
            fabric.with(*host, |nic, _| nic.cm_mut().listen(SERVICE, None, 3)).unwrap();
        }
        let ends = vec![BTreeMap::new(); HOSTS];
        World { fabric, hosts, dice: Dice::new(seed), next_qpn: 0x100, ends }
    }

    fn pick(&mut self, below: usize) -> usize {
        self.dice.below(below as u64) as usize
    }

    /// One host does something on its own.
    fn act(&mut self) {
        let from = self.pick(HOSTS);
        let known: Vec<CmId> = self.ends[from].keys().copied().collect();
        match self.pick(4) {
            0 | 1 => {
                let to = (from + 1 + self.pick(HOSTS - 1)) % HOSTS;
                self.ask(from, to);
            }
            2 if !known.is_empty() => {
                let id = known[self.pick(known.len())];
                // It may not have come so far.
                self.fabric.with(self.hosts[from], |nic, now| nic.cm_mut().disconnect(now, id, b"")).ok();
            }
            _ if !known.is_empty() => {
                let id = known[self.pick(known.len())];
                self.fabric.with(self.hosts[from], |nic, now| nic.cm_mut().destroy(now, id)).unwrap();
                self.ends[from].remove(&id);
            }
            _ => {}
        }
    }

    fn ask(&mut self, from: usize, to: usize) {
        self.next_qpn += 1;
        let av = AddressVector::new(0, self.fabric.address(self.hosts[to]));
        let qpn = Qpn::new(self.next_qpn);
        let request = CmConnect { ack_timeout: Some(6), ..CmConnect::new(SERVICE, av, qpn) };
        let id = self.fabric.with(self.hosts[from], |nic, now| nic.cm_mut().connect(now, &request)).unwrap();
        self.ends[from].insert(id, false);
    }

    /// Applications deal with what they were told. `eager`: all of it, and nobody says no.
    fn think(&mut self, eager: bool) {
        for index in 0..HOSTS {
            let host = self.hosts[index];
            while let Some(event) = self.fabric.with(host, |nic, _| nic.cm_mut().poll_event()) {
                let says_no = !eager && self.pick(5) == 0;
                self.next_qpn += 1;
                let qpn = Qpn::new(self.next_qpn);
                let up = self.fabric.with(host, |nic, now| answer(nic.cm_mut(), now, &event, says_no, qpn));
                match up {
                    Some(up) => self.ends[index].insert(event.id, up),
                    None => self.ends[index].remove(&event.id),
                };
            }
        }
    }

    fn run(&mut self, span: Duration, eager: bool) {
        for _ in 0..10 {
            self.fabric.run_for(span / 10);
            self.think(eager);
        }
    }
}

/// What an application does; whether the connection can be used then, or `None` if it has given it up.
fn answer(cm: &mut Cm, now: Time, event: &CmEvent, says_no: bool, qpn: Qpn) -> Option<bool> {
    let id = event.id;
    match event.kind {
        CmEventKind::Request { .. } => {
            cm.take_request(id).unwrap();
            let yes = CmAccept {
                qpn,
                responder_resources: 1,
                initiator_depth: 1,
                flow_control: false,
                rnr_retry_count: 7,
                srq: false,
                private_data: b"",
            };
            // The asker may have gone meanwhile.
            let _ = match says_no {
                true => cm.reject(now, id, RejectReason::CONSUMER_DEFINED, b"", b""),
                false => cm.accept(now, id, &yes),
            };
            Some(false)
        }
        CmEventKind::Reply(_) => Some(cm.ready(id, b"").is_ok()),
        CmEventKind::Established(_) => Some(true),
        CmEventKind::Disconnecting(_) => {
            cm.disconnect(now, id, b"").ok();
            Some(false)
        }
        CmEventKind::Disconnected(_) => Some(false),
        CmEventKind::Rejected(_) | CmEventKind::Unreachable | CmEventKind::TimeWaitOver => {
            cm.destroy(now, id).unwrap();
            None
        }
        CmEventKind::SidrRequest { .. } | CmEventKind::SidrReply(_) => panic!("nobody asked for datagrams"),
    }
}

fn play(seed: u64) {
    println!("seed {seed}");
    let mut world = World::new(seed);
    world.fabric.set_links(Link {
        loss: Chance::percent(15),
        duplicate: Chance::percent(10),
        ..Link::default()
    });
    for _ in 0..STEPS {
        world.act();
        let span = Duration::from_micros(world.dice.below(8_000));
        world.run(span, false);
    }
    world.fabric.heal();
    // Longer than all repetitions and the patience of an MRA.
    world.run(Duration::from_secs(400), true);

    let mut used: Vec<usize> = Vec::new();
    for index in 0..HOSTS {
        let cm = world.fabric.device(world.hosts[index]).cm();
        let live: Vec<(CmId, CmState)> = cm.connections().collect();
        for (id, state) in &live {
            assert!(
                matches!(state, CmState::Established | CmState::Idle),
                "host {index}: {id:?} is {state:?}"
            );
        }
        let up = live.iter().filter(|(_, state)| *state == CmState::Established).count();
        assert_eq!(
            world.ends[index].values().filter(|up| **up).count(),
            up,
            "host {index} was told otherwise"
        );
        used.push(up);
        assert!(!cm.has_events());
    }
    // Every connection has two ends.
    assert_eq!(used.iter().sum::<usize>() % 2, 0, "{used:?}");
}

#[test]
fn all_agree_in_the_end() {
    for seed in 0..40 {
        play(seed);
    }
}

//! Datagrams, groups and unreliable connections, at a hub and on sockets.

use std::net::{IpAddr, Ipv4Addr};

use ferroce::{Context, Error, Hub, ImmDt, MemoryRegion, Qpn, QueuePair};

use crate::common::{at_hub, good, socket_pair};

const QKEY: u32 = 0x1234;

/// A queue pair for datagrams, with memory, on a NIC of its own.
struct Place {
    qp: QueuePair,
    memory: MemoryRegion,
}

impl Place {
    fn new(context: &Context) -> Place {
        let cq = context.completion_queue(16).unwrap();
        let pd = context.protection_domain().unwrap();
        let memory = pd.register(8192, ferroce::Access::LOCAL_WRITE).unwrap();
        Place { qp: pd.queue_pair(&cq).datagrams(QKEY).build().unwrap(), memory }
    }

    /// Waits for a message and gives its bytes.
    fn heard(&self) -> Vec<u8> {
        let wc = good(self.qp.recv_cq());
        self.memory.to_vec(40..wc.byte_len as usize)
    }
}

#[test]
fn a_group_is_heard_by_its_members_as_long_as_they_are() {
    let hub = Hub::new();
    let contexts: Vec<Context> = (1..=3).map(|last| at_hub(&hub, last)).collect();
    let places: Vec<Place> = contexts.iter().map(Place::new).collect();
    let group = IpAddr::V4(Ipv4Addr::new(239, 7, 7, 7));
    for member in &places[1..] {
        member.qp.join(group).unwrap();
        member.qp.receive(1, &[member.memory.sge()]).unwrap();
    }
    let all = places[0].qp.protection_domain().address_handle(group).unwrap();
    let say = |words: &str| {
        places[0].qp.post().send_inline(9, words.as_bytes()).to(&all, Qpn::MULTICAST, QKEY).submit().unwrap();
        good(places[0].qp.send_cq());
    };
    say("both");
    assert!(places[1..].iter().all(|place| place.heard() == b"both"));

    places[1].qp.leave(group).unwrap();
    assert!(places[1].qp.leave(group).is_err());
    for member in &places[1..] {
        member.qp.receive(2, &[member.memory.sge()]).unwrap();
    }
    say("one");
    assert_eq!(places[2].heard(), b"one");
    assert!(places[1].qp.recv_cq().poll_one().is_none());
}

#[test]
fn a_member_that_is_dropped_is_no_member() {
    let hub = Hub::new();
    let context = at_hub(&hub, 1);
    let place = Place::new(&context);
    for last in 1..=3 {
        place.qp.join(IpAddr::V4(Ipv4Addr::new(239, 7, 7, last))).unwrap();
    }
    drop(place);
    assert_eq!(context.nic().with(|device, _| device.mcast_groups().count()), 0);
}

#[test]
fn sockets_carry_datagrams_groups_and_unreliable_connections() {
    let (a, b) = socket_pair();
    let (here, there) = (Place::new(&a.context), Place::new(&b.context));
    there.qp.receive(1, &[there.memory.sge()]).unwrap();
    let handle = a.pd.address_handle(b.context.addresses()[0]);
    // The handle is of another domain than the queue pair's, which only its completion tells.
    here.qp.post().send_inline(1, b"lost").to(&handle.unwrap(), there.qp.qpn(), QKEY).submit().unwrap();
    assert!(here.qp.send_cq().wait(None).unwrap().status != ferroce::WcStatus::Success);
    here.qp.modify(&ferroce::QpAttr::to(ferroce::QpState::Rts)).unwrap();

    let handle = here.qp.protection_domain().address_handle(b.context.addresses()[0]).unwrap();
    here.qp.post().send_inline(1, b"found").to(&handle, there.qp.qpn(), QKEY).submit().unwrap();
    assert_eq!(there.heard(), b"found");

    let group = IpAddr::V4(Ipv4Addr::new(239, 255, 47, 91));
    there.qp.join(group).unwrap();
    here.qp.join(group).unwrap();
    for place in [&here, &there] {
        place.qp.receive(2, &[place.memory.sge()]).unwrap();
    }
    let all = here.qp.protection_domain().address_handle(group).unwrap();
    here.qp.post().send_inline(2, b"everybody").to(&all, Qpn::MULTICAST, QKEY).submit().unwrap();
    assert_eq!(there.heard(), b"everybody", "{:?}", b.context.link_info());
    assert!(
        here.qp.recv_cq().poll_one().is_none_or(|wc| wc.wr_id != 2 || wc.opcode != ferroce::WcOpcode::Recv)
    );

    let ends = [&a, &b].map(|end| end.pd.queue_pair(&end.cq).unreliable().build().unwrap());
    ends[0].connect(&ends[1].endpoint()).unwrap();
    ends[1].connect(&ends[0].endpoint()).unwrap();
    ends[1].receive(3, &[]).unwrap();
    a.memory.write(0, &[5; 20_000]);
    let (data, imm) = ([a.memory.slice(..20_000)], ImmDt(*b"done"));
    ends[0].post().write_imm(3, &data, b.memory.remote(), imm).submit().unwrap();
    assert_eq!(good(&b.cq).imm, Some(imm));
    assert_eq!(b.memory.to_vec(..20_000), [5; 20_000]);
}

#[test]
fn misuse_is_told() {
    let context = at_hub(&Hub::new(), 1);
    let place = Place::new(&context);
    let error = place.qp.post().send_inline(1, b"whither").submit().unwrap_err();
    assert!(error.to_string().contains("needs an address handle"), "{error}");
    let error = place.qp.connect(&place.qp.endpoint()).unwrap_err();
    assert!(error.to_string().contains("have no peer"), "{error}");
    let pd = place.qp.protection_domain();
    assert!(matches!(pd.address_handle("fd00::1".parse().unwrap()), Err(Error::Verb { .. })));
    assert!(pd.address_handle_from(&ferroce::Wc::default(), &[0; 40]).is_err());
    assert!(place.qp.join("192.0.2.1".parse().unwrap()).is_err());
}

//! Guessing: PSNs and keys (Rothenberger et al., "ReDMArk", USENIX Security 2021).

use std::net::{IpAddr, Ipv4Addr};

use ferroce_engine::{
    Access, Buffer, DONT_FRAGMENT, Device, DeviceConfig, Ident, MrInit, NoTrace, Personality, Psn, QpInit,
    QpState, QpType, RxMeta,
};
use ferroce_fabric::{Connection, End, Fabric};
use ferroce_wire::{Bth, Headers, Opcode, Packet, PseudoHeader};

use super::Claim;
use super::plot::{Curve, Form, Plot};

/// Packets per second that the paper's attacker sends.
const SPOOFED: f64 = 1.3e6;

pub(super) fn keys_and_psns(plots: &mut Vec<Plot>) -> Vec<Claim> {
    let seconds = (1u32 << 24) as f64 / SPOOFED;
    let (counted, drawn) = (keys(Personality::predictable()), keys(Personality::ferroce()));
    let (predictable, random) = (steps(&counted), steps(&drawn));
    let curve = |name: &str, keys: &[u32]| {
        let points = (1..).map(f64::from).zip(keys.iter().map(|key| f64::from(key >> 8) / 1e6)).collect();
        Curve::dots(name, points)
    };
    plots.push(Plot {
        name: "result-keys",
        title: "The keys of 64 regions, one registered after the other",
        unit: "upper 24 bits, millions",
        form: Form::Curves {
            over: "region",
            curves: vec![curve("default", &drawn), curve("predictable", &counted)],
        },
    });
    vec![
        Claim {
            source: "ReDMArk 2021",
            what: "time to try all PSNs at 1.3 million packets a second".to_owned(),
            says: "13 s".to_owned(),
            gives: format!("{seconds:.1} s"),
            tolerance: "rounding",
            holds: (seconds - 13.0).abs() < 0.2,
        },
        Claim {
            source: "ReDMArk 2021",
            what: "steps from one R_Key to the next".to_owned(),
            says: "constant for the drivers of several NICs".to_owned(),
            gives: format!("predictable: {predictable} different; default: {random} different of 63"),
            tolerance: "one for the personality that imitates them, nearly all different for the default",
            holds: predictable == 1 && random > 60,
        },
        one_packet(),
    ]
}

/// The PSN that the victim expects next.
const EXPECTED: u32 = 0x1000;

/// A single packet of somebody who knows the numbers, and one of somebody who is wrong about the PSN.
fn one_packet() -> Claim {
    let (right, wrong) = (state_after(EXPECTED), state_after(EXPECTED + 0x4000));
    Claim {
        source: "ReDMArk 2021",
        what: "one injected packet that cannot be right here, with the expected PSN".to_owned(),
        says: "kills the queue pair".to_owned(),
        gives: format!("{}; with another PSN: {}", right.name(), wrong.name()),
        tolerance: "exact: ERR, and RTS for the wrong PSN",
        holds: (right, wrong) == (QpState::Err, QpState::Rts),
    }
}

/// What becomes of a queue pair that gets the middle of a message that never began, as if from its peer.
fn state_after(psn: u32) -> QpState {
    let mut fabric: Fabric<NoTrace> = Fabric::new(7);
    let ends = ["peer", "victim"].map(|name| {
        let host = fabric.add_host(name);
        let qp = fabric.with(host, |device, _| {
            let (pd, cq) = (device.alloc_pd()?, device.create_cq(16)?);
            device.create_qp(&QpInit::new(QpType::Rc, pd, cq))
        });
        End { host, qp: qp.expect("a new device has room") }
    });
    let psns = [Psn::new(EXPECTED), Psn::new(0)];
    fabric.connect(ends, &Connection { psns, ..Connection::default() }).expect("they are new");
    let [peer, victim] = ends;
    let [src, dst] = [peer, victim].map(|end| fabric.address(end.host));
    let (meta, bytes) = forged(src, dst, Bth::new(Opcode::RC_SEND_MIDDLE, victim.qp, Psn::new(psn)));
    fabric.with(victim.host, |device, now| device.handle_packet(now, &meta, &bytes));
    fabric.device(victim.host).query_qp(victim.qp).expect("it exists").state
}

/// A packet with the ICRC that it needs, as whoever can send from `src` can make it.
fn forged(src: IpAddr, dst: IpAddr, bth: Bth) -> (RxMeta, Vec<u8>) {
    let payload = [0; 1024];
    let mut bytes = vec![0; 2048];
    let len = Packet::new(Headers::new(bth), &payload).emit(&mut bytes).expect("there is room");
    bytes.truncate(len);
    let (IpAddr::V4(from), IpAddr::V4(to)) = (src, dst) else { unreachable!("hosts have IPv4 addresses") };
    let (src_port, dst_port) = (0xc000, ferroce_wire::UDP_PORT);
    let (ident, flags_fragment) = (0, DONT_FRAGMENT);
    let header = PseudoHeader::V4 { src: from, dst: to, ident, flags_fragment, src_port, dst_port };
    let icrc = header.compute(&bytes[..len - 4]).to_le_bytes();
    bytes[len - 4..].copy_from_slice(&icrc);
    let ident = Ident::Known { ident, flags_fragment };
    (RxMeta { src, dst, src_port, traffic_class: 0, ident }, bytes)
}

/// The keys of 64 regions.
fn keys(personality: Personality) -> Vec<u32> {
    let address = Ipv4Addr::new(192, 0, 2, 1).into();
    let config = DeviceConfig { personality, ..DeviceConfig::new("ferroce0", [address]) };
    let mut device = Device::new(config, 7, NoTrace);
    let pd = device.alloc_pd().expect("a new device has room");
    let buffer = Buffer::new(4096);
    let mut key =
        || device.reg_mr(pd, MrInit::new(&buffer, Access::REMOTE_READ)).expect("there is room").rkey;
    (0..64).map(|_| key()).collect()
}

/// How many different steps there are between keys.
fn steps(keys: &[u32]) -> usize {
    let mut steps: Vec<u32> = keys.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    steps.sort_unstable();
    steps.dedup();
    steps.len()
}

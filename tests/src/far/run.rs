//! The cases of an interop run against a machine behind ssh.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;

use anyhow::{Context, Result};
use ferroce_net::{Attachment, FaultRates, Faults, Nic};

use super::{Device, Far, Target};
use crate::peer::{FerrocePeer, Kind, Peer, RemotePeer, Reply, Request};
use crate::results::{Met, Results, Role};
use crate::scenarios::{Bulk, Scenario};
use crate::tally::{Tally, Verdict};
use crate::vm::Direction;

/// Share of the packets that is lost where some are.
const LOSS: f64 = 0.05;

/// What to do there.
#[derive(Debug, Clone)]
pub struct Options {
    /// The machine.
    pub target: Target,
    /// Index of the GID to use for IPv4, if not the first of RoCEv2.
    pub gid: Option<u8>,
    /// How our NIC is attached, if not at the addresses that lead to the peer.
    pub link: Option<Attachment>,
    /// Only cases whose name contains this.
    pub filter: String,
    /// The long matrix too.
    pub full: bool,
    /// How often each case is played, or until it fails.
    pub repeat: u32,
    /// Where to write the results.
    pub record: Option<PathBuf>,
}

/// Both sides of the cases.
struct Meeting {
    far: Far,
    kind: Kind,
    gids: [Option<u8>; 2],
    link: Attachment,
    /// The largest path MTU that both sides can use.
    mtu: u32,
}

/// Plays everything with the device there, Ferroce in both roles.
///
/// # Errors
/// When the machine cannot be used; says what it lacks. Cases that fail are counted.
pub fn run(options: &Options) -> Result<Tally> {
    let meeting = Meeting::arrange(options)?;
    let device = &meeting.far.device;
    println!(
        "{} at {}: {}, driver {}, firmware {}, Linux {}, path MTU {}",
        device.name,
        options.target.host,
        device.model,
        device.driver,
        device.firmware,
        device.kernel,
        meeting.mtu
    );
    println!("ferroce here: {}", meeting.link);
    let mut results = Results::with(met(device));
    let mut tally = Tally::repeating(options.repeat);
    meeting.play(options, &mut tally, &mut results);
    if let Some(path) = &options.record {
        results.write(path)?;
        println!("results: {}", path.display());
    }
    Ok(tally)
}

impl Meeting {
    fn arrange(options: &Options) -> Result<Self> {
        let far = Far::open(&options.target)?;
        let gids = choose_gids(&far.device, options.gid);
        let address = |index: Option<u8>| {
            let gid = far.device.gids.iter().find(|gid| Some(gid.index) == index);
            gid.map(|gid| gid.address)
        };
        let link = match &options.link {
            Some(link) => link.clone(),
            None => {
                let own: Vec<IpAddr> =
                    gids.into_iter().filter_map(address).filter_map(source_towards).collect();
                anyhow::ensure!(
                    !own.is_empty(),
                    "no address of this machine leads to {} there; name one with --link",
                    far.device.name
                );
                Attachment::Udp(own)
            }
        };
        let kind = kind(&far.device);
        let mut this = Self { far, kind, gids, link, mtu: 0 };
        this.mtu = this.probe()?;
        Ok(this)
    }

    /// Opens both sides once, and finds what path MTU they share.
    fn probe(&self) -> Result<u32> {
        let mut mtus = Vec::new();
        for mut peer in [self.ours(Faults::default())?, self.theirs()?] {
            for gid_index in [1, 2] {
                if let Ok(Reply::Device { active_mtu, .. }) = peer.call(Request::Open { gid_index }) {
                    mtus.push(active_mtu);
                    break;
                }
            }
        }
        anyhow::ensure!(mtus.len() == 2, "the device there cannot be opened: see what ibv_devinfo says");
        mtus.into_iter().min().context("two sides have path MTUs")
    }

    fn ours(&self, faults: Faults) -> Result<Box<dyn Peer>> {
        Ok(Box::new(FerrocePeer::attached(Nic::builder().faults(faults), self.link.clone())?))
    }

    fn theirs(&self) -> Result<Box<dyn Peer>> {
        let device = &self.far.device.name;
        Ok(Box::new(RemotePeer::on(self.far.connect()?, device, self.kind, self.gids)?))
    }

    fn play(&self, options: &Options, tally: &mut Tally, results: &mut Results) {
        let name_of = |case: &str, role| match role {
            Role::Requester => format!("{case} ferroce to {}", self.far.device.name),
            Role::Responder => format!("{case} {} to ferroce", self.far.device.name),
        };
        for scenario in Scenario::all() {
            for role in [Role::Requester, Role::Responder] {
                let name = name_of(scenario.name, role);
                if name.contains(&options.filter) {
                    let mtu = if scenario.name.contains("2048") { 2048 } else { 1024 };
                    let verdict = tally.case(&name, || {
                        self.meet(role, mtu, Faults::default(), |requester, responder| {
                            scenario.run(requester, responder)
                        })
                    });
                    results.add(scenario.name, scenario.about, role, &verdict);
                }
            }
        }
        for (bulk, loss) in Bulk::cases(options.full) {
            let (lost, faults) = faults(loss);
            let case = format!("{bulk}, {lost}");
            for role in [Role::Requester, Role::Responder] {
                let name = name_of(&case, role);
                if name.contains(&options.filter) {
                    let verdict = tally.case(&name, || {
                        self.meet(role, bulk.mtu, faults, |requester, responder| {
                            bulk.run(requester, responder)
                        })
                    });
                    results.add(&case, "every operation, messages of many sizes", role, &verdict);
                }
            }
        }
    }

    /// Lets two fresh peers play.
    fn meet(
        &self,
        role: Role,
        mtu: u32,
        faults: Faults,
        play: impl FnOnce(&mut dyn Peer, &mut dyn Peer) -> Result<Verdict>,
    ) -> Result<Verdict> {
        if mtu > self.mtu {
            return Ok(Verdict::Skipped(format!("needs path MTU {mtu}, the two share {}", self.mtu)));
        }
        let (mut ours, mut theirs) = (self.ours(faults)?, self.theirs()?);
        match role {
            Role::Requester => play(ours.as_mut(), theirs.as_mut()),
            Role::Responder => play(theirs.as_mut(), ours.as_mut()),
        }
    }
}

/// Lost at our side, as the other may have no means for that.
fn faults(loss: Option<Direction>) -> (&'static str, Faults) {
    let rates = FaultRates { drop: LOSS, ..FaultRates::NONE };
    match loss {
        None => ("nothing lost", Faults::default()),
        Some(Direction::Sent) => ("peer's packets lost", Faults { receive: rates, ..Faults::default() }),
        Some(Direction::Received) => {
            ("packets to the peer lost", Faults { transmit: rates, ..Faults::default() })
        }
    }
}

/// What is known of soft-RoCE's own ways is expected of it here too.
fn kind(device: &Device) -> Kind {
    match device.driver.as_str() {
        "rdma_rxe" if device.kernel.starts_with("6.1.") => Kind::Rxe61,
        "rdma_rxe" => Kind::Rxe612,
        _ => Kind::Device,
    }
}

/// GIDs for IPv4 and IPv6: the one asked for, or the first of each kind that is not link-local.
fn choose_gids(device: &Device, asked: Option<u8>) -> [Option<u8>; 2] {
    let is_global = |address: IpAddr| !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let first = |is_v4: bool| {
        let suits = |address: IpAddr| address.is_ipv4() == is_v4 && is_global(address);
        device.gids.iter().find(|gid| suits(gid.address)).map(|gid| gid.index)
    };
    let asked_address = device.gids.iter().find(|gid| Some(gid.index) == asked).map(|gid| gid.address);
    match asked_address {
        Some(IpAddr::V4(_)) => [asked, first(false)],
        Some(IpAddr::V6(_)) => [first(true), asked],
        None => [first(true), first(false)],
    }
}

/// The address from which this machine sends to `peer`, if there is a route.
fn source_towards(peer: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((peer, ferroce_wire::UDP_PORT)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

fn met(device: &Device) -> Met {
    let Device { name, driver, model, firmware, kernel, .. } = device.clone();
    Met { title: format!("{name} ({driver})"), model, driver, firmware, kernel }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::far::Gid;

    #[test]
    fn gids_are_chosen_by_kind_unless_one_is_asked_for() {
        let gids = ["fe80::1", "10.0.0.1", "10.0.0.2", "fd00::1"].into_iter().zip(3..);
        let device = Device {
            name: "mlx5_0".to_owned(),
            driver: "mlx5_core".to_owned(),
            model: String::new(),
            firmware: String::new(),
            kernel: "6.8.0".to_owned(),
            gids: gids.map(|(address, index)| Gid { index, address: address.parse().unwrap() }).collect(),
        };
        assert_eq!(choose_gids(&device, None), [Some(4), Some(6)]);
        assert_eq!(choose_gids(&device, Some(5)), [Some(5), Some(6)]);
        assert_eq!(choose_gids(&device, Some(3)), [Some(4), Some(3)]);
        assert_eq!(kind(&device), Kind::Device);
        let rxe = |kernel: &str| {
            kind(&Device { driver: "rdma_rxe".into(), kernel: kernel.into(), ..device.clone() })
        };
        assert_eq!((rxe("6.1.0-56-amd64"), rxe("6.12.117+deb12-amd64")), (Kind::Rxe61, Kind::Rxe612));
    }
}

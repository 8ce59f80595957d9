//! What one side of a ping-pong has: a NIC, and a queue pair with memory.

use std::thread;
use std::time::{Duration, Instant};

use ferroce::{
    Access, AddressHandle, AddressVector, CompletionQueue, ConnectOptions, Context, Endpoint, MemoryRegion,
    PathMtu, QpType, Qpn, QueuePair, To,
};

use super::address::failure;
use super::game::Game;
use super::side_channel::Destination;
use super::{Args, Transport};
use crate::failure::Failure;

/// The Q_Key of `ibv_ud_pingpong`.
const QKEY: u32 = 0x1111_1111;

/// What one side has.
pub(super) struct Side {
    qp: QueuePair,
    cq: CompletionQueue,
    pub memory: MemoryRegion,
    context: Context,
    gid_index: u8,
}

/// The other side.
pub(super) enum Peer {
    /// The queue pair is connected to it.
    Connected,
    /// It is reached along this way.
    At(AddressHandle, Qpn),
}

impl Peer {
    /// Where messages to it go.
    pub(super) fn to(&self) -> To {
        match self {
            Peer::Connected => To::Peer,
            Peer::At(handle, qpn) => handle.to(*qpn, QKEY),
        }
    }
}

impl Side {
    pub(super) fn new(args: &Args, (context, gid_index): (Context, u8)) -> Result<Side, Failure> {
        let packet = context.path_mtu().bytes() as u32;
        if args.qp == Transport::Ud && args.size() > packet {
            return Err(Failure::new(
                format_args!("a datagram of {} bytes does not fit into a packet of {packet}", args.size()),
                "choose a smaller -s, here and there",
            ));
        }
        let make = || {
            let cq = context.completion_queue(args.rx_depth + 1)?;
            let pd = context.protection_domain()?;
            let memory = pd.register(args.headroom() + args.size() as usize, Access::LOCAL_WRITE)?;
            let qp = pd.queue_pair(&cq).gid_index(gid_index);
            let qp = qp.max_send_wr(1).max_recv_wr(args.rx_depth);
            let qp = match args.qp {
                Transport::Rc => qp,
                Transport::Uc => qp.unreliable(),
                Transport::Ud => qp.datagrams(QKEY),
            };
            let qp = qp.build()?;
            Ok::<_, ferroce::Error>((qp, cq, memory))
        };
        let (qp, cq, memory) = make().map_err(|error| failure(&error))?;
        Ok(Side { qp, cq, memory, context, gid_index })
    }

    pub(super) fn prepare(&self, args: &Args) -> Result<Game<'_>, Failure> {
        Game::prepare(&self.qp, &self.cq, &self.memory, args.rules())
    }

    pub(super) fn destination(&self) -> Destination {
        let Endpoint { gid, qpn, psn, .. } = self.qp.endpoint();
        Destination { lid: 0, qpn, psn, gid: Destination::gid_of(gid) }
    }

    pub(super) fn connect(&self, peer: &Destination, mtu: PathMtu) -> Result<Peer, Failure> {
        let own = self.qp.endpoint().gid;
        let Some(gid) = peer.address() else {
            return Err(Failure::new(
                "the peer did not say which address it has",
                "start it with -g: 'ibv_devinfo -v' there lists its GIDs, and ::ffff:A.B.C.D is IPv4",
            ));
        };
        if gid.is_ipv4() != own.is_ipv4() {
            return Err(Failure::new(
                format_args!("the peer is at {gid} and we are at {own}: one is IPv4, the other IPv6"),
                "choose addresses of one kind with -g or --addr",
            ));
        }
        if self.qp.info().init.qp_type == QpType::Ud {
            let (pd, av) = (self.qp.protection_domain(), AddressVector::new(self.gid_index, gid));
            let handle = pd.address_handle_with(av).map_err(|error| failure(&error))?;
            return Ok(Peer::At(handle, peer.qpn));
        }
        let options = ConnectOptions {
            path_mtu: Some(mtu),
            max_rd_atomic: 1,
            max_dest_rd_atomic: 1,
            ..ConnectOptions::default()
        };
        let endpoint = Endpoint { gid, qpn: peer.qpn, psn: peer.psn, mtu };
        self.qp.connect_with(&endpoint, &options).map_err(|error| failure(&error))?;
        Ok(Peer::Connected)
    }

    /// Goes on to acknowledge until the peer has been silent for longer than it takes to repeat a message.
    pub(super) fn stay_until_quiet(&self) {
        const SILENCE: Duration = Duration::from_millis(300);
        const LONGEST: Duration = Duration::from_secs(2);
        let start = Instant::now();
        let mut seen = self.context.link_counters().rx_packets;
        while start.elapsed() < LONGEST {
            thread::sleep(SILENCE);
            let now = self.context.link_counters().rx_packets;
            if std::mem::replace(&mut seen, now) == now {
                break;
            }
        }
    }
}

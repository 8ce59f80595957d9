//! `ferroce pingpong`: messages to and fro, with itself or with the `ibv_*_pingpong` programs of rdma-core.

mod address;
mod game;
mod side;
mod side_channel;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::PathBuf;

use ferroce::{FaultRates, Faults, PathMtu};
use ferroce_visualizer::demo::Chance;

use self::address::{Equipment, Wish};
use self::game::{Game, Rules, Score};
use self::side::{Peer, Side};
use self::side_channel::{Farewell, SideChannel};
use super::Outcome;
use super::link::LinkArgs;
use super::personality::PersonalityArgs;
use crate::failure::Failure;
use crate::text::{BAD, GOOD, WARN, count};

/// Send messages to and fro, with another Ferroce or with ibv_rc_pingpong, ibv_uc_pingpong, ibv_ud_pingpong
///
/// Without SERVER this waits for a peer, with SERVER it connects to one. Either side may be the program of rdma-core
/// for the same --qp, on a real NIC or on soft-RoCE: flags, TCP side channel and output are the same. Give both
/// sides the same -s, -n and -m.
///
/// The NIC runs on an address of this machine: the one from which SERVER is reached, or on which the client is,
/// unless --addr, -d or -g name another. On one machine both sides find addresses of their own.
///
/// The exit code is 0 if all messages arrived, 1 if a byte was found wrong, and 2 if it did not work.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  # On one machine, in two terminals
  ferroce pingpong
  ferroce pingpong localhost

  # Against soft-RoCE or hardware: GID 1 there is usually the IPv4 address ('ibv_devinfo -v' tells)
  ibv_rc_pingpong -g 1                      # on the other machine, 192.0.2.7
  ferroce pingpong 192.0.2.7

  # Datagrams, as ibv_ud_pingpong exchanges them
  ferroce pingpong --qp ud
  ferroce pingpong --qp ud localhost

  # As a machine of its own at a TAP interface, for a peer on this machine or behind a bridge
  ferroce pingpong --link tap:ferroce0,10.0.0.2/24
  ping 10.0.0.2                             # after 'ip address add 10.0.0.1/24 dev ferroce0'

  # Every byte of 64 KiB messages checked while packets get lost
  ferroce pingpong -s 65536 --verify
  ferroce pingpong -s 65536 --verify --drop 5% --seed 7 localhost

  # What this side did and saw, to be walked through in both directions
  ferroce pingpong -n 3 --drop 10% --record game.frec localhost
  ferroce replay game.frec

  # Latency of small messages, polled for and slept for
  ferroce pingpong -s 8 -n 10000 localhost
  ferroce pingpong -s 8 -n 10000 -e localhost
")]
pub(crate) struct Args {
    /// The machine on which the other side waits; without it, wait here
    server: Option<String>,

    /// Listen on or connect to this TCP port for the side channel
    #[arg(short, long, value_name = "PORT", default_value_t = 18515)]
    port: u16,

    /// Run on this network interface [default: the one that leads to the peer]
    #[arg(short = 'd', long, value_name = "INTERFACE", conflicts_with = "link")]
    ib_dev: Option<String>,

    /// Port of the device; there is only port 1
    #[arg(short, long, value_name = "PORT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=1))]
    ib_port: u8,

    /// Run on this address of this machine
    #[arg(long, value_name = "ADDRESS", conflicts_with = "link")]
    addr: Option<IpAddr>,

    #[command(flatten)]
    link: LinkArgs,

    #[command(flatten)]
    nature: PersonalityArgs,

    /// Run on the interface's address with this GID index, as soft-RoCE numbers them; see 'ferroce devices'. With
    /// --link, on that address in the order there, counted from 0
    #[arg(short, long, value_name = "INDEX")]
    gid_idx: Option<usize>,

    /// Transport of the queue pair
    #[arg(long, value_enum, default_value_t = Transport::Rc)]
    qp: Transport,

    /// Bytes of a message; a datagram has as many as one packet takes, at most [default: 4096, with --qp ud 1024]
    #[arg(short, long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=1 << 30))]
    size: Option<u32>,

    /// Path MTU: 256, 512, 1024, 2048 or 4096. Datagrams go by what the interface carries
    #[arg(short, long, value_name = "BYTES", default_value = "1024", value_parser = path_mtu)]
    mtu: PathMtu,

    /// Receives to post at a time
    #[arg(short, long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    rx_depth: u32,

    /// Messages in each direction
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000)]
    iters: u64,

    /// Service level. Without VLANs, RoCEv2 has nothing that it could change
    #[arg(short = 'l', long, value_name = "SL", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=15))]
    sl: u8,

    /// Sleep until something completes [default: poll]
    #[arg(short, long)]
    events: bool,

    /// Mark the first byte of each page; the waiting side checks them at the end
    #[arg(short = 'c', long)]
    chk: bool,

    /// Change all bytes with every message, and check all that arrive
    #[arg(long)]
    verify: bool,

    /// Lose this share of the packets in each direction; with --qp rc, since the others send nothing twice
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    drop: Chance,

    /// Decides which packets are lost
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Record into this file: a name in .frec gets packets and what the NIC does, for 'ferroce replay', any other a
    /// capture of the packets; one in .pcapng tells which of them went through shared memory
    #[arg(long, value_name = "FILE.frec|FILE.pcap|FILE.pcapng")]
    record: Option<PathBuf>,

    /// Reach a NIC on this machine by UDP too, where tcpdump sees the packets, and not through shared memory
    #[arg(long)]
    no_shared_memory: bool,

    /// Accepted as by the original; memory is never pinned here
    #[arg(short, long, hide_short_help = true)]
    odp: bool,

    /// Accepted as by the original; memory is never pinned here
    #[arg(short = 'O', long, hide_short_help = true)]
    iodp: bool,

    /// Accepted as by the original; there is one way of posting
    #[arg(short = 'N', long = "new_send", hide_short_help = true)]
    new_send: bool,
}

/// Transport services that the ping-pong can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Transport {
    /// Reliable connection
    Rc,
    /// Unreliable connection
    Uc,
    /// Unreliable datagrams
    Ud,
}

fn path_mtu(text: &str) -> Result<PathMtu, String> {
    let known = text.parse().ok().and_then(PathMtu::from_bytes);
    known.ok_or_else(|| "it is one of 256, 512, 1024, 2048 and 4096".to_owned())
}

/// A share that leaves a chance for packets to arrive at all.
fn share(text: &str) -> Result<Chance, String> {
    let chance: Chance = text.parse().map_err(|error| format!("{error}"))?;
    if chance > Chance::percent(50.0) {
        return Err("with more than 50% the connection would fail".to_owned());
    }
    Ok(chance)
}

pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    if args.qp != Transport::Rc && args.drop.value() > 0.0 {
        return Err(Failure::new(
            "with --drop a message would be lost for ever, and the game with it",
            "only --qp rc sends lost packets again",
        ));
    }
    let mut out = anstream::stdout();
    match &args.server {
        Some(server) => args.connect(server, &mut out),
        None => args.wait(&mut out),
    }
}

impl Args {
    /// The side that connects, and sends first.
    fn connect(&self, server: &str, out: &mut impl Write) -> Result<Outcome, Failure> {
        let addresses = resolve(server, self.port)?;
        let side = Side::new(self, self.wish().open(Some(addresses[0]), self.equipment())?)?;
        let game = side.prepare(self)?;
        print_local(out, &side)?;
        let stream = TcpStream::connect(&addresses[..]).map_err(|error| {
            Failure::new(
                format_args!("cannot connect to {server}, TCP port {}: {error}", self.port),
                "start the other side there first, without SERVER and with the same -p",
            )
        })?;
        let mut channel = SideChannel::new(stream).map_err(|error| broken(&error))?;
        channel.send(side.destination()).map_err(|error| broken(&error))?;
        let peer = channel.receive().map_err(|error| broken(&error))?;
        writeln!(out, "  remote address: {peer}")?;
        let peer = side.connect(&peer, self.mtu)?;
        channel.send_done().map_err(|error| broken(&error))?;
        self.play(&side, &peer, game, channel, out)
    }

    /// The side that waits, and answers.
    fn wait(&self, out: &mut impl Write) -> Result<Outcome, Failure> {
        let listener = self.listen()?;
        let wish = self.wish();
        let open = |peer, out: &mut _| {
            let side = Side::new(self, wish.open(peer, self.equipment())?)?;
            print_local(out, &side)?;
            Ok::<_, Failure>(side)
        };
        let early = if wish.is_open() { None } else { Some(open(None, out)?) };
        let (stream, client) = listener.accept().map_err(|error| broken(&error))?;
        drop(listener);
        let mut channel = SideChannel::new(stream).map_err(|error| broken(&error))?;
        let peer = channel.receive().map_err(|error| broken(&error))?;
        let side = match early {
            Some(side) => side,
            // A GID index counts on the interface over which the client came, else its own address decides.
            None => {
                let theirs = peer.address().filter(|_| self.gid_idx.is_none());
                open(Some(theirs.map_or(client, |address| SocketAddr::new(address, 0))), out)?
            }
        };
        let game = side.prepare(self)?;
        let met = side.connect(&peer, self.mtu)?;
        channel.send(side.destination()).map_err(|error| broken(&error))?;
        channel.receive_done().map_err(|error| broken(&error))?;
        writeln!(out, "  remote address: {peer}")?;
        self.play(&side, &met, game, channel, out)
    }

    fn play(
        &self,
        side: &Side,
        peer: &Peer,
        game: Game<'_>,
        channel: SideChannel,
        out: &mut impl Write,
    ) -> Result<Outcome, Failure> {
        out.flush()?;
        let score = game.play(peer.to())?;
        let outcome = self.report(side, &score, out)?;
        out.flush()?;
        if channel.part() == Farewell::HungUp && self.qp == Transport::Rc {
            side.stay_until_quiet();
        }
        Ok(outcome)
    }

    fn report(&self, side: &Side, score: &Score, out: &mut impl Write) -> io::Result<Outcome> {
        let seconds = score.elapsed.as_secs_f64();
        let (bytes, iters) = (u128::from(self.size()) * u128::from(self.iters) * 2, self.iters);
        // Neither is divided by zero: a game of no messages took no time.
        let rate = bytes as f64 * 8.0 / (seconds * 1e6).max(f64::MIN_POSITIVE);
        let each = seconds * 1e6 / (iters as f64).max(1.0);
        writeln!(out, "{bytes} bytes in {seconds:.2} seconds = {rate:.2} Mbit/sec")?;
        writeln!(out, "{iters} iters in {seconds:.2} seconds = {each:.2} usec/iter")?;
        if score.unacknowledged {
            writeln!(out, "{WARN}The last message was not acknowledged: the peer ended first.{WARN:#}")?;
        }
        let mut outcome = Outcome::Done;
        if self.chk && self.server.is_none() {
            for page in Game::wrong_pages(&side.memory, self.headroom()) {
                writeln!(out, "invalid data in page {page}")?;
                outcome = Outcome::Wrong;
            }
        }
        match score.first_wrong {
            Some((message, byte)) => {
                let wrong = count(score.wrong, "message");
                writeln!(out, "{BAD}{wrong} arrived wrong, first message {message} at byte {byte}{BAD:#}")?;
                outcome = Outcome::Wrong;
            }
            None if self.verify => {
                writeln!(out, "{GOOD}Every byte of {} is right.{GOOD:#}", count(iters, "message"))?;
            }
            None => {}
        }
        Ok(outcome)
    }

    fn listen(&self) -> Result<TcpListener, Failure> {
        let (v6, v4) = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        // The IPv6 socket takes both kinds, where there is IPv6 at all.
        let listener = TcpListener::bind((v6, self.port)).or_else(|_| TcpListener::bind((v4, self.port)));
        listener.map_err(|error| {
            let what = format_args!("cannot listen on TCP port {}: {error}", self.port).to_string();
            Failure::new(what, "another side may be waiting there already; choose another port with -p")
        })
    }

    fn wish(&self) -> Wish {
        Wish {
            link: self.link.link.clone(),
            address: self.addr,
            interface: self.ib_dev.clone(),
            gid_index: self.gid_idx,
        }
    }

    fn equipment(&self) -> Equipment {
        let rates = FaultRates { drop: self.drop.value(), ..FaultRates::NONE };
        let faults = Faults { seed: self.seed, transmit: rates, receive: rates };
        let path_mtu = (self.qp != Transport::Ud).then_some(self.mtu);
        let (personality, record) = (self.nature.personality.clone(), self.record.clone());
        Equipment { path_mtu, faults, personality, record, shared_memory: !self.no_shared_memory }
    }

    fn size(&self) -> u32 {
        self.size.unwrap_or(if self.qp == Transport::Ud { 1024 } else { 4096 })
    }

    /// Bytes of network header before each message that arrives.
    fn headroom(&self) -> usize {
        if self.qp == Transport::Ud { 40 } else { 0 }
    }

    fn rules(&self) -> Rules {
        Rules {
            iters: self.iters,
            rx_depth: self.rx_depth,
            events: self.events,
            check: self.chk,
            verify: self.verify,
            serves_first: self.server.is_some(),
            headroom: self.headroom(),
        }
    }
}

fn print_local(out: &mut impl Write, side: &Side) -> io::Result<()> {
    writeln!(out, "  local address:  {}", side.destination())?;
    out.flush()
}

fn resolve(server: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let next = "check the spelling, or give the address itself";
    let found = (server, port).to_socket_addrs();
    let found = found.map_err(|error| Failure::new(format_args!("cannot find {server}: {error}"), next))?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err(Failure::new(format_args!("{server} has no address"), next));
    }
    Ok(addresses)
}

fn broken(error: &io::Error) -> Failure {
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the peer hung up before it said who it is".to_owned(),
        io::ErrorKind::WouldBlock => "the peer said nothing for too long".to_owned(),
        _ => format!("the side channel to the peer failed: {error}"),
    };
    Failure::new(what, "its own output tells why; is it a ping-pong program of the same --qp?")
}

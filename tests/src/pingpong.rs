//! `ibv_rc_pingpong`, `ibv_uc_pingpong` and `ibv_ud_pingpong` of rdma-core in a guest against another program with the same flags and side channel.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::program::{Place, ended, ferroce};
use crate::tally::Verdict;
use crate::vm::{BRIDGE, Direction, Guest, Loss, Output, STATION};

const LIMIT: Duration = Duration::from_secs(60);
/// One packet of this many is lost: five percent.
const ONE_IN: u32 = 20;

/// Which of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum Service {
    Rc,
    Uc,
    Ud,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Rc => "rc",
            Self::Uc => "uc",
            Self::Ud => "ud",
        }
    }
}

/// One ping-pong.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Transport of the queue pair.
    pub service: Service,
    /// Bytes of a message.
    pub size: u32,
    /// Path MTU in bytes.
    pub mtu: u32,
    /// IPv6 instead of IPv4.
    pub ipv6: bool,
    /// Packets that the guest loses.
    pub loss: Option<Direction>,
}

/// A program that plays: the original, or ours.
#[derive(Debug, Clone)]
pub struct Other<'a> {
    /// How the command of a service starts, for instance `ibv_rc_pingpong -d rxe0`.
    command: fn(Service) -> Vec<String>,
    place: Place<'a>,
    /// GID index of its IPv4 address; that of the IPv6 one follows.
    pub first_gid: u32,
}

impl<'a> Other<'a> {
    /// The same program in another guest.
    pub fn original(guest: &'a Guest) -> Self {
        Self { command: original, place: Place::Guest(guest), first_gid: 1 }
    }

    /// `ferroce pingpong` on the host: the command that was built beside this program.
    pub fn ferroce() -> Self {
        Self { command: ours, place: Place::Host, first_gid: 1 }
    }

    /// The same as a machine of its own on the bridge.
    pub fn station() -> Self {
        Self { command: station, place: Place::Host, first_gid: 0 }
    }
}

/// The cases of a run; `full`: every size with every MTU and both families.
pub fn cases(full: bool) -> Vec<Case> {
    const SIZES: [u32; 7] = [1, 64, 1000, 4096, 20_001, 65_536, 1 << 20];
    const MTUS: [u32; 5] = [256, 512, 1024, 2048, 4096];
    let service = Service::Rc;
    let mut cases = Vec::new();
    for (row, size) in SIZES.into_iter().enumerate() {
        for (column, mtu) in MTUS.into_iter().enumerate() {
            for ipv6 in [false, true] {
                // A diagonal meets every size, every MTU and both families.
                if full || (row % 5 == column && ipv6 == (row % 2 == 1)) {
                    cases.push(Case { service, size, mtu, ipv6, loss: None });
                }
            }
        }
    }
    for loss in [Direction::Sent, Direction::Received] {
        for (size, mtu, ipv6) in
            [(64, 1024, false), (5000, 1024, true), (65_536, 4096, false), (30_000, 256, true)]
        {
            cases.push(Case { service, size, mtu, ipv6, loss: Some(loss) });
        }
    }
    for (service, size, ipv6) in [
        (Service::Uc, 64, true),
        (Service::Uc, 20_001, false),
        (Service::Ud, 1, false),
        (Service::Ud, 1000, true),
        (Service::Ud, 4096, false),
    ] {
        cases.push(Case { service, size, mtu: 1024, ipv6, loss: None });
    }
    cases
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ipv6 { "IPv6" } else { "IPv4" };
        match self.service {
            Service::Ud => write!(f, "UD, {} bytes, {family}", self.size)?,
            Service::Rc => write!(f, "{} bytes, MTU {}, {family}", self.size, self.mtu)?,
            Service::Uc => write!(f, "UC, {} bytes, MTU {}, {family}", self.size, self.mtu)?,
        }
        match self.loss {
            None => Ok(()),
            Some(Direction::Sent) => write!(f, ", guest's packets lost"),
            Some(Direction::Received) => write!(f, ", packets to the guest lost"),
        }
    }
}

impl Case {
    /// Runs it with the guest as the server or as the client. `port` must be fresh: it is the side channel's.
    ///
    /// # Errors
    /// When a program cannot be started.
    pub fn run(&self, guest: &Guest, guest_serves: bool, other: &Other<'_>, port: u16) -> Result<Verdict> {
        let guest = Other::original(guest);
        let (server, client) = if guest_serves { (&guest, other) } else { (other, &guest) };
        let _loss = match (self.loss, guest.place) {
            (Some(direction), Place::Guest(guest)) => Some(Loss::start(guest, direction, ONE_IN)?),
            _ => None,
        };
        let serving = server.place.start(&self.command(server, port))?;
        server.place.wait_for_listener(port)?;
        let mut calling = self.command(client, port);
        // The original's server listens on IPv4 only; the GID index says which family the packets have.
        calling.push(server.place.address(false).to_string());
        let called = ended(client.place.start(&calling)?.wait(LIMIT));
        let served = ended(serving.wait(Duration::from_secs(5)));
        Ok(self.verdict(&calling, &served, &called))
    }

    fn command(&self, program: &Other<'_>, port: u16) -> Vec<String> {
        let mut words = (program.command)(self.service);
        let gid_index = program.first_gid + u32::from(self.ipv6);
        let flags = [
            ("-g", gid_index),
            ("-s", self.size),
            ("-n", self.iterations()),
            ("-p", port.into()),
            ("-m", self.mtu),
        ];
        // Datagrams go by the port's MTU; the original knows no -m for them.
        let count = if self.service == Service::Ud { flags.len() - 1 } else { flags.len() };
        let flags = flags[..count].iter().copied();
        words.extend(flags.flat_map(|(flag, value)| [flag.to_owned(), value.to_string()]));
        words.push("-c".into());
        words
    }

    /// Fewer of the large ones: an emulated CPU moves about a thousand packets a second.
    fn iterations(&self) -> u32 {
        let packets = self.size.div_ceil(self.mtu);
        (200 / packets).clamp(2, 50)
    }

    fn verdict(&self, calling: &[String], served: &Output, called: &Output) -> Verdict {
        let done = format!("{} iters in", self.iterations());
        let good = |output: &Output| output.status == 0 && output.text.contains(&done);
        if good(served) && good(called) {
            return Verdict::Passed;
        }
        Verdict::Failed(format!(
            "{}\nserver ended with {}:\n{}\nclient ended with {}:\n{}",
            calling.join(" "),
            served.status,
            served.text,
            called.status,
            called.text
        ))
    }
}

fn original(service: Service) -> Vec<String> {
    vec![format!("ibv_{}_pingpong", service.name()), "-d".into(), "rxe0".into()]
}

fn ours(service: Service) -> Vec<String> {
    built(service, ["-d", BRIDGE])
}

fn station(service: Service) -> Vec<String> {
    built(service, ["--link", STATION])
}

fn built(service: Service, flags: [&str; 2]) -> Vec<String> {
    [ferroce().as_str(), "pingpong", flags[0], flags[1], "--qp", service.name()].map(str::to_owned).to_vec()
}

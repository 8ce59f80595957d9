//! Programs of rdma-core that connect by librdmacm, in a guest, against the same roles played by Ferroce on the host.

mod datagrams;
mod riostream;
mod rping;
mod rstream;
mod ucmatose;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferroce::cm::{CmError, ConnParam, Connection, Manager, RejectReason};
use ferroce::{Context, Nic, QueuePair};

use crate::program::Place;
use crate::tally::Verdict;
use crate::vm::{Direction, Guest, HOST_IPV4, HOST_IPV6, Loss};

/// How long one step of a program may take on an emulated CPU.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a whole program may take.
const LIMIT: Duration = Duration::from_secs(90);
/// One packet of this many is lost.
const ONE_IN: u32 = 10;

/// A program with two roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Reads and writes the client's memory (`rping`).
    Rping,
    /// Messages to and fro (`ucmatose`).
    Ucmatose,
    /// A stream over rsockets (`rstream`).
    Rstream,
    /// Memory that is written over rsockets (`riostream`).
    Riostream,
    /// Datagrams to a service and back (`udaddy`).
    Udaddy,
    /// Datagrams to a group, from the client to the server (`mckey`).
    Mckey,
}

/// One meeting.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What is played.
    pub program: Program,
    /// The guest listens.
    pub guest_serves: bool,
    /// IPv6 instead of IPv4.
    pub ipv6: bool,
    /// Packets that the guest loses.
    pub loss: Option<Direction>,
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for program in Program::ALL {
        for guest_serves in [false, true] {
            cases.push(Case { program, guest_serves, ipv6: false, loss: None });
            // The kernel does not join IPv6 groups.
            if program != Program::Mckey {
                cases.push(Case { program, guest_serves, ipv6: true, loss: None });
            }
            if program.repeats_what_is_lost() {
                let loss = if guest_serves { Direction::Sent } else { Direction::Received };
                cases.push(Case { program, guest_serves, ipv6: false, loss: Some(loss) });
            }
        }
    }
    cases
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program.name();
        let role = if self.guest_serves { "server" } else { "client" };
        let family = if self.ipv6 { "IPv6" } else { "IPv4" };
        let lost = if self.loss.is_some() { ", packets lost" } else { "" };
        write!(f, "{program}, original {role}, {family}{lost}")
    }
}

impl Program {
    const ALL: [Program; 6] = [
        Program::Rping,
        Program::Ucmatose,
        Program::Rstream,
        Program::Riostream,
        Program::Udaddy,
        Program::Mckey,
    ];

    fn repeats_what_is_lost(self) -> bool {
        !matches!(self, Program::Udaddy | Program::Mckey)
    }

    fn name(self) -> &'static str {
        match self {
            Program::Rping => "rping",
            Program::Ucmatose => "ucmatose",
            Program::Rstream => "rstream",
            Program::Riostream => "riostream",
            Program::Udaddy => "udaddy",
            Program::Mckey => "mckey",
        }
    }

    /// The command of the original at the address `own`; `server` is the address that is listened at.
    fn command(self, serves: bool, server: SocketAddr, own: IpAddr) -> Vec<String> {
        let (host, port) = (server.ip().to_string(), server.port().to_string());
        let (own, group) = (own.to_string(), datagrams::GROUP.to_string());
        let flags: &[&str] = match (self, serves) {
            (Program::Rping, true) => &["-s", "-a", &host, "-p", &port, "-C", "5", "-v", "-V"],
            (Program::Rping, false) => &["-c", "-a", &host, "-p", &port, "-C", "5", "-v", "-V"],
            (Program::Ucmatose, true) => &["-b", &host, "-p", &port, "-c", "1", "-C", "10", "-S", "3000"],
            (Program::Ucmatose, false) => &["-s", &host, "-p", &port, "-c", "1", "-C", "10", "-S", "3000"],
            (Program::Rstream, true) => &["-b", &host, "-p", &port, "-I", "3", "-C", "5", "-S", "100000"],
            (Program::Rstream, false) => &["-s", &host, "-p", &port, "-I", "3", "-C", "5", "-S", "100000"],
            (Program::Riostream, true) => {
                &["-b", &host, "-p", &port, "-I", "4", "-C", "1", "-S", "100000", "-T", "v"]
            }
            (Program::Riostream, false) => {
                &["-s", &host, "-p", &port, "-I", "4", "-C", "1", "-S", "100000", "-T", "v"]
            }
            (Program::Udaddy, true) => &["-b", &host, "-c", "1", "-C", "10", "-S", "1000"],
            (Program::Udaddy, false) => &["-s", &host, "-c", "1", "-C", "10", "-S", "1000"],
            (Program::Mckey, true) => &["-m", &group, "-b", &own, "-c", "1", "-C", "10", "-S", "1000"],
            (Program::Mckey, false) => &["-m", &group, "-s", "-b", &own, "-c", "1", "-C", "10", "-S", "1000"],
        };
        std::iter::once(self.name()).chain(flags.iter().copied()).map(str::to_owned).collect()
    }
}

impl Case {
    /// Plays it. `port` must be fresh.
    ///
    /// # Errors
    /// What went wrong on the host's side, with what the guest's wrote.
    pub fn run(&self, guest: &Guest, port: u16) -> Result<Verdict> {
        let nic = Nic::builder().name("ferroce0").address(HOST_IPV4.into()).address(HOST_IPV6.into());
        let context = Context::new(nic.open()?);
        let manager = Manager::of(&context);
        let _loss = match self.loss {
            Some(direction) => Some(Loss::start(guest, direction, ONE_IN)?),
            None => None,
        };
        let place = if self.guest_serves { Place::Guest(guest) } else { Place::Host };
        let port = if self.program == Program::Udaddy { datagrams::PORT } else { port };
        let server = SocketAddr::new(place.address(self.ipv6), port);
        let command = self.program.command(self.guest_serves, server, Place::Guest(guest).address(self.ipv6));
        // The listener is there before the client is started, or the client asks until it is.
        let (ours, theirs) = if self.guest_serves {
            let theirs = Place::Guest(guest).start(&command)?;
            (self.call(&manager, server, guest), theirs.wait(LIMIT))
        } else {
            let mut theirs = None;
            let ours = self.serve(&manager, server, || {
                theirs = Some(Place::Guest(guest).start(&command)?);
                Ok(())
            });
            (ours, theirs.context("the guest's program was not started")?.wait(LIMIT))
        };
        let theirs = match (ours, theirs) {
            (Ok(()), Ok(theirs)) => theirs,
            (ours, theirs) => {
                let counters: Vec<_> = context.nic().with(|device, _| {
                    device.cm().counters().iter().filter(|(_, count)| *count > 0).collect()
                });
                let host = ours.map_or_else(|error| format!("{error:#}"), |()| "done".to_owned());
                let guest = theirs.map_or_else(
                    |error| format!("{error:#}"),
                    |ended| format!("ended with {}:\n{}", ended.status, ended.text),
                );
                return Ok(Verdict::Failed(format!(
                    "{}\nhost: {host}\n{counters:?}\nguest: {guest}",
                    command.join(" ")
                )));
            }
        };
        // rping's server takes the end of its client for a failure of its own.
        let good = match (self.program, self.guest_serves) {
            (Program::Rping, true) => theirs.text.contains("server ping data: rdma-ping-4"),
            _ => theirs.status == 0,
        };
        Ok(match good {
            true => Verdict::Passed,
            false => Verdict::Failed(format!("guest ended with {}:\n{}", theirs.status, theirs.text)),
        })
    }

    fn serve(&self, manager: &Manager, at: SocketAddr, start: impl FnMut() -> Result<()>) -> Result<()> {
        match self.program {
            Program::Rping => rping::serve(manager, at, start),
            Program::Ucmatose => ucmatose::serve(manager, at, start),
            Program::Rstream => rstream::serve(manager, at, start),
            Program::Riostream => riostream::serve(manager, at, start),
            Program::Udaddy => datagrams::serve(manager, at, start),
            Program::Mckey => datagrams::listen_to_group(manager, at, start),
        }
    }

    fn call(&self, manager: &Manager, to: SocketAddr, guest: &Guest) -> Result<()> {
        match self.program {
            Program::Rping => rping::call(manager, to),
            Program::Ucmatose => ucmatose::call(manager, to),
            Program::Rstream => rstream::call(manager, to),
            Program::Riostream => riostream::call(manager, to),
            Program::Udaddy => datagrams::call(manager, to),
            Program::Mckey => datagrams::call_group(manager, HOST_IPV4.into(), guest),
        }
    }
}

/// Connects as soon as somebody listens. `make` makes a queue pair, with its receives, for each attempt.
fn connect<T>(
    manager: &Manager,
    to: SocketAddr,
    param: &ConnParam,
    mut make: impl FnMut(&Context) -> Result<T>,
    qp: impl Fn(&T) -> &QueuePair,
) -> Result<(T, Connection)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let dialled = manager.dial(to)?;
        let made = make(dialled.context())?;
        match dialled.connect(qp(&made), param, LIMIT) {
            Ok(connection) => return Ok((made, connection)),
            Err(CmError::Rejected { reason: RejectReason::INVALID_SERVICE_ID, .. }) => {
                ensure!(Instant::now() < deadline, "nobody listens at {to}");
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

//! Other processes with NICs: this test's own program, started again.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use ferroce_engine::*;
use ferroce_net::*;

use super::*;

/// What tells the program that it is to be a child.
const ROLE: &str = "FERROCE_TEST_CHILD";

/// What a child says begins with this; the rest is the test harness's talk.
const MARK: &str = ">> ";

/// Bytes of a child's memory.
pub(crate) const MEMORY: usize = 1 << 16;

/// A child with a NIC, a queue pair and memory that anybody may use who is connected.
pub(crate) struct Peer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) qpn: Qpn,
    pub(crate) memory: Remote,
}

impl Peer {
    /// Starts one at `addr`, whose queue pair is to be connected to `to` at `peer`. `Err` is what it says when it
    /// cannot open a NIC. The test that `test` names must call [`be_a_child`].
    pub(crate) fn start(
        test: &str,
        addr: IpAddr,
        peer: IpAddr,
        to: Qpn,
        user: Option<u32>,
    ) -> Result<Peer, String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(ROLE, format!("{addr} {peer} {}", to.value()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir("/");
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut process = command.spawn().expect("this program can be started again");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = lines.by_ref().find_map(|line| line.unwrap().strip_prefix(MARK).map(str::to_owned));
        let said = said.expect("the child says something");
        let Some(numbers) = said.strip_prefix("ready ") else {
            process.wait().unwrap();
            return Err(said);
        };
        let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        let memory = Remote { addr: numbers[1], rkey: numbers[2] as u32 };
        Ok(Peer { process, lines, qpn: Qpn::new(numbers[0] as u32), memory })
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// As a process dies that gets no chance to clean up.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Lets it end in peace, and tells what its link has counted: packets handed over and taken over.
    pub(crate) fn finish(mut self) -> [u64; 2] {
        drop(self.process.stdin.take());
        let said = self.lines.find_map(|line| line.unwrap().strip_prefix(MARK).map(str::to_owned)).unwrap();
        assert!(self.process.wait().unwrap().success());
        let counts: Vec<u64> = said.split(' ').map(|count| count.parse().unwrap()).collect();
        [counts[0], counts[1]]
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// If this process was started by [`Peer::start`]: does what such a child does, and ends.
pub(crate) fn be_a_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let role: Vec<&str> = role.split(' ').collect();
    let (addr, peer): (IpAddr, IpAddr) = (role[0].parse().unwrap(), role[1].parse().unwrap());
    match Nic::builder().address(addr).shared_memory(true).visible().open() {
        Ok(nic) => {
            let end = End::new(nic, MEMORY);
            end.connect(peer, Qpn::new(role[2].parse().unwrap()));
            let memory = end.remote(0);
            say(format_args!("ready {} {} {}", end.qp.value(), memory.addr, memory.rkey));
            // The NIC serves its peer alone, until there is no one to tell us anything.
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
            let counters = end.nic.link_counters();
            say(format_args!("{} {}", counters.rx_handed_over, counters.rx_taken_over));
        }
        Err(error) => say(format_args!("{error}")),
    }
    std::process::exit(0);
}

fn say(what: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    // The harness may have left a line unfinished.
    writeln!(out, "\n{MARK}{what}").and_then(|()| out.flush()).unwrap();
}

//! Programs of the distribution under `ferroce run`, against the same programs on soft-RoCE in a guest.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::program::{Place, ended, ferroce};
use crate::tally::Verdict;
use crate::vm::{Guest, HOST_IPV4, Output};

const LIMIT: Duration = Duration::from_secs(60);
/// How perftest says that it was refused.
const REFUSED: [&str; 2] = ["Unexpected CM event", "RDMA_CM_EVENT_REJECTED"];
/// How often two programs begin, and how much earlier the server.
const BEGINNINGS: u32 = 4;
const HEAD_START: Duration = Duration::from_millis(800);
/// For how long a client is started again when it finds no server.
const PATIENCE: Duration = Duration::from_secs(15);
/// Before that.
const PAUSE: Duration = Duration::from_millis(300);
/// How many senders to a group are started, one after the other: soft-RoCE loses datagrams that wait to be sent when
/// the program ends, though it has told it that they were.
pub(crate) const SENDERS: u32 = 5;
/// The group of `mckey`.
const GROUP: &str = "239.77.0.2";

/// How client and server find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// The server listens on a TCP port.
    Tcp,
    /// By librdmacm. A client that finds nobody is started again.
    Cm,
    /// The same, and at once again for a second connection (`perftest -R`). A client that is faster than its server's
    /// second call to listen is refused for good; then both begin again.
    CmTwice,
    /// The server is a member of the group.
    Group,
}

/// Two programs that belong together. In commands DEVICE, GID and OWN stand for the device, its GID index and its
/// address, SERVER for the server's address, PORT for a port of the case's own.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    server: &'static str,
    /// The server's command and its address, if empty.
    client: &'static str,
    /// Flags for the side that runs on Ferroce, of what soft-RoCE does not offer.
    here: &'static str,
    meeting: Meeting,
    /// The server's status says nothing: it takes the end of its client for an error, or does not end.
    client_decides: bool,
}

const fn tcp(server: &'static str) -> Case {
    Case { server, client: "", here: "", meeting: Meeting::Tcp, client_decides: false }
}

const fn cm(server: &'static str, client: &'static str) -> Case {
    Case { server, client, here: "", meeting: Meeting::Cm, client_decides: false }
}

const fn cm_twice(server: &'static str) -> Case {
    Case { meeting: Meeting::CmTwice, ..cm(server, "") }
}

/// All of them. Two are missing, because soft-RoCE of Linux 6.12 fails in them with itself: `udpong` (`rconnect: No such
/// file or directory`), and `ib_send_lat -e`, in which a server now and then sleeps past a message that has come.
pub const CASES: &[Case] = &[
    tcp("ibv_rc_pingpong -d DEVICE -g GID -p PORT -n 200 -c"),
    tcp("ibv_rc_pingpong -d DEVICE -g GID -p PORT -n 200 -c -e"),
    tcp("ibv_rc_pingpong -d DEVICE -g GID -p PORT -n 200 -c -N"),
    Case { here: "-t", ..tcp("ibv_rc_pingpong -d DEVICE -g GID -p PORT -n 200 -c") },
    tcp("ibv_uc_pingpong -d DEVICE -g GID -p PORT -n 200 -c"),
    tcp("ibv_uc_pingpong -d DEVICE -g GID -p PORT -n 200 -c -e"),
    tcp("ibv_ud_pingpong -d DEVICE -g GID -p PORT -n 200 -c"),
    tcp("ibv_ud_pingpong -d DEVICE -g GID -p PORT -n 200 -c -e"),
    tcp("ibv_srq_pingpong -d DEVICE -g GID -p PORT -n 200 -c"),
    tcp("ibv_srq_pingpong -d DEVICE -g GID -p PORT -n 200 -c -e"),
    tcp("ib_send_bw -d DEVICE -x GID -p PORT -F -c RC -s 65536 -n 20"),
    tcp("ib_send_bw -d DEVICE -x GID -p PORT -F -c RC -s 1000 -n 20 -e"),
    tcp("ib_send_bw -d DEVICE -x GID -p PORT -F -c UC -s 1000 -n 5"),
    tcp("ib_send_bw -d DEVICE -x GID -p PORT -F -c UD -s 1000 -n 5"),
    tcp("ib_send_lat -d DEVICE -x GID -p PORT -F -c RC -n 100"),
    tcp("ib_send_lat -d DEVICE -x GID -p PORT -F -c UC -n 100"),
    tcp("ib_send_lat -d DEVICE -x GID -p PORT -F -c UD -n 100"),
    tcp("ib_write_bw -d DEVICE -x GID -p PORT -F -c RC -s 65536 -n 20"),
    // An emulated CPU may need longer than the usual 67 ms to get through what has come.
    tcp("ib_write_bw -d DEVICE -x GID -p PORT -F -c RC -s 8388608 -n 5 -u 18"),
    tcp("ib_write_bw -d DEVICE -x GID -p PORT -F -c RC -s 1000 -n 20 -q 16 -b"),
    tcp("ib_write_bw -d DEVICE -x GID -p PORT -F -c UC -s 1000 -n 20"),
    tcp("ib_write_lat -d DEVICE -x GID -p PORT -F -c RC -n 100"),
    tcp("ib_write_lat -d DEVICE -x GID -p PORT -F -c UC -n 100"),
    tcp("ib_read_bw -d DEVICE -x GID -p PORT -F -c RC -s 65536 -n 20"),
    tcp("ib_read_bw -d DEVICE -x GID -p PORT -F -c RC -s 1000 -D 1"),
    tcp("ib_read_lat -d DEVICE -x GID -p PORT -F -c RC -n 100"),
    tcp("ib_atomic_bw -d DEVICE -x GID -p PORT -F -c RC -n 100"),
    tcp("ib_atomic_bw -d DEVICE -x GID -p PORT -F -c RC -n 100 -A CMP_AND_SWAP"),
    tcp("ib_atomic_lat -d DEVICE -x GID -p PORT -F -c RC -n 100"),
    cm_twice("ib_send_bw -d DEVICE -x GID -p PORT -F -R -s 65536 -n 20"),
    cm_twice("ib_send_lat -d DEVICE -x GID -p PORT -F -R -n 100"),
    cm_twice("ib_write_bw -d DEVICE -x GID -p PORT -F -R -s 65536 -n 20"),
    cm_twice("ib_write_lat -d DEVICE -x GID -p PORT -F -R -n 100"),
    cm_twice("ib_read_bw -d DEVICE -x GID -p PORT -F -R -s 65536 -n 20"),
    cm_twice("ib_read_lat -d DEVICE -x GID -p PORT -F -R -n 100"),
    cm_twice("ib_atomic_bw -d DEVICE -x GID -p PORT -F -R -n 100"),
    cm_twice("ib_atomic_lat -d DEVICE -x GID -p PORT -F -R -n 100"),
    Case {
        client_decides: true,
        ..cm("rping -s -a OWN -p PORT -C 10 -V", "rping -c -a SERVER -p PORT -C 10 -V")
    },
    cm("ucmatose -b OWN -p PORT -c 2 -C 10 -S 3000", "ucmatose -s SERVER -p PORT -c 2 -C 10 -S 3000"),
    cm("udaddy -b OWN -C 10 -S 1000", "udaddy -s SERVER -C 10 -S 1000"),
    cm("rdma_server -p PORT", "rdma_client -s SERVER -p PORT"),
    cm("rstream -b OWN -p PORT -C 5 -S 100000", "rstream -s SERVER -p PORT -C 5 -S 100000"),
    cm("riostream -b OWN -p PORT -C 5 -S 100000", "riostream -s SERVER -p PORT -C 5 -S 100000"),
    Case {
        meeting: Meeting::Group,
        ..cm("mckey -m 239.77.0.2 -b OWN -C 10 -S 1000", "mckey -m 239.77.0.2 -s -b OWN -C 10 -S 1000")
    },
];

impl Case {
    /// What is run, without what differs from side to side.
    pub fn name(&self) -> String {
        let plain =
            |word: &&str| !["DEVICE", "GID", "PORT", "OWN", "-d", "-g", "-x", "-p", "-F"].contains(word);
        let words: Vec<_> = self.server.split(' ').filter(plain).chain(self.here.split(' ')).collect();
        words.join(" ").trim_end().to_owned()
    }

    /// Why it cannot be played in these roles, if so.
    pub fn obstacle(&self, guest_serves: bool) -> Option<&'static str> {
        (guest_serves && self.meeting == Meeting::CmTwice).then_some(
            "perftest's client asks for its second connection at once and is refused if the server does not listen \
             yet, as one on an emulated CPU never does",
        )
    }

    /// Runs the two, one of them in the guest. `port` must be fresh.
    ///
    /// # Errors
    /// When a program cannot be started.
    pub fn run(&self, guest: &Guest, guest_serves: bool, port: u16) -> Result<Verdict> {
        let mut verdict = self.once(guest, guest_serves, port, HEAD_START)?;
        for beginning in 2..=BEGINNINGS {
            // See `Meeting::CmTwice`.
            if matches!(&verdict, Verdict::Failed(why) if REFUSED.iter().any(|text| why.contains(text))) {
                verdict = self.once(guest, guest_serves, port, HEAD_START * beginning)?;
            }
        }
        Ok(verdict)
    }

    fn once(&self, guest: &Guest, guest_serves: bool, port: u16, head_start: Duration) -> Result<Verdict> {
        let sides = [Place::Guest(guest), Place::Host];
        let [server, client] = if guest_serves { sides } else { [sides[1], sides[0]] };
        let to = server.address(false);
        let serving = server.start(&self.words(self.server, server, to, port))?;
        let calling = match self.client {
            "" => [self.words(self.server, client, to, port), vec![to.to_string()]].concat(),
            words => self.words(words, client, to, port),
        };
        let call = || -> Result<Output> { Ok(ended(client.start(&calling)?.wait(LIMIT))) };
        let called = match self.meeting {
            Meeting::Tcp => {
                server.wait_for_listener(port)?;
                call()?
            }
            Meeting::CmTwice => {
                thread::sleep(head_start);
                call()?
            }
            Meeting::Cm => call_until_it_is_there(call)?,
            Meeting::Group => {
                server.wait_for_member(GROUP.parse()?)?;
                thread::sleep(PAUSE);
                for _ in 1..SENDERS {
                    call()?;
                }
                call()?
            }
        };
        let served = ended(serving.wait(Duration::from_secs(if self.client_decides { 1 } else { 10 })));
        if called.status == 0 && (served.status == 0 || self.client_decides) {
            return Ok(Verdict::Passed);
        }
        Ok(Verdict::Failed(format!(
            "{}\nserver ended with {}:\n{}\nclient ended with {}:\n{}",
            calling.join(" "),
            served.status,
            served.text,
            called.status,
            called.text
        )))
    }

    fn words(&self, command: &str, place: Place<'_>, server: IpAddr, port: u16) -> Vec<String> {
        let is_guest = matches!(place, Place::Guest(_));
        let (device, gid) = if is_guest { ("rxe0", "1") } else { ("ferroce0", "0") };
        let word = |word: &str| match word {
            "DEVICE" => device.to_owned(),
            "GID" => gid.to_owned(),
            "PORT" => port.to_string(),
            "OWN" => place.address(false).to_string(),
            "SERVER" => server.to_string(),
            other => other.to_owned(),
        };
        let words = command.split_whitespace().map(word);
        if is_guest {
            return words.collect();
        }
        let run = [ferroce(), "run".into(), "--address".into(), HOST_IPV4.to_string(), "--".into()];
        run.into_iter().chain(words).chain(self.here.split_whitespace().map(str::to_owned)).collect()
    }
}

fn call_until_it_is_there(call: impl Fn() -> Result<Output>) -> Result<Output> {
    let start = Instant::now();
    loop {
        let called = call()?;
        if called.status == 0 || start.elapsed() > PATIENCE {
            return Ok(called);
        }
        thread::sleep(PAUSE);
    }
}

//! What there is to see of a running NIC, and how to see it from another process.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ferroce_engine::{QpSnapshot, Snapshot, Time};

use crate::control::Control;
use crate::error::NetError;
use crate::link::{LinkCounters, LinkInfo};
use crate::share::{LOOKS, runtime_directory};

/// First line of every look.
const MARK: &str = "ferroce-look 1";
/// Bytes of the longest look that is believed: 10 000 queue pairs and more.
const LONGEST: u64 = 4 << 20;
/// How long a NIC may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Queue pairs in a look; those after them are only counted.
const QPS: usize = 1_000;

/// A running NIC at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Nanoseconds since it was opened.
    pub now: u64,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What its link is made of.
    pub link: String,
    /// What device and link have counted, by name.
    pub counters: BTreeMap<String, u64>,
    /// What came of a request that was made with the look.
    pub answer: Option<Result<(), String>>,
    /// All its queue pairs.
    pub qp_count: u64,
    /// The first of them.
    pub qps: Vec<QpLook>,
}

/// A queue pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QpLook {
    /// Its number.
    pub qpn: u32,
    /// Its state, as libibverbs programs print it.
    pub state: String,
    /// The peer's queue pair.
    pub peer: u32,
    /// Requests in its send queue, and how many it can hold.
    pub sends: (u32, u32),
    /// Receives in its receive queue, and how many it can hold.
    pub receives: (u32, u32),
    /// The oldest PSN that is not acknowledged, the next to be sent, the one expected.
    pub psns: [u32; 3],
}

impl Look {
    pub(crate) fn new(
        now: Time,
        snapshot: &Snapshot,
        addresses: &[IpAddr],
        link: &LinkCounters,
        info: &LinkInfo,
    ) -> Look {
        let mut counters: BTreeMap<String, u64> =
            snapshot.counters.iter().map(|(name, count)| (name.to_owned(), count)).collect();
        counters.extend(link.iter().map(|(name, count)| (format!("link_{name}"), count)));
        Look {
            name: snapshot.name.clone(),
            pid: std::process::id(),
            now: now.nanos(),
            addresses: addresses.to_vec(),
            link: info.layers.join(" "),
            counters,
            answer: None,
            qp_count: snapshot.qps.len() as u64,
            qps: snapshot.qps.iter().take(QPS).map(QpLook::new).collect(),
        }
    }

    /// The sockets of all NICs that let themselves be looked at, in order. Some may belong to processes that were
    /// killed.
    ///
    /// # Errors
    /// When the user's directory cannot be used.
    pub fn all() -> Result<Vec<PathBuf>, NetError> {
        let mut all = Vec::new();
        let listed = NetError::system("list the directory of running NICs");
        let entries = std::fs::read_dir(runtime_directory()?).map_err(listed)?;
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(LOOKS) {
                all.push(entry.path());
            }
        }
        all.sort();
        Ok(all)
    }

    /// Looks at a NIC.
    ///
    /// # Errors
    /// When it does not answer, or not as it should.
    pub fn at(socket: &Path) -> io::Result<Look> {
        Look::ask(socket, "")
    }

    /// Asks a NIC for something, and looks at it then; [`answer`](Look::answer) says what came of it.
    ///
    /// # Errors
    /// As [`at`](Look::at).
    pub fn control(socket: &Path, control: &Control) -> io::Result<Look> {
        Look::ask(socket, &control.to_string())
    }

    fn ask(socket: &Path, request: &str) -> io::Result<Look> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut text = String::new();
        stream.take(LONGEST).read_to_string(&mut text)?;
        Look::parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is no look at a NIC"))
    }

    /// Reads what its `Display` writes; lines that are not known are passed over.
    pub fn parse(text: &str) -> Option<Look> {
        let mut lines = text.lines();
        if lines.next() != Some(MARK) {
            return None;
        }
        let mut look = Look::default();
        for line in lines {
            let (key, value) = line.split_once(' ')?;
            match key {
                "name" => look.name = value.to_owned(),
                "pid" => look.pid = value.parse().ok()?,
                "now" => look.now = value.parse().ok()?,
                "address" => look.addresses.push(value.parse().ok()?),
                "done" => look.answer = Some(Ok(())),
                "refused" => look.answer = Some(Err(value.to_owned())),
                "link" => look.link = value.to_owned(),
                "counter" => {
                    let (name, count) = value.split_once(' ')?;
                    look.counters.insert(name.to_owned(), count.parse().ok()?);
                }
                "qps" => look.qp_count = value.parse().ok()?,
                "qp" => look.qps.push(QpLook::parse(value)?),
                _ => {}
            }
        }
        Some(look)
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one_line = |text: &str| text.replace(['\n', '\r'], " ");
        writeln!(f, "{MARK}\nname {}\npid {}\nnow {}", one_line(&self.name), self.pid, self.now)?;
        self.addresses.iter().try_for_each(|address| writeln!(f, "address {address}"))?;
        match &self.answer {
            Some(Ok(())) => writeln!(f, "done .")?,
            Some(Err(why)) => writeln!(f, "refused {}", one_line(why))?,
            None => {}
        }
        writeln!(f, "link {}", one_line(&self.link))?;
        self.counters.iter().try_for_each(|(name, count)| writeln!(f, "counter {name} {count}"))?;
        writeln!(f, "qps {}", self.qp_count)?;
        self.qps.iter().try_for_each(|qp| writeln!(f, "qp {qp}"))
    }
}

impl QpLook {
    fn new(qp: &QpSnapshot) -> QpLook {
        QpLook {
            qpn: qp.qpn.value(),
            state: qp.state.name().to_owned(),
            peer: qp.dest_qpn.value(),
            sends: (qp.requester.queue.len() as u32, qp.requester.depth),
            receives: (qp.responder.queue.len() as u32, qp.responder.depth),
            psns: [qp.requester.unacked.value(), qp.requester.next.value(), qp.responder.expected.value()],
        }
    }

    fn parse(text: &str) -> Option<QpLook> {
        let words: Vec<&str> = text.split(' ').collect();
        let [qpn, state, numbers @ ..] = &words[..] else { return None };
        let numbers: Vec<u32> = numbers.iter().map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let [peer, sends, send_room, receives, receive_room, unacked, next, expected, ..] = numbers[..]
        else {
            return None;
        };
        Some(QpLook {
            qpn: qpn.parse().ok()?,
            state: (*state).to_owned(),
            peer,
            sends: (sends, send_room),
            receives: (receives, receive_room),
            psns: [unacked, next, expected],
        })
    }
}

impl fmt::Display for QpLook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QpLook { qpn, state, peer, sends, receives, psns: [unacked, next, expected] } = self;
        write!(f, "{qpn} {state} {peer} {} {} {} {} ", sends.0, sends.1, receives.0, receives.1)?;
        write!(f, "{unacked} {next} {expected}")
    }
}

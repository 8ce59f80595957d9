//! A peer behind a connection: `tests/guest/agent.py` in a guest, or on a machine that ssh leads to.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use serde::Deserialize;

use super::{Kind, Peer, PeerError, Reply, Request};
use crate::stream::Stream;
use crate::vm::{Guest, Kernel};

/// Longer than any request may take: the longest wait is a poll with its own limit of seconds.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// An RDMA device elsewhere.
#[derive(Debug)]
pub struct RemotePeer {
    stream: BufReader<Stream>,
    kind: Kind,
    /// GID indices of its IPv4 and its IPv6 address.
    gids: [Option<u8>; 2],
}

impl RemotePeer {
    /// A new device context on `guest`'s `rxe0`.
    ///
    /// # Errors
    /// When the guest does not answer.
    pub fn open(guest: &Guest) -> anyhow::Result<Self> {
        let kind = match guest.kernel {
            Kernel::V6_1 => Kind::Rxe61,
            Kernel::V6_12 => Kind::Rxe612,
        };
        Self::on(guest.connect()?, "rxe0", kind, [Some(1), Some(2)])
    }

    /// A new device context through a connection to a command server.
    ///
    /// # Errors
    /// When it does not take the request.
    pub(crate) fn on(
        mut stream: Stream,
        device: &str,
        kind: Kind,
        gids: [Option<u8>; 2],
    ) -> anyhow::Result<Self> {
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        writeln!(stream, "{}", serde_json::json!({ "verbs": device }))?;
        Ok(Self { stream: BufReader::new(stream), kind, gids })
    }

    /// Scenarios count GIDs as soft-RoCE does; devices differ.
    fn translated(&self, request: Request) -> Result<Request, PeerError> {
        let Request::Open { gid_index } = request else { return Ok(request) };
        let gid = usize::from(gid_index).checked_sub(1).and_then(|index| *self.gids.get(index)?);
        let family = if gid_index == 2 { "IPv6" } else { "IPv4" };
        match gid {
            Some(gid_index) => Ok(Request::Open { gid_index }),
            None => Err(PeerError::Lacks(format!("the device has no RoCEv2 GID with an {family} address"))),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok(Reply),
    Err { text: String, errno: Option<i32> },
}

impl Peer for RemotePeer {
    fn call(&mut self, request: Request) -> Result<Reply, PeerError> {
        let request = self.translated(request)?;
        let lost = |error: &dyn std::fmt::Display| PeerError::Lost(error.to_string());
        let mut line = serde_json::to_string(&request).map_err(|error| lost(&error))?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|error| lost(&error))?;
        line.clear();
        if self.stream.read_line(&mut line).map_err(|error| lost(&error))? == 0 {
            return Err(PeerError::Lost(format!("{} closed the connection during {request:?}", self.kind)));
        }
        match serde_json::from_str(&line).map_err(|error| lost(&format!("{error} in {line}")))? {
            Answer::Ok(reply) => Ok(reply),
            Answer::Err { text, errno } => Err(PeerError::Refused { text, errno }),
        }
    }

    fn kind(&self) -> Kind {
        self.kind
    }
}

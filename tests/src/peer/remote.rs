//! A peer behind a TCP connection: `tests/guest/agent.py` in a guest.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::Deserialize;

use super::{Kind, Peer, PeerError, Reply, Request};
use crate::vm::{Guest, Kernel};

/// Longer than any request may take: the longest wait is a poll with its own limit of seconds.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// The soft-RoCE device of a guest.
#[derive(Debug)]
pub struct RemotePeer {
    stream: BufReader<TcpStream>,
    kind: Kind,
}

impl RemotePeer {
    /// A new device context on `guest`'s `rxe0`.
    ///
    /// # Errors
    /// When the guest does not answer.
    pub fn open(guest: &Guest) -> anyhow::Result<Self> {
        let mut stream = guest.connect()?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        writeln!(stream, "{}", serde_json::json!({ "verbs": "rxe0" }))?;
        let kind = match guest.kernel {
            Kernel::V6_1 => Kind::Rxe61,
            Kernel::V6_12 => Kind::Rxe612,
        };
        Ok(Self { stream: BufReader::new(stream), kind })
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

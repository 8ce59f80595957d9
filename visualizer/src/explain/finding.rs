//! What can be said about a capture beyond counting: each finding is of a kind, names its packets and can be
//! put into a sentence.

use std::fmt;

use serde::Serialize;

use super::detail::Detail;
use super::words::sentence;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something was lost or repeated, and the transport is made for that.
    Warning,
    /// Something failed.
    Error,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The packets say so.
    Certain,
    /// The packets can hardly be read otherwise.
    Likely,
}

/// A finding, ready to be shown.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Stable name of its kind, as in `psn.gap`.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// The `id` of the connection it is about, if it is about one.
    pub connection: Option<usize>,
    /// The packets that show it, by number from 1; at most [`MAX_EVIDENCE`].
    pub packets: Vec<u64>,
    /// How many packets show it.
    pub packet_count: u64,
    /// The first and the last PSN that it is about, if it is about PSNs.
    pub psns: Option<(u32, u32)>,
    /// It in plain language.
    pub text: String,
}

/// Packet numbers kept per finding.
pub const MAX_EVIDENCE: usize = 64;
/// Findings kept per capture.
pub const MAX_FINDINGS: usize = 20_000;

/// A finding while packets may still change it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) connection: Option<usize>,
    /// Which end's requests it is about: the index into the ends of the connection.
    pub(super) requester: usize,
    pub(super) detail: Detail,
    packets: Vec<u64>,
    packet_count: u64,
}

impl Draft {
    /// Adds a packet to those that show it.
    pub(super) fn add_packet(&mut self, number: u64) {
        self.packet_count += 1;
        if self.packets.len() < MAX_EVIDENCE {
            self.packets.push(number);
        }
    }

    pub(super) fn first_packet(&self) -> u64 {
        self.packets.first().copied().unwrap_or(0)
    }

    /// The finding in words; the two names are those of the requester and the responder.
    pub(super) fn finish(self, connection: Option<usize>, requester: &str, responder: &str) -> Finding {
        let (kind, severity, confidence) = self.detail.class();
        let text = sentence(&self.detail, requester, responder);
        let psns = self.detail.psns().map(|(from, to)| (from.value(), to.value()));
        let Self { packets, packet_count, .. } = self;
        Finding { kind, severity, confidence, connection, packets, packet_count, psns, text }
    }
}

/// Findings being collected, at most [`MAX_FINDINGS`] of them.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) drafts: Vec<Draft>,
    pub(super) left_out: u64,
}

/// Which draft; of one that was left out, nothing.
pub(super) type DraftId = Option<usize>;

impl Findings {
    /// Notes a finding that shows in the packet `number`.
    pub(super) fn add(&mut self, connection: Option<(usize, usize)>, number: u64, detail: Detail) -> DraftId {
        if self.drafts.len() >= MAX_FINDINGS {
            self.left_out += 1;
            return None;
        }
        let (connection, requester) = match connection {
            Some((connection, requester)) => (Some(connection), requester),
            None => (None, 0),
        };
        let (packets, packet_count) = if number == 0 { (Vec::new(), 0) } else { (vec![number], 1) };
        self.drafts.push(Draft { connection, requester, detail, packets, packet_count });
        Some(self.drafts.len() - 1)
    }

    pub(super) fn draft(&mut self, id: DraftId) -> Option<&mut Draft> {
        self.drafts.get_mut(id?)
    }
}

/// Bits per second in the unit that suits them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(pub(super) u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bits @ 1_000_000_000.. => write!(f, "{:.2} Gb/s", bits as f64 / 1e9),
            bits => write!(f, "{:.2} Mb/s", bits as f64 / 1e6),
        }
    }
}

/// The address of an Ethernet port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mac(pub(super) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

/// A span of time in the unit that suits it.
#[derive(Clone, Copy, Debug)]
pub struct Duration(
    /// Nanoseconds.
    pub u64,
);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0;
        match nanos {
            0..=999 => write!(f, "{nanos} ns"),
            1_000..=999_999 => write!(f, "{:.1} us", nanos as f64 / 1e3),
            1_000_000..=999_999_999 => write!(f, "{:.1} ms", nanos as f64 / 1e6),
            _ => write!(f, "{:.2} s", nanos as f64 / 1e9),
        }
    }
}

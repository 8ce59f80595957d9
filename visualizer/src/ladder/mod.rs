//! Packets between two ends, one under the other, time running downwards: as text and as SVG.

mod capture;
mod svg;
mod text;

pub use svg::svg;
pub use text::{Strokes, lines};

/// A ladder.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// What the two ends are called.
    pub ends: [String; 2],
    /// The packets, in order.
    pub rungs: Vec<Rung>,
    /// Packets of the connection that are not shown.
    pub left_out: usize,
}

/// One packet, or a packet that should be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// Its number in the capture; none if it was never seen.
    pub number: Option<u64>,
    /// Nanoseconds since the first packet of the capture.
    pub at: u64,
    /// Which end sent it.
    pub from: usize,
    /// What it is.
    pub label: String,
    /// It answers, and carries no request.
    pub answer: bool,
    /// It was sent before.
    pub again: bool,
    /// It does not reach the other end, as far as can be known.
    pub lost: bool,
    /// What is to say about it.
    pub note: String,
}

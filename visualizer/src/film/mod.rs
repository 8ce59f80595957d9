//! A run that can be looked at from its beginning to its end, in both directions.
//!
//! A [`Film`] is what happened, frame by frame: a [recording](ferroce_recording), a capture, or a [`Story`] that was
//! played in the fabric. A [`Scene`] is what there is to see after a number of frames; it is a pure function of
//! them. A [`Reel`] goes to any frame at once: it keeps scenes on the way and plays on from the nearest one.

mod capture;
mod ends;
mod find;
mod keys;
mod load;
mod memory;
mod network;
mod origin;
mod reel;
mod scene;
mod side;
mod story;
mod switch;
mod tell;

use ferroce_engine::Time;
use ferroce_recording::{Header, HostRecord, Record, SwitchHeader, What, Writer};

pub use find::Goal;
pub use keys::{KeyScene, Keys};
pub use load::{LoadError, load};
pub use memory::{Access, Key, LINE, Memory, Place};
pub use network::NetworkStory;
pub use origin::Origin;
pub use reel::{CHECKPOINTS, Reel};
pub use scene::{HostScene, Rung, Scene};
pub use side::{QpScene, SendScene};
pub use story::{Fault, FaultKind, Message, Op, Story, StoryError};
pub use switch::PortScene;
pub use tell::tell;
pub(crate) use tell::{cause_in_words, short};

/// Frames that are kept of a run.
pub const MAX_FRAMES: usize = 1 << 20;

/// What happened in a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Film {
    /// What it is called.
    pub title: String,
    /// Who takes part.
    pub hosts: Vec<HostRecord>,
    /// What stands between them.
    pub switches: Vec<SwitchHeader>,
    /// In order of time.
    pub frames: Vec<Record>,
    /// What is to say about the film itself: where it is damaged, what was left out.
    pub remarks: Vec<String>,
    /// What makes it again, if it can be made again.
    pub origin: Option<Origin>,
}

impl Film {
    /// Whether packets are in it, and not only what devices say about them.
    pub fn has_packets(&self) -> bool {
        self.frames.iter().take(1_000).any(|frame| matches!(frame.what, What::Packet(_)))
    }

    /// The moment of a position: of the frame before it.
    pub fn time(&self, position: usize) -> Time {
        position.checked_sub(1).and_then(|last| self.frames.get(last)).map_or(Time::ZERO, |frame| frame.at)
    }

    /// The first position at which two films differ: all frames before it are the same.
    pub fn parting(&self, other: &Film) -> usize {
        let pairs = self.frames.iter().zip(&other.frames);
        pairs.take_while(|(mine, theirs)| mine == theirs).count()
    }

    /// The same run, with another fate for the packet in this frame.
    ///
    /// # Errors
    /// When the run cannot be made again, or there is no packet in the frame.
    pub fn fork(&self, frame: usize, kind: FaultKind) -> Result<Film, StoryError> {
        let origin = self.origin.as_ref().ok_or(StoryError::NoStory)?;
        let Some(Record { host, what: What::Packet(_), .. }) = self.frames.get(frame) else {
            return Err(StoryError::NoPacket);
        };
        let sent = |record: &&Record| record.host == *host && matches!(record.what, What::Packet(_));
        let nth = self.frames[..=frame].iter().filter(sent).count() as u64;
        let film = origin.with(Fault { host: *host, nth, kind }).play()?;
        Ok(Film { title: self.title.clone(), ..film })
    }

    /// Writes it as a recording.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: impl std::io::Write) -> std::io::Result<()> {
        let scenario = self.origin.as_ref().map(serde_json::to_value).transpose()?;
        let switches = self.switches.clone();
        let header = Header { scenario, switches, ..Header::new(self.hosts.clone(), self.origin.is_some()) };
        let mut writer = Writer::new(out, &header)?;
        self.frames.iter().try_for_each(|frame| writer.write(frame))?;
        writer.finish()?.flush()
    }
}

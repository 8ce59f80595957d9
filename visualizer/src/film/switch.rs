//! Ports of switches in a scene.

use ferroce_engine::Time;
use ferroce_recording::{SwitchRecord, SwitchStep};

/// What there is to see of a port of a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortScene {
    /// Bytes that wait, by priority.
    pub queued: [u64; 8],
    /// Most bytes that waited at once, all priorities together.
    pub most: u64,
    /// Packets that left.
    pub sent: u64,
    /// Packets that were marked.
    pub marked: u64,
    /// Packets that were dropped.
    pub dropped: u64,
    /// How often the peer was asked to pause.
    pub asked: u64,
    /// Priorities, as bits, that the peer is asked to pause.
    pub asking: u8,
    /// Priorities, as bits, that are paused.
    pub paused: u8,
    /// Since when one of them has been.
    pub since: Option<Time>,
}

impl PortScene {
    /// Bytes that wait, all priorities together.
    pub fn waiting(&self) -> u64 {
        self.queued.iter().sum()
    }

    pub(super) fn play(&mut self, now: Time, record: &SwitchRecord) {
        let priority = record.priority & 7;
        let bit = 1 << priority;
        self.queued[usize::from(priority)] = record.queued;
        self.most = self.most.max(self.waiting());
        match record.step {
            SwitchStep::Queued => {}
            SwitchStep::Sent => self.sent += 1,
            SwitchStep::Marked => self.marked += 1,
            SwitchStep::Dropped(_) => self.dropped += 1,
            SwitchStep::AsksToPause => {
                self.asked += 1;
                self.asking |= bit;
            }
            SwitchStep::AsksToGoOn => self.asking &= !bit,
            SwitchStep::Pauses => {
                self.paused |= bit;
                self.since.get_or_insert(now);
            }
            SwitchStep::GoesOn => {
                self.paused &= !bit;
                self.since = self.since.filter(|_| self.paused != 0);
            }
        }
    }
}

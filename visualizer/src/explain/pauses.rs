//! Ports that ask their neighbours to pause, and for how long.
//!
//! How long a pause frame lasts depends on the rate of the link, which no capture tells. Ten gigabits per second, the
//! slowest on which RDMA is common, is taken for it; whoever means to stop a faster link for long says so again sooner.

use std::collections::BTreeMap;

use super::detail::Detail;
use super::finding::Findings;
use super::sighting::PauseFrame;

/// Ports that are remembered.
const MAX_PORTS: usize = 256;
/// How long a quantum of 512 bit times lasts at ten gigabits per second, in tenths of nanoseconds.
const QUANTUM: u64 = 512;
/// Pauses of so many nanoseconds together can be a storm, and so long without one ends it. A congested switch asks for
/// microseconds at a time.
const STORM: u64 = 10_000_000;

/// What was asked for, by port.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    ports: BTreeMap<[u8; 6], Port>,
}

#[derive(Debug)]
struct Port {
    first_packet: u64,
    frames: u64,
    priorities: [Asked; 8],
}

/// Pauses of a priority.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// The one that lasts: since when, and until when if nothing else is said.
    open: Option<(u64, u64)>,
    /// Nanoseconds of all that are over.
    paused: u64,
    /// Those that are over and follow each other closely: when the first began, when the last ended, and nanoseconds
    /// of pauses in between.
    spell: Option<(u64, u64, u64)>,
    /// Of all such that were storms, the longest: nanoseconds of pauses, and of everything.
    storm: Option<(u64, u64)>,
}

impl Pauses {
    /// Takes in a frame of this number, captured at `time` in nanoseconds.
    pub(super) fn take(&mut self, frame: &PauseFrame, number: u64, time: u64) {
        if self.ports.len() == MAX_PORTS && !self.ports.contains_key(&frame.src) {
            return;
        }
        let new = Port { first_packet: number, frames: 0, priorities: Default::default() };
        let port = self.ports.entry(frame.src).or_insert(new);
        port.frames += 1;
        for (asked, quanta) in port.priorities.iter_mut().zip(frame.quanta) {
            if let Some(quanta) = quanta {
                asked.close(time);
                asked.open = (quanta > 0).then(|| (time, time + u64::from(quanta) * QUANTUM / 10));
            }
        }
    }

    /// The capture ends at `end`.
    pub(super) fn finish(&mut self, end: u64, findings: &mut Findings) {
        for (port, Port { first_packet, frames, priorities }) in std::mem::take(&mut self.ports) {
            let closed = priorities.map(|mut asked| {
                asked.close(end);
                asked
            });
            let storms =
                closed.iter().enumerate().filter_map(|(priority, asked)| Some((asked.storm?, priority)));
            let detail = match storms.max_by_key(|(storm, priority)| (*storm, 8 - priority)) {
                Some(((paused, of), priority)) => Detail::PauseStorm { port, priority, frames, paused, of },
                None => {
                    let paused = closed.iter().map(|asked| asked.paused).max().unwrap_or(0);
                    Detail::Paused { port, frames, paused }
                }
            };
            findings.add(None, first_packet, detail);
        }
    }
}

impl Asked {
    /// Ends the pause that lasts, if it is not over already.
    fn close(&mut self, now: u64) {
        let Some((since, until)) = self.open.take() else { return };
        let ended = now.clamp(since, until);
        self.paused += ended - since;
        let (first, paused) = match self.spell {
            Some((first, end, paused)) if since.saturating_sub(end) < STORM => (first, paused),
            _ => (since, 0),
        };
        let (paused, of) = (paused + ended - since, ended.saturating_sub(first));
        self.spell = Some((first, ended, paused));
        if paused >= STORM && paused >= of / 2 {
            self.storm = self.storm.max(Some((paused, of)));
        }
    }
}

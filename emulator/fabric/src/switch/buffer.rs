//! Who holds how much of a switch's memory, and whether one more packet may come in.

use super::config::{PRIORITIES, SwitchConfig};

/// What becomes of a packet that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is stored.
    Stored,
    /// It is stored, and its sender must pause.
    StoredAndPause,
    /// There is no room, though PFC should have seen to it: its headroom is too small.
    HeadroomFull,
    /// There is no room, and nobody promised any.
    Full,
}

/// The memory of a switch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    /// Bytes that are nobody's headroom.
    pub shared: u64,
    /// Of these, in use.
    pub used: u64,
    /// By port of ingress.
    ports: Vec<[Ingress; PRIORITIES]>,
}

/// What one priority of one port has brought in that is not gone again.
#[derive(Clone, Copy, Debug, Default)]
struct Ingress {
    bytes: u64,
    headroom: u64,
    pausing: bool,
}

impl Buffer {
    /// Divides the memory anew, for a port more.
    pub(crate) fn add_port(&mut self, config: &SwitchConfig) {
        self.ports.push(Default::default());
        let lossless = u64::from(config.lossless.count_ones());
        let reserved = (self.ports.len() as u64 * lossless).saturating_mul(config.headroom);
        self.shared = config.buffer.saturating_sub(reserved);
    }

    /// A packet of `len` bytes and this priority came in by `port`, for an egress queue that holds `queued`.
    pub(crate) fn admit(
        &mut self,
        config: &SwitchConfig,
        port: usize,
        priority: usize,
        len: u64,
        queued: u64,
    ) -> Admission {
        let free = self.shared - self.used;
        let ingress = &mut self.ports[port][priority];
        if config.lossless >> priority & 1 == 0 {
            if len > free || queued + len > config.drop_at.bytes(free) {
                return Admission::Full;
            }
            (self.used, ingress.bytes) = (self.used + len, ingress.bytes + len);
            return Admission::Stored;
        }
        if len <= free && ingress.headroom == 0 && ingress.bytes + len <= config.pause_at.bytes(free) {
            (self.used, ingress.bytes) = (self.used + len, ingress.bytes + len);
            return Admission::Stored;
        }
        if ingress.headroom + len > config.headroom {
            return Admission::HeadroomFull;
        }
        ingress.headroom += len;
        ingress.bytes += len;
        if core::mem::replace(&mut ingress.pausing, true) {
            Admission::Stored
        } else {
            Admission::StoredAndPause
        }
    }

    /// A packet is gone. Says whether its sender may go on.
    pub(crate) fn release(&mut self, config: &SwitchConfig, port: usize, priority: usize, len: u64) -> bool {
        let ingress = &mut self.ports[port][priority];
        let from_headroom = ingress.headroom.min(len);
        ingress.headroom -= from_headroom;
        ingress.bytes -= len;
        self.used -= len - from_headroom;
        let resume_at = config.pause_at.bytes(self.shared - self.used).saturating_sub(config.resume_below);
        let low = ingress.headroom == 0 && ingress.bytes <= resume_at.max(config.resume_below);
        low && core::mem::take(&mut ingress.pausing)
    }

    /// Whether the sender behind this port was asked to pause.
    pub(crate) fn is_pausing(&self, port: usize, priority: usize) -> bool {
        self.ports[port][priority].pausing
    }

    /// Bytes that are stored, headroom included.
    pub(crate) fn stored(&self) -> u64 {
        self.ports.iter().flatten().map(|ingress| ingress.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Threshold;
    use super::*;

    fn switch() -> (SwitchConfig, Buffer) {
        let config = SwitchConfig {
            buffer: 100_000,
            headroom: 5_000,
            pause_at: Threshold::Static(10_000),
            resume_below: 2_000,
            ..SwitchConfig::default()
        };
        let mut buffer = Buffer::default();
        (0..2).for_each(|_| buffer.add_port(&config));
        (config, buffer)
    }

    #[test]
    fn a_lossless_priority_pauses_then_uses_its_headroom_then_overflows() {
        let (config, mut buffer) = switch();
        assert_eq!(buffer.shared, 90_000);
        let mut admit = |len| buffer.admit(&config, 0, 3, len, 0);
        assert_eq!(admit(10_000), Admission::Stored);
        assert_eq!(admit(3_000), Admission::StoredAndPause);
        assert_eq!(admit(2_000), Admission::Stored);
        assert_eq!(admit(1), Admission::HeadroomFull);
        assert!(buffer.is_pausing(0, 3) && !buffer.is_pausing(1, 3));
        assert_eq!((buffer.used, buffer.stored()), (10_000, 15_000));
        assert!(!buffer.release(&config, 0, 3, 5_000), "at the threshold is not yet below it");
        assert!(buffer.release(&config, 0, 3, 2_000), "now it is");
        assert!(!buffer.release(&config, 0, 3, 8_000), "said once");
        assert_eq!((buffer.used, buffer.stored()), (0, 0));
    }

    #[test]
    fn a_lossy_queue_may_hold_what_is_still_free() {
        let (config, mut buffer) = switch();
        let mut queued = 0;
        while buffer.admit(&config, 0, 0, 1_000, queued) == Admission::Stored {
            queued += 1_000;
        }
        assert_eq!(queued, 45_000, "half: as much as it leaves to the others");
    }
}

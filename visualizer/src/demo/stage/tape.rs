//! A trace that is kept until somebody looks.

use std::collections::VecDeque;

use ferroce_engine::{Time, TraceEvent, TraceSink};

/// Events kept. Whoever looks after every packet never misses one.
const CAPACITY: usize = 4096;

/// The latest events of a device, in a bounded queue: when nobody looks, the oldest go first.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    events: VecDeque<(Time, TraceEvent)>,
    lost: u64,
}

impl Tape {
    /// Takes out the oldest event.
    pub fn pop(&mut self) -> Option<(Time, TraceEvent)> {
        self.events.pop_front()
    }

    /// Events that were lost because nobody looked.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl TraceSink for Tape {
    fn event(&mut self, now: Time, event: TraceEvent) {
        if self.events.len() == CAPACITY {
            self.events.pop_front();
            self.lost += 1;
        }
        self.events.push_back((now, event));
    }
}

#[cfg(test)]
mod tests {
    use ferroce_engine::Qpn;

    use super::*;

    #[test]
    fn the_latest_events_are_kept_and_the_lost_counted() {
        let mut tape = Tape::default();
        for wr_id in 0..CAPACITY as u64 + 3 {
            tape.event(Time::from_nanos(wr_id), TraceEvent::PostSend { qp: Qpn::new(1), wr_id });
        }
        assert_eq!(tape.lost(), 3);
        assert_eq!(tape.pop().map(|(time, _)| time.nanos()), Some(3));
    }
}

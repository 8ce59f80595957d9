//! What happens when nothing happens.

use crate::time::Time;

use super::Cm;
use super::types::{CmEventKind, CmState};

impl Cm {
    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        while let Some((time, id)) = self.timers.first().copied()
            && time <= now
        {
            self.set_deadline(id, None);
            self.expired(now, id);
        }
    }

    fn expired(&mut self, now: Time, id: u32) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let state = endpoint.state;
        let repeats =
            matches!(state, CmState::ReqSent | CmState::RepSent | CmState::DreqSent | CmState::SidrReqSent);
        if repeats && endpoint.retries_left > 0 {
            endpoint.retries_left -= 1;
            let next = now + endpoint.patience;
            self.counters.repeated += 1;
            self.send_again(id);
            return self.set_deadline(id, Some(next));
        }
        match state {
            CmState::ReqSent | CmState::RepSent | CmState::SidrReqSent => {
                self.raise(id, CmEventKind::Unreachable);
                self.come_to_rest(id);
            }
            CmState::DreqSent => {
                self.raise(id, CmEventKind::Disconnected(None));
                self.enter_time_wait(now, id);
            }
            CmState::TimeWait => {
                self.raise(id, CmEventKind::TimeWaitOver);
                self.come_to_rest(id);
            }
            _ => {}
        }
    }
}

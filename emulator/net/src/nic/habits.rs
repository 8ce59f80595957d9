//! What the NIC's thread has learned of the application's ways, to stay out of its way.

use std::ops::RangeInclusive;
use std::time::Duration;

use ferroce_engine::Time;

/// After a poll, the application counts as polling for this long.
const POLL_GAP: Duration = Duration::from_millis(1);

/// How long the NIC's thread stays away when it sees that the application polls. It may not do so all the time: it may
/// wait for a peer's WRITE to show in its memory, and what arrives then waits for the thread. So it is not long at first,
/// twice as long each time that the application has polled meanwhile, and half as long when something has waited.
const STAY_AWAY: RangeInclusive<Duration> = Duration::from_micros(200)..=Duration::from_millis(2);

/// How long an ACK waits for the application to post an answer, which takes it along. That spares the peer a datagram,
/// and the NIC's thread at the peer a turn: an application that waits for its completion and for our answer finds both
/// at once. Twice as long each time that an answer came soon after it had been given up.
const PATIENCE: RangeInclusive<Duration> = Duration::from_micros(200)..=Duration::from_millis(2);

pub(super) struct Habits {
    /// The last poll, if there was one since the thread last asked.
    polled: Option<Time>,
    away_for: Duration,
    /// There was a post since an answer was last given up.
    answers: bool,
    gave_up: Option<Time>,
    patience: Duration,
}

impl Habits {
    pub(super) fn new() -> Habits {
        Habits {
            polled: None,
            away_for: *STAY_AWAY.start(),
            answers: false,
            gave_up: None,
            patience: *PATIENCE.start(),
        }
    }

    /// The application polls.
    pub(super) fn note_poll(&mut self, now: Time) {
        self.polled = Some(now);
    }

    /// The application will sleep.
    pub(super) fn note_sleep(&mut self) {
        self.polled = None;
    }

    /// The application posts what is to be sent.
    pub(super) fn note_post(&mut self, now: Time) {
        self.answers = true;
        if let Some(gave_up) = self.gave_up.take() {
            let too_soon = now.since(gave_up) < *PATIENCE.end();
            let patience = if too_soon { self.patience * 2 } else { self.patience / 2 };
            self.patience = patience.clamp(*PATIENCE.start(), *PATIENCE.end());
        }
    }

    /// How long the thread can leave the work to the application, if it can.
    pub(super) fn stays_away(&mut self, now: Time) -> Option<Duration> {
        let polls = self.polled.take().is_some_and(|poll| now.since(poll) < POLL_GAP);
        let longer = (self.away_for * 2).min(*STAY_AWAY.end());
        polls.then(|| std::mem::replace(&mut self.away_for, longer))
    }

    /// Something has waited while the thread was away.
    pub(super) fn missed_something(&mut self) {
        self.away_for = (self.away_for / 2).max(*STAY_AWAY.start());
    }

    /// Whether the application is likely to answer what it receives.
    pub(super) fn answers(&self) -> bool {
        self.answers
    }

    /// How long to wait for an answer.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// The answer did not come in time.
    pub(super) fn give_up(&mut self, now: Time) {
        if std::mem::take(&mut self.answers) {
            self.gave_up = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::ZERO + Duration::from_micros(micros)
    }

    #[test]
    fn who_polls_again_and_again_is_left_alone_for_longer_and_longer() {
        let mut habits = Habits::new();
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            habits.note_poll(now);
            let pause = habits.stays_away(now).expect("it polls");
            pauses.push(pause.as_micros());
            now = now + pause;
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 2000, 2000]);
        habits.missed_something();
        habits.note_poll(now);
        assert_eq!(habits.stays_away(now), Some(Duration::from_millis(1)));
    }

    #[test]
    fn who_has_stopped_polling_is_not_left_alone() {
        let mut habits = Habits::new();
        assert_eq!(habits.stays_away(at(0)), None, "it never did");
        habits.note_poll(at(10));
        assert_eq!(habits.stays_away(at(20)), Some(Duration::from_micros(200)));
        assert_eq!(habits.stays_away(at(30)), None, "not since");
        habits.note_poll(at(40));
        assert_eq!(habits.stays_away(at(1040)), None, "too long ago");
        habits.note_poll(at(1050));
        habits.note_sleep();
        assert_eq!(habits.stays_away(at(1051)), None, "it sleeps");
    }

    #[test]
    fn an_answer_that_was_given_up_too_soon_is_waited_for_longer() {
        let mut habits = Habits::new();
        assert!(!habits.answers());
        let mut now = at(0);
        for patience in [200, 400, 800, 1600, 2000, 2000] {
            habits.note_post(now);
            assert!(habits.answers());
            assert_eq!(habits.patience().as_micros(), patience);
            habits.give_up(now);
            assert!(!habits.answers(), "until it posts again");
            now = now + Duration::from_millis(1);
        }
        for patience in [1000, 500, 250, 200, 200] {
            now = now + Duration::from_millis(10);
            habits.note_post(now);
            assert_eq!(habits.patience().as_micros(), patience);
            habits.give_up(now);
        }
    }
}

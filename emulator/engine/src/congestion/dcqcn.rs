//! DCQCN's reaction point (Zhu et al., "Congestion Control for Large-Scale RDMA Deployments", SIGCOMM 2015, §3).
//!
//! A sender keeps its current rate R_C, the target R_T to which it wants to return, and an estimate α of how
//! congested the way is.
//!
//! ```text
//!  a CNP arrives        R_T ← R_C    R_C ← R_C·(1 − α/2)    α ← (1 − g)·α + g
//!  55 µs without one    α ← (1 − g)·α
//!  every 55 µs, and every 10 MB sent, one step up:
//!      the first F steps          R_C ← (R_T + R_C)/2                      fast recovery
//!      then                       R_T ← R_T + 40 Mb/s, R_C as above        additive increase
//!      both counters beyond F     R_T ← R_T + i·R_HAI, R_C as above        hyper increase
//! ```
//!
//! Without a CNP ever, the rate is not limited at all; it is no longer when R_C is back at line rate.

use core::time::Duration;

use super::RateControl;
use crate::time::Time;

/// All that can be set of DCQCN. Rates are in bits per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DcqcnParams {
    /// Rate of the port: where a flow starts.
    pub line_rate: f64,
    /// Weight of news in α.
    pub g: f64,
    /// After such a time without a CNP, α shrinks.
    pub alpha_timer: Duration,
    /// After such a time comes a step up.
    pub increase_timer: Duration,
    /// After so many bytes comes a step up.
    pub byte_counter: u64,
    /// Steps of fast recovery.
    pub fast_recovery: u32,
    /// Step of the additive increase.
    pub additive: f64,
    /// Step of the hyper increase.
    pub hyper: f64,
    /// The rate does not go below this.
    pub min_rate: f64,
    /// CNPs within such a time after a cut do not cut again.
    pub cut_interval: Duration,
}

impl DcqcnParams {
    /// The paper's values (§3.3 and §5.2, table 14) for a port of this rate. It does not give R_HAI and the
    /// least rate: 400 Mb/s and 10 Mb/s are choices.
    pub fn paper(line_rate: u64) -> DcqcnParams {
        DcqcnParams {
            line_rate: line_rate as f64,
            g: 1.0 / 256.0,
            alpha_timer: Duration::from_micros(55),
            increase_timer: Duration::from_micros(55),
            byte_counter: 10_000_000,
            fast_recovery: 5,
            additive: 40e6,
            hyper: 400e6,
            min_rate: 10e6,
            cut_interval: Duration::ZERO,
        }
    }
}

/// The reaction point of one queue pair.
#[derive(Clone, Copy, Debug)]
pub struct Dcqcn {
    params: DcqcnParams,
    current: f64,
    target: f64,
    alpha: f64,
    /// Steps up since the last cut, by time and by bytes.
    time_steps: u32,
    byte_steps: u32,
    bytes: u64,
    /// Timers; `None` while the rate is not limited.
    timers: Option<Timers>,
    /// CNPs before this moment do not cut.
    cut_again: Time,
}

#[derive(Clone, Copy, Debug)]
struct Timers {
    alpha: Time,
    increase: Time,
}

impl Dcqcn {
    /// A flow at line rate. Values that make no sense are brought into range.
    pub fn new(params: DcqcnParams) -> Dcqcn {
        let line_rate = params.line_rate.max(1.0);
        let least = Duration::from_nanos(100);
        let params = DcqcnParams {
            line_rate,
            g: params.g.clamp(0.0, 1.0),
            min_rate: params.min_rate.clamp(1.0, line_rate),
            alpha_timer: params.alpha_timer.max(least),
            increase_timer: params.increase_timer.max(least),
            byte_counter: params.byte_counter.max(1),
            ..params
        };
        Dcqcn {
            params,
            current: line_rate,
            target: line_rate,
            alpha: 1.0,
            time_steps: 0,
            byte_steps: 0,
            bytes: 0,
            timers: None,
            cut_again: Time::ZERO,
        }
    }

    /// R_C in bits per second.
    pub fn current(&self) -> f64 {
        self.current
    }

    /// R_T in bits per second.
    pub fn target(&self) -> f64 {
        self.target
    }

    /// α.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    fn step_up(&mut self) {
        let (least, most) = (self.time_steps.min(self.byte_steps), self.time_steps.max(self.byte_steps));
        let threshold = self.params.fast_recovery;
        if least > threshold {
            self.target += f64::from(least - threshold) * self.params.hyper;
        } else if most > threshold {
            self.target += self.params.additive;
        }
        self.target = self.target.min(self.params.line_rate);
        self.current = (self.target + self.current) / 2.0;
        // Halving the distance never ends by itself.
        if self.current > 0.9999 * self.params.line_rate {
            *self = Dcqcn { alpha: self.alpha, cut_again: self.cut_again, ..Dcqcn::new(self.params) };
        }
    }
}

impl RateControl for Dcqcn {
    fn rate(&self) -> Option<u64> {
        self.timers.map(|_| self.current as u64)
    }

    fn sent(&mut self, _: Time, bytes: u64) {
        if self.timers.is_none() {
            return;
        }
        self.bytes += bytes;
        if self.bytes >= self.params.byte_counter {
            self.bytes -= self.params.byte_counter;
            self.byte_steps += 1;
            self.step_up();
        }
    }

    fn notified(&mut self, now: Time) {
        if now < self.cut_again {
            return;
        }
        self.cut_again = now + self.params.cut_interval;
        self.target = self.current;
        self.current = (self.current * (1.0 - self.alpha / 2.0)).max(self.params.min_rate);
        self.alpha = (1.0 - self.params.g) * self.alpha + self.params.g;
        (self.time_steps, self.byte_steps, self.bytes) = (0, 0, 0);
        let (alpha, increase) = (now + self.params.alpha_timer, now + self.params.increase_timer);
        self.timers = Some(Timers { alpha, increase });
    }

    fn deadline(&self) -> Option<Time> {
        self.timers.map(|timers| timers.alpha.min(timers.increase))
    }

    fn handle_timeout(&mut self, now: Time) {
        let Some(Timers { mut alpha, mut increase }) = self.timers else { return };
        if alpha <= now {
            self.alpha *= 1.0 - self.params.g;
            alpha = now + self.params.alpha_timer;
        }
        let steps = increase <= now;
        if steps {
            increase = now + self.params.increase_timer;
        }
        self.timers = Some(Timers { alpha, increase });
        if steps {
            self.time_steps += 1;
            self.step_up();
        }
    }

    fn boxed_clone(&self) -> Box<dyn RateControl> {
        Box::new(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Dcqcn {
        Dcqcn::new(DcqcnParams::paper(40_000_000_000))
    }

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected * 1e-12, "{value} is not {expected}");
    }

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    #[test]
    fn the_first_notification_halves_the_rate() {
        let mut flow = flow();
        assert_eq!((flow.rate(), flow.deadline()), (None, None), "free until then");
        flow.notified(at(0));
        near(flow.current(), 20e9);
        near(flow.target(), 40e9);
        near(flow.alpha(), 1.0);
        assert_eq!(flow.rate(), Some(20_000_000_000));
        flow.notified(at(50));
        near(flow.target(), 20e9);
        near(flow.current(), 10e9);
    }

    #[test]
    fn alpha_forgets_by_a_256th_each_55_microseconds() {
        let mut flow = flow();
        flow.notified(at(0));
        for round in 1..=10 {
            assert_eq!(flow.deadline(), Some(at(55 * round)));
            flow.handle_timeout(at(55 * round));
        }
        let alpha = (255.0f64 / 256.0).powi(10);
        near(flow.alpha(), alpha);
        let before = flow.current();
        flow.notified(at(600));
        near(flow.current(), before * (1.0 - alpha / 2.0));
        near(flow.alpha(), alpha * 255.0 / 256.0 + 1.0 / 256.0);
    }

    #[test]
    fn five_steps_recover_and_the_sixth_adds() {
        let mut flow = flow();
        flow.notified(at(0));
        flow.notified(at(50));
        let mut expected = 10e9;
        for round in 1..=5 {
            flow.handle_timeout(at(50 + 55 * round));
            expected = (20e9 + expected) / 2.0;
            near(flow.current(), expected);
            near(flow.target(), 20e9);
        }
        flow.handle_timeout(at(50 + 55 * 6));
        near(flow.target(), 20.04e9);
        near(flow.current(), (20.04e9 + expected) / 2.0);
    }

    #[test]
    fn both_counters_beyond_five_hyper_increase() {
        let mut flow = flow();
        flow.notified(at(0));
        flow.notified(at(50));
        flow.notified(at(100));
        for round in 1..=6 {
            flow.handle_timeout(at(100 + 55 * round));
        }
        near(flow.target(), 10.04e9);
        for _ in 0..5 {
            flow.sent(at(431), 10_000_000);
        }
        near(flow.target(), 10.04e9 + 5.0 * 40e6);
        flow.sent(at(432), 10_000_000);
        near(flow.target(), 10.24e9 + 400e6);
    }

    #[test]
    fn back_at_line_rate_the_flow_is_free() {
        let mut flow = flow();
        flow.notified(at(0));
        let mut now = at(0);
        while let Some(next) = flow.deadline() {
            assert!(next > now, "every deadline is later than the one before");
            now = next;
            flow.handle_timeout(now);
        }
        assert_eq!(flow.rate(), None);
        assert!(now < at(2_000), "R_T is line rate after a single cut, so fast recovery is enough: {now}");
    }
}

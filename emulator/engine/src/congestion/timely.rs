//! TIMELY: a control by delay alone (Mittal et al., "TIMELY: RTT-based Congestion Control for the Datacenter",
//! SIGCOMM 2015, algorithm 1).
//!
//! ```text
//!  rtt below T_low         R ← R + δ
//!  rtt above T_high        R ← R·(1 − β·(1 − T_high/rtt))
//!  between, by the smoothed slope of the rtt in units of the least rtt:
//!      falling or flat     R ← R + N·δ        N is 5 after five such in a row, else 1
//!      rising              R ← R·(1 − β·slope)
//! ```

use core::time::Duration;

use super::RateControl;
use crate::time::Time;

/// All that can be set of TIMELY. Rates are in bits per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimelyParams {
    /// Rate of the port: where a flow starts.
    pub line_rate: f64,
    /// Below this the rate always grows.
    pub t_low: Duration,
    /// Above this the rate always shrinks.
    pub t_high: Duration,
    /// The round trip of an empty network.
    pub min_rtt: Duration,
    /// Step of the additive increase.
    pub delta: f64,
    /// Strength of the decrease.
    pub beta: f64,
    /// Weight of news in the slope.
    pub alpha: f64,
    /// Flat samples in a row after which steps are five times as large.
    pub hyper_after: u32,
    /// The rate does not go below this.
    pub min_rate: f64,
}

impl TimelyParams {
    /// The paper's values (§5) for a port of this rate: 50 µs, 500 µs, 20 µs, 10 Mb/s, 0.8, 0.875, 5. The least
    /// rate, 10 Mb/s, is a choice.
    pub fn paper(line_rate: u64) -> TimelyParams {
        TimelyParams {
            line_rate: line_rate as f64,
            t_low: Duration::from_micros(50),
            t_high: Duration::from_micros(500),
            min_rtt: Duration::from_micros(20),
            delta: 10e6,
            beta: 0.8,
            alpha: 0.875,
            hyper_after: 5,
            min_rate: 10e6,
        }
    }
}

/// The control of one queue pair.
#[derive(Clone, Copy, Debug)]
pub struct Timely {
    params: TimelyParams,
    rate: f64,
    last: Option<Duration>,
    /// Smoothed difference of one sample to the next, in seconds.
    slope: f64,
    flat: u32,
}

impl Timely {
    /// A flow at line rate. Values that make no sense are brought into range.
    pub fn new(params: TimelyParams) -> Timely {
        let line_rate = params.line_rate.max(1.0);
        let params = TimelyParams {
            line_rate,
            min_rate: params.min_rate.clamp(1.0, line_rate),
            min_rtt: params.min_rtt.max(Duration::from_nanos(1)),
            alpha: params.alpha.clamp(0.0, 1.0),
            beta: params.beta.clamp(0.0, 1.0),
            ..params
        };
        Timely { params, rate: line_rate, last: None, slope: 0.0, flat: 0 }
    }

    fn adapted(&mut self, rtt: Duration) -> f64 {
        let p = self.params;
        let gradient = self.slope / p.min_rtt.as_secs_f64();
        if rtt > p.t_high {
            self.flat = 0;
            return self.rate * (1.0 - p.beta * (1.0 - p.t_high.as_secs_f64() / rtt.as_secs_f64()));
        }
        if rtt < p.t_low {
            return self.rate + p.delta;
        }
        if gradient > 0.0 {
            self.flat = 0;
            return self.rate * (1.0 - p.beta * gradient.min(1.0));
        }
        self.flat += 1;
        let steps = if self.flat >= p.hyper_after { 5.0 } else { 1.0 };
        self.rate + steps * p.delta
    }
}

impl RateControl for Timely {
    fn rate(&self) -> Option<u64> {
        (self.rate < self.params.line_rate).then_some(self.rate as u64)
    }

    fn round_trip(&mut self, _: Time, rtt: Duration) {
        if let Some(last) = self.last.replace(rtt) {
            let news = rtt.as_secs_f64() - last.as_secs_f64();
            self.slope = (1.0 - self.params.alpha) * self.slope + self.params.alpha * news;
            self.rate = self.adapted(rtt).clamp(self.params.min_rate, self.params.line_rate);
        }
    }

    fn boxed_clone(&self) -> Box<dyn RateControl> {
        Box::new(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(samples: &[u64]) -> f64 {
        let mut flow = Timely::new(TimelyParams::paper(10_000_000_000));
        for micros in samples {
            flow.round_trip(Time::ZERO, Duration::from_micros(*micros));
        }
        flow.rate
    }

    #[test]
    fn a_rising_delay_slows_down_by_its_slope() {
        // Slope 0.875 · 10 µs, which is 0.4375 of 20 µs.
        let expected = 10e9 * (1.0 - 0.8 * 0.4375);
        assert!((after(&[100, 110]) - expected).abs() < 1.0);
    }

    #[test]
    fn above_the_upper_threshold_the_slope_does_not_matter() {
        let expected = 10e9 * (1.0 - 0.8 * (1.0 - 500.0 / 1000.0));
        assert!((after(&[1000, 1000]) - expected).abs() < 1.0);
    }

    #[test]
    fn below_the_lower_threshold_it_grows_whatever_the_slope() {
        let slow = after(&[1000, 1000]);
        let grown = after(&[1000, 1000, 30, 40]);
        assert!((grown - slow - 20e6).abs() < 1.0);
    }

    #[test]
    fn five_flat_samples_make_the_steps_larger() {
        let slow = after(&[1000, 1000, 400]);
        let grown = after(&[1000, 1000, 400, 400, 400, 400, 400]);
        assert!((grown - slow - (3.0 + 5.0) * 10e6).abs() < 1.0, "{}", grown - slow);
    }
}

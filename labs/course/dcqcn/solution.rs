//! DCQCN's reaction point. Read README.md, write `ReactionPoint`, then: ferroce lab check

/// Weight of news in alpha.
pub const G: f64 = 1.0 / 256.0;
/// Steps of fast recovery.
pub const F: u32 = 5;
/// Step of the additive increase, bits per second.
pub const R_AI: f64 = 40e6;
/// Step of the hyper increase, bits per second.
pub const R_HAI: f64 = 400e6;
/// The rate never goes below this.
pub const MIN_RATE: f64 = 10e6;

/// The rate of one flow, and what it depends on.
pub struct ReactionPoint {
    line_rate: f64,
    /// R_C.
    rate: f64,
    /// R_T.
    target: f64,
    alpha: f64,
    /// Steps up since the last cut.
    by_time: u32,
    by_bytes: u32,
}

impl ReactionPoint {
    /// A flow begins at line rate (bits per second), and with alpha = 1.
    pub fn new(line_rate: f64) -> ReactionPoint {
        ReactionPoint { line_rate, rate: line_rate, target: line_rate, alpha: 1.0, by_time: 0, by_bytes: 0 }
    }

    /// R_C: the rate at which the flow sends now, in bits per second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// A congestion notification arrived.
    pub fn on_cnp(&mut self) {
        self.target = self.rate;
        self.rate = (self.rate * (1.0 - self.alpha / 2.0)).max(MIN_RATE);
        self.alpha = (1.0 - G) * self.alpha + G;
        self.by_time = 0;
        self.by_bytes = 0;
    }

    /// The time in which no CNP came was long enough for alpha to shrink.
    pub fn on_alpha_timer(&mut self) {
        self.alpha *= 1.0 - G;
    }

    /// The increase timer ran out: a step up by time.
    pub fn on_increase_timer(&mut self) {
        self.by_time += 1;
        self.step_up();
    }

    /// The byte counter ran out: a step up by bytes.
    pub fn on_byte_counter(&mut self) {
        self.by_bytes += 1;
        self.step_up();
    }

    fn step_up(&mut self) {
        let least = self.by_time.min(self.by_bytes);
        let most = self.by_time.max(self.by_bytes);
        if least > F {
            self.target += (least - F) as f64 * R_HAI;
        } else if most > F {
            self.target += R_AI;
        }
        self.target = self.target.min(self.line_rate);
        self.rate = (self.rate + self.target) / 2.0;
    }
}

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
    rate: f64,
}

impl ReactionPoint {
    /// A flow begins at line rate (bits per second), and with alpha = 1.
    pub fn new(line_rate: f64) -> ReactionPoint {
        ReactionPoint { rate: line_rate }
    }

    /// R_C: the rate at which the flow sends now, in bits per second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// A congestion notification arrived.
    pub fn on_cnp(&mut self) {}

    /// The time in which no CNP came was long enough for alpha to shrink.
    pub fn on_alpha_timer(&mut self) {}

    /// The increase timer ran out: a step up by time.
    pub fn on_increase_timer(&mut self) {}

    /// The byte counter ran out: a step up by bytes.
    pub fn on_byte_counter(&mut self) {}
}

//! Livelock. Read README.md, write `delivers`, `resume` and `sent`, then: ferroce lab check

/// Whether a message of so many packets ever arrives if every `period`-th packet that is sent is lost (the period-th, the
/// 2·period-th, and so on) and the sender begins the whole message anew after each loss. `packets` is at least 1,
/// `period` at least 2.
pub fn delivers(packets: u64, period: u64) -> bool {
    // Between two losses period - 1 packets get through.
    packets < period
}

/// The packet to go on with after a loss: `missing` is the first that the receiver has not, `message` the first of the
/// message that it belongs to. Both count from the beginning of the connection.
pub fn resume(message: u64, missing: u64) -> u64 {
    // Go-back-N: nothing that has arrived is sent again.
    let _ = message;
    missing
}

/// How many packets are sent until a message has arrived, if every `period`-th is lost and only what is lost is sent again.
pub fn sent(packets: u64, period: u64) -> u64 {
    // The last packet that is sent is never a lost one.
    packets + (packets - 1) / (period - 1)
}
